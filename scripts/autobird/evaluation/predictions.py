"""Predictions by window and by recording."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray


@dataclass(frozen=True)
class Predictions:
    """Probabilities of some items (windows, or recordings) of one split.

    Attributes:
        probabilities: shape (items, species).
        truth: species as an index; shape (items,).
        recording: recording of each item as an index into `names`; shape (items,).
        names: ids of the recordings, sorted.
    """

    probabilities: NDArray[np.float64]
    truth: NDArray[np.int64]
    recording: NDArray[np.int64]
    names: list[str]


def by_window(table: pd.DataFrame, labels: list[str], split: str, temperature: float = 1.0) -> Predictions:
    """The windows of a split, from the table that `score` wrote."""
    rows = table[table["split"] == split]
    logits = np.stack(rows["logits"].to_list()).astype(np.float64) if len(rows) else np.zeros((0, len(labels)))
    codes, names = pd.factorize(rows["recording"], sort=True)
    truth = rows["species"].map({name: i for i, name in enumerate(labels)}).to_numpy(np.int64)
    return Predictions(softmax(logits / temperature), truth, codes.astype(np.int64), list(names))


def by_recording(windows: Predictions, aggregation: str) -> Predictions:
    """One item a recording: the mean, or the largest, of its windows' probabilities; rows sum to 1."""
    count, species = len(windows.names), windows.probabilities.shape[1]
    out = np.zeros((count, species))
    if aggregation == "mean":
        np.add.at(out, windows.recording, windows.probabilities)
    else:
        np.maximum.at(out, windows.recording, windows.probabilities)
    truth = np.zeros(count, np.int64)
    truth[windows.recording] = windows.truth
    return Predictions(out / out.sum(axis=1, keepdims=True), truth, np.arange(count), windows.names)


def softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    """Logits to probabilities, by row."""
    e = np.exp(logits - logits.max(axis=1, keepdims=True, initial=-np.inf))
    return np.asarray(e / e.sum(axis=1, keepdims=True))
