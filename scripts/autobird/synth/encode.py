"""Encoding of samples as wav, flac, ogg or mp3 files, with the same bytes for the same samples."""

import io
import zlib

import numpy as np
import soundfile
from numpy.typing import NDArray

_FORMATS = {
    "wav": ("WAV", "PCM_16"),
    "flac": ("FLAC", "PCM_16"),
    "ogg": ("OGG", "VORBIS"),
    "mp3": ("MP3", "MPEG_LAYER_III"),
}
"""Container and codec of each format, as libsndfile names them."""

_BLOCK = 4096
"""Frames written per call: libsndfile has crashed when long ogg or mp3 files were written in one call."""


def encode(samples: NDArray[np.float32], sample_rate: int, fmt: str) -> bytes:
    """Return samples as an audio file.

    Args:
        samples: shape (n, channels), full scale = 1.
        sample_rate: Hz.
        fmt: wav, flac, ogg or mp3.
    """
    container, codec = _FORMATS[fmt]
    out = io.BytesIO()
    with soundfile.SoundFile(out, "w", sample_rate, samples.shape[1], format=container, subtype=codec) as file:
        for start in range(0, len(samples), _BLOCK):
            file.write(samples[start : start + _BLOCK])
    data = out.getvalue()
    return with_serial_number(data, zlib.crc32(samples.tobytes())) if fmt == "ogg" else data


def with_serial_number(data: bytes, serial: int) -> bytes:
    """Return an ogg stream with another serial number; libsndfile derives it from the clock.

    Every page holds the serial number and a checksum of the page (RFC 3533, section 6).
    """
    out, at = bytearray(data), 0
    while at < len(out):
        segments = out[at + 26]
        size = 27 + segments + sum(out[at + 27 : at + 27 + segments])
        out[at + 14 : at + 18] = serial.to_bytes(4, "little")
        out[at + 22 : at + 26] = b"\0\0\0\0"
        out[at + 22 : at + 26] = _ogg_crc(bytes(out[at : at + size])).to_bytes(4, "little")
        at += size
    return bytes(out)


_REVERSED_BITS = bytes(int(f"{i:08b}"[::-1], 2) for i in range(256))


def _ogg_crc(page: bytes) -> int:
    """Return the checksum of an ogg page: CRC-32, polynomial 0x04c11db7, most significant bit first, no inversion.

    zlib's CRC-32 has the same polynomial, but the least significant bit first, and inverts its start and end value. It is
    used here because it is fast: the bits of each byte and of the result are reversed, and both inversions are undone.
    """
    crc = zlib.crc32(page.translate(_REVERSED_BITS), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return int(f"{crc:032b}"[::-1], 2)
