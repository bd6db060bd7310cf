"""Load a backbone by its settings, or as a model or a bundle recorded it."""

from pathlib import Path

from autobird.backbone.base import Backbone, BackboneInfo
from autobird.backbone.birdnet import NAME as BIRDNET
from autobird.backbone.birdnet import SHA256 as BIRDNET_SHA256
from autobird.backbone.birdnet import BirdNet
from autobird.backbone.file import Description, FileBackbone
from autobird.backbone.settings import BackboneSettings
from autobird.core.errors import AutobirdError
from autobird.core.hashing import file_digest

PERCH = "perch-2"
_PERCH = Description(
    PERCH, 32000, 5.0, "Apache-2.0",
    "Perch 2.0, Google DeepMind; https://www.kaggle.com/models/google/bird-vocalization-classifier",
    output="embedding", peak=0.25,
)  # fmt: skip


def load_backbone(settings: BackboneSettings) -> Backbone:
    """Load the backbone that the settings name.

    Raises:
        AutobirdError: its file or a package is missing, or it is another file; one line with the remedy.
    """
    s = settings
    if s.name == BIRDNET:
        return BirdNet(s.file, s.sha256)
    if s.file is None:
        raise AutobirdError(
            f"backbone {s.name}: backbone.file is not set; set it to the path of its ONNX or TFLite file"
        )
    return FileBackbone(Path(s.file).expanduser(), _description(s), s.sha256)


def load_recorded(info: BackboneInfo, file: str | None = None) -> Backbone:
    """Load the backbone with which a model was made.

    Args:
        info: what the model or bundle recorded.
        file: path of its file; needed for all but BirdNET, which is looked for where it is installed.

    Raises:
        AutobirdError: as `load_backbone`; also if the file is not the recorded one.
    """
    if info.name == BIRDNET:
        return BirdNet(file, info.sha256)
    if file is None:
        raise AutobirdError(
            f"this model needs the backbone {info.name} ({info.source or 'source not recorded'}), which it does not contain; give the "
            f"path of its file, whose sha256 is {info.sha256}"
        )
    recorded = Description(
        info.name,
        info.sample_rate,
        info.window,
        info.licence,
        info.source,
        info.input or None,
        info.output or None,
        info.peak,
    )
    return FileBackbone(Path(file).expanduser(), recorded, info.sha256)


def backbone_sha256(settings: BackboneSettings) -> str:
    """Return the sha256 of the backbone's file without loading it: the expected one if it is known.

    Raises:
        AutobirdError: `backbone.file` cannot be read.
    """
    if settings.sha256 is not None:
        return settings.sha256
    if settings.name == BIRDNET:
        return BIRDNET_SHA256
    digest = file_digest(Path(settings.file or "").expanduser())
    if digest is None:
        raise AutobirdError(f"backbone {settings.name}: {settings.file} cannot be read; set backbone.file to its path")
    return digest


def _description(s: BackboneSettings) -> Description:
    """Return what the settings say; for Perch completed by what is known of it."""
    known = _PERCH if s.name == PERCH else None
    values = {
        key: getattr(s, key) if getattr(s, key) is not None else getattr(known, key, None)
        for key in Description._fields
    }
    return Description(**(values | {"source": values["source"] or ""}))
