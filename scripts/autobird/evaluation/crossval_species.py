"""Scores of each species in a cross-validation, as means over seeds."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from autobird.evaluation.bootstrap import Resamples
from autobird.evaluation.crossval_scores import standard_deviation
from autobird.evaluation.evaluate import interval_columns, species_interval
from autobird.evaluation.metrics import (
    Metric,
    Weighting,
    auroc_by_species,
    average_precision_by_species,
    f1_by_species,
    precision_by_species,
    predicted_and_true,
    recall_by_species,
)
from autobird.evaluation.pooling import mean_over_seeds
from autobird.evaluation.predictions import Items
from autobird.evaluation.settings import EvaluationSettings

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

INTERVALS = ("f1", "detection_precision", "detection_recall", "detection_f1")
"""Metrics that get an interval; the others get an estimate only, as in `evaluation/species.csv`."""


@dataclass
class SpeciesScores:
    """Metrics of each species per recording, collected seed by seed.

    Attributes:
        resamples: resamples of the groups, which all seeds share.
        metrics: for each metric and seed, its values, shape (rows, species), and the number of groups that enter it, (species,).
        estimates: average precision and AUROC of each seed, shape (species,).
    """

    resamples: Resamples
    metrics: dict[str, list[tuple[Floats, list[int]]]] = field(default_factory=dict)
    estimates: dict[str, list[Floats]] = field(default_factory=dict)

    def add(self, recordings: Items) -> None:
        """Compute the metrics of a seed from its pooled predictions for the recordings."""
        species = recordings.probabilities.shape[1]
        predicted, truth, single = predicted_and_true(recordings)
        weighting = Weighting.of(self.resamples, recordings).subset(single)
        f1 = f1_by_species(predicted, truth, weighting)
        if species < 2:  # a single species is always the most probable one
            f1 = np.full_like(f1, np.nan)
        self._add("f1", f1, weighting, predicted | truth)
        weighting = Weighting.of(self.resamples, recordings)
        detected, present, known = recordings.detected & recordings.known, recordings.present, recordings.known
        self._add("detection_precision", precision_by_species(detected, present, weighting), weighting, detected)
        self._add("detection_recall", recall_by_species(detected, present, weighting), weighting, present)
        self._add("detection_f1", f1_by_species(detected, present, weighting), weighting, detected | present)
        estimate_only = Weighting(weighting.weights[:1], weighting.group)
        for name, function in (("average_precision", average_precision_by_species), ("auroc", auroc_by_species)):
            self.estimates.setdefault(name, []).append(
                function(recordings.probabilities, present, known, estimate_only)[0]
            )

    def _add(self, name: str, values: Floats, weighting: Weighting, relevant: Flags) -> None:
        groups = [weighting.count_groups(relevant[:, i]) for i in range(values.shape[1])]
        self.metrics.setdefault(name, []).append((values, groups))

    def mean(self, name: str, species: int) -> Metric:
        """Return the mean over the seeds of a metric of a species."""
        return mean_over_seeds([Metric(values[:, species], groups[species]) for values, groups in self.metrics[name]])


def species_table(
    scores: SpeciesScores,
    recordings: Items,
    labels: list[str],
    unknown: dict[str, list[str]],
    settings: EvaluationSettings,
) -> pd.DataFrame:
    """Return one row per species: counts, mean scores over the seeds, and the folds that are not trained on it.

    Args:
        scores: metrics of all seeds.
        recordings: the tested recordings.
        labels: the species.
        unknown: for each fold that lacks species, their names.
        settings: confidence level.
    """
    weighting = Weighting.of(scores.resamples, recordings)
    rows: list[dict[str, Any]] = []
    for i, name in enumerate(labels):
        present = recordings.present[:, i]
        row: dict[str, Any] = {
            "species": name,
            "recordings": int(present.sum()),
            "groups": weighting.count_groups(present),
            "not_trained_in": "; ".join(fold for fold, names in unknown.items() if name in names),
        }
        for metric in INTERVALS:
            mean = scores.mean(metric, i)
            row |= interval_columns(metric, species_interval(mean.values, scores.resamples, settings, mean.groups))
        row["f1_sd_over_seeds"] = standard_deviation(values[0, i] for values, _ in scores.metrics["f1"])
        for metric, by_seed in scores.estimates.items():
            row[metric] = float(np.mean([values[i] for values in by_seed]))
        rows.append(row)
    return pd.DataFrame(rows).round(4)
