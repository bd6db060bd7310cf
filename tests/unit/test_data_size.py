"""Files whose header declares too little audio are read to their end with a note; correct files are read as before."""

import io
import struct
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from autobird.audio.access import TarMember, open_source
from autobird.audio.audio_file import UnusableAudio, open_audio
from autobird.audio.data_size import with_real_size
from autobird.audio.decode import AudioProperties, decode, decode_into

CASES = Path(__file__).resolve().parents[3] / "shared" / "cases"
SECONDS = 3
RATE = 16000
BYTES = 2 * SECONDS * RATE


class Ignore:
    def __init__(self, rate: int) -> None: ...

    def add(self, mono: Any, /) -> None: ...


def probe(data: bytes | Path, **keys: Any) -> AudioProperties:
    return decode_into(io.BytesIO(data) if isinstance(data, bytes) else data, Ignore, **keys).properties


def audio(fmt: str = "WAV", subtype: str = "PCM_16", channels: int = 1, endian: str = "FILE") -> bytes:
    out = io.BytesIO()
    samples = 0.2 * np.random.default_rng(0).standard_normal((SECONDS * RATE, channels))
    soundfile.write(out, samples.astype(np.float32), RATE, format=fmt, subtype=subtype, endian=endian)
    return out.getvalue()


def with_sizes(riff: int, size: int, data: bytes | None = None) -> bytes:
    data = audio() if data is None else data
    return data[:4] + struct.pack("<I", riff) + data[8:40] + struct.pack("<I", size) + data[44:]


WHOLE = probe(audio())


@pytest.mark.parametrize("riff", [0, 8, 36, 44, BYTES + 36, 0xFFFFFFFF])
@pytest.mark.parametrize("size", [0, 1, 8, 36, 44, 1000, BYTES // 2])
@pytest.mark.parametrize("zeros", [0, 1, 100_001])
def test_a_wav_whose_sizes_were_never_written_is_read_to_its_end(riff: int, size: int, zeros: int) -> None:
    found = probe(with_sizes(riff, size) + bytes(zeros))
    # A single zero is no reserved space, and half a sample is no audio.
    assert (found.duration, found.sha256, found.decoded_share) == (SECONDS, WHOLE.sha256, 1)
    end = f", without {zeros} zero bytes at its end" if zeros > 1 else ""
    text = (
        f"the header was never finished and declares only {size} bytes of audio, so all 3.0 s of the file are used{end}"
    )
    assert found.note == text


@pytest.mark.parametrize("size", [0x7FFFFFFF, 0x7FFFF000, 0xFFFFFFFF, 0xFFFFFFFE, 0xFFFFFFDB])
def test_zeros_behind_the_audio_of_an_unfinished_header_are_left_out(size: int) -> None:
    assert probe(with_sizes(0xFFFFFFFF, size)).duration == SECONDS
    found = probe(with_sizes(0xFFFFFFFF, size) + bytes(1 << 21))
    assert (found.duration, found.sha256) == (SECONDS, WHOLE.sha256)
    assert found.note.startswith(
        "the header was never finished and declares no length, so all 3.0 s of the file are used, without"
    )


def chunk(name: bytes, content: bytes) -> bytes:
    return name + struct.pack("<I", len(content)) + content + bytes(len(content) % 2)


GUANO = b"GUANO|Version: 1.0\nSerial: S4A01234\n" * 200


@pytest.mark.parametrize(
    "rest",
    [
        b"",
        bytes(1),
        bytes(100_000),
        chunk(b"LIST", b"INFOICMT" + bytes(9)),
        chunk(b"guan", GUANO),
        chunk(b"wamd", bytes(5001)),
        chunk(b"bext", bytes(602)) + chunk(b"iXML", b"<x/>" * 3000) + chunk(b"id3 ", bytes(7001)),
        chunk(b"zzzz", bytes(9000)) + chunk(b"abcd", b"x" * 7),
        chunk(b"guan", GUANO)[:3000],  # the file was cut
        b"TAG" + b"x" * 125,
        b"ID3\x04" + b"x" * 20_000,
        b"APETAGEX" + b"x" * 20_000,
        b"x" * 4000,
    ],
)
def test_chunks_tags_and_padding_behind_the_audio_are_no_audio(rest: bytes) -> None:
    for riff in (0, 36 + BYTES, 36 + BYTES + len(rest)):
        data = with_sizes(riff, BYTES) + rest
        assert with_real_size(io.BytesIO(data)) is None
        assert probe(data) == WHOLE


def test_a_missing_padding_byte_before_the_next_chunk_is_accepted() -> None:
    odd = audio(subtype="PCM_U8")[:-1]
    data = odd[:40] + struct.pack("<I", len(odd) - 44) + odd[44:]
    assert (len(data) - 44) % 2
    for padding in (b"", b"\0"):
        assert with_real_size(io.BytesIO(data + padding + chunk(b"guan", GUANO))) is None


def test_a_header_of_the_last_update_and_a_wrapped_size_end_before_the_last_chunks() -> None:
    data = with_sizes(36, 20_000) + chunk(b"guan", GUANO) + chunk(b"LIST", b"INFO")
    found = probe(data)
    assert (found.duration, found.sha256) == (SECONDS, WHOLE.sha256)


def test_other_chunks_before_the_audio_are_kept_out_of_the_way() -> None:
    whole = audio()
    data = whole[:36] + chunk(b"JUNK", bytes(4001)) + chunk(b"wamd", bytes(91)) + b"data" + bytes(4) + whole[44:]
    found = probe(data + bytes(600))
    assert (found.duration, found.sha256) == (SECONDS, WHOLE.sha256)


@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ULAW", "IMA_ADPCM", "MS_ADPCM"])
@pytest.mark.parametrize("channels", [1, 2])
def test_every_codec_of_wav_is_read_to_its_end(subtype: str, channels: int) -> None:
    data = audio(subtype=subtype, channels=channels)
    at = data.index(b"data") + 4
    found = probe(data[:at] + bytes(4) + data[at + 4 :])
    assert found.note
    assert (found.sha256, found.codec) == (probe(data).sha256, f"WAV {subtype}")


@pytest.mark.parametrize(
    ("fmt", "endian", "at", "size"),
    [
        ("WAV", "BIG", 40, 4),
        ("RF64", "FILE", 28, 8),
        ("W64", "FILE", 96, 8),
        ("AIFF", "FILE", 42, 4),
        ("AU", "FILE", 8, 4),
        ("AU", "LITTLE", 8, 4),
    ],
)
@pytest.mark.parametrize("value", [0, 44, 20_000])
@pytest.mark.parametrize("zeros", [0, 100_000])
def test_rf64_w64_aiff_au_and_rifx_are_read_to_their_end(
    fmt: str, endian: str, at: int, size: int, value: int, zeros: int
) -> None:
    whole = audio(fmt, endian=endian)
    order = "little" if fmt in ("RF64", "W64") or endian == "LITTLE" else "big"
    value += {"W64": 24, "AIFF": 8}.get(fmt, 0)
    data = bytearray(whole + bytes(zeros))
    data[at : at + size] = value.to_bytes(size, order)  # type: ignore[arg-type]
    if fmt == "AIFF":
        data[22:26] = (value // 2).to_bytes(4, "big")
    found = probe(bytes(data))
    assert found.duration == pytest.approx(SECONDS, abs=1e-4)
    assert found.sha256 == probe(whole).sha256
    assert "3.0 s of the file are used" in found.note
    assert with_real_size(io.BytesIO(whole)) is None


def test_only_zeros_behind_an_unfinished_header_are_no_audio() -> None:
    with pytest.raises(UnusableAudio, match="no audio could be decoded"):
        probe(with_sizes(0, 0)[:44] + bytes(50_000))


def test_a_header_without_audio_behind_it_is_no_audio() -> None:
    for rest in (b"", chunk(b"LIST", b"INFOICMT" + bytes(9))):
        with pytest.raises(UnusableAudio, match="no audio could be decoded"):
            probe(with_sizes(0, 0)[:44] + rest)


def test_zeros_behind_a_flac_do_not_cost_its_last_seconds() -> None:
    flac = audio("FLAC")
    found = probe(flac + bytes(100_000))
    assert (found.duration, found.sha256) == (SECONDS, probe(flac).sha256)
    assert found.note.endswith("zero bytes at the end of the file are left out")
    assert with_real_size(io.BytesIO(flac)) is None


@pytest.mark.parametrize("ending", [b"\0", b"\0\0"])
def test_a_checksum_of_zeros_at_the_end_of_a_flac_is_kept(ending: bytes) -> None:
    """One of 256 files ends with a zero byte; without it the last frame, or the whole file, could not be decoded."""
    flac = flac_that_ends_with(ending)
    found = with_real_size(io.BytesIO(flac + bytes(4096)))
    assert found is not None
    assert found[0].read() == flac


def flac_that_ends_with(ending: bytes) -> bytes:
    """Return a FLAC file whose last checksum ends with these bytes."""
    samples = (3000 * np.random.default_rng(0).standard_normal(600)).astype(np.int16)
    for number in range(1 << 20):
        samples[-2:] = number >> 10, number & 1023
        out = io.BytesIO()
        soundfile.write(out, samples, RATE, format="FLAC")
        if out.getvalue().endswith(ending):
            return out.getvalue()
    raise AssertionError(ending)


def test_a_caf_without_a_size_is_read_to_its_end() -> None:
    whole = audio("CAF")
    at = whole.index(b"data") + 4
    for size in (0, 4, 5000):
        found = probe(whole[:at] + size.to_bytes(8, "big") + whole[at + 8 :] + bytes(4096))
        assert (found.duration, found.sha256) == (SECONDS, WHOLE.sha256)
        assert "the header was never finished" in found.note


def test_a_truncated_file_keeps_its_note() -> None:
    found = probe(audio()[: 44 + BYTES // 2])
    assert found.note == "the header declares 3.0 s, the file has 1.5 s, which are used"


def test_members_of_a_tar_and_parts_of_a_file_are_read_too(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(with_sizes(0, 0) + bytes(4096))
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        archive.add(path, "b.wav")
    with tarfile.open(tmp_path / "a.tar") as archive:
        member = archive.getmember("b.wav")
    with open_source(TarMember(tmp_path / "a.tar", member.offset_data, member.size)) as file:
        packed = probe(file)  # type: ignore[arg-type]
        assert packed == probe(path)
        part = decode(file, RATE, span=(1, 2))  # type: ignore[arg-type]
    assert packed.duration == SECONDS
    np.testing.assert_array_equal(part, decode(io.BytesIO(audio()), RATE, span=(1, 2)))


def test_a_wav_of_more_than_4_gib_is_read_to_its_end(tmp_path: Path) -> None:
    """A sparse file: its size wrapped, and only its start and its end contain audio."""
    frames, start = (1 << 31) + 3 * RATE, 44
    path = tmp_path / "long.wav"
    with path.open("wb") as file:
        file.write(with_sizes((2 * frames + 36) % (1 << 32), 2 * frames % (1 << 32))[:start] + b"\1\0" * 5000)
        file.seek(start + 2 * frames - 2000)
        file.write(b"\2\0" * 1000)
        file.write(chunk(b"guan", GUANO))
    with open_audio(path) as (opened, note):
        assert opened.frames == frames
        assert "all 134220.7 s of the file are used" in note
        opened.seek(frames - 1000)
        last = opened.read(out=np.empty((5000, 1), np.float32))
        np.testing.assert_array_equal(last, np.full((1000, 1), 2 / 32768, np.float32))


def test_the_case_of_a_power_loss(tmp_path: Path) -> None:
    if not CASES.is_dir():
        pytest.skip(f"the project's shared cases are not at {CASES}")
    subprocess.run([sys.executable, "-B", str(CASES / "f09_power_loss.py"), str(tmp_path)], check=True)
    whole = probe(tmp_path / "whole.wav")
    assert (whole.duration, whole.note) == (12, "")
    for name in ("size0.wav", "size44.wav"):
        found = probe(tmp_path / name)
        assert (found.duration, found.sha256) == (12, whole.sha256)
        assert "all 12.0 s of the file are used" in found.note
