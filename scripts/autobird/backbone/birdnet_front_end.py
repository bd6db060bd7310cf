"""The front end of BirdNET 2.4: two spectrograms of a window, by one matrix product each.

Its spectrogram is the real part of the Fourier transform of the frames (not the magnitude), weighted by a mel filter bank, squared,
and raised to a power that was learnt. All before the square is linear, so a frame times one matrix gives its mel bands.
"""

from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from autobird.backbone.birdnet_graph import SHAPE
from autobird.backbone.tflite import TFLiteFile
from autobird.core.blas import one_blas_thread


class _Spectrogram(NamedTuple):
    """Frame length and hop in samples, and the numbers of the tensors: window, mel filter bank, half of the exponent."""

    frame: int
    hop: int
    window: int
    bank: int
    exponent: int


_SPECTROGRAMS = (_Spectrogram(2048, 278, 129, 166, 165), _Spectrogram(1024, 280, 126, 168, 167))

_BLOCK = 128
"""Number of frames at a time; more do not fit into the cache of a core."""

_Float = TypeVar("_Float", np.float32, np.float64)

_EPSILON = np.float32(1e-6)
"""Added to the range of the samples before the division by it (tensor `model/MEL_SPEC1/add/y`)."""


class _Transform(NamedTuple):
    """A spectrogram's linear part and exponent.

    Attributes:
        window: factors of the samples of a frame; shape (frame,).
        weights: from a folded frame (see `_fold`) to the mel bands, the highest first; shape (frame / 2 + 1, bands).
        exponent: of the absolute value of a mel band.
    """

    window: NDArray[np.float32]
    weights: NDArray[np.float64]
    exponent: np.float32

    def bands_of_constant(self, value: np.float32) -> NDArray[np.float32]:
        """Return the mel bands of a frame whose samples all have this value, computed in float64; shape (bands,)."""
        frame = (value * self.window)[None].astype(np.float64)
        return (_fold(frame) @ self.weights)[0].astype(np.float32)


class FrontEnd:
    """Computes the input of the convolutional part.

    Each window is scaled to -1..1, so silence is a constant, which may be much larger than the sound. Its rounding to float32 decides
    the values of quiet frames, so it is done here exactly as BirdNET does it: the scaled samples and their products with the window are
    rounded to float32. The product of a frame of silence with the matrix is computed once, in float64; that of the deviations from it
    suffices in float32. A frame of equal samples, also other than zero (digital silence of a recorder with an offset), is computed in
    float64: its bands are so small that the rounding of the deviations would decide them.

    Args:
        file: BirdNET's file, which holds windows, filter banks and exponents.
    """

    def __init__(self, file: TFLiteFile) -> None:
        with one_blas_thread():  # with several threads the last bits of the products differ
            self._transforms = [_transform(file, spectrogram) for spectrogram in _SPECTROGRAMS]
        self._weights = [t.weights.astype(np.float32) for t in self._transforms]

    def spectrograms(self, window: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the spectrograms of a window of 144,000 samples; shape `SHAPE`."""
        scaled, silence = _scaled(window)
        out = np.empty(SHAPE, np.float32)
        for spectrogram, transform, weights, target in zip(
            _SPECTROGRAMS, self._transforms, self._weights, out, strict=True
        ):
            silent_frame, silent_bands = silence * transform.window, transform.bands_of_constant(silence)
            frames = np.lib.stride_tricks.sliding_window_view(scaled, spectrogram.frame)[:: spectrogram.hop]
            block = np.empty((_BLOCK, spectrogram.frame), np.float32)
            for first in range(0, len(frames), _BLOCK):
                part = block[: len(frames) - first]
                np.multiply(frames[first : first + _BLOCK], transform.window, out=part)
                part -= silent_frame
                bands = _fold(part) @ weights
                bands += silent_bands
                np.abs(bands, out=bands)
                target[:, first : first + _BLOCK] = (bands**transform.exponent).T
            for value, numbers in _constant_frames(frames, silence).items():
                bands = np.abs(transform.bands_of_constant(value))
                target[:, numbers] = (bands**transform.exponent)[:, None]
        return out


def _constant_frames(frames: NDArray[np.float32], silence: np.float32) -> dict[np.float32, list[int]]:
    """Return the numbers of the frames whose samples are all equal, and not `silence`, by their value."""
    first = frames[:, 0]
    is_candidate = (first != silence) & (first == frames[:, -1]) & (first == frames[:, frames.shape[1] // 2])
    found: dict[np.float32, list[int]] = {}
    for number in np.flatnonzero(is_candidate):
        if (frames[number] == first[number]).all():
            found.setdefault(first[number], []).append(int(number))
    return found


def _scaled(window: NDArray[np.float32]) -> tuple[NDArray[np.float32], np.float32]:
    """Return the samples scaled to -1..1, and the value to which a sample of zero is scaled, limited to -1..1.

    Without the limit it would be far away from all samples if they have an offset that is larger than their range.
    """
    lowest = window.min()
    samples = window - lowest
    divisor = samples.max() + _EPSILON
    silence = np.clip((np.float32(0) - lowest) / divisor, 0, 1)
    samples /= divisor
    samples -= np.float32(0.5)
    samples *= np.float32(2)
    return samples, (silence - np.float32(0.5)) * np.float32(2)


def _transform(file: TFLiteFile, spectrogram: _Spectrogram) -> _Transform:
    window, bank, exponent = (file.constant(t) for t in (spectrogram.window, spectrogram.bank, spectrogram.exponent))
    assert window is not None
    assert bank is not None
    assert exponent is not None
    n, half = spectrogram.frame, spectrogram.frame // 2
    phases = np.arange(half + 1)[:, None] * np.arange(half + 1)[None] % n
    weights = np.cos(2 * np.pi / n * phases) @ bank.astype(np.float64).T[:, ::-1]
    return _Transform(window.astype(np.float32), weights, np.float32(2) * np.float32(exponent))


def _fold(frames: NDArray[_Float]) -> NDArray[_Float]:
    """Fold frames in place: add sample n - i to sample i, because their cosines are equal.

    Args:
        frames: shape (frames, n).

    Returns:
        Shape (frames, n / 2 + 1).
    """
    half = frames.shape[1] // 2
    frames[:, 1:half] += frames[:, :half:-1]
    return frames[:, : half + 1]
