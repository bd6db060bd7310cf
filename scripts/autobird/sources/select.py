"""The source that a configuration selects, and where its recordings are stored."""

from pathlib import Path

from autobird.sources.annotations import AnnotationSource
from autobird.sources.base import Source
from autobird.sources.demo import DemoSource
from autobird.sources.folder import FolderSource
from autobird.sources.kaggle import kaggle_archive, kaggle_folder, kaggle_source
from autobird.sources.settings import SourceSettings
from autobird.sources.table import TableSource, is_remote
from autobird.sources.url import UrlSource
from autobird.sources.xeno_canto import XenoCantoSource


def source_of(settings: SourceSettings, cache: Path) -> Source:
    """Return the source of type `settings.type`.

    Args:
        settings: the section `corpus`.
        cache: file of the checksum cache, outside `results/`.

    Raises:
        LockMissing: the source is remote and has not been refreshed yet.
        AutobirdError: the source cannot be read.
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
    """Return the folder to which the paths of a local source's recordings are relative."""
    if settings.type == "table" and not settings.root:
        return Path(settings.table or "").expanduser().parent
    if settings.type == "kaggle":
        return Path() if kaggle_archive(settings) else kaggle_folder(settings)
    return Path(settings.root or "").expanduser()


def is_downloaded(settings: SourceSettings) -> bool:
    """Return whether stage `download` writes the recordings to `corpus/audio/<batch>.tar`, because no folder holds them."""
    if settings.type == "table":
        return is_remote(Path(settings.table or "").expanduser(), settings.columns)
    if settings.type == "kaggle":
        return kaggle_archive(settings) is not None
    return settings.type in ("demo", "xeno_canto", "url")
