"""Intervals by resampling recordings: windows of one recording are not independent, recordings nearly are."""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def recording_weights(recordings: int, resamples: int, seed: int) -> Floats:
    """How often each resample draws each recording; shape (1 + resamples, recordings), row 0 is all ones."""
    rng = np.random.default_rng(seed)
    drawn = rng.multinomial(recordings, np.full(recordings, 1 / recordings), size=resamples)
    return np.concatenate([np.ones((1, recordings)), drawn.astype(np.float64)])


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
