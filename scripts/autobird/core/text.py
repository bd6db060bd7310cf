"""Text files in the encodings that spreadsheets and recorders' programs write."""

import codecs
from pathlib import Path
from typing import NamedTuple

_BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # begins with UTF-16's mark, so it is looked for first
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)

_SAMPLE = 4096
"""Bytes in which UTF-16 without a byte order mark is looked for."""

_ASSUMED = "cp1252"
"""Encoding of a file that is not UTF-8 and has no byte order mark: that of Western European Windows."""


class Text(NamedTuple):
    """The text of a file.

    Attributes:
        text: without a byte order mark; line ends as in the file.
        note: how it was decoded where that is a guess, else "".
    """

    text: str
    note: str


def decode(data: bytes) -> Text:
    """Decode text of unknown encoding: UTF-8, UTF-16, UTF-32 or, as a guess, Windows-1252.

    Raises:
        ValueError: the bytes are not text in any of these encodings.
    """
    for mark, encoding in _BYTE_ORDER_MARKS:
        if data.startswith(mark):
            return Text(data.decode(encoding).removeprefix("\ufeff"), "")
    if encoding := _utf16_without_mark(data):
        return Text(data.decode(encoding), f"read as {encoding.upper()}, as every second byte is zero")
    if b"\0" in data:
        raise ValueError("it holds bytes of value zero, so it is not text")
    try:
        return Text(data.decode("utf-8"), "")
    except UnicodeDecodeError as error:
        where = f"byte {error.start}"
    try:
        return Text(data.decode(_ASSUMED), f"read as Windows-1252, as it is not UTF-8 ({where})")
    except UnicodeDecodeError as error:
        raise ValueError(f"it is neither UTF-8 ({where}) nor Windows-1252 (byte {error.start})") from error


def read_text(path: Path) -> Text:
    """Read a text file; see `decode`.

    Raises:
        ValueError: not text.
        OSError: the file cannot be read.
    """
    return decode(path.read_bytes())


def _utf16_without_mark(data: bytes) -> str:
    """The byte order of UTF-16 text without a mark: nearly all of its characters are Latin, so one byte of each is zero."""
    sample = data[: min(_SAMPLE, len(data)) // 2 * 2]
    if len(sample) < 4 or len(data) % 2:
        return ""
    even, odd = sample[::2].count(0), sample[1::2].count(0)
    half = len(sample) // 2
    if odd > 0.7 * half and even == 0:
        return "utf-16-le"
    if even > 0.7 * half and odd == 0:
        return "utf-16-be"
    return ""
