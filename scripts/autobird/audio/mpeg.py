"""MPEG audio layer III frames: find the first one, count them, and write a header frame with their number."""

from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

_BITRATES = {
    3: (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    2: (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
"""kbit/s of MPEG-1 (3) and MPEG-2/2.5 (2 and 0) layer III, ISO/IEC 11172-3 and 13818-3."""

_RATES = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}

_BLOCK = 1 << 20
"""Bytes searched at a time."""


def mpeg_frame_length(header: bytes) -> int:
    """Return the length in bytes of the layer III frame with this 4-byte header, or 0 if it is not a frame header."""
    if len(header) < 4 or header[0] != 0xFF or header[1] & 0xE6 != 0xE2:
        return 0
    version, bitrate, rate = header[1] >> 3 & 3, header[2] >> 4, header[2] >> 2 & 3
    if version == 1 or bitrate in (0, 15) or rate == 3:
        return 0
    kbits = _BITRATES[3 if version == 3 else 2][bitrate]
    return (144000 if version == 3 else 72000) * kbits // _RATES[version][rate] + (header[2] >> 1 & 1)


_LENGTHS = np.array(
    [[mpeg_frame_length(bytes([0xFF, second, third, 0])) for third in range(256)] for second in range(256)], np.int32
)
"""Frame length by the second and the third byte of the header."""

_LONGEST = int(_LENGTHS.max())


def mpeg_frame_duration(header: bytes) -> float:
    """Return the duration in seconds of the frame with this valid header."""
    version = header[1] >> 3 & 3
    return (1152 if version == 3 else 576) / _RATES[version][header[2] >> 2 & 3]


def find_mpeg_frame(data: bytes) -> int:
    """Return the offset of the first layer III frame that is followed by another one, or -1."""
    for at in range(0, len(data), _BLOCK):
        if len(found := _confirmed_frames(data[at : at + _BLOCK + _LONGEST + 4])):
            return at + int(found[0])
    return -1


def _confirmed_frames(data: bytes) -> NDArray[np.int64]:
    """Return the offsets of all frame headers in `data` at whose end another frame header is in `data`.

    All positions are tested at once, so that the time is linear in the length of `data`, whatever it contains.
    """
    values = np.frombuffer(data, np.uint8)
    if len(values) < 8:
        return np.zeros(0, np.int64)
    is_sync = values[:-3] == 0xFF
    is_sync &= values[1:-2] & 0xE6 == 0xE2
    starts = np.flatnonzero(is_sync)
    lengths = _LENGTHS[values[starts + 1], values[starts + 2]]
    starts, lengths = starts[lengths > 0], lengths[lengths > 0]
    is_start = np.zeros(len(values) + _LONGEST, np.bool_)
    is_start[starts] = True
    return starts[is_start[starts + lengths]]


class MpegFrames:
    """Finds frames in a file, of which it holds one block in memory.

    Args:
        file: a seekable binary file.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._confirmed: NDArray[np.int64] | None = None
        self._load(0)

    def header(self, at: int) -> bytes:
        """Return the five bytes at position `at`, a frame header and the byte behind it; fewer at the end of the file."""
        if not self._at <= at <= self._at + len(self._data) - 5:
            self._load(at)
        return self._data[at - self._at : at - self._at + 5]

    def find(self, at: int) -> int:
        """Return the position of the first frame from `at` on that is followed by another one, or -1."""
        while True:
            # A frame near the end of the block may be followed by one outside of it.
            is_last_block = len(self._data) < _BLOCK
            if at < self._at or (not is_last_block and at >= self._at + _BLOCK - _LONGEST - 4):
                self._load(at)
            if self._confirmed is None:
                self._confirmed = _confirmed_frames(self._data)
            index = int(np.searchsorted(self._confirmed, at - self._at))
            if index < len(self._confirmed):
                return self._at + int(self._confirmed[index])
            if len(self._data) < _BLOCK:
                return -1
            at = self._at + _BLOCK - _LONGEST - 4

    def _load(self, at: int) -> None:
        self._file.seek(at)
        self._at, self._confirmed = at, None
        self._data = self._file.read(_BLOCK)


def count_mpeg_frames(file: BinaryIO, at: int, max_seconds: float = float("inf")) -> int:
    """Count the layer III frames from position `at` on, up to a duration of `max_seconds`; bytes between frames are skipped."""
    frames, count, seconds = MpegFrames(file), 0, 0.0
    while seconds <= max_seconds:
        header = frames.header(at)
        if len(header) == 5 and (length := mpeg_frame_length(header)):
            seconds += mpeg_frame_duration(header)
            count, at = count + 1, at + length
        elif len(header) < 5 or (at := frames.find(at + 1)) < 0:
            break
    return count


def xing_frame(header: bytes, frames: int) -> bytes:
    """Return a silent frame with a Xing tag, which encoders put at the start of a file of variable bit rate.

    Args:
        header: the 4-byte header of the file's first frame.
        frames: number of frames that follow; the tag declares it.
    """
    # Version, layer and sampling rate stay; no CRC; a bit rate whose frames are long enough for the tag.
    header = bytes([header[0], header[1] | 1, header[2] & 0x0C | 0x90, header[3]])
    mono, mpeg_1 = header[3] >> 6 == 3, header[1] >> 3 & 3 == 3
    side_information = (17 if mono else 32) if mpeg_1 else (9 if mono else 17)
    tag = header + bytes(side_information) + b"Xing" + (1).to_bytes(4, "big") + frames.to_bytes(4, "big")
    return tag.ljust(mpeg_frame_length(header), b"\0")
