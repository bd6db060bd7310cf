"""Windows of mel frames read from memory-mapped shards, and the order in which training sees them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from autobird.audio.amplitude_scaling import AmplitudeScaling, Log
from autobird.core.errors import AutobirdError
from autobird.core.tables import read_table

_BLOCK = 1 << 16
"""Frames that are looked through at a time for values that are not finite: 8 MB of 64 bands."""

_EXPONENT = np.uint16(0x7C00)
"""The bits of a float16's exponent, all of them set in infinities and NaN alone."""

_NAMED = 64
"""Recordings that an error names at most."""


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
        scaling: what their values are.
        names: the recordings, by index.
    """

    shards: Sequence[NDArray[np.float16]]
    shard: NDArray[np.int64]
    first: NDArray[np.int64]
    label: NDArray[np.int64]
    recording: NDArray[np.int64]
    frames: int
    scaling: AmplitudeScaling = field(default_factory=Log)
    names: Sequence[str] = ()

    @classmethod
    def of(
        cls,
        index: pd.DataFrame,
        labels: Sequence[str],
        shards: Sequence[Path],
        frames: int,
        scaling: AmplitudeScaling | None = None,
    ) -> "Windows":
        """The windows of `index` (columns shard, first_frame, species, recording, start).

        Raises:
            AutobirdError: a value of theirs is NaN or infinite; the error names shard, recording and window.
        """
        code = {name: i for i, name in enumerate(labels)}
        recording, names = pd.factorize(index["recording"])
        windows = cls(
            shards=[np.load(p, mmap_mode="r") for p in shards],
            shard=index["shard"].to_numpy(np.int64),
            first=index["first_frame"].to_numpy(np.int64),
            label=np.asarray(index["species"].map(code), np.int64),
            recording=recording.astype(np.int64),
            frames=frames,
            scaling=scaling or Log(),
            names=list(names),
        )
        for number, path in enumerate(shards):
            row = windows._not_finite(number)
            if row is not None:
                raise AutobirdError(
                    f"{path}: the window of {names[recording[row]]} at sample {index['start'].iloc[row]} holds NaN or infinite "
                    "values; remove the file, so that it is computed again, and if that does not help, leave the recording out"
                )
        return windows

    @classmethod
    def of_split(
        cls,
        index: Path,
        split: str,
        labels: Sequence[str],
        shards: Sequence[Path],
        frames: int,
        scaling: AmplitudeScaling | None = None,
    ) -> "Windows":
        """The kept windows of a split, from the index's file."""
        table = read_table(index)
        table = table[(table["dropped"] == "") & (table["split"] == split)]
        return cls.of(table, labels, shards, frames, scaling)

    def __len__(self) -> int:
        return len(self.first)

    def named(self, rows: NDArray[np.int64]) -> str:
        """The recordings of the windows at `rows`, for an error."""
        numbers = np.unique(self.recording[rows])
        shown = [self.names[n] if len(self.names) else f"#{n}" for n in numbers[:_NAMED]]
        return ", ".join(shown) + (f" and {len(numbers) - _NAMED} more" if len(numbers) > _NAMED else "")

    def _not_finite(self, shard: int) -> int | None:
        """The first window in a shard that holds a value which is not finite, if there is one."""
        rows = np.flatnonzero(self.shard == shard)
        if not len(rows):
            return None
        first, bits = self.first[rows], self.shards[shard].view(np.uint16)
        for at in range(int(first.min()), int(first.max()) + self.frames, _BLOCK):
            bad = at + np.flatnonzero(((bits[at : at + _BLOCK] & _EXPONENT) == _EXPONENT).any(axis=1))
            for frame in bad:
                held = np.flatnonzero((first <= frame) & (frame < first + self.frames))
                if len(held):
                    return int(rows[held[0]])
        return None

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
