"""Tables of recordings and their metadata (CSV, TSV or parquet), read by the names of their columns."""

import difflib
import json
from collections.abc import Sequence
from pathlib import Path

from autobird.core.errors import AutobirdError
from autobird.sources.base import RecordingMetadata
from autobird.sources.delimited_text import DelimitedTable, Row, read_delimited, read_delimited_header
from autobird.sources.missing import drop_placeholder
from autobird.sources.settings import ColumnSettings

_ALIASES = {
    "latitude": ("lat",),
    "longitude": ("lon", "lng"),
    "licence": ("license", "lic"),
    "place": ("place", "locality", "loc"),
    "recordist": ("rec",),
    "quality": ("q",),
    "common_name": ("common name", "english_name", "english name"),
}
"""Other accepted column names, for columns whose setting has its default."""

_NOT_METADATA = ("file", "url", "species", "id", "start", "end", "sha256")
"""Columns that describe the file or its label; they are not part of `RecordingMetadata`."""

_to_json = json.JSONEncoder(ensure_ascii=False).encode

_XENO_CANTO_PAGE = "https://xeno-canto.org/"


class Table:
    """A table with the columns of `ColumnSettings`, under the names that the settings give them.

    Attributes:
        path: the file.
        header: names of its columns.
        rows: its rows; each has one cell per column.
        notes: messages for the user.

    Args:
        path: the file.
        columns: names of the columns.

    Raises:
        AutobirdError: the file is not a readable table, or lacks a column whose name was set by the user.
    """

    def __init__(self, path: Path, columns: ColumnSettings) -> None:
        self.path = path
        self.header, self.rows, self.notes = _read(path)
        defaults = ColumnSettings()
        self._positions: dict[str, int] = {}
        for column, name in columns.model_dump().items():
            is_default = name == getattr(defaults, column)
            accepted = (name, *_ALIASES.get(column, ())) if is_default else (name,)
            position = next((p for n in accepted if (p := column_position(self.header, n)) is not None), None)
            if position is not None:
                self._positions[column] = position
            elif not is_default:
                self._refuse(column, name)
        self._metadata = [(c, position) for c, position in self._positions.items() if c not in _NOT_METADATA]
        named = {position for column, position in self._positions.items() if column != "common_name"}
        first = {name: i for i, name in reversed(list(enumerate(self.header)))}
        self._extra = [(name, i) for name, i in sorted(first.items(), key=lambda e: e[1]) if name and i not in named]

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


def column_position(header: Sequence[str], name: str) -> int | None:
    """Return the position of a column, by its name, else by its name in upper or lower case; None if it is missing."""
    if name in header:
        return header.index(name)
    lower = [column.lower() for column in header]
    return lower.index(name.lower()) if name.lower() in lower else None


def read_metadata(path: Path, columns: ColumnSettings, notes: list[str] | None = None) -> list[RecordingMetadata]:
    """Read a metadata table, sorted by recording. Of several rows for the same file the first is used.

    Args:
        path: the table.
        columns: names of its columns.
        notes: messages for the user are appended, for example about rows that differ.

    Raises:
        AutobirdError: not a readable table, no column of files, or no column of a name that was set by the user.
    """
    table = Table(path, columns)
    table.require("file")
    found: dict[str, RecordingMetadata] = {}
    differing: set[str] = set()
    for row in table.rows:
        file = table.text(row, "file")
        if not file:
            continue
        metadata = table.metadata_of(file, row)
        if found.setdefault(file, metadata) != metadata:
            differing.add(file)
    if differing:
        table.notes.append(
            f"{path} has rows that differ for {len(differing)} files, and the first of each is used, for example {min(differing)}"
        )
    if notes is not None:
        notes += table.notes
    return [found[file] for file in sorted(found)]


def read_header(path: Path) -> list[str]:
    """Return the names of a table's columns, without reading its rows."""
    if path.suffix.lower() == ".parquet":
        # Imported here: every job of a cluster parses the Snakefile, and pyarrow would slow that down.
        import pyarrow.parquet as pq

        return list(pq.read_schema(path).names)
    return read_delimited_header(path)


def _read(path: Path) -> DelimitedTable:
    if path.suffix.lower() != ".parquet":
        return read_delimited(path)
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(path)
    except ValueError as error:
        raise AutobirdError(f"{path} is not a readable table ({error}); save it as CSV, TSV or parquet") from error
    except OSError as error:
        raise AutobirdError(f"{path} cannot be read ({error.strerror or error})") from error
    columns = [["" if v is None else str(v).strip() for v in column.to_pylist()] for column in table.columns]
    return DelimitedTable(list(table.column_names), list(zip(*columns, strict=True)), [])
