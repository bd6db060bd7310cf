"""The length of a recording as its header states it, to show the progress of a job; imports no decoder."""

import struct
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

_MAX_CHUNKS = 200
"""Chunks before the audio that are looked at."""

_FORMAT_BYTES = 16
"""Bytes of the format chunk that are read; the number of bytes a second is at 8 to 12."""

_UNKNOWN = 0xFFFFFFFF


def declared_seconds(source: Path | bytes | memoryview) -> float | None:
    """Return the length of a WAV (also RF64) or FLAC file, seconds; None for other files and if the header does not state it.

    Only for display and estimates: the header may be wrong.

    Args:
        source: path or content of the file.
    """
    with suppress(OSError, struct.error, ZeroDivisionError), _opened(source) as file:
        head = file.read(12)
        if head[:4] in (b"RIFF", b"RF64") and head[8:12] == b"WAVE":
            return _of_wave(file, source.stat().st_size if isinstance(source, Path) else len(source))
        if head[:4] == b"fLaC":
            return _of_flac(file)
    return None


def _opened(source: Path | bytes | memoryview) -> BinaryIO:
    return source.open("rb") if isinstance(source, Path) else BytesIO(source)


def _of_wave(file: BinaryIO, size: int) -> float | None:
    bytes_per_second = 0
    for _ in range(_MAX_CHUNKS):
        name, length = struct.unpack("<4sI", file.read(8))
        if name == b"data":
            rest = size - file.tell()
            return (rest if length == _UNKNOWN else min(length, rest)) / bytes_per_second
        if name == b"fmt ":
            # Not `read(length)`: a wrong length would read the whole upload into memory.
            bytes_per_second = struct.unpack_from("<I", file.read(min(length, _FORMAT_BYTES)), 8)[0]
            file.seek(max(0, length - _FORMAT_BYTES) + length % 2, 1)
        else:
            file.seek(length + length % 2, 1)
    return None


def _of_flac(file: BinaryIO) -> float | None:
    """Source: RFC 9639, section 8.2 (streaminfo): 20 bits of sample rate, 3 of channels, 5 of sample size, 36 of samples."""
    file.seek(4 + 4 + 10)
    (bits,) = struct.unpack(">Q", file.read(8))
    rate, samples = bits >> 44, bits & ((1 << 36) - 1)
    return samples / rate if samples else None
