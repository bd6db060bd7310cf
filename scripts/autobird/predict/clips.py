"""Write parts of recordings as clips."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from autobird.audio.decode import decode_into
from autobird.core.errors import AutobirdError
from autobird.core.files import write_bytes
from autobird.synth.encode import encode


class _Mono:
    """The mono samples of a decode attempt."""

    def __init__(self, sample_rate: int) -> None:
        self.sample_rate = sample_rate
        self.parts: list[NDArray[np.float32]] = []

    def add(self, mono: NDArray[np.float32]) -> None:
        self.parts.append(mono.copy())


def read_mono(source: Path, start: float, end: float) -> tuple[NDArray[np.float32], int]:
    """Return a part of a recording, mono at its own sampling rate: samples of shape (samples,), full scale = 1, and the rate in Hz.

    Args:
        source: the recording.
        start: start of the part, seconds.
        end: end of the part, seconds.

    Raises:
        UnusableAudio: the recording cannot be decoded.
    """
    decoded = decode_into(source, _Mono, span=(start, end)).consumer
    return np.concatenate([*decoded.parts, np.zeros(0, np.float32)]), decoded.sample_rate


def write_clip(source: Path, start: float, end: float, target: Path) -> Path:
    """Write a part of a recording as a mono FLAC file of 16 bits, at the recording's own sampling rate; return its path.

    Args:
        source: the recording.
        start: start of the part, seconds.
        end: end of the part, seconds.
        target: the file to write.

    Raises:
        UnusableAudio: the recording cannot be decoded.
        AutobirdError: the file cannot be written.
    """
    samples, sample_rate = read_mono(source, start, end)
    try:
        write_bytes(target, encode(samples[:, None], sample_rate, "flac"))
    except OSError as error:
        raise AutobirdError(f"{target} cannot be written ({error.strerror}); name another folder") from error
    return target
