"""Confidence intervals by resampling groups of recordings.

Windows of one recording depend on each other, and so do recordings of one session. Groups (sessions, and recordings
that share a sound) are what the split keeps apart, so they are the independent units that the bootstrap draws.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit
from scipy.stats import beta
from scipy.stats import t as student

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

Interval = tuple[float, float, float]
"""Value, low, high; the bounds are NaN where they are not known."""

_SAME = 1e-9
"""Standard error below which all resamples gave the same value."""

_BLOCKS = 20
"""Most parts into which a stratum is divided to estimate its variance."""

_WIDEST = 20.0
"""Largest half-width on a logarithmic scale, so that no bound overflows."""


@dataclass(frozen=True)
class Resamples:
    """Weights of groups, for the estimate itself, for its bootstrap and for its jackknife.

    Attributes:
        weights: weight of each group; shape (1 + draws + blocks, groups). Row 0 is all ones; then come the bootstrap's
            draws; then one row for each block of groups of a stratum, which is left out in it.
        group: group of each recording, as an index; shape (recordings,).
        draws: number of bootstrap rows.
        blocks: stratum of each jackknife row; shape (blocks,).
        strata: number of groups of each stratum.
    """

    weights: Floats
    group: NDArray[np.intp]
    draws: int
    blocks: NDArray[np.intp]
    strata: NDArray[np.intp]

    @property
    def groups(self) -> int:
        """Number of independent groups."""
        return self.weights.shape[1]


def resample_groups(group: NDArray[np.int64], present: Flags, resamples: int, seed: int) -> Resamples:
    """Draw groups of recordings with replacement, within strata.

    A group's stratum is its rarest species (the one that the fewest groups hold), so that every resample keeps the
    composition of the split: drawn over all groups together, a species with one or two of them would be missing from
    many resamples. From a stratum of n groups, n - 1 are drawn and weighted by n / (n - 1), which makes the variance
    unbiased where n is small (Rao and Wu 1988). Strata of a single group are pooled.

    Args:
        group: group of each recording, as an index; shape (recordings,).
        present: which species each recording holds; shape (recordings, species).
        resamples: number of resamples.
        seed: seed of the draws.

    Returns:
        the resamples; with fewer than two groups nothing can be drawn, and the weights have row 0 alone.
    """
    codes, group = np.unique(group, return_inverse=True)
    count = len(codes)
    if count < 2:
        return Resamples(np.ones((1, count)), group, 0, np.zeros(0, np.intp), np.array([count], np.intp))
    rng = np.random.default_rng(seed)
    drawn = np.ones((resamples, count))
    left_out: list[Floats] = []
    blocks: list[int] = []
    strata = _strata(group, present, count)
    for number, members in enumerate(strata):
        n = len(members)
        drawn[:, members] = rng.multinomial(n - 1, np.full(n, 1 / n), size=resamples) * (n / (n - 1))
        for block in np.array_split(members, min(n, _BLOCKS)):
            row = np.ones(count)
            row[members] = n / (n - len(block))
            row[block] = 0
            left_out.append(row)
            blocks.append(number)
    weights = np.concatenate([np.ones((1, count)), drawn, left_out])
    return Resamples(weights, group, resamples, np.array(blocks, np.intp), np.array([len(s) for s in strata], np.intp))


def _strata(group: NDArray[np.intp], present: Flags, count: int) -> list[NDArray[np.intp]]:
    """The groups of each stratum, two or more."""
    species = present.shape[1]
    holds = np.zeros((count, species + 1), bool)
    np.logical_or.at(holds, group, np.pad(present, ((0, 0), (0, 1))))
    holds[:, species] = ~holds.any(axis=1)  # groups without any species are a stratum of their own
    frequency = np.where(holds, holds.sum(axis=0), count + 1)
    stratum = frequency.argmin(axis=1)
    sizes = np.bincount(stratum, minlength=species + 1)
    strata = [np.flatnonzero(stratum == s) for s in np.flatnonzero(sizes > 1)]
    alone = np.flatnonzero(sizes[stratum] == 1)
    if len(alone) == 1:
        smallest = min(range(len(strata)), key=lambda i: len(strata[i]))
        strata[smallest] = np.append(strata[smallest], alone)
    elif len(alone):
        strata.append(alone)
    return strata


def share_interval(
    values: Floats, resamples: Resamples, confidence: float, groups: int, least_freedom: float = 1.0
) -> Interval | None:
    """Estimate and interval of a metric between 0 and 1.

    The bootstrap gives the standard error; the interval is that of Student's t on the logit scale, which stays
    between 0 and 1 and keeps its coverage for few groups and for values near 1, where percentile intervals are too
    narrow (tests/unit/test_intervals.py measures it). Where all resamples give one value, as for a species that is
    always right, the standard error says nothing; the interval is then that of Clopper and Pearson (1934) for as many
    independent trials as there are groups that the metric is about.

    Args:
        values: the metric under each row of the weights, the estimate first; rows in which it is not defined (NaN) are left out.
        resamples: the weights behind `values`.
        confidence: for example 0.95.
        groups: number of groups that the metric is about, for example those in which a species is detected for its precision.
        least_freedom: least degrees of freedom. A metric of one species is an average over its own groups alone, so that it has
            as many as these less one, however its errors fall.

    Returns:
        value and bounds, or None where the metric is not defined.
    """
    tail = (1 - confidence) / 2

    def bounds(value: float, error: float, freedom: float) -> tuple[float, float]:
        if error < _SAME or not 0 < value < 1:
            trials = max(1, groups)
            right = value * trials
            low = float(beta.ppf(tail, right, trials - right + 1)) if right > 0 else 0.0
            return low, float(beta.ppf(1 - tail, right + 1, trials - right)) if right < trials else 1.0
        half = student.ppf(1 - tail, max(freedom, least_freedom)) * error / (value * (1 - value))
        return float(expit(logit(value) - half)), float(expit(logit(value) + half))

    return _interval(values, resamples, bounds)


def positive_interval(values: Floats, resamples: Resamples, confidence: float) -> Interval | None:
    """The same for a metric that is positive and unbounded, such as a loss: Student's t on the logarithmic scale."""

    def bounds(value: float, error: float, freedom: float) -> tuple[float, float]:
        if error < _SAME or value <= 0:
            return np.nan, np.nan
        factor = float(np.exp(min(_WIDEST, student.ppf((1 + confidence) / 2, freedom) * error / value)))
        return value / factor, value * factor

    return _interval(values, resamples, bounds)


def difference_interval(values: Floats, resamples: Resamples, confidence: float) -> Interval | None:
    """The same for a paired difference of two macro averages between 0 and 1: Student's t, cut at -1 and 1.

    Where two networks differ in few answers, the bootstrap sees too few of the differences that there are. As if one more
    group differed (after Agresti and Min 2005 for paired proportions), the squared effect of a group on a macro average is
    added to the variance; strata stand for species.
    """
    one_more = (1 / resamples.strata).sum() / len(resamples.strata) ** 2 / resamples.groups

    def bounds(value: float, error: float, freedom: float) -> tuple[float, float]:
        half = float(student.ppf((1 + confidence) / 2, freedom) * np.sqrt(error**2 + one_more))
        return max(-1.0, value - half), min(1.0, value + half)

    return _interval(values, resamples, bounds)


def _interval(
    values: Floats, resamples: Resamples, bounds: Callable[[float, float, float], tuple[float, float]]
) -> Interval | None:
    """A metric with the bounds that follow from its value, its standard error and the degrees of freedom of that.

    None where the metric is not defined; bounds of NaN where nothing could be resampled.
    """
    value = float(values[0])
    if np.isnan(value):
        return None
    drawn = values[1 : 1 + resamples.draws]
    drawn = drawn[~np.isnan(drawn)]
    if len(drawn) < 2:
        return value, np.nan, np.nan
    return value, *bounds(value, float(drawn.std(ddof=1)), _freedom(values[1 + resamples.draws :], resamples))


def _freedom(left_out: Floats, resamples: Resamples) -> float:
    """Degrees of freedom of the variance, by Satterthwaite (1946) over the strata's jackknife variances.

    Where a few small strata bring most of the variance, it is known as badly as theirs, however many groups the others have.
    """
    total = below = 0.0
    for stratum in range(len(resamples.strata)):
        values = left_out[resamples.blocks == stratum]
        values = values[~np.isnan(values)]
        if len(values) < 2:
            continue
        variance = (len(values) - 1) * float(values.var())
        total += variance
        below += variance**2 / (len(values) - 1)
    most = max(1, resamples.groups - len(resamples.strata))
    return min(most, max(1.0, total**2 / below)) if below > _SAME**4 else float(most)
