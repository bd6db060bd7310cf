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
    decoded = decode_into(source, _Mono, span=(start, end)).consumer
    samples = np.concatenate([*decoded.parts, np.zeros(0, np.float32)])
    try:
        write_bytes(target, encode(samples[:, None], decoded.sample_rate, "flac"))
    except OSError as error:
        raise AutobirdError(f"{target} cannot be written ({error.strerror}); name another folder") from error
    return target
