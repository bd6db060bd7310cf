"""Read the files of phones, browsers and cameras (m4a, mp4, 3gp, mov, webm, aac, amr, wma and others) with PyAV.

PyAV brings FFmpeg's libraries. It is an optional dependency, the extra `media`.
"""

from collections.abc import Iterator
from contextlib import suppress
from itertools import chain
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from autobird.audio.audio_errors import DecodeError, UnusableAudio
from autobird.audio.limits import block_frames

_FORMATS = {
    "mov,mp4,m4a,3gp,3g2,mj2": "MP4",
    "matroska,webm": "MATROSKA",
    "asf": "ASF",
    "amr": "AMR",
    "aac": "AAC",
    "caf": "CAF",
    "avi": "AVI",
    "flv": "FLV",
    "wv": "WAVPACK",
    "tta": "TTA",
    "ape": "APE",
    "mpegts": "MPEGTS",
    "ogg": "OGG",
    "wav": "WAV",
    "aiff": "AIFF",
    "ac3": "AC3",
}
"""FFmpeg's containers that are read, and our names for them. FFmpeg knows many more, such as playlists, which open other files."""

_WITHOUT_LENGTH = frozenset({"AMR", "AAC", "AC3", "MPEGTS", "FLV", "MATROSKA"})
"""Containers without a length, or for which FFmpeg may estimate it from the bit rate."""

_MAX_FRAME = 1 << 20
"""Maximum number of samples per channel that a decoder may return at a time; real codecs use up to 65,535."""

_SIGNATURES = (
    (4, (b"ftyp", b"moov", b"moof", b"mdat", b"wide", b"styp"), "MPEG-4 or QuickTime (m4a, mp4, 3gp, mov)"),
    (0, (b"\x1a\x45\xdf\xa3",), "Matroska or WebM"),
    (0, (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11",), "Windows Media (wma, asf)"),
    (0, (b"#!AMR",), "AMR"),
    (0, (b"caff",), "Core Audio that libsndfile cannot read"),
    (0, (b"FLV\x01",), "Flash video"),
    (0, (b"wvpk",), "WavPack"),
    (0, (b"TTA1",), "True Audio"),
    (0, (b"MAC ",), "Monkey's Audio"),
    (0, (b"\x0b\x77",), "AC-3"),
    (0, (b"OggS",), "Ogg that libsndfile cannot read"),
    (0, (b"RIFF", b"RF64"), "RIFF (wav, avi) that libsndfile cannot read"),
    (0, (b"FORM",), "AIFF that libsndfile cannot read"),
)

_SCALES = {"s16": 1 << 15, "s32": 1 << 31, "s64": 1 << 63, "flt": 1, "dbl": 1}
"""Full scale of the sample formats of FFmpeg's decoders; `u8` has an offset besides."""


def media_kind(head: bytes) -> str:
    """Return what the first bytes of a file are, if PyAV reads such files; else ""."""
    for at, signatures, kind in _SIGNATURES:
        if head[at:].startswith(signatures):
            return kind
    if head[:3] == b"ID3" and len(head) >= 10:
        # The length of the tag has seven bits in each byte.
        head = head[10 + sum((byte & 0x7F) << 7 * (3 - n) for n, byte in enumerate(head[6:10])) :]
    if _is_adts(head):
        return "AAC"
    return "MPEG transport stream" if [head[at : at + 1] for at in (0, 188, 376)] == [b"\x47"] * 3 else ""


def _is_adts(head: bytes) -> bool:
    """Return whether three frames of AAC (ADTS, ISO/IEC 13818-7) follow each other."""
    at = 0
    for _ in range(3):
        header = head[at : at + 7]
        if len(header) < 7 or header[0] != 0xFF or header[1] & 0xF6 != 0xF0:
            return False
        length = (header[3] & 3) << 11 | header[4] << 3 | header[5] >> 5
        if length < len(header):
            return False
        at += length
    return True


class MediaFile:
    """An audio stream that PyAV decodes, with the methods of `soundfile.SoundFile` that this package uses.

    Priming samples and edit lists are applied by FFmpeg: the duration is that of the recording.

    Args:
        file: a seekable binary file; closing the `MediaFile` leaves it open.
        kind: what it is, for the messages.

    Raises:
        UnusableAudio: PyAV is not installed, or cannot decode the file.
    """

    extra_info = ""

    def __init__(self, file: BinaryIO, kind: str) -> None:
        try:
            import av
        except ImportError as error:
            raise UnusableAudio(
                f"{kind}: reading it needs the package av; install it with: pip install 'autobird[media]'"
            ) from error
        av.logging.set_libav_level(av.logging.PANIC)
        self.name, self._rest, self._errors = file, np.zeros((0, 1), np.float32), (av.FFmpegError, ValueError)
        file.seek(0)
        try:
            self._container: Any = av.open(
                file, options={"format_whitelist": ",".join(_FORMATS)}, metadata_errors="replace"
            )
        except self._errors as error:
            raise UnusableAudio(
                f"{kind}: FFmpeg cannot read it ({_text(error)}); it is damaged, incomplete or no recording"
            ) from error
        try:
            self._prepare(kind)
        except BaseException:
            self.close()
            raise

    def _prepare(self, kind: str) -> None:
        container = self._container
        if not container.streams.audio:
            raise UnusableAudio(f"{kind}: there is no audio in the file")
        stream = container.streams.audio[0]
        if stream.codec_context is None:
            raise UnusableAudio(f"{kind}: FFmpeg does not know its codec")
        stream.codec_context.thread_count = 1
        stream.codec_context.options = {"max_samples": str(_MAX_FRAME)}
        self.format = _FORMATS[container.format.name]
        self.subtype = str(stream.codec_context.codec.canonical_name).upper()
        self.samplerate = self.channels = self.frames = 0
        self._failure: DecodeError | None = None
        self._has_priming: bool | None = None
        """Whether the container says how many samples at the start are to be left out: it then starts before 0."""
        self._blocks = self._decoded(stream)
        first = self._next_block()
        if first is not None and self.subtype == "AAC" and not self._has_priming:
            first = self._next_block()  # the first frame of AAC only prepares the decoder
        if first is None:
            raise UnusableAudio(f"{kind}: no audio could be decoded ({self._failure or 'no frames'})")
        if self.format not in _WITHOUT_LENGTH:
            if stream.duration and stream.time_base:
                self.frames = round(stream.duration * stream.time_base * self.samplerate)
            elif container.duration:
                self.frames = round(container.duration * self.samplerate / 1e6)
        self._rest = first
        if self.format == "MP4" and stream.duration:
            self._rest = first[:0]
            self._blocks = _without_padding(chain([first], self._blocks), self.frames)

    def _decoded(self, stream: Any) -> Iterator[NDArray[np.float32]]:
        """Yield the frames of the decoder as arrays of shape (frames, channels)."""
        try:
            for packet in self._container.demux(stream):
                if self._has_priming is None:
                    self._has_priming = packet.pts is not None and packet.pts < 0
                for frame in packet.decode():
                    rate, channels = frame.sample_rate, frame.layout.nb_channels
                    if not self.samplerate:
                        self.samplerate, self.channels = rate, channels
                    elif (rate, channels) != (self.samplerate, self.channels):
                        raise DecodeError("the sampling rate or the number of channels changes")
                    yield _samples(frame.to_ndarray(), frame.format.name, channels)
        except self._errors as error:
            raise DecodeError(_text(error)) from error

    def _next_block(self) -> NDArray[np.float32] | None:
        """Return the next frames of the decoder; None at the end, or if the decoder failed (then `_failure` is set)."""
        try:
            return next(self._blocks, None)
        except DecodeError as error:
            self._failure = error
            return None

    def read(self, *, out: NDArray[np.float32]) -> NDArray[np.float32]:
        """Fill `out`, shape (frames, channels), and return the part that was filled; less only at the end.

        Raises:
            DecodeError: the decoder failed before the first of these frames.
        """
        done = 0
        while done < len(out):
            if not len(self._rest):
                block = self._next_block()
                if block is None:
                    break
                self._rest = block
            count = min(len(self._rest), len(out) - done)
            out[done : done + count] = self._rest[:count]
            self._rest, done = self._rest[count:], done + count
        if not done and self._failure:
            raise self._failure
        return out[:done]

    def seek(self, frames: int) -> int:
        """Skip the first `frames` frames by decoding them, as positions in compressed streams are not exact."""
        left, buffer = frames, np.empty((block_frames(self.channels), self.channels), np.float32)
        while left and (count := len(self.read(out=buffer[:left]))):
            left -= count
        if left:
            raise DecodeError("the file ends before")
        return frames

    def close(self) -> None:
        """Free the decoder."""
        with suppress(*self._errors):
            self._container.close()


def _without_padding(blocks: Iterator[NDArray[np.float32]], frames: int) -> Iterator[NDArray[np.float32]]:
    """Cut the last block at the declared number of frames, where the padding of a lossy codec starts."""
    done = 0
    for block in blocks:
        if done < frames < done + len(block):
            following = next(blocks, None)
            if following is None:
                yield block[: frames - done]
                return
            yield block
            done, block = done + len(block), following
        yield block
        done += len(block)


def _samples(values: NDArray[Any], name: str, channels: int) -> NDArray[np.float32]:
    """Return the samples of a frame as float32, shape (frames, channels), full scale = 1.

    Args:
        values: one row per channel for planar formats, else one row.
        name: FFmpeg's name of the sample format, for example `s16`; planar formats end with `p`.
        channels: number of channels.
    """
    values = values.T if name.endswith("p") else values.reshape(-1, channels)
    samples: NDArray[np.float32] = values.astype(np.float32)
    kind = name.removesuffix("p")
    if kind == "u8":
        samples -= 128
        samples /= 128
    elif (scale := _SCALES[kind]) != 1:
        samples *= np.float32(1 / scale)
    return samples


def _text(error: Exception) -> str:
    """Return FFmpeg's message without the numbers and the file name around it."""
    return str(getattr(error, "strerror", None) or error).rstrip(". ")
