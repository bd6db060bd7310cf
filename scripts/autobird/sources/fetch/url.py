"""Files at a URL that fsspec supports: list the recordings below it, and copy single files."""

from pathlib import Path, PurePosixPath
from typing import Any

from autobird.audio.file_kind import HEAD, has_audio_extension, kind_of_content
from autobird.core.errors import AutobirdError
from autobird.core.files import write_stream
from autobird.core.stage import log
from autobird.core.store import fsspec_file_system
from autobird.core.system_names import is_system_name
from autobird.sources.folder import labelled_recording, metadata_names, not_audio
from autobird.sources.lock import Entry
from autobird.sources.metadata import read_metadata
from autobird.sources.paths import match_metadata
from autobird.sources.settings import OneSourceSettings

_CHECKSUM_KEYS = ("md5Hash", "crc32c", "ETag", "etag", "sha256", "generation", "checksum")
"""Keys under which file systems report something that identifies a file's content, most reliable first."""

_TIME_KEYS = ("updated", "mtime", "LastModified", "created")
"""Keys under which file systems report the time of the last change."""


def list_recordings(corpus: OneSourceSettings, work: Path) -> list[Entry]:
    """Return an entry of the lock file for every file below `corpus.root` except the metadata table.

    Hidden and system files are passed over, and files that are no audio are told apart, as in a folder.

    Args:
        corpus: settings of the source.
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
    hidden = {path for path, name in names.items() if any(map(is_system_name, name.split("/")))}
    if hidden:
        log.warning(
            "%d hidden and system files are passed over, for example %s", len(hidden), min(names[p] for p in hidden)
        )
    names = {path: name for path, name in names.items() if path not in hidden}
    wanted = metadata_names(corpus.metadata)
    table = next((path for w in wanted for path, name in names.items() if name == w), None)
    metadata = {}
    if table is not None:
        copy = work / PurePosixPath(table).name
        copy_file(files, table, copy)
        notes: list[str] = []
        rows = match_metadata(read_metadata(copy, corpus.columns, notes), sorted(names.values()), notes)
        for note in notes:
            log.warning("%s", note.replace(str(copy), f"{root}/{names[table]}"))
        metadata = {m.recording: m._asdict() for m in rows}
    entries: list[Entry] = []
    for path, name in sorted(names.items()):
        if path == table:
            continue
        size = int(details[path].get("size") or 0)
        if kind := _not_audio_kind(files, path):
            recording = not_audio(name, kind)
        else:
            recording = labelled_recording(
                name, _content(details[path]), size, corpus.species_suffix, location=f"{root}/{name}"
            )
        # Kind and split follow from the settings when the lock file is read, so that changing those needs no refresh.
        row = {key: value for key, value in recording._asdict().items() if key not in ("kind", "split")}
        entries.append({"recording": name, "row": row, "facts": metadata.get(name)})
    return entries


def _not_audio_kind(files: Any, path: str) -> str:
    """Return what a file is if it is no audio; only files without an audio extension are opened."""
    if has_audio_extension(path):
        return ""
    try:
        with files.open(path, "rb", block_size=HEAD) as file:
            return kind_of_content(PurePosixPath(path).name, file)
    except (OSError, ValueError):
        return ""  # it is listed, and the download reports the problem


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
