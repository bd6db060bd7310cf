"""Assign the rows of annotation tables to recordings."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from autobird.core.errors import AutobirdError
from autobird.sources.base import DUPLICATE, Box
from autobird.sources.matching import RecordingFinder
from autobird.sources.selection_tables import Selection, SelectionTable, read_selections
from autobird.sources.sequences import AMBIGUOUS_TIME, times_within_files
from autobird.sources.settings import AnnotationSettings

BEFORE_START = "ends before the start of its recording"
"""Problem of a box whose times cannot be right, so that it may be anywhere in its recording."""

_MAX_TABLES_IN_ERROR = 20


class _Row(NamedTuple):
    """A row of a table, and the recording that it belongs to; for `shared` see `matching.Match`."""

    table: str
    recording: str
    shared: int
    selection: Selection


class AnnotationReader:
    """Reads tables one after another and assigns their rows to recordings.

    Args:
        root: folder of the recordings.
        names: ids of the recordings.
        settings: format of the tables.
        tables_match_names: whether each table belongs to the recording with whose name its own name begins.

    Attributes:
        annotated: recordings with an annotation table, or with a row in one; complete after `boxes`.
    """

    def __init__(self, root: Path, names: list[str], settings: AnnotationSettings, tables_match_names: bool) -> None:
        self._root, self._settings, self._tables_match_names = root, settings, tables_match_names
        self._folders: dict[PurePosixPath, list[str]] = defaultdict(list)
        for recording in sorted(names):
            self._folders[PurePosixPath(recording).parent].append(recording)
        self._recordings = RecordingFinder(names)
        self._rows: list[_Row] = []
        self._unreadable: list[str] = []
        self._unlabelled: list[tuple[str, str]] = []
        self._read = 0
        self._decoded: list[str] = []
        self._converted: list[str] = []
        self._without_recording: list[str] = []
        self._repeated: list[str] = []
        self._renamed: list[str] = []
        self._several: list[str] = []
        self._contradicted: list[str] = []
        self._durations: dict[str, float | None] = {}
        self.annotated: set[str] = set()

    def read(self, name: str, path: Path) -> None:
        """Read one table.

        Args:
            name: its path relative to the root, with `/`.
            path: the file.
        """
        match = self._recordings.described_by(name) if self._tables_match_names else None
        try:
            table = read_selections(path, self._settings)
        except AutobirdError as error:
            if match is None or match.recording or match.candidates:
                self._unreadable.append(str(error))
            else:  # a text file that is not an annotation table
                self._without_recording.append(name)
            return
        named = any(s.file for s in table.selections)
        if match is not None and not match.recording and not named:
            if match.candidates:
                self._several.append(f"{name} fits {_joined(match.candidates)}")
            else:
                self._without_recording.append(name)
            return
        self._read += 1
        if table.note:
            self._decoded.append(f"{name}: {table.note}")
        if table.repeated:
            self._repeated.append(f"{name}: {table.repeated}")
        if not table.has_labels and table.selections:
            self._unlabelled.append((name, table.columns))
        described = match.recording if match is not None else ""
        if described and not named:
            self.annotated.add(described)
        self._rows += self._assigned(name, table, described)

    def _assigned(self, name: str, table: SelectionTable, described: str) -> list[_Row]:
        """Return the rows of a table that belong to a recording, with times relative to the start of that recording."""
        folder = PurePosixPath(name).parent.as_posix() if self._tables_match_names else ""
        folder = "" if folder == "." else folder
        one_file = len({s.file for s in table.selections if s.file}) <= 1
        found: list[_Row] = []
        for s in table.selections:
            match = self._recordings.named(s.file, folder) if s.file else None
            if match is not None and match.recording:
                found.append(_Row(name, match.recording, match.shared, s))
            elif described and (match is None or described in match.candidates or (one_file and not match.candidates)):
                # A table that names a single file, which does not exist, belongs to a recording that was renamed.
                if match is not None and not match.candidates:
                    self._renamed.append(f"{name}: {s.file} for {described}")
                found.append(_Row(name, described, 0, s._replace(file="")))
            elif match is not None and match.candidates:
                self._several.append(f"{name}: {s.file} fits {_joined(match.candidates)}")
            else:
                self._without_recording.append(f"{name}: {s.file or 'a row without a file'}")
        named = {row.recording for row in found}
        if table.raven and not table.has_offsets and described and len(named) == 1 and described not in named:
            # Raven names the table of a sequence after its first file, and counts the time from the start of that file.
            return [row._replace(selection=_ambiguous(row.selection)) for row in found]
        if table.has_offsets or len(named) < 2:
            return found
        rows = [(r.recording, r.selection) for r in found]
        beside = self._folders[PurePosixPath(rows[0][0]).parent]
        selections, converted = times_within_files(rows, self._duration, table.raven, beside)
        if converted:
            self._converted.append(name)
        return [row._replace(selection=s) for row, s in zip(found, selections, strict=True)]

    def _duration(self, recording: str) -> float | None:
        """Return the duration of a recording according to its header, seconds; None if the header cannot be read."""
        import soundfile  # imported on use: only tables of several files need it

        if recording not in self._durations:
            try:
                self._durations[recording] = float(soundfile.info(str(self._root / recording)).duration)
            except (soundfile.LibsndfileError, OSError):
                self._durations[recording] = None
        return self._durations[recording]

    def boxes(self) -> list[Box]:
        """Return the boxes of all tables.

        Raises:
            AutobirdError: some tables cannot be read, or no table has labels.
        """
        if self._unreadable:
            more = (
                f"; and {len(self._unreadable) - _MAX_TABLES_IN_ERROR} more"
                if len(self._unreadable) > _MAX_TABLES_IN_ERROR
                else ""
            )
            raise AutobirdError("; ".join(self._unreadable[:_MAX_TABLES_IN_ERROR]) + more)
        if self._read and len(self._unlabelled) == self._read:
            name, columns = self._unlabelled[0]
            wanted = "" if self._settings.label == "auto" else f" {self._settings.label!r}"
            raise AutobirdError(
                f"no annotation table has a column{wanted} of the label ({name} has: {columns}); set corpus.annotations.label to its "
                "name, or corpus.annotations.species if all boxes are of one species"
            )
        boxes = []
        for row in self._fitting():
            self.annotated.add(row.recording)
            s = row.selection
            if row.shared == 1 and "/" in s.file and "/" in row.recording:
                self._renamed.append(f"{row.table}: {s.file} for {row.recording}")
            ends_early = not s.problem and s.end <= 0
            boxes.append(Box(row.recording, s.start, s.end, s.label, BEFORE_START if ends_early else s.problem))
        return _mark_duplicates(boxes)

    def _fitting(self) -> Iterable[_Row]:
        """Yield the rows whose file is the recording that they were assigned to.

        Left out are rows of a file that shares only its name with the recording, if the rows of another file also share its folder.
        """
        files: dict[str, dict[str, int]] = defaultdict(dict)
        for row in self._rows:
            if "/" in row.selection.file:
                files[row.recording][row.selection.file.casefold()] = row.shared
        for row in self._rows:
            others = files[row.recording]
            file = row.selection.file.casefold()
            if file not in others or (len(others) == 1):
                yield row
                continue
            most = max(others.values())
            folders = {PurePosixPath(f).parent.name for f in others if others[f] == most}
            if others[file] == most and (most > 1 or len(folders) == 1):
                yield row
            else:
                self._contradicted.append(f"{row.table}: {row.selection.file} is not {row.recording}")

    def notes(self) -> list[str]:
        """Return messages for the user about tables and rows that were converted or are not used."""
        notes = []
        if self._unlabelled:
            notes.append(
                f"{len(self._unlabelled)} of {self._read} annotation tables have no column of the label, and their boxes count as "
                f"unlabelled, for example {self._unlabelled[0][0]}; corpus.annotations.species can name their species"
            )
        for texts, what in (
            (self._decoded, "annotation tables are not UTF-8"),
            (
                self._converted,
                "annotation tables count time through several files; it was converted by the lengths of the files",
            ),
            (self._repeated, "annotation tables have several columns of one name, and the first of them is used"),
            (
                self._renamed,
                "annotation rows name a file or folder that does not exist here, and are used for the recording of the same name "
                "or beside the table",
            ),
            (self._without_recording, "annotation tables or rows belong to no recording"),
            (
                self._several,
                "annotation tables or rows fit several recordings and are left out; give the path of each recording",
            ),
            (self._contradicted, "annotation rows name a file of another folder and are left out"),
        ):
            if texts:
                notes.append(f"{len(texts)} {what}, for example {texts[0]}")
        return notes


def _ambiguous(selection: Selection) -> Selection:
    return selection if selection.problem else selection._replace(problem=AMBIGUOUS_TIME)


def _joined(names: Iterable[str]) -> str:
    return " and ".join(names)


def problem_notes(boxes: list[Box]) -> list[str]:
    """Return how many boxes are not used, for each reason."""
    problems = Counter(b.problem for b in boxes if b.problem)
    return [f"{n} of {len(boxes)} annotations are not used: {why}" for why, n in sorted(problems.items())]


def _mark_duplicates(boxes: list[Box]) -> list[Box]:
    """Return the boxes sorted. Of boxes with the same recording, times and species, all but the first get a problem.

    Duplicates are common: Raven writes a selection once per view (waveform, spectrogram).
    """
    marked: list[Box] = []
    seen: set[Box] = set()
    for box in sorted(boxes):
        marked.append(box if box not in seen or box.problem else box._replace(problem=DUPLICATE))
        seen.add(box)
    return marked
