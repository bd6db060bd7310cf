"""Intervals for files of JSON: a value with its bounds."""

import numpy as np

from autobird.evaluation.bootstrap import Interval, Resamples, bounded_interval, positive_interval
from autobird.evaluation.metrics import Metric

IntervalJson = dict[str, float | None] | None
"""An interval as in metrics.json: `value`, `low`, `high`; None if the metric is not defined."""


def rounded(value: float) -> float | None:
    """Return a value for JSON, rounded to six decimals; None for NaN."""
    return None if np.isnan(value) else round(float(value), 6)


def interval_json(interval: Interval | None) -> IntervalJson:
    """Return an interval for JSON, rounded to six decimals; bounds that are not available are None."""
    if interval is None:
        return None
    return dict(zip(("value", "low", "high"), map(rounded, interval), strict=True))


def metric_interval(name: str, metric: Metric, resamples: Resamples, confidence: float) -> IntervalJson:
    """Return the interval of a metric of `all_metrics`."""
    if name == "loss":
        return interval_json(positive_interval(metric.values, resamples, confidence))
    return interval_json(bounded_interval(metric.values, resamples, confidence, metric.groups))
