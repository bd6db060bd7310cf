"""Read the tables that `autobird predict` writes: detections as CSV, JSON lines or parquet, and the table of files."""

import csv
import datetime as dt
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from autobird.core.errors import AutobirdError
from autobird.predict.origin import Place
from autobird.predict.output_names import files_table
from autobird.predict.parquet import read_parquet

_NEEDED = ("file", "start", "end", "species", "probability")
_NEEDED_FILES = ("file", "seconds", "status", "quiet_share", "site", "recorded_at")


class FoundDetection(NamedTuple):
    """A row of a table of detections.

    Attributes:
        file: path of the recording as in the table.
        start: start, seconds.
        end: end, seconds.
        species: the species.
        probability: the probability.
        place: site, recorder and start of the recording.
        row: all columns, as texts.
    """

    file: str
    start: float
    end: float
    species: str
    probability: float
    place: Place
    row: Mapping[str, str]


class RecordedFile(NamedTuple):
    """A row of a table of files.

    Attributes:
        file: path of the recording as in the table.
        seconds: its length; 0 if it was skipped.
        status: see `columns.FILE_COLUMNS`.
        quiet_share: share of its windows that are quiet.
        place: site, recorder and start.
    """

    file: str
    seconds: float
    status: str
    quiet_share: float
    place: Place


def check_tables(paths: Sequence[Path]) -> None:
    """Check that no two tables hold the detections of the same run of `autobird predict`, for example as CSV and as parquet.

    Raises:
        AutobirdError: two do.
    """
    seen: dict[Path, Path] = {}
    for path in paths:
        if (other := seen.setdefault(files_table(path).resolve(), path)) is not path:
            raise AutobirdError(f"{other} and {path} hold the same detections; give one of them")


def read_detections(path: Path, needed: Iterable[str] = ()) -> Iterator[FoundDetection]:
    """Yield the rows of a table of detections.

    Args:
        path: the table, `.csv`, `.jsonl` or `.parquet`.
        needed: columns that must be there, beside file, times, species and probability.

    Raises:
        AutobirdError: the file cannot be read, lacks columns, or has a row with invalid values.
    """
    for number, row in _rows(path, (*_NEEDED, *needed)):
        try:
            yield FoundDetection(
                row["file"],
                float(row["start"]),
                float(row["end"]),
                row["species"],
                float(row["probability"]),
                _place(row),
                row,
            )
        except ValueError as error:
            raise AutobirdError(f"{path}, row {number}: {error}; correct it, or run autobird predict again") from error


def read_files(path: Path) -> Iterator[RecordedFile]:
    """Yield the rows of a table of files.

    Raises:
        AutobirdError: the file cannot be read, lacks columns, or has a row with invalid values.
    """
    for number, row in _rows(path, _NEEDED_FILES):
        try:
            yield RecordedFile(
                row["file"],
                float(row["seconds"] or 0),
                row["status"],
                float(row["quiet_share"] or 0),
                _place(row),
            )
        except ValueError as error:
            raise AutobirdError(f"{path}, row {number}: {error}; correct it, or run autobird predict again") from error


def _place(row: Mapping[str, str]) -> Place:
    at = row.get("recorded_at", "")
    return Place(row.get("site", ""), row.get("recorder", ""), dt.datetime.fromisoformat(at) if at else None)


def _rows(path: Path, needed: Iterable[str]) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield the number of each row, from 1, and its values as texts."""
    try:
        if path.suffix.lower() == ".parquet":
            columns, rows = None, iter(read_parquet(path))
            yield from _checked(path, columns, rows, needed)
        else:
            with path.open(encoding="utf-8-sig", newline="") as file:
                if path.suffix.lower() == ".jsonl":
                    lines: Iterator[dict[str, Any]] = (json.loads(line) for line in file if line.strip())
                    yield from _checked(path, None, lines, needed)
                else:
                    reader = csv.DictReader(file)
                    yield from _checked(path, list(reader.fieldnames or ()), reader, needed)
    except (OSError, UnicodeDecodeError, csv.Error, json.JSONDecodeError) as error:
        raise AutobirdError(
            f"{path} cannot be read ({getattr(error, 'strerror', None) or error}); give a table of autobird predict: "
            "CSV, JSON lines (.jsonl) or parquet"
        ) from error
    except Exception as error:
        if type(error).__module__.startswith("pyarrow"):
            raise AutobirdError(f"{path} is not a parquet file ({error}); give a table of autobird predict") from error
        raise


def _checked(
    path: Path, columns: list[str] | None, rows: Iterable[Mapping[str, Any]], needed: Iterable[str]
) -> Iterator[tuple[int, dict[str, str]]]:
    if columns is not None:
        _check(path, columns, needed)
    for number, row in enumerate(rows, start=1):
        if number == 1 and columns is None:
            _check(path, list(row) if isinstance(row, Mapping) else [], needed)
        yield number, {name: "" if value is None else str(value) for name, value in row.items() if name is not None}


def _check(path: Path, columns: list[str], needed: Iterable[str]) -> None:
    missing = [name for name in needed if name not in columns]
    if missing:
        raise AutobirdError(
            f"{path} has no column {', '.join(missing)} (it has: {', '.join(columns) or 'none'}); give a table that autobird predict "
            "wrote with --format csv, jsonl or parquet, or write it again if an older version did"
        )
