"""Embeddings of the windows of an index, read from the memory-mapped arrays of the stage `embed`."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from autobird.core.errors import AutobirdError
from autobird.core.tables import read_table
from autobird.dataset.label_sets import LabelSets
from autobird.dataset.present import holds_one


@dataclass(frozen=True)
class EmbeddedWindows:
    """Windows of a split with their embeddings, in the order of the index.

    Attributes:
        embeddings: shape (windows, width), float16.
        present: species that are present in each window, none in a negative; shape (windows, species).
        known: of which species it is known whether they are present (`LabelSets.known`); shape (windows, species).
        recording: recording of each window, as an index; shape (windows,).
        group: group of each window, as an index; the split never divides a group; shape (windows,).
        group_names: keys of the groups, in the order of `group`.
    """

    embeddings: NDArray[np.float16]
    present: NDArray[np.bool_]
    known: NDArray[np.bool_]
    recording: NDArray[np.int64]
    group: NDArray[np.int64]
    group_names: tuple[str, ...]

    @classmethod
    def from_split(
        cls, index: Path, split: str, labels: Sequence[str], embeddings: Sequence[Path], outputs: str
    ) -> "EmbeddedWindows":
        """Return the windows of a split that the index file (`INDEX`) does not drop.

        These are the windows that networks are trained on, too (`WindowDataset.from_split`).

        Args:
            index: the index file.
            split: name of the split.
            labels: species in the order of the logits.
            embeddings: arrays of all batches, in their order.
            outputs: `softmax`: only windows in which exactly one species is present (`holds_one`); `independent`: all.

        Raises:
            AutobirdError: an embedding contains NaN or infinity; the message names file and recording.
        """
        columns = ["present", "absent", "unknown", "default", "split", "dropped", "shard", "row"]
        table = read_table(index, ["recording", "start", "group", *columns])
        used = (table["dropped"] == "") & (table["split"] == split)
        if outputs == "softmax":
            used &= holds_one(table)
        return cls.from_index(table[used].reset_index(drop=True), labels, embeddings)

    @classmethod
    def from_index(cls, table: pd.DataFrame, labels: Sequence[str], embeddings: Sequence[Path]) -> "EmbeddedWindows":
        """Return all windows of a table with the columns recording, start, group, shard, row and those of `LabelSets.of`."""
        group, names = pd.factorize(table["group"])
        sets = LabelSets.of(table, labels)
        return cls(
            read_embeddings(table, embeddings),
            sets.present,
            sets.known,
            pd.factorize(table["recording"])[0].astype(np.int64),
            group.astype(np.int64),
            tuple(map(str, names)),
        )

    def __len__(self) -> int:
        return len(self.present)

    @property
    def negative(self) -> NDArray[np.bool_]:
        """Which windows hold none of the species; shape (windows,)."""
        return np.asarray(~self.present.any(axis=1))

    def subset(self, mask: NDArray[np.bool_]) -> "EmbeddedWindows":
        """Return the windows where `mask`, of shape (windows,), is true."""
        return EmbeddedWindows(
            self.embeddings[mask],
            self.present[mask],
            self.known[mask],
            self.recording[mask],
            self.group[mask],
            self.group_names,
        )


def read_embeddings(windows: pd.DataFrame, embeddings: Sequence[Path]) -> NDArray[np.float16]:
    """Read the embeddings of windows.

    Args:
        windows: columns recording, start, shard, row.
        embeddings: NPY files of all batches, each of shape (windows of the batch, width).

    Returns:
        Shape (windows, width), in the order of `windows`.

    Raises:
        AutobirdError: an embedding contains NaN or infinity; the message names file and recording.
    """
    shard, row = windows["shard"].to_numpy(), windows["row"].to_numpy()
    out = np.empty((len(windows), np.load(embeddings[0], mmap_mode="r").shape[1]), np.float16)
    for s in np.unique(shard):
        at = np.flatnonzero(shard == s)
        out[at] = np.load(embeddings[s], mmap_mode="r")[row[at]]
        bad = at[~np.isfinite(out[at]).all(axis=1)]
        if len(bad):
            first = windows.iloc[bad[0]]
            raise AutobirdError(
                f"{embeddings[s]}: the embedding of {first['recording']} at sample {first['start']} contains NaN or infinity; delete "
                "the file to have it computed again, and if that does not help, exclude the recording"
            )
    return out
