"""Precision of a model on the user's own recordings, by score and species, and the recall against a lower score, from a sample.

The population is known: all items of the pool and their scores. In each interval of the score, the share of items with their species is
estimated from the reviewed ones, weighted by the number of items that each stands for. The precision above a threshold is the mean of the
shares above it, weighted by the number of items of the population there.

Intervals are those of the posterior distribution of these means: the share of a cell has a Beta distribution, from a prior that counts
as one item (Jeffreys' for all species together; for a single species, the share of all species in the same interval). The number of items
is the effective one: Kish's (1965) for unequal weights, divided by the design effect of sessions, and by the square of the quotient of
Student's t and the normal quantile for few sessions, as Korn and Graubard (1998) do.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from autobird.core import quantiles
from autobird.review.sample import Sample

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

CONFIDENCE = 0.95

DRAWS = 4000
"""Draws of the posterior distribution."""

_SEED = 0

_PRIOR_CORRELATION, _PRIOR_PAIRS = 0.1, 30
"""Correlation of two items of one session before any were seen, and the number of pairs that this counts as."""


class Estimate(NamedTuple):
    """A value with its interval; NaN if it is not known."""

    value: float
    low: float
    high: float

    @property
    def half_width(self) -> float:
        """Half the width of the interval."""
        return (self.high - self.low) / 2


class Cell(NamedTuple):
    """An interval of the score and what was reviewed in it.

    Attributes:
        low: its lower limit, which belongs to it.
        high: its upper limit.
        population: number of items of the population.
        reviewed: number of reviewed items.
        present: number of these with their species.
        share: share of items with their species.
        effective: effective number of reviewed items.
        prior: share before any item of the cell was reviewed.
    """

    low: float
    high: float
    population: int
    reviewed: int
    present: int
    share: float
    effective: float
    prior: float


@dataclass(frozen=True)
class AboveThreshold:
    """The items of a score of at least a threshold.

    Attributes:
        threshold: the threshold.
        detections: number of windows in which a species reaches it.
        reviewed: number of reviewed ones.
        precision: share of them with their species.
        true: estimated number of them with their species.
        recall: share of all items with their species, from the floor of the pool on, that reach it.
    """

    threshold: float
    detections: int
    reviewed: int
    precision: Estimate
    true: Estimate
    recall: Estimate


class Precision:
    """Precision and recall from a sample.

    Args:
        sample: the reviewed items and the population.
        confidence: of the intervals.

    Attributes:
        sample: the reviewed items and the population.
        correlation: of two items of one session about the same species, and about different ones.
    """

    def __init__(self, sample: Sample, confidence: float = CONFIDENCE) -> None:
        self.sample, self.confidence = sample, confidence
        self._weights = self._items_for_each()
        self.correlation = self._correlations()

    def strata(self, species: str | None = None) -> list[tuple[Cell, Estimate]]:
        """Return the intervals of the score, the lowest first, each with the share of items that have their species.

        Args:
            species: the species; None: all species together.
        """
        cells = self.cells(self.sample.borders, species)
        draws = self._draws(cells)
        return [(cell, self._estimate(cell.share, draws[n])) for n, cell in enumerate(cells)]

    def above(self, threshold: float, species: str | None = None) -> AboveThreshold:
        """Return the precision and the recall at a threshold.

        Args:
            threshold: lowest probability of a detection.
            species: the species; None: all species together, with the same threshold.
        """
        floor = self.sample.borders[0]
        borders = sorted({*self.sample.borders, min(1.0, max(floor, threshold))})
        cells = self.cells(borders, species)
        # The last cell includes 1; a threshold of 1 leaves an empty interval, whose items are those of exactly 1.
        is_above = np.array([cell.low >= threshold for cell in cells], bool)
        size = np.array([cell.population for cell in cells], np.float64)
        share = np.array([cell.share for cell in cells])
        draws = self._draws(cells)
        detections = float(size[is_above].sum())
        true = float((size * share)[is_above].sum())
        true_draws = (size[:, None] * draws)[is_above].sum(axis=0)
        all_true, all_draws = float((size * share).sum()), (size[:, None] * draws).sum(axis=0)
        with np.errstate(invalid="ignore", divide="ignore"):
            precision = self._estimate(np.float64(true) / detections, true_draws / detections)
            recall = self._estimate(np.float64(true) / all_true, true_draws / all_draws)
        reviewed = sum(cell.reviewed for cell, above in zip(cells, is_above, strict=True) if above)
        return AboveThreshold(threshold, int(detections), reviewed, precision, self._estimate(true, true_draws), recall)

    def cells(self, borders: Sequence[float], species: str | None = None) -> list[Cell]:
        """Return the intervals between borders with what was reviewed in them, for a species or for all together (None)."""
        s = self.sample
        together = self._cells(borders, np.ones(len(s), bool), np.ones(len(s.population_species), bool), None)
        if species is None:
            return together
        code = s.labels.index(species)
        return self._cells(borders, s.species == code, s.population_species == code, together)

    def _cells(
        self, borders: Sequence[float], rows: Flags, population: Flags, prior: Sequence[Cell] | None
    ) -> list[Cell]:
        s = self.sample
        scores = s.population_probability[population]
        cells = []
        # Errors of one session are alike over all scores, so the design effect is that of all items, not of those in an interval.
        shrink = self._sessions_factor(rows) / self._design_effect(rows)
        for n, (low, high) in enumerate(pairwise(borders)):
            is_last = n == len(borders) - 2
            inside = rows & (s.probability >= low) & ((s.probability < high) | is_last)
            count = int(((scores >= low) & ((scores < high) | is_last)).sum())
            weights, present = self._weights[inside], s.present[inside]
            before = 0.5 if prior is None else (prior[n].share * prior[n].effective + 0.5) / (prior[n].effective + 1)
            share = float((weights * present).sum() / weights.sum()) if len(weights) else before
            kish = float(weights.sum() ** 2 / (weights**2).sum()) if len(weights) else 0.0
            effective = kish * shrink
            cells.append(Cell(low, high, count, len(weights), int(present.sum()), share, effective, before))
        return cells

    def _draws(self, cells: Sequence[Cell]) -> Floats:
        """Return draws of the share of each cell; shape (cells, `DRAWS`)."""
        rng = np.random.default_rng(_SEED)
        out = np.empty((len(cells), DRAWS))
        for n, cell in enumerate(cells):
            yes, no = cell.effective * cell.share + cell.prior, cell.effective * (1 - cell.share) + 1 - cell.prior
            drawn = rng.beta(max(yes, 1e-3), max(no, 1e-3), DRAWS)
            # What was reviewed is certain; the distribution is that of the others.
            certain = cell.reviewed / max(1, cell.population) if cell.reviewed else 0.0
            out[n] = certain * cell.share + (1 - certain) * drawn
        return out

    def _estimate(self, value: float | np.floating, draws: Floats) -> Estimate:
        if not np.isfinite(value):
            return Estimate(float("nan"), float("nan"), float("nan"))
        tail = (1 - self.confidence) / 2
        low, high = np.quantile(draws[np.isfinite(draws)], [tail, 1 - tail])
        return Estimate(float(value), min(float(low), float(value)), max(float(high), float(value)))

    def _items_for_each(self) -> Floats:
        """Return how many items of the population each reviewed item stands for: those of its cell, divided by the reviewed ones."""
        s = self.sample
        inner = np.array(s.borders[1:-1])
        cell = np.searchsorted(inner, s.probability, side="right") + len(s.borders) * s.species
        population = (
            np.searchsorted(inner, s.population_probability, side="right") + len(s.borders) * s.population_species
        )
        length = len(s.borders) * (len(s.labels) + 1)
        sizes, reviewed = np.bincount(population, minlength=length), np.bincount(cell, minlength=length)
        return np.asarray(sizes[cell] / np.maximum(1, reviewed[cell]), np.float64)

    def _correlations(self) -> tuple[float, float]:
        """Return the correlation of two items of one session of the same species, and of different ones; at least 0.

        It is that of the deviations from the share of their interval, drawn towards `_PRIOR_CORRELATION`.
        """
        s = self.sample
        if not len(s):
            return _PRIOR_CORRELATION, _PRIOR_CORRELATION
        inner = np.array(s.borders[1:-1])
        interval = np.searchsorted(inner, s.probability, side="right")
        count = np.maximum(1, np.bincount(interval, minlength=len(s.borders)))
        share = np.bincount(interval, s.present, len(s.borders)) / count
        deviation = s.present - share[interval]
        variance = float((deviation**2).mean())
        same, other, same_pairs, other_pairs = 0.0, 0.0, 0.0, 0.0
        for session in np.unique(s.session):
            rows = s.session == session
            total, pairs = (
                float(deviation[rows].sum() ** 2 - (deviation[rows] ** 2).sum()) / 2,
                _pairs(int(rows.sum())).item(),
            )
            of_species, pairs_of_species = 0.0, 0.0
            for species in np.unique(s.species[rows]):
                d = deviation[rows & (s.species == species)]
                of_species += float(d.sum() ** 2 - (d**2).sum()) / 2
                pairs_of_species += _pairs(len(d)).item()
            same, same_pairs = same + of_species, same_pairs + pairs_of_species
            other, other_pairs = other + total - of_species, other_pairs + pairs - pairs_of_species
        return _correlation(same, same_pairs, variance), _correlation(other, other_pairs, variance)

    def _design_effect(self, rows: Flags) -> float:
        """Return by how much the variance is larger than that of independent items; at least 1."""
        s = self.sample
        n = int(rows.sum())
        if not n:
            return 1.0
        same, other = self.correlation
        _, sizes = np.unique(s.session[rows], return_counts=True)
        _, of_species = np.unique(s.session[rows] * len(s.labels) + s.species[rows], return_counts=True)
        pairs, same_pairs = float(_pairs(sizes).sum()), float(_pairs(of_species).sum())
        return 1 + 2 * (same * same_pairs + other * (pairs - same_pairs)) / n

    def _sessions_factor(self, rows: Flags) -> float:
        """Return the factor of the effective number of items for few sessions; 1 with a single one, which tells nothing about others."""
        sessions = len(np.unique(self.sample.session[rows]))
        if sessions < 2:
            return 1.0
        tail = 1 - (1 - self.confidence) / 2
        return float((quantiles.normal(tail) / quantiles.student(tail, sessions - 1)) ** 2)


def _pairs(n: int | NDArray[np.integer]) -> NDArray[np.float64]:
    return np.asarray(n, np.float64) * (np.asarray(n, np.float64) - 1) / 2


def _correlation(products: float, pairs: float | Floats, variance: float) -> float:
    prior = _PRIOR_CORRELATION * _PRIOR_PAIRS
    if variance <= 0:
        return _PRIOR_CORRELATION
    return float(np.clip((products / variance + prior) / (pairs + _PRIOR_PAIRS), 0, 1))
