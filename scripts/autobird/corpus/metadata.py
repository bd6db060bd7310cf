"""What people know about recordings: one CSV table beside them, read by the names of its columns."""

import csv
import difflib
from dataclasses import dataclass, fields
from pathlib import Path

from autobird.core.errors import AutobirdError
from autobird.core.files import csv_text
from autobird.corpus.settings import ColumnSettings

GROUPING = ("recordist", "date", "place", "split")
"""Columns from which groups and splits are made; correcting one of them deals the splits anew."""

DETAILS = ("licence", "quality")
"""Columns that only the catalogue and what reads licences need; correcting one of them retrains nothing."""


@dataclass(frozen=True)
class Facts:
    """What is known about a recording; "" where unknown."""

    recording: str
    recordist: str = ""
    date: str = ""
    place: str = ""
    split: str = ""
    licence: str = ""
    quality: str = ""


def read_metadata(path: Path, columns: ColumnSettings) -> list[Facts]:
    """Read the table at `path`, sorted by recording; of rows for the same file the first counts.

    Raises:
        AutobirdError: not UTF-8, no column of files, or a renamed column that is not there.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            header = list(reader.fieldnames or [])
            lines = list(reader)
    except UnicodeDecodeError as error:
        raise AutobirdError(f"{path} is not UTF-8 (byte {error.start}); save it as UTF-8") from error
    except csv.Error as error:
        raise AutobirdError(f"{path} is not a CSV table: {error}") from error
    default = ColumnSettings()
    for ours, theirs in columns.model_dump().items():
        must = ours == "file" or theirs != getattr(default, ours)
        if must and theirs not in header:
            near = difflib.get_close_matches(theirs, header, n=1)
            hint = f"did you mean {near[0]!r}? " if near else ""
            raise AutobirdError(
                f"{path} has no column {theirs!r}; {hint}set corpus.columns.{ours} to one of {', '.join(header)}"
            )
    found: dict[str, Facts] = {}
    for line in lines:
        values = {ours: (line.get(theirs) or "").strip() for ours, theirs in columns.model_dump().items()}
        name = values.pop("file")
        if name and name not in found:
            found[name] = Facts(name, **values)
    return [found[name] for name in sorted(found)]


def table_text(facts: list[Facts], columns: tuple[str, ...]) -> str:
    """Some columns of `facts` as CSV: what the local rules write, and what they are known by."""
    assert set(columns) <= {f.name for f in fields(Facts)}
    rows = [["recording", *columns], *([f.recording, *(getattr(f, c) for c in columns)] for f in facts)]
    return csv_text(rows)
