"""The decisions about items that were chosen at random, beside the population that they stand for."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from autobird.review.filters import PoolFilter
from autobird.review.pool import Pool
from autobird.sources.review_table import ItemKey, Review, Stratum, latest_decisions, verdicts

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]

_TOLERANCE = 0.001
"""Seconds by which the start of a reviewed window, which is written with three decimals, may differ from that in the pool."""


@dataclass(frozen=True)
class Sample:
    """Reviewed items of a sample, and the population.

    Within a cell, a species and an interval between two borders, all items had the same probability to be chosen: every stratum that items
    were drawn from begins and ends at a border.

    Attributes:
        labels: species.
        borders: borders of the intervals of the score, from the lowest probability of the population to 1.
        species: species of each reviewed item, as an index; shape (items,).
        probability: its probability; shape (items,).
        present: whether the species is there; shape (items,).
        session: its session, as an index; shape (items,).
        population_species: species of each item of the population, as an index; shape (population,).
        population_probability: its probability; shape (population,).
        unknown: number of items that were reviewed without a clear answer (unsure, skipped, or reviewers disagree).
        disagree: number of these about which reviewers disagree.
        chosen: number of items with a clear answer that were not chosen at random, and do not count.
        reviewers: number of reviewers.
    """

    labels: tuple[str, ...]
    borders: tuple[float, ...]
    species: Ints
    probability: Floats
    present: Flags
    session: Ints
    population_species: Ints
    population_probability: Floats
    unknown: int = 0
    disagree: int = 0
    chosen: int = 0
    reviewers: int = 0

    @classmethod
    def of(cls, pool: Pool, reviews: Sequence[Review], chosen: PoolFilter | None = None) -> Self:
        """Return the reviewed items of a pool that were drawn with the same filter of places and times.

        Args:
            pool: the candidates.
            reviews: rows of reviews.csv; those of other models do not count.
            chosen: the population; None: all items.

        Raises:
            AutobirdError: a species or a site of the filter is none of the pool's.
        """
        filter_ = chosen or PoolFilter()
        items = filter_.items(pool)
        own = [r for r in reviews if r.model == pool.model]
        wanted: list[ItemKey] = []
        # Nothing is known of the items that the filter leaves out.
        lowest = max(pool.floor, filter_.min_probability)
        borders = {lowest, 1.0}
        others = 0
        found = verdicts(own)
        # A window that was drawn at random once is a member of the sample, also if another queue has shown it, too.
        drawn = {r.key: r for r in own if _is_drawn(r, filter_.text)}
        places = _Places(pool, items)
        sessions = {file.name: file.session for file in pool.files}
        rows: list[tuple[int, float, bool, str]] = []
        unknown = disagree = 0
        for key, verdict in found.items():
            place = places.find(key)
            if key not in drawn or place is None:
                others += verdict.present is not None
                continue
            wanted.append(key)
            unknown += verdict.present is None
            disagree += verdict.disagree
            if verdict.present is not None:
                rows.append((*place, verdict.present, sessions[key.file]))
        for text in {drawn[key].stratum for key in wanted}:
            if (stratum := Stratum.parse(text)) is not None:
                borders.update((stratum.low, stratum.high))
        latest = latest_decisions(own)
        reviewers = {name for key in wanted for name in latest[key]}
        names = {name: n for n, name in enumerate(sorted({row[3] for row in rows}))}
        return cls(
            pool.labels,
            tuple(sorted(b for b in borders if lowest <= b <= 1)),
            np.array([row[0] for row in rows], np.int64),
            np.array([row[1] for row in rows], np.float64),
            np.array([row[2] for row in rows], bool),
            np.array([names[row[3]] for row in rows], np.int64),
            pool.item_species[items].astype(np.int64),
            pool.item_probability[items].astype(np.float64),
            unknown,
            disagree,
            others,
            len(reviewers),
        )

    def __len__(self) -> int:
        return len(self.species)

    @property
    def sessions(self) -> int:
        """Number of sessions with reviewed items."""
        return len(np.unique(self.session))


def _is_drawn(review: Review, filter_text: str) -> bool:
    """Return whether a decision is about a window of a sample with a filter of places and times."""
    stratum = Stratum.parse(review.stratum)
    is_sample = review.decision != "undo" and review.sampling_probability is not None
    return is_sample and stratum is not None and stratum.filter == filter_text


class _Places:
    """Finds the items of a pool by file, start and species.

    Args:
        pool: the pool.
        items: the items that count, as indices.
    """

    def __init__(self, pool: Pool, items: NDArray[np.intp]) -> None:
        self._pool = pool
        self._file = {file.name: n for n, file in enumerate(pool.files)}
        self._species = {name: n for n, name in enumerate(pool.labels)}
        self._counts = np.zeros(len(pool.item_window), bool)
        self._counts[items] = True

    def find(self, key: ItemKey) -> tuple[int, float] | None:
        """Return species (an index) and probability of an item; None if it is none of those that count."""
        p, file, species = self._pool, self._file.get(key.file), self._species.get(key.species)
        if file is None or species is None:
            return None
        first, last = np.searchsorted(p.window_file, [file, file + 1])
        window = first + int(np.searchsorted(p.window_start[first:last], key.start - _TOLERANCE))
        if window == last or abs(p.window_start[window] - key.start) > _TOLERANCE:
            return None
        first, last = np.searchsorted(p.item_window, [window, window + 1])
        found = [n for n in range(first, last) if p.item_species[n] == species and self._counts[n]]
        return (species, float(p.item_probability[found[0]])) if found else None
