"""A review as the command line and the server use it: the pool, a queue, the decisions, and what they give so far."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from autobird.core.errors import AutobirdError
from autobird.predict.answer_options import AnswerOptions
from autobird.predict.bundle import Bundle
from autobird.predict.threshold_overlay import read_overlay, write_overlay
from autobird.review.candidates import PoolOptions, build_pool
from autobird.review.items import ReviewItem
from autobird.review.precision import Precision
from autobird.review.queues import QueueOptions, make_queue
from autobird.review.reviews import ReviewTable
from autobird.review.sample import Sample
from autobird.review.similar import similarities_of
from autobird.review.thresholds import ChosenThreshold, choose_thresholds
from autobird.sources.review_table import Decision, Review, latest_decisions

POOL, TABLE = "pool.npz", "reviews.csv"
"""Files in the folder of a review."""


@dataclass(frozen=True)
class Progress:
    """How far a reviewer is in the queue.

    Attributes:
        items: number of items in the queue.
        decided: number of these about which the reviewer has decided.
        by_decision: number of all decisions of the reviewer that count, by decision.
        by_stratum: decided and all items of the queue, by stratum.
    """

    items: int
    decided: int
    by_decision: dict[str, int]
    by_stratum: dict[str, tuple[int, int]]


class ReviewSession:
    """A review of one bundle's answers for a folder of recordings.

    Attributes:
        bundle: the bundle.
        recordings: folder of the recordings.
        folder: folder of the review: the pool (`POOL`) and the decisions (`TABLE`).
        pool: the candidates.
        table: the decisions.
        options: how the queue is made.
        queue: the items in the order in which they are reviewed.

    Args:
        bundle: folder of the bundle.
        recordings: folder of the recordings.
        folder: folder of the review; made if it is not there.
        options: how the queue is made.
        pool_options: how the pool is made.
        clip: recording with the sound to look for (queue `similar`).
        at: start of the sound in the clip, seconds; None: its loudest window.

    Raises:
        AutobirdError: the bundle or the table cannot be read, there is no recording, or the queue would be empty.
    """

    def __init__(
        self,
        bundle: Path,
        recordings: Path,
        folder: Path,
        options: QueueOptions | None = None,
        pool_options: PoolOptions | None = None,
        clip: Path | None = None,
        at: float | None = None,
    ) -> None:
        self.bundle = Bundle.load(bundle)
        self.recordings, self.folder = recordings, folder
        self.options = options or QueueOptions()
        pool_options = pool_options or PoolOptions()
        self.table = ReviewTable(folder / TABLE)
        self.pool = build_pool(self.bundle, recordings, folder / POOL, pool_options)
        similarities: NDArray[np.float32] | None = None
        if self.options.kind == "similar":
            if clip is None:
                raise AutobirdError("--queue similar needs the sound to look for; give --clip FILE")
            similarities = similarities_of(self.bundle, self.pool, recordings, clip, at, pool_options)
        self.queue = make_queue(self.pool, self.thresholds, self.options, similarities)
        self._by_id = {item.id: item for item in self.queue}

    @property
    def thresholds(self) -> Mapping[str, float]:
        """Thresholds in use, by species: those of the bundle, or of the table beside it."""
        values = AnswerOptions().apply(self.bundle).thresholds
        return dict(zip(self.bundle.labels, values.tolist(), strict=True))

    def item(self, identifier: str) -> ReviewItem:
        """Return an item of the queue by its `id`.

        Raises:
            KeyError: there is none.
        """
        return self._by_id[identifier]

    def next_items(self, reviewer: str, count: int = 1) -> list[ReviewItem]:
        """Return the first items of the queue about which a reviewer has not decided."""
        decided = self.table.decided(reviewer)
        return [item for item in self.queue if item.key not in decided][:count]

    def decide(self, identifier: str, reviewer: str, decision: Decision, other_species: str = "") -> Review:
        """Store a decision about an item of the queue; when this returns, it is on the disk.

        Raises:
            KeyError: there is no such item.
            AutobirdError: a value is not allowed, or the table cannot be written.
        """
        return self.table.decide(self.item(identifier), reviewer, decision, other_species)

    def undo(self, reviewer: str) -> Review | None:
        """Take back the latest decision of a reviewer; return it, None if there is none."""
        return self.table.undo(reviewer)

    def progress(self, reviewer: str) -> Progress:
        """Return how far a reviewer is."""
        latest = latest_decisions(self.table.rows())
        decided = {
            key: of_item[name].decision for key, of_item in latest.items() if (name := reviewer.strip()) in of_item
        }
        counts = dict(Counter[str](decided.values()))
        strata: dict[str, tuple[int, int]] = {}
        for item in self.queue:
            done, total = strata.get(item.stratum, (0, 0))
            strata[item.stratum] = done + (item.key in decided), total + 1
        number = sum(item.key in decided for item in self.queue)
        return Progress(len(self.queue), number, counts, strata)

    def precision(self) -> Precision:
        """Return the estimates from all decisions so far about the items that the filter of the queue passes."""
        return Precision(Sample.of(self.pool, self.table.rows(), self.options.filter))

    def choose(self, wanted: float, by_lower_bound: bool = False) -> list[ChosenThreshold]:
        """Return the thresholds for a wanted precision; see `choose_thresholds`."""
        return choose_thresholds(self.precision(), wanted, by_lower_bound)

    def apply(self, chosen: list[ChosenThreshold]) -> Path:
        """Write thresholds to the table beside the bundle; those of other species in it are kept. Return its path.

        Raises:
            AutobirdError: nothing was chosen, or the table there is of another bundle.
        """
        if not chosen:
            raise AutobirdError(
                f"{self.table.path} has no decision about items that were drawn at random; review some of --queue stratified first"
            )
        return write_overlay(self.bundle, read_overlay(self.bundle) | {c.species: c.threshold for c in chosen})
