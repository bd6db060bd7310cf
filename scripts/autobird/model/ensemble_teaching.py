"""Learn from an ensemble: the targets of training windows are the mean of their labels and the answers of the ensemble."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import torch
from numpy.typing import NDArray
from scipy.special import expit

from autobird.core.errors import AutobirdError
from autobird.core.tables import read_table
from autobird.dataset.label_sets import LabelSets
from autobird.dataset.present import holds_one
from autobird.model.data import WindowDataset
from autobird.model.losses import Targets
from autobird.predict.classification import Outputs, softmax

ANSWERS = pa.schema([("recording", pa.string()), ("start", pa.int64()), ("logits", pa.list_(pa.float32()))])
"""Answers of an ensemble: one row per training window, with a logit per species."""

ANSWER_SHARE = 0.5
"""Share of the answers in the targets; the labels have the rest. The labels correct an ensemble that is sure of a mistake."""


@dataclass(frozen=True)
class TaughtWindows(WindowDataset):
    """Training windows with the answers of an ensemble.

    Attributes:
        answers: probabilities; shape (windows, species), float32.
    """

    answers: NDArray[np.float32] = dataclasses.field(default_factory=lambda: np.zeros((0, 0), np.float32))

    def targets(self, rows: NDArray[np.int64]) -> Targets:
        """Return the targets of the windows at `rows`: labels and answers, averaged; the answer alone where there is no label."""
        labels = super().targets(rows)
        answers = torch.from_numpy(self.answers[rows])
        mean = (1 - ANSWER_SHARE) * labels.present + ANSWER_SHARE * answers
        return Targets(torch.where(labels.known, mean, answers), torch.ones_like(labels.known))


def with_answers(windows: WindowDataset, index: Path, answers: Path, outputs: Outputs) -> TaughtWindows:
    """Return the windows of the training split with the answers of an ensemble.

    Args:
        windows: `WindowDataset.from_split` of the training split; with softmax outputs, of one species each.
        index: the index file.
        answers: table of `ANSWERS`.
        outputs: what the logits mean.

    Raises:
        AutobirdError: windows are missing from the table.
    """
    of_one = ["present", "default"] if outputs == "softmax" else []
    used = read_table(index, ["recording", "start", "dropped", "split", *of_one])
    used = used[(used["dropped"] == "") & (used["split"] == "train")]
    if outputs == "softmax":
        used = used[holds_one(used)]
    table = read_table(answers).set_index(["recording", "start"])["logits"]
    rows = table.index.get_indexer(pd.MultiIndex.from_frame(used[["recording", "start"]]))
    if (rows < 0).any() or len(rows) != len(windows):
        raise AutobirdError(
            f"{answers} has no answers to {int((rows < 0).sum())} of {len(windows)} training windows; delete it and run snakemake again"
        )
    logits = np.stack(table.iloc[rows].to_list()).astype(np.float64)
    probabilities = (softmax(logits) if outputs == "softmax" else expit(logits)).astype(np.float32)
    fields: dict[str, Any] = {field.name: getattr(windows, field.name) for field in dataclasses.fields(windows)}
    # An uncertain species is no target beside the only one that is present: the targets sum to 1.
    if outputs == "softmax":
        fields["labels"] = LabelSets(windows.labels.present, np.ones_like(windows.labels.known))
    # The ensemble answered each window where it is.
    fields["room"] = None
    return TaughtWindows(**fields, answers=probabilities)
