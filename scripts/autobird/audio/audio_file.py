"""Open audio files with libsndfile by their content, whatever their names, and refuse files without audio."""

import io
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import soundfile

from autobird.audio.mpeg import count_mpeg_frames, find_mpeg_frame, xing_frame
from autobird.core.errors import AutobirdError

_SYNC_SEARCH = 1 << 18
"""Bytes at the start of a file that are searched for the first MPEG frame, if the file does not start with one."""

_TEXT_CHECK = 4096
"""Bytes at the start of a file that are tested for being text."""

_CONTROL = re.compile(r"[\x00-\x08\x0b\x0e-\x1f]")
"""Control characters that text does not contain: all but tab, line feed, form feed and carriage return."""


class UnusableAudio(AutobirdError):
    """A file that cannot be used; the message is the reason, as it is written to `quarantine.csv`."""


class TooLong(UnusableAudio):
    """More decoded audio than the caller allows; the caller adds the remedy to the message."""


class SequentialSoundFile(soundfile.SoundFile):  # type: ignore[misc]
    """An audio file that is read from start to end without seeking.

    `soundfile` seeks to the current position after each read of a seekable file. An mp3 decoder then restarts some
    frames earlier, which costs time.
    """

    def seekable(self) -> bool:
        """Return False, so that `read` does not seek."""
        return False


@contextmanager
def open_audio(source: Path | BinaryIO) -> Iterator[tuple[soundfile.SoundFile, str]]:
    """Open an audio file; yields it with a note on bytes that were skipped at its start, or "".

    libsndfile gets no file name, so that only the content decides on the format.

    Raises:
        UnusableAudio: the file cannot be read, is empty, is text, or has a format that libsndfile cannot read.
    """
    if isinstance(source, Path):
        try:
            with source.open("rb") as file:
                head = file.read(_SYNC_SEARCH)
                size = os.fstat(file.fileno()).st_size
        except OSError as error:
            raise UnusableAudio(f"cannot be read ({error.strerror})") from error
    else:
        source.seek(0, io.SEEK_END)
        size = source.tell()
        source.seek(0)
        head = source.read(_SYNC_SEARCH)
        source.seek(0)
    _refuse_other_content(head, size)
    try:
        # libsndfile reads a file descriptor faster than a Python file object. SoundFile closes the descriptor.
        opened = SequentialSoundFile(os.open(source, os.O_RDONLY) if isinstance(source, Path) else source)
        note = ""
    except soundfile.LibsndfileError as error:
        offset = find_mpeg_frame(head)
        if offset <= 0:
            raise UnusableAudio(f"not an audio file that libsndfile can read ({error_text(error)})") from error
        if not isinstance(source, Path):
            source.seek(0)  # libsndfile has moved the position
        data = source.read_bytes() if isinstance(source, Path) else source.read()
        try:
            opened = SequentialSoundFile(io.BytesIO(data[offset:]))
        except soundfile.LibsndfileError:
            raise UnusableAudio(f"not an audio file that libsndfile can read ({error_text(error)})") from error
        note = f"{offset} bytes before the first MPEG frame were skipped"
    with opened as file:
        yield file, note


def error_text(error: soundfile.LibsndfileError) -> str:
    """Return libsndfile's message without the full stop."""
    return str(error.error_string).rstrip(". ")


def unread_mp3_bytes(file: soundfile.SoundFile) -> int:
    """Return how many bytes of an mp3 libsndfile has not read; 0 for other formats.

    For an mp3 of variable bit rate without a length in its header, libsndfile estimates the length from the first
    frames and stops reading there.
    """
    if file.subtype != "MPEG_LAYER_III":
        return 0
    source = file.name
    if isinstance(source, int):
        return os.fstat(source).st_size - os.lseek(source, 0, os.SEEK_CUR)
    position = source.tell()
    end = source.seek(0, io.SEEK_END)
    source.seek(position)
    return int(end - position)


def with_frame_count(source: Path | BinaryIO) -> BinaryIO:
    """Return the bytes of an mp3 behind a header frame with the number of its frames, so that all of them are read."""
    if isinstance(source, Path):
        data = source.read_bytes()
    else:
        source.seek(0)
        data = source.read()
    if (at := find_mpeg_frame(data)) < 0:
        return io.BytesIO(data)
    return io.BytesIO(xing_frame(data[at : at + 4], count_mpeg_frames(data, at)) + data[at:])


def _refuse_other_content(head: bytes, size: int) -> None:
    if size == 0:
        raise UnusableAudio("empty file (0 bytes)")
    if head.startswith(b"version https://git-lfs"):
        raise UnusableAudio(
            "git-lfs pointer instead of the file itself; run `git lfs pull` in the repository it is from"
        )
    if not head.strip(b"\0"):
        raise UnusableAudio("only zero bytes")
    try:
        # The end of `head` may cut a character in two, which must not make text look like audio.
        text = head[:_TEXT_CHECK].decode("utf-8", errors="strict" if size <= _TEXT_CHECK else "ignore")
    except UnicodeDecodeError:
        return
    if not _CONTROL.search(text) and len(text.encode()) >= 0.99 * min(size, _TEXT_CHECK):
        raise UnusableAudio("text, not audio")
