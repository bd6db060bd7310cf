"""Reviewed windows as a source: the recordings that people have reviewed, labelled by their decisions alone."""

from pathlib import Path

from autobird.audio.file_kind import not_audio_kind
from autobird.core.errors import AutobirdError
from autobird.core.hashing import hash_files
from autobird.core.walk import path_of_printable
from autobird.sources.base import (
    ABSENT,
    PRESENT,
    REVIEWED,
    SHA256_PREFIX,
    Box,
    ListedRecording,
    RecordingMetadata,
    Source,
)
from autobird.sources.metadata import read_metadata
from autobird.sources.paths import match_metadata
from autobird.sources.review_table import ItemKey, Verdict, read_reviews, verdicts
from autobird.sources.settings import ColumnSettings

_MISSING = "reviewed, but not below the folder of the recordings (`recordings`); put it there, or remove its reviews"

_METADATA_FILES = ("SOURCES.csv", "metadata.csv")


class ReviewSource(Source):
    """The recordings that a table of reviews names, and its decisions as boxes.

    A decision says something about its window and its species, and nothing about other species or the rest of the recording. Items
    without a clear answer (unsure, skipped, reviewers disagree) have no box.

    Args:
        table: reviews.csv.
        recordings: folder of the recordings; the paths of the table are relative to it.
        cache: file of the checksum cache.
        metadata: path of the metadata table below the folder, `auto` or `none`.
        columns: names of its columns.

    Raises:
        AutobirdError: the table or the folder is not there, or the table has a row that is not allowed.
    """

    def __init__(self, table: Path, recordings: Path, cache: Path, metadata: str, columns: ColumnSettings) -> None:
        self.name = f"reviews: {table}"
        if not table.is_file():
            raise AutobirdError(f"table {table} is not a file; give the reviews.csv that autobird review has written")
        if not recordings.is_dir():
            raise AutobirdError(f"recordings {recordings} is not a folder; give the folder of the reviewed recordings")
        self._root, self._cache, self._columns = recordings, cache, columns
        self._verdicts = verdicts(read_reviews(table))
        self._names = sorted({key.file for key in self._verdicts})
        self._metadata_file = self._find_metadata(metadata)
        self._metadata_notes: list[str] = []

    def recordings(self) -> list[ListedRecording]:
        """Return the reviewed recordings. Others in the folder are none of this source, so they are not even read."""
        there = [name for name in self._names if path_of_printable(self._root, name).is_file()]
        hashed = {file.name: file for file in hash_files(self._root, there, self._cache)}
        found = []
        for name in self._names:
            if name not in hashed:
                found.append(ListedRecording(name, "", "", _MISSING, kind=REVIEWED))
                continue
            file = hashed[name]
            problem = "" if file.sha256 is not None else "cannot be read; check the file's permissions"
            if kind := not_audio_kind(self._root / name):
                problem = f"reviewed, but not audio: {kind}"
            found.append(
                ListedRecording(name, "", f"{SHA256_PREFIX}{file.sha256 or ''}", problem, file.size, kind=REVIEWED)
            )
        return found

    def metadata(self) -> list[RecordingMetadata]:
        """Return the rows of the metadata table that are about reviewed recordings."""
        if self._metadata_file is None:
            return []
        self._metadata_notes = []
        rows = match_metadata(
            read_metadata(self._metadata_file, self._columns, self._metadata_notes), self._names, self._metadata_notes
        )
        names = set(self._names)
        return [row for row in rows if row.recording in names]

    def boxes(self) -> list[Box]:
        """Return a box for each window and species of which a review says whether it is there."""
        boxes = [box for key, verdict in self._verdicts.items() for box in _boxes(key, verdict)]
        # Two decisions can name the same species in a window: as the species itself, and as the other one. If they contradict each
        # other, it is unknown.
        by_place: dict[tuple[str, float, float, str], list[Box]] = {}
        for box in boxes:
            by_place.setdefault((box.recording, box.start, box.end, box.species), []).append(box)
        return sorted(
            max(found, key=lambda box: box.sampling_probability)
            for found in by_place.values()
            if len({box.decision for box in found}) == 1
        )

    def notes(self) -> list[str]:
        """Return how many items have no clear answer."""
        unknown = sum(verdict.present is None for verdict in self._verdicts.values())
        disagree = sum(verdict.disagree for verdict in self._verdicts.values())
        notes = list(self._metadata_notes)
        if unknown:
            notes.append(
                f"{unknown} of {len(self._verdicts)} reviewed items have no clear answer ({disagree} because reviewers disagree) and label "
                "nothing"
            )
        return notes

    def _find_metadata(self, setting: str) -> Path | None:
        if setting == "none":
            return None
        for name in _METADATA_FILES if setting == "auto" else (setting,):
            if (self._root / name).is_file():
                return self._root / name
        if setting != "auto":
            raise AutobirdError(
                f"metadata {self._root / setting} is not a file; give a path relative to recordings, or none"
            )
        return None


def _boxes(key: ItemKey, verdict: Verdict) -> list[Box]:
    if verdict.present is None:
        return []
    decision = PRESENT if verdict.present else ABSENT
    boxes = [Box(*key, decision=decision, sampling_probability=verdict.sampling_probability or 0.0)]
    if verdict.other_species:
        # That it was found depends on the question, so it is no sample of anything.
        boxes.append(Box(key.file, key.start, key.end, verdict.other_species, decision=PRESENT))
    return boxes
