"""A table of recordings as a source: local paths or URLs, with species and metadata."""

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

from autobird.core.errors import AutobirdError
from autobird.core.hashing import HashCache
from autobird.core.walk import file_size
from autobird.sources.base import NEGATIVE, SHA256_PREFIX, ListedRecording, RecordingMetadata, Source
from autobird.sources.delimited_text import Row
from autobird.sources.labels import plain_label
from autobird.sources.metadata import Table, column_position, read_header
from autobird.sources.paths import PathFinder
from autobird.sources.settings import ColumnSettings

_REPEATED = "#again-line-"
"""Part of the id that a repeated row gets; the number of its line follows."""


def is_remote(table: Path, columns: ColumnSettings) -> bool:
    """Return whether the table's recordings are downloaded: it has a column of URLs and none of paths."""
    try:
        header = read_header(table)
    except (OSError, ValueError):
        return False  # TableSource reports the error
    return _has_urls(header, columns)


def _has_urls(header: list[str], columns: ColumnSettings) -> bool:
    return column_position(header, columns.url) is not None and column_position(header, columns.file) is None


class TableSource(Source):
    """One recording per row: a whole file, or the part of it from `start` to `end`.

    Args:
        table: CSV, TSV or parquet file.
        root: folder to which paths are relative.
        cache: file of the checksum cache.
        columns: names of the columns.
        empty_species: kind of the recordings without a species: `negative` or `unknown`.
        labelled: whether the table must have a column of species.

    Raises:
        AutobirdError: the table does not exist, cannot be read, or lacks a column of paths or URLs, or of species.
    """

    def __init__(
        self,
        table: Path,
        root: Path,
        cache: Path,
        columns: ColumnSettings,
        empty_species: str = NEGATIVE,
        labelled: bool = True,
    ) -> None:
        self.name = f"corpus.table: {table}"
        if not table.is_file():
            raise AutobirdError(f"{self.name} is not a file; give a CSV, TSV or parquet table of recordings")
        self._root, self._cache = root, cache
        self._table = Table(table, columns)
        self._remote = _has_urls(self._table.header, columns)
        self._location_column = "url" if self._remote else "file"
        self._table.require(self._location_column)
        if labelled:
            self._table.require("species")
        self._empty_is_negative, self._labelled = empty_species == NEGATIVE, labelled
        self._ids = self._unique_ids()
        self._found: dict[str, str] = {}

    def recordings(self) -> Iterator[ListedRecording]:
        """Return one recording per row. A row that cannot be used has a problem."""
        checksums = {} if self._remote else self._checksums()
        return (self._recording(recording, row, checksums) for recording, row in self._sorted_rows())

    def metadata(self) -> Iterator[RecordingMetadata]:
        """Return the metadata in the rows."""
        return (self._table.metadata_of(recording, row) for recording, row in self._sorted_rows())

    def notes(self) -> list[str]:
        """Return how the table was read, and how many paths `recordings` found written otherwise than their files."""
        notes = list(self._table.notes)
        empty = sum(not self._table.text(row, "species").strip() for row in self._table.rows) if self._labelled else 0
        if empty and self._empty_is_negative:
            notes.append(
                f"{empty} of {len(self._ids)} rows of {self._table.path} have no species and count as negatives, which hold no species; if "
                "their labels are missing, set corpus.empty_species: unknown"
            )
        if self._found:
            notes.append(
                f"{len(self._found)} paths of the table differ from their files in separators, case, spaces or Unicode form, for "
                f"example {min(self._found)}"
            )
        return notes

    def _sorted_rows(self) -> Iterator[tuple[str, Row]]:
        ids, rows = self._ids, self._table.rows
        return ((ids[i], rows[i]) for i in sorted(range(len(ids)), key=ids.__getitem__))

    def _recording(self, name: str, row: Row, checksums: dict[str, tuple[str | None, int]]) -> ListedRecording:
        text, value = self._table.text, self._table.value
        location, expected = text(row, self._location_column), value(row, "sha256").lower()
        location = self._found.get(location, location)
        species = plain_label(text(row, "species"))
        start, end = value(row, "start"), value(row, "end")
        recording = ListedRecording(
            name, species, "", location="" if location == name else location, start=start, end=end,
            kind="" if species or not self._empty_is_negative else NEGATIVE,
        )  # fmt: skip
        if not location:
            return recording._replace(problem=f"the table gives no {self._location_column}; add it, or remove the row")
        if problem := _interval_problem(start, end):
            return recording._replace(problem=problem)
        if _REPEATED in name:
            return recording._replace(problem="another row of the table has the same id; give each its own")
        if self._remote:
            return recording._replace(content=f"{SHA256_PREFIX}{expected}" if expected else f"url:{location}")
        checksum, size = checksums[location]
        if checksum is None:
            return recording._replace(
                problem="the file does not exist or cannot be read; check the path and its permissions"
            )
        content = f"{SHA256_PREFIX}{checksum}"
        if expected and expected != checksum:
            return recording._replace(
                content=content, problem="the file's sha256 differs from the one in the table; get the file again"
            )
        return recording._replace(content=content, size=size)

    def _checksums(self) -> dict[str, tuple[str | None, int]]:
        """Return sha256 (None if unreadable) and size in bytes of each file in the table, by path.

        A file that is not at its path is searched for (`PathFinder`), and its path is added to `_found`.
        """
        names = sorted({self._table.text(row, "file") for row in self._table.rows} - {""})
        checksums = self._checksums_of(names)
        self._found = PathFinder(self._root).find(name for name in names if checksums[name][0] is None)
        return checksums | self._checksums_of(sorted(set(self._found.values())))

    def _checksums_of(self, names: list[str]) -> dict[str, tuple[str | None, int]]:
        if not names:
            return {}
        paths = [self._root / n for n in names]
        with HashCache(self._cache) as cache:
            checksums = cache.sha256(paths)
        return {n: (c, file_size(p)) for n, p, c in zip(names, paths, checksums, strict=True)}

    def _unique_ids(self) -> list[str]:
        """Return the id of each row. An id that occurs again gets a suffix, so that every row is listed."""
        seen, ids = set[str](), []
        for line, row in enumerate(self._table.rows, 2):
            name = self._table.text(row, "id") or self._default_id(row) or f"line {line}"
            if name in seen:
                name = f"{name}{_REPEATED}{line}"
            seen.add(name)
            ids.append(name)
        return ids

    def _default_id(self, row: Row) -> str:
        """Return the id of a row without one: the path of its file or URL, and the interval if it is part of a file."""
        path = self._table.text(row, self._location_column)
        start, end = self._table.value(row, "start"), self._table.value(row, "end")
        if self._remote:
            path = unquote(urlsplit(path).path).strip("/") or path
        return f"{path}#{start or '0'}-{end}" if path and (start or end) else path


def _interval_problem(start: str, end: str) -> str:
    """Return the problem with the interval of a recording in its file; "" if there is none."""
    if not start and not end:
        return ""
    try:
        first, last = float(start or 0), float(end or "inf")
    except ValueError:
        return f"start {start!r} or end {end!r} is not a number of seconds"
    return "" if 0 <= first < last else f"start {start or 0} s is negative or not before end {end} s"
