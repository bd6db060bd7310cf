"""The recordings of a source as tables: one batch manifest per batch, and tables about all recordings."""

from collections import Counter
from collections.abc import Iterator
from operator import attrgetter

from autobird.audio.folder_listing import not_audio_note
from autobird.core.errors import AutobirdError
from autobird.core.hashing import batch_of
from autobird.sources.base import (
    ABSENT,
    ANNOTATED,
    DETAIL_COLUMNS,
    GROUPING_COLUMNS,
    NEGATIVE,
    NOT_AUDIO,
    REVIEWED,
    SHA256_PREFIX,
    Box,
    ListedRecording,
    RecordingMetadata,
    Source,
)
from autobird.sources.given_splits import GivenSplits
from autobird.sources.kinds import KIND_COLUMNS, LABEL_COLUMNS, RecordingKinds
from autobird.sources.labels import Spellings, label_key
from autobird.sources.manifest import CsvTable, Manifests
from autobird.sources.policy import TAKEN_DOWN, exclusion_reason, read_take_down_list
from autobird.sources.settings import SourceSettings

MANIFEST_COLUMNS = ("recording", "species", "content", "problem", "location", "start", "end")
"""Columns of a batch manifest."""

CORPUS_TABLES = ("grouping", "details", "exclusions", "boxes", "labels", "kinds", "not_audio")
"""Tables about all recordings. Each has its own checksum, so that a correction reruns only the stages that read the table."""

_METADATA_TABLES = {"grouping": GROUPING_COLUMNS, "details": DETAIL_COLUMNS}


class Listing:
    """The tables of a source: one batch manifest per batch, and `CORPUS_TABLES`.

    Attributes:
        manifests: the tables, by batch number or name.
        sizes: bytes of each recording's file, by batch.
        count: number of recordings.
        species: names of the species, sorted.
        kinds: number of usable recordings of each kind (`ListedRecording.kind`).
        unmatched: recordings that have metadata and are not in the source.
        given_splits: number of recordings whose split the metadata give.
        notes: messages for the user.

    Args:
        source: the source.
        settings: number of batches, unknown species, licence policy and take-down list.

    Raises:
        AutobirdError: the take-down list cannot be read.
    """

    def __init__(self, source: Source, settings: SourceSettings) -> None:
        self._name = source.name
        self._settings = settings
        self._take_down = read_take_down_list(settings)
        self._tables = {str(batch): CsvTable(*MANIFEST_COLUMNS) for batch in range(settings.batches)}
        self._tables |= {name: CsvTable("recording", *columns) for name, columns in _METADATA_TABLES.items()}
        self._tables["exclusions"] = CsvTable("recording", "reason")
        self._tables["boxes"] = CsvTable(*Box._fields)
        self._tables["labels"], self._tables["kinds"] = CsvTable(*LABEL_COLUMNS), CsvTable(*KIND_COLUMNS)
        self._tables["not_audio"] = CsvTable("file", "kind")
        self._not_audio: Counter[str] = Counter()
        self._not_audio_example = ""
        self._spellings = Spellings()
        self._unknown = frozenset(map(label_key, settings.unknown_species))
        self._kinds = RecordingKinds(settings.negative_names, self._unknown)
        self._splits = GivenSplits()
        self.sizes: list[list[int]] = [[] for _ in range(settings.batches)]
        self.count = 0
        self.unmatched: list[str] = []

        labels, annotated = self._add_recordings(source)
        self._add_excluded_checksums()
        labels |= self._add_boxes(source.boxes() or [], annotated)
        replacements = self._unify_spellings()
        self.given_splits = self._splits.count
        self.species = sorted({replacements.get(s, s) for s in labels if label_key(s) not in self._unknown})
        self.kinds = self._kinds.counts
        self._kinds.write(self._tables["labels"], self._tables["kinds"], self.species)
        for recording, reason in self._kinds.in_species_folders(self.species):
            self._tables["exclusions"].add(recording, reason)
        self.notes = [*source.notes(), *self._notes()]
        self.manifests = Manifests(self._tables)
        del self._tables  # `Manifests.store` frees the memory of the tables, so nothing else may refer to them

    def check(self) -> None:
        """Check, before any job starts, that a classifier can be trained on the source. Print `notes` first: they give reasons.

        Raises:
            AutobirdError: the source has no recordings, no species, a single one without negatives, or a split that has another
                name.
        """
        self._splits.check()
        if not self.count:
            raise AutobirdError(f"{self._name} holds no recordings; give a source that holds some")
        # A detector of one species needs sounds without it: negatives, or the windows of annotated recordings that no box touches.
        has_other_sounds = bool(self.kinds[NEGATIVE] or self.kinds[ANNOTATED] or self.kinds[REVIEWED])
        if not self.species and has_other_sounds:
            raise AutobirdError(
                f"{self._name} holds no species, only negatives and recordings without annotated species; add recordings of a species"
            )
        if len(self.species) < 2 and not has_other_sounds:
            names = ", ".join(self.species) or "none"
            raise AutobirdError(
                f"{self._name} holds fewer than two species ({names}), and a classifier needs two, or one and negatives; "
                "a folder needs one folder per species"
            )

    def _add_recordings(self, source: Source) -> tuple[set[str], set[str]]:
        """Add every recording to the tables. Return the labels, and the recordings with boxes and without a problem."""
        labels: set[str] = set()
        annotated: set[str] = set()
        getters = {name: attrgetter(*columns) for name, columns in _METADATA_TABLES.items()}
        for recording, metadata in _with_metadata(source, self.unmatched):
            if recording.problem.startswith(NOT_AUDIO):
                self._add_not_audio(recording)
                continue
            if recording.split:
                metadata = (metadata or RecordingMetadata(recording.recording))._replace(split=recording.split)
            id_in_source = _id_in_source(source, recording.recording)
            if self._take_down.covers(recording, metadata, id_in_source):
                # Keep the name only, so that no other data of the recording reaches an output.
                recording, metadata = ListedRecording(recording.recording, "", "", TAKEN_DOWN), None
            recording = self._kinds.classified(recording)
            if metadata is not None and metadata.common_name:
                self._kinds.add_common_name(recording.species, metadata.common_name)
            self._kinds.add(recording, metadata.background if metadata else "")
            if not recording.problem:
                has_species = bool(recording.kind) or label_key(recording.species) not in self._unknown
                if reason := exclusion_reason(has_species, metadata, self._settings):
                    self._tables["exclusions"].add(recording.recording, reason)
                elif recording.kind == NEGATIVE:
                    self._kinds.add_negative(recording.recording, id_in_source)
                labels.add(recording.species)
                if recording.kind in (ANNOTATED, REVIEWED):
                    annotated.add(recording.recording)
            self._spellings.add(recording.species)
            self._add_to_batch(recording)
            if metadata is not None and metadata.split:
                metadata = self._splits.normalise(metadata)
            for name, get_values in getters.items() if metadata is not None else ():
                values = get_values(metadata)
                if any(values):
                    self._tables[name].add(recording.recording, *values)
        labels.discard("")
        return labels, annotated

    def _add_not_audio(self, file: ListedRecording) -> None:
        """Add a file that is no audio. It belongs to no batch, so that adding it repeats no job but the count."""
        kind = file.problem.removeprefix(NOT_AUDIO)
        self._tables["not_audio"].add(file.recording, kind)
        self._not_audio_example = self._not_audio_example or file.recording
        self._not_audio[kind] += 1

    def _unify_spellings(self) -> dict[str, str]:
        """Replace all spellings of a label by the most frequent one, in the tables; return the replacements."""
        replacements = self._spellings.replacements()
        if replacements:
            for name in (*map(str, range(self._settings.batches)), "boxes"):
                self._tables[name].replace("species", replacements)
        return replacements

    def _notes(self) -> list[str]:
        """Return messages about what is common to all sources."""
        notes = [*self._spellings.notes(), *self._kinds.notes(), *self._splits.notes(), *self._take_down.notes()]
        if self._not_audio:
            note = not_audio_note(self._not_audio.elements(), self._not_audio_example)
            notes.append(f"{note}; corpus/manifest/not_audio.csv lists them")
        if self.unmatched:
            notes.append(
                f"{len(self.unmatched)} rows of the metadata table match no recording, for example {self.unmatched[0]}"
            )
        return notes

    def _add_to_batch(self, recording: ListedRecording) -> None:
        batch = batch_of(recording.recording, self._settings.batches)
        self._tables[str(batch)].add(
            recording.recording, recording.species, recording.content, recording.problem,
            recording.location, recording.start, recording.end,
        )  # fmt: skip
        self.sizes[batch].append(recording.size)
        self.count += 1

    def _add_excluded_checksums(self) -> None:
        """Exclude all checksums of the take-down list. The checksum of a remote file is known only after the download."""
        for checksum in sorted(self._take_down.checksums):
            self._tables["exclusions"].add(f"{SHA256_PREFIX}{checksum}", TAKEN_DOWN)

    def _add_boxes(self, boxes: list[Box], annotated: set[str]) -> set[str]:
        """Add the boxes of annotated and reviewed recordings without a problem; return the species that are in one of them."""
        labels = set()
        for box in sorted(boxes):
            if box.recording in annotated:
                problem = box.problem or self._kinds.box_problem(box.species)
                self._spellings.add(box.species)
                sampling = repr(box.sampling_probability) if box.sampling_probability else ""
                self._tables["boxes"].add(
                    box.recording, repr(box.start), repr(box.end), box.species, problem, box.decision, sampling
                )
                if not problem and box.decision != ABSENT:
                    labels.add(box.species)
        return labels


def _id_in_source(source: Source, recording: str) -> str:
    """Return the id of a recording in its own source, which a take-down list from before the sources were joined has."""
    name, _, rest = recording.partition("/")
    return rest if name in source.prefixes else recording


def _with_metadata(source: Source, unmatched: list[str]) -> Iterator[tuple[ListedRecording, RecordingMetadata | None]]:
    """Yield every recording with its metadata; both lists are sorted by recording.

    The recordings of metadata that belong to none are appended to `unmatched`.
    """
    recordings = source.recordings()  # first: a source may match the paths in its metadata with its recordings
    remaining = iter(source.metadata())
    metadata = next(remaining, None)
    for recording in recordings:
        while metadata is not None and metadata.recording < recording.recording:
            unmatched.append(metadata.recording)
            metadata = next(remaining, None)
        if metadata is not None and metadata.recording == recording.recording:
            yield recording, metadata
            metadata = next(remaining, None)
        else:
            yield recording, None
    while metadata is not None:
        unmatched.append(metadata.recording)
        metadata = next(remaining, None)
