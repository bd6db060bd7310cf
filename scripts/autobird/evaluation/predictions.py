"""Answers about the windows and recordings of a split, beside what truly sings there."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from autobird.evaluation.bootstrap import Resamples, resample_groups
from autobird.predict.answers import Calibration, answer

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Ints = NDArray[np.int64]

PREDICTIONS = pa.schema(
    [
        ("recording", pa.string()),
        ("group", pa.string()),
        ("start", pa.int64()),
        ("split", pa.string()),
        ("species", pa.string()),
        ("present", pa.list_(pa.string())),
        ("complete", pa.bool_()),
        ("recording_species", pa.list_(pa.string())),
        ("recording_only", pa.string()),
        ("logits", pa.list_(pa.float32())),
    ]
)
"""One row a window that is not quiet, of the recordings that the split tests or validates with, labelled or not, as the
product answers for all of them. `species`: the label with which the window would train, "" if none; `present` and
`complete`: as in `INDEX`; `recording_species`: all species of the whole recording; `recording_only`: its species if it
has exactly one, else ""; `logits` in the order of the labels."""


@dataclass(frozen=True)
class Items:
    """Answers about some items (windows, or recordings), and what truly sings in them.

    Attributes:
        probabilities: rows sum to 1; shape (items, species).
        detected: species above their thresholds; shape (items, species).
        present: species that sing there; shape (items, species).
        only: the species of items that hold exactly one, as an index, else -1; shape (items,).
        complete: whether no other species sings there, as far as is known; shape (items,).
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


def scored_windows(index: pd.DataFrame) -> pd.DataFrame:
    """The windows of the index (`INDEX`) that the product would answer for, with the truth about their recordings.

    These are all windows that are not quiet of each recording that has a window with a label; the product does not
    know which windows have one.

    Returns:
        rows of the index with the split of their recording, and columns recording_species; `species` is "" for
        windows that do not train.
    """
    kept = index[index["dropped"] == ""]
    split = kept.drop_duplicates("recording").set_index("recording")["split"]
    used = index[index["recording"].isin(split.index)]
    several = used.groupby("recording")["present"].agg(lambda sets: sorted({s for found in sets for s in found}))
    scored = used[~used["quiet"]].reset_index(drop=True)
    return scored.assign(
        split=scored["recording"].map(split),
        species=scored["species"].where(scored["dropped"] == "", ""),
        recording_species=scored["recording"].map(several),
    )


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
    said = answer(logits, recording, len(names), calibration)
    first = rows.drop_duplicates("recording").sort_values("recording")
    windows = Items(
        said.windows,
        said.detected,
        _sets(rows["present"], labels),
        _codes(rows["species"], labels),
        rows["complete"].to_numpy(bool),
        recording,
    )
    recordings = Items(
        said.recordings,
        said.detected_in_recordings,
        _sets(first["recording_species"], labels),
        _codes(first["recording_only"], labels),
        np.ones(len(first), bool),
        np.arange(len(first)),
    )
    return Split(windows, recordings, list(names), pd.factorize(first["group"])[0].astype(np.int64))


def _codes(species: "pd.Series[str]", labels: list[str]) -> Ints:
    code = {name: i for i, name in enumerate(labels)}
    return np.array([code.get(s, -1) for s in species], np.int64)


def _sets(species: "pd.Series[list[str]]", labels: list[str]) -> Flags:
    """Sets of names as flags; names that the model does not know are left out; shape (items, labels)."""
    code = {name: i for i, name in enumerate(labels)}
    out = np.zeros((len(species), len(labels)), bool)
    for row, names in enumerate(species):
        out[row, [code[n] for n in names if n in code]] = True
    return out
