"""Mel spectrograms in numpy: the one implementation that training, prediction and the server use."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from autobird.audio.amplitude_scaling import AmplitudeScaling, Floats, scaling_of
from autobird.audio.settings import MelSettings
from autobird.audio.windows import first_frames, frames_per_window, window_starts

_BLOCK = 64
"""Frames computed at a time: 64 spectra of 513 bins stay in the second-level cache."""

_STRIPES = 4
"""Parts that the mel bands are computed in, each from the few bins that it covers."""

_MOMENT_BLOCK = 4096
"""Frames whose moments are computed at a time, so that memory does not grow with the recording."""


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
    by_frame = np.empty((2, len(frames)))
    for at in range(0, len(frames), _MOMENT_BLOCK):
        values = frames[at : at + _MOMENT_BLOCK].astype(np.float64)
        by_frame[0, at : at + _MOMENT_BLOCK] = values.mean(axis=1)
        by_frame[1, at : at + _MOMENT_BLOCK] = (values * values).mean(axis=1)
    mean, square = np.stack([by_frame[:, f : f + size].mean(axis=1) for f in firsts], axis=1)
    return mean, np.sqrt(np.maximum(0, square - mean**2))


@dataclass(frozen=True)
class FrontEnd:
    """From samples to the frames that a network sees: `FrontEnd.of(settings)`, then `frames` or `windows`.

    Attributes:
        settings: windows, transform, bands, and which scaling.
        taper: periodic Hann window, shape (n_fft,).
        stripes: parts of the filter bank: bins, their weights for some bands, and which bands.
        scaling: what becomes of mel power.
    """

    settings: MelSettings
    taper: Floats
    stripes: tuple[tuple[slice, Floats, slice], ...]
    scaling: AmplitudeScaling

    @classmethod
    def of(cls, settings: MelSettings) -> "FrontEnd":
        """Build the filter bank and the window for `settings`."""
        s = settings
        taper = (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(s.n_fft) / s.n_fft)).astype(np.float32)
        bank = filter_bank(s.n_fft, s.mels, s.fmin, s.fmax, s.sample_rate)
        return cls(s, taper, tuple(_stripes(bank)), scaling_of(s))

    @property
    def frames_per_window(self) -> int:
        """Frames of one window."""
        return frames_per_window(self.settings.window_samples, self.settings.hop_length)

    def frames(self, samples: NDArray[np.int16], count: int) -> Floats:
        """The first `count` frames of a recording, shape (count, mels).

        Frame i is the compressed mel power of the n_fft samples centred on sample i * hop_length; before the first and
        after the last sample there are zeros.
        """
        s, half = self.settings, self.settings.n_fft // 2
        out, compress = np.empty((count, s.mels), np.float32), self.scaling.start()
        chunk = np.empty((_BLOCK - 1) * s.hop_length + s.n_fft, np.float32)
        for first in range(0, count, _BLOCK):
            n = min(_BLOCK, count - first)
            begin = first * s.hop_length - half
            end = begin + (n - 1) * s.hop_length + s.n_fft
            a, b = max(0, begin), max(0, min(len(samples), end))
            chunk[: max(0, a - begin)] = 0
            np.multiply(samples[a:b], np.float32(1 / 32768), out=chunk[a - begin : max(a, b) - begin])
            chunk[max(a, b) - begin :] = 0
            self._compressed(chunk, out[first : first + n], compress)
        return out

    def windows(self, samples: NDArray[np.int16]) -> tuple[Floats, NDArray[np.int64]]:
        """All frames of a recording and the first frame of each of its windows.

        Returns:
            frames of shape (n, mels), and first frames of shape (windows,), into `frames`. With
            `alignment: recording` overlapping windows share frames; with `window` each has its own.
        """
        starts = window_starts(len(samples), self.settings.window_samples, self.settings.hop_samples)
        size = self.frames_per_window
        if self.settings.alignment == "window":
            out = np.empty((len(starts) * size, self.settings.mels), np.float32)
            for i, start in enumerate(starts):
                self._alone(samples[start : start + self.settings.window_samples], out[i * size : (i + 1) * size])
            return out, np.arange(len(starts), dtype=np.int64) * size
        firsts = first_frames(starts, self.settings.hop_length)
        return self.frames(samples, int(firsts[-1]) + size if len(firsts) else 0), firsts

    def _alone(self, part: NDArray[np.int16], out: Floats) -> None:
        """One window computed alone: padded with zeros to its length, mirrored at both edges (torch's default)."""
        padded = np.zeros(self.settings.window_samples, np.float32)
        np.multiply(part, np.float32(1 / 32768), out=padded[: len(part)])
        mirrored = np.pad(padded, self.settings.n_fft // 2, mode="reflect")
        self._compressed(mirrored, out, self.scaling.start())

    def _compressed(self, signal: Floats, out: Floats, compress: Callable[[Floats], Floats]) -> None:
        """As many frames of `signal` as `out` has rows, the first starting at its first sample."""
        views = np.lib.stride_tricks.sliding_window_view(signal, self.settings.n_fft)[:: self.settings.hop_length]
        spectra = scipy.fft.rfft(views[: len(out)] * self.taper, axis=1)
        power = spectra.real**2 + spectra.imag**2
        mel = np.zeros((len(out), self.settings.mels), np.float32)
        for bins, weights, bands in self.stripes:
            np.matmul(power[:, bins], weights, out=mel[:, bands])
        out[:] = compress(mel)


def _stripes(bank: Floats) -> list[tuple[slice, Floats, slice]]:
    """A filter bank in parts of neighbouring bands without the bins that none of them covers."""
    found = []
    for bands in np.array_split(np.arange(bank.shape[1]), _STRIPES):
        chosen = slice(int(bands[0]), int(bands[-1]) + 1)
        used = np.flatnonzero(bank[:, chosen].any(axis=1))
        if len(used):
            bins = slice(int(used[0]), int(used[-1]) + 1)
            found.append((bins, np.ascontiguousarray(bank[bins, chosen]), chosen))
    return found
