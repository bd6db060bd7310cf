"""Decode text files whose encoding is not known, such as tables that spreadsheets and annotation programs write."""

import codecs
from pathlib import Path
from typing import NamedTuple

from autobird.core.errors import AutobirdError

_BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)

_SAMPLE = 4096
"""Number of bytes at the start of a file that are tested for being UTF-16 without a byte order mark."""

_ASSUMED = "cp1252"
"""Encoding that is assumed for a file that is not UTF-8 and has no byte order mark: Windows-1252 (Western Europe)."""


class DecodedText(NamedTuple):
    """The text of a file.

    Attributes:
        text: without a byte order mark; line ends as in the file.
        note: the encoding, if it had to be guessed, else "".
    """

    text: str
    note: str


def decode(data: bytes) -> DecodedText:
    """Decode a text as UTF-8, UTF-16 or UTF-32, or, if it is none of these, as Windows-1252.

    Raises:
        ValueError: the bytes are not text in any of these encodings.
    """
    for mark, encoding in _BYTE_ORDER_MARKS:
        if data.startswith(mark):
            return DecodedText(data.decode(encoding).removeprefix("\ufeff"), "")
    if encoding := _utf16_without_mark(data):
        return DecodedText(data.decode(encoding), f"read as {encoding.upper()}, because every second byte is zero")
    if b"\0" in data:
        raise ValueError("it holds bytes of value zero, so it is not text")
    try:
        return DecodedText(data.decode("utf-8"), "")
    except UnicodeDecodeError as error:
        where = f"byte {error.start}"
    try:
        return DecodedText(data.decode(_ASSUMED), f"read as Windows-1252, because it is not UTF-8 ({where})")
    except UnicodeDecodeError as error:
        raise ValueError(f"it is neither UTF-8 ({where}) nor Windows-1252 (byte {error.start})") from error


def read_text(path: Path) -> DecodedText:
    """Read a text file; see `decode`.

    Raises:
        ValueError: not text.
        OSError: the file cannot be read.
    """
    return decode(path.read_bytes())


def read_text_of_user(path: Path, option: str = "") -> DecodedText:
    """Read a text file that a user names; see `decode`.

    Args:
        path: the file.
        option: option or setting that names it, for the message.

    Raises:
        AutobirdError: the file cannot be read, or is not text.
    """
    name = f"{option} {path}".lstrip()
    try:
        return read_text(path)
    except ValueError as error:
        raise AutobirdError(f"{name} cannot be read ({error}); save it as UTF-8") from error
    except OSError as error:
        raise AutobirdError(f"{name} cannot be read ({error.strerror or error}); correct the path") from error


def _utf16_without_mark(data: bytes) -> str:
    """Return the codec of UTF-16 text without a byte order mark; "" if the bytes do not look like UTF-16.

    Most characters of the tables are Latin, so one of the two bytes of a character is zero.
    """
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
