"""Samples as the bytes of a wav, flac, ogg or mp3 file, the same bytes each time."""

import io
import zlib

import numpy as np
import soundfile
from numpy.typing import NDArray

_SUBTYPES = {
    "wav": ("WAV", "PCM_16"),
    "flac": ("FLAC", "PCM_16"),
    "ogg": ("OGG", "VORBIS"),
    "mp3": ("MP3", "MPEG_LAYER_III"),
}

_BLOCK = 4096
"""Frames written at a time: libsndfile has crashed when long ogg or mp3 files were written in one call."""


def encode(samples: NDArray[np.float32], sample_rate: int, fmt: str) -> bytes:
    """Encode samples of shape (n, channels); `fmt` is wav, flac, ogg or mp3."""
    container, subtype = _SUBTYPES[fmt]
    out = io.BytesIO()
    with soundfile.SoundFile(out, "w", sample_rate, samples.shape[1], format=container, subtype=subtype) as file:
        for start in range(0, len(samples), _BLOCK):
            file.write(samples[start : start + _BLOCK])
    data = out.getvalue()
    return with_serial(data, zlib.crc32(samples.tobytes())) if fmt == "ogg" else data


def with_serial(data: bytes, serial: int) -> bytes:
    """An ogg stream under another serial number; libsndfile draws one from the clock.

    Each page carries the number and a checksum over itself (RFC 3533, section 6).
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


_REVERSED = bytes(int(f"{i:08b}"[::-1], 2) for i in range(256))


def _ogg_crc(page: bytes) -> int:
    """CRC-32 with polynomial 0x04c11db7, most significant bit first, no inversion.

    zlib's CRC has the same polynomial with reversed bits and inverted ends; reversing the bits of the
    bytes and undoing both inversions makes one from the other at zlib's speed.
    """
    crc = zlib.crc32(page.translate(_REVERSED), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return int(f"{crc:032b}"[::-1], 2)
