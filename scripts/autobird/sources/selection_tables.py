"""Read annotation tables of Raven, BirdNET, Kaleidoscope, Audacity and other programs."""

import csv
import math
import re
import unicodedata
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from autobird.core.errors import AutobirdError
from autobird.core.text import read_text_of_user
from autobird.sources.base import NO_LABEL
from autobird.sources.labels import plain_label
from autobird.sources.settings import AnnotationSettings

LABEL_COLUMNS = (
    "species", "label", "manual id", "annotation", "class", "code", "scientific name", "common name", "species name", "tag",
    "species code",
)  # fmt: skip
"""Names of the column with the label; the first one found is used. `column_name` describes how names are compared."""

START_COLUMNS = ("begin time (s)", "start", "start time", "start (s)", "start time (s)", "begin", "begin (s)", "begin time", "onset",
                 "onset s", "onset (s)", "t min", "tmin")  # fmt: skip
END_COLUMNS = ("end time (s)", "end", "end time", "end (s)", "stop", "stop time", "t max", "tmax")
ONSET_END_COLUMNS = ("offset", "offset s", "offset (s)")
"""Names of the column with the end, if a column `onset` holds the start. Otherwise `offset` is the start (Kaleidoscope)."""

FILE_OFFSET_COLUMNS = ("file offset (s)", "file offset")
"""Raven and BirdNET: start of the selection within its file, seconds. `Begin Time (s)` is relative to the first file if several
files are open as one sequence."""

DURATION_COLUMNS = ("duration", "duration (s)", "duration s", "delta time (s)")

PATH_COLUMNS = ("begin path", "filepath", "file path", "path", "full path")
"""Names of the column with the path of the recording. It has priority over the column with its name."""

NAME_COLUMNS = (
    "begin file", "file", "filename", "file name", "recording", "audio file", "in file", "sound files", "sound file", "wav file",
    "audio filename", "source file",
)  # fmt: skip

NO_TIME = "no time"
CLOCK_TIME = "a clock time instead of seconds from the start of the recording"
ZERO = "zero length"
TOO_MANY_CELLS = "more cells than the table has columns"
NO_OFFSET = "no File Offset (s), in a table of several files that has this column"
"""Reasons why a row is not used."""


_DELIMITER_LINE = re.compile(r'"?sep=(.)"?', re.IGNORECASE)
"""First line with which Excel is told the separator of a table."""


class Selection(NamedTuple):
    """A row of an annotation table.

    Attributes:
        file: path or name of the recording in the table, with `/`; "" if the table does not name it.
        start: seconds from the start of that recording.
        end: seconds from the start of that recording.
        label: text of the label without surrounding spaces.
        problem: why the row is not used; "" if it is used.
    """

    file: str
    start: float
    end: float
    label: str
    problem: str = ""


class SelectionTable(NamedTuple):
    """The rows of an annotation table, and how it was read.

    Attributes:
        selections: the rows, in the order of the table.
        note: encoding of the text, if it had to be guessed, else "".
        has_labels: whether the table has a column of labels, or needs none.
        has_offsets: whether a column of the table gives times relative to the start of each file.
        raven: whether the times are in Raven's column, which is relative to the first of all files that are open as one sequence.
        columns: names of the columns, for messages.
        repeated: names that several columns have; only the first of them is used.
    """

    selections: list[Selection]
    note: str = ""
    has_labels: bool = True
    has_offsets: bool = False
    raven: bool = False
    columns: str = ""
    repeated: str = ""


def read_selections(path: Path, settings: AnnotationSettings) -> SelectionTable:
    """Read an annotation table.

    Raises:
        AutobirdError: the file is not text, or has no columns of times.
    """
    text, note = read_text_of_user(path)
    # `str.splitlines` would also divide lines at characters that labels and remarks may contain, such as U+2028.
    lines = [line for line in re.split(r"\r\n|\r|\n", text) if line.strip()]
    declared = _DELIMITER_LINE.fullmatch(lines[0].strip()) if lines else None
    if declared:
        lines = lines[1:]
    if not lines:
        return SelectionTable([], note)
    form = settings.format if settings.format != "auto" else format_of(lines[0])
    if form == "audacity":
        return SelectionTable(list(_audacity(lines)), note)
    delimiter = "\t" if form == "raven" or "\t" in lines[0] else max(",;", key=lines[0].count)
    header, *rows = _cells(lines, declared[1] if declared and form == "csv" else delimiter)
    columns = _Columns.of(path, header, settings)
    selections = [columns.selection(row) for row in rows]
    offsets = [columns.offset(row) for row in rows]
    has_offsets = any(offset is not None for offset in offsets)
    if has_offsets and len({s.file for s in selections if s.file}) > 1:
        selections = [
            s._replace(problem=NO_OFFSET) if offset is None and s.problem in ("", NO_LABEL) else s
            for s, offset in zip(selections, offsets, strict=True)
        ]
    return SelectionTable(
        selections=selections,
        note=note,
        has_labels=columns.label is not None or bool(settings.species),
        has_offsets=has_offsets,
        raven=column_name(header[columns.start]) == START_COLUMNS[0],
        columns=", ".join(cell.strip() for cell in header),
        repeated=", ".join(columns.repeated(header)),
    )


def format_of(first: str) -> str:
    """Return the format of a table, recognised by its first line.

    `audacity` if the line has two numbers and at most one more cell, `raven` if it is separated by tabs, else `csv`. A line of
    more cells that begins with two numbers is a row of a table whose header was lost.
    """
    cells = first.rstrip().split("\t")
    if 2 <= len(cells) <= 3 and _number(cells[0]) is not None and _number(cells[1]) is not None:
        return "audacity"
    return "raven" if len(cells) > 1 else "csv"


def column_name(text: str) -> str:
    """Return the name of a column for comparison: in lower case, with single spaces instead of `_`, `.` and `*`.

    Kaleidoscope marks the columns that can be edited with an asterisk (`MANUAL ID*`).
    """
    return re.sub(r"[\s_.*]+", " ", unicodedata.normalize("NFKC", text).strip().strip('"')).strip().casefold()


def _cells(lines: Sequence[str], delimiter: str) -> Iterator[list[str]]:
    """Yield the cells of each line. Cells can be quoted, except in tables separated by tabs (Raven).

    If the quotation marks of a CSV table are not balanced, they are read as text. Otherwise one cell could contain several rows.
    """
    if delimiter != "\t":
        try:
            yield from list(csv.reader([f"{line}\n" for line in lines], delimiter=delimiter, strict=True))
            return
        except csv.Error:
            pass
    for line in lines:
        yield [_unquoted(cell) for cell in line.split(delimiter)]


def _unquoted(cell: str) -> str:
    cell = cell.strip()
    return cell[1:-1].replace('""', '"') if len(cell) > 1 and cell[0] == cell[-1] == '"' else cell


def _audacity(lines: Sequence[str]) -> Iterator[Selection]:
    for line in lines:
        if not line.startswith("\\"):  # a line with the frequency range of the previous label
            start, end, label, *others = (*line.split("\t"), "", "", "")
            found = _selection("", start, end, label)
            yield found._replace(problem=TOO_MANY_CELLS) if any(map(str.strip, others)) else found


class _Columns(NamedTuple):
    """Positions of the columns of a table; None if it lacks a column."""

    width: int
    start: int
    end: int | None
    duration: int | None
    file_offset: int | None
    label: int | None
    constant_label: str
    path: tuple[int, ...]
    name: int | None

    @classmethod
    def of(cls, path: Path, header: Sequence[str], settings: AnnotationSettings) -> "_Columns":
        """Find the columns by their names.

        Raises:
            AutobirdError: the table has no column of start times or of end times.
        """
        names = [column_name(h) for h in header]

        def find(*wanted: str) -> int | None:
            return next((names.index(w) for w in wanted if w in names), None)

        shown = ", ".join(h.strip() for h in header)
        start, end = find(*START_COLUMNS), find(*END_COLUMNS)
        duration, offset = find(*DURATION_COLUMNS), find(*ONSET_END_COLUMNS)
        file_offset = find(*FILE_OFFSET_COLUMNS)
        if start is None:
            start = file_offset if file_offset is not None else offset if duration is not None else None
        elif end is None and offset is not None and "onset" in names[start]:
            end = offset
        if start is None:
            raise AutobirdError(
                f"{path} has no column of the start in seconds ({shown}); call it {START_COLUMNS[0]!r} or {START_COLUMNS[1]!r}"
            )
        if end is None and duration is None:
            raise AutobirdError(
                f"{path} has no column of the end in seconds ({shown}); call it {END_COLUMNS[0]!r} or {END_COLUMNS[1]!r}"
            )
        label = find(*(LABEL_COLUMNS if settings.label == "auto" else (column_name(settings.label),)))
        folders = tuple(i for i in (find("indir"), find("folder")) if i is not None)
        name = find(*NAME_COLUMNS)
        full = find(*PATH_COLUMNS)
        parts = (full,) if full is not None else (*folders, name) if folders and name is not None else ()
        return cls(len(header), start, end, duration, file_offset, label, settings.species, parts, name)

    def repeated(self, header: Sequence[str]) -> list[str]:
        """Return the names of used columns that other columns have, too."""
        names = [column_name(h) for h in header]
        used = (self.start, self.end, self.duration, self.file_offset, self.label, self.name, *self.path)
        return sorted({header[i].strip() for i in used if i is not None and names.count(names[i]) > 1})

    def offset(self, row: Sequence[str]) -> float | None:
        """Return the time of a row relative to the start of its file, seconds; None if the row has none."""
        at = self.file_offset
        return _number(row[at]) if at is not None and at < len(row) else None

    def selection(self, row: Sequence[str]) -> Selection:
        """Return the selection of a row."""
        cells = [cell.strip() for cell in row] + [""] * (self.width - len(row))
        file = "/".join(part for i in self.path if (part := _with_slashes(cells[i]).rstrip("/")))
        if not file and self.name is not None:
            file = _with_slashes(cells[self.name])
        label = (cells[self.label] if self.label is not None else "") or self.constant_label
        start, end = cells[self.start], cells[self.end] if self.end is not None else ""
        # Decimal commas divide the numbers of a row with separating commas, so that a number is where the label should be.
        if any(cells[self.width :]) or (len(row) > self.width and _number(label) is not None):
            return Selection(file, 0.0, 0.0, _label(label), TOO_MANY_CELLS)
        if self.end is None:
            assert self.duration is not None
            end = _sum(start, cells[self.duration])
        found = _selection(file, start, end, label)
        offset = self.offset(row)
        if offset is None or found.problem not in ("", NO_LABEL):
            return found
        return found._replace(start=offset, end=offset + found.end - found.start)


def _with_slashes(path: str) -> str:
    return unicodedata.normalize("NFC", path.replace("\\", "/")).strip()


def _label(text: str) -> str:
    return " ".join(plain_label(text).split())


def _number(text: str) -> float | None:
    """Return a finite number with a decimal point or comma; None for other texts."""
    try:
        value = float(text.strip().replace(",", "."))
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _sum(start: str, duration: str) -> str:
    first, length = _number(start), _number(duration)
    return repr(first + length) if first is not None and length is not None else ""


def _selection(file: str, start: str, end: str, label: str) -> Selection:
    species = _label(label)
    first, last = _number(start), _number(end)
    if first is None or last is None:
        clock = any(re.search(r"\d:\d\d", text) for text in (start, end))
        return Selection(file, 0.0, 0.0, species, CLOCK_TIME if clock else NO_TIME)
    return Selection(file, first, last, species, ZERO if last <= first else "" if species else NO_LABEL)
