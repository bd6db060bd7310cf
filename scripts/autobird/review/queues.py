"""Queues of items for review: drawn at random in strata of the score or from all items, or the most informative ones first."""

import hashlib
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray
from scipy.special import logit

from autobird.core.errors import AutobirdError
from autobird.review.filters import PoolFilter
from autobird.review.items import ReviewItem
from autobird.review.pool import Pool
from autobird.sources.review_table import Stratum, seconds_text

QueueKind = Literal["stratified", "random", "uncertain", "unlike", "similar"]

QUEUES: tuple[str, ...] = get_args(QueueKind)
"""`stratified`: equally many items of each species and stratum of the score; `random`: all items with the same probability; `uncertain`:
those whose score is nearest to the threshold of their species; `unlike`: detections in the windows that resemble the training set least
(`unknown_score`); `similar`: the windows most similar to a clip. Only the first two are samples with a known probability."""

EDGES = (0.1, 0.25, 0.5, 0.75, 0.9)
"""Borders of the strata of the score between the floor of the pool and 1."""

_MARGIN = 1e-6
"""Probabilities are kept this far from 0 and 1 where their logit is needed."""


@dataclass(frozen=True)
class QueueOptions:
    """How a queue is made.

    Attributes:
        kind: see `QUEUES`.
        count: largest number of items; with `stratified` it is shared among species and strata.
        seed: another seed draws another sample.
        edges: borders of the strata, increasing.
        filter: which items are reviewed.
    """

    kind: QueueKind = "stratified"
    count: int = 200
    seed: int = 0
    edges: tuple[float, ...] = EDGES
    filter: PoolFilter = field(default_factory=PoolFilter)


def make_queue(
    pool: Pool,
    thresholds: Mapping[str, float],
    options: QueueOptions,
    similarities: NDArray[np.floating] | None = None,
) -> list[ReviewItem]:
    """Return the items of a queue in the order in which they are reviewed. The same arguments give the same queue.

    A sample is ordered by a hash, so that a larger one begins with the same items in each stratum, and strata take turns, so that a
    review that ends early has seen all of them.

    Args:
        pool: the candidates.
        thresholds: of the species, for `uncertain` and `unlike`.
        options: how it is made.
        similarities: cosine of each window with the clip (`similar`); shape (windows,).

    Raises:
        AutobirdError: the filter leaves no item, or the queue needs values that there are not.
    """
    items = options.filter.items(pool)
    if not len(items):
        raise AutobirdError(
            f"the filter leaves none of the {len(pool.item_window)} candidates; give other species, sites or hours, or a lower --floor"
        )
    maker = _Maker(pool, items, options)
    match options.kind:
        case "stratified":
            return maker.stratified()
        case "random":
            return maker.random()
        case "uncertain":
            return maker.uncertain(thresholds)
        case "unlike":
            return maker.unlike(thresholds)
        case _:
            if similarities is None:
                raise AutobirdError("the queue `similar` needs a clip; give --clip FILE")
            return maker.similar(similarities)


def strata_of(edges: Sequence[float], floor: float) -> list[tuple[float, float]]:
    """Return lower and upper limit of each stratum; the last one includes 1.

    Raises:
        AutobirdError: the borders do not increase between 0 and 1.
    """
    borders = [floor, *(edge for edge in edges if edge > floor), 1.0]
    if any(b <= a for a, b in pairwise(borders)):
        raise AutobirdError(
            f"strata {', '.join(map(str, edges))}: the borders must increase, and be above 0 and below 1"
        )
    return list(pairwise(borders))


class _Maker:
    """Makes a queue from some items of a pool."""

    def __init__(self, pool: Pool, items: NDArray[np.intp], options: QueueOptions) -> None:
        self._pool, self._items, self._options = pool, items, options

    def stratified(self) -> list[ReviewItem]:
        """Return equally many items of each species and stratum; cells with too few leave their share to the others."""
        p, o = self._pool, self._options
        cells: dict[tuple[int, int], NDArray[np.intp]] = {}
        strata = strata_of(o.edges, max(p.floor, o.filter.min_probability))
        lows = np.array([low for low, _ in strata])
        stratum = np.searchsorted(lows, p.item_probability[self._items], side="right") - 1
        species = p.item_species[self._items]
        # The highest scores first, because a review that ends early should know them best.
        for h in range(len(strata) - 1, -1, -1):
            for s in np.unique(species):
                members = self._items[(species == s) & (stratum == h)]
                if len(members):
                    cells[int(s), h] = self._by_hash(members)
        taken = shares({cell: len(members) for cell, members in cells.items()}, o.count)
        turns = sorted((n, cell[1] * -1, cell[0]) for cell in cells for n in range(taken[cell]))
        return [
            self._item(
                int(cells[s, -h][n]),
                Stratum(True, *strata[-h], o.filter.text).text,
                taken[s, -h] / len(cells[s, -h]),
            )
            for n, h, s in turns
        ]

    def random(self) -> list[ReviewItem]:
        """Return a simple random sample of all items."""
        chosen = self._by_hash(self._items)[: self._options.count]
        filter_ = self._options.filter
        name = Stratum(False, max(self._pool.floor, filter_.min_probability), 1.0, filter_.text).text
        return [self._item(int(item), name, len(chosen) / len(self._items)) for item in chosen]

    def uncertain(self, thresholds: Mapping[str, float]) -> list[ReviewItem]:
        """Return the items whose logit is nearest to that of the threshold of their species."""
        p = self._pool
        limit = logit(np.clip([thresholds[name] for name in p.labels], _MARGIN, 1 - _MARGIN))
        own = logit(np.clip(p.item_probability[self._items].astype(np.float64), _MARGIN, 1 - _MARGIN))
        order = np.argsort(np.abs(own - limit[p.item_species[self._items]]), kind="stable")
        return [
            self._item(int(item), "uncertain" + self._options.filter.text) for item in self._apart(self._items[order])
        ]

    def unlike(self, thresholds: Mapping[str, float]) -> list[ReviewItem]:
        """Return the detections in the windows that resemble the training set least."""
        p = self._pool
        limit = np.array([thresholds[name] for name in p.labels])
        detected = self._items[p.item_probability[self._items] >= limit[p.item_species[self._items]]]
        score = p.window_unknown[p.item_window[detected]]
        if not len(detected) or np.isnan(score).all():
            raise AutobirdError(
                "the queue `unlike` needs detections and a bundle with unknown scores, which bundles of older versions lack; give another "
                "--queue"
            )
        return [
            self._item(int(item), "unlike" + self._options.filter.text)
            for item in self._apart(detected[np.argsort(-score, kind="stable")])
        ]

    def similar(self, similarities: NDArray[np.floating]) -> list[ReviewItem]:
        """Return the most probable item of each window, the windows most similar to the clip first."""
        p = self._pool
        by_probability = self._items[np.argsort(-p.item_probability[self._items], kind="stable")]
        _, first = np.unique(p.item_window[by_probability], return_index=True)
        best = by_probability[first]
        order = np.argsort(-similarities[p.item_window[best]], kind="stable")
        chosen = self._apart(best[order])
        return [
            self._item(
                int(item), "similar" + self._options.filter.text, similarity=float(similarities[p.item_window[item]])
            )
            for item in chosen
        ]

    def _by_hash(self, items: NDArray[np.intp]) -> NDArray[np.intp]:
        return np.array(sorted(items, key=self._rank), np.intp)

    def _rank(self, item: int) -> bytes:
        p = self._pool
        window = p.item_window[item]
        parts = (
            str(self._options.seed),
            p.files[p.window_file[window]].name,
            seconds_text(float(p.window_start[window])),
            p.labels[p.item_species[item]],
        )
        return hashlib.sha256("\n".join(parts).encode()).digest()

    def _apart(self, items: NDArray[np.intp]) -> Iterator[int]:
        """Yield the first items, without those that overlap an earlier one of the same species."""
        p = self._pool
        taken: dict[tuple[int, int], list[tuple[float, float]]] = defaultdict(list)
        number = 0
        for item in items:
            window = p.item_window[item]
            start, end = float(p.window_start[window]), float(p.window_end[window])
            others = taken[int(p.window_file[window]), int(p.item_species[item])]
            if any(start < b and a < end for a, b in others):
                continue
            others.append((start, end))
            yield int(item)
            number += 1
            if number == self._options.count:
                return

    def _item(
        self, item: int, stratum: str, sampling_probability: float | None = None, similarity: float | None = None
    ) -> ReviewItem:
        p = self._pool
        window = int(p.item_window[item])
        file = p.files[p.window_file[window]]
        at, unknown = p.local_time(window), float(p.window_unknown[window])
        return ReviewItem(
            file.name,
            float(p.window_start[window]),
            float(p.window_end[window]),
            p.labels[p.item_species[item]],
            float(p.item_probability[item]),
            p.model,
            stratum,
            sampling_probability,
            None if np.isnan(unknown) else unknown,
            file.site,
            at.isoformat(timespec="seconds") if at else "",
            similarity,
        )


def shares(sizes: Mapping[tuple[int, int], int], count: int) -> dict[tuple[int, int], int]:
    """Return how many items of each cell are drawn: equally many, as far as there are; the first cells get the rest.

    Args:
        sizes: number of items of each cell.
        count: number of items in all.
    """
    taken = dict.fromkeys(sizes, 0)
    left = min(count, sum(sizes.values()))
    while left:
        for cell in [cell for cell in sizes if taken[cell] < sizes[cell]]:
            if not left:
                break
            taken[cell] += 1
            left -= 1
    return taken
