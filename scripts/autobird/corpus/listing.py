"""What a source holds now, as tables: their texts, their digests, and where the texts are kept for the rules."""

import time
from pathlib import Path

from autobird.core.errors import AutobirdError
from autobird.core.files import csv_text, write_text
from autobird.core.hashing import batch_of, digest_of
from autobird.corpus.policy import HASH, TAKEN_DOWN, take_down_of, verdict
from autobird.corpus.settings import CorpusSettings
from autobird.corpus.sources.base import DETAILS, GROUPING, Box, Facts, Row, Source

ROWS = ("recording", "species", "content", "problem", "location", "start", "end")
"""Columns of a batch's table."""

TABLES = ("grouping", "details", "verdicts", "boxes")
"""Tables about all recordings, each with a digest of its own, so that a correction reruns just what reads it."""

_KEEP_DAYS = 7
"""How long texts that no listing asked for are kept, as another run here may need them."""


class Listing:
    """The tables of a source: one a batch, and `TABLES`.

    Attributes:
        sizes: bytes of each recording's file, by batch.
        species: the labels that name a species.
        unmatched: recordings that the metadata names and the source does not hold.
        notes: what a person should know.
    """

    def __init__(self, source: Source, settings: CorpusSettings) -> None:
        self._name = source.name
        rows, facts, boxes = source.rows(), {f.recording: f for f in source.facts()}, source.boxes()
        self.notes = source.notes()
        taken = take_down_of(settings)
        verdicts: list[list[str]] = []
        by_batch: list[list[Row]] = [[] for _ in range(settings.batches)]
        for row in rows:
            known = facts.get(row.recording)
            if taken.covers(row, known):
                # Nothing but its name stays.
                facts.pop(row.recording, None)
                row = row._replace(species="", content="", problem=TAKEN_DOWN, size=0, location="", start="", end="")
            elif not row.problem and (why := verdict(row, known, settings, annotated=boxes is not None)):
                verdicts.append([row.recording, why])
            by_batch[batch_of(row.recording, settings.batches)].append(row)
        # What is downloaded tells its sha256 only then.
        verdicts += [[f"{HASH}{value}", TAKEN_DOWN] for value in sorted(taken.hashes)]
        held = {r.recording for part in by_batch for r in part}
        refused = {name for name, _ in verdicts}
        usable = {r.recording: r.species for part in by_batch for r in part if not r.problem}
        labels = set(usable.values()) if boxes is None else {b.species for b in boxes if not b.problem}
        self.species = sorted(labels - set(settings.unknown_species))
        self.count = len(rows)
        self.accepted = len(usable.keys() - refused)
        self.sizes = [[r.size for r in part] for part in by_batch]
        self.unmatched = [name for name in facts if name not in held]
        self._texts = {str(b): _rows_text(part) for b, part in enumerate(by_batch)}
        matched = [f for name, f in sorted(facts.items()) if name in held]
        self._texts |= {
            "grouping": _facts_text(matched, GROUPING),
            "details": _facts_text(matched, DETAILS),
            "verdicts": csv_text([["recording", "reason"], *verdicts]),
            "boxes": _boxes_text([b for b in boxes or () if b.recording in usable]),
        }
        self._digests = {name: digest_of(text) for name, text in self._texts.items()}

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
        """A table by its name: one of `TABLES`, or the number of a batch."""
        return self._texts[_key(table)]

    def digest(self, table: str) -> str:
        """sha256 of a table's text."""
        return self._digests[_key(table)]

    def keep(self, folder: Path) -> None:
        """Write every table to `folder` under its digest, where the stage `rows` takes it from."""
        folder.mkdir(parents=True, exist_ok=True)
        there = {p.name: p for p in folder.iterdir()}
        for table, digest in self._digests.items():
            if digest not in there:
                write_text(folder / digest, self._texts[table])
        old = time.time() - _KEEP_DAYS * 86400
        for name, path in there.items():
            if name not in self._digests.values() and path.stat().st_mtime < old:
                path.unlink(missing_ok=True)
        self._texts.clear()


def _key(table: str) -> str:
    return str(int(table)) if table.isdigit() else table


def _rows_text(rows: list[Row]) -> str:
    table = [[r.recording, r.species, r.content, r.problem, r.location, r.start, r.end] for r in rows]
    return csv_text([list(ROWS), *table])


def _facts_text(facts: list[Facts], columns: tuple[str, ...]) -> str:
    chosen = ([f.recording, *(getattr(f, c) for c in columns)] for f in facts)
    return csv_text([["recording", *columns], *(line for line in chosen if any(line[1:]))])


def _boxes_text(boxes: list[Box]) -> str:
    lines = [[b.recording, f"{b.start:g}", f"{b.end:g}", b.species, b.problem] for b in sorted(boxes)]
    return csv_text([["recording", "start", "end", "species", "problem"], *lines])
