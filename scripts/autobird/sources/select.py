"""Which source a configuration names, and where its recordings lie."""

from pathlib import Path

from autobird.sources.annotations import AnnotationSource
from autobird.sources.base import Source
from autobird.sources.demo import DemoSource
from autobird.sources.folder import FolderSource
from autobird.sources.kaggle import folder_of, kaggle_source
from autobird.sources.kaggle import zip_of as kaggle_zip
from autobird.sources.settings import SourceSettings
from autobird.sources.table import TableSource, is_remote
from autobird.sources.url import UrlSource
from autobird.sources.xeno_canto import XenoCantoSource


def source_of(settings: SourceSettings, cache: Path) -> Source:
    """The source that `settings.type` names.

    Args:
        settings: the section `corpus`.
        cache: file of the sha256 cache, outside `results/`.
    """
    root = Path(settings.root or "")
    match settings.type:
        case "folder":
            return FolderSource(root, cache, settings.metadata, settings.columns, settings.species_suffix)
        case "table":
            return TableSource(Path(settings.table or "").expanduser(), local_root(settings), cache, settings.columns)
        case "annotations":
            return AnnotationSource(root, cache, settings.metadata, settings.columns, settings.annotations)
        case "xeno_canto":
            return XenoCantoSource(Path(settings.lock), settings.xeno_canto)
        case "kaggle":
            return kaggle_source(settings, cache)
        case "url":
            return UrlSource(Path(settings.lock), settings.root or "")
        case _:
            return DemoSource(settings.demo)


def local_root(settings: SourceSettings) -> Path:
    """The folder that the recordings of a local source lie in."""
    if settings.type == "table" and not settings.root:
        return Path(settings.table or "").expanduser().parent
    if settings.type == "kaggle":
        return Path() if kaggle_zip(settings) else folder_of(settings)
    return Path(settings.root or "").expanduser()


def is_downloaded(settings: SourceSettings) -> bool:
    """Whether the recordings of a source come as `corpus/audio/<b>.tar`, as they lie in no folder."""
    if settings.type == "table":
        return is_remote(Path(settings.table or "").expanduser(), settings.columns)
    if settings.type == "kaggle":
        return kaggle_zip(settings) is not None
    return settings.type in ("demo", "xeno_canto", "url")
