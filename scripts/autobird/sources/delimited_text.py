"""Read delimited text tables (CSV, TSV) in the encodings and dialects that spreadsheets write."""

import csv
import io
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO, NamedTuple

from autobird.core.errors import AutobirdError
from autobird.core.text import decode, read_text, read_text_of_user

_SAMPLE = 1 << 16
"""Bytes at the start of a table that are read for its header."""

_MAX_INTERNED_LENGTH = 40
"""Longer texts rarely repeat, so interning them would save no memory. Characters."""

_MAX_FIELD = 1 << 24
"""Longest cell in characters; the limit of Python's CSV reader is 131,072."""

Row = tuple[str, ...]
"""The cells of a table row, one per column."""


class DelimitedTable(NamedTuple):
    """The content of a table.

    Attributes:
        header: names of the columns, without spaces around them; "" for a column without a name.
        rows: each has one cell per column; empty lines are left out.
        notes: messages for the user: a guessed encoding, columns of the same name, cells without a column.
    """

    header: list[str]
    rows: list[Row]
    notes: list[str]


def delimiter_of(text: str) -> str:
    """Return the delimiter of a table: the most frequent of comma, tab and semicolon in its first line with any text."""
    first_line = next((line for line in text[:_SAMPLE].splitlines() if line.strip()), "")
    return max(",\t;", key=first_line.count)


class TextRows(NamedTuple):
    """The rows of a small table.

    Attributes:
        rows: the cells of each line, without spaces around them; empty lines are empty rows, so that the numbers of the lines stay.
        note: the encoding, if it had to be guessed, else "".
    """

    rows: list[list[str]]
    note: str


def read_rows_of_user(path: Path, option: str = "") -> TextRows:
    """Read a small table that a user names, with or without a header.

    Args:
        path: CSV or TSV.
        option: option or setting that names it, for messages.

    Raises:
        AutobirdError: the file cannot be read, or is not a table.
    """
    text, note = read_text_of_user(path, option)
    try:
        lines = list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter_of(text)))
    except csv.Error as error:
        raise AutobirdError(f"{f'{option} {path}'.lstrip()} is not a table ({error}); save it as CSV") from error
    return TextRows([[cell.strip() for cell in cells] for cells in lines], note)


def read_delimited(path: Path) -> DelimitedTable:
    """Read a table.

    Raises:
        AutobirdError: the file is not text or cannot be read.
    """
    try:
        with path.open("rb") as file:
            sample = file.read(_SAMPLE)
        if _may_be_utf8(sample):
            try:
                # As a stream, so that the text of a large table is never in memory as a whole.
                with path.open(encoding="utf-8-sig", newline="") as file:
                    return _parse(path, file, delimiter_of(_decoded_start(sample)), [])
            except UnicodeDecodeError:
                pass
        text, note = read_text(path)
        return _parse(path, io.StringIO(text, newline=""), delimiter_of(text), [f"{path}: {note}"] if note else [])
    except (csv.Error, ValueError) as error:
        raise AutobirdError(f"{path} is not a readable table ({error}); save it as CSV, TSV or parquet") from error
    except OSError as error:
        raise AutobirdError(f"{path} cannot be read ({error.strerror or error})") from error


def read_delimited_header(path: Path) -> list[str]:
    """Return the names of a table's columns, without reading its rows.

    Raises:
        ValueError: not text.
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        text = _decoded_start(file.read(_SAMPLE))
    return _header(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter_of(text)))


def _may_be_utf8(sample: bytes) -> bool:
    return not sample.startswith((b"\xff\xfe", b"\xfe\xff")) and b"\0" not in sample


def _decoded_start(sample: bytes) -> str:
    """Decode the start of a file; it may end within a character."""
    if len(sample) == _SAMPLE and _may_be_utf8(sample):
        sample = sample[: sample.rfind(b"\n") + 1] or sample
    return decode(sample[: len(sample) // 2 * 2] if not _may_be_utf8(sample) else sample).text


def _parse(path: Path, file: IO[str], delimiter: str, notes: list[str]) -> DelimitedTable:
    previous_limit = csv.field_size_limit(_MAX_FIELD)
    try:
        reader = csv.reader(file, delimiter=delimiter)
        header = _header(reader)
        width, surplus = len(header), 0
        rows = []
        for cells in reader:
            if not any(map(str.strip, cells)):
                continue
            surplus += len(cells) > width and any(c.strip() for c in cells[width:])
            rows.append(_padded(cells, width))
    finally:
        csv.field_size_limit(previous_limit)
    repeated = sorted({name for name in header if name and header.count(name) > 1})
    if repeated:
        notes.append(f"{path} has several columns {', '.join(repeated)}; the first of each is used")
    if surplus:
        notes.append(
            f"{surplus} rows of {path} have more cells than the header, and the surplus is ignored; quote cells that hold "
            f"{'a tab' if delimiter == chr(9) else repr(delimiter)}"
        )
    return DelimitedTable(header, rows, notes)


def _header(reader: Iterator[list[str]]) -> list[str]:
    """Return the cells of the first line with any text."""
    return next(([cell.strip() for cell in cells] for cells in reader if any(c.strip() for c in cells)), [])


def _padded(cells: list[str], width: int) -> Row:
    """Return a row of exactly `width` cells. Short texts are interned, because columns repeat the same few values."""
    padded = cells[:width] + [""] * (width - len(cells))
    return tuple([sys.intern(c.strip()) if len(c) < _MAX_INTERNED_LENGTH else c.strip() for c in padded])
