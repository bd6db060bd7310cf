"""Pool the test predictions of a cross-validation: every recording once per seed, by the network that was not trained on it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from autobird.core.errors import AutobirdError
from autobird.evaluation.false_alarms import WindowSound
from autobird.evaluation.metrics import Metric, macro_average
from autobird.evaluation.predictions import (
    QUIET_SPLITS,
    UNTRAINED_SPLIT,
    Items,
    SplitPredictions,
    predictions_of_split,
    recording_label_sets,
)
from autobird.predict.classification import Calibration


@dataclass(frozen=True)
class FoldPredictions:
    """Predictions of a network that was trained with one seed, for the recordings that its fold tests.

    Attributes:
        fold: number of the fold.
        seed: seed of the training.
        labels: species that the network knows, in the order of the logits.
        calibration: calibration and thresholds of this network, fitted on its own validation split.
        table: logits (`PREDICTIONS`); splits other than test, its quiet windows and `UNTRAINED_SPLIT` are ignored.
    """

    fold: int
    seed: int
    labels: list[str]
    calibration: Calibration
    table: pd.DataFrame


@dataclass(frozen=True)
class PooledPredictions:
    """Predictions of the networks of one seed for the recordings of all folds.

    Attributes:
        seed: seed of the trainings.
        sound: of the windows.
        split: the predictions. A species that a network does not know has probability 0 there and is not detected.
        table: one row per recording, in the order of `split.names`: recording, group, the label set (`recording_label_sets`) and fold.
    """

    seed: int
    split: SplitPredictions
    table: pd.DataFrame
    sound: WindowSound


def pool(folds: Sequence[FoldPredictions], labels: list[str]) -> PooledPredictions:
    """Pool the predictions of the networks of one seed.

    Args:
        folds: one network per fold, all with the same seed.
        labels: species that at least one of the networks of the cross-validation knows.

    Raises:
        AutobirdError: a recording or a group is tested in two folds.
    """
    tested = [fold.table[fold.table["split"].isin(["test", UNTRAINED_SPLIT])] for fold in folds]
    predicted = [_test_predictions(fold, rows, labels) for fold, rows in zip(folds, tested, strict=True)]
    tables, splits = zip(*predicted, strict=True)
    table = pd.concat(tables, ignore_index=True)
    _check_tested_once(table, folds[0].seed)
    order = np.argsort(table["recording"].to_numpy(str), kind="stable")
    table = table.iloc[order].reset_index(drop=True)
    group = pd.factorize(table["group"])[0].astype(np.int64)
    recordings = _concatenate([split.recordings for split in splits], splits, order).subset(order)
    windows = _concatenate([split.windows for split in splits], splits, order)
    split = SplitPredictions(windows, recordings, table["recording"].tolist(), group)
    quiet = [fold.table[fold.table["split"] == QUIET_SPLITS["test"]] for fold in folds]
    sound = WindowSound.of_rows(pd.concat(tested), pd.concat(quiet))
    return PooledPredictions(folds[0].seed, split, table, sound)


def _concatenate(items: Sequence[Items], splits: Sequence[SplitPredictions], order: NDArray[np.intp]) -> Items:
    """Concatenate the items of several splits.

    Args:
        items: windows or recordings of each split.
        splits: the splits.
        order: the recordings of all splits, one split after the other, in their new order.
    """
    new_index = np.argsort(order)
    offsets = np.cumsum([0, *(len(split.names) for split in splits[:-1])])
    recording = [new_index[offset + part.recording] for offset, part in zip(offsets, items, strict=True)]
    return Items(
        np.concatenate([part.probabilities for part in items]),
        np.concatenate([part.detected for part in items]),
        np.concatenate([part.present for part in items]),
        np.concatenate([part.known for part in items]),
        np.concatenate([part.others for part in items]),
        np.concatenate(recording),
        items[0].is_independent,
    )


def _test_predictions(
    fold: FoldPredictions, rows: pd.DataFrame, labels: list[str]
) -> tuple[pd.DataFrame, SplitPredictions]:
    """Return the tested recordings of a fold, sorted by name, and the predictions for their windows (`rows`) with the species `labels`.

    A species that the network does not know has a logit of minus infinity, and so probability 0.
    """
    known = [labels.index(name) for name in fold.labels]
    logits = np.full((len(rows), len(labels)), -np.inf)
    if len(rows):
        logits[:, known] = np.stack(rows["logits"].to_list())
    of_network = fold.calibration
    calibration = replace(
        Calibration.none(of_network.outputs, len(labels), of_network.aggregation), smoothing=of_network.smoothing
    )
    for name in ("scale", "offset", "thresholds"):
        getattr(calibration, name)[known] = getattr(of_network, name)
    split = predictions_of_split(rows.assign(split="test", logits=list(logits)), labels, "test", calibration)
    return recording_label_sets(rows).assign(fold=fold.fold), split


def _check_tested_once(table: pd.DataFrame, seed: int) -> None:
    """Check that no recording and no group is tested in two folds.

    Raises:
        AutobirdError: otherwise; with the first recording or group and its folds.
    """
    for column, subject in (("recording", "the recording"), ("group", "recordings of the group")):
        folds = table.drop_duplicates([column, "fold"]).groupby(column, sort=True)["fold"].apply(list)
        repeated = folds[folds.map(len) > 1]
        if len(repeated):
            name = ", ".join(line for line in str(repeated.index[0]).splitlines() if line)
            raise AutobirdError(
                f"{subject} {name} would be tested in folds {' and '.join(map(str, repeated.iloc[0]))} with seed {seed}, but a "
                "cross-validation tests everything once. If the metadata give the split of recordings, remove that column; "
                "otherwise run `snakemake crossval` again, with the same settings for all folds"
            )


def check_same_recordings(first: tuple[int, pd.DataFrame], other: PooledPredictions) -> None:
    """Check that two seeds test the same recordings, with the same groups, folds and species.

    Args:
        first: seed and table of recordings of the first seed.
        other: predictions of another seed.

    Raises:
        AutobirdError: they do not.
    """
    if not first[1].equals(other.table):
        raise AutobirdError(
            f"the trainings with seeds {first[0]} and {other.seed} do not test the same recordings of the same groups in the same "
            "folds; run `snakemake crossval` again"
        )


def first_seed_sentence(folds: int) -> str:
    """Say which networks an analysis of a cross-validation uses, for its summary; empty for an analysis of a single split."""
    if folds < 2:
        return ""
    return f" This analysis pools the {folds} folds of the cross-validation, each with the network of the first seed of `train.seeds`."


def mean_over_seeds(metrics: Sequence[Metric]) -> Metric:
    """Return the mean of a metric over seeds, under each row of weights.

    Seeds for which the metric is not defined are left out, for example the precision of a species that is never detected. The
    number of groups is the smallest of the seeds.
    """
    values = macro_average(np.stack([metric.values for metric in metrics], axis=1))
    return Metric(values, min(metric.groups for metric in metrics))
