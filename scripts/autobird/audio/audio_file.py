"""Open audio files with libsndfile or PyAV by their content, whatever their names, and refuse files without audio."""

import os
import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import numpy as np
import soundfile
from numpy.typing import NDArray

from autobird.audio.audio_errors import DecodeError, TooLong, UnusableAudio
from autobird.audio.data_size import with_real_size
from autobird.audio.file_view import Seekable, file_length, opened, view
from autobird.audio.limits import check_rate_and_channels
from autobird.audio.media import MediaFile, media_kind
from autobird.audio.mpeg import MpegFrames, count_mpeg_frames, find_mpeg_frame, xing_frame
from autobird.audio.plain_wav import plain_wav

__all__ = ["AudioFile", "TooLong", "UnusableAudio", "error_text", "open_audio", "unread_mp3_bytes", "with_frame_count"]

_SYNC_SEARCH = 1 << 18
"""Bytes at the start of a file that are searched for the first MPEG frame, if the file does not start with one."""

_TEXT_CHECK = 4096
"""Bytes at the start of a file that are tested for being text."""

_CONTROL = re.compile(r"[\x00-\x08\x0b\x0e-\x1f]")
"""Control characters that text does not contain: all but tab, line feed, form feed and carriage return."""


class SequentialSoundFile(soundfile.SoundFile):  # type: ignore[misc]
    """An audio file that is read from start to end without seeking.

    `soundfile` seeks to the current position after each read of a seekable file. An mp3 decoder then restarts some
    frames earlier, which costs time.
    """

    def seekable(self) -> bool:
        """Return False, so that `read` does not seek."""
        return False


class AudioFile(Protocol):
    """An open audio file: a `soundfile.SoundFile`, a `MediaFile` or a `PlainWav`.

    Attributes:
        name: what was opened: a descriptor or a binary file.
        samplerate: sampling rate, Hz.
        channels: number of channels.
        frames: frames that the header declares; 0 or about 2**63 if it declares none.
        format: name of the container.
        subtype: name of the codec.
        extra_info: libsndfile's messages on the header.
    """

    name: Any
    samplerate: int
    channels: int
    frames: int
    format: str
    subtype: str
    extra_info: str

    def read(self, *, out: NDArray[np.float32]) -> NDArray[np.float32]:
        """Fill `out`, shape (frames, channels), and return the part that was filled; less only at the end."""
        ...

    def seek(self, frames: int, /) -> int:
        """Continue at this frame."""
        ...

    def close(self) -> None:
        """Close the file."""
        ...


@contextmanager
def open_audio(source: Path | BinaryIO) -> Iterator[tuple[AudioFile, str]]:
    """Open an audio file; yields it with a note on a corrected header or on bytes that were skipped at its start, or "".

    The decoders get no file name, so that only the content decides on the format.

    Raises:
        UnusableAudio: the file cannot be read, is empty, is text, has a format that neither libsndfile nor PyAV (if
            installed) can read, or declares a sampling rate or channels beyond `audio.limits`.
    """
    with ExitStack() as stack:
        try:
            file = stack.enter_context(opened(source))
            size = file_length(file)
            audio: AudioFile | None = plain_wav(file, size)
            note, head = "", b""
            if audio is None:
                file.seek(0)
                head = file.read(_SYNC_SEARCH)
        except OSError as error:
            raise UnusableAudio(f"cannot be read ({error.strerror})") from error
        if audio is None:
            _refuse_other_content(head, size)
            audio, note = _open(source, file, head)
        stack.callback(audio.close)
        check_rate_and_channels(audio.samplerate, audio.channels)
        yield audio, note


def _open(source: Path | BinaryIO, file: BinaryIO, head: bytes) -> tuple[AudioFile, str]:
    """Open a file whose first bytes are `head`; `file` is `source`, opened for other readers than libsndfile."""
    corrected = with_real_size(file)
    file.seek(0)
    try:
        if corrected:
            return SequentialSoundFile(corrected[0]), corrected[1]
        # libsndfile reads a file descriptor faster than a Python file object. SoundFile closes the descriptor.
        return SequentialSoundFile(os.open(source, os.O_RDONLY) if isinstance(source, Path) else Seekable(source)), ""
    except soundfile.LibsndfileError as error:
        if kind := media_kind(head):
            return MediaFile(file, kind), ""
        reason = f"not an audio file that libsndfile can read ({error_text(error)})"
        offset = find_mpeg_frame(head)
        if offset <= 0:
            raise UnusableAudio(reason) from error
        try:
            return SequentialSoundFile(view(file, offset)), f"{offset} bytes before the first MPEG frame were skipped"
        except soundfile.LibsndfileError:
            raise UnusableAudio(reason) from error


def error_text(error: soundfile.LibsndfileError | DecodeError) -> str:
    """Return the decoder's message without the full stop."""
    return str(getattr(error, "error_string", error)).rstrip(". ")


def unread_mp3_bytes(file: AudioFile) -> int:
    """Return how many bytes of an mp3 libsndfile has not read; 0 for other formats.

    For an mp3 of variable bit rate without a length in its header, libsndfile estimates the length from the first
    frames and stops reading there.
    """
    if file.subtype != "MPEG_LAYER_III":
        return 0
    if isinstance(file.name, int):
        return os.fstat(file.name).st_size - os.lseek(file.name, 0, os.SEEK_CUR)
    return file_length(file.name) - int(file.name.tell())


def with_frame_count(file: BinaryIO, max_seconds: float = float("inf")) -> BinaryIO:
    """Return an mp3 behind a header frame with the number of its frames, so that all of them are read.

    Args:
        file: the mp3; it must stay open.
        max_seconds: frames behind this duration are not counted, and therefore not read.
    """
    frames = MpegFrames(file)
    if (at := frames.find(0)) < 0:
        return view(file, 0)
    return view(file, at, prefix=xing_frame(frames.header(at)[:4], count_mpeg_frames(file, at, max_seconds)))


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
