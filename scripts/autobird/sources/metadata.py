"""Tables that people keep about recordings: read from CSV, TSV or parquet, by the names of their columns."""

import csv
import difflib
import json
import sys
from pathlib import Path

from autobird.core.errors import AutobirdError
from autobird.sources.base import RecordingMetadata
from autobird.sources.missing import known
from autobird.sources.settings import ColumnSettings

_ALIASES = {
    "latitude": ("lat",),
    "longitude": ("lon", "lng"),
    "licence": ("license", "lic"),
    "place": ("place", "locality", "loc"),
    "recordist": ("rec",),
    "quality": ("q",),
}
"""Other names that a column may have where the settings name none."""

_SHORT = 40
"""Longer texts are mostly unlike each other."""

_NO_FACTS = ("file", "url", "species", "id", "start", "end", "sha256")

_json = json.JSONEncoder(ensure_ascii=False).encode

_XENO_CANTO_PAGE = "https://xeno-canto.org/"


Line = tuple[str, ...]


class Table:
    """A table whose columns are asked for by our names.

    Attributes:
        path: where it lies.
        header: the names of its columns.
        lines: its rows, each with as many texts as there are columns.
    """

    def __init__(self, path: Path, columns: ColumnSettings) -> None:
        self.path = path
        self.header, self.lines = _read(path)
        default = ColumnSettings()
        self._at: dict[str, int] = {}
        for ours, theirs in columns.model_dump().items():
            if theirs not in self.header and theirs != getattr(default, ours):
                self._refuse(ours, theirs)
            names = (theirs, *_ALIASES.get(ours, ())) if theirs == getattr(default, ours) else (theirs,)
            found = next((n for n in names if n in self.header), None)
            if found is not None:
                self._at[ours] = self.header.index(found)
        self._facts = [(ours, self._at[ours]) for ours in self._at if ours not in _NO_FACTS]
        known = set(self._at.values())
        self._extra = [(name, at) for at, name in enumerate(self.header) if name and at not in known]

    def has(self, column: str) -> bool:
        """Whether the table has a column of ours."""
        return column in self._at

    def need(self, column: str) -> None:
        """Refuse a table without a column of ours.

        Raises:
            AutobirdError: it is not there.
        """
        if not self.has(column):
            self._refuse(column, column)

    def get(self, line: Line, column: str) -> str:
        """A value of a row, "" if there is none."""
        at = self._at.get(column)
        return "" if at is None else line[at]

    def known(self, line: Line, column: str) -> str:
        """The same, "" too where the table only says that nothing is known."""
        return known(self.get(line, column))

    def facts(self, recording: str, line: Line) -> RecordingMetadata:
        """What a row knows about a recording; columns that we have no name for become `extra`."""
        values = {ours: line[at] for ours, at in self._facts}
        extra = {name: text for name, at in self._extra if (text := known(line[at]))}
        return complete(RecordingMetadata(recording, **values, extra=_json(extra) if extra else ""))

    def _refuse(self, ours: str, theirs: str) -> None:
        near = difflib.get_close_matches(theirs, self.header, n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise AutobirdError(
            f"{self.path} has no column {theirs!r}; {hint}set corpus.columns.{ours} to one of {', '.join(self.header)}"
        )


def complete(facts: RecordingMetadata) -> RecordingMetadata:
    """RecordingMetadata without texts that only say that nothing is known, and with what follows from them.

    That is XC numbers and their page, and a place from coordinates.
    """
    recording, *texts, extra = facts
    facts = RecordingMetadata._make((recording, *map(known, texts), extra))
    number = facts.number
    if number.isdigit():
        number = f"XC{number}"
    page = f"{_XENO_CANTO_PAGE}{number[2:]}" if not facts.page and number[:2] == "XC" else facts.page
    return facts._replace(number=number, page=page, place=facts.place or _place_at(facts.latitude, facts.longitude))


def _place_at(latitude: str, longitude: str) -> str:
    """A place from its coordinates, "" if there is none on Earth, or if both are 0, which tables write for unknown."""
    if not latitude or not longitude:
        return ""
    try:
        north, east = float(latitude), float(longitude)
    except ValueError:
        return ""
    if not (abs(north) <= 90 and abs(east) <= 180) or north == east == 0:
        return ""
    # Three decimals: about 100 m.
    return f"{north:.3f}, {east:.3f}"


def read_metadata(path: Path, columns: ColumnSettings) -> list[RecordingMetadata]:
    """Read the table at `path`, sorted by recording; of rows for the same file the first counts.

    Raises:
        AutobirdError: not UTF-8, no column of files, or a renamed column that is not there.
    """
    table = Table(path, columns)
    table.need("file")
    found: dict[str, RecordingMetadata] = {}
    for line in table.lines:
        name = table.get(line, "file")
        if name and name not in found:
            found[name] = table.facts(name, line)
    return [found[name] for name in sorted(found)]


def header_of(path: Path) -> list[str]:
    """The names of a table's columns, without reading its rows."""
    if path.suffix.lower() == ".parquet":
        import pyarrow.parquet as pq

        return list(pq.read_schema(path).names)
    with path.open(encoding="utf-8-sig", newline="") as file:
        return next(csv.reader(file, delimiter=_delimiter(path)), [])


def _read(path: Path) -> tuple[list[str], list[Line]]:
    try:
        if path.suffix.lower() == ".parquet":
            import pyarrow.parquet as pq

            table = pq.read_table(path)
            columns = [["" if v is None else str(v).strip() for v in column.to_pylist()] for column in table.columns]
            return list(table.column_names), list(zip(*columns, strict=True))
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, delimiter=_delimiter(path))
            header = next(reader, [])
            return header, [_line(row, len(header)) for row in reader if row]
    except UnicodeDecodeError as error:
        raise AutobirdError(f"{path} is not UTF-8 (byte {error.start}); save it as UTF-8") from error
    except (csv.Error, ValueError) as error:
        raise AutobirdError(f"{path} is not a table that can be read: {error}") from error
    except OSError as error:
        raise AutobirdError(f"{path} cannot be read ({error.strerror or error})") from error


def _line(row: list[str], width: int) -> Line:
    """A row with exactly `width` cells; values that come again and again are kept once."""
    cells = row[:width] + [""] * (width - len(row))
    return tuple([sys.intern(c.strip()) if len(c) < _SHORT else c.strip() for c in cells])


def _delimiter(path: Path) -> str:
    """What separates the columns: the most frequent of tab, semicolon and comma in the first line."""
    with path.open(encoding="utf-8-sig", errors="replace") as file:
        first = file.readline()
    return max(",\t;", key=first.count)
