"""Whether Google Cloud is as the profile needs it, asked before the first job."""

import importlib
import re
import time
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from autobird.cluster.hints import hints_for
from autobird.core.errors import AutobirdError

VARIABLES = {
    "GOOGLE_CLOUD_PROJECT": "the project, as in `gcloud projects list`",
    "GOOGLE_CLOUD_REGION": "the region of the machines, for example europe-west4",
    "AUTOBIRD_BUCKET": "the bucket of the run's files, without gs://, or bucket/folder",
    "AUTOBIRD_IMAGE": "the image of the jobs, for example europe-west4-docker.pkg.dev/PROJECT/autobird/executor:1",
}
"""What `profiles/gce` takes from the environment."""

SKEW = 120.0
"""Seconds that this clock may differ from Google's: tokens and times of files go wrong beyond."""


def check_environment(environment: Mapping[str, str], names: Sequence[str] = tuple(VARIABLES)) -> None:
    """Refuse to start while a variable of the profile is unset: Snakemake would pass on `$NAME` as it stands.

    Raises:
        AutobirdError: one line with all that are missing or malformed.
    """
    missing = [name for name in names if not environment.get(name)]
    if missing:
        raise AutobirdError(
            "set in the environment: "
            + "; ".join(f"{name} ({VARIABLES[name]})" for name in missing)
            + "; see docs/google.md"
        )
    bucket = environment["AUTOBIRD_BUCKET"]
    if not re.fullmatch(r"[a-z0-9][a-z0-9._-]{1,61}[a-z0-9](/[^/\s]+)*", bucket):
        raise AutobirdError(
            f"AUTOBIRD_BUCKET: {bucket!r} is not the name of a bucket; give {VARIABLES['AUTOBIRD_BUCKET']}"
        )


def check_bucket(prefix: str, environment: Mapping[str, str]) -> None:
    """Look into the bucket. Snakemake would make one that is missing, wherever Google likes.

    Args:
        prefix: `gs://bucket` or `gs://bucket/folder`.
        environment: names the project that is charged.

    Raises:
        AutobirdError: it is not there, or may not be read.
    """
    bucket, _ = _bucket(prefix, environment)
    try:
        list(bucket.list_blobs(max_results=1, timeout=60))
    except Exception as error:
        raise refusal(f"the bucket {prefix}", error) from error


def _bucket(prefix: str, environment: Mapping[str, str]) -> tuple[Any, str]:
    name, _, folder = prefix.removeprefix("gs://").partition("/")
    # By name: only who runs on Google Cloud has this package.
    storage = importlib.import_module("google.cloud.storage")
    try:
        return storage.Client(project=environment["GOOGLE_CLOUD_PROJECT"]).bucket(name), folder
    except Exception as error:
        raise refusal(f"the bucket {prefix}", error) from error


def check_rights(prefix: str, environment: Mapping[str, str]) -> None:
    """Write, read and remove a small object: the rights that a run needs, and the clock.

    Args:
        prefix: `gs://bucket` or `gs://bucket/folder`.
        environment: names the project that is charged.

    Raises:
        AutobirdError: says what Google said and what to do.
    """
    bucket, folder = _bucket(prefix, environment)
    blob = bucket.blob("/".join(filter(None, [folder, f".check-{uuid.uuid4().hex}"])))
    try:
        before = time.time()
        blob.upload_from_string(b"autobird", timeout=60)
        after = time.time()
        blob.reload(timeout=60)
        blob.delete(timeout=60)
    except Exception as error:
        raise refusal(f"the bucket {prefix}", error) from error
    theirs = blob.time_created.timestamp()
    skew = max(before - theirs, theirs - after, 0.0)
    if skew > SKEW:
        raise AutobirdError(
            f"this machine's clock differs by {skew:.0f} s from Google's; set it (`timedatectl set-ntp true`) and run again"
        )


def refusal(what: str, error: Any) -> AutobirdError:
    """An exception of Google's in one line, with what to do."""
    text = " ".join(f"{type(error).__name__}: {getattr(error, 'message', error)}".split())
    remedy = "; ".join(hints_for(text)) or "check its name, `gcloud auth list`, and your network"
    return AutobirdError(f"{what}: {text[:300]}: {remedy}")
