"""Decode an audio file to mono samples in bounded memory, and measure it in the same pass."""

import hashlib
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Generic, NamedTuple, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from autobird.audio.audio_file import open_audio, unread_mp3_bytes, with_frame_count
from autobird.audio.block_reader import BlockReader
from autobird.audio.file_view import opened
from autobird.audio.resample import Resampler, to_int16
from autobird.audio.sample_statistics import SampleStatistics
from autobird.audio.sound import Sound, SoundStatistics
from autobird.core.wording import joined_notes

_UNREAD_TAIL = 16384
"""If more bytes at the end of an mp3 are left unread, it is decoded again; fewer bytes may be tags."""


class SampleConsumer(Protocol):
    """Receives the mono samples of one decode attempt."""

    def add(self, mono: NDArray[np.float32], /) -> None:
        """Process the next mono samples. Copy what must be kept: the array is reused for the next block."""
        ...


C = TypeVar("C", bound=SampleConsumer)


class PcmConsumer(Protocol):
    """Receives the resampled mono samples of one decode attempt as int16."""

    def add(self, samples: NDArray[np.int16], /) -> None:
        """Process the next samples."""
        ...


P = TypeVar("P", bound=PcmConsumer)


class RatesConsumer(Protocol):
    """Receives the mono samples of one decode attempt at several sampling rates, as int16."""

    def add(self, samples: NDArray[np.int16], /, *at_other_rates: NDArray[np.int16]) -> None:
        """Process the next samples: one array per sampling rate, in the order of the rates. An array may be empty."""
        ...


R = TypeVar("R", bound=RatesConsumer)


@dataclass(frozen=True)
class AudioProperties:
    """Properties of a file, measured while it was decoded.

    Attributes:
        sample_rate: the file's own sampling rate, Hz.
        channels: the file's number of channels.
        codec: container and codec as libsndfile names them, for example `MP3 MPEG_LAYER_III`; for files that PyAV reads as in
            `MP4 AAC`.
        bits: bits per sample in the file; 0 for codecs without a sample size.
        duration: length of the decoded audio, seconds.
        decoded_share: decoded length divided by the length that the header declares; 1 if it declares none.
        sha256: of the decoded mono samples (int16 at the file's own rate): equal for the same audio in two
            lossless files, whatever their names and tags.
        peak: largest absolute sample of any channel; full scale = 1.
        clipped_share: share of the samples of all channels that are at full scale.
        dc_offset: mean of the mono samples.
        silent_share: share of the 50 ms frames whose RMS is below -60 dBFS.
        note: a problem with a file that is used nevertheless, or "".
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


class DecodeResult(NamedTuple, Generic[C]):
    """Result of `decode_into`.

    Attributes:
        properties: of the file.
        consumer: of the last decode attempt; it has received all samples, and no others.
    """

    properties: AudioProperties
    consumer: C


class ResampledResult(NamedTuple, Generic[R]):
    """Result of `decode_at_rates_into`.

    Attributes:
        sample_rate: the file's own sampling rate, Hz.
        note: a problem with a file that is used nevertheless, or "".
        consumer: of the last decode attempt; it has received all samples, and no others.
        channels: the file's number of channels.
        codec: container and codec, see `AudioProperties`.
        sound: level, clipping and bandwidth, if they were measured.
    """

    sample_rate: int
    note: str
    consumer: R
    channels: int
    codec: str
    sound: Sound | None = None


def decode_into(
    source: Path | BinaryIO,
    new_consumer: Callable[[int], C],
    max_duration: float = float("inf"),
    span: tuple[float, float] = (0.0, float("inf")),
) -> DecodeResult[C]:
    """Decode an audio file, pass its mono samples to a consumer, and measure it in the same pass.

    A file is decoded again from its start if the first attempt shows that some channels are silent or cancel each
    other (this is known only at the end, see `Downmix`), that floating-point samples are beyond full scale (see
    `FullScale`), or that an mp3 is longer than libsndfile estimated.

    Args:
        source: a path, or a seekable binary file.
        new_consumer: called with the file's sampling rate (Hz) once per decode attempt, before its first sample; two
            or three times for a file that is decoded again. The consumers of earlier attempts are discarded. If
            consumers write to a shared file, each new one must truncate it.
        max_duration: decoding stops with `TooLong` after this many seconds of audio, whatever the header declares.
        span: start and end of the part of the file to decode, seconds.

    Raises:
        TooLong: more decoded audio than `max_duration`, or more samples in all channels than `audio.limits` allows for it.
        UnusableAudio: empty, text, not decodable, a sampling rate or channels beyond `audio.limits`, or samples that are not
            finite.
    """
    decoded, measured = _decode(source, max_duration, span, lambda rate: _Measured(rate, new_consumer(rate)))
    statistics = measured.statistics
    properties = AudioProperties(
        decoded.sample_rate,
        decoded.channels,
        decoded.codec,
        decoded.bits,
        decoded.frames / decoded.sample_rate,
        decoded.share,
        measured.digest.hexdigest(),
        max(statistics.peak, decoded.peak),
        statistics.clipped / max(1, statistics.samples),
        decoded.total / max(1, decoded.frames),
        statistics.silent_frames / max(1, statistics.frames),
        decoded.note,
    )
    return DecodeResult(properties, measured.consumer)


def decode(
    source: Path | BinaryIO,
    sample_rate: int,
    max_duration: float = float("inf"),
    span: tuple[float, float] = (0.0, float("inf")),
) -> NDArray[np.int16]:
    """Decode an audio file to mono (see `Downmix`), resampled to `sample_rate` (Hz, see `Resampler`); shape (n,).

    The other arguments and the errors are those of `decode_into`.
    """
    parts = decode_resampled_into(source, sample_rate, _Parts, max_duration, span).parts
    return np.concatenate(parts)


def decode_resampled_into(
    source: Path | BinaryIO,
    sample_rate: int,
    new_consumer: Callable[[], P],
    max_duration: float = float("inf"),
    span: tuple[float, float] = (0.0, float("inf")),
) -> P:
    """Decode an audio file to the samples that `decode` returns, pass them to a consumer block by block, and return it.

    `new_consumer` is called once per decode attempt, as in `decode_into`, which has the other arguments and the errors.
    """
    result = decode_at_rates_into(source, (sample_rate,), lambda: _OneRate(new_consumer()), max_duration, span)
    return result.consumer.consumer


def decode_at_rates_into(
    source: Path | BinaryIO,
    sample_rates: Sequence[int],
    new_consumer: Callable[[], R],
    max_duration: float = float("inf"),
    span: tuple[float, float] = (0.0, float("inf")),
    max_values: int | None = None,
    progress: Callable[[float], None] | None = None,
    measure: bool = False,
) -> ResampledResult[R]:
    """Decode an audio file once, and pass its mono samples to a consumer, block by block and at several sampling rates (Hz).

    The samples at each rate are those that `decode` returns. `new_consumer` is called once per decode attempt, as in
    `decode_into`, which has the other arguments and the errors.

    Args:
        max_values: largest number of decoded samples of all channels together; None: that of `audio.limits`.
        progress: called with the seconds of audio that are decoded, after each block.
        measure: whether level, clipping and bandwidth are measured.
    """
    decoded, resampled = _decode(
        source,
        max_duration,
        span,
        lambda rate: _Resampled(rate, sample_rates, new_consumer(), measure),
        max_values,
        progress,
    )
    resampled.finish()
    sound = resampled.statistics.finish() if resampled.statistics else None
    return ResampledResult(
        decoded.sample_rate, decoded.note, resampled.consumer, decoded.channels, decoded.codec, sound
    )


class _Measured(Generic[C]):
    """Statistics and hash of the samples, which are passed on to a consumer."""

    def __init__(self, sample_rate: int, consumer: C) -> None:
        self.statistics, self.digest, self.consumer = SampleStatistics(sample_rate), hashlib.sha256(), consumer

    def add(self, block: NDArray[np.float32], mono: NDArray[np.float32]) -> None:
        self.statistics.add(block, mono)
        self.digest.update(to_int16(mono).astype("<i2", copy=False).data)
        self.consumer.add(mono)


class _Resampled(Generic[R]):
    """Resampled mono samples as int16, which are passed on to a consumer."""

    def __init__(self, source_rate: int, sample_rates: Sequence[int], consumer: R, measure: bool) -> None:
        self._resamplers, self.consumer = [Resampler(source_rate, rate) for rate in sample_rates], consumer
        self.statistics = SoundStatistics(source_rate) if measure else None

    def add(self, block: NDArray[np.float32], mono: NDArray[np.float32]) -> None:
        if self.statistics:
            self.statistics.add(block, mono)
        self.consumer.add(*(to_int16(resampler.add(mono)) for resampler in self._resamplers))

    def finish(self) -> None:
        self.consumer.add(*(to_int16(resampler.finish()) for resampler in self._resamplers))


class _OneRate(Generic[P]):
    """Passes the samples at one sampling rate on to a consumer."""

    def __init__(self, consumer: P) -> None:
        self.consumer = consumer

    def add(self, samples: NDArray[np.int16], /, *_: NDArray[np.int16]) -> None:
        self.consumer.add(samples)


class _Parts:
    """The samples of a recording as a list of arrays."""

    def __init__(self) -> None:
        self.parts: list[NDArray[np.int16]] = []

    def add(self, samples: NDArray[np.int16]) -> None:
        self.parts.append(samples)


_BITS = {"PCM_S8": 8, "PCM_U8": 8, "PCM_16": 16, "PCM_24": 24, "PCM_32": 32, "FLOAT": 32, "DOUBLE": 64}


class _BlockConsumer(Protocol):
    def add(self, block: NDArray[np.float32], mono: NDArray[np.float32], /) -> None:
        """Process a block of shape (frames, channels) and its mono samples; both arrays are reused afterwards."""
        ...


_B = TypeVar("_B", bound=_BlockConsumer)


@dataclass(frozen=True)
class _Decoded:
    """Result of a decode attempt; see `AudioProperties`."""

    sample_rate: int
    channels: int
    codec: str
    bits: int
    frames: int
    total: float
    share: float
    peak: float
    note: str


def _decode(
    source: Path | BinaryIO,
    max_duration: float,
    span: tuple[float, float],
    new_consumer: Callable[[int], _B],
    max_values: int | None = None,
    progress: Callable[[float], None] | None = None,
) -> tuple[_Decoded, _B]:
    """Decode `source`, again if necessary (see `decode_into`); return the result and the consumer of the last attempt."""
    selected: tuple[int, ...] | None = None
    selection_note, counted, divisor = "", False, 1.0
    last_second = min(span[0] + max_duration, span[1]) + 1
    with ExitStack() as stack:
        while True:
            with open_audio(source) as (file, note):
                reader = BlockReader(file, max_duration, span, selected, divisor, max_values)
                consumer = new_consumer(file.samplerate)
                starts_behind_end = span[0] * file.samplerate >= file.frames
                is_unread = not counted and starts_behind_end and unread_mp3_bytes(file) > _UNREAD_TAIL
                if not is_unread:
                    for block, mono in reader:
                        consumer.add(block, mono)
                        if progress:
                            progress(reader.frames / file.samplerate)
                    is_unread = not counted and reader.ended and unread_mp3_bytes(file) > _UNREAD_TAIL
                if is_unread:
                    counted, source = True, with_frame_count(stack.enter_context(opened(source)), last_second)
                    continue
                better, reason = reader.downmix.better_selection() if selected is None else (None, selection_note)
                scale = reader.full_scale
                wanted_divisor = scale.divisor() if scale else 1.0
                if better is None and wanted_divisor == divisor:
                    decoded = _Decoded(
                        file.samplerate,
                        file.channels,
                        f"{file.format} {file.subtype}",
                        _BITS.get(file.subtype, 0),
                        reader.frames,
                        reader.total,
                        reader.share,
                        scale.peak if scale else 0.0,
                        joined_notes((note, reader.note, reason, scale.note() if scale else "")),
                    )
                    return decoded, consumer
                divisor = wanted_divisor
                if better is not None:
                    selected, selection_note = better, reason
