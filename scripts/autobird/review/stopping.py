"""When a review may stop: how many more items of which stratum bring the precision at a threshold to within a wanted distance."""

from dataclasses import dataclass

import numpy as np

from autobird.core import quantiles
from autobird.core.wording import listed
from autobird.review.precision import Cell, Precision

MOST = 2000
"""Largest number of further items that is looked for."""


@dataclass(frozen=True)
class Remaining:
    """What remains until the precision at a threshold is known well enough.

    Attributes:
        threshold: the threshold.
        species: the species; None: all species together.
        half_width: half the width of the interval of the precision now; NaN without any detection at the threshold.
        wanted: wanted half width.
        more: number of further items of each stratum, by its limits; empty if nothing remains.
        is_enough: whether these items are enough; False if even all items of the pool, or `MOST`, are not.
    """

    threshold: float
    species: str | None
    half_width: float
    wanted: float
    more: dict[tuple[float, float], int]
    is_enough: bool

    @property
    def text(self) -> str:
        """The rule as a sentence."""
        what = f"the precision at {self.threshold:g}" + (f" of {self.species}" if self.species else "")
        if not self.more and self.is_enough:
            return f"{what} is known to within {self.half_width:.2f}: nothing more is needed for {self.wanted:g}"
        parts = [f"{count} more of the scores {low:g}-{high:g}" for (low, high), count in sorted(self.more.items())]
        if not self.more:
            return f"{what} is unknown, as there is no item with this score"
        if not self.is_enough and sum(self.more.values()) >= MOST:
            return f"{what} needs more than {MOST} further items to be known to within {self.wanted:g} (now {self.half_width:.2f})"
        if not self.is_enough:
            return f"{what} cannot be brought to within {self.wanted:g} with the {sum(self.more.values())} items that are left"
        return f"{listed(parts)} bring {what} to within {self.wanted:g} (now {self.half_width:.2f})"


def remaining(precision: Precision, threshold: float, wanted: float = 0.05, species: str | None = None) -> Remaining:
    """Return how many more reviewed items bring the precision at a threshold to within a wanted distance.

    Each further item goes to the stratum in which it lowers the variance most (Neyman's allocation), as if its share stayed what it is
    now. The variance is scaled so that it gives the interval of now.

    Args:
        precision: the estimates.
        threshold: the threshold.
        wanted: wanted half width of the interval.
        species: the species; None: all species together.
    """
    borders = sorted({*precision.sample.borders, min(1.0, max(precision.sample.borders[0], threshold))})
    cells = [c for c in precision.cells(borders, species) if c.low >= threshold and c.population]
    now = precision.above(threshold, species).precision.half_width
    if not cells or not np.isfinite(now):
        return Remaining(threshold, species, float("nan"), wanted, {}, False)
    if now <= wanted:
        return Remaining(threshold, species, now, wanted, {}, True)
    z = quantiles.normal(1 - (1 - precision.confidence) / 2)
    size = np.array([cell.population for cell in cells], np.float64)
    reviewed = np.array([cell.reviewed for cell in cells], np.float64)
    rate = _effect(cells)
    spread = np.array([_variance(cell) for cell in cells])
    more = np.zeros(len(cells))

    def variances(extra: np.ndarray) -> np.ndarray:
        n = reviewed + extra
        finite = np.clip(1 - n / size, 0, 1)
        return (size / size.sum()) ** 2 * spread * finite**2 / (rate * n + 2)

    scale = now / (z * float(np.sqrt(variances(more).sum())))
    while more.sum() < MOST:
        left = more + reviewed < size
        if not left.any():
            break
        gains = np.where(left, variances(more) - variances(more + 1), -1.0)
        more[int(gains.argmax())] += 1
        if scale * z * np.sqrt(variances(more).sum()) <= wanted:
            return Remaining(threshold, species, now, wanted, _counts(cells, more), True)
    return Remaining(threshold, species, now, wanted, _counts(cells, more), False)


def _effect(cells: list[Cell]) -> float:
    """Return the effective number of items for each reviewed one; 1 if none was."""
    reviewed = sum(cell.reviewed for cell in cells)
    return sum(cell.effective for cell in cells) / reviewed if reviewed else 1.0


def _variance(cell: Cell) -> float:
    share = (cell.effective * cell.share + cell.prior) / (cell.effective + 1)
    return float(share * (1 - share))


def _counts(cells: list[Cell], more: np.ndarray) -> dict[tuple[float, float], int]:
    return {(cell.low, cell.high): int(n) for cell, n in zip(cells, more, strict=True) if n}
