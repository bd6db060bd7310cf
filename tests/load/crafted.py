"""Small uploads that were expensive to decode (cases S3, S4, S10 of the first tests of the server)."""

import io
from collections.abc import Callable

import numpy as np
import soundfile

from autobird.audio.mpeg import mpeg_frame_length, xing_frame

_MP3_HEADER = b"\xff\xfb\x90\x00"
"""Of a frame with 128 kbit/s at 44.1 kHz."""


def _mp3_frame() -> bytes:
    return _MP3_HEADER + bytes(mpeg_frame_length(_MP3_HEADER) - 4)


def mp3_with_junk(megabytes: float) -> bytes:
    """A header that declares 50 frames, then a byte of junk before every two frames."""
    frame = _mp3_frame()
    pair = b"\x01" + 2 * frame
    return xing_frame(_MP3_HEADER, 50) + 50 * frame + pair * int(megabytes * 1e6 / len(pair))


def mp3_with_ones(megabytes: float) -> bytes:
    """Frames, and then bytes that each could be the start of a frame."""
    return xing_frame(_MP3_HEADER, 50) + 50 * _mp3_frame() + b"\xff" * int(megabytes * 1e6)


def mp3_with_broken_frames(megabytes: float) -> bytes:
    """Frames of random content, on each of which the decoder has something to say."""
    rng, size = np.random.default_rng(0), mpeg_frame_length(_MP3_HEADER)
    count = int(megabytes * 1e6 / size)
    frames = rng.integers(0, 255, (count, size), np.uint8)
    frames[:, :4] = np.frombuffer(_MP3_HEADER, np.uint8)
    return frames.tobytes()


def _silence(seconds: float, rate: int, channels: int, form: str) -> bytes:
    out = io.BytesIO()
    block = np.zeros((1 << 14, channels), np.int16)
    with soundfile.SoundFile(out, "w", rate, channels, format=form, subtype="PCM_16") as file:
        left = round(seconds * rate)
        while left:
            file.write(block[: min(left, len(block))])
            left -= min(left, len(block))
    return out.getvalue()


def flac_with_many_samples(megabytes: float) -> bytes:
    """Eight channels at the highest rate of FLAC."""
    return _silence(590 * megabytes / 3.4, 655_350, 8, "FLAC")


def flac_within_the_limit(megabytes: float) -> bytes:
    """Eight channels at 192 kHz: accepted until `max_values`."""
    return _silence(290 * megabytes / 3.4, 192_000, 8, "FLAC")


def wav_with_highest_rate(megabytes: float) -> bytes:
    """A sampling rate of 2^31 - 1 Hz."""
    return _silence(megabytes * 1e6 / 2 / (2**31 - 1), 2**31 - 1, 1, "WAV")


def wav_with_many_channels(megabytes: float) -> bytes:
    """1,024 channels."""
    return _silence(megabytes * 1e6 / 2 / 1024 / 8000, 8000, 1024, "WAV")


CRAFTED: dict[str, tuple[float, Callable[[float], bytes]]] = {
    "mp3, a byte before every 2 frames": (32, mp3_with_junk),
    "mp3, 0xFF": (60, mp3_with_ones),
    "mp3, frames of random content": (6, mp3_with_broken_frames),
    "FLAC, 8 channels, 655,350 Hz": (3.4, flac_with_many_samples),
    "FLAC, 8 channels, 192 kHz": (3.4, flac_within_the_limit),
    "WAV, 2^31 - 1 Hz": (0.6, wav_with_highest_rate),
    "WAV, 1,024 channels": (63, wav_with_many_channels),
}
"""Full size, MB, and maker of each file."""
