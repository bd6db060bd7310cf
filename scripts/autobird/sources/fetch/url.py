"""Files at a URL that fsspec supports: list the recordings below it, and copy single files."""

from pathlib import Path, PurePosixPath
from typing import Any

from autobird.core.errors import AutobirdError
from autobird.core.files import write_stream
from autobird.core.store import fsspec_file_system
from autobird.sources.folder import labelled_recording, metadata_names
from autobird.sources.lock import Entry
from autobird.sources.metadata import read_metadata
from autobird.sources.settings import SourceSettings

_CHECKSUM_KEYS = ("md5Hash", "crc32c", "ETag", "etag", "sha256", "generation", "checksum")
"""Keys under which file systems report something that identifies a file's content, most reliable first."""

_TIME_KEYS = ("updated", "mtime", "LastModified", "created")
"""Keys under which file systems report the time of the last change."""


def list_recordings(corpus: SourceSettings, work: Path) -> list[Entry]:
    """Return an entry of the lock file for every file below `corpus.root` except the metadata table.

    Args:
        corpus: the section `corpus`.
        work: folder for a copy of the metadata table.

    Raises:
        AutobirdError: the URL cannot be listed, or the metadata table cannot be read.
    """
    root = (corpus.root or "").rstrip("/")
    files, base = fsspec_file_system(root)
    try:
        details = files.find(base, detail=True)
    except Exception as error:
        raise AutobirdError(
            f"corpus.root: {root} cannot be listed ({error}); check the URL and your access rights"
        ) from error
    names = {path: PurePosixPath(path).relative_to(base).as_posix() for path in details}
    wanted = metadata_names(corpus.metadata)
    table = next((path for w in wanted for path, name in names.items() if name == w), None)
    metadata = {}
    if table is not None:
        copy = work / PurePosixPath(table).name
        copy_file(files, table, copy)
        metadata = {m.recording: m._asdict() for m in read_metadata(copy, corpus.columns)}
    entries: list[Entry] = []
    for path, name in sorted(names.items()):
        if path == table:
            continue
        size = int(details[path].get("size") or 0)
        recording = labelled_recording(
            name, _content(details[path]), size, corpus.species_suffix, location=f"{root}/{name}"
        )
        entries.append({"recording": name, "row": recording._asdict(), "facts": metadata.get(name)})
    return entries


def _content(detail: dict[str, Any]) -> str:
    """Return a text that changes when a file changes: its checksum, else the time of its last change; and its size."""
    state = next((f"{key}:{detail[key]}" for key in _CHECKSUM_KEYS if detail.get(key)), "")
    if not state:
        state = f"changed {next((detail[key] for key in _TIME_KEYS if detail.get(key)), '')}"
    return f"{state} {detail.get('size')}".replace('"', "")


def copy_file(files: Any, path: str, to: Path) -> None:
    """Copy a file to a local path.

    Args:
        files: the fsspec file system.
        path: path of the file on it.
        to: local path.
    """
    with files.open(path, "rb") as source:
        write_stream(to, source)
