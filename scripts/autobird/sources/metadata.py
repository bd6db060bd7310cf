"""Tables of recordings and their metadata (CSV, TSV or parquet), read by the names of their columns."""

import csv
import difflib
import json
import sys
from pathlib import Path

from autobird.core.errors import AutobirdError
from autobird.sources.base import RecordingMetadata
from autobird.sources.missing import drop_placeholder
from autobird.sources.settings import ColumnSettings

_ALIASES = {
    "latitude": ("lat",),
    "longitude": ("lon", "lng"),
    "licence": ("license", "lic"),
    "place": ("place", "locality", "loc"),
    "recordist": ("rec",),
    "quality": ("q",),
}
"""Other accepted column names, for columns whose setting has its default."""

_MAX_INTERNED_LENGTH = 40
"""Longer texts rarely repeat, so interning them would save no memory. Characters."""

_NOT_METADATA = ("file", "url", "species", "id", "start", "end", "sha256")
"""Columns that describe the file or its label; they are not part of `RecordingMetadata`."""

_to_json = json.JSONEncoder(ensure_ascii=False).encode

_XENO_CANTO_PAGE = "https://xeno-canto.org/"

Row = tuple[str, ...]
"""The cells of a table row, one per column."""


class Table:
    """A table with the columns of `ColumnSettings`, under the names that the settings give them.

    Attributes:
        path: the file.
        header: names of its columns.
        rows: its rows; each has one cell per column.

    Args:
        path: the file.
        columns: names of the columns.

    Raises:
        AutobirdError: the file is not a readable table, or lacks a column whose name was set by the user.
    """

    def __init__(self, path: Path, columns: ColumnSettings) -> None:
        self.path = path
        self.header, self.rows = _read(path)
        defaults = ColumnSettings()
        self._positions: dict[str, int] = {}
        for column, name in columns.model_dump().items():
            is_default = name == getattr(defaults, column)
            if name not in self.header and not is_default:
                self._refuse(column, name)
            accepted = (name, *_ALIASES.get(column, ())) if is_default else (name,)
            found = next((n for n in accepted if n in self.header), None)
            if found is not None:
                self._positions[column] = self.header.index(found)
        self._metadata = [(c, position) for c, position in self._positions.items() if c not in _NOT_METADATA]
        named = set(self._positions.values())
        self._extra = [(name, i) for i, name in enumerate(self.header) if name and i not in named]

    def require(self, column: str) -> None:
        """Refuse a table that lacks a column of `ColumnSettings`.

        Raises:
            AutobirdError: the column is missing.
        """
        if column not in self._positions:
            self._refuse(column, column)

    def text(self, row: Row, column: str) -> str:
        """Return a cell as it is written; "" if the table lacks the column."""
        position = self._positions.get(column)
        return "" if position is None else row[position]

    def value(self, row: Row, column: str) -> str:
        """Return a cell; "" if it holds a placeholder for a missing value, or if the table lacks the column."""
        return drop_placeholder(self.text(row, column))

    def metadata_of(self, recording: str, row: Row) -> RecordingMetadata:
        """Return the metadata in a row. Columns that `ColumnSettings` does not list become `extra`."""
        values = {column: row[position] for column, position in self._metadata}
        extra = {name: value for name, position in self._extra if (value := drop_placeholder(row[position]))}
        return normalise(RecordingMetadata(recording, **values, extra=_to_json(extra) if extra else ""))

    def _refuse(self, column: str, name: str) -> None:
        similar = difflib.get_close_matches(name, self.header, n=1)
        hint = f"did you mean {similar[0]!r}? " if similar else ""
        raise AutobirdError(
            f"{self.path} has no column {name!r}; {hint}set corpus.columns.{column} to one of {', '.join(self.header)}"
        )


def normalise(metadata: RecordingMetadata) -> RecordingMetadata:
    """Return metadata without placeholders for missing values, and with values derived from other values.

    The xeno-canto number is written as XC123, a missing page follows from that number, and a missing place from the
    coordinates.
    """
    recording, *values, extra = metadata
    metadata = RecordingMetadata._make((recording, *map(drop_placeholder, values), extra))
    number = f"XC{metadata.number}" if metadata.number.isdigit() else metadata.number
    page = metadata.page
    if not page and number.startswith("XC"):
        page = f"{_XENO_CANTO_PAGE}{number.removeprefix('XC')}"
    place = metadata.place or _place_from_coordinates(metadata.latitude, metadata.longitude)
    return metadata._replace(number=number, page=page, place=place)


def _place_from_coordinates(latitude: str, longitude: str) -> str:
    """Return coordinates as a place; "" if they are missing, impossible, or both 0, which tables write for missing."""
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
    """Read a metadata table, sorted by recording. Of several rows for the same file the first is used.

    Raises:
        AutobirdError: not a readable table, no column of files, or no column of a name that was set by the user.
    """
    table = Table(path, columns)
    table.require("file")
    found: dict[str, RecordingMetadata] = {}
    for row in table.rows:
        file = table.text(row, "file")
        if file and file not in found:
            found[file] = table.metadata_of(file, row)
    return [found[file] for file in sorted(found)]


def read_header(path: Path) -> list[str]:
    """Return the names of a table's columns, without reading its rows."""
    if path.suffix.lower() == ".parquet":
        # Imported here: every job of a cluster parses the Snakefile, and pyarrow would slow that down.
        import pyarrow.parquet as pq

        return list(pq.read_schema(path).names)
    with path.open(encoding="utf-8-sig", newline="") as file:
        return next(csv.reader(file, delimiter=_delimiter(path)), [])


def _read(path: Path) -> tuple[list[str], list[Row]]:
    try:
        if path.suffix.lower() == ".parquet":
            import pyarrow.parquet as pq

            table = pq.read_table(path)
            columns = [["" if v is None else str(v).strip() for v in column.to_pylist()] for column in table.columns]
            return list(table.column_names), list(zip(*columns, strict=True))
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, delimiter=_delimiter(path))
            header = next(reader, [])
            return header, [_padded(cells, len(header)) for cells in reader if cells]
    except UnicodeDecodeError as error:
        raise AutobirdError(f"{path} is not UTF-8 (byte {error.start}); save it as UTF-8") from error
    except (csv.Error, ValueError) as error:
        raise AutobirdError(f"{path} is not a readable table ({error}); save it as CSV, TSV or parquet") from error
    except OSError as error:
        raise AutobirdError(f"{path} cannot be read ({error.strerror or error})") from error


def _padded(cells: list[str], width: int) -> Row:
    """Return a row of exactly `width` cells. Short texts are interned, because columns repeat the same few values."""
    padded = cells[:width] + [""] * (width - len(cells))
    return tuple([sys.intern(c.strip()) if len(c) < _MAX_INTERNED_LENGTH else c.strip() for c in padded])


def _delimiter(path: Path) -> str:
    """Return the delimiter of a CSV or TSV file: the most frequent of comma, tab and semicolon in its first line."""
    with path.open(encoding="utf-8-sig", errors="replace") as file:
        first_line = file.readline()
    return max(",\t;", key=first_line.count)
