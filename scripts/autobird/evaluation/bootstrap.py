"""Confidence intervals by resampling groups of recordings.

Windows of one recording depend on each other, and so do recordings of one session. A group contains the recordings of a
session and recordings with the same audio. The split never divides a group, so groups are the independent units that the
bootstrap resamples.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit

from autobird.core import quantiles

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

Interval = tuple[float, float, float]
"""Estimate, lower bound, upper bound. The bounds are NaN if they are not available."""

_MIN_STANDARD_ERROR = 1e-9
"""Standard error below which all resamples are considered to have the same value."""

_MAX_BLOCKS = 20
"""Largest number of jackknife blocks into which a stratum is divided."""

_MAX_LOG_HALF_WIDTH = math.log(100)
"""Largest half-width of an interval on the logarithmic scale. A wider one, of very few groups, says nothing; its bounds are NaN."""


@dataclass(frozen=True)
class Resamples:
    """Weights of groups for the estimate, its bootstrap and its jackknife.

    Attributes:
        weights: weight of each group; shape (1 + bootstrap_rows + jackknife rows, groups). Row 0 contains ones and gives the
            estimate. The bootstrap rows follow, then one jackknife row for each block of groups, in which the block has
            weight 0.
        group_of_recording: group of each recording, as an index; shape (recordings,).
        bootstrap_rows: number of bootstrap rows.
        jackknife_stratum: stratum of the block that each jackknife row leaves out, as an index; shape (jackknife rows,).
        stratum_sizes: number of groups of each stratum; shape (strata,).
        species_strata: whether a group of the stratum has a species; shape (strata,). None: all strata.
    """

    weights: Floats
    group_of_recording: NDArray[np.intp]
    bootstrap_rows: int
    jackknife_stratum: NDArray[np.intp]
    stratum_sizes: NDArray[np.intp]
    species_strata: Flags | None = None

    @property
    def groups(self) -> int:
        """Number of independent groups."""
        return self.weights.shape[1]

    @property
    def species_sizes(self) -> NDArray[np.intp]:
        """Number of groups of each stratum with a species, which are those that a mean over the species averages; of all strata if there
        are none. Shape (strata,).
        """
        if self.species_strata is None or not self.species_strata.any():
            return self.stratum_sizes
        return self.stratum_sizes[self.species_strata]

    @property
    def effective_groups(self) -> float:
        """Number of groups that, equally distributed over the strata, would give a mean over the species the same variance."""
        sizes = self.species_sizes
        return float(len(sizes) ** 2 / (1 / sizes).sum())

    @property
    def variance_of_one_group(self) -> float:
        """Squared effect of one group with a species on a mean over the species, averaged over these groups."""
        return 1 / (self.effective_groups * float(self.species_sizes.sum()))


def resample_groups(group: NDArray[np.int64], present: Flags, resamples: int, seed: int) -> Resamples:
    """Draw groups of recordings with replacement within strata.

    The stratum of a group is its rarest species: of its species, the one that occurs in the fewest groups. Every resample
    therefore has the same composition as the split. Without strata, a species with one or two groups would be missing from
    many resamples. From a stratum of n groups, n - 1 are drawn and weighted by n / (n - 1), which makes the variance
    unbiased also for small n (Rao and Wu 1988). Strata of a single group are merged.

    Args:
        group: group of each recording, any integer; shape (recordings,).
        present: species of each recording; shape (recordings, species).
        resamples: number of resamples.
        seed: seed of the random generator.

    Returns:
        The resamples. With fewer than two groups nothing can be drawn, and the weights consist of row 0.
    """
    group_ids, group = np.unique(group, return_inverse=True)
    count = len(group_ids)
    if count < 2:
        return Resamples(np.ones((1, count)), group, 0, np.zeros(0, np.intp), np.array([count], np.intp))
    rng = np.random.default_rng(seed)
    bootstrap = np.ones((resamples, count))
    jackknife: list[Floats] = []
    jackknife_stratum: list[int] = []
    strata = _strata(group, present, count)
    with_species = np.zeros(count, bool)
    np.logical_or.at(with_species, group, present.any(axis=1))
    for stratum, members in enumerate(strata):
        n = len(members)
        bootstrap[:, members] = rng.multinomial(n - 1, np.full(n, 1 / n), size=resamples) * (n / (n - 1))
        for block in np.array_split(members, min(n, _MAX_BLOCKS)):
            row = np.ones(count)
            row[members] = n / (n - len(block))
            row[block] = 0
            jackknife.append(row)
            jackknife_stratum.append(stratum)
    return Resamples(
        np.concatenate([np.ones((1, count)), bootstrap, jackknife]),
        group,
        resamples,
        np.array(jackknife_stratum, np.intp),
        np.array([len(members) for members in strata], np.intp),
        np.array([with_species[members].any() for members in strata]),
    )


def _strata(group: NDArray[np.intp], present: Flags, count: int) -> list[NDArray[np.intp]]:
    """Return the groups of each stratum; every stratum has at least two groups.

    Args:
        group: group of each recording, as an index; shape (recordings,).
        present: species of each recording; shape (recordings, species).
        count: number of groups; at least 2.
    """
    species = present.shape[1]
    contains = np.zeros((count, species + 1), bool)
    np.logical_or.at(contains, group, np.pad(present, ((0, 0), (0, 1))))
    contains[:, species] = ~contains.any(axis=1)  # groups without any species are a stratum of their own
    groups_of_species = np.where(contains, contains.sum(axis=0), count + 1)
    stratum = groups_of_species.argmin(axis=1)
    sizes = np.bincount(stratum, minlength=species + 1)
    strata = [np.flatnonzero(stratum == s) for s in np.flatnonzero(sizes > 1)]
    singles = np.flatnonzero(sizes[stratum] == 1)
    if len(singles) == 1:
        smallest = min(range(len(strata)), key=lambda i: len(strata[i]))
        strata[smallest] = np.append(strata[smallest], singles)
    elif len(singles):
        strata.append(singles)
    return strata


def bounded_interval(
    values: Floats, resamples: Resamples, confidence: float, groups: int, min_degrees_of_freedom: float = 1.0
) -> Interval | None:
    """Return the estimate and the confidence interval of a metric between 0 and 1.

    The standard error comes from the bootstrap. The interval is that of Student's t on the logit scale. It stays between
    0 and 1, and it keeps its coverage for few groups and for values near 1, where percentile intervals are too narrow
    (measured by tests/unit/test_intervals.py). If all resamples have the same value, as for a species that is always
    right, the standard error is not informative. The interval is then that of Clopper and Pearson (1934) for as many
    independent trials as there are relevant groups. So it is if there is one such group: how the items of a species that is in a single
    group are ranked varies only with the other groups, and the bootstrap intervals of its AUROC contain the true value in 40 % of the
    trials instead of 95 %.

    A metric near 1 with few errors has a standard error from very few groups, hence few degrees of freedom and an interval
    that can reach almost from 0 to 1. The interval is therefore cut to that of Clopper and Pearson for half as many trials as there are
    effective groups (`Resamples.effective_groups`). Half, because one error can lower the F1 of two species. In the simulations of
    tests/unit/test_intervals.py the cut intervals contain the true value as often as the uncut ones.

    Args:
        values: the metric under each row of the weights, shape (rows,). Bootstrap and jackknife rows in which it is not
            defined (NaN) are ignored.
        resamples: the weights with which `values` was computed.
        confidence: confidence level, for example 0.95.
        groups: number of relevant groups: those with an item that enters the metric. For the precision of a species, these
            are the groups in which it is detected; for a ranking, those with an item that should be at the top.
        min_degrees_of_freedom: lower bound of the degrees of freedom. A metric of one species is an average over its own
            groups, so it has at least their number minus 1, however its errors are distributed.

    Returns:
        Estimate and bounds, or None if the metric is not defined.
    """
    tail = (1 - confidence) / 2

    def clopper_pearson(value: float, trials: float) -> tuple[float, float]:
        successes = value * trials
        low = quantiles.beta(tail, successes, trials - successes + 1) if successes > 0 else 0.0
        high = quantiles.beta(1 - tail, successes + 1, trials - successes) if successes < trials else 1.0
        return low, high

    def bounds(value: float, error: float, degrees_of_freedom: float) -> tuple[float, float]:
        if error < _MIN_STANDARD_ERROR or not 0 < value < 1 or groups == 1:
            return clopper_pearson(value, max(1, groups))
        quantile = quantiles.student(1 - tail, max(degrees_of_freedom, min_degrees_of_freedom))
        half_width = quantile * error / (value * (1 - value))
        low, high = clopper_pearson(value, max(1.0, min(groups, resamples.effective_groups) / 2))
        return max(low, float(expit(logit(value) - half_width))), min(high, float(expit(logit(value) + half_width)))

    return _interval(values, resamples, bounds)


def positive_interval(values: Floats, resamples: Resamples, confidence: float) -> Interval | None:
    """Return the estimate and the confidence interval of a positive, unbounded metric such as a loss.

    Like `bounded_interval`, with Student's t on the logarithmic scale. The bounds are NaN if all resamples have the same value, or if
    the upper one would be more than 100 times the estimate.
    """

    def bounds(value: float, error: float, degrees_of_freedom: float) -> tuple[float, float]:
        if error < _MIN_STANDARD_ERROR or value <= 0:
            return np.nan, np.nan
        half_width = quantiles.student((1 + confidence) / 2, degrees_of_freedom) * error / value
        factor = float(np.exp(half_width)) if half_width <= _MAX_LOG_HALF_WIDTH else np.nan
        return value / factor, value * factor

    return _interval(values, resamples, bounds)


def difference_interval(values: Floats, resamples: Resamples, confidence: float) -> Interval | None:
    """Return the estimate and the confidence interval of a paired difference of two macro-averages between 0 and 1.

    Like `bounded_interval`, with Student's t on the linear scale, cut at -1 and 1.

    If two networks differ in the predictions of few recordings, the bootstrap underestimates the variance of the difference.
    The variance is therefore computed as if the networks differed in one more group (similar to Agresti and Min 2005 for paired
    proportions): the squared effect of one group on a macro-average is added. Each stratum with a species represents a species here; groups
    without any species change no macro-average.
    """

    def bounds(value: float, error: float, degrees_of_freedom: float) -> tuple[float, float]:
        quantile = quantiles.student((1 + confidence) / 2, degrees_of_freedom)
        half_width = float(quantile * np.sqrt(error**2 + resamples.variance_of_one_group))
        return max(-1.0, value - half_width), min(1.0, value + half_width)

    return _interval(values, resamples, bounds)


def slope_interval(values: Floats, resamples: Resamples, confidence: float, groups: int) -> Interval | None:
    """Return the estimate and the confidence interval of a change of a score of one species, or of a slope of such changes.

    Student's t on the linear scale, with at least `groups` - 1 degrees of freedom. As in `difference_interval`, the variance is
    computed as if one more group had changed, here by half, because the change is a mean over several fits. In simulations of 4 to 30
    groups and three fits, the 95 % intervals contain the true value in at least 95 % of the trials; without this term, in as few as
    63 %.

    Args:
        values: the change under each row of the weights, shape (rows,).
        resamples: the weights.
        confidence: confidence level.
        groups: number of groups that contain the species.
    """

    def bounds(value: float, error: float, degrees_of_freedom: float) -> tuple[float, float]:
        degrees_of_freedom = max(degrees_of_freedom, groups - 1.0, 1.0)
        quantile = quantiles.student((1 + confidence) / 2, degrees_of_freedom)
        half_width = float(quantile * np.sqrt(error**2 + (0.5 / max(1, groups)) ** 2))
        return max(-1.0, value - half_width), min(1.0, value + half_width)

    return _interval(values, resamples, bounds)


def ratio_interval(numerator: Floats, denominator: Floats, resamples: Resamples, confidence: float) -> Interval | None:
    """Return the estimate and the confidence interval of a paired ratio of two errors, each 1 minus a macro-average.

    With Student's t on the logarithmic scale. As in `difference_interval`, the variance is computed as if the networks differed
    in one more group; its effect on the logarithm is its effect on an error, divided by the error (averaged over both errors).

    Args:
        numerator: the first error under each row of the weights, shape (rows,).
        denominator: the second error.
        resamples: the weights.
        confidence: confidence level.

    Returns:
        None if the denominator is 0; bounds of NaN if the numerator is 0, or if the upper one would be more than 100 times the estimate.
        Resamples in which one of them is 0 are ignored.
    """
    if np.isnan(numerator[0]) or not denominator[0] > 0:
        return None
    if numerator[0] <= 0:
        return 0.0, np.nan, np.nan
    variance_of_one_group = resamples.variance_of_one_group * (numerator[0] ** -2 + denominator[0] ** -2) / 2

    def bounds(value: float, error: float, degrees_of_freedom: float) -> tuple[float, float]:
        quantile = quantiles.student((1 + confidence) / 2, degrees_of_freedom)
        half_width = float(quantile * np.sqrt(error**2 + variance_of_one_group))
        if half_width > _MAX_LOG_HALF_WIDTH:
            return np.nan, np.nan
        return value - half_width, value + half_width

    with np.errstate(divide="ignore", invalid="ignore"):
        logarithm = np.where((numerator > 0) & (denominator > 0), np.log(numerator / denominator), np.nan)
    interval = _interval(logarithm, resamples, bounds)
    return interval and (float(np.exp(interval[0])), float(np.exp(interval[1])), float(np.exp(interval[2])))


def _interval(
    values: Floats, resamples: Resamples, bounds: Callable[[float, float, float], tuple[float, float]]
) -> Interval | None:
    """Return the estimate of a metric and its bounds.

    Args:
        values: the metric under each row of the weights, shape (rows,).
        resamples: the weights.
        bounds: computes the bounds from the estimate, its standard error and the degrees of freedom of the standard error.

    Returns:
        None if the metric is not defined; bounds of NaN if there are fewer than two resamples in which it is.
    """
    value = float(values[0])
    if np.isnan(value):
        return None
    bootstrap = values[1 : 1 + resamples.bootstrap_rows]
    bootstrap = bootstrap[~np.isnan(bootstrap)]
    if len(bootstrap) < 2:
        return value, np.nan, np.nan
    error = float(bootstrap.std(ddof=1))
    return value, *bounds(value, error, _degrees_of_freedom(values[1 + resamples.bootstrap_rows :], resamples))


def _degrees_of_freedom(jackknife: Floats, resamples: Resamples) -> float:
    """Return the degrees of freedom of the variance (Satterthwaite 1946), from the jackknife variances of the strata.

    If most of the variance comes from a few small strata, the variance is as uncertain as theirs, however many groups the
    other strata have.

    Args:
        jackknife: the metric under each jackknife row; shape (jackknife rows,).
        resamples: the weights.
    """
    total = denominator = 0.0
    for stratum in range(len(resamples.stratum_sizes)):
        values = jackknife[resamples.jackknife_stratum == stratum]
        values = values[~np.isnan(values)]
        if len(values) < 2:
            continue
        variance = (len(values) - 1) * float(values.var())
        total += variance
        denominator += variance**2 / (len(values) - 1)
    maximum = max(1, resamples.groups - len(resamples.stratum_sizes))
    if denominator <= _MIN_STANDARD_ERROR**4:
        return float(maximum)
    return min(maximum, max(1.0, total**2 / denominator))
