"""The search for MPEG frames is linear in the size of the file, and gives the same frames as the plain algorithm."""

import io
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from autobird.audio import mpeg
from autobird.audio.audio_errors import TooLong
from autobird.audio.decode import decode
from autobird.audio.mpeg import MpegFrames, count_mpeg_frames, find_mpeg_frame, mpeg_frame_length, xing_frame


def plain_find(data: bytes) -> int:
    at = data.find(b"\xff")
    while 0 <= at < len(data) - 4:
        length = mpeg_frame_length(data[at : at + 4])
        if length and mpeg_frame_length(data[at + length : at + length + 4]):
            return at
        at = data.find(b"\xff", at + 1)
    return -1


def plain_count(data: bytes, at: int) -> int:
    count = 0
    while 0 <= at < len(data) - 4:
        if length := mpeg_frame_length(data[at : at + 4]):
            count, at = count + 1, at + length
        else:
            further = plain_find(data[at + 1 :])
            at = at + 1 + further if further >= 0 else -1
    return count


HEADERS = [b"\xff\xfb\x90\x00", b"\xff\xfa\x14\xc0", b"\xff\xf3\x18\xc4", b"\xff\xe3\x28\x00", b"\xff\xfb\xe2\x40"]
FRAMES = [header + bytes(mpeg_frame_length(header) - 4) for header in HEADERS]
PIECES = st.one_of(
    st.sampled_from(FRAMES),
    st.sampled_from(HEADERS),
    st.binary(max_size=40),
    st.sampled_from([b"\xff", b"\xff" * 50, bytes(2000), b"\x01"]),
)


@given(st.lists(PIECES, max_size=60).map(b"".join))
def test_frames_are_those_of_the_plain_algorithm(data: bytes) -> None:
    assert find_mpeg_frame(data) == plain_find(data)
    assert MpegFrames(io.BytesIO(data)).find(0) == plain_find(data)
    for at in {0, max(0, plain_find(data))}:
        assert count_mpeg_frames(io.BytesIO(data), at) == plain_count(data, at)


@given(st.lists(PIECES, max_size=60).map(b"".join))
def test_frames_across_blocks_are_found(data: bytes) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mpeg, "_BLOCK", 4096)
        assert MpegFrames(io.BytesIO(data)).find(0) == plain_find(data)
        assert find_mpeg_frame(data) == plain_find(data)
        assert count_mpeg_frames(io.BytesIO(data), 0) == plain_count(data, 0)


class CountingFile(io.BytesIO):
    """Counts the bytes that are read."""

    read_bytes = 0

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(size)
        self.read_bytes += len(data)
        return data


@pytest.mark.parametrize(
    "data",
    [
        b"".join(FRAMES[0] + FRAMES[0] + b"\x01" for _ in range(4000)),
        FRAMES[0] * 50 + b"\xff" * 3_000_000,
        FRAMES[0] * 50 + b"\xff\xfb\x90\x00" * 750_000 + b"\x01",
        FRAMES[1] * 3 + bytes(3_000_000) + FRAMES[0] * 3,
    ],
    ids=["a byte between frames", "0xFF", "headers without frames", "zeros"],
)
def test_each_byte_is_read_about_once_whatever_the_file_contains(data: bytes) -> None:
    file = CountingFile(data)
    count = count_mpeg_frames(file, 0)
    assert count >= 6
    assert file.read_bytes < 1.1 * len(data) + (1 << 20)


def test_counting_stops_at_the_longest_accepted_duration() -> None:
    file = CountingFile(FRAMES[0] * 10_000)  # 1152 / 44100 s each
    assert count_mpeg_frames(file, 0, 10) == pytest.approx(10 * 44100 / 1152, abs=2)
    assert file.read_bytes <= 2 << 20


def noisy_mp3(seconds: int) -> tuple[bytes, int]:
    """Return frames of an mp3 of constant bit rate without its header frame, and their number."""
    out = io.BytesIO()
    samples = 0.3 * np.random.default_rng(0).standard_normal(44100 * seconds)
    soundfile.write(out, samples, 44100, format="MP3", bitrate_mode="CONSTANT", compression_level=0.9)
    data = out.getvalue()
    at = find_mpeg_frame(data)
    at += mpeg_frame_length(data[at : at + 4])
    return data[at:], plain_count(data, at)


def test_a_header_that_declares_too_few_frames_is_not_believed(tmp_path: Path) -> None:
    frames, count = noisy_mp3(20)
    data = xing_frame(frames[:4], 50) + frames
    (tmp_path / "a.mp3").write_bytes(data)
    for source in (io.BytesIO(data), tmp_path / "a.mp3"):
        assert len(decode(source, 16000)) == pytest.approx(count * 1152 / 44100 * 16000, rel=0.01)
        with pytest.raises(TooLong):
            decode(source, 16000, max_duration=15)
        assert len(decode(source, 16000, span=(2, 18))) == pytest.approx(16 * 16000, abs=2)
