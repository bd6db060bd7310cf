"""Format prediction results as a text table, JSON, JSON lines or CSV; each format is written file by file."""

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Protocol

from autobird.core.files import csv_text
from autobird.core.wording import separate_notes
from autobird.predict.bundle import Bundle
from autobird.predict.columns import FILE_COLUMNS, DetectionTable
from autobird.predict.files import FileResult
from autobird.predict.origin import Place, Places


class OutputFormat(Protocol):
    """Text of an output: `start`, the text of each file in order, and `end`."""

    @property
    def start(self) -> str:
        """Text before the first file."""
        ...

    @property
    def end(self) -> str:
        """Text after the last file."""
        ...

    def text(self, result: FileResult, is_first: bool) -> str:
        """Return the text of a file; `is_first`: whether no other file is before it."""
        ...


class CsvFormat:
    """One row per detection.

    Args:
        table: the columns.
    """

    end = ""

    def __init__(self, table: DetectionTable | None = None) -> None:
        self._table = table or DetectionTable()
        self.start = csv_text([self._table.names])

    def text(self, result: FileResult, is_first: bool = False) -> str:  # noqa: ARG002 - see `OutputFormat`
        """See `OutputFormat`."""
        return csv_text(list(self._table.texts(result)))


class JsonLinesFormat:
    """One JSON object per detection and line, with the columns of the CSV; unknown values are null.

    Args:
        table: the columns.
        only_ascii: whether other characters are written as `\\uNNNN`.
    """

    start, end = "", ""

    def __init__(self, table: DetectionTable, only_ascii: bool = False) -> None:
        self._table, self._only_ascii = table, only_ascii

    def text(self, result: FileResult, is_first: bool = False) -> str:  # noqa: ARG002 - see `OutputFormat`
        """See `OutputFormat`."""
        names = self._table.names
        return "".join(
            json.dumps(dict(zip(names, row, strict=True)), ensure_ascii=self._only_ascii) + "\n"
            for row in self._table.rows(result)
        )


class TableFormat:
    """Lines of text for people."""

    start, end = "", ""

    def text(self, result: FileResult, is_first: bool = False) -> str:  # noqa: ARG002 - see `OutputFormat`
        """See `OutputFormat`."""
        name = on_one_line(result.file)
        if result.error:
            return f"{name}\n    skipped: {result.error}\n"
        lines = [f"{name}  ({clock(result.duration)})"]
        if not result.detections:
            quiet = "the recording has no signal" if result.is_silent else "the whole recording is quiet"
            lines.append(f"    {'no species reaches its threshold' if result.species else quiet}")
        width = max((len(d.species) for d in result.detections), default=0)
        for d in result.detections:
            occurrence = "" if d.occurrence is None else f"  (occurrence {d.occurrence:.2f})"
            lines.append(
                f"    {clock(d.start):>8} - {clock(d.end):<8}  {d.species:<{width}}  {d.probability:.2f}{occurrence}"
            )
        lines += [f"    note: {note}" for note in separate_notes(result.note)]
        return "\n".join(lines) + "\n"


class JsonFormat:
    """One JSON document with all files; a skipped file has an `error` instead of results.

    Args:
        bundle: the bundle that classified the files.
        only_ascii: whether other characters are written as `\\uNNNN`.
        places: how site, recorder and time are determined.
    """

    end = "\n  ]\n}\n"

    def __init__(self, bundle: Bundle, only_ascii: bool = False, places: Places | None = None) -> None:
        self._labels, self._only_ascii, self._places = bundle.labels, only_ascii, places or Places()
        value = {"bundle": {"name": bundle.name, "variant": bundle.variant, "fingerprint": bundle.fingerprint}}
        self.start = self._dump(value).removesuffix("\n}") + ',\n  "files": ['

    def text(self, result: FileResult, is_first: bool) -> str:
        """See `OutputFormat`."""
        entry = self._dump(_file_json(result, self._labels, self._places.of(result.origin))).replace("\n", "\n    ")
        return ("\n    " if is_first else ",\n    ") + entry

    def _dump(self, value: dict[str, Any]) -> str:
        return json.dumps(value, indent=2, ensure_ascii=self._only_ascii)


def formatted(form: OutputFormat, results: Iterable[FileResult]) -> Iterator[str]:
    """Yield the parts of an output."""
    yield form.start
    for number, result in enumerate(results):
        yield form.text(result, number == 0)
    yield form.end


def as_text(form: OutputFormat, results: Iterable[FileResult]) -> str:
    """Return an output as one text."""
    return "".join(formatted(form, results))


def file_rows(results: Iterable[FileResult], table: DetectionTable | None = None) -> Iterator[list[str]]:
    """Yield the rows of the table of files: `FILE_COLUMNS`, and one row per file."""
    table = table or DetectionTable()
    yield list(FILE_COLUMNS)
    yield from map(table.file_row, results)


def on_one_line(name: str) -> str:
    """Return a file name for the terminal: control characters, such as line ends, become `\\xNN`."""
    return "".join(f"\\x{ord(c):02x}" if ord(c) < 32 or 127 <= ord(c) < 160 else c for c in name)


def _file_json(result: FileResult, labels: Sequence[str], place: Place) -> dict[str, Any]:
    known = {"site": place.site, "recorder": place.recorder, "recorded_at": place.recorded_at}
    about = {"file": result.file} | {name: text for name, text in known.items() if text}
    if result.error:
        return about | {"error": result.error}
    best = result.species
    value: dict[str, Any] = about | {
        "duration": round(result.duration, 3),
        "species": None if best is None else {"species": best[0], "probability": round(best[1], 4)},
        "detections": [
            {"start": d.start, "end": d.end, "species": d.species, "probability": round(d.probability, 4)}
            | ({} if d.unknown_score is None else {"unknown_score": round(d.unknown_score, 4)})
            | ({} if d.occurrence is None else {"occurrence": d.occurrence})
            for d in result.detections
        ],
        "probabilities": _by_species(result.probabilities, labels),
    }
    if result.unknown_score is not None:
        value["unknown_score"] = round(result.unknown_score, 4)
    if result.note:
        value["note"] = result.note
    if result.windows is not None:
        value["windows"] = [
            {
                "start": w.start,
                "end": w.end,
                "quiet": w.quiet,
                "detected": w.detected,
                "probabilities": _by_species(w.probabilities, labels),
                **({} if w.unknown_score is None else {"unknown_score": round(w.unknown_score, 4)}),
            }
            for w in result.windows
        ]
    return value


def _by_species(probabilities: Sequence[float], labels: Sequence[str]) -> dict[str, float]:
    """Return probabilities by species, not rounded so that their order is kept; empty if there are none."""
    return dict(zip(labels, probabilities, strict=True)) if probabilities else {}


def clock(seconds: float) -> str:
    """Return seconds as `1:02:03.5`, or as `2:03.5` below one hour."""
    tenths = round(seconds * 10)
    minutes, rest = divmod(tenths, 600)
    hours, minutes = divmod(minutes, 60)
    text = f"{minutes:02d}:{rest / 10:04.1f}" if hours else f"{minutes}:{rest / 10:04.1f}"
    return f"{hours}:{text}" if hours else text
