"""Check the environment, the bucket and the clock before the first job runs on Google Cloud."""

import importlib
import re
import time
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from autobird.cluster.hints import hints_for
from autobird.core.errors import AutobirdError

VARIABLES = {
    "GOOGLE_CLOUD_PROJECT": "the project, see `gcloud projects list`",
    "GOOGLE_CLOUD_REGION": "the region of the machines, for example europe-west4",
    "AUTOBIRD_BUCKET": "the bucket for the files of the run, without gs://: BUCKET or BUCKET/FOLDER",
    "AUTOBIRD_IMAGE": "the container image of the jobs, for example europe-west4-docker.pkg.dev/PROJECT/autobird/executor:1",
}
"""Environment variables that `profiles/gce` uses, and their meaning."""

MAX_CLOCK_SKEW = 120.0
"""Largest accepted difference between the clock of this machine and Google's, seconds. With a larger difference, access
tokens are rejected and Snakemake misjudges which files are newer."""


def check_environment(environment: Mapping[str, str], names: Sequence[str] = tuple(VARIABLES)) -> None:
    """Check that all environment variables of the profile are set; Snakemake would use the text `$NAME` for an unset one.

    Args:
        environment: the environment variables.
        names: the variables that must be set.

    Raises:
        AutobirdError: variables are missing, or AUTOBIRD_BUCKET is malformed; the message is one line.
    """
    missing = [name for name in names if not environment.get(name)]
    if missing:
        raise AutobirdError(
            "set these environment variables: "
            + "; ".join(f"{name} ({VARIABLES[name]})" for name in missing)
            + "; see docs/google.md"
        )
    bucket = environment["AUTOBIRD_BUCKET"]
    if not re.fullmatch(r"[a-z0-9][a-z0-9._-]{1,61}[a-z0-9](/[^/\s]+)*", bucket):
        raise AutobirdError(
            f"AUTOBIRD_BUCKET: {bucket!r} is not a valid name of a bucket; give {VARIABLES['AUTOBIRD_BUCKET']}"
        )


def check_training(devices: int, nodes: int, gpu: bool) -> None:
    """Check that a machine can hold the processes of a training: it has one GPU, and machines cannot share a training.

    Raises:
        AutobirdError: it cannot; the message names the setting.
    """
    if nodes > 1:
        raise AutobirdError(f"train.nodes is {nodes}, but a job of Google Batch has one machine; set train.nodes to 1")
    if gpu and devices > 1:
        raise AutobirdError(
            f"train.devices is {devices}, but a machine has one GPU; set train.devices to 1, or train.device to cpu"
        )


def check_bucket(prefix: str, environment: Mapping[str, str]) -> None:
    """Check that the bucket exists and can be read; Snakemake would create a missing bucket in Google's default region.

    Args:
        prefix: `gs://bucket` or `gs://bucket/folder`.
        environment: environment variables; GOOGLE_CLOUD_PROJECT is the project that pays.

    Raises:
        AutobirdError: the bucket does not exist or cannot be read.
    """
    bucket, _ = _bucket(prefix, environment)
    try:
        list(bucket.list_blobs(max_results=1, timeout=60))
    except Exception as error:
        raise google_error(f"the bucket {prefix}", error) from error


def _bucket(prefix: str, environment: Mapping[str, str]) -> tuple[Any, str]:
    name, _, folder = prefix.removeprefix("gs://").partition("/")
    # Imported on use: only users of Google Cloud have this package.
    storage = importlib.import_module("google.cloud.storage")
    try:
        return storage.Client(project=environment["GOOGLE_CLOUD_PROJECT"]).bucket(name), folder
    except Exception as error:
        raise google_error(f"the bucket {prefix}", error) from error


def check_access(prefix: str, environment: Mapping[str, str]) -> None:
    """Write, read and delete a small object in the bucket, and compare its time with the clock of this machine.

    Args:
        prefix: `gs://bucket` or `gs://bucket/folder`.
        environment: environment variables; GOOGLE_CLOUD_PROJECT is the project that pays.

    Raises:
        AutobirdError: a permission is missing, or the clock is wrong; the message has Google's error and a remedy.
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
        raise google_error(f"the bucket {prefix}", error) from error
    created = blob.time_created.timestamp()
    skew = max(before - created, created - after, 0.0)
    if skew > MAX_CLOCK_SKEW:
        raise AutobirdError(
            f"this machine's clock differs by {skew:.0f} s from Google's; set it (`timedatectl set-ntp true`) and run again"
        )


def google_error(subject: str, error: Any) -> AutobirdError:
    """Return an error of Google's client library as one line with a remedy.

    Args:
        subject: start of the message, for example the bucket.
        error: the exception.
    """
    text = " ".join(f"{type(error).__name__}: {getattr(error, 'message', error)}".split())
    remedy = "; ".join(hints_for(text)) or "check its name, `gcloud auth list`, and your network"
    return AutobirdError(f"{subject}: {text[:300]}: {remedy}")
