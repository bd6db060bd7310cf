"""Names of recorders from the folders and names of their files."""

import re
import unicodedata
from functools import lru_cache
from urllib.parse import unquote, urlsplit

from autobird.dataset.file_names import FileTimestamp

_DATE_FOLDER = re.compile(r"(?:19|20)\d\d(?:[-_.]?\d\d){0,2}")
"""A folder named after a day, a month or a year. AudioMoth makes one folder a day, so one night is in two folders."""


def normalise_text(text: str) -> str:
    """Return a text for comparison, without differences of case, spaces and Unicode composition."""
    return " ".join((text if text.isascii() else unicodedata.normalize("NFC", text)).split()).casefold()


def is_date_folder(name: str) -> bool:
    """Return whether a folder is named after a day, a month or a year."""
    return _DATE_FOLDER.fullmatch(name) is not None


def file_path(location: str) -> str:
    """Return the path of a file, or the path in its URL, with `/` as separator."""
    if "://" in location:
        location = unquote(urlsplit(location).path)
    return location.replace("\\", "/")


def recorder_name(
    path: str, timestamp: FileTimestamp | None, species: str, negative_names: tuple[str, ...] = ()
) -> str:
    """Return the name of a recorder: the folders of its file, and the text before the time in the file name.

    Args:
        path: of the file.
        timestamp: in the name of the file.
        species: of the recording. Folders named after it, and its name at the beginning of the file name, say nothing of the recorder.
        negative_names: the same for a recording without a species, which people sort into folders such as `noise`.
    """
    folders = _recorder_folders(path.rpartition("/")[0], species, () if species else negative_names)
    prefix = timestamp.prefix if timestamp else ""
    for name in (species,) if species else sorted(negative_names, key=len, reverse=True):
        prefix = _without_species(prefix, name)
    prefix = normalise_text(prefix)
    name = f"{folders}/{prefix}" if folders and prefix else folders or prefix
    return f"recorder {name}" if name else "unnamed recorder"


@lru_cache(1 << 16)
def _recorder_folders(folders: str, species: str, negative_names: tuple[str, ...]) -> str:
    """Return the folders of a file without those named after its species, a negative or a date."""
    species_name, no_names = _normalise_name(species), set(map(_normalise_name, negative_names))
    kept = [
        _normalise_name(folder)
        for folder in folders.split("/")
        if folder
        and not is_date_folder(folder)
        and not _is_species(_normalise_name(folder), species_name)
        and _normalise_name(folder) not in no_names
    ]
    return "/".join(kept)


def _is_species(folder: str, species: str) -> bool:
    """Return whether a folder is named after a species, also with words added after its name."""
    return bool(species) and (folder == species or folder.startswith(f"{species} "))


@lru_cache(1 << 16)
def _without_species(prefix: str, species: str) -> str:
    """Return the text before the time without the species at its beginning, which people add when they sort files."""
    prefix, size = unicodedata.normalize("NFC", prefix), len(species)
    if species and _normalise_name(prefix[:size]) == _normalise_name(species) and not prefix[size : size + 1].isalnum():
        prefix = prefix[size:].lstrip(" _-.")
    return prefix


@lru_cache(1 << 16)
def _normalise_name(text: str) -> str:
    """Return a name for comparison; `_` and `-` count as spaces."""
    return normalise_text(text.replace("_", " ").replace("-", " "))
