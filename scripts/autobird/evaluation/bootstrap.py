"""Confidence intervals by resampling groups of recordings.

Windows of one recording depend on each other, and so do recordings of one session. Groups (sessions, and recordings
that share a sound) are what the split keeps apart, so they are the independent units that the bootstrap draws.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit
from scipy.stats import beta
from scipy.stats import t as student

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

_SAME = 1e-9
"""Standard error below which all resamples gave the same value."""

_WIDEST = 20.0
"""Largest half-width on a logarithmic scale, so that no bound overflows."""


@dataclass(frozen=True)
class Resamples:
    """Bootstrap resamples of the recordings of a split.

    Attributes:
        weights: weight of each recording in each resample; shape (1 + resamples, recordings), row 0 is all ones.
        groups: number of independent groups.
        freedom: degrees of freedom: groups minus strata, at least 1.
    """

    weights: Floats
    groups: int
    freedom: int


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
    if len(codes) < 2:
        return Resamples(np.ones((1, len(group))), len(codes), 1)
    rng = np.random.default_rng(seed)
    weights = np.ones((1 + resamples, len(codes)))
    strata = _strata(group, present, len(codes))
    for members in strata:
        n = len(members)
        weights[1:, members] = rng.multinomial(n - 1, np.full(n, 1 / n), size=resamples) * (n / (n - 1))
    return Resamples(weights[:, group], len(codes), max(1, len(codes) - len(strata)))


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
    values: Floats, resamples: Resamples, confidence: float, groups: int | None = None
) -> tuple[float, float, float] | None:
    """Estimate and interval of a metric between 0 and 1.

    The bootstrap gives the standard error; the interval is that of Student's t on the logit scale, which stays
    between 0 and 1 and keeps its coverage for few groups and for values near 1, where percentile intervals are too
    narrow (tests/unit/test_intervals.py measures it). Where all resamples give one value, as for a species that is
    always right, the standard error says nothing; the interval is then that of Clopper and Pearson (1934) for as many
    independent trials as there are groups.

    Args:
        values: shape (1 + resamples,), the estimate first; resamples in which the metric is not defined (NaN) are left out.
        resamples: the draws behind `values`.
        confidence: for example 0.95.
        groups: number of groups that the metric is about, if not all of them.

    Returns:
        (value, low, high); low and high are NaN where nothing could be resampled; None where the metric is not defined.
    """
    value, error = _estimate(values)
    if value is None:
        return None
    if error is None:
        return value, float("nan"), float("nan")
    tail = (1 - confidence) / 2
    if error < _SAME or not 0 < value < 1:
        trials = max(1, resamples.groups if groups is None else groups)
        right = value * trials
        low = float(beta.ppf(tail, right, trials - right + 1)) if right > 0 else 0.0
        high = float(beta.ppf(1 - tail, right + 1, trials - right)) if right < trials else 1.0
        return value, low, high
    half = student.ppf(1 - tail, resamples.freedom) * error / (value * (1 - value))
    return value, float(expit(logit(value) - half)), float(expit(logit(value) + half))


def positive_interval(values: Floats, resamples: Resamples, confidence: float) -> tuple[float, float, float] | None:
    """The same for a metric that is positive and unbounded, such as a loss: Student's t on the logarithmic scale."""
    value, error = _estimate(values)
    if value is None:
        return None
    if error is None or value <= 0:
        return value, float("nan"), float("nan")
    factor = float(np.exp(min(_WIDEST, student.ppf((1 + confidence) / 2, resamples.freedom) * error / value)))
    return value, value / factor, value * factor


def difference_interval(values: Floats, resamples: Resamples, confidence: float) -> tuple[float, float, float] | None:
    """The same for a paired difference of two metrics between 0 and 1: Student's t, cut at -1 and 1.

    Where all resamples give one value, as when both sides answer alike, the half-width is the share of groups in which
    they may still differ: the upper end of Clopper and Pearson's interval for 0 of as many trials as there are groups.
    """
    value, error = _estimate(values)
    if value is None:
        return None
    if error is None:
        return value, float("nan"), float("nan")
    half = float(student.ppf((1 + confidence) / 2, resamples.freedom)) * error
    if error < _SAME:
        half = 1 - ((1 - confidence) / 2) ** (1 / resamples.groups)
    return value, max(-1.0, value - half), min(1.0, value + half)


def _estimate(values: Floats) -> tuple[float | None, float | None]:
    """The estimate and its standard error; None where they are not known."""
    if np.isnan(values[0]):
        return None, None
    rest = values[1:][~np.isnan(values[1:])]
    return float(values[0]), float(rest.std(ddof=1)) if len(rest) > 1 else None
