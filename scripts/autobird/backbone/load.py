"""Load a backbone by its settings, or as a model or a bundle recorded it."""

from autobird.backbone.base import Backbone, BackboneInfo
from autobird.backbone.birdnet import BirdNet
from autobird.backbone.file import FileBackbone
from autobird.backbone.known import BIRDNET, Description, backbone_file, describe
from autobird.backbone.settings import BackboneSettings
from autobird.core.errors import AutobirdError


def load_backbone(settings: BackboneSettings) -> Backbone:
    """Load the backbone that the settings name.

    Raises:
        AutobirdError: its file or a package is missing, or it is another file; one line with the remedy.
    """
    return load_described(describe(settings), settings.file, settings.sha256)


def load_described(description: Description, file: str | None, sha256: str | None) -> Backbone:
    """Load a backbone.

    Args:
        description: of it.
        file: path of its file; BirdNET is found without it.
        sha256: expected checksum; None: any, but for BirdNET that of the published file.

    Raises:
        AutobirdError: see `load_backbone`.
    """
    if description.name == BIRDNET:
        return BirdNet(description, file, sha256)
    return FileBackbone(backbone_file(description.name, file), description, sha256)


def load_recorded(info: BackboneInfo, file: str | None = None) -> Backbone:
    """Load the backbone with which a model was made.

    Args:
        info: what the model or bundle recorded.
        file: path of its file; needed for all but BirdNET, which is looked for where it is installed.

    Raises:
        AutobirdError: as `load_backbone`; also if the file is not the recorded one.
    """
    if file is None and info.name != BIRDNET:
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
    return load_described(recorded, file, info.sha256)
