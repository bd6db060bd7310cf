"""Positions of windows in a recording, their mel frames, their level, and which of them are quiet."""

import numpy as np
from numpy.typing import NDArray

from autobird.audio.settings import FilterSettings


def window_starts(samples: int, window: int, hop: int) -> NDArray[np.int64]:
    """Return the first samples of the windows of a recording with `samples` samples; shape (windows,).

    A window starts every `hop` samples until one reaches the end of the recording; only the last one may need
    padding. Every sample is in a window. A recording without samples has no windows.
    """
    return np.arange(window_count(samples, window, hop), dtype=np.int64) * hop


def window_count(samples: int, window: int, hop: int) -> int:
    """Return the number of windows of a recording with `samples` samples (see `window_starts`)."""
    return 1 + max(0, -(-(samples - window) // hop)) if samples > 0 else 0


def first_frames(starts: NDArray[np.int64], hop_length: int) -> NDArray[np.int64]:
    """Return the frame whose centre is nearest to each start (frame i is centred on sample i * hop_length)."""
    return (starts + hop_length // 2) // hop_length


def frames_per_window(window: int, hop_length: int) -> int:
    """Return the number of frames of a window, both edges included: 157 for 5 s at 16 kHz with a hop of 512."""
    return window // hop_length + 1


def window_rms(samples: NDArray[np.int16], starts: NDArray[np.int64], window: int) -> NDArray[np.float32]:
    """Return the RMS of each window without its padding, full scale = 1; shape (windows,)."""
    out = np.empty(len(starts), np.float32)
    for i, start in enumerate(starts):
        part = samples[start : start + window].astype(np.float64)
        # Unlike np.dot, einsum starts no threads of BLAS, which would wait for each other on shared cores. The sum of these
        # integers is exact in float64, so its order does not matter.
        out[i] = np.sqrt(np.einsum("i,i->", part, part) / len(part)) / 32768.0
    return out


def is_quiet(rms: NDArray[np.floating], mel_std: NDArray[np.floating], settings: FilterSettings) -> NDArray[np.bool_]:
    """Return which windows are quiet; training and prediction both skip them. All arrays have shape (windows,).

    Args:
        rms: RMS of each window, full scale = 1.
        mel_std: standard deviation of each window's mel values, in the units of the front end.
        settings: the lower bounds of both.
    """
    return (rms < settings.min_rms) | (mel_std < settings.min_mel_std)
