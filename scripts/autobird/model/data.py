"""Windows of mel frames, read from memory-mapped shards, and the order in which an epoch visits them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from autobird.audio.amplitude_scaling import AmplitudeScaling, Log
from autobird.core.errors import AutobirdError
from autobird.core.memory_maps import expect_random_reads, memory_maps, request_rows
from autobird.core.tables import read_table
from autobird.dataset.label_sets import LabelSets
from autobird.dataset.present import holds_one
from autobird.model.distributed import ALONE, Processes
from autobird.model.losses import Targets
from autobird.model.resident_frames import ResidentFrames
from autobird.model.sampling import sampling_probabilities
from autobird.model.settings import TrainSettings
from autobird.model.step_parts import READING, step_part

_FRAMES_PER_CHECK = 1 << 16
"""Frames that are checked for NaN and infinity at a time: 8 MB with 64 mel bands."""

_FLOAT16_EXPONENT = np.uint16(0x7C00)
"""Exponent bits of a float16; all of them are set only in infinities and NaN."""

_SHORTEST_EPOCH = 512
"""Fewest windows of an epoch if there are negative windows."""

_MAX_NAMES_IN_ERROR = 64
"""Largest number of recordings that an error message lists."""

USED_COLUMNS = (
    "recording", "start", "shard", "first_frame", "present", "absent", "unknown", "default", "dropped", "split",
)  # fmt: skip
"""Columns of the index that `used_windows` and `WindowDataset.from_index` need."""


@dataclass(frozen=True)
class WindowDataset:
    """Windows of an index, in the order of the index.

    Attributes:
        shards: memory-mapped float16 mel frames of each batch of recordings, each of shape (frames, mels).
        shard: shard of each window, as an index into `shards`; shape (windows,).
        first_frame: first frame of each window in its shard; shape (windows,).
        labels: label sets of the windows; their arrays have the shape (windows, species).
        recording: recording of each window, as an index; shape (windows,).
        frames: number of frames of a window.
        scaling: amplitude scaling of the frames.
        recording_names: names of the recordings, in the order of `recording`; if empty, messages show the index.
        room: by how many frames each window can be shifted to an earlier start, and to a later one; shape (windows, 2); None: not at all.
        backgrounds: windows that can be added to these as background noise; None: none.
        resident: copy of the frames on the device that trains (`resident_windows.py`); None: they are read from the shards.
    """

    shards: Sequence[NDArray[np.float16]]
    shard: NDArray[np.int64]
    first_frame: NDArray[np.int64]
    labels: LabelSets
    recording: NDArray[np.int64]
    frames: int
    scaling: AmplitudeScaling = field(default_factory=Log)
    recording_names: Sequence[str] = ()
    room: NDArray[np.int64] | None = None
    backgrounds: "WindowDataset | None" = None
    resident: ResidentFrames | None = None

    @classmethod
    def from_index(
        cls,
        index: pd.DataFrame,
        labels: Sequence[str],
        shards: Sequence[Path],
        frames: int,
        scaling: AmplitudeScaling | None = None,
        processes: Processes = ALONE,
    ) -> "WindowDataset":
        """Return the windows of an index, after a check that all their values are finite.

        Args:
            index: columns shard, first_frame, recording, start, and those of label sets; one row per window.
            labels: species in the order of the logits.
            shards: NPY files of mel frames.
            frames: number of frames of a window.
            scaling: amplitude scaling of the frames; None: logarithm.
            processes: processes that share the windows; each checks its share of the shards.

        Raises:
            AutobirdError: a window contains NaN or infinity; the message names shard, recording and window.
        """
        recording, names = pd.factorize(index["recording"])
        windows = cls(
            shards=memory_maps(shards),
            shard=index["shard"].to_numpy(np.int64),
            first_frame=index["first_frame"].to_numpy(np.int64),
            labels=LabelSets.of(index, labels),
            recording=recording.astype(np.int64),
            frames=frames,
            scaling=scaling or Log(),
            recording_names=list(names),
        )
        for number, path in list(enumerate(shards))[processes.share(len(shards))]:
            row = windows._first_window_not_finite(number)
            if row is not None:
                raise AutobirdError(
                    f"{path}: the window of {names[recording[row]]} at sample {index['start'].iloc[row]} contains NaN or "
                    "infinity; delete the file to have it computed again, and if that does not help, exclude the recording"
                )
        expect_random_reads(windows.shards)
        return windows

    @classmethod
    def from_split(
        cls,
        index: Path,
        split: str,
        labels: Sequence[str],
        shards: Sequence[Path],
        frames: int,
        scaling: AmplitudeScaling | None = None,
        single_species: bool = False,
        processes: Processes = ALONE,
    ) -> "WindowDataset":
        """Return the windows of a split that the index file (`INDEX`) does not drop; see `from_index`.

        Args:
            index: the index file.
            split: name of the split.
            labels: species in the order of the logits.
            shards: NPY files of mel frames.
            frames: number of frames of a window.
            scaling: amplitude scaling of the frames; None: logarithm.
            single_species: take only windows in which exactly one species is present (`holds_one`), which softmax outputs are trained
                on.
            processes: processes that share the windows.
        """
        table = used_windows(read_table(index, list(USED_COLUMNS)), split, single_species)
        return cls.from_index(table, labels, shards, frames, scaling, processes)

    def __len__(self) -> int:
        return len(self.first_frame)

    @property
    def window_shape(self) -> tuple[int, int]:
        """Mels and frames of a window."""
        return self.shards[0].shape[1], self.frames

    def describe_recordings(self, rows: NDArray[np.int64]) -> str:
        """Return the names of the recordings of some windows for an error message, separated by commas."""
        numbers = np.unique(self.recording[rows])
        shown = [
            self.recording_names[n] if len(self.recording_names) else f"#{n}" for n in numbers[:_MAX_NAMES_IN_ERROR]
        ]
        more = len(numbers) - _MAX_NAMES_IN_ERROR
        return ", ".join(shown) + (f" and {more} more" if more > 0 else "")

    def _first_window_not_finite(self, shard: int) -> int | None:
        """Return the row of the first window in a shard that contains NaN or infinity, or None."""
        rows = np.flatnonzero(self.shard == shard)
        if not len(rows):
            return None
        first, bits = self.first_frame[rows], self.shards[shard].view(np.uint16)
        for start in range(int(first.min()), int(first.max()) + self.frames, _FRAMES_PER_CHECK):
            block = bits[start : start + _FRAMES_PER_CHECK]
            bad_frames = start + np.flatnonzero(((block & _FLOAT16_EXPONENT) == _FLOAT16_EXPONENT).any(axis=1))
            for frame in bad_frames:
                affected = np.flatnonzero((first <= frame) & (frame < first + self.frames))
                if len(affected):
                    return int(rows[affected[0]])
        return None

    def take(self, rows: NDArray[np.int64], shift: NDArray[np.int64] | None = None) -> Tensor:
        """Return the frames of the windows at `rows`, in float32; shape (n, 1, mels, frames).

        Args:
            rows: the windows.
            shift: by how many frames each of them starts later; shape (n,); None: not at all.

        Returns:
            The windows, on the CPU, or on the device on which they are resident.
        """
        if self.resident:
            return self.read(self.located(rows, shift).to(self.resident.frames.device, non_blocking=True))
        return self.located(rows, shift)

    def located(self, rows: NDArray[np.int64], shift: NDArray[np.int64] | None = None) -> Tensor:
        """Return what `read` needs for the windows at `rows`, on the CPU: of resident ones their first frames, of others all frames."""
        if self.resident is None:
            return self._from_shards(rows, shift)
        first = self.resident.first[rows]
        return torch.from_numpy(first if shift is None else first + shift)

    def read(self, located: Tensor) -> Tensor:
        """Return windows, in float32, shape (n, 1, mels, frames), from what `located` returned, on the device that trains."""
        return self.resident.read(located, self.frames) if self.resident else located

    @step_part(READING)
    def _from_shards(self, rows: NDArray[np.int64], shift: NDArray[np.int64] | None) -> Tensor:
        mels = self.shards[0].shape[1]
        out = np.empty((len(rows), self.frames, mels), np.float32)
        offsets = np.arange(self.frames)
        first = self.first_frame[rows] if shift is None else self.first_frame[rows] + shift
        for s in np.unique(self.shard[rows]):
            in_shard = np.flatnonzero(self.shard[rows] == s)
            request_rows(self.shards[s], first[in_shard], self.frames)
            out[in_shard] = self.shards[s][first[in_shard, None] + offsets]
        return torch.from_numpy(out).transpose(1, 2).unsqueeze(1)

    def crop_shift(self, rows: NDArray[np.int64], choice: NDArray[np.float64]) -> NDArray[np.int64] | None:
        """Return by how many frames the windows at `rows` start later in random crops, all allowed starts with the same probability.

        Args:
            rows: the windows.
            choice: random numbers, from 0 to below 1; shape (n,).
        """
        if self.room is None:
            return None
        earlier, later = self.room[rows].T
        return np.floor(choice * (earlier + later + 1)).astype(np.int64) - earlier

    def chosen(self, choice: NDArray[np.float64]) -> NDArray[np.int64]:
        """Return the rows that random numbers choose: all recordings with the same probability, then all windows of the recording.

        Args:
            choice: random numbers from 0 to below 1, for the recording and for the window; shape (n, 2).
        """
        order, first, count = self._of_recording
        recording = np.floor(choice[:, 0] * len(count)).astype(np.int64)
        return order[first[recording] + np.floor(choice[:, 1] * count[recording]).astype(np.int64)]

    @cached_property
    def _of_recording(self) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """Rows sorted by recording, and of each recording the place of its first row among them and the number of its rows."""
        count = np.bincount(self.recording)
        return np.argsort(self.recording, kind="stable"), np.cumsum(count) - count, count

    @step_part(READING)
    def targets(self, rows: NDArray[np.int64]) -> Targets:
        """Return the targets of the windows at `rows`."""
        present = torch.from_numpy(self.labels.present[rows].astype(np.float32))
        return Targets(present, torch.from_numpy(self.labels.known[rows]))


def used_windows(index: pd.DataFrame, split: str, single_species: bool = False) -> pd.DataFrame:
    """Return the rows of an index that are in use in a split; see `WindowDataset.from_split`."""
    used = index[(index["dropped"] == "") & (index["split"] == split)]
    return used[holds_one(used)] if single_species else used


def windows_per_epoch(windows: WindowDataset, settings: TrainSettings) -> int:
    """Return the number of windows that an epoch visits.

    As many as there are windows with species, and the share of the negative windows besides, so that an epoch does not depend on how
    many hours of negatives there are; but at least `_SHORTEST_EPOCH`, if there are as many, as a few windows with species among many
    others need as many steps. If the share is 0, the negative windows do not count. With `sampler: uniform`, and without windows with
    species, it visits all windows.
    """
    positive = int(windows.labels.present.any(axis=1).sum())
    if settings.sampler == "uniform" or positive in (0, len(windows)):
        return len(windows)
    if not settings.negative_share:
        return positive
    return max(round(positive / (1 - settings.negative_share)), min(len(windows), _SHORTEST_EPOCH))


def epoch_order(windows: WindowDataset, settings: TrainSettings, rng: np.random.Generator) -> NDArray[np.int64]:
    """Return the rows of the windows that an epoch visits, in order; see `windows_per_epoch`.

    Args:
        windows: the training split.
        settings: sampler and share of the negative windows.
        rng: generator of the epoch.
    """
    n = len(windows)
    if settings.sampler == "uniform":
        return rng.permutation(n)
    return rng.choice(n, windows_per_epoch(windows, settings), p=_probabilities(windows, settings))


def expected_presence(windows: WindowDataset, settings: TrainSettings) -> NDArray[np.float64]:
    """Return the share of the windows of an epoch that hold each species; shape (species,)."""
    window, species = np.nonzero(windows.labels.present)
    weights = _probabilities(windows, settings)[window]
    return np.asarray(np.bincount(species, weights, windows.labels.present.shape[1]), np.float64)


def _probabilities(windows: WindowDataset, settings: TrainSettings) -> NDArray[np.float64]:
    return sampling_probabilities(windows.labels.present, windows.recording, settings.sampler, settings.negative_share)
