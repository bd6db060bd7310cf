"""Answers about the windows and recordings of a split, beside what truly sings there."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

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
"""One row a window that is not quiet, labelled or not, as the product answers for all of them. `present`, `complete`,
`recording_species` and `recording_complete`: as in `INDEX`; `logits` in the order of the labels."""


@dataclass(frozen=True)
class Items:
    """Answers about some items (windows, or recordings), and what truly sings in them.

    Attributes:
        probabilities: rows sum to 1; shape (items, species).
        detected: species above their thresholds; shape (items, species).
        present: species that sing there; shape (items, species).
        only: the species of items that hold exactly one (of the labels, and nothing unknown), as an index, else -1;
            shape (items,).
        complete: whether no other species sings there, as far as it was annotated; shape (items,).
        recording: recording of each item, as an index; shape (items,).
    """

    probabilities: Floats
    detected: Flags
    present: Flags
    only: Ints
    complete: Flags
    recording: Ints

    def where(self, chosen: Flags) -> "Items":
        """Some of the items."""
        return Items(
            self.probabilities[chosen],
            self.detected[chosen],
            self.present[chosen],
            self.only[chosen],
            self.complete[chosen],
            self.recording[chosen],
        )


@dataclass(frozen=True)
class Split:
    """A split as it is evaluated.

    Attributes:
        windows: one item a window that is not quiet.
        recordings: one item a recording, sorted by name.
        names: ids of the recordings.
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
        """Bootstrap resamples of the recordings."""
        return resample_groups(self.group, self.recordings.present, count, seed)


def scored_windows(index: pd.DataFrame, labels: list[str]) -> pd.DataFrame:
    """The windows of the index (`INDEX`) that the product would answer for.

    These are all windows that are not quiet, labelled or not, of all recordings in a split. Left out are recordings that hold
    species and none of the labels, which show what the model does not know.

    Returns:
        rows of the index with the split of their recording.
    """
    known = set(labels)
    of_ours = index["recording_species"].map(lambda names: not len(names) or not known.isdisjoint(names))
    scored = index[~index["quiet"] & of_ours].reset_index(drop=True)
    return scored.assign(split=scored["recording_split"])


def split_of(table: pd.DataFrame, labels: list[str], name: str, calibration: Calibration) -> Split:
    """The answers about a split.

    Args:
        table: columns of `PREDICTIONS`.
        labels: species in the order of the logits.
        name: of the split.
        calibration: of the network that gave the logits.
    """
    rows = table[table["split"] == name]
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
    return Split(windows, recordings, list(names), pd.factorize(first["group"])[0].astype(np.int64))


def _items(
    probabilities: Floats,
    detected: Flags,
    species: "pd.Series[list[str]]",
    complete: "pd.Series[bool]",
    labels: list[str],
    recording: Ints,
) -> Items:
    """Answers beside the truth; names that the model does not know are no species of `present`."""
    code = {name: i for i, name in enumerate(labels)}
    whole = complete.to_numpy(bool)
    present = np.zeros((len(species), len(labels)), bool)
    only = np.full(len(species), -1, np.int64)
    for row, names in enumerate(species):
        present[row, [code[n] for n in names if n in code]] = True
        if whole[row] and len(names) == 1:
            only[row] = code.get(names[0], -1)
    return Items(probabilities, detected, present, only, whole, recording)
