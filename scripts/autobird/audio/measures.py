"""What the samples of a recording are like: peak, clipping, silence; gathered while it is decoded."""

import numpy as np
from numpy.typing import NDArray

_FULL_SCALE = 32767 / 32768
_SILENT = 1e-3
"""RMS of silence: -60 dBFS."""


class Measures:
    """What the samples of a recording are like, gathered block by block."""

    def __init__(self, sample_rate: int) -> None:
        self._stretch = max(1, sample_rate // 20)
        self._rest = np.zeros(0, np.float32)
        self.peak = 0.0
        self.samples = self.clipped = self.stretches = self.silent = 0

    def add(self, block: NDArray[np.float32], mono: NDArray[np.float32]) -> None:
        """Take the next block, shape (frames, channels), and the mean of its channels."""
        peak = max(float(block.max()), -float(block.min()))
        self.peak = max(self.peak, peak)
        self.samples += block.size
        if peak >= _FULL_SCALE:
            self.clipped += int(np.count_nonzero(np.abs(block) >= _FULL_SCALE))
        missing = min(len(mono), self._stretch - len(self._rest)) if len(self._rest) else 0
        if missing:
            self._rest = np.concatenate([self._rest, mono[:missing]])
            if len(self._rest) < self._stretch:
                return
            self._stretches(self._rest)
        count = (len(mono) - missing) // self._stretch
        self._stretches(mono[missing : missing + count * self._stretch])
        self._rest = mono[missing + count * self._stretch :].copy()

    def _stretches(self, mono: NDArray[np.float32]) -> None:
        whole = mono.reshape(-1, self._stretch)
        self.stretches += len(whole)
        self.silent += int(np.count_nonzero(np.einsum("ij,ij->i", whole, whole) < _SILENT**2 * self._stretch))
