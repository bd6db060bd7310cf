"""Intervals by resampling recordings: windows of one recording are not independent, recordings nearly are."""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def recording_weights(species: NDArray[np.int64], resamples: int, seed: int) -> Floats:
    """How often each resample draws each recording, drawn with replacement within each species.

    Drawn over all recordings together, a species with one or two would be missing from many resamples; a macro
    average then leaves it out, and the interval lies beside its own estimate. Within species every resample has
    the composition of the test split. (A species with a single recording adds no width: no bootstrap could know.)

    Args:
        species: of each recording, as an index; shape (recordings,).
        resamples: how many.
        seed: of the draws.

    Returns:
        shape (1 + resamples, recordings), row 0 is all ones.
    """
    rng = np.random.default_rng(seed)
    out = np.ones((1 + resamples, len(species)))
    for code in np.unique(species):
        members = np.flatnonzero(species == code)
        out[1:, members] = rng.multinomial(len(members), np.full(len(members), 1 / len(members)), size=resamples)
    return out


def interval(values: Floats, confidence: float) -> tuple[float, float, float] | None:
    """Estimate and percentile interval (Efron and Tibshirani 1993, chapter 13) of a metric.

    Args:
        values: shape (1 + resamples,), the estimate first.
        confidence: for example 0.95.

    Returns:
        (value, low, high), or None where the metric is not defined on the whole sample. Resamples in which it
        is not defined are left out.
    """
    if np.isnan(values[0]):
        return None
    rest = values[1:][~np.isnan(values[1:])]
    if not len(rest):
        return float(values[0]), float("nan"), float("nan")
    low, high = np.quantile(rest, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(values[0]), float(low), float(high)
