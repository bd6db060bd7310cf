"""What a source holds now, as tables: their texts, their digests, and where the texts are kept for the rules."""

from collections.abc import Iterator
from operator import attrgetter

from autobird.core.errors import AutobirdError
from autobird.core.hashing import batch_of
from autobird.sources.base import DETAILS, GROUPING, NO_NAME, ListedRecording, RecordingMetadata, Source
from autobird.sources.manifest import CsvTable, Manifests
from autobird.sources.policy import HASH, TAKEN_DOWN, take_down_of, verdict
from autobird.sources.settings import SourceSettings

ROWS = ("recording", "species", "content", "problem", "location", "start", "end")
"""Columns of a batch's table."""

TABLES = ("grouping", "details", "exclusions", "boxes")
"""Tables about all recordings, each with a digest of its own, so that a correction reruns just what reads it."""

_FACTS = {"grouping": GROUPING, "details": DETAILS}


class Listing:
    """The tables of a source: one a batch, and `TABLES`.

    Attributes:
        sizes: bytes of each recording's file, by batch.
        count: recordings.
        accepted: those that nothing is known against.
        species: the labels that name a species.
        unmatched: recordings that the metadata names and the source does not hold.
        notes: what a person should know.
    """

    def __init__(self, source: Source, settings: SourceSettings) -> None:
        self._name = source.name
        boxes = source.boxes()
        taken = take_down_of(settings)
        self.sizes: list[list[int]] = [[] for _ in range(settings.batches)]
        self.count = self.accepted = 0
        batches = [CsvTable(*ROWS) for _ in range(settings.batches)]
        tables = {name: CsvTable("recording", *columns) for name, columns in _FACTS.items()}
        chosen = {name: attrgetter(*columns) for name, columns in _FACTS.items()}
        exclusions = CsvTable("recording", "reason")
        labels: set[str] = set()
        usable: set[str] = set()
        self.unmatched: list[str] = []
        for row, known in _joined(source, self.unmatched):
            if taken.covers(row, known):
                # Nothing but its name stays.
                row, known = ListedRecording(row.recording, "", "", TAKEN_DOWN), None
            why = "" if row.problem else verdict(row, known, settings, annotated=boxes is not None)
            if why:
                exclusions.add(row.recording, why)
            if not row.problem:
                labels.add(row.species)
                self.accepted += not why
                if boxes is not None:
                    usable.add(row.recording)
            batch = batch_of(row.recording, settings.batches)
            batches[batch].add(row.recording, row.species, row.content, row.problem, *row[5:])
            self.sizes[batch].append(row.size)
            self.count += 1
            for name, get in chosen.items() if known else ():
                values = get(known)
                if any(values):
                    tables[name].add(row.recording, *values)
        # What is downloaded tells its sha256 only then.
        for value in sorted(taken.hashes):
            exclusions.add(f"{HASH}{value}", TAKEN_DOWN)
        drawn = CsvTable("recording", "start", "end", "species", "problem")
        for box in sorted(boxes or ()):
            if box.recording in usable:
                nameless = "" if box.problem or box.species not in settings.unknown_species else NO_NAME
                drawn.add(box.recording, repr(box.start), repr(box.end), box.species, box.problem or nameless)
        if boxes is not None:
            labels = {b.species for b in boxes if not b.problem}
        self.species = sorted(labels - set(settings.unknown_species))
        self.notes = source.notes()
        tables |= {"exclusions": exclusions, "boxes": drawn} | {str(b): part for b, part in enumerate(batches)}
        self.manifests = Manifests(tables)

    def check(self) -> None:
        """Refuse what cannot become a classifier, before any job.

        Raises:
            AutobirdError: no recordings, or fewer than two species.
        """
        if not self.count:
            raise AutobirdError(f"{self._name} holds no recordings; give a source that holds some")
        if len(self.species) < 2:
            names = ", ".join(self.species) or "none"
            raise AutobirdError(
                f"{self._name} holds fewer than two species ({names}), and a classifier needs two; "
                "a folder needs one folder per species"
            )


def _joined(source: Source, unmatched: list[str]) -> Iterator[tuple[ListedRecording, RecordingMetadata | None]]:
    """Every row with what is known about it; both lists are sorted. RecordingMetadata about no recording go to `unmatched`."""
    facts = iter(source.metadata())
    known = next(facts, None)
    for row in source.recordings():
        while known is not None and known.recording < row.recording:
            unmatched.append(known.recording)
            known = next(facts, None)
        if known is not None and known.recording == row.recording:
            yield row, known
            known = next(facts, None)
        else:
            yield row, None
    while known is not None:
        unmatched.append(known.recording)
        known = next(facts, None)
