"""Windows in the memory of a GPU, so that a step sends row numbers, labels and random numbers there, but no frames."""

import dataclasses
import gc
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from autobird.core.memory_maps import request_rows
from autobird.model.data import WindowDataset
from autobird.model.resident_frames import ResidentFrames

_SHARE_OF_MEMORY = 0.5
"""Largest share of the free memory of a device that all windows together take; the rest is for the training."""

_FRAMES_PER_COPY = 1 << 16
"""Frames that are copied at a time, so that a large shard is not read into the memory of the CPU as a whole: 8 MB with 64 mel bands."""


def resident(splits: Sequence[WindowDataset], device: torch.device) -> list[WindowDataset]:
    """Return the windows of several splits, each followed by its backgrounds, with their frames on a device.

    All of them together take at most half of the free memory of a GPU. Windows that do not fit into what the ones before them have left,
    and all windows on the CPU, stay as they are: they are read from the shards in each step.
    """
    if device.type == "cpu":
        return list(splits)
    # An earlier training, to which its graphs refer, takes memory until garbage is collected; then torch keeps the memory for new tensors.
    gc.collect()
    torch.cuda.empty_cache()
    found, memory = [], int(_SHARE_OF_MEMORY * torch.cuda.mem_get_info(device)[0])
    for windows in splits:
        windows, memory = _resident(windows, device, memory)
        found.append(windows)
    return found


def _resident(windows: WindowDataset, device: torch.device, memory: int) -> tuple[WindowDataset, int]:
    """Return the windows, on the device if they fit into `memory` bytes, and the bytes that are left."""
    used, first = used_frames(windows)
    size = sum(len(rows) for rows in used) * windows.window_shape[0] * 2
    if size <= memory:
        windows, memory = dataclasses.replace(windows, resident=copied(windows, used, first, device)), memory - size
    if windows.backgrounds:
        backgrounds, memory = _resident(windows.backgrounds, device, memory)
        windows = dataclasses.replace(windows, backgrounds=backgrounds)
    return windows, memory


def copied(
    windows: WindowDataset, used: list[NDArray[np.int64]], first: NDArray[np.int64], device: torch.device
) -> ResidentFrames:
    """Return the frames of windows on a device; `used` and `first` are those of `used_frames`."""
    frames = torch.empty(sum(len(rows) for rows in used), windows.window_shape[0], dtype=torch.float16, device=device)
    at = 0
    for shard, rows in zip(windows.shards, used, strict=True):
        for start in range(0, len(rows), _FRAMES_PER_COPY):
            some = rows[start : start + _FRAMES_PER_COPY]
            # Without the requests, each page of a file that is not in memory is read on its own.
            for block in np.split(some, np.flatnonzero(np.diff(some) > 1) + 1):
                request_rows(shard, block[:1], len(block))
            frames[at : at + len(some)] = torch.from_numpy(shard[some])
            at += len(some)
    return ResidentFrames(frames, first)


def used_frames(windows: WindowDataset) -> tuple[list[NDArray[np.int64]], NDArray[np.int64]]:
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
