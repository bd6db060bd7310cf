"""The scores of the trials of a sweep on validation recordings, each compared with the settings of the run."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from autobird.core.errors import AutobirdError
from autobird.core.files import read_json
from autobird.core.tables import read_table
from autobird.evaluation.bootstrap import Resamples, difference_interval
from autobird.evaluation.interval_json import interval_json, metric_interval
from autobird.evaluation.metrics import Metric, Weighting, all_metrics
from autobird.evaluation.pooling import FoldPredictions, PooledPredictions, mean_over_seeds, pool
from autobird.evaluation.predictions import QUIET_SPLITS
from autobird.evaluation.settings import EvaluationSettings
from autobird.predict.classification import Calibration, Outputs


@dataclass(frozen=True)
class Training:
    """One training of a trial: its fold (0 without folds), its seed, and the files of its logits and its species."""

    fold: int
    seed: int
    predictions: Path
    labels: Path


@dataclass(frozen=True)
class TrialFiles:
    """A trial and its trainings.

    Attributes:
        id: of the trial.
        values: the value of each parameter of the sweep.
        outputs: what the outputs of its networks mean.
        trainings: on all folds of the rung, with all seeds.
    """

    id: str
    values: Mapping[str, Any]
    outputs: Outputs
    trainings: Sequence[Training]


def validation_rows(table: pd.DataFrame, excluded: frozenset[str]) -> pd.DataFrame:
    """Return the rows of a table of logits that the score of a trial uses, with the names of splits that `pool` uses.

    These are the validation windows, without the recordings that the run itself tests: on other folds they can be validation
    recordings, and choosing settings by them would make the test score of the run optimistic.

    Args:
        table: columns of `PREDICTIONS`.
        excluded: test recordings of the run.
    """
    names = {"validation": "test", QUIET_SPLITS["validation"]: QUIET_SPLITS["test"]}
    rows = table[table["split"].isin(list(names)) & ~table["recording"].isin(list(excluded))]
    return rows.assign(split=rows["split"].map(names))


def pooled_by_seed(
    trial: TrialFiles, labels: list[str], excluded: frozenset[str], settings: EvaluationSettings
) -> list[PooledPredictions]:
    """Return the predictions of a trial for the validation recordings of all its folds, of each seed.

    The logits are not calibrated: a calibration would be fitted to the same recordings.

    Args:
        trial: the trial.
        labels: species that at least one network of the sweep knows.
        excluded: test recordings of the run.
        settings: aggregation and smoothing of the windows.
    """
    out = []
    for seed in sorted({training.seed for training in trial.trainings}):
        folds = []
        for training in trial.trainings:
            if training.seed != seed:
                continue
            known: list[str] = read_json(training.labels)
            calibration = replace(
                Calibration.none(trial.outputs, len(known), settings.aggregation), smoothing=settings.smoothing
            )
            table = validation_rows(read_table(training.predictions), excluded)
            folds.append(FoldPredictions(training.fold, seed, known, calibration, table))
        out.append(pool(folds, labels))
    return out


def trial_scores(
    trials: Sequence[TrialFiles], metric: str, excluded: frozenset[str], settings: EvaluationSettings
) -> dict[str, Any]:
    """Return the scores of trials with intervals, under the same resamples of the groups.

    Args:
        trials: the first has the settings of the run; the others are compared with it.
        metric: one of `METRICS`, per recording.
        excluded: test recordings of the run.
        settings: aggregation, bootstrap and confidence level.

    Returns:
        `recordings` and `groups`, and the `trials`, the best first: id, values, seeds and folds, the `score` with its interval, the
        score of each seed (`by_seed`), the paired `difference` from the settings of the run and its `standard_error`.

    Raises:
        AutobirdError: there is nothing to compare, or the trials are not validated on the same recordings.
    """
    labels = sorted({name for trial in trials for training in trial.trainings for name in read_json(training.labels)})
    resamples: Resamples | None = None
    weighting: Weighting | None = None
    first: pd.DataFrame | None = None
    reference: Metric | None = None
    rows: list[dict[str, Any]] = []
    for trial in trials:
        seeds = pooled_by_seed(trial, labels, excluded, settings)
        if resamples is None or weighting is None or first is None:
            first = seeds[0].table
            if first.empty:
                raise AutobirdError(
                    "no validation recording is left to compare the trials on: all of them are test recordings of the run; use more "
                    "recordings, or set sweep.validate_on to the other value"
                )
            resamples = seeds[0].split.resamples(settings.resamples, settings.seed)
            weighting = Weighting.of(resamples, seeds[0].split.recordings)
        if not all(seed.table.equals(first) for seed in seeds):
            raise AutobirdError(
                f"{trial.id} is not validated on the same recordings as the settings of the run; run `snakemake sweep` again"
            )
        by_seed = [all_metrics(seed.split.recordings, weighting)[metric] for seed in seeds]
        mean = mean_over_seeds(by_seed)
        if np.isnan(mean.values[0]):
            if metric == "cmap":
                raise AutobirdError(
                    "cmap is not defined on the validation recordings, because none of them contains a species; use more recordings"
                )
            raise AutobirdError(
                f"{metric} is not defined on the validation recordings (of a single species, or none with one species alone); set "
                "metric.name of the sweep to cmap"
            )
        reference = reference or mean
        difference = mean.values - reference.values
        is_reference = reference is mean
        bootstrap = difference[1 : 1 + resamples.bootstrap_rows]
        interval = (0.0, 0.0, 0.0) if is_reference else difference_interval(difference, resamples, settings.confidence)
        rows.append(
            {
                "id": trial.id,
                "values": dict(trial.values),
                "seeds": [seed.seed for seed in seeds],
                "folds": sorted({training.fold for training in trial.trainings}),
                "score": metric_interval(metric, mean, resamples, settings.confidence),
                "by_seed": [round(float(seed.values[0]), 6) for seed in by_seed],
                "difference": interval_json(interval),
                "standard_error": round(float(np.nanstd(bootstrap, ddof=1)), 6) if len(bootstrap) > 1 else None,
            }
        )
    assert first is not None
    assert resamples is not None
    # Equal scores: the settings of the run come first, then the order of the sweep.
    rows.sort(key=lambda row: -row["score"]["value"])
    return {"recordings": len(first), "groups": resamples.groups, "trials": rows}
