"""The front end of BirdNET 2.4: two spectrograms of a window, by one matrix product each.

Its spectrogram is the real part of the Fourier transform of the frames (not the magnitude), weighted by a mel filter bank, squared,
and raised to a power that was learnt. All before the square is linear, so a frame times one matrix gives its mel bands.
"""

from typing import NamedTuple

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

_EPSILON = np.float32(1e-6)
"""Added to the range of the samples before the division by it (tensor `model/MEL_SPEC1/add/y`)."""


class _Matrix(NamedTuple):
    """The linear part of a spectrogram.

    Attributes:
        weights: from a folded frame (see `_fold`) to the mel bands, the highest first; shape (frame / 2 + 1, bands).
        constant: mel bands of a frame of ones; shape (bands,).
        exponent: of the absolute value of a mel band.
    """

    weights: NDArray[np.float32]
    constant: NDArray[np.float32]
    exponent: np.float32


class FrontEnd:
    """Computes the input of the convolutional part.

    Args:
        file: BirdNET's file, which holds windows, filter banks and exponents.
    """

    def __init__(self, file: TFLiteFile) -> None:
        self._matrices = [_matrix(file, spectrogram) for spectrogram in _SPECTROGRAMS]

    def spectrograms(self, window: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the spectrograms of a window of 144,000 samples; shape `SHAPE`."""
        # BirdNET scales each window to -1..1: x -> gain * x + offset. The products are computed before that, because an offset that is
        # large compared with the sound costs precision.
        lowest = window.min()
        gain = np.float32(2) / ((window - lowest).max() + _EPSILON)
        offset = np.float32(-float(gain) * float(lowest) - 1)
        out = np.empty(SHAPE, np.float32)
        for spectrogram, matrix, target in zip(_SPECTROGRAMS, self._matrices, out, strict=True):
            bands = _fold(window, spectrogram) @ matrix.weights
            bands *= gain
            bands += offset * matrix.constant
            np.abs(bands, out=bands)
            target[:] = (bands**matrix.exponent).T
        return out


def _matrix(file: TFLiteFile, spectrogram: _Spectrogram) -> _Matrix:
    window, bank, exponent = (file.constant(t) for t in (spectrogram.window, spectrogram.bank, spectrogram.exponent))
    assert window is not None
    assert bank is not None
    assert exponent is not None
    n = spectrogram.frame
    samples = np.arange(n)
    cosines = np.cos(2 * np.pi / n * (samples[:, None] * np.arange(n // 2 + 1)[None] % n))
    weights = cosines @ bank.astype(np.float64).T[:, ::-1] * window[:, None].astype(np.float64)
    # The stored window is symmetric within its rounding, which matters only for the constant: the offset may be much larger than
    # the sound.
    return _Matrix(
        weights[: n // 2 + 1].astype(np.float32),
        weights.sum(axis=0).astype(np.float32),
        np.float32(2) * np.float32(exponent),
    )


def _fold(samples: NDArray[np.float32], spectrogram: _Spectrogram) -> NDArray[np.float32]:
    """Return the folded frames: sample i plus sample frame - i, which have the same cosines and the same window.

    Returns:
        Shape (frames, frame / 2 + 1).
    """
    half = spectrogram.frame // 2
    frames = np.lib.stride_tricks.sliding_window_view(samples, spectrogram.frame)[:: spectrogram.hop]
    folded = np.ascontiguousarray(frames[:, : half + 1])
    folded[:, 1:half] += frames[:, :half:-1]
    return folded
