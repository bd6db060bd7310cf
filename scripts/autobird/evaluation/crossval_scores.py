"""Scores of a cross-validation: pooled over the folds with intervals, and of each fold and seed."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from autobird.evaluation.bootstrap import Resamples
from autobird.evaluation.interval_json import metric_interval, rounded
from autobird.evaluation.metrics import Metric, Weighting, all_metrics
from autobird.evaluation.pooling import PooledPredictions, mean_over_seeds
from autobird.evaluation.predictions import Items


@dataclass
class Scores:
    """Metrics of the pooled predictions, collected seed by seed.

    Attributes:
        resamples: resamples of the groups, which all seeds share.
        pooled: for each level and metric, the metric of each seed under all rows of the resamples.
        by_member: for each level and metric, the value of each fold and seed; NaN where it is not defined.
    """

    resamples: Resamples
    pooled: dict[str, dict[str, dict[int, Metric]]] = field(default_factory=dict)
    by_member: dict[str, dict[str, dict[tuple[int, int], float]]] = field(default_factory=dict)

    def add(self, predictions: PooledPredictions) -> None:
        """Compute the metrics of a seed, pooled and for each fold."""
        fold_of_recording = predictions.table["fold"].to_numpy()
        for level, items in (("by_recording", predictions.split.recordings), ("by_window", predictions.split.windows)):
            pooled = self.pooled.setdefault(level, {})
            for name, metric in all_metrics(items, Weighting.of(self.resamples, items)).items():
                pooled.setdefault(name, {})[predictions.seed] = metric
            by_member = self.by_member.setdefault(level, {})
            for fold in np.unique(fold_of_recording):
                for name, value in _estimates(items.subset(fold_of_recording[items.recording] == fold)).items():
                    by_member.setdefault(name, {})[int(fold), predictions.seed] = value

    def json(self, level: str, confidence: float) -> dict[str, Any]:
        """Return all metrics of a level (`by_recording`, `by_window`) for `crossval.json`; None if a metric is not defined.

        Each has the mean over the seeds of the pooled value with its interval (`value`, `low`, `high`); the pooled value of each
        seed; the mean over the seeds for each fold; the value of each fold and seed; and the standard deviations over seeds and
        over folds.
        """
        out: dict[str, Any] = {}
        for name, by_seed in self.pooled[level].items():
            members = self.by_member[level][name]
            interval = metric_interval(name, mean_over_seeds(list(by_seed.values())), self.resamples, confidence)
            seeds = {seed: float(metric.values[0]) for seed, metric in by_seed.items()}
            folds = {
                fold: _mean(members[fold, seed] for seed in by_seed) for fold in sorted({fold for fold, _ in members})
            }
            out[name] = interval and interval | {
                "seeds": {str(seed): rounded(value) for seed, value in seeds.items()},
                "folds": {str(fold): rounded(value) for fold, value in folds.items()},
                "members": {
                    f"fold{fold}.seed{seed}": rounded(value) for (fold, seed), value in sorted(members.items())
                },
                "sd_over_seeds": rounded(standard_deviation(seeds.values())),
                "sd_over_folds": rounded(standard_deviation(folds.values())),
            }
        return out


def _estimates(items: Items) -> dict[str, float]:
    """Return all metrics of items by name, without resamples."""
    equal = Weighting(np.ones((1, 1)), np.zeros(len(items.recording), np.intp))
    return {name: float(metric.values[0]) for name, metric in all_metrics(items, equal).items()}


def _defined(values: Iterable[float]) -> list[float]:
    return [value for value in values if not np.isnan(value)]


def _mean(values: Iterable[float]) -> float:
    """Return the mean of the values that are not NaN; NaN if there are none."""
    defined = _defined(values)
    return float(np.mean(defined)) if defined else np.nan


def standard_deviation(values: Iterable[float]) -> float:
    """Return the standard deviation (n - 1 in the denominator) of the values that are not NaN; NaN for fewer than two."""
    defined = _defined(values)
    return float(np.std(defined, ddof=1)) if len(defined) > 1 else np.nan
