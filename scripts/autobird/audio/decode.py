"""From the bytes of an audio file to mono int16 samples at one rate, told by content and bounded in memory."""

import hashlib
import io
import math
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol, TypeVar

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from autobird.audio.measures import Measures
from autobird.audio.mix import Mix
from autobird.audio.mpeg import frame_count, info_frame, mpeg_start
from autobird.core.errors import AutobirdError

_BLOCK = 1 << 16
"""Frames decoded at a time; whole files as float32 would fault in fresh pages for each (twice as slow)."""

_HEAD = 4096
"""Bytes looked at to tell text from sound."""

_SYNC_SEARCH = 1 << 18
"""How far into a file the first MPEG frame is searched when it does not start with one."""

_PROMISE = 0.98
"""A file that yields less than this share of the frames its header promises is reported; mp3 headers are estimates."""

_UNKNOWN_FRAMES = 1 << 62
"""libsndfile reports about 2**63 frames where the header does not tell."""


_WAV_PROMISE = re.compile(r"data : (\d+) \(should be (\d+)\)")

_TAIL = 16384
"""Bytes at the end of an mp3 that are no reason to read it again: tags."""

_CONTROL = re.compile(r"[\x00-\x08\x0b\x0e-\x1f]")
"""What text has none of: control characters but for tab, line feed, form feed and carriage return."""

_STREAMED = (1 << 31) - 4096
"""A WAV data chunk of so many bytes or more, in a file that is shorter, was written before its length was known."""


class UnusableAudio(AutobirdError):
    """A file that cannot be used; the message is the reason in words, as it stands in `quarantine.csv`."""


class Listener(Protocol):
    """What listens to a recording while it is decoded."""

    def add(self, mono: NDArray[np.float32]) -> None:
        """Take the next mono samples; they are overwritten afterwards."""
        ...


class TooLong(UnusableAudio):
    """More decoded sound than the caller allows; the caller knows what its user can do about it."""


@dataclass(frozen=True)
class Facts:
    """What one decoding tells of a file.

    Attributes:
        sample_rate: the file's own rate, Hz.
        channels: the file's channels.
        codec: container and subtype as libsndfile names them, for example `MP3 MPEG_LAYER_III`.
        bits: of each sample in the file; 0 where the codec has none.
        duration: seconds that could be decoded.
        decoded_share: share of what the header promises; 1 where it promises nothing.
        sha256: of the decoded mono samples (int16 at the file's own rate): equal for the same sound in two
            lossless files, whatever their names and tags.
        peak: largest absolute sample of any channel; full scale = 1.
        clipped_share: share of the samples of all channels at full scale.
        dc_offset: mean of the mono samples.
        silent_share: share of the time in stretches of 50 ms whose RMS is below -60 dBFS.
        note: what a person should know though the file is used, or "".
    """

    sample_rate: int
    channels: int
    codec: str
    bits: int
    duration: float
    decoded_share: float
    sha256: str
    peak: float
    clipped_share: float
    dc_offset: float
    silent_share: float
    note: str


def probe(
    source: Path | BinaryIO,
    max_duration: float = float("inf"),
    span: tuple[float, float] = (0.0, float("inf")),
    listener: Callable[[int], Listener] | None = None,
) -> Facts:
    """Decode an audio file whatever its name, keeping only what it is.

    Args:
        source: a path, or a seekable binary file.
        max_duration: decoding stops with an error beyond so many seconds, whatever the header promises.
        span: the part of the file to decode, from and to, seconds.
        listener: makes, from the file's rate, what is given each block of mono samples.

    Raises:
        TooLong: more decoded sound than `max_duration`.
        UnusableAudio: empty, text, not decodable, or samples that are not finite.
    """
    heard, what = _hear(source, max_duration, span, lambda rate: _Examined(rate, listener))
    measures = what.measures
    return Facts(
        heard.sample_rate,
        heard.channels,
        heard.codec,
        heard.bits,
        heard.frames / heard.sample_rate,
        heard.share,
        what.digest.hexdigest(),
        measures.peak,
        measures.clipped / max(1, measures.samples),
        heard.total / max(1, heard.frames),
        measures.silent / max(1, measures.stretches),
        heard.note,
    )


def decode(
    source: Path | BinaryIO,
    sample_rate: int,
    max_duration: float = float("inf"),
    span: tuple[float, float] = (0.0, float("inf")),
) -> NDArray[np.int16]:
    """Decode an audio file whatever its name: the mean of its channels (see `Mix`), resampled, as int16, shape (n,).

    Args:
        source: a path, or a seekable binary file.
        sample_rate: rate of the result, Hz. See `Resampler`.
        max_duration: as in `probe`.
        span: as in `probe`.

    Raises:
        UnusableAudio: as `probe`.
    """
    _, pcm = _hear(source, max_duration, span, lambda rate: _Pcm(rate, sample_rate))
    return np.concatenate([*pcm.parts, to_int16(pcm.resampler.finish())])


class _Examined:
    """What `probe` takes of each block."""

    def __init__(self, sample_rate: int, listener: Callable[[int], Listener] | None) -> None:
        self.digest, self.measures = hashlib.sha256(), Measures(sample_rate)
        self._listen = listener(sample_rate) if listener else None

    def add(self, block: NDArray[np.float32], mono: NDArray[np.float32]) -> None:
        self.measures.add(block, mono)
        self.digest.update(to_int16(mono).astype("<i2", copy=False).data)
        if self._listen:
            self._listen.add(mono)


class _Pcm:
    """What `decode` takes of each block."""

    def __init__(self, source_rate: int, sample_rate: int) -> None:
        self.resampler = Resampler(source_rate, sample_rate)
        self.parts: list[NDArray[np.int16]] = []

    def add(self, _: NDArray[np.float32], mono: NDArray[np.float32]) -> None:
        self.parts.append(to_int16(self.resampler.add(mono)))


class Resampler:
    """Mono samples from one rate to another, block by block, by soxr at quality HQ.

    Tones above half the new rate come out below -120 dB; up to 0.45 of it they keep their level within 0.1 dB.
    """

    def __init__(self, source_rate: int, sample_rate: int) -> None:
        self._stream = soxr.ResampleStream(source_rate, sample_rate, 1, dtype="float32", quality="HQ")

    def add(self, mono: NDArray[np.float32]) -> NDArray[np.float32]:
        """Take the next samples and return what is ready."""
        return self._stream.resample_chunk(mono)

    def finish(self) -> NDArray[np.float32]:
        """The rest."""
        return self._stream.resample_chunk(np.zeros(0, np.float32), last=True)


def to_int16(samples: NDArray[np.float32]) -> NDArray[np.int16]:
    """Samples in -1..1 as int16, rounded to nearest, clipped."""
    scaled = samples * np.float32(32768)
    np.rint(scaled, out=scaled)
    np.clip(scaled, -32768, 32767, out=scaled)
    return scaled.astype(np.int16)


_BITS = {"PCM_S8": 8, "PCM_U8": 8, "PCM_16": 16, "PCM_24": 24, "PCM_32": 32, "FLOAT": 32, "DOUBLE": 64}


class _Taker(Protocol):
    def add(self, block: NDArray[np.float32], mono: NDArray[np.float32], /) -> None:
        """Take a block of shape (frames, channels) and its mono samples; both are overwritten afterwards."""
        ...


_T = TypeVar("_T", bound=_Taker)


@dataclass(frozen=True)
class _Heard:
    """What a decoding ended with; see `Facts`."""

    sample_rate: int
    channels: int
    codec: str
    bits: int
    frames: int
    total: float
    share: float
    note: str


def _hear(
    source: Path | BinaryIO, max_duration: float, span: tuple[float, float], begin: Callable[[int], _T]
) -> tuple[_Heard, _T]:
    """Decode `source`, giving its blocks to what `begin` makes of its sampling rate; returned with what was heard.

    If its channels turn out to cancel, or some of them to be dead, it is decoded once more without those; so is an mp3
    that was longer than its beginning let expect. `begin` is called anew then, and what the first one took is to be
    forgotten.
    """
    chosen: tuple[int, ...] | None = None
    mix_note, counted = "", False
    while True:
        with _opened(source) as (file, note):
            reader = _Reader(file, max_duration, span, chosen)
            take = begin(file.samplerate)
            for block, mono in reader:
                take.add(block, mono)
            if not counted and reader.ended and _left(file) > _TAIL:
                counted, source = True, _counted(source)
                continue
            better, why = reader.mix.better() if chosen is None else (None, mix_note)
            if better is None:
                heard = _Heard(
                    file.samplerate,
                    file.channels,
                    f"{file.format} {file.subtype}",
                    _BITS.get(file.subtype, 0),
                    reader.frames,
                    reader.total,
                    reader.share,
                    "; ".join(n for n in (note, reader.note, why) if n),
                )
                return heard, take
            chosen, mix_note = better, why


def _left(file: soundfile.SoundFile) -> int:
    """Bytes of an mp3 that libsndfile did not look at; it reads to the length that the first frames let expect."""
    if file.subtype != "MPEG_LAYER_III":
        return 0
    source = file.name
    if isinstance(source, int):
        return os.fstat(source).st_size - os.lseek(source, 0, os.SEEK_CUR)
    at = source.tell()
    end = source.seek(0, io.SEEK_END)
    source.seek(at)
    return int(end - at)


def _counted(source: Path | BinaryIO) -> BinaryIO:
    """An mp3 of variable bit rate with a frame before it that says how many there are, so that all are read."""
    if isinstance(source, Path):
        data = source.read_bytes()
    else:
        source.seek(0)
        data = source.read()
    if (at := mpeg_start(data)) < 0:
        return io.BytesIO(data)
    return io.BytesIO(info_frame(data[at : at + 4], frame_count(data, at)) + data[at:])


class _Reader:
    """The blocks of an open file and their mono samples; afterwards `frames` were read and `note` says what was wrong.

    Attributes:
        frames: read so far.
        total: sum of their mono samples.
        share: of what the header promises of the span; 1 where it promises nothing.
        note: what was wrong, or "".
        mix: how the channels go together.
        ended: nothing more came from the file, though more was wanted.
    """

    def __init__(
        self,
        file: soundfile.SoundFile,
        max_duration: float,
        span: tuple[float, float] = (0.0, float("inf")),
        channels: tuple[int, ...] | None = None,
    ) -> None:
        self.file, self.max_duration, self.span = file, max_duration, span
        self.frames, self.total, self.share, self.note = 0, 0.0, 1.0, ""
        self.ended = False
        self.mix = Mix(file.channels, channels)

    def __iter__(self) -> Iterator[tuple[NDArray[np.float32], NDArray[np.float32]]]:
        file, rate, failure = self.file, self.file.samplerate, ""
        first = round(self.span[0] * rate)
        wanted = round((self.span[1] - self.span[0]) * rate) if self.span[1] < float("inf") else _UNKNOWN_FRAMES
        promised = max(0, min(file.frames - first, wanted)) if 0 < file.frames < _UNKNOWN_FRAMES else 0
        if first:
            self._skip(first)
        buffer = np.empty((_BLOCK, file.channels), np.float32)
        while self.frames < wanted:
            try:
                block = file.read(out=buffer[: min(_BLOCK, wanted - self.frames)])
            except soundfile.LibsndfileError as error:
                failure = _reason(error)
                break
            if not len(block):
                self.ended = True
                break
            self.frames += len(block)
            if self.frames > self.max_duration * rate:
                raise TooLong(f"longer than {self.max_duration:g} s of decoded sound")
            mono = self.mix(block)
            total = float(mono.sum())
            if not math.isfinite(total):
                raise UnusableAudio("samples that are not finite (NaN or infinity); export the file again as PCM")
            self.total += total
            yield block, mono
        if not self.frames:
            raise UnusableAudio(f"no sound could be decoded ({failure or 'no frames'})")
        seconds = self.frames / rate
        if promised:
            self.share = min(1.0, self.frames / promised)
        streamed = False
        if (header := _WAV_PROMISE.search(file.extra_info)) and not self.span[0] and self.span[1] == float("inf"):
            # libsndfile corrects what a WAV header promises, and tells it here alone.
            said, there = int(header[1]), int(header[2])
            streamed = said >= _STREAMED
            self.share = 1.0 if streamed else min(self.share, there / said)
            promised = round(self.frames / self.share)
        if failure:
            self.note = f"decoding stopped after {seconds:.1f} s ({failure}); used up to there"
        elif self.share < _PROMISE:
            self.note = f"{seconds:.1f} s decoded of {promised / rate:.1f} s promised; used up to there"
        elif streamed:
            self.note = f"its header was never finished; used up to its end at {seconds:.1f} s"

    def _skip(self, frames: int) -> None:
        try:
            self.file.seek(frames)
        except soundfile.LibsndfileError as error:
            length = self.file.frames / self.file.samplerate
            raise UnusableAudio(
                f"begins at {self.span[0]:g} s of a file of {length:.1f} s; correct its start ({_reason(error)})"
            ) from error


class StreamedFile(soundfile.SoundFile):  # type: ignore[misc]
    """A sound file that is read from one end to the other.

    soundfile seeks to where it is after each read of a file that can be sought in, and an mp3 decoder then starts anew,
    some frames back.
    """

    def seekable(self) -> bool:
        """No: `read` is to go on where it was."""
        return False


@contextmanager
def _opened(source: Path | BinaryIO) -> Iterator[tuple[soundfile.SoundFile, str]]:
    """The open sound file and a note; libsndfile sees no name, so that only the content counts."""
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
    _refuse_what_is_no_sound(head, size)
    try:
        # A descriptor is read by libsndfile itself (faster than a Python file); it is closed with the SoundFile.
        opened = StreamedFile(os.open(source, os.O_RDONLY) if isinstance(source, Path) else source)
        note = ""
    except soundfile.LibsndfileError as error:
        offset = mpeg_start(head)
        if offset <= 0:
            raise UnusableAudio(f"not a sound file that libsndfile knows ({_reason(error)})") from error
        if not isinstance(source, Path):
            source.seek(0)  # libsndfile left off somewhere
        data = source.read_bytes() if isinstance(source, Path) else source.read()
        try:
            opened = StreamedFile(io.BytesIO(data[offset:]))
        except soundfile.LibsndfileError:
            raise UnusableAudio(f"not a sound file that libsndfile knows ({_reason(error)})") from error
        note = f"{offset} bytes before the first MPEG frame were skipped"
    with opened as file:
        yield file, note


def _reason(error: soundfile.LibsndfileError) -> str:
    return str(error.error_string).rstrip(". ")


def _refuse_what_is_no_sound(head: bytes, size: int) -> None:
    if size == 0:
        raise UnusableAudio("empty file (0 bytes)")
    if head.startswith(b"version https://git-lfs"):
        raise UnusableAudio("git-lfs pointer instead of the file itself; run `git lfs pull` where it came from")
    if not head.strip(b"\0"):
        raise UnusableAudio("only zero bytes")
    try:
        # A cut in the middle of a character must not make text look like sound.
        text = head[:_HEAD].decode("utf-8", errors="strict" if size <= _HEAD else "ignore")
    except UnicodeDecodeError:
        return
    if not _CONTROL.search(text) and len(text.encode()) >= 0.99 * min(size, _HEAD):
        raise UnusableAudio("text, not sound")
