"""The columns of the tables of detections and of files, in one place for all formats."""

from collections.abc import Callable, Iterator
from typing import Literal, NamedTuple

from autobird.predict.classifier import Detection
from autobird.predict.codes import SpeciesCodes
from autobird.predict.files import FileResult
from autobird.predict.origin import Place, Places

Cell = str | float | int | None
"""A value; None if it is unknown."""

Kind = Literal["text", "seconds", "score", "count"]
"""Kind of the values of a column: it decides their decimals in CSV and their type in parquet."""


class Row(NamedTuple):
    """A detection in its file."""

    result: FileResult
    detection: Detection
    place: Place


class Column(NamedTuple):
    """A column of the table of detections: its name, the kind of its values, and how its value follows from a detection."""

    name: str
    kind: Kind
    value: Callable[[Row], Cell]


DETECTION_COLUMNS = (
    Column("file", "text", lambda row: row.result.file),
    Column("start", "seconds", lambda row: row.detection.start),
    Column("end", "seconds", lambda row: row.detection.end),
    Column("species", "text", lambda row: row.detection.species),
    Column("probability", "score", lambda row: row.detection.probability),
    Column("site", "text", lambda row: row.place.site or None),
    Column("recorder", "text", lambda row: row.place.recorder or None),
    Column("recorded_at", "text", lambda row: row.place.recorded_at or None),
    Column("date", "text", lambda row: _date(row)),
    Column("time", "text", lambda row: _time(row)),
    Column("unknown_score", "score", lambda row: row.detection.unknown_score),
)
"""Start and end in seconds from the start of the file; the highest calibrated probability of the windows in between; the local date
and time of day at which the detection starts; and how little its windows resemble the species of the model (`predict.unknown`). To add
a column to every format, add it here."""

FILE_COLUMNS = (
    "file", "seconds", "status", "detections", "reason", "note", "quiet_share", "site", "recorder", "recorded_at", "unknown_score",
)  # fmt: skip
"""Columns of the table of files: length; status (`detections`, `no detections`; `quiet`: too quiet for detections; `silent`: without
signal; `skipped`); number of detections; why a file was skipped; problems with a file that was classified nevertheless; share of its
windows that are quiet; site, recorder and start; and how little the recording resembles the species of the model (`predict.unknown`),
empty if all of it is quiet or the bundle has no such score."""


class DetectionTable:
    """The table of detections.

    Args:
        places: how site, recorder and time are determined.
        codes: codes of the species, in a column `code`; None: without this column.

        with_occurrence: whether there is a column `occurrence` (`Detection.occurrence`).

    Attributes:
        columns: the columns.
    """

    def __init__(
        self, places: Places | None = None, codes: SpeciesCodes | None = None, with_occurrence: bool = False
    ) -> None:
        self.places, self.codes = places or Places(), codes
        self.columns: tuple[Column, ...] = DETECTION_COLUMNS
        if codes is not None:
            self.columns += (Column("code", "text", lambda row: codes.of(row.detection.species).code or None),)

        if with_occurrence:
            self.columns += (Column("occurrence", "score", lambda row: row.detection.occurrence),)

    @property
    def names(self) -> list[str]:
        """Names of the columns."""
        return [column.name for column in self.columns]

    def rows(self, result: FileResult) -> Iterator[list[Cell]]:
        """Yield the values of each detection of a file, in the order of the columns."""
        place = self.places.of(result.origin)
        for detection in result.detections:
            row = Row(result, detection, place)
            yield [_rounded(column.kind, column.value(row)) for column in self.columns]

    def texts(self, result: FileResult) -> Iterator[list[str]]:
        """Yield the values of each detection as they are written in CSV."""
        for row in self.rows(result):
            yield [as_csv(column.kind, value) for column, value in zip(self.columns, row, strict=True)]

    def file_row(self, result: FileResult) -> list[str]:
        """Return the row of a file in the table of files, in the order of `FILE_COLUMNS`."""
        place, has_result = self.places.of(result.origin), not result.error
        return [
            result.file,
            f"{result.duration:.3f}" if has_result else "",
            result.status,
            str(len(result.detections)) if has_result else "",
            result.error,
            result.note,
            f"{result.quiet_share:.3f}" if has_result else "",
            place.site,
            place.recorder,
            place.recorded_at,
            "" if result.unknown_score is None else f"{result.unknown_score:.4f}",
        ]


_DIGITS = {"seconds": 3, "score": 4}


def _rounded(kind: Kind, value: Cell) -> Cell:
    return round(value, _DIGITS[kind]) if kind in _DIGITS and isinstance(value, float) else value


def as_csv(kind: Kind, value: Cell) -> str:
    """Return a value as it is written in CSV; "" if it is unknown."""
    if value is None:
        return ""
    return f"{value:.4f}" if kind == "score" else decimal(float(value)) if kind == "seconds" else str(value)


def decimal(value: float) -> str:
    """Return a number of seconds with up to 3 decimals, without trailing zeros."""
    return f"{value:.3f}".rstrip("0").rstrip(".")


def _date(row: Row) -> str | None:
    at = row.place.at(row.detection.start)
    return at.date().isoformat() if at else None


def _time(row: Row) -> str | None:
    at = row.place.at(row.detection.start)
    return at.time().isoformat(timespec="seconds") if at else None
