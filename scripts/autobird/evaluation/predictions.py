"""Predictions for the windows and recordings of a split, together with the species that are present in them."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from autobird.dataset.index import UNTRAINED
from autobird.dataset.label_sets import LabelSets
from autobird.evaluation.bootstrap import Resamples, resample_groups
from autobird.predict.classification import Calibration, classify

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Ints = NDArray[np.int64]

LABEL_SET = ("present", "absent", "unknown", "default")
"""Columns of a label set; those of the label set of a whole recording begin with `recording_` in `INDEX` and `PREDICTIONS`."""

_LISTS = pa.list_(pa.string())

PREDICTIONS = pa.schema(
    [
        ("recording", pa.string()),
        ("group", pa.string()),
        ("start", pa.int64()),
        ("number", pa.int32()),
        ("seconds", pa.float64()),
        ("split", pa.string()),
        ("present", _LISTS),
        ("absent", _LISTS),
        ("unknown", _LISTS),
        ("default", pa.string()),
        ("recording_present", _LISTS),
        ("recording_absent", _LISTS),
        ("recording_unknown", _LISTS),
        ("recording_default", pa.string()),
        ("negative", pa.bool_()),
        ("weight", pa.float32()),
        ("logits", pa.list_(pa.float32())),
    ]
)
"""One row per window that is not quiet. Windows without a label are included, because prediction covers them too.

- `number`: number of the window in its recording, counted with the quiet ones.
- `seconds`: sound from the start of the window to that of the next one, or to the end of the recording, so that overlapping windows do
  not count sound twice.
- The columns about labels are as in `INDEX`.
- `logits`: one value per label, in their order.
- `split`: `validation` or `test`; one of `OTHERS_SPLITS` for recordings that contain only species that the model does not know; or
  `UNTRAINED_SPLIT` for the rows of `untrained_windows`, which only the cross-validation uses."""

UNTRAINED_SPLIT = "untrained"
"""Split of the predictions for test recordings that contain only species without a window in training."""

OTHERS_SPLITS = {"validation": "validation_others", "test": "test_others"}
"""Split of the predictions for validation and test recordings that contain only species that the model does not know."""


@dataclass(frozen=True)
class Items:
    """Predictions for items (windows or recordings), and the species that are present in them.

    A cell is a pair of an item and a species.

    Attributes:
        probabilities: shape (items, species). With softmax outputs, each row sums to 1.
        detected: species whose probability reaches their decision threshold; shape (items, species).
        present: species that are present; shape (items, species).
        known: whether it is known if the species is present; other cells have no part in any metric; shape (items, species).
        others: whether the item also contains species that are not among the labels; shape (items,).
        recording: recording of each item, as an index; shape (items,).
        is_independent: whether each species has a probability by itself (see `Calibration`).
        weight: how much each item counts in calibration and thresholds; None: 1; shape (items,).
    """

    probabilities: Floats
    detected: Flags
    present: Flags
    known: Flags
    others: Flags
    recording: Ints
    is_independent: bool = False
    weight: Floats | None = None

    def __len__(self) -> int:
        return len(self.recording)

    @property
    def complete(self) -> Flags:
        """Whether it is known of all species whether they are present; shape (items,)."""
        return np.asarray(self.known.all(axis=1))

    @property
    def single_species(self) -> Ints:
        """For a complete item that contains one species alone, and that among the labels, the species as an index; otherwise -1; shape
        (items,).
        """
        single = self.complete & ~self.others & (self.present.sum(axis=1) == 1)
        if not self.present.shape[1]:
            return np.full(len(single), -1)
        return np.where(single, self.present.argmax(axis=1), -1).astype(np.int64)

    @property
    def negative(self) -> Flags:
        """Whether it is known that an item contains no species at all, neither of the labels nor another one; shape (items,)."""
        return np.asarray(self.complete & ~self.others & ~self.present.any(axis=1))

    def subset(self, rows: Flags | NDArray[np.intp]) -> "Items":
        """Return some of the items: those where a mask of shape (items,) is true, or those at some indices, in their order."""
        return Items(
            self.probabilities[rows],
            self.detected[rows],
            self.present[rows],
            self.known[rows],
            self.others[rows],
            self.recording[rows],
            self.is_independent,
            None if self.weight is None else self.weight[rows],
        )

    def weighted(self, weights: Floats) -> Floats:
        """Return weights of the items multiplied with their own; shape (items,)."""
        return weights if self.weight is None else np.asarray(weights * self.weight)


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


def with_sound(index: pd.DataFrame, durations: "pd.Series[float]", sample_rate: int) -> pd.DataFrame:
    """Return the index with the columns `number` and `seconds` of `PREDICTIONS`.

    Args:
        index: all windows (`INDEX`), sorted by recording and start.
        durations: length of each recording, seconds, by its name.
        sample_rate: Hz.
    """
    of_recording = index.groupby("recording", sort=False)
    start = index["start"] / sample_rate
    end = (of_recording["start"].shift(-1) / sample_rate).fillna(index["recording"].map(durations))
    return index.assign(number=of_recording.cumcount(), seconds=(end - start).clip(lower=0.0))


def windows_to_predict(index: pd.DataFrame, labels: list[str]) -> pd.DataFrame:
    """Return the windows that the release stages predict: those that prediction with the released model would cover.

    These are the windows that are not quiet, with a label or without. Recordings without any species of the model are
    excluded, unless they contain no species at all: the model cannot recognise what they contain; see `windows_of_others`.

    Args:
        index: index of windows (`INDEX`).
        labels: species of the model.

    Returns:
        Rows of the index. The column `split` is the split of the recording.
    """
    known = set(labels)
    relevant = index["recording_present"].map(lambda names: not len(names) or not known.isdisjoint(names))
    windows = index[~index["quiet"] & relevant].reset_index(drop=True)
    return windows.assign(split=windows["recording_split"])


def windows_of_others(index: pd.DataFrame, labels: list[str]) -> pd.DataFrame:
    """Return the windows of validation and test recordings that contain species, but none of the model's.

    Args:
        index: index of windows (`INDEX`).
        labels: species of the model.

    Returns:
        Rows of the index that are not quiet. The column `split` is one of `OTHERS_SPLITS`.
    """
    known = set(labels)
    others = index["recording_present"].map(lambda names: len(names) > 0 and known.isdisjoint(names))
    windows = index[~index["quiet"] & others & index["recording_split"].isin(list(OTHERS_SPLITS))]
    windows = windows.reset_index(drop=True)
    return windows.assign(split=windows["recording_split"].map(OTHERS_SPLITS))


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
    known, untrained = set(labels), set(index.loc[index["dropped"] == UNTRAINED, "present"].explode().dropna())
    relevant = index["recording_present"].map(lambda names: known.isdisjoint(names) and not untrained.isdisjoint(names))
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
    windows = _items(result.window_probabilities, result.window_detections, rows, "", labels, recording, calibration)
    recordings = _items(
        result.recording_probabilities,
        result.recording_detections,
        first,
        "recording_",
        labels,
        np.arange(len(first)),
        calibration,
    )
    group = pd.factorize(first["group"])[0].astype(np.int64)
    return SplitPredictions(windows, recordings, list(names), group)


def recording_label_sets(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the label sets of recordings: one row per recording, sorted by name.

    Args:
        rows: columns of `PREDICTIONS`.

    Returns:
        Columns recording, group and `LABEL_SET`; the lists of names are sorted tuples.
    """
    first = rows.drop_duplicates("recording").sort_values("recording")
    sets = {name: first[f"recording_{name}"].map(lambda names: tuple(sorted(names))) for name in LABEL_SET[:3]}
    columns = {"recording": first["recording"], "group": first["group"], **sets, "default": first["recording_default"]}
    return pd.DataFrame(columns).reset_index(drop=True)


def contains_others(present: "pd.Series[list[str]]", labels: list[str]) -> Flags:
    """Return whether an item contains species that are not among the labels; shape (items,)."""
    known = set(labels)
    return np.array([not known.issuperset(names) for names in present], bool)


def _items(
    probabilities: Floats,
    detected: Flags,
    table: pd.DataFrame,
    prefix: str,
    labels: list[str],
    recording: Ints,
    calibration: Calibration,
) -> Items:
    """Combine predictions with the label sets of the rows of a table, whose columns begin with `prefix`."""
    sets = LabelSets.of(table, labels, prefix)
    others = contains_others(table[f"{prefix}present"], labels)
    # Only windows have weights; tables of older versions have none.
    weight = table["weight"].to_numpy(np.float64) if not prefix and "weight" in table else None
    return Items(
        probabilities, detected, sets.present, sets.known, others, recording, calibration.is_independent, weight
    )
