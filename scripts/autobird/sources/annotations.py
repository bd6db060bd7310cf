"""Annotated recordings as a source: boxes from Raven selection tables, Audacity label tracks or CSV tables."""

import csv
import math
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from autobird.core.errors import AutobirdError
from autobird.sources.base import NO_LABEL, Box, ListedRecording, RecordingMetadata, Source
from autobird.sources.folder import FolderSource
from autobird.sources.settings import AnnotationSettings, ColumnSettings

_TABLE_EXTENSIONS = (".txt", ".tsv", ".csv")
"""Extensions of annotation tables. Every other file is a recording."""

_LABEL_COLUMNS = ("species", "label", "annotation", "class", "code", "common name", "species code")
_START_COLUMNS = ("begin time (s)", "start", "start_time", "start (s)", "onset", "onset_s", "begin")
_END_COLUMNS = ("end time (s)", "end", "end_time", "end (s)", "offset", "offset_s")
_FILE_COLUMNS = ("begin file", "file", "filename", "recording", "begin path", "audio_file")

_NO_TIME, _ZERO_LENGTH, _DUPLICATE = "no time", "zero length", "duplicate row"
"""Reasons why a box is not used. Duplicates are common: Raven writes a selection once per view (waveform, spectrogram)."""

_NOT_ANNOTATED = "not annotated; add its annotation table or remove the recording"


class AnnotationSource(Source):
    """Audio files at any depth below `root`, labelled by an annotation table for each file, or by one table for all.

    Args:
        root: folder of the recordings.
        cache: file of the checksum cache.
        metadata: path of the metadata table below the root, `auto` or `none`.
        columns: names of its columns.
        settings: format and path of the annotation tables.

    Raises:
        AutobirdError: `root` is not a folder, or a table cannot be read.
    """

    def __init__(
        self, root: Path, cache: Path, metadata: str, columns: ColumnSettings, settings: AnnotationSettings
    ) -> None:
        self._folder = FolderSource(root, cache, metadata, columns)
        self.name = self._folder.name
        self._settings = settings
        self._boxes: list[Box] = []
        self._annotated: set[str] = set()
        self._unmatched: list[str] = []

        files = self._folder.files()
        recordings = [f for f in files if not _is_table(f.recording)]
        names = {r.recording for r in recordings}
        common_table = self._find_common_table()
        if common_table is not None:
            self._read_common_table(common_table, names)
        else:
            self._read_tables_of_recordings([f.recording for f in files if _is_table(f.recording)], names)
        self._boxes = _mark_duplicates(self._boxes)
        self._recordings = [
            r if r.problem or r.recording in self._annotated else r._replace(problem=_NOT_ANNOTATED) for r in recordings
        ]

    def recordings(self) -> list[ListedRecording]:
        """Return every file that is not a table. Its species is "", because boxes label its windows."""
        return self._recordings

    def metadata(self) -> list[RecordingMetadata]:
        """Return the rows of the metadata table."""
        return self._folder.metadata()

    def boxes(self) -> list[Box]:
        """Return the boxes of all tables, including those that are not used."""
        return self._boxes

    def notes(self) -> list[str]:
        """Return how many boxes are not used, and how many tables or rows belong to no recording."""
        problems = Counter(b.problem for b in self._boxes if b.problem)
        notes = [f"{n} of {len(self._boxes)} annotations are not used: {why}" for why, n in sorted(problems.items())]
        if self._unmatched:
            notes.append(
                f"{len(self._unmatched)} annotation tables or rows belong to no recording, for example {self._unmatched[0]}"
            )
        return notes

    def _find_common_table(self) -> Path | None:
        """Return the table that annotates all recordings; None if each recording has its own."""
        if self._settings.table is None:
            return None
        for path in (self._folder.root / self._settings.table, Path(self._settings.table).expanduser()):
            if path.is_file():
                return path
        raise AutobirdError(f"corpus.annotations.table: {self._settings.table} is not a file; give its path")

    def _read_common_table(self, table: Path, names: set[str]) -> None:
        """Add the boxes of a table that names the file of each box, by its path or by its name alone if that is unique."""
        by_file_name = _by_unique_file_name(names)
        for annotation in read_annotations(table, self._settings):
            file = annotation.file
            recording = file if file in names else by_file_name.get(PurePosixPath(file.replace("\\", "/")).name)
            if recording is None:
                self._unmatched.append(f"{table.name}: {file}")
            else:
                self._annotated.add(recording)
                self._boxes.append(_box(recording, annotation))

    def _read_tables_of_recordings(self, tables: list[str], names: set[str]) -> None:
        """Add the boxes of tables that annotate one recording each."""
        stems = recordings_by_stem(names)
        for table in tables:
            recording = recording_of_table(table, stems)
            if recording is None:
                self._unmatched.append(table)
            else:
                self._annotated.add(recording)
                annotations = read_annotations(self._folder.root / table, self._settings)
                self._boxes += [_box(recording, annotation) for annotation in annotations]


def _is_table(file: str) -> bool:
    return PurePosixPath(file).suffix.lower() in _TABLE_EXTENSIONS


def recordings_by_stem(recordings: Iterable[str]) -> dict[str, str]:
    """Return recordings by their path, and by their path without its extension."""
    names = sorted(recordings)
    stems = {r.rpartition(".")[0] if "." in PurePosixPath(r).name[1:] else r: r for r in names}
    return stems | {r: r for r in names}


def recording_of_table(table: str, stems: Mapping[str, str]) -> str | None:
    """Return the recording that an annotation table in its folder belongs to; None if there is none.

    The table's name starts with that of the recording. If several recordings match, the longest name is chosen.

    Args:
        table: path of the table, for example `x/dawn.Table.1.selections.txt`.
        stems: the result of `recordings_by_stem`.
    """
    folder, _, name = table.rpartition("/")
    parts = name.split(".")
    for count in range(len(parts) - 1, 0, -1):
        stem = ".".join(parts[:count])
        recording = stems.get(f"{folder}/{stem}" if folder else stem)
        if recording is not None:
            return recording
    return None


class Annotation(NamedTuple):
    """A row of an annotation table, as text. `file` is "" if the table does not name files."""

    file: str
    start: str
    end: str
    label: str


def read_annotations(path: Path, settings: AnnotationSettings) -> Iterator[Annotation]:
    """Yield the rows of an annotation table, including those that Raven repeats for another view.

    Raises:
        AutobirdError: the table is not UTF-8, or lacks a column of start times, end times or labels.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise AutobirdError(f"{path} is not UTF-8 (byte {error.start}); save it as UTF-8") from error
    lines = [line for line in text.splitlines() if line.strip()]
    if not lines:
        return
    table_format = settings.format if settings.format != "auto" else _recognise_format(lines[0])
    if table_format == "audacity":
        for line in lines:
            if line.startswith("\\"):
                continue  # the frequency range of the label in the previous line
            start, end, label = (*line.split("\t"), "", "", "")[:3]
            yield Annotation("", start, end, label)
        return
    delimiter = "\t" if table_format == "raven" or "\t" in lines[0] else ";" if lines[0].count(";") > 1 else ","
    reader = csv.DictReader(lines, delimiter=delimiter)
    header = list(reader.fieldnames or [])
    file_column = next((h for h in header if h.strip().lower() in _FILE_COLUMNS), None)
    start_column = _find_column(path, header, _START_COLUMNS, "start")
    end_column = _find_column(path, header, _END_COLUMNS, "end")
    label_names = _LABEL_COLUMNS if settings.label == "auto" else (settings.label.lower(),)
    label_column = _find_column(path, header, label_names, "label")
    for row in reader:
        file = (row.get(file_column) or "") if file_column else ""
        yield Annotation(file, row.get(start_column) or "", row.get(end_column) or "", row.get(label_column) or "")


def _recognise_format(first_line: str) -> str:
    """Return `audacity` for a line that starts with two numbers, `raven` for a tab-separated header, else `csv`."""
    cells = first_line.split("\t")
    try:
        float(cells[0].replace(",", ".")), float(cells[1].replace(",", "."))
    except (ValueError, IndexError):
        return "raven" if len(cells) > 2 else "csv"
    return "audacity"


def _find_column(path: Path, header: list[str], names: tuple[str, ...], kind: str) -> str:
    """Return the column with the first of `names` that the header has, in upper or lower case."""
    by_lower_case = {h.strip().lower(): h for h in reversed(header)}
    found = next((by_lower_case[n] for n in names if n in by_lower_case), None)
    if found is None:
        remedy = (
            "set corpus.annotations.label to its name" if kind == "label" else f"name it {names[0]!r} or {names[1]!r}"
        )
        raise AutobirdError(f"{path} has no {kind} column (its columns: {', '.join(header)}); {remedy}")
    return found


def _box(recording: str, annotation: Annotation) -> Box:
    species = unicodedata.normalize("NFC", annotation.label).replace("_", " ").strip()
    try:
        start, end = float(annotation.start.replace(",", ".")), float(annotation.end.replace(",", "."))
    except ValueError:
        return Box(recording, 0.0, 0.0, species, _NO_TIME)
    if not (math.isfinite(start) and math.isfinite(end)):
        return Box(recording, 0.0, 0.0, species, _NO_TIME)
    problem = _ZERO_LENGTH if end <= start else "" if species else NO_LABEL
    return Box(recording, start, end, species, problem)


def _mark_duplicates(boxes: list[Box]) -> list[Box]:
    """Return the boxes sorted. Of boxes with the same recording, times and label, only the first has no problem."""
    marked: list[Box] = []
    seen: set[Box] = set()
    for box in sorted(boxes):
        marked.append(box if box not in seen or box.problem else box._replace(problem=_DUPLICATE))
        seen.add(box)
    return marked


def _by_unique_file_name(recordings: set[str]) -> dict[str, str]:
    """Return the recordings by their file name without folders, for names that occur once."""
    counts = Counter(PurePosixPath(r).name for r in recordings)
    return {PurePosixPath(r).name: r for r in recordings if counts[PurePosixPath(r).name] == 1}
