"""Windows of mel frames read from memory-mapped shards, and the order in which training sees them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from autobird.audio.compression import Compression, Log
from autobird.core.tables import read_table


@dataclass(frozen=True)
class Windows:
    """Some windows of the index, in the index's order.

    Attributes:
        shards: memory-mapped float16 frames of each batch, each of shape (frames, mels).
        shard: which shard a window lies in; shape (windows,).
        first: its first frame there.
        label: its species as an index.
        recording: its recording as an index.
        frames: frames of a window.
        compression: what their values are.
    """

    shards: Sequence[NDArray[np.float16]]
    shard: NDArray[np.int64]
    first: NDArray[np.int64]
    label: NDArray[np.int64]
    recording: NDArray[np.int64]
    frames: int
    compression: Compression = field(default_factory=Log)

    @classmethod
    def of(
        cls,
        index: pd.DataFrame,
        labels: Sequence[str],
        shards: Sequence[Path],
        frames: int,
        compression: Compression | None = None,
    ) -> "Windows":
        """The windows of `index` (columns shard, first_frame, species, recording)."""
        code = {name: i for i, name in enumerate(labels)}
        return cls(
            shards=[np.load(p, mmap_mode="r") for p in shards],
            shard=index["shard"].to_numpy(np.int64),
            first=index["first_frame"].to_numpy(np.int64),
            label=np.asarray(index["species"].map(code), np.int64),
            recording=pd.factorize(index["recording"])[0].astype(np.int64),
            frames=frames,
            compression=compression or Log(),
        )

    @classmethod
    def of_split(
        cls,
        index: Path,
        split: str,
        labels: Sequence[str],
        shards: Sequence[Path],
        frames: int,
        compression: Compression | None = None,
    ) -> "Windows":
        """The kept windows of a split, from the index's file."""
        table = read_table(index)
        table = table[(table["dropped"] == "") & (table["split"] == split)]
        return cls.of(table, labels, shards, frames, compression)

    def __len__(self) -> int:
        return len(self.first)

    def take(self, rows: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        """The windows at `rows`: frames of shape (n, 1, mels, frames) in float32, and their labels of shape (n,)."""
        mels = self.shards[0].shape[1]
        out = np.empty((len(rows), self.frames, mels), np.float32)
        span = np.arange(self.frames)
        for s in np.unique(self.shard[rows]):
            here = np.flatnonzero(self.shard[rows] == s)
            out[here] = self.shards[s][self.first[rows[here], None] + span]
        return torch.from_numpy(out).transpose(1, 2).unsqueeze(1), torch.from_numpy(self.label[rows])


def epoch_order(windows: Windows, sampler: str, rng: np.random.Generator) -> NDArray[np.int64]:
    """The rows that an epoch visits, as many as there are windows.

    Args:
        windows: the training split.
        sampler: `uniform`, `weighted` or `balanced` (see `TrainSettings.sampler`).
        rng: the epoch's generator.
    """
    n = len(windows)
    if sampler == "uniform":
        return rng.permutation(n)
    weights = sampling_weights(windows.label, windows.recording, sampler)
    return rng.choice(n, n, p=weights)


def sampling_weights(label: NDArray[np.int64], recording: NDArray[np.int64], sampler: str) -> NDArray[np.float64]:
    """Probability of each window, shape (windows,), sum 1.

    `weighted`: every species equally likely, its windows alike. `balanced`: a species by the square root of
    its windows, then a recording by the square root of its windows, then a window.
    """
    by_species = np.bincount(label).astype(np.float64)
    if sampler == "weighted":
        weights = 1.0 / by_species[label]
    else:
        by_recording = np.bincount(recording).astype(np.float64)
        inside = 1.0 / np.sqrt(by_recording[recording])
        weights = inside / np.bincount(label, inside)[label] * np.sqrt(by_species[label])
    normalised: NDArray[np.float64] = weights / weights.sum()
    return normalised
