"""A table of recordings: paths or URLs with their species, and whatever else is known."""

import unicodedata
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

from autobird.core.errors import AutobirdError
from autobird.core.hashing import HashCache
from autobird.core.walk import file_size
from autobird.sources.base import ListedRecording, RecordingMetadata, Source
from autobird.sources.metadata import Line, Table, header_of
from autobird.sources.settings import ColumnSettings


def is_remote(table: Path, columns: ColumnSettings) -> bool:
    """Whether a table's recordings are downloaded: it has a column of URLs and none of paths."""
    try:
        header = header_of(table)
    except (OSError, ValueError):
        return False
    return _has_urls(header, columns)


def _has_urls(header: list[str], columns: ColumnSettings) -> bool:
    return columns.url in header and columns.file not in header


class TableSource(Source):
    """One recording a row: a whole file, or the part of it from `start` to `end`.

    Args:
        table: CSV, TSV or parquet.
        root: what paths are relative to.
        cache: file of the sha256 cache.
        columns: names of the columns.
    """

    def __init__(self, table: Path, root: Path, cache: Path, columns: ColumnSettings) -> None:
        self.name = f"corpus.table: {table}"
        if not table.is_file():
            raise AutobirdError(f"{self.name} is not a file; give a CSV, TSV or parquet table of recordings")
        self._root, self._cache = root, cache
        self._table = Table(table, columns)
        self._remote = _has_urls(self._table.header, columns)
        self._where = "url" if self._remote else "file"
        self._table.need(self._where)
        self._table.need("species")
        self._ids = self._unique_ids()

    def recordings(self) -> Iterator[ListedRecording]:
        """One row a line; a line that cannot be used has a problem."""
        hashes = {} if self._remote else self._hash()
        return (self._row(name, line, hashes) for name, line in self._sorted())

    def metadata(self) -> Iterator[RecordingMetadata]:
        """The other columns."""
        return (self._table.facts(name, line) for name, line in self._sorted())

    def _sorted(self) -> Iterator[tuple[str, Line]]:
        ids, lines = self._ids, self._table.lines
        return ((ids[i], lines[i]) for i in sorted(range(len(ids)), key=ids.__getitem__))

    def _row(self, name: str, line: Line, hashes: dict[str, tuple[str | None, int]]) -> ListedRecording:
        get = self._table.get
        where, wanted = get(line, self._where), self._table.known(line, "sha256").lower()
        species = unicodedata.normalize("NFC", get(line, "species")).replace("_", " ")
        start, end = self._table.known(line, "start"), self._table.known(line, "end")
        row = ListedRecording(name, species, "", location="" if where == name else where, start=start, end=end)
        if not where:
            return row._replace(problem=f"the table names no {self._where}")
        if problem := _bad_span(start, end):
            return row._replace(problem=problem)
        if "#again" in name:
            return row._replace(problem="another row of the table has the same id; give each its own")
        if self._remote:
            return row._replace(content=f"sha256:{wanted}" if wanted else f"url:{where}")
        digest, size = hashes[where]
        if digest is None:
            return row._replace(problem="no such file, or it cannot be read; check the path and its permissions")
        if wanted and wanted != digest:
            return row._replace(
                content=f"sha256:{digest}", problem="its sha256 is not the table's; fetch the file again"
            )
        return row._replace(content=f"sha256:{digest}", size=size)

    def _hash(self) -> dict[str, tuple[str | None, int]]:
        names = sorted({self._table.get(line, "file") for line in self._table.lines} - {""})
        paths = [self._root / n for n in names]
        with HashCache(self._cache) as cache:
            digests = cache.sha256(paths)
        return {n: (d, file_size(p)) for n, p, d in zip(names, paths, digests, strict=True)}

    def _unique_ids(self) -> list[str]:
        """The id of each line; those that come again get a suffix, so that every line is accounted for."""
        get, seen, ids = self._table.get, set[str](), []
        for number, line in enumerate(self._table.lines, 2):
            name = get(line, "id") or self._name(line) or f"line {number}"
            if name in seen:
                name = f"{name}#again-line-{number}"
            seen.add(name)
            ids.append(name)
        return ids

    def _name(self, line: Line) -> str:
        """The id of a line that has none: its path or that of its URL, and the part of the file."""
        where = self._table.get(line, self._where)
        start, end = self._table.known(line, "start"), self._table.known(line, "end")
        if self._remote:
            where = unquote(urlsplit(where).path).strip("/") or where
        return f"{where}#{start or '0'}-{end}" if where and (start or end) else where


def _bad_span(start: str, end: str) -> str:
    if not start and not end:
        return ""
    try:
        first, last = float(start or 0), float(end or "inf")
    except ValueError:
        return f"start {start!r} or end {end!r} is no number of seconds"
    return "" if 0 <= first < last else f"start {start or 0} s does not lie before end {end} s"
