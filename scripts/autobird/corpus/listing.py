"""What a source holds now, as tables: their texts, their digests, and where the texts are kept for the rules."""

import csv
import hashlib
import time
from collections.abc import Iterator
from operator import attrgetter
from pathlib import Path

from autobird.core.errors import AutobirdError
from autobird.core.files import write_bytes
from autobird.core.hashing import batch_of
from autobird.corpus.policy import HASH, TAKEN_DOWN, take_down_of, verdict
from autobird.corpus.settings import CorpusSettings
from autobird.corpus.sources.base import DETAILS, GROUPING, NO_NAME, Facts, Row, Source

ROWS = ("recording", "species", "content", "problem", "location", "start", "end")
"""Columns of a batch's table."""

TABLES = ("grouping", "details", "verdicts", "boxes")
"""Tables about all recordings, each with a digest of its own, so that a correction reruns just what reads it."""

_FACTS = {"grouping": GROUPING, "details": DETAILS}

_KEEP_DAYS = 7
"""How long texts that no listing asked for are kept, as another run here may need them."""


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

    def __init__(self, source: Source, settings: CorpusSettings) -> None:
        self._name = source.name
        boxes = source.boxes()
        taken = take_down_of(settings)
        self.sizes: list[list[int]] = [[] for _ in range(settings.batches)]
        self.count = self.accepted = 0
        batches = [_Table(*ROWS) for _ in range(settings.batches)]
        tables = {name: _Table("recording", *columns) for name, columns in _FACTS.items()}
        chosen = {name: attrgetter(*columns) for name, columns in _FACTS.items()}
        verdicts = _Table("recording", "reason")
        labels: set[str] = set()
        usable: set[str] = set()
        self.unmatched: list[str] = []
        for row, known in _joined(source, self.unmatched):
            if taken.covers(row, known):
                # Nothing but its name stays.
                row, known = Row(row.recording, "", "", TAKEN_DOWN), None
            why = "" if row.problem else verdict(row, known, settings, annotated=boxes is not None)
            if why:
                verdicts.add(row.recording, why)
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
            verdicts.add(f"{HASH}{value}", TAKEN_DOWN)
        drawn = _Table("recording", "start", "end", "species", "problem")
        for box in sorted(boxes or ()):
            if box.recording in usable:
                nameless = "" if box.problem or box.species not in settings.unknown_species else NO_NAME
                drawn.add(box.recording, repr(box.start), repr(box.end), box.species, box.problem or nameless)
        if boxes is not None:
            labels = {b.species for b in boxes if not b.problem}
        self.species = sorted(labels - set(settings.unknown_species))
        self.notes = source.notes()
        tables |= {"verdicts": verdicts, "boxes": drawn} | {str(b): part for b, part in enumerate(batches)}
        self._texts = {name: table.data for name, table in tables.items()}
        self._digests = {name: hashlib.sha256(data).hexdigest() for name, data in self._texts.items()}

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

    def text(self, table: str) -> str:
        """A table by its name: one of `TABLES`, or the number of a batch; until `keep` has written them."""
        return self._texts[_key(table)].decode()

    def digest(self, table: str) -> str:
        """sha256 of a table's text."""
        return self._digests[_key(table)]

    def keep(self, folder: Path) -> None:
        """Write every table to `folder` under its digest, where the stage `rows` takes it from."""
        folder.mkdir(parents=True, exist_ok=True)
        there = {p.name: p for p in folder.iterdir()}
        for table, digest in self._digests.items():
            if digest not in there:
                write_bytes(folder / digest, bytes(self._texts[table]))
        wanted = set(self._digests.values())
        old = time.time() - _KEEP_DAYS * 86400
        for name, path in there.items():
            if name not in wanted and path.stat().st_mtime < old:
                path.unlink(missing_ok=True)
        self._texts.clear()


def _key(table: str) -> str:
    return str(int(table)) if table.isdigit() else table


def _joined(source: Source, unmatched: list[str]) -> Iterator[tuple[Row, Facts | None]]:
    """Every row with what is known about it; both lists are sorted. Facts about no recording go to `unmatched`."""
    facts = iter(source.facts())
    known = next(facts, None)
    for row in source.rows():
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


class _Table:
    """A CSV table that grows row by row, as bytes: a million recordings must fit into memory."""

    def __init__(self, *header: str) -> None:
        self.data = bytearray()
        self._write = csv.writer(self, lineterminator="\n").writerow
        self._write(header)

    def write(self, text: str) -> None:
        self.data += text.encode()

    def add(self, *values: str) -> None:
        self._write(values)
