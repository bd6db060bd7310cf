"""Mel spectrograms in numpy: the one implementation that training, prediction and the server use."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from autobird.audio.amplitude_scaling import AmplitudeScaling, Floats, scaling_of
from autobird.audio.mel_scale import band_edges
from autobird.audio.settings import MelSettings
from autobird.audio.windows import first_frames, frames_per_window, window_starts

FRAMES_PER_BLOCK = 64
"""Frames computed at a time: 64 spectra of 513 bins fit into the second-level cache."""

_FILTER_BLOCKS = 4
"""Blocks of neighbouring mel bands; each is computed from the few frequency bins that it covers."""

_STATISTICS_BLOCK = 4096
"""Frames whose statistics are computed at a time, which bounds the memory for long recordings."""


def filter_bank(settings: MelSettings) -> NDArray[np.float32]:
    """Return triangular HTK mel filters without area normalisation, shape (n_fft // 2 + 1, mels).

    The float32 arithmetic is that of `torchaudio.functional.melscale_fbanks`, so that the frames agree with torchaudio's.
    """
    bins = np.linspace(0, settings.sample_rate // 2, settings.n_fft // 2 + 1, dtype=np.float32)
    edges = band_edges(settings, np.float32)
    width = np.diff(edges)
    slopes = edges[None, :] - bins[:, None]
    falling = -slopes[:, :-2] / width[:-1]
    rising = slopes[:, 2:] / width[1:]
    return np.maximum(np.float32(0.0), np.minimum(falling, rising)).astype(np.float32)


def window_mean_std(
    frames: NDArray[np.float16], firsts: NDArray[np.int64], size: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return mean and standard deviation of the values of each window as they are stored, each of shape (windows,).

    Args:
        frames: mel frames of a recording, shape (frames, mels), in the units of the front end.
        firsts: first frame of each window, at least one window.
        size: number of frames of a window.
    """
    per_frame = np.empty((2, len(frames)))
    for at in range(0, len(frames), _STATISTICS_BLOCK):
        values = frames[at : at + _STATISTICS_BLOCK].astype(np.float64)
        per_frame[0, at : at + _STATISTICS_BLOCK] = values.mean(axis=1)
        per_frame[1, at : at + _STATISTICS_BLOCK] = (values * values).mean(axis=1)
    mean, square = np.stack([per_frame[:, f : f + size].mean(axis=1) for f in firsts], axis=1)
    return mean, np.sqrt(np.maximum(0, square - mean**2))


@dataclass(frozen=True)
class FrontEnd:
    """Converts samples to the mel frames that are the network's input: `FrontEnd.of(settings)`, then `frames` or `windows`.

    Attributes:
        settings: windows, Fourier transform, mel bands and amplitude scaling.
        taper: periodic Hann window, shape (n_fft,).
        filter_blocks: blocks of the filter bank: frequency bins, weights of shape (bins, bands), and mel bands.
        scaling: of the mel power.
    """

    settings: MelSettings
    taper: Floats
    filter_blocks: tuple[tuple[slice, Floats, slice], ...]
    scaling: AmplitudeScaling

    @classmethod
    def of(cls, settings: MelSettings) -> "FrontEnd":
        """Build filter bank and Hann window for `settings`."""
        n_fft = settings.n_fft
        taper = (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(n_fft) / n_fft)).astype(np.float32)
        return cls(settings, taper, tuple(_filter_blocks(filter_bank(settings))), scaling_of(settings))

    @property
    def frames_per_window(self) -> int:
        """Number of frames of one window."""
        return frames_per_window(self.settings.window_samples, self.settings.hop_length)

    def frames(self, samples: NDArray[np.int16], count: int) -> Floats:
        """Return the first `count` frames of a recording, shape (count, mels).

        Frame i is the scaled mel power of the n_fft samples centred on sample i * hop_length. The recording is padded
        with zeros on both sides.
        """
        out, scale = np.empty((count, self.settings.mels), np.float32), self.scaling.new_scaler()
        for first in range(0, count, FRAMES_PER_BLOCK):
            self.compute_block(samples, 0, first, out[first : first + FRAMES_PER_BLOCK], scale)
        return out

    def compute_block(
        self,
        samples: NDArray[np.int16],
        offset: int,
        first: int,
        out: Floats,
        scale: Callable[[Floats], Floats],
    ) -> None:
        """Compute the frames of one block; the last block of a recording may be shorter than `FRAMES_PER_BLOCK`.

        Args:
            samples: samples of the recording, at least those that the frames cover; zeros are assumed outside of them.
            offset: position of the first of these samples in the recording.
            first: number of the first frame, a multiple of `FRAMES_PER_BLOCK`.
            out: array for the frames, shape (frames, mels).
            scale: scales the mel power of the recording; the blocks must be computed in order.
        """
        s = self.settings
        begin = first * s.hop_length - s.n_fft // 2 - offset
        end = begin + (len(out) - 1) * s.hop_length + s.n_fft
        chunk = np.empty(end - begin, np.float32)
        a, b = max(0, begin), max(0, min(len(samples), end))
        chunk[: max(0, a - begin)] = 0
        np.multiply(samples[a:b], np.float32(1 / 32768), out=chunk[a - begin : max(a, b) - begin])
        chunk[max(a, b) - begin :] = 0
        self._compute(chunk, out, scale)

    def windows(self, samples: NDArray[np.int16]) -> tuple[Floats, NDArray[np.int64]]:
        """Return all frames of a recording and the first frame of each of its windows.

        Returns:
            frames of shape (n, mels), and indices of first frames of shape (windows,). With `alignment: recording`
            overlapping windows share frames; with `alignment: window` each window has its own frames.
        """
        starts = window_starts(len(samples), self.settings.window_samples, self.settings.hop_samples)
        size = self.frames_per_window
        if self.settings.alignment == "window":
            out = np.empty((len(starts) * size, self.settings.mels), np.float32)
            for i, start in enumerate(starts):
                window = samples[start : start + self.settings.window_samples]
                self.compute_separate_window(window, out[i * size : (i + 1) * size])
            return out, np.arange(len(starts), dtype=np.int64) * size
        firsts = first_frames(starts, self.settings.hop_length)
        return self.frames(samples, int(firsts[-1]) + size if len(firsts) else 0), firsts

    def compute_separate_window(self, part: NDArray[np.int16], out: Floats) -> None:
        """Compute the frames of one window separately: padded with zeros, then mirrored at both edges as in `torch.stft`."""
        padded = np.zeros(self.settings.window_samples, np.float32)
        np.multiply(part, np.float32(1 / 32768), out=padded[: len(part)])
        mirrored = np.pad(padded, self.settings.n_fft // 2, mode="reflect")
        self._compute(mirrored, out, self.scaling.new_scaler())

    def _compute(self, signal: Floats, out: Floats, scale: Callable[[Floats], Floats]) -> None:
        """Fill `out`, shape (frames, mels), with the frames of `signal`; the first starts at its first sample."""
        step = signal.itemsize
        # A view of overlapping parts; numpy's function for it takes several times as long as the product below.
        shape, strides = (len(out), self.settings.n_fft), (step * self.settings.hop_length, step)
        views = np.ndarray(shape, signal.dtype, np.ascontiguousarray(signal), 0, strides)
        spectra = scipy.fft.rfft(views * self.taper, axis=1)
        power = spectra.real**2 + spectra.imag**2
        mel = np.zeros((len(out), self.settings.mels), np.float32)
        for bins, weights, bands in self.filter_blocks:
            np.matmul(power[:, bins], weights, out=mel[:, bands])
        out[:] = scale(mel)


def _filter_blocks(bank: Floats) -> list[tuple[slice, Floats, slice]]:
    """Split a filter bank into blocks of neighbouring bands, each without the bins where all its weights are 0."""
    blocks = []
    for numbers in np.array_split(np.arange(bank.shape[1]), _FILTER_BLOCKS):
        bands = slice(int(numbers[0]), int(numbers[-1]) + 1)
        used = np.flatnonzero(bank[:, bands].any(axis=1))
        if len(used):
            bins = slice(int(used[0]), int(used[-1]) + 1)
            blocks.append((bins, np.ascontiguousarray(bank[bins, bands]), bands))
    return blocks
