"""Training windows in the memory of a GPU: nothing but row numbers and random numbers travels there in a step."""

import dataclasses
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

if TYPE_CHECKING:
    from autobird.model.data import WindowDataset

_SHARE_OF_MEMORY = 0.5
"""Largest share of the free memory of a device that windows take; the rest is for the training."""


class ResidentFrames(NamedTuple):
    """The mel frames of windows on a device.

    Attributes:
        frames: shape (frames, mels), float16.
        first: first frame of each window in them; shape (windows,).
    """

    frames: Tensor
    first: NDArray[np.int64]

    def read(self, first: Tensor, frames: int) -> Tensor:
        """Return windows of so many frames, in float32; shape (n, 1, mels, frames).

        Args:
            first: first frame of each window, on the device; shape (n,).
            frames: frames of a window.
        """
        rows = first[:, None] + torch.arange(frames, device=first.device)
        return self.frames[rows].float().transpose(1, 2).unsqueeze(1)


def resident(windows: "WindowDataset", device: torch.device) -> "WindowDataset":
    """Return the windows, and their backgrounds, with their frames on a device.

    On the CPU, and if the frames would take more than half of the free memory of the GPU, these are the same windows: they are then read
    from the shards in each step.
    """
    if device.type == "cpu":
        return windows
    used, first = used_frames(windows)
    size = sum(len(rows) for rows in used) * windows.window_shape[0] * 2
    if size > _SHARE_OF_MEMORY * torch.cuda.mem_get_info(device)[0]:
        return windows
    backgrounds = resident(windows.backgrounds, device) if windows.backgrounds else None
    return dataclasses.replace(windows, resident=copied(windows, used, first, device), backgrounds=backgrounds)


def copied(
    windows: "WindowDataset", used: list[NDArray[np.int64]], first: NDArray[np.int64], device: torch.device
) -> ResidentFrames:
    """Return the frames of windows on a device; `used` and `first` are those of `used_frames`."""
    frames = torch.empty(sum(len(rows) for rows in used), windows.window_shape[0], dtype=torch.float16, device=device)
    at = 0
    for shard, rows in zip(windows.shards, used, strict=True):
        frames[at : at + len(rows)] = torch.from_numpy(shard[rows])
        at += len(rows)
    return ResidentFrames(frames, first)


def used_frames(windows: "WindowDataset") -> tuple[list[NDArray[np.int64]], NDArray[np.int64]]:
    """Return which frames of each shard lie in a window, or in one that is shifted as `WindowDataset.room` allows.

    Returns:
        Rows of each shard, sorted; and the first frame of each window, shape (windows,), if these frames are put together.
    """
    room = np.zeros((len(windows), 2), np.int64) if windows.room is None else windows.room
    first, base = np.empty(len(windows), np.int64), 0
    used = []
    for number, shard in enumerate(windows.shards):
        rows = np.flatnonzero(windows.shard == number)
        change = np.zeros(len(shard) + 1, np.int64)
        np.add.at(change, windows.first_frame[rows] - room[rows, 0], 1)
        np.add.at(change, windows.first_frame[rows] + windows.frames + room[rows, 1], -1)
        inside = np.cumsum(change[:-1]) > 0
        place = base + np.cumsum(inside) - 1
        first[rows] = place[windows.first_frame[rows]]
        used.append(np.flatnonzero(inside))
        base += len(used[-1])
    return used, first
