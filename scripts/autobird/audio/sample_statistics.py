"""Peak, clipping and silence of a recording, collected block by block while it is decoded."""

import numpy as np
from numpy.typing import NDArray

_FULL_SCALE = 32767 / 32768
_SILENT_RMS = 1e-3
"""Frames with a lower RMS are silent: -60 dBFS."""


class SampleStatistics:
    """Statistics of the samples of a recording.

    Attributes:
        peak: largest absolute sample of any channel, full scale = 1.
        samples: number of samples of all channels.
        clipped: how many of them are at full scale.
        frames: number of complete 50 ms frames of the mono samples.
        silent_frames: how many of them are silent.
    """

    def __init__(self, sample_rate: int) -> None:
        self._frame_length = max(1, sample_rate // 20)
        self._incomplete = np.zeros(0, np.float32)
        self.peak = 0.0
        self.samples = self.clipped = self.frames = self.silent_frames = 0

    def add(self, block: NDArray[np.float32], mono: NDArray[np.float32]) -> None:
        """Add the next block, shape (frames, channels), and its mono samples, shape (frames,)."""
        peak = max(float(block.max()), -float(block.min()))
        self.peak = max(self.peak, peak)
        self.samples += block.size
        if peak >= _FULL_SCALE:
            self.clipped += int(np.count_nonzero(np.abs(block) >= _FULL_SCALE))
        missing = min(len(mono), self._frame_length - len(self._incomplete)) if len(self._incomplete) else 0
        if missing:
            self._incomplete = np.concatenate([self._incomplete, mono[:missing]])
            if len(self._incomplete) < self._frame_length:
                return
            self._count_silent(self._incomplete)
        count = (len(mono) - missing) // self._frame_length
        self._count_silent(mono[missing : missing + count * self._frame_length])
        self._incomplete = mono[missing + count * self._frame_length :].copy()

    def _count_silent(self, mono: NDArray[np.float32]) -> None:
        frames = mono.reshape(-1, self._frame_length)
        self.frames += len(frames)
        energy = np.einsum("ij,ij->i", frames, frames)
        self.silent_frames += int(np.count_nonzero(energy < _SILENT_RMS**2 * self._frame_length))
