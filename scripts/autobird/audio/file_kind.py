"""Tell files that are no audio, such as result tables, pictures and texts, from recordings: by extension and content."""

import re
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from autobird.audio.mpeg import mpeg_frame_length

AUDIO_EXTENSIONS = frozenset(
    (
        "wav", "wave", "bwf", "rf64", "w64", "mp3", "mp2", "mpga", "ogg", "oga", "opus", "spx", "flac", "m4a", "m4b", "aac", "aif", "aiff",
        "aifc", "au", "snd", "caf", "wma", "amr", "ac3", "mka", "weba", "wv", "ape", "voc", "wac", "sph", "nist", "tta",
    )
)  # fmt: skip
"""Extensions of audio files, in lower case. A file with one of them is a recording, whatever it holds."""

CONTAINER_EXTENSIONS = frozenset(
    (
        "mp4", "m4v", "3gp", "3gpp", "3g2", "mov", "webm", "mkv", "avi", "mts", "m2ts", "mpg", "mpeg", "wmv", "ogv", "asf", "flv",
    )
)  # fmt: skip
"""Extensions of files that hold sound, pictures or both. They are recordings unless their header shows no sound."""

HEAD = 1 << 16
"""Bytes at the start of a file that are looked at."""

_AUDIO = (
    b"fLaC", b"OggS", b"ID3", b".snd", b"dns.", b"caff", b"riff\x2e\x91\xcf\x11", b"#!AMR", b"Creative Voice File", b"MAC ", b"wvpk",
    b"TTA1", b"NIST_1A", b"WAAC",
)  # fmt: skip
"""First bytes of audio formats."""

_OTHER = (
    (b"\x89PNG", "picture"), (b"\xff\xd8\xff", "picture"), (b"GIF8", "picture"), (b"BM", "picture"), (b"II*\0", "picture"),
    (b"MM\0*", "picture"), (b"8BPS", "picture"), (b"%PDF", "PDF"), (b"%!PS", "PDF"), (b"PK\3\4", "archive or office document"),
    (b"PK\5\6", "archive or office document"), (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "office document"), (b"Rar!", "archive"),
    (b"7z\xbc\xaf\x27\x1c", "archive"), (b"\x1f\x8b", "archive"), (b"BZh", "archive"), (b"\xfd7zXZ\0", "archive"),
    (b"\x28\xb5\x2f\xfd", "archive"), (b"SQLite format 3\0", "database"), (b"PAR1", "table"), (b"\x93NUMPY", "table"),
    (b"\x89HDF", "table"), (b"\x7fELF", "program"), (b"MZ", "program"),
)  # fmt: skip
"""First bytes of other formats, and what such a file is."""

_PICTURE_BRANDS = (b"heic", b"heix", b"mif1", b"msf1", b"avif")
"""Brands of pictures in the container of MP4."""

_CONTROL = re.compile(rb"[\x00-\x08\x0b\x0e-\x1a\x1c-\x1f]")
"""Control characters that text does not contain."""

_MKV_TRACK = re.compile(rb"\x86[\x80-\xff]([AV])_[A-Z]")
"""Codec of a track in Matroska and WebM: element CodecID, length, and a name that begins with A_ or V_."""

_ASF_AUDIO = bytes.fromhex("409e69f84d5bcf11a8fd00805f5c442b")
"""Type of an audio stream in ASF (wma, wmv)."""

_MAX_MOOV = 1 << 24
"""Bytes of an MP4 file's index that are searched for tracks."""

_VIDEO = "video without sound"


def has_audio_extension(name: str) -> bool:
    """Return whether a file's name alone makes it a recording, as `a.WAV` and `.mp3` do."""
    name = name.rpartition("/")[2].lower()
    return name.rpartition(".")[2] in AUDIO_EXTENSIONS and "." in name


def not_audio_kind(path: Path) -> str:
    """Return what a file is if neither its extension nor its content is audio, such as `text`; "" for a recording.

    A file with an audio extension is not opened. A file that cannot be read counts as a recording, so that it is reported.
    """
    if has_audio_extension(path.name):
        return ""
    try:
        with path.open("rb") as file:
            return kind_of_content(path.name, file)
    except OSError:
        return ""


def kind_of_content(name: str, file: BinaryIO) -> str:
    """Return what a file without an audio extension is if its content is no audio; "" for a recording.

    Args:
        name: of the file.
        file: its content; it is read from the present position and, if it is a container of sound and pictures, sought.
    """
    head = file.read(HEAD)
    kind = _kind_of_head(head, file)
    if PurePosixPath(name.lower()).suffix[1:] in CONTAINER_EXTENSIONS:
        return _VIDEO if kind == _VIDEO else ""  # damaged or empty: a recording that cannot be used
    if kind is None:
        return "" if _has_mpeg_frames(head) else "unknown content"
    return kind


def _kind_of_head(head: bytes, file: BinaryIO) -> str | None:
    """Return the kind by the first bytes, "" for audio, None if they do not show it."""
    if not head:
        return "empty file"
    if head[:4] in (b"RIFF", b"RIFX", b"RF64", b"BW64", b"FORM"):
        return _kind_of_chunks(head)
    if head[4:8] == b"ftyp":
        return "picture" if head[8:12] in _PICTURE_BRANDS else _kind_of_mp4(file)
    if head.startswith(b"\x1a\x45\xdf\xa3"):
        tracks = set(_MKV_TRACK.findall(head))
        return "" if b"A" in tracks else _VIDEO if tracks else None
    if head.startswith(b"\x30\x26\xb2\x75\x8e\x66\xcf\x11"):
        return "" if _ASF_AUDIO in head else _VIDEO
    if head.startswith(b"FLV\x01"):
        return "" if head[4:5] >= b"\x04" else _VIDEO  # flags: 4 audio, 1 video
    if head.startswith(_AUDIO):
        return ""
    for start, kind in _OTHER:
        if head.startswith(start) and not (start in (b"BM", b"MZ") and _is_text(head)):
            return kind
    if head[257:262] == b"ustar":
        return "archive"
    if _is_text(head):
        return "text"
    return "" if [head[at : at + 1] for at in (0, 188, 376)] == [b"\x47"] * 3 else None  # MPEG transport stream


def _kind_of_chunks(head: bytes) -> str | None:
    """Return the kind of a file in chunks (RIFF, IFF), by the name of its form."""
    form = head[8:12]
    if form in (b"WAVE", b"AIFF", b"AIFC", b"8SVX"):
        return ""
    if form == b"AVI ":
        return "" if b"auds" in head else _VIDEO if b"vids" in head else None
    return "picture" if form == b"WEBP" else None


def _kind_of_mp4(file: BinaryIO) -> str | None:
    """Return the kind by the tracks in the index (box `moov`), which may be at the end of the file."""
    at = 0
    for _ in range(64):
        file.seek(at)
        header = file.read(16)
        size = int.from_bytes(header[:4], "big")
        size = int.from_bytes(header[8:16], "big") if size == 1 else size
        if header[4:8] == b"moov":
            file.seek(at)
            index = file.read(min(size or _MAX_MOOV, _MAX_MOOV))
            return "" if b"soun" in index or len(index) < size else _VIDEO
        if len(header) < 8 or size < 8:
            return None
        at += size
    return None


def _is_text(head: bytes) -> bool:
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):  # UTF-16: every second byte of Latin text is zero
        return head[2:].count(0) > len(head) / 4 and not _CONTROL.search(head[2:].replace(b"\0", b""))
    if not _CONTROL.search(head):
        return True
    zeros = head[: len(head) // 2 * 2]
    halves = sorted((zeros[::2].count(0), zeros[1::2].count(0)))
    return halves[0] == 0 and halves[1] > 0.7 * len(zeros) / 2 and not _CONTROL.search(zeros.replace(b"\0", b""))


def _has_mpeg_frames(head: bytes) -> bool:
    """Return whether three MPEG or ADTS frames follow one another; two may do so by chance in any binary file."""
    at = head.find(b"\xff")
    while 0 <= at < len(head) - 7:
        position, frames = at, 0
        while frames < 3 and (length := _frame_length(head[position : position + 7])):
            position, frames = position + length, frames + 1
            if position + 7 > len(head):
                break
        if frames == 3:
            return True
        at = head.find(b"\xff", at + 1)
    return False


def _frame_length(header: bytes) -> int:
    """Return the length of an MPEG layer III or ADTS (AAC) frame in bytes; 0 if it is neither."""
    if len(header) < 7:
        return 0
    if header[0] == 0xFF and header[1] & 0xF6 == 0xF0 and header[2] >> 2 & 15 < 13:
        length = (header[3] & 3) << 11 | header[4] << 3 | header[5] >> 5
        return length if length > 7 else 0
    return mpeg_frame_length(header[:4])
