"""Thresholds of the species for a wanted precision on the user's own recordings."""

from dataclasses import dataclass

import numpy as np
from scipy.special import expit, logit

from autobird.review.precision import AboveThreshold, Precision

GRID = (*np.arange(0.05, 0.96, 0.05).round(2).tolist(), 0.97, 0.98, 0.99, 0.995)
"""Thresholds that are tried for a wanted precision, beside the floor."""

POOLED_ITEMS = 20
"""Weight of the threshold of all species together, in reviewed items: a species with as many has one halfway between the two."""


@dataclass(frozen=True)
class ChosenThreshold:
    """The threshold of a species for a wanted precision.

    Attributes:
        species: the species.
        threshold: the threshold.
        reached: whether the sample says that the precision at this threshold is at least the wanted one.
        result: precision and recall at it.
    """

    species: str
    threshold: float
    reached: bool
    result: AboveThreshold


def choose_thresholds(precision: Precision, wanted: float, by_lower_bound: bool = False) -> list[ChosenThreshold]:
    """Return for each species with reviewed items the lowest threshold with the wanted precision, see `_lowest`.

    The best threshold of a few reviewed items is mostly chance. It is therefore averaged on the logit scale with that of all species
    together, which counts `POOLED_ITEMS` items. The precision at the average can be lower than the wanted one, see `reached`.

    Args:
        precision: the estimates.
        wanted: wanted precision, 0 to 1.
        by_lower_bound: whether the lower end of the interval must reach it, not only the estimate. Then a threshold that is lower than the
            species' own one is not used.
    """
    s = precision.sample
    together = _lowest(precision, None, wanted, by_lower_bound)
    found = []
    for code, species in enumerate(s.labels):
        n = int((s.species == code).sum())
        if not n:
            continue
        own = _lowest(precision, species, wanted, by_lower_bound)
        share = n / (n + POOLED_ITEMS)
        average = round(float(expit(share * logit(own) + (1 - share) * logit(together))), 4)
        threshold = max(own, average) if by_lower_bound else average
        result = precision.above(threshold, species)
        reached = (result.precision.low if by_lower_bound else result.precision.value) >= wanted
        found.append(ChosenThreshold(species, threshold, reached, result))
    return found


def _lowest(precision: Precision, species: str | None, wanted: float, by_lower_bound: bool) -> float:
    """Return the lowest threshold that has the wanted precision, as at least half of the higher ones do; without one, that with the
    highest precision.
    """
    floor = precision.sample.borders[0]
    results = [precision.above(value, species) for value in (floor, *(value for value in GRID if value > floor))]
    # A threshold above all reviewed items says nothing.
    known = [r for r in results if r.reviewed and r.detections]
    if not known:
        return max(floor, 0.5)
    values = [r.precision.low if by_lower_bound else r.precision.value for r in known]
    passing = np.array(values) >= wanted
    # The highest scores have few items: a chance error there must not hide that the precision is reached below.
    lowest = [n for n in np.flatnonzero(passing) if passing[n:].mean() >= 0.5]
    if not lowest:
        return known[int(np.argmax(values))].threshold
    return known[lowest[0]].threshold
