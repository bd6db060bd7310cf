"""The predictions for the test recordings of a run, or of all folds of a cross-validation, for the analyses of the scores."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from autobird.core.files import read_json
from autobird.core.tables import read_table
from autobird.evaluation.evaluate import read_calibration
from autobird.evaluation.pooling import FoldPredictions, pool
from autobird.evaluation.predictions import UNTRAINED_SPLIT, SplitPredictions, predictions_of_split


@dataclass(frozen=True)
class TestedRecordings:
    """Predictions for test recordings.

    Attributes:
        labels: species in the order of the probabilities.
        split: the predictions.
        windows: one row per window, in the order of `split.windows`: recording, start, and fold, the number of the data set.
    """

    labels: list[str]
    split: SplitPredictions
    windows: pd.DataFrame


def read_test_predictions(
    predictions: Sequence[Path], calibrations: Sequence[Path], labels: Sequence[Path]
) -> TestedRecordings:
    """Read the predictions of a run (one file each), or of the folds of a cross-validation, whose test recordings are pooled.

    Args:
        predictions: logits (`PREDICTIONS`).
        calibrations: `calibration.json` of the same models.
        labels: `labels.json` of their data sets.

    Raises:
        AutobirdError: a recording or a group is tested in two folds.
    """
    tables, names = [read_table(path) for path in predictions], [read_json(path) for path in labels]
    found = [read_calibration(path)[1] for path in calibrations]
    if len(tables) == 1:
        rows = tables[0][tables[0]["split"] == "test"]
        return TestedRecordings(names[0], predictions_of_split(rows, names[0], "test", found[0]), _windows(rows, 0))
    everything = sorted({name for known in names for name in known})
    folds = [
        FoldPredictions(n, 0, known, calibration, table)
        for n, (known, calibration, table) in enumerate(zip(names, found, tables, strict=True))
    ]
    tested = [table[table["split"].isin(["test", UNTRAINED_SPLIT])] for table in tables]
    windows = pd.concat([_windows(rows, n) for n, rows in enumerate(tested)], ignore_index=True)
    return TestedRecordings(everything, pool(folds, everything).split, windows)


def _windows(rows: pd.DataFrame, fold: int) -> pd.DataFrame:
    return rows[["recording", "start"]].assign(fold=fold).reset_index(drop=True)


def subset_recordings(
    split: SplitPredictions, mask: NDArray[np.bool_], columns: NDArray[np.intp] | None = None
) -> SplitPredictions:
    """Return the predictions for some recordings, without those for their windows.

    Args:
        split: the predictions.
        mask: which recordings; shape (recordings,).
        columns: species to keep, as indices; None: all.
    """
    items = split.recordings.subset(mask)
    if columns is not None:
        left_out = np.ones(items.present.shape[1], bool)
        left_out[columns] = False
        items = replace(
            items,
            probabilities=items.probabilities[:, columns],
            detected=items.detected[:, columns],
            present=items.present[:, columns],
            known=items.known[:, columns],
            others=items.others | items.present[:, left_out].any(axis=1),
        )
    items = replace(items, recording=np.arange(len(items.recording)))
    group = np.unique(split.group[mask], return_inverse=True)[1].astype(np.int64)
    names = [name for name, used in zip(split.names, mask, strict=True) if used]
    windows = split.windows.subset(np.zeros(len(split.windows), bool))
    return SplitPredictions(windows, items, names, group)
