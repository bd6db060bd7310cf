"""A folder of recordings on a disk, one folder a species, with a table of metadata beside them."""

import unicodedata
from pathlib import Path

from autobird.core.errors import AutobirdError
from autobird.core.hashing import HashedFile, hashed_files
from autobird.sources.base import ListedRecording, RecordingMetadata, Source
from autobird.sources.metadata import read_metadata
from autobird.sources.settings import ColumnSettings


def species_of(folder: str, suffix: str) -> str:
    """The species that a folder's name stands for, without `suffix`."""
    species = unicodedata.normalize("NFC", folder).replace("_", " ").strip()
    suffix = suffix.replace("_", " ")
    return species.removesuffix(suffix).strip() if suffix else species


def species_row(name: str, content: str, size: int, suffix: str, location: str = "") -> ListedRecording:
    """The row of a file in the layout `<Species name>/<any depth>/<file>`."""
    folder, _, rest = name.partition("/")
    if not rest:
        return ListedRecording(name, "", content, "not inside a species folder; move it into one", size, location)
    return ListedRecording(name, species_of(folder, suffix), content, size=size, location=location)


NOT_TEXT = "the file's name is not UTF-8; rename it"


def _file_row(found: HashedFile) -> ListedRecording:
    """The row of a file, whatever it holds."""
    file, name, digest, size = found
    if name != file:
        return ListedRecording(name, "", "", NOT_TEXT)
    if digest is None:
        return ListedRecording(name, "", "", "cannot be read; check the file's permissions", size)
    return ListedRecording(name, "", f"sha256:{digest}", size=size)


class FolderSource(Source):
    """`<root>/<Species name>/<any depth>/<file>`; every file is a row, whatever it is called.

    Args:
        root: the folder.
        cache: file of the sha256 cache.
        metadata: the table's name below the root, `auto` or `none`.
        columns: names of its columns.
        suffix: removed from the end of the species folders' names.
    """

    def __init__(
        self, root: Path, cache: Path, metadata: str = "auto", columns: ColumnSettings | None = None, suffix: str = ""
    ) -> None:
        self.root, self.cache, self.suffix = root.expanduser(), cache, suffix
        self.columns = columns or ColumnSettings()
        self.name = f"corpus.root: {root}"
        if not self.root.is_dir():
            raise AutobirdError(f"{self.name} is not a folder; give the folder that holds one folder per species")
        self.metadata_file = self._find_metadata(metadata)

    def recordings(self) -> list[ListedRecording]:
        """Every file below the root but the metadata table, with the species that its folder names."""
        return [self._labelled(row) for row in self.files()]

    def files(self) -> list[ListedRecording]:
        """The same without species, wherever they lie; hashed (through the cache)."""
        rows = [_file_row(found) for found in hashed_files(self.root, self.cache, self.metadata_file)]
        return sorted(rows, key=lambda r: r.recording)

    def metadata(self) -> list[RecordingMetadata]:
        """The rows of the metadata table."""
        return read_metadata(self.metadata_file, self.columns) if self.metadata_file else []

    def _labelled(self, row: ListedRecording) -> ListedRecording:
        if row.problem == NOT_TEXT:
            return row
        labelled = species_row(row.recording, row.content, row.size, self.suffix)
        return labelled._replace(problem=labelled.problem or row.problem)

    def _find_metadata(self, choice: str) -> Path | None:
        if choice == "none":
            return None
        if choice == "auto":
            return next((p for n in ("SOURCES.csv", "metadata.csv") if (p := self.root / n).is_file()), None)
        path = self.root / choice
        if not path.is_file():
            raise AutobirdError(f"corpus.metadata: {path} is not a file; give a path relative to corpus.root, or none")
        return path
