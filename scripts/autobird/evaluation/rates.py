"""Confidence intervals of rates, such as false alarms per hour, from the counts of independent sessions."""

import numpy as np
from numpy.typing import NDArray

from autobird.core import quantiles
from autobird.evaluation.bootstrap import Interval

_MAX_LOG_HALF_WIDTH = 20.0
"""Largest half-width of an interval on the logarithmic scale, to avoid overflow."""


def rate_interval(counts: NDArray[np.number], hours: NDArray[np.floating], confidence: float) -> Interval | None:
    """Return events per hour, and the confidence interval from the differences between sessions.

    Events of one session are not independent, so the number of events is divided by a dispersion: the variance of the rate over
    sessions (the variance of a ratio of sums), divided by the variance of independent events. The interval is the exact one of a
    Poisson distribution (Garwood 1936; quantiles of gamma distributions) for this effective number of events. The dispersion is at
    least 1, and is enlarged by the square of the ratio of Student's t to the normal quantile, because it is estimated from few
    sessions. With more than two sessions, the upper bound is at least that of Student's t on the logarithmic scale. Without any event the
    upper bound is that of independent events, 3.7 divided by the hours at 95 %, because nothing is known about their dispersion.

    `tests/unit/test_rates.py` measures how often the intervals contain the true rate.

    Args:
        counts: number of events of each session; shape (sessions,).
        hours: hours of each session; shape (sessions,). Sessions without hours are left out.
        confidence: confidence level, for example 0.95.

    Returns:
        Estimate and bounds per hour; bounds of NaN with fewer than two sessions; None without any hours.
    """
    used = hours > 0
    events, time = np.asarray(counts[used], np.float64), np.asarray(hours[used], np.float64)
    total, total_time, sessions = float(events.sum()), float(time.sum()), len(time)
    if not sessions:
        return None
    rate = total / total_time
    if sessions < 2:
        return rate, np.nan, np.nan
    tail = (1 - confidence) / 2
    quantile = quantiles.student(1 - tail, sessions - 1)
    if not total:
        return 0.0, 0.0, quantiles.gamma(1 - tail, 1) / total_time
    variance = float(((events - rate * time) ** 2).sum()) * sessions / (sessions - 1) / total_time**2
    dispersion = max(1.0, variance * total_time / rate * (quantile / quantiles.normal(1 - tail)) ** 2)
    effective = total / dispersion
    low = quantiles.gamma(tail, effective) * dispersion / total_time
    high = quantiles.gamma(1 - tail, effective + 1) * dispersion / total_time
    if sessions > 2:  # of two sessions, Student's t of one degree of freedom says nothing on this scale
        half_width = min(_MAX_LOG_HALF_WIDTH, quantile * float(np.sqrt(variance)) / rate)
        high = max(high, rate * float(np.exp(half_width)))
    return rate, low, high
