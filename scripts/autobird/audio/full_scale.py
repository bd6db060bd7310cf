"""Floating-point recordings with samples beyond full scale: find out by which factor to divide them.

Recorders with 32-bit float (Zoom F3, Wildlife Acoustics SM-type) do not clip: loud sounds are stored as values beyond 1, and people
set the level afterwards. Other programs write float samples in -32768..32767. Clipping either would distort most of the
audio, so all samples are divided by one number. If only a few samples are beyond full scale (a knock on the microphone), dividing
would make all birds as quiet as the knock was loud, so these samples are clipped.
"""

import numpy as np
from numpy.typing import NDArray

_CLIPPED_SHARE = 1e-3
"""Up to this share of the samples may be clipped: in 5 s of audio these are 5 ms."""

_OCTAVES = 128
"""float32 values are below 2**128."""


def is_floating_point(subtype: str) -> bool:
    """Return whether a codec stores floating-point samples; decoders of lossy codecs may exceed full scale by rounding."""
    return subtype in ("FLOAT", "DOUBLE") or subtype.startswith("PCM_F")


class FullScale:
    """Counts samples beyond full scale, block by block; after the last block `divisor` says by what to divide.

    Attributes:
        peak: largest absolute sample.
    """

    def __init__(self) -> None:
        self.peak, self._samples = 0.0, 0
        self._beyond = np.zeros(_OCTAVES, np.int64)
        """Number of samples beyond 2**k, for each k."""

    def add(self, block: NDArray[np.float32]) -> None:
        """Add the next block of finite samples, shape (frames, channels)."""
        peak = max(float(block.max()), -float(block.min()))
        self.peak = max(self.peak, peak)
        self._samples += block.size
        if peak > 1 and np.isfinite(peak):
            levels = np.abs(block[np.abs(block) > 1])
            octaves = np.ceil(np.log2(levels.astype(np.float64))).astype(np.int64)  # beyond 2**k for all k < octave
            counts = np.bincount(octaves, minlength=_OCTAVES + 1)
            self._beyond += counts[::-1].cumsum()[::-1][1 : _OCTAVES + 1]

    def divisor(self) -> float:
        """Return the number by which to divide all samples: the peak, or less if the loudest samples are few; else 1."""
        allowed = _CLIPPED_SHARE * self._samples
        octave = int(np.argmax(self._beyond <= allowed))
        return min(self.peak, 2.0**octave) if octave else 1.0

    def note(self) -> str:
        """Return what was done to samples beyond full scale, or ""."""
        if self.peak <= 1:
            return ""
        divisor, share = self.divisor(), self._beyond[0] / self._samples
        found = f"{share:.2%} of the samples are beyond full scale (peak {self.peak:.4g})"
        if divisor == 1:
            return f"{found} and are clipped"
        clipped = "" if divisor == self.peak else ", and the loudest are clipped"
        return f"{found}, so all samples are divided by {divisor:.4g}{clipped}"
