"""A review as several people use it in the browser at the same time: queues by their options, decisions, progress, clips."""

import io
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import numpy as np
import soundfile

from autobird.core.errors import AutobirdError
from autobird.predict.clips import read_mono
from autobird.predict.threshold_overlay import read_overlay
from autobird.review.items import ReviewItem
from autobird.review.precision import Precision
from autobird.review.queues import QueueOptions, make_queue
from autobird.review.sample import Sample
from autobird.review.session import ReviewSession
from autobird.review.thresholds import ChosenThreshold
from autobird.sources.review_table import Decision, ItemKey, Review, latest_decisions, verdicts

MAX_CONTEXT = 30.0
"""Longest sound before and after the window of an item, seconds."""

_QUEUES = 32
"""Number of queues that are kept; others are made again."""

_SUMMARIES = 16
"""Number of summaries that are kept."""

_DECODERS = 2
"""Number of clips that are decoded at the same time."""

_TOLERANCE = 0.001
"""Seconds by which times that were written with three decimals differ."""

_OTHERS = 6
"""Largest number of other possible species of a window that are named."""


class RecordingChanged(AutobirdError):
    """A recording is no longer the file that was classified."""


class NoSuchItem(AutobirdError):
    """There is no such item in a queue."""


@dataclass(frozen=True)
class Queue:
    """The items of a queue in the order in which they are reviewed, and their numbers by id."""

    items: tuple[ReviewItem, ...]
    numbers: dict[str, int]

    def number(self, identifier: str) -> int:
        """Return the number of an item.

        Raises:
            NoSuchItem: it is none of the queue's.
        """
        if identifier not in self.numbers:
            raise NoSuchItem("the queue has no such item; load the page again")
        return self.numbers[identifier]


class Progress(NamedTuple):
    """How far a reviewer, and all together, are in a queue.

    Attributes:
        items: number of items of the queue.
        decided: number of them about which the reviewer has decided.
        decided_by_anyone: number of them about which somebody has decided.
        by_decision: number of the reviewer's decisions about them, by decision.
        by_stratum: decided (by anyone) and all items, by stratum.
        reviewers: number of decisions that count of each reviewer, about all queues.
        disagree: number of items of all queues about which reviewers disagree.
    """

    items: int
    decided: int
    decided_by_anyone: int
    by_decision: dict[str, int]
    by_stratum: dict[str, tuple[int, int]]
    reviewers: dict[str, int]
    disagree: int


class ReviewDesk:
    """A review for several people at the same time. All methods may be called from any thread.

    Args:
        session: the review.
    """

    def __init__(self, session: ReviewSession) -> None:
        self.session = session
        self._lock = threading.Lock()
        """Held while the table of decisions is read or written."""
        self._queue_lock = threading.Lock()
        self._decoders = threading.BoundedSemaphore(_DECODERS)
        self._queues: OrderedDict[QueueOptions, Queue] = OrderedDict()
        self._summary_lock = threading.Lock()
        self._summaries: OrderedDict[tuple[Any, ...], dict[str, Any]] = OrderedDict()
        self._files = {file.name: n for n, file in enumerate(session.pool.files)}

    def queue(self, options: QueueOptions) -> Queue:
        """Return a queue; it is empty if the filter leaves no candidate.

        Raises:
            AutobirdError: the queue needs what this review does not have, or a name of the filter is not known.
        """
        with self._queue_lock:
            if options in self._queues:
                self._queues.move_to_end(options)
                return self._queues[options]
            items = tuple(self._make(options))
            queue = Queue(items, {item.id: n for n, item in enumerate(items)})
            self._queues[options] = queue
            while len(self._queues) > _QUEUES:
                self._queues.popitem(last=False)
            return queue

    def _make(self, options: QueueOptions) -> Sequence[ReviewItem]:
        s = self.session
        if options == s.options:
            return s.queue
        if options.kind == "similar":
            raise AutobirdError(
                "the queue `similar` needs a sound to look for; start autobird review with --queue similar --clip FILE"
            )
        if not len(options.filter.items(s.pool)):
            return []
        return make_queue(s.pool, s.thresholds, options)

    def rows(self) -> list[Review]:
        """Return all rows of the table of decisions."""
        with self._lock:
            return self.session.table.rows()

    def decided(self, reviewer: str) -> dict[ItemKey, Review]:
        """Return the decision of a reviewer about each item that has one."""
        found = latest_decisions(self.rows())
        return {key: of[reviewer] for key, of in found.items() if reviewer in of}

    def next_items(self, queue: Queue, reviewer: str, limit: int, leave_out_others: bool = False) -> list[ReviewItem]:
        """Return the first items of a queue about which a reviewer has not decided.

        Args:
            queue: the queue.
            reviewer: name of the reviewer.
            limit: largest number of items.
            leave_out_others: whether items about which another reviewer has decided are left out.
        """
        found = latest_decisions(self.rows())
        done = {key for key, of in found.items() if leave_out_others or reviewer in of}
        return [item for item in queue.items if item.key not in done][:limit]

    def decide(self, item: ReviewItem, reviewer: str, decision: Decision, other_species: str = "") -> Review:
        """Store a decision; when this returns, it is on the disk.

        Raises:
            AutobirdError: a value is not allowed, or the table cannot be written.
        """
        with self._lock:
            return self.session.table.decide(item, reviewer, decision, other_species)

    def undo(self, reviewer: str) -> Review | None:
        """Take back the latest decision of a reviewer; return it, None if there is none.

        Raises:
            AutobirdError: the table cannot be written.
        """
        with self._lock:
            return self.session.table.undo(reviewer)

    def progress(self, queue: Queue, reviewer: str) -> Progress:
        """Return how far a reviewer is."""
        rows = self.rows()
        found = latest_decisions(rows)
        by_decision: dict[str, int] = {}
        by_stratum: dict[str, tuple[int, int]] = {}
        anyone = 0
        for item in queue.items:
            of = found.get(item.key, {})
            if reviewer in of:
                decision = of[reviewer].decision
                by_decision[decision] = by_decision.get(decision, 0) + 1
            done, total = by_stratum.get(item.stratum, (0, 0))
            by_stratum[item.stratum] = done + bool(of), total + 1
            anyone += bool(of)
        reviewers: dict[str, int] = {}
        for of in found.values():
            for name in of:
                reviewers[name] = reviewers.get(name, 0) + 1
        disagree = sum(verdict.disagree for verdict in verdicts(rows).values())
        decided = sum(by_decision.values())
        return Progress(len(queue.items), decided, anyone, by_decision, by_stratum, reviewers, disagree)

    def precision(self, options: QueueOptions) -> Precision:
        """Return the estimates from all decisions about the items that the filter of a queue passes."""
        return Precision(Sample.of(self.session.pool, self.rows(), options.filter))

    def summary(
        self, options: QueueOptions, key: tuple[Any, ...], compute: Callable[[Precision], dict[str, Any]]
    ) -> dict[str, Any]:
        """Return what the decisions say; it is computed once for the same decisions, and one at a time, because it takes a second.

        Args:
            options: of the queue, whose filter is that of the decisions.
            key: what the summary depends on beside the decisions, the filter and the thresholds in use.
            compute: makes the summary from the estimates.

        Raises:
            AutobirdError: a name of the filter is not known.
        """
        with self._summary_lock:
            rows = self.rows()
            full = (len(rows), *rows[-1:], options.filter, tuple(self.session.thresholds.items()), *key)
            found = self._summaries.get(full)
            if found is None:
                found = compute(Precision(Sample.of(self.session.pool, rows, options.filter)))
                self._summaries[full] = found
                while len(self._summaries) > _SUMMARIES:
                    self._summaries.popitem(last=False)
            return found

    def apply(self, chosen: list[ChosenThreshold]) -> list[str]:
        """Write thresholds to the table beside the bundle; return the species that have one there now.

        Raises:
            AutobirdError: nothing was chosen, or the table is of another bundle or cannot be written.
        """
        with self._queue_lock:  # the queues `uncertain` and `unlike` depend on the thresholds
            self.session.apply(chosen)
            self._queues.clear()
            return list(read_overlay(self.session.bundle))

    def file_duration(self, name: str) -> float:
        """Return the length of a recording, seconds."""
        return self.session.pool.files[self._files[name]].duration

    def other_species(self, item: ReviewItem) -> list[tuple[str, float]]:
        """Return the other possible species of the window of an item with their probabilities, the most probable ones first."""
        p = self.session.pool
        first, last = np.searchsorted(p.window_file, [self._files[item.file], self._files[item.file] + 1])
        window = first + int(np.searchsorted(p.window_start[first:last], item.start - _TOLERANCE))
        first, last = np.searchsorted(p.item_window, [window, window + 1])
        found = [(p.labels[p.item_species[n]], float(p.item_probability[n])) for n in range(first, last)]
        return sorted((f for f in found if f[0] != item.species), key=lambda f: -f[1])[:_OTHERS]

    def clip(self, item: ReviewItem, context: float) -> bytes:
        """Return the window of an item and some sound around it as a WAV file: mono, 16 bits, at the recording's sampling rate.

        Args:
            item: the item.
            context: seconds before and after the window, as far as the recording has them.

        Raises:
            RecordingChanged: the recording is not there, or was changed since it was classified.
            UnusableAudio: it cannot be decoded.
        """
        path = self._path(item.file)
        start, end = max(0.0, item.start - context), min(self.file_duration(item.file), item.end + context)
        with self._decoders:
            samples, sample_rate = read_mono(path, start, end)
        out = io.BytesIO()
        soundfile.write(out, samples, sample_rate, subtype="PCM_16", format="WAV")
        return out.getvalue()

    def _path(self, name: str) -> Path:
        """Return the path of a recording of the pool.

        Raises:
            RecordingChanged: it is not there, was changed, or its name leads out of the folder of the recordings.
        """
        file = self.session.pool.files[self._files[name]]
        # The names were written by the program, but the file that holds them may come from elsewhere.
        parts = PurePosixPath(file.name)
        if parts.is_absolute() or ".." in parts.parts or "\\" in file.name or ":" in parts.parts[0]:
            raise RecordingChanged(
                "the name of the recording leads out of the folder of the recordings; make the review again"
            )
        path = file.path(self.session.recordings)
        try:
            status = path.stat()
        except OSError as error:
            raise RecordingChanged(
                f"{name} is not in the folder of the recordings any more; put it back, or start the review again"
            ) from error
        if (status.st_size, status.st_mtime_ns) != (file.size, file.modified):
            raise RecordingChanged(f"{name} was changed since it was classified; start the review again")
        return path
