"""Read the recorder's serial number and the start time of the recording from the header of an audio file.

Supported are GUANO (chunk `guan`, https://github.com/riggsd/guano-spec), the comment of AudioMoth (chunk `LIST`, or the tags
of a FLAC or Ogg file converted from it), and the chunk `wamd` of Wildlife Acoustics.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Literal, NamedTuple

from autobird.core.clock import find_iso_time, utc_offset, valid_datetime

_MAX_CHUNKS = 64
"""Maximum number of chunks read from one file; a damaged header may declare any number."""

_MAX_BYTES = 1 << 16
"""Maximum number of bytes read from one chunk."""

_UNKNOWN_SIZE = 0xFFFFFFFF
"""Declared size of a chunk of more than 4 GiB; the chunk `ds64` of an RF64 file holds the real size."""

_SERIAL, _TIMESTAMP = 2, 5
"""Identifiers of two fields in the chunk `wamd`."""

_AUDIOMOTH_TIME = re.compile(
    r"Recorded at (\d\d):(\d\d):(\d\d)(?:\.\d+)? (\d\d)/(\d\d)/(\d{4})(?: \(UTC([+-]\d\d?(?::\d\d)?)?\))?"
)
_AUDIOMOTH_SERIAL = re.compile(r"AudioMoth (?:ID:? )?([0-9A-F]{8})([0-9A-F]{8})\b")


class Header(NamedTuple):
    """Metadata from the header of a file.

    Attributes:
        recorder: serial number of the recorder, "" if unknown.
        recorded_at: start of the recording by the recorder's clock: `2023-05-12T04:00:00`, followed by the offset
            from UTC (`+02:00`) where the header gives one; "" if unknown.
    """

    recorder: str = ""
    recorded_at: str = ""


def read_header(source: Path | BinaryIO) -> Header:
    """Read the metadata in a file's header; both fields are "" for a damaged or unknown header, which never raises.

    Args:
        source: a path, or a seekable binary file, whose position changes.
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
        return _audiomoth(head + file.read(_MAX_BYTES))
    if head[:4] not in (b"RIFF", b"RIFX", b"RF64", b"BW64") or head[8:12] != b"WAVE":
        return Header()
    order: Literal["big", "little"] = "big" if head[:4] == b"RIFX" else "little"
    found = {name: _READERS[name](data) for name, data in _chunks(file, order)}
    # In the order of reliability: a later chunk only fills in fields that the earlier ones lack.
    headers = [found[name] for name in _READERS if name in found]
    return Header(*(next((value for value in values if value), "") for values in zip(*headers, strict=True)))


def _chunks(file: BinaryIO, order: Literal["big", "little"]) -> Iterator[tuple[bytes, bytes]]:
    """Yield the names and the first bytes of the chunks in `_READERS`; `order` is the byte order of the file."""
    at, padded, size_from_ds64 = 12, False, 0
    for _ in range(_MAX_CHUNKS):
        file.seek(at)
        start = file.read(8)
        if padded and not _is_name(start[:4]):
            # Some programs omit the padding byte after a chunk of odd length.
            file.seek(at := at - 1)
            start = file.read(8)
        name = start[:4]
        if len(start) < 8 or not _is_name(name):
            return
        size = int.from_bytes(start[4:], order)
        if name == b"ds64":
            size_from_ds64 = int.from_bytes(file.read(16)[8:], "little")
        elif name in _READERS:
            yield name, file.read(min(size, _MAX_BYTES))
        if name == b"data" and size == _UNKNOWN_SIZE:
            size = size_from_ds64
        padded = bool(size % 2)
        at += 8 + size + padded


def _is_name(name: bytes) -> bool:
    return len(name) == 4 and name.isascii() and name.decode("ascii").isprintable()


def _guano(data: bytes) -> Header:
    """Read the lines `Key: value` of a GUANO chunk."""
    fields: dict[str, str] = {}
    for line in data.decode("utf-8", "replace").splitlines():
        key, _, value = line.partition(":")
        fields.setdefault(" ".join(key.split()).lower(), value.strip(" \t\r\0"))
    return Header(_serial(fields.get("serial", "")), find_iso_time(fields.get("timestamp", "")))


def _wamd(data: bytes) -> Header:
    """Read a `wamd` chunk, whose fields have an identifier and a length, both little-endian, and then their bytes."""
    fields: dict[int, str] = {}
    at = 0
    while at + 6 <= len(data):
        identifier, size = int.from_bytes(data[at : at + 2], "little"), int.from_bytes(data[at + 2 : at + 6], "little")
        fields.setdefault(
            identifier, data[at + 6 : at + 6 + min(size, 100)].decode("utf-8", "replace").strip(" \r\n\0")
        )
        at += 6 + size
    return Header(_serial(fields.get(_SERIAL, "")), find_iso_time(fields.get(_TIMESTAMP, "")))


def _audiomoth(data: bytes) -> Header:
    """Read the comment of an AudioMoth, a sentence that may be anywhere in the data."""
    text = data.decode("latin-1")
    serial, at = "", ""
    if found := _AUDIOMOTH_SERIAL.search(text):
        # The first firmware wrote the memory address of the serial number, which is the same for all devices.
        is_address = int(found[1], 16) == int(found[2], 16) + 8
        serial = "" if is_address else _serial(found[1] + found[2])
    if found := _AUDIOMOTH_TIME.search(text):
        hour, minute, second, day, month, year = map(int, found.groups()[:6])
        if start := valid_datetime(year, month, day, hour, minute, second):
            at = start.isoformat() + (utc_offset(found[7] or "Z") if "(UTC" in found[0] else "")
    return Header(serial, at)


_READERS = {b"guan": _guano, b"wamd": _wamd, b"LIST": _audiomoth}
"""Readers of the chunks, the most reliable source first: GUANO has fields for the serial number and the UTC offset."""


def _serial(text: str) -> str:
    """Return a serial number, or "" if it is implausible: longer than 64, not printable, or without a digit other than 0."""
    text = " ".join(text.split())
    return text if text.isprintable() and len(text) <= 64 and re.search(r"[1-9]", text) else ""
