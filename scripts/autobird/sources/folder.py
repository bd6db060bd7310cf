"""A local folder as a source: one folder per species, and optionally a metadata table."""

from pathlib import Path

from autobird.audio.folder_listing import list_folder
from autobird.core.errors import AutobirdError
from autobird.core.hashing import HashedFile, hash_files
from autobird.core.walk import FolderWalk, printable
from autobird.sources.base import NO_FOLDER, NOT_AUDIO, SHA256_PREFIX, ListedRecording, RecordingMetadata, Source
from autobird.sources.labels import plain_label
from autobird.sources.metadata import read_metadata
from autobird.sources.paths import match_metadata
from autobird.sources.settings import ColumnSettings

_METADATA_FILES = ("SOURCES.csv", "metadata.csv")

_NOT_UTF8 = "the file's name is not UTF-8; rename it"


def metadata_names(setting: str) -> tuple[str, ...]:
    """Return the possible paths of the metadata table below the root, for a value of `corpus.metadata`."""
    return _METADATA_FILES if setting == "auto" else (setting,)


def _species_name(folder: str, suffix: str) -> str:
    """Return the species that a folder is named after, without `suffix`."""
    species = plain_label(folder)
    suffix = suffix.replace("_", " ")
    return species.removesuffix(suffix).strip() if suffix else species


def labelled_recording(name: str, content: str, size: int, suffix: str, location: str = "") -> ListedRecording:
    """Return the recording of a file in the layout `<Species name>/<any depth>/<file>`.

    Args:
        name: path of the file below the root, the id of the recording.
        content: as in `ListedRecording`.
        size: bytes of the file.
        suffix: removed from the end of the species folder's name.
        location: where the file is stored, if that differs from `name`.
    """
    folder, _, rest = name.partition("/")
    if not rest:
        return ListedRecording(name, "", content, NO_FOLDER, size, location)
    return ListedRecording(name, _species_name(folder, suffix), content, size=size, location=location)


def not_audio(name: str, kind: str) -> ListedRecording:
    """Return the listing of a file that is no audio; see `NOT_AUDIO`."""
    return ListedRecording(name, "", "", f"{NOT_AUDIO}{kind}")


def _unlabelled_recording(hashed: HashedFile) -> ListedRecording:
    """Return the recording of a file, without a species."""
    if hashed.name != hashed.file:
        return ListedRecording(hashed.name, "", "", _NOT_UTF8)
    if hashed.sha256 is None:
        return ListedRecording(hashed.name, "", "", "cannot be read; check the file's permissions", hashed.size)
    return ListedRecording(hashed.name, "", f"{SHA256_PREFIX}{hashed.sha256}", size=hashed.size)


class FolderSource(Source):
    """Recordings in the layout `<root>/<Species name>/<any depth>/<file>`.

    Every file is listed, except hidden and system files (`core.walk`), which `notes` counts.

    Args:
        root: the folder.
        cache: file of the checksum cache.
        metadata: path of the metadata table below the root, `auto` or `none`.
        columns: names of its columns.
        suffix: removed from the end of the species folders' names.
        setting: name of the setting that gives the folder, for messages.

    Raises:
        AutobirdError: `root` is not a folder, or the metadata table does not exist.
    """

    def __init__(
        self,
        root: Path,
        cache: Path,
        metadata: str = "auto",
        columns: ColumnSettings | None = None,
        suffix: str = "",
        setting: str = "corpus.root",
    ) -> None:
        self.root = root.expanduser()
        self.name = f"{setting}: {root}"
        self._cache, self._suffix = cache, suffix
        self._columns = columns or ColumnSettings()
        if not self.root.is_dir():
            contents = "a folder of recordings"
            if setting == "corpus.root":
                contents += " (type folder: the one that holds one folder per species)"
            raise AutobirdError(f"{self.name} is not a folder; give {contents}")
        self._metadata_file = self._find_metadata(metadata)
        self._names: list[str] | None = None
        self._walk_notes: list[str] = []
        self._metadata_notes: list[str] = []

    def recordings(self) -> list[ListedRecording]:
        """Return every file below the root except the metadata table, with the species of its folder."""
        return [self._labelled(recording) for recording in self.files()]

    def files(self) -> list[ListedRecording]:
        """Return the same files without species, at any depth. Their checksums are computed, or read from the cache."""
        listing = list_folder(self.root, self._metadata_file)
        found = list(map(_unlabelled_recording, hash_files(self.root, listing.recordings, self._cache)))
        found += [not_audio(printable(file), kind) for file, kind in listing.not_audio.items()]
        found.sort(key=lambda r: r.recording)
        self._names, self._walk_notes = [r.recording for r in found], listing.notes
        return found

    def metadata(self) -> list[RecordingMetadata]:
        """Return the rows of the metadata table, with the ids of the recordings that their paths mean."""
        if self._metadata_file is None:
            return []
        self._metadata_notes = []
        rows = read_metadata(self._metadata_file, self._columns, self._metadata_notes)
        if self._names is None:
            self._names = sorted(map(printable, FolderWalk(self.root).files))
        return match_metadata(rows, self._names, self._metadata_notes)

    def notes(self) -> list[str]:
        """Return what was passed over by `files`, and how `metadata` read the table."""
        return [*self._walk_notes, *self._metadata_notes]

    def _labelled(self, recording: ListedRecording) -> ListedRecording:
        if recording.problem == _NOT_UTF8 or recording.problem.startswith(NOT_AUDIO):
            return recording
        labelled = labelled_recording(recording.recording, recording.content, recording.size, self._suffix)
        return labelled._replace(problem=labelled.problem or recording.problem)

    def _find_metadata(self, setting: str) -> Path | None:
        if setting == "none":
            return None
        found = next((path for name in metadata_names(setting) if (path := self.root / name).is_file()), None)
        if found is None and setting != "auto":
            raise AutobirdError(
                f"corpus.metadata: {self.root / setting} is not a file; give a path relative to corpus.root, or none"
            )
        return found
