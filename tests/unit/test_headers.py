"""Metadata in headers: GUANO, AudioMoth's comment, Wildlife Acoustics' chunk; damaged headers give none."""

import io
import random
import struct
from pathlib import Path

import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from autobird.audio.headers import Header, read_header

SERIAL = "24F319055FDF2F5B"
DATA = (b"data", bytes(3200))


def chunk(name: bytes, data: bytes, order: str = "<") -> bytes:
    return name + struct.pack(f"{order}I", len(data)) + data + bytes(len(data) % 2)


def riff(*chunks: tuple[bytes, bytes], form: bytes = b"RIFF") -> bytes:
    order = ">" if form == b"RIFX" else "<"
    body = b"WAVE" + b"".join(
        chunk(*c, order) for c in ((b"fmt ", struct.pack(f"{order}HHIIHH", 1, 1, 16000, 32000, 2, 16)), *chunks)
    )
    return form + struct.pack(f"{order}I", len(body)) + body


def info(comment: str, artist: str = "") -> tuple[bytes, bytes]:
    data = b"INFO" + chunk(b"ICMT", comment.encode().ljust(384, b"\0"))
    return b"LIST", data + (chunk(b"IART", artist.encode().ljust(32, b"\0")) if artist else b"")


def guano(**fields: str) -> tuple[bytes, bytes]:
    lines = "".join(f"{key.replace('_', ' ')}: {value}\n" for key, value in fields.items())
    return b"guan", f"GUANO|Version: 1.0\n{lines}".encode()


def wamd(**fields: str) -> tuple[bytes, bytes]:
    numbers = {"version": 0, "model": 1, "serial": 2, "firmware": 3, "prefix": 4, "timestamp": 5}
    return b"wamd", b"".join(struct.pack("<HI", numbers[k], len(v)) + v.encode() for k, v in fields.items())


def header(data: bytes) -> Header:
    return read_header(io.BytesIO(data))


@pytest.mark.parametrize(
    ("comment", "at"),
    [
        (f"Recorded at 04:00:00 12/05/2023 (UTC) by AudioMoth {SERIAL} at gain setting 2 while battery state was 4.5V", "+00:00"),
        (f"Recorded at 04:00:00 12/05/2023 by AudioMoth {SERIAL} at gain setting 2 while battery state was > 5.0V", ""),
        (f"Recorded at 04:00:00 12/05/2023 (UTC+2) by AudioMoth {SERIAL} at medium gain setting while battery state was 4.5V.", "+02:00"),
        (f"Recorded at 04:00:00 12/05/2023 (UTC-3) by AudioMoth {SERIAL} using external microphone at high gain", "-03:00"),
        (f"Recorded at 04:00:00 12/05/2023 (UTC+5:30) by AudioMoth {SERIAL} at medium gain and temperature was 21.5C.", "+05:30"),
        (f"Recorded at 04:00:00 12/05/2023 (UTC) by AudioMoth ID {SERIAL} at medium gain", "+00:00"),
        (f"Recorded at 04:00:00.350 12/05/2023 (UTC) by AudioMoth {SERIAL} at medium gain", "+00:00"),
    ],
)  # fmt: skip
def test_the_comment_of_an_audiomoth_has_serial_number_and_time(comment: str, at: str) -> None:
    assert header(riff(info(comment), DATA)) == (SERIAL, f"2023-05-12T04:00:00{at}")


def test_the_artist_field_has_the_serial_number_during_a_deployment() -> None:
    comment = "Recorded at 04:00:00 12/05/2023 (UTC) during deployment 0123456789ABCDEF at medium gain"
    assert header(riff(info(comment, f"AudioMoth {SERIAL}"), DATA)) == (SERIAL, "2023-05-12T04:00:00+00:00")


def test_the_memory_address_that_the_first_firmware_wrote_is_no_serial_number() -> None:
    comment = "Recorded at 04:00:00 12/05/2018 by AudioMoth 0FE081F80FE081F0 at gain setting 2"
    assert header(riff(info(comment), DATA)) == ("", "2018-05-12T04:00:00")


@pytest.mark.parametrize(
    ("timestamp", "at"),
    [
        ("2023-05-12T04:00:00+02:00", "2023-05-12T04:00:00+02:00"),
        ("2023-05-12T04:00:00Z", "2023-05-12T04:00:00+00:00"),
        ("2023-05-12T04:00:00.123456", "2023-05-12T04:00:00"),
        ("2023-05-12 04:00:00-0330", "2023-05-12T04:00:00-03:30"),
        ("2023-05-12", ""),
        ("2023-13-12T04:00:00", ""),
        ("0000-00-00T00:00:00", ""),
        ("", ""),
    ],
)
def test_guano_is_read_before_and_after_the_samples(timestamp: str, at: str) -> None:
    chunk = guano(Make="Wildlife Acoustics, Inc.", Serial="S4A01234", Timestamp=timestamp, Loc_Position="50.1 8.2")
    for chunks in ([chunk, DATA], [DATA, chunk], [(b"data", bytes(3201)), chunk]):
        assert header(riff(*chunks)) == ("S4A01234", at)
    assert header(riff(DATA, chunk, form=b"RIFX")) == ("S4A01234", at)


def test_wamd_is_read_and_guano_has_priority() -> None:
    own = wamd(model="SM4", serial="S4A09999", timestamp="2023-05-12 04:00:00-05:00")
    assert header(riff(DATA, own)) == ("S4A09999", "2023-05-12T04:00:00-05:00")
    assert header(riff(DATA, own, guano(Serial="S4A01234"))) == ("S4A01234", "2023-05-12T04:00:00-05:00")


def test_chunks_after_a_missing_padding_byte_are_read() -> None:
    whole = riff(DATA, (b"xtra", b"abc"), guano(Serial="A1"))
    at = whole.index(b"abc\0") + 3
    assert header(whole[:at] + whole[at + 1 :]) == ("A1", "")


def test_the_size_of_a_data_chunk_of_more_than_4_gib_is_read_from_ds64() -> None:
    size = len(DATA[1])
    whole = bytearray(riff((b"ds64", struct.pack("<QQQI", 0, size, 0, 0)), DATA, guano(Serial="A1"), form=b"RF64"))
    at = whole.index(b"data") + 4
    whole[at : at + 4] = b"\xff" * 4
    assert header(bytes(whole)) == ("A1", "")


@pytest.mark.parametrize("name", ["a.flac", "a.ogg"])
def test_the_comment_is_read_from_the_tags_of_flac_and_ogg_files(tmp_path: Path, name: str) -> None:
    with soundfile.SoundFile(tmp_path / name, "w", 16000, 1) as file:
        file.comment = f"Recorded at 04:00:00 12/05/2023 (UTC) by AudioMoth {SERIAL} at medium gain"
        file.write([0.0] * 16000)
    assert read_header(tmp_path / name) == (SERIAL, "2023-05-12T04:00:00+00:00")


def test_other_comments_serial_numbers_and_files_give_no_metadata(tmp_path: Path) -> None:
    assert header(riff(info("Recorded in the garden by Ann"), DATA)) == ("", "")
    assert header(riff(guano(Serial="0000", Timestamp="?"), DATA)) == ("", "")
    assert header(riff(guano(Serial="unknown"), DATA)) == ("", "")
    assert header(b"") == header(b"ID3" + bytes(100)) == ("", "")
    assert read_header(tmp_path / "gone.wav") == ("", "")


COMPLETE = riff(
    info(f"Recorded at 04:00:00 12/05/2023 (UTC) by AudioMoth {SERIAL} at medium gain"), DATA,
    wamd(serial="S4A09999", timestamp="2023-05-12 04:00:00"), guano(Serial="A1", Timestamp="2023-05-12T04:00:00"),
)  # fmt: skip


@given(st.integers(0, 10**6))
def test_a_damaged_header_never_raises(seed: int) -> None:
    rng = random.Random(seed)
    data = bytearray(COMPLETE[: rng.randrange(len(COMPLETE))] if rng.random() < 0.5 else COMPLETE)
    for _ in range(rng.choice((1, 5, 50))):
        if data:
            data[rng.randrange(len(data))] = rng.randrange(256)
    found = header(bytes(data))
    assert len(found.recorder) <= 64
    assert len(found.recorded_at) in (0, 19, 25)


class Counting(io.BytesIO):
    """A file object that counts the bytes read."""

    total = 0

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(size)
        self.total += len(data)
        return data


def test_the_number_of_bytes_read_from_a_huge_header_is_bounded() -> None:
    many = [(b"LIST", b"INFO" + bytes(200_000))] * 100
    file = Counting(riff(*many))
    assert read_header(file) == ("", "")
    assert file.total < 64 * (1 << 16) + 2000
