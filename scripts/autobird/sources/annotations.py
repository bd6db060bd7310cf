"""Recordings in which people drew boxes around songs: Raven selection tables, Audacity labels, CSV tables."""

import csv
import math
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath

from autobird.core.errors import AutobirdError
from autobird.sources.base import NO_LABEL, Box, ListedRecording, RecordingMetadata, Source
from autobird.sources.folder import FolderSource
from autobird.sources.settings import AnnotationSettings, ColumnSettings

_TABLES = (".txt", ".tsv", ".csv")
"""Extensions of annotation tables; every other file is a recording."""

_LABELS = ("species", "label", "annotation", "class", "code", "common name", "species code")
_STARTS = ("begin time (s)", "start", "start_time", "start (s)", "onset", "onset_s", "begin")
_ENDS = ("end time (s)", "end", "end_time", "end (s)", "offset", "offset_s")
_FILES = ("begin file", "file", "filename", "recording", "begin path", "audio_file")

NO_TIME, ZERO, DOUBLED = "no time", "zero length", "doubled row"
"""Why a row does not count. Raven writes a selection once for each view that shows it, Waveform and Spectrogram."""


_NOBODY = "nobody annotated it; add its table or remove it"


class AnnotationSource(Source):
    """Audio files at any depth below `root`; what is in them is said by tables beside them, or by one table for all.

    Args:
        root: folder of the recordings.
        cache: file of the sha256 cache.
        metadata: as for a folder: the table of recordists, days, places.
        columns: names of its columns.
        settings: format and place of the annotations.
    """

    def __init__(
        self, root: Path, cache: Path, metadata: str, columns: ColumnSettings, settings: AnnotationSettings
    ) -> None:
        self._folder = FolderSource(root, cache, metadata, columns)
        self.name = self._folder.name
        self._settings = settings
        self._one = self._table_of_all()
        listed = self._folder.files()
        beside = [r.recording for r in listed if PurePosixPath(r.recording).suffix.lower() in _TABLES]
        if self._one and (inside := _relative(self._one, self._folder.root)):
            beside = [b for b in beside if b != inside]
        files = [r for r in listed if PurePosixPath(r.recording).suffix.lower() not in _TABLES]
        names = {r.recording for r in files}
        self._boxes, annotated, self._stray = self._read(names, beside)
        self._rows = [r if r.problem or r.recording in annotated else r._replace(problem=_NOBODY) for r in files]

    def recordings(self) -> list[ListedRecording]:
        """Every file that is no table; its species is "", as boxes label its windows."""
        return self._rows

    def metadata(self) -> list[RecordingMetadata]:
        """The rows of the metadata table."""
        return self._folder.metadata()

    def boxes(self) -> list[Box]:
        """Every row of every table; those that do not count have a problem."""
        return self._boxes

    def notes(self) -> list[str]:
        """How many boxes do not count, and tables that belong to no recording."""
        found = Counter(b.problem for b in self._boxes if b.problem)
        notes = [f"{n} of {len(self._boxes)} annotations do not count: {why}" for why, n in sorted(found.items())]
        if self._stray:
            notes.append(
                f"{len(self._stray)} annotation tables or rows belong to no recording, for example {self._stray[0]}"
            )
        return notes

    def _table_of_all(self) -> Path | None:
        if self._settings.table is None:
            return None
        for path in (self._folder.root / self._settings.table, Path(self._settings.table).expanduser()):
            if path.is_file():
                return path
        raise AutobirdError(f"corpus.annotations.table: {self._settings.table} is not a file; give its path")

    def _read(self, names: set[str], beside: list[str]) -> tuple[list[Box], set[str], list[str]]:
        """All boxes, the recordings that somebody annotated, and what belongs to none."""
        boxes: list[Box] = []
        annotated: set[str] = set()
        stray: list[str] = []
        by_name = _by_file_name(names)
        if self._one:
            for file, start, end, label in read_boxes(self._one, self._settings):
                recording = file if file in names else by_name.get(PurePosixPath(file.replace("\\", "/")).name)
                if recording is None:
                    stray.append(f"{self._one.name}: {file}")
                    continue
                annotated.add(recording)
                boxes.append(_box(recording, start, end, label))
        else:
            beginnings = by_beginning(names)
            for table in beside:
                recording = owner(table, beginnings)
                if recording is None:
                    stray.append(table)
                    continue
                annotated.add(recording)
                found = read_boxes(self._folder.root / table, self._settings)
                boxes += [_box(recording, start, end, label) for _, start, end, label in found]
        return _without_doubles(boxes), annotated, stray


def by_beginning(recordings: Iterable[str]) -> dict[str, str]:
    """Recordings by their path, and by their path without its extension."""
    names = sorted(recordings)
    return {r.rpartition(".")[0] if "." in PurePosixPath(r).name[1:] else r: r for r in names} | {r: r for r in names}


def owner(table: str, beginnings: Mapping[str, str]) -> str | None:
    """The recording that a table beside it describes: the one with the longest name that the table's begins with.

    Args:
        table: its path, like `x/dawn.Table.1.selections.txt`.
        beginnings: what `by_beginning` returns.
    """
    folder, _, name = table.rpartition("/")
    parts = name.split(".")
    for count in range(len(parts) - 1, 0, -1):
        beginning = ".".join(parts[:count])
        found = beginnings.get(f"{folder}/{beginning}" if folder else beginning)
        if found is not None:
            return found
    return None


def read_boxes(path: Path, settings: AnnotationSettings) -> Iterator[tuple[str, str, str, str]]:
    """The rows of an annotation table as texts: file, start, end, label; a row of another view of Raven's included.

    Raises:
        AutobirdError: the table cannot be read, or has no columns of times and labels.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise AutobirdError(f"{path} is not UTF-8 (byte {error.start}); save it as UTF-8") from error
    lines = [line for line in text.splitlines() if line.strip()]
    if not lines:
        return
    form = settings.format if settings.format != "auto" else _format_of(lines[0])
    if form == "audacity":
        for line in lines:
            if line.startswith("\\"):
                continue  # the frequencies of the label above it
            start, end, label = (*line.split("\t"), "", "", "")[:3]
            yield "", start, end, label
        return
    delimiter = "\t" if form == "raven" or "\t" in lines[0] else ";" if lines[0].count(";") > 1 else ","
    reader = csv.DictReader(lines, delimiter=delimiter)
    header = list(reader.fieldnames or [])
    start, end = _column(path, header, _STARTS, "start"), _column(path, header, _ENDS, "end")
    label = (
        _column(path, header, _LABELS, "label")
        if settings.label == "auto"
        else _column(path, header, (settings.label.lower(),), "label")
    )
    file = next((h for h in header if h.strip().lower() in _FILES), None)
    for row in reader:
        yield (row.get(file) or "" if file else ""), row.get(start) or "", row.get(end) or "", row.get(label) or ""


def _format_of(first: str) -> str:
    """`audacity` where the first line begins with two numbers, `raven` where a header is tab-separated, else `csv`."""
    cells = first.split("\t")
    try:
        float(cells[0].replace(",", ".")), float(cells[1].replace(",", "."))
    except (ValueError, IndexError):
        return "raven" if len(cells) > 2 else "csv"
    return "audacity"


def _column(path: Path, header: list[str], names: tuple[str, ...], what: str) -> str:
    lower = {h.strip().lower(): h for h in reversed(header)}
    found = next((lower[n] for n in names if n in lower), None)
    if found is None:
        remedy = (
            "set corpus.annotations.label to its name" if what == "label" else f"call it {names[0]!r} or {names[1]!r}"
        )
        raise AutobirdError(f"{path} has no column of the {what} ({', '.join(header)}); {remedy}")
    return found


def _box(recording: str, start: str, end: str, label: str) -> Box:
    species = unicodedata.normalize("NFC", label).replace("_", " ").strip()
    try:
        first, last = float(start.replace(",", ".")), float(end.replace(",", "."))
    except ValueError:
        return Box(recording, 0.0, 0.0, species, NO_TIME)
    if not (math.isfinite(first) and math.isfinite(last)):
        return Box(recording, 0.0, 0.0, species, NO_TIME)
    problem = ZERO if last <= first else "" if species else NO_LABEL
    return Box(recording, first, last, species, problem)


def _without_doubles(boxes: list[Box]) -> list[Box]:
    """Boxes sorted; of those with the same recording, times and label the first counts."""
    found: list[Box] = []
    seen: set[Box] = set()
    for box in sorted(boxes):
        found.append(box if box not in seen or box.problem else box._replace(problem=DOUBLED))
        seen.add(box)
    return found


def _by_file_name(names: set[str]) -> dict[str, str]:
    """Recordings by their file name alone, where it is unique."""
    counts = Counter(PurePosixPath(n).name for n in names)
    return {PurePosixPath(n).name: n for n in names if counts[PurePosixPath(n).name] == 1}


def _relative(path: Path, root: Path) -> str | None:
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else None
