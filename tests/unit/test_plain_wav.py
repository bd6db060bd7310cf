"""WAV files of the plainest kind: the same values as from libsndfile, and all others are left to it."""

import io
import struct
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np
import pytest
import soundfile

from autobird.audio.audio_errors import DecodeError
from autobird.audio.audio_file import open_audio
from autobird.audio.file_view import MemoryView
from autobird.audio.plain_wav import PlainWav, plain_wav


def wav(frames: int, channels: int = 1, rate: int = 44100) -> bytes:
    values = np.random.default_rng(frames).integers(-32768, 32768, (frames, channels), np.int16)
    values[:1], values[-1:] = -32768, 32767
    file = io.BytesIO()
    soundfile.write(file, values, rate, format="WAV", subtype="PCM_16")
    return file.getvalue()


def changed(data: bytes, at: int, kind: str, value: int) -> bytes:
    return data[:at] + struct.pack(kind, value) + data[at + struct.calcsize(kind) :]


def opened(data: bytes, how: str, folder: Path) -> BinaryIO:
    if how == "memory":
        return cast(BinaryIO, MemoryView(memoryview(data)))
    if how == "bytes":
        return io.BytesIO(data)
    (folder / "a.wav").write_bytes(data)
    return (folder / "a.wav").open("rb")


@pytest.mark.parametrize("how", ["memory", "bytes", "file"])
@pytest.mark.parametrize(
    ("frames", "channels", "rate"), [(1, 1, 100), (70001, 1, 44100), (999, 2, 8001), (50, 64, 22050)]
)
def test_values_are_those_of_libsndfile(how: str, frames: int, channels: int, rate: int, tmp_path: Path) -> None:
    data = wav(frames, channels, rate)
    expected, _ = soundfile.read(io.BytesIO(data), dtype="float32", always_2d=True)
    with opened(data, how, tmp_path) as file, open_audio(file) as (audio, note):
        assert isinstance(audio, PlainWav)
        assert note == ""
        with soundfile.SoundFile(io.BytesIO(data)) as other:
            for name in ("samplerate", "channels", "frames", "format", "subtype"):
                assert getattr(audio, name) == getattr(other, name)
        for first, block in ((0, frames + 5), (frames // 2, 7), (frames, 3)):
            audio.seek(first)
            parts = [audio.read(out=np.empty((block, channels), np.float32)).copy() for _ in range(frames // block + 2)]
            assert not len(parts[-1])
            assert np.array_equal(np.concatenate(parts), expected[first:])
        with pytest.raises(DecodeError):
            audio.seek(frames + 1)


def test_a_file_that_becomes_shorter_ends_early(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(wav(1000))
    with path.open("rb", buffering=0) as file:
        audio = plain_wav(cast(BinaryIO, file), path.stat().st_size)
        assert audio is not None
        path.write_bytes(path.read_bytes()[:1045])
        assert len(audio.read(out=np.empty((5000, 1), np.float32))) == 500


DATA = wav(1000, 2)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        DATA[:44],
        DATA[:-1],
        DATA[:-4],
        DATA + b"\0",
        DATA + b"LIST\x04\0\0\0INFO",
        b"RIFX" + DATA[4:],
        *(changed(DATA, at, "<I", value) for at in (4, 40) for value in (0, 3996, 0xFFFFFFFF)),
        changed(DATA, 16, "<I", 18),
        *(changed(DATA, 20, "<H", kind) for kind in (0, 3, 6, 0xFFFE)),
        *(changed(DATA, 22, "<H", channels) for channels in (0, 1, 3, 65)),
        *(changed(DATA, 24, "<I", rate) for rate in (0, 48000, 0x80000000)),
        changed(DATA, 28, "<I", 0),
        changed(DATA, 32, "<H", 2),
        *(changed(DATA, 34, "<H", bits) for bits in (8, 12, 24)),
        changed(changed(DATA[:-1], 40, "<I", len(DATA) - 45), 4, "<I", len(DATA) - 9),
        wav(10, 65),
        wav(10, 1, 99),
    ],
)
def test_all_other_files_are_left_to_libsndfile(data: bytes) -> None:
    assert plain_wav(io.BytesIO(DATA), len(DATA)) is not None
    assert plain_wav(io.BytesIO(data), len(data)) is None


def test_bytes_are_read_where_they_are_as_from_a_file() -> None:
    view, file = MemoryView(memoryview(DATA)), io.BytesIO(DATA)
    for offset, whence in ((0, 0), (10, 0), (-5, 2), (3, 1), (5000, 0), (0, 2)):
        assert view.seek(offset, whence) == file.seek(offset, whence) == view.tell()
        assert view.read(7) == file.read(7)
        buffers = bytearray(9), bytearray(9)
        assert view.readinto(buffers[0]) == file.readinto(buffers[1])
        assert buffers[0] == buffers[1]
    view.seek(1)
    assert view.read() == DATA[1:]
    with pytest.raises(ValueError, match="-1"):
        view.seek(-1)
