"""The front end of BirdNET 2.4: two spectrograms of a window, by one matrix product each.

Its spectrogram is the real part of the Fourier transform of the frames (not the magnitude), weighted by a mel filter bank, squared,
and raised to a power that was learnt. All before the square is linear, so a frame times one matrix gives its mel bands.
"""

from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from autobird.backbone.birdnet_graph import SHAPE
from autobird.backbone.tflite import TFLiteFile


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


class FrontEnd:
    """Computes the input of the convolutional part.

    Each window is scaled to -1..1, so silence is a constant, which may be much larger than the sound. Its rounding to float32 decides
    the values of quiet frames, so it is done here exactly as BirdNET does it: the scaled samples and their products with the window are
    rounded to float32. The product of the frames of silence with the matrix is computed once, in float64; that of the deviations from
    them suffices in float32.

    Args:
        file: BirdNET's file, which holds windows, filter banks and exponents.
    """

    def __init__(self, file: TFLiteFile) -> None:
        self._transforms = [_transform(file, spectrogram) for spectrogram in _SPECTROGRAMS]
        self._weights = [t.weights.astype(np.float32) for t in self._transforms]

    @property
    def multiply_adds(self) -> int:
        """Multiply-adds of the matrix products for one window."""
        return sum(SHAPE[2] * weights.size for weights in self._weights)

    def spectrograms(self, window: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the spectrograms of a window of 144,000 samples; shape `SHAPE`."""
        scaled, silence = _scaled(window)
        out = np.empty(SHAPE, np.float32)
        for spectrogram, transform, weights, target in zip(
            _SPECTROGRAMS, self._transforms, self._weights, out, strict=True
        ):
            silent_frame = silence * transform.window
            silent_bands = (_fold(silent_frame[None].astype(np.float64)) @ transform.weights).astype(np.float32)
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
        return out


def _scaled(window: NDArray[np.float32]) -> tuple[NDArray[np.float32], np.float32]:
    """Return the samples scaled to -1..1, and the value to which a sample of zero is scaled."""
    lowest = window.min()
    samples = window - lowest
    divisor = samples.max() + _EPSILON
    silence = (np.float32(0) - lowest) / divisor
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
