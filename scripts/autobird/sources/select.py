"""The sources that a configuration selects, and where their recordings are stored."""

from pathlib import Path

from autobird.audio.access import RecordingRoots
from autobird.core.errors import AutobirdError
from autobird.sources.annotations import AnnotationSource
from autobird.sources.base import Source
from autobird.sources.demo import DemoSource
from autobird.sources.folder import FolderSource
from autobird.sources.joined import NEGATIVES_SETTING, JoinedSource, Part, Storage
from autobird.sources.kaggle import kaggle_archive, kaggle_folder, kaggle_source
from autobird.sources.lock import LockMissing
from autobird.sources.reviews import ReviewSource
from autobird.sources.settings import NamedSourceSettings, OneSourceSettings, SourceSettings
from autobird.sources.table import TableSource, is_remote
from autobird.sources.url import UrlSource
from autobird.sources.xeno_canto import XenoCantoSource

NEGATIVES = "negatives"
"""Name of the source that `corpus.negatives` adds."""


def source_of(settings: SourceSettings, cache: Path) -> Source:
    """Return the source that the settings describe, or all of them as one.

    Args:
        settings: the section `corpus`.
        cache: file of the checksum cache, outside `results/`.

    Raises:
        LockMissing: a source is remote and has not been refreshed yet.
        AutobirdError: a source cannot be read, or sources cannot be joined.
    """
    if not settings.sources and settings.negatives is None:
        return _one_source(settings, cache)
    storages = storages_of(settings)
    if storages >= {"demo", "url"} or storages >= {"demo", "zip"}:
        raise AutobirdError(
            "corpus.sources: the demo cannot be joined with recordings that are downloaded or in a zip file; remove one of them"
        )
    parts = [_part(one, cache) for one in settings.sources or (settings,)]
    if settings.negatives is not None:
        folder = Path(settings.negatives)
        source = FolderSource(folder, cache, setting=NEGATIVES_SETTING)
        parts.append(Part(NEGATIVES, source, "folder", negative=True, folder=folder))
    return JoinedSource(parts)


def _part(settings: OneSourceSettings, cache: Path) -> Part:
    storage = storage_of(settings)
    lists_folder = storage == "folder" and settings.type != "table"
    if not isinstance(settings, NamedSourceSettings):
        return Part("", _one_source(settings, cache), storage, folder=local_root(settings) if lists_folder else None)
    try:
        source = _one_source(settings, cache)
        folder = local_root(settings) if lists_folder else None
    except LockMissing as error:
        raise LockMissing(f"corpus.sources, {settings.name}: {error}") from error
    except AutobirdError as error:
        raise AutobirdError(f"corpus.sources, {settings.name}: {error}") from error
    return Part(settings.name, source, storage, settings.negative, settings.split or "", folder)


def _one_source(settings: OneSourceSettings, cache: Path) -> Source:
    """Return the source of type `settings.type`."""
    root = Path(settings.root or "")
    match settings.type:
        case "folder":
            return FolderSource(root, cache, settings.metadata, settings.columns, settings.species_suffix)
        case "table":
            table = Path(settings.table or "").expanduser()
            labelled = not (isinstance(settings, NamedSourceSettings) and settings.negative)
            return TableSource(table, local_root(settings), cache, settings.columns, settings.empty_species, labelled)
        case "annotations":
            return AnnotationSource(root, cache, settings.metadata, settings.columns, settings.annotations)
        case "reviews":
            table = Path(settings.table or "").expanduser()
            return ReviewSource(table, local_root(settings), cache, settings.metadata, settings.columns)
        case "xeno_canto":
            return XenoCantoSource(settings.lock_file, settings.xeno_canto)
        case "kaggle":
            return kaggle_source(settings, cache)
        case "url":
            return UrlSource(settings.lock_file, settings.root or "")
        case _:
            return DemoSource(settings.demo)


def local_root(settings: OneSourceSettings) -> Path:
    """Return the folder to which the paths of a local source's recordings are relative."""
    if settings.type == "table" and not settings.root:
        return Path(settings.table or "").expanduser().parent
    if settings.type == "reviews":
        return Path(settings.recordings or "").expanduser()
    if settings.type == "kaggle":
        return Path() if kaggle_archive(settings) else kaggle_folder(settings)
    return Path(settings.root or "").expanduser()


def storage_of(settings: OneSourceSettings) -> Storage:
    """Return where the recordings of one source are."""
    match settings.type:
        case "table":
            return "url" if is_remote(Path(settings.table or "").expanduser(), settings.columns) else "folder"
        case "kaggle":
            return "zip" if kaggle_archive(settings) else "folder"
        case "xeno_canto" | "url":
            return "url"
        case "demo":
            return "demo"
        case _:
            return "folder"


def storages_of(settings: SourceSettings) -> frozenset[Storage]:
    """Return where the recordings of all sources are."""
    local: frozenset[Storage] = frozenset() if settings.negatives is None else frozenset({"folder"})
    return local | {storage_of(one) for one in settings.sources or (settings,)}


def is_downloaded(settings: SourceSettings) -> bool:
    """Return whether stage `download` writes recordings to `corpus/audio/<batch>.tar`, because no folder holds them."""
    return bool(storages_of(settings) - {"folder"})


def folders_of(settings: SourceSettings) -> str:
    """Return the folders that hold recordings, as `RecordingRoots.parse` reads them.

    Raises:
        AutobirdError: the folder of a Kaggle data set is not there.
    """
    folders = {_name(one): local_root(one) for one in settings.sources or (settings,) if storage_of(one) == "folder"}
    if settings.negatives is not None:
        folders[NEGATIVES] = Path(settings.negatives)
    return RecordingRoots(folders).text()


def archives_of(settings: SourceSettings) -> str:
    """Return the zip files that hold recordings, as `RecordingRoots.parse` reads them."""
    archives = {_name(one): kaggle_archive(one) for one in settings.sources or (settings,) if one.type == "kaggle"}
    return RecordingRoots({name: archive for name, archive in archives.items() if archive}).text()


def _name(settings: OneSourceSettings) -> str:
    return settings.name if isinstance(settings, NamedSourceSettings) else ""
