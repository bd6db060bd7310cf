"""Predictions for the windows and recordings of a split, together with the species that are present in them."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from autobird.dataset.index import UNTRAINED
from autobird.evaluation.bootstrap import Resamples, resample_groups
from autobird.predict.classification import Calibration, classify

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Ints = NDArray[np.int64]

PREDICTIONS = pa.schema(
    [
        ("recording", pa.string()),
        ("group", pa.string()),
        ("start", pa.int64()),
        ("split", pa.string()),
        ("present", pa.list_(pa.string())),
        ("complete", pa.bool_()),
        ("recording_species", pa.list_(pa.string())),
        ("recording_complete", pa.bool_()),
        ("logits", pa.list_(pa.float32())),
    ]
)
"""One row per window that is not quiet. Windows without a label are included, because prediction covers them too. `present`,
`complete`, `recording_species` and `recording_complete` are as in `INDEX`; `logits` has one value per label, in their order.
`split` is `UNTRAINED_SPLIT` for the rows of `untrained_windows`, which only the cross-validation uses."""

UNTRAINED_SPLIT = "untrained"
"""Split of the predictions for test recordings that contain only species without a window in training."""


@dataclass(frozen=True)
class Items:
    """Predictions for items (windows or recordings), and the species that are present in them.

    Attributes:
        probabilities: each row sums to 1; shape (items, species).
        detected: species whose probability reaches their decision threshold; shape (items, species).
        present: species that are present; shape (items, species).
        single_species: for an item of exactly one species, and that among the labels, the species as an index; otherwise -1;
            shape (items,).
        complete: whether all species of the item are known, which means that no other species is present; shape (items,).
        recording: recording of each item, as an index; shape (items,).
    """

    probabilities: Floats
    detected: Flags
    present: Flags
    single_species: Ints
    complete: Flags
    recording: Ints

    def subset(self, rows: Flags | NDArray[np.intp]) -> "Items":
        """Return some of the items: those where a mask of shape (items,) is true, or those at some indices, in their order."""
        return Items(
            self.probabilities[rows],
            self.detected[rows],
            self.present[rows],
            self.single_species[rows],
            self.complete[rows],
            self.recording[rows],
        )


@dataclass(frozen=True)
class SplitPredictions:
    """Predictions for the windows and the recordings of a split.

    Attributes:
        windows: one item per window that is not quiet.
        recordings: one item per recording, sorted by name.
        names: names of the recordings.
        group: group of each recording, as an index; shape (recordings,).
    """

    windows: Items
    recordings: Items
    names: list[str]
    group: Ints

    @property
    def groups(self) -> int:
        """Number of independent groups."""
        return len(np.unique(self.group))

    def resamples(self, count: int, seed: int) -> Resamples:
        """Return bootstrap resamples of the groups; see `resample_groups`."""
        return resample_groups(self.group, self.recordings.present, count, seed)


def windows_to_predict(index: pd.DataFrame, labels: list[str]) -> pd.DataFrame:
    """Return the windows that the release stages predict: those that prediction with the released model would cover.

    These are the windows that are not quiet, with a label or without. Recordings without any species of the model are
    excluded, unless they contain no species at all: the model cannot recognise what they contain.

    Args:
        index: index of windows (`INDEX`).
        labels: species of the model.

    Returns:
        Rows of the index. The column `split` is the split of the recording.
    """
    known = set(labels)
    relevant = index["recording_species"].map(lambda names: not len(names) or not known.isdisjoint(names))
    windows = index[~index["quiet"] & relevant].reset_index(drop=True)
    return windows.assign(split=windows["recording_split"])


def untrained_windows(index: pd.DataFrame, labels: list[str]) -> pd.DataFrame:
    """Return the windows of test recordings that contain species without a window in training, and none of the model's species.

    A model cannot recognise these species, so its own evaluation excludes the recordings. In a cross-validation, other folds can be
    trained on the species: there, all recordings of it count.

    Args:
        index: index of windows (`INDEX`).
        labels: species of the model.

    Returns:
        Rows of the index that are not quiet. The column `split` is `UNTRAINED_SPLIT`.
    """
    known, untrained = set(labels), set(index.loc[index["dropped"] == UNTRAINED, "species"])
    relevant = index["recording_species"].map(lambda names: known.isdisjoint(names) and not untrained.isdisjoint(names))
    windows = index[~index["quiet"] & relevant & (index["recording_split"] == "test")].reset_index(drop=True)
    return windows.assign(split=UNTRAINED_SPLIT)


def predictions_of_split(
    table: pd.DataFrame, labels: list[str], split: str, calibration: Calibration
) -> SplitPredictions:
    """Return the predictions for the windows and recordings of a split.

    Args:
        table: logits; columns of `PREDICTIONS`.
        labels: species in the order of the logits.
        split: name of the split.
        calibration: calibration of the network that computed the logits.
    """
    rows = table[table["split"] == split]
    logits = np.stack(rows["logits"].to_list()) if len(rows) else np.zeros((0, len(labels)))
    codes, names = pd.factorize(rows["recording"], sort=True)
    recording = codes.astype(np.int64)
    result = classify(logits, recording, len(names), calibration)
    first = rows.drop_duplicates("recording").sort_values("recording")
    windows = _items(
        result.window_probabilities, result.window_detections, rows["present"], rows["complete"], labels, recording
    )
    recordings = _items(
        result.recording_probabilities,
        result.recording_detections,
        first["recording_species"],
        first["recording_complete"],
        labels,
        np.arange(len(first)),
    )
    return SplitPredictions(windows, recordings, list(names), pd.factorize(first["group"])[0].astype(np.int64))


def _items(
    probabilities: Floats,
    detected: Flags,
    species: "pd.Series[list[str]]",
    complete: "pd.Series[bool]",
    labels: list[str],
    recording: Ints,
) -> Items:
    """Combine predictions with the species that are present. Species that are not among the labels are ignored in `present`."""
    label_of_species = {name: i for i, name in enumerate(labels)}
    is_complete = complete.to_numpy(bool)
    present = np.zeros((len(species), len(labels)), bool)
    single_species = np.full(len(species), -1, np.int64)
    for row, names in enumerate(species):
        present[row, [label_of_species[n] for n in names if n in label_of_species]] = True
        if is_complete[row] and len(names) == 1:
            single_species[row] = label_of_species.get(names[0], -1)
    return Items(probabilities, detected, present, single_species, is_complete, recording)
