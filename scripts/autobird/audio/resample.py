"""Mono samples: conversion of the sampling rate, and conversion to int16."""

import numpy as np
import soxr
from numpy.typing import NDArray


class Resampler:
    """Converts mono samples from one sampling rate to another, block by block (soxr, quality HQ).

    Tones above half the new rate are attenuated by at least 120 dB; tones up to 0.45 times the new rate keep their
    level within 0.1 dB.
    """

    def __init__(self, source_rate: int, sample_rate: int) -> None:
        self._stream = soxr.ResampleStream(source_rate, sample_rate, 1, dtype="float32", quality="HQ")

    def add(self, mono: NDArray[np.float32]) -> NDArray[np.float32]:
        """Add the next input samples and return the output samples that are ready."""
        return self._stream.resample_chunk(mono)

    def finish(self) -> NDArray[np.float32]:
        """Return the remaining output samples; call it once, after the last `add`."""
        return self._stream.resample_chunk(np.zeros(0, np.float32), last=True)


def to_int16(samples: NDArray[np.float32]) -> NDArray[np.int16]:
    """Convert samples in -1..1 to int16: rounded to nearest, clipped at full scale."""
    with np.errstate(over="ignore"):  # damaged files may decode to huge values
        scaled = samples * np.float32(32768)
    np.rint(scaled, out=scaled)
    np.clip(scaled, -32768, 32767, out=scaled)
    return scaled.astype(np.int16)
