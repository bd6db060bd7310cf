"""No header can make decoding expensive: sampling rate, channels, samples and blocks are bounded."""

import io
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from autobird.audio.audio_errors import TooLong, UnusableAudio
from autobird.audio.decode import AudioProperties, decode, decode_at_rates_into, decode_into
from autobird.audio.limits import MAX_CHANNELS, block_frames, check_length, check_rate_and_channels


class LargestBlock:
    largest = 0

    def __init__(self, rate: int) -> None: ...

    def add(self, mono: Any, /) -> None:
        LargestBlock.largest = max(LargestBlock.largest, len(mono))


def probe(data: bytes, **keys: Any) -> AudioProperties:
    return decode_into(io.BytesIO(data), LargestBlock, **keys).properties


def silence(frames: int, rate: int, channels: int, fmt: str = "WAV") -> bytes:
    out = io.BytesIO()
    soundfile.write(out, np.zeros((frames, channels), np.int16), rate, format=fmt, subtype="PCM_16")
    return out.getvalue()


def with_rate(rate: int) -> bytes:
    data = silence(8000, 8000, 1)
    return data[:24] + struct.pack("<I", rate) + data[28:]


@pytest.mark.parametrize(
    ("rate", "channels"), [(384_000, 2), (192_000, 8), (500_000, 2), (1_000_000, 1), (48_000, 32), (8000, 1)]
)
def test_the_fastest_real_recorders_are_read(rate: int, channels: int) -> None:
    found = probe(silence(rate // 10, rate, channels), max_duration=1)
    assert (found.sample_rate, found.channels, found.duration) == (rate, channels, pytest.approx(0.1))
    assert len(decode(io.BytesIO(silence(rate // 10, rate, channels)), 16000)) == pytest.approx(1600, abs=2)


@pytest.mark.parametrize("rate", [1, 99, 1_000_001, 2**31 - 1])
def test_impossible_sampling_rates_are_refused_with_the_value_and_the_remedy(rate: int) -> None:
    with pytest.raises(UnusableAudio, match=f"sampling rate of {rate} Hz, .*; correct the header or convert the file"):
        probe(with_rate(rate))


def test_too_many_channels_are_refused() -> None:
    with pytest.raises(UnusableAudio, match="1024 channels are more than 64; export fewer channels"):
        probe(silence(100, 16000, 1024))
    with pytest.raises(UnusableAudio, match="8 channels at 655350 Hz are more than 2000000 samples per second"):
        probe(silence(100_000, 655_350, 8, "FLAC"))


def test_more_samples_than_the_longest_recording_of_stereo_at_384_khz_are_too_long() -> None:
    check_length(600 * 384_000, 384_000, 2, 600)
    check_length(300 * 192_000, 192_000, 8, 600)
    check_length(10**15, 192_000, 8, float("inf"))
    with pytest.raises(
        TooLong, match="512 s of 8 channels at 192000 Hz have more samples than 600 s of stereo at 384 kHz"
    ):
        check_length(512 * 192_000, 192_000, 8, 600)
    with pytest.raises(TooLong, match="longer than 600 s of decoded audio"):
        check_length(601 * 192_000, 192_000, 1, 600)


def test_blocks_are_bounded_by_bytes() -> None:
    for channels in (1, 2, 8):
        assert block_frames(channels) == 1 << 16  # as ever, so that results stay the same to the byte
    assert block_frames(MAX_CHANNELS) * MAX_CHANNELS * 4 == 1 << 21
    LargestBlock.largest = 0
    probe(silence(40_000, 16000, MAX_CHANNELS))
    assert LargestBlock.largest == 8192


def test_the_message_for_rates_does_not_depend_on_channels() -> None:
    with pytest.raises(UnusableAudio, match="sampling rate"):
        check_rate_and_channels(2**31 - 1, 1024)


def test_a_limit_of_decoded_samples_counts_all_channels_and_names_the_values() -> None:
    check_length(100, 8000, 4, 600, 400)
    with pytest.raises(
        TooLong, match="0 s of 5 channels at 8000 Hz have more than 499 samples of all channels together"
    ):
        check_length(100, 8000, 5, 600, 499)


def test_decoding_stops_at_the_limit_of_samples(tmp_path: Path) -> None:
    """A FLAC with 8 channels is refused within a block of its start; the progress shows how far it was decoded."""
    soundfile.write(tmp_path / "a.flac", np.zeros((40 * 48_000, 8), np.int16), 48_000)
    seen: list[float] = []
    with pytest.raises(TooLong, match="more than 1000000 samples"):
        decode_at_rates_into(tmp_path / "a.flac", (16_000,), _Nothing, max_values=1_000_000, progress=seen.append)
    assert max(seen, default=0) * 48_000 * 8 <= 1_000_000
    decode_at_rates_into(tmp_path / "a.flac", (16_000,), _Nothing, max_values=40 * 48_000 * 8, progress=seen.append)
    assert seen[-1] == 40


class _Nothing:
    """A consumer that forgets the samples."""

    def add(self, samples: NDArray[np.int16], /, *_: NDArray[np.int16]) -> None:
        """Do nothing."""
