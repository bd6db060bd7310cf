"""Level, clipping and bandwidth of a recording, collected block by block while it is decoded."""

import math
from typing import NamedTuple

import numpy as np
import scipy.fft
from numpy.typing import NDArray

_FULL_SCALE = 32767 / 32768
"""Samples from this absolute value on count as clipped; the largest value of 16 bits."""

_N_FFT = 1024
"""Samples of a spectrum: 47 Hz a bin at 48 kHz."""

_BINS = 4
"""Neighbouring bins whose powers are averaged, so that the power of noise in a single spectrum varies less."""

_SPECTRA_PER_SECOND = 2
"""Spectra of a second of audio, so that an hour takes a fraction of a second."""

_SPECTRA_TOGETHER = 64
"""Spectra that are computed at once; a call takes longer than a spectrum."""

_ROUNDING_POWER = (1 / 32768) ** 2 / 12
"""Mean power of the error of rounding to 16 bits; full scale = 1."""

_ABOVE_ROUNDING = 10.0
"""Power relative to that of rounding from which a frequency counts as recorded. Dithered 16 bits have 3 to 4."""


_TAPER = np.hanning(_N_FFT + 1)[:-1].astype(np.float32)
_TAPER_POWER = float(np.square(_TAPER).sum())


class Sound(NamedTuple):
    """What a recording sounds like technically.

    Attributes:
        rms: root mean square of the mono samples, clipped at full scale = 1.
        peak: largest absolute sample of any channel; full scale = 1.
        clipped_share: share of the samples of all channels that are at full scale.
        bandwidth: highest frequency with more power than rounding to 16 bits causes, Hz; None if there is none (silence).
    """

    rms: float
    peak: float
    clipped_share: float
    bandwidth: float | None


class SoundStatistics:
    """Collects the values of `Sound`.

    The bandwidth is measured at the recording's own sampling rate, because a file that was converted to a higher rate keeps an empty
    upper band: the highest band of the mean spectrum whose power is above that of rounding errors of 16 bits, which is the resolution
    of the samples that the model gets.

    Args:
        sample_rate: the recording's own, Hz.
    """

    def __init__(self, sample_rate: int) -> None:
        self._sample_rate = sample_rate
        self._step = max(_N_FFT, sample_rate // _SPECTRA_PER_SECOND)
        self._power = np.zeros(_N_FFT // 2)
        self._frames = np.empty((_SPECTRA_TOGETHER, _N_FFT), np.float32)
        self._waiting = 0
        """Samples whose spectra are not computed yet, and the number of their frames."""
        self._spectra = self._samples = self._values = self._clipped = 0
        self._energy = self._peak = 0.0

    def add(self, block: NDArray[np.float32], mono: NDArray[np.float32]) -> None:
        """Add the next block, shape (frames, channels), and its mono samples, shape (frames,)."""
        peak = max(float(block.max()), -float(block.min()))
        self._peak = max(self._peak, peak)
        self._values += block.size
        if peak >= _FULL_SCALE:
            self._clipped += int(np.count_nonzero(np.abs(block) >= _FULL_SCALE))
        if peak > 1:  # as the model gets them; the squares of huge values of damaged files would be infinite
            mono = np.clip(mono, -1, 1)
        self._samples += len(mono)
        self._energy += float(np.dot(mono, mono))
        for start in range(0, len(mono) - _N_FFT + 1, self._step):
            self._frames[self._waiting] = mono[start : start + _N_FFT]
            self._waiting += 1
            if self._waiting == _SPECTRA_TOGETHER:
                self._add_spectra()

    def _add_spectra(self) -> None:
        spectra = scipy.fft.rfft(self._frames[: self._waiting] * _TAPER, axis=1)[:, 1:]
        self._power += (spectra.real**2 + spectra.imag**2).sum(axis=0)
        self._spectra += self._waiting
        self._waiting = 0

    def finish(self) -> Sound:
        """Return the values of all blocks; there must be at least one sample."""
        if self._waiting:
            self._add_spectra()
        rms = math.sqrt(self._energy / max(1, self._samples))
        return Sound(rms, self._peak, self._clipped / max(1, self._values), self._bandwidth() if rms else None)

    def _bandwidth(self) -> float | None:
        if not self._spectra:  # shorter than one spectrum
            return self._sample_rate / 2
        bands = self._power.reshape(-1, _BINS).mean(axis=1) / self._spectra
        limit = _ABOVE_ROUNDING * _ROUNDING_POWER * _TAPER_POWER
        recorded = np.flatnonzero(bands > limit)
        if not len(recorded):
            return None
        return float((recorded[-1] + 1) * _BINS * self._sample_rate / _N_FFT)
