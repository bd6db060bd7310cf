"""Log-mel spectrograms in numpy: the one implementation that training, prediction and the server use."""

from dataclasses import dataclass

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from autobird.audio.settings import MelSettings
from autobird.audio.windows import first_frames, frames_per_window, window_starts

LOG_FLOOR = 1e-6
"""Added to the mel power before the logarithm (power of samples in -1..1)."""

_BLOCK = 64
"""Frames computed at a time: 64 spectra of 513 bins stay in the second-level cache."""


def filter_bank(n_fft: int, mels: int, fmin: float, fmax: float, sample_rate: int) -> NDArray[np.float32]:
    """Triangular HTK mel filters without area normalisation, shape (n_fft // 2 + 1, mels).

    The steps and the float32 arithmetic are those of `torchaudio.functional.melscale_fbanks`
    (HTK scale: m = 2595 log10(1 + f / 700)), so that models trained on either agree.
    """
    bins = np.linspace(0, sample_rate // 2, n_fft // 2 + 1, dtype=np.float32)
    low, high = (2595.0 * np.log10(1.0 + f / 700.0) for f in (fmin, fmax))
    points = np.linspace(low, high, mels + 2, dtype=np.float32)
    edges = (np.float32(700.0) * (np.float32(10.0) ** (points / np.float32(2595.0)) - np.float32(1.0))).astype(
        np.float32
    )
    width = np.diff(edges)
    slopes = edges[None, :] - bins[:, None]
    down = -slopes[:, :-2] / width[:-1]
    up = slopes[:, 2:] / width[1:]
    return np.maximum(np.float32(0.0), np.minimum(down, up)).astype(np.float32)


def window_moments(
    frames: NDArray[np.float16], firsts: NDArray[np.int64], size: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and standard deviation of each window's cells as they are stored, in float64, each of shape (windows,).

    Args:
        frames: log-mel frames of a recording, shape (frames, mels), nats.
        firsts: first frame of each window, at least one.
        size: frames of a window.
    """
    values = frames.astype(np.float64)
    by_frame = np.stack([values.mean(axis=1), (values * values).mean(axis=1)])
    mean, square = np.stack([by_frame[:, f : f + size].mean(axis=1) for f in firsts], axis=1)
    return mean, np.sqrt(np.maximum(0, square - mean**2))


@dataclass(frozen=True)
class LogMel:
    """A log-mel front end: `LogMel.of(settings)`, then `frames` or `windows`."""

    settings: MelSettings
    bank: NDArray[np.float32]
    taper: NDArray[np.float32]

    @classmethod
    def of(cls, settings: MelSettings) -> "LogMel":
        """Build the filter bank and the periodic Hann window for `settings`."""
        s = settings
        taper = (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(s.n_fft) / s.n_fft)).astype(np.float32)
        return cls(s, filter_bank(s.n_fft, s.mels, s.fmin, s.fmax, s.sample_rate), taper)

    @property
    def frames_per_window(self) -> int:
        """Frames of one window."""
        return frames_per_window(self.settings.window_samples, self.settings.hop_length)

    def frames(self, samples: NDArray[np.int16], count: int) -> NDArray[np.float32]:
        """The first `count` log-mel frames of a recording, shape (count, mels), nats.

        Frame i is ln(mel power + 1e-6) of the n_fft samples centred on sample i * hop_length; before the
        first and after the last sample there are zeros.
        """
        half = self.settings.n_fft // 2
        out = np.empty((count, self.settings.mels), np.float32)
        for first in range(0, count, _BLOCK):
            n = min(_BLOCK, count - first)
            begin = first * self.settings.hop_length - half
            end = begin + (n - 1) * self.settings.hop_length + self.settings.n_fft
            chunk = np.zeros(end - begin, np.float32)
            a, b = max(0, begin), min(len(samples), end)
            if b > a:
                np.multiply(samples[a:b], np.float32(1 / 32768), out=chunk[a - begin : b - begin])
            out[first : first + n] = self._log_mel(chunk, n)
        return out

    def windows(self, samples: NDArray[np.int16]) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """All frames of a recording and the first frame of each of its windows.

        Returns:
            frames of shape (n, mels), and first frames of shape (windows,), into `frames`. With
            `alignment: recording` overlapping windows share frames; with `window` each has its own.
        """
        starts = window_starts(len(samples), self.settings.window_samples, self.settings.hop_samples)
        size = self.frames_per_window
        if self.settings.alignment == "window":
            length = self.settings.window_samples
            blocks = [self._alone(samples[s : s + length]) for s in starts]
            empty = np.zeros((0, self.settings.mels), np.float32)
            return (np.concatenate(blocks) if blocks else empty), np.arange(len(starts), dtype=np.int64) * size
        firsts = first_frames(starts, self.settings.hop_length)
        return self.frames(samples, int(firsts[-1]) + size if len(firsts) else 0), firsts

    def _alone(self, part: NDArray[np.int16]) -> NDArray[np.float32]:
        """One window computed alone: padded with zeros to its length, mirrored at both edges (torch's default)."""
        padded = np.zeros(self.settings.window_samples, np.float32)
        np.multiply(part, np.float32(1 / 32768), out=padded[: len(part)])
        return self._log_mel(np.pad(padded, self.settings.n_fft // 2, mode="reflect"), self.frames_per_window)

    def _log_mel(self, signal: NDArray[np.float32], count: int) -> NDArray[np.float32]:
        """`count` frames of `signal`, the first starting at its first sample."""
        views = np.lib.stride_tricks.sliding_window_view(signal, self.settings.n_fft)[:: self.settings.hop_length]
        spectra = scipy.fft.rfft(views[:count] * self.taper, axis=1)
        power = spectra.real**2 + spectra.imag**2
        result: NDArray[np.float32] = np.log(power @ self.bank + np.float32(LOG_FLOOR))
        return result
