"""What a recorder wrote into the header of a file: its serial number, and when the recording began.

Read are GUANO (chunk `guan`, https://github.com/riggsd/guano-spec), the comment of AudioMoth (`LIST`, or the tags of a
FLAC or Ogg file that was made from it), and the chunk `wamd` of Wildlife Acoustics.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

from autobird.core.clock import iso_moment, moment, offset

_CHUNKS = 64
"""Chunks looked at in one file; a damaged header might name any number of them."""

_BYTES = 1 << 16
"""Bytes read of one chunk."""

_UNKNOWN_SIZE = 0xFFFFFFFF
"""Size of a chunk of more than 4 GiB; the chunk `ds64` of RF64 has the true one."""

_SERIAL, _TIMESTAMP = 2, 5
"""Numbers of fields in the chunk `wamd`."""

_AUDIOMOTH_TIME = re.compile(
    r"Recorded at (\d\d):(\d\d):(\d\d)(?:\.\d+)? (\d\d)/(\d\d)/(\d{4})(?: \(UTC([+-]\d\d?(?::\d\d)?)?\))?"
)
_AUDIOMOTH_SERIAL = re.compile(r"AudioMoth (?:ID:? )?([0-9A-F]{8})([0-9A-F]{8})\b")


class Header(NamedTuple):
    """What is known of a file's origin.

    Attributes:
        recorder: serial number of the recorder, "" if unknown.
        recorded_at: when the recording began, by the recorder's clock: `2023-05-12T04:00:00`, followed by the offset
            from UTC (`+02:00`) where the header gives one; "" if unknown.
    """

    recorder: str = ""
    recorded_at: str = ""


def read_header(source: Path | BinaryIO) -> Header:
    """What a file's header says; damaged or foreign data say nothing and never raise.

    Args:
        source: a path, or a seekable binary file, which is left at any position.
    """
    try:
        if isinstance(source, Path):
            with source.open("rb") as file:
                return _header(file)
        return _header(source)
    except (OSError, ValueError):
        return Header()


def _header(file: BinaryIO) -> Header:
    file.seek(0)
    head = file.read(12)
    if head[:4] in (b"fLaC", b"OggS"):
        return _audiomoth(head + file.read(_BYTES))
    if head[:4] not in (b"RIFF", b"RIFX", b"RF64", b"BW64") or head[8:12] != b"WAVE":
        return Header()
    found = {name: _READERS[name](data) for name, data in _chunks(file, "big" if head[:4] == b"RIFX" else "little")}
    # GUANO names the recorder and the offset in the plainest way; the others fill in what it lacks.
    known = [found[name] for name in _READERS if name in found]
    return Header(*(next((value for value in values if value), "") for values in zip(*known, strict=True)))


def _chunks(file: BinaryIO, order: str) -> Iterator[tuple[bytes, bytes]]:
    """Names and beginnings of the chunks that are read."""
    at, padded, long = 12, False, 0
    for _ in range(_CHUNKS):
        file.seek(at)
        start = file.read(8)
        if padded and not _is_name(start[:4]):
            # Some programs write no byte of padding after a chunk of odd length.
            file.seek(at := at - 1)
            start = file.read(8)
        name = start[:4]
        if len(start) < 8 or not _is_name(name):
            return
        size = int.from_bytes(start[4:], "big" if order == "big" else "little")
        if name == b"ds64":
            long = int.from_bytes(file.read(16)[8:], "little")
        elif name in _READERS:
            yield name, file.read(min(size, _BYTES))
        if name == b"data" and size == _UNKNOWN_SIZE:
            size = long
        padded = bool(size % 2)
        at += 8 + size + padded


def _is_name(name: bytes) -> bool:
    return len(name) == 4 and name.isascii() and name.decode("ascii").isprintable()


def _guano(data: bytes) -> Header:
    """Lines of `Key: value`."""
    fields: dict[str, str] = {}
    for line in data.decode("utf-8", "replace").splitlines():
        key, _, value = line.partition(":")
        fields.setdefault(" ".join(key.split()).lower(), value.strip(" \t\r\0"))
    return Header(_serial(fields.get("serial", "")), iso_moment(fields.get("timestamp", "")))


def _wamd(data: bytes) -> Header:
    """Fields of a number and a length, both little-endian, and so many bytes."""
    fields: dict[int, str] = {}
    at = 0
    while at + 6 <= len(data):
        number, size = int.from_bytes(data[at : at + 2], "little"), int.from_bytes(data[at + 2 : at + 6], "little")
        fields.setdefault(number, data[at + 6 : at + 6 + min(size, 100)].decode("utf-8", "replace").strip(" \r\n\0"))
        at += 6 + size
    return Header(_serial(fields.get(_SERIAL, "")), iso_moment(fields.get(_TIMESTAMP, "")))


def _audiomoth(data: bytes) -> Header:
    """The comment that AudioMoth writes in words, wherever in the data; other texts say nothing."""
    text = data.decode("latin-1")
    serial, at = "", ""
    if found := _AUDIOMOTH_SERIAL.search(text):
        # The first firmware wrote the address of the serial number instead of it, the same for all devices.
        is_address = int(found[1], 16) == int(found[2], 16) + 8
        serial = "" if is_address else _serial(found[1] + found[2])
    if found := _AUDIOMOTH_TIME.search(text):
        hour, minute, second, day, month, year = map(int, found.groups()[:6])
        if start := moment(year, month, day, hour, minute, second):
            at = start.isoformat() + (offset(found[7] or "Z") if "(UTC" in found[0] else "")
    return Header(serial, at)


_READERS = {b"guan": _guano, b"wamd": _wamd, b"LIST": _audiomoth}
"""How chunks are read, the most trusted first."""


def _serial(text: str) -> str:
    """A serial number, "" if it cannot be one: it has a digit other than 0, and nothing but what can be printed."""
    text = " ".join(text.split())
    return text if text.isprintable() and len(text) <= 64 and re.search(r"[1-9]", text) else ""
