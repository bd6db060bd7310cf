"""Read the blocks of an open audio file, and compare its length with the one that its header declares."""

import math
import re
from collections.abc import Iterator

import numpy as np
import soundfile
from numpy.typing import NDArray

from autobird.audio.audio_errors import DecodeError, UnusableAudio
from autobird.audio.audio_file import AudioFile, error_text
from autobird.audio.downmix import Downmix
from autobird.audio.full_scale import FullScale, is_floating_point
from autobird.audio.limits import block_frames, check_length

_COMPLETE = 0.98
"""A file with less than this share of its declared length gets a note; the lengths that mp3 headers declare are estimates."""

_UNKNOWN_FRAMES = 1 << 62
"""libsndfile reports about 2**63 frames where the header declares no length."""

_WAV_LENGTH = re.compile(r"data : (\d+) \(should be (\d+)\)")
"""libsndfile's message on a WAV header: declared and actual bytes of the data chunk."""

_UNFINISHED_WAV = (1 << 31) - 4096
"""If a WAV header declares at least this many bytes of data, more than the file has, the length is a placeholder that the
recording program never replaced by the real length."""


class BlockReader:
    """Iterates over the blocks of an open file and their mono samples.

    Attributes:
        frames: number of frames read.
        total: sum of the mono samples.
        share: frames read divided by the frames that the header declares for the span; 1 if it declares none.
        note: the problem that ended decoding early, or ""; set after the last block.
        downmix: from channels to mono.
        ended: whether the file ended before the span.
        full_scale: samples beyond full scale, for a codec with floating-point samples; else None.
    """

    def __init__(
        self,
        file: AudioFile,
        max_duration: float,
        span: tuple[float, float],
        channels: tuple[int, ...] | None,
        divisor: float = 1.0,
        max_values: int | None = None,
    ) -> None:
        self.file, self.max_duration, self.span, self._max_values = file, max_duration, span, max_values
        self.frames, self.total, self.share, self.note = 0, 0.0, 1.0, ""
        self.ended = False
        self.downmix = Downmix(file.channels, channels)
        self.full_scale = FullScale() if is_floating_point(file.subtype) else None
        self._gain = np.float32(1 / divisor)

    def __iter__(self) -> Iterator[tuple[NDArray[np.float32], NDArray[np.float32]]]:
        file, rate, failure = self.file, self.file.samplerate, ""
        first = round(self.span[0] * rate)
        wanted = round((self.span[1] - self.span[0]) * rate) if self.span[1] < float("inf") else _UNKNOWN_FRAMES
        declared = max(0, min(file.frames - first, wanted)) if 0 < file.frames < _UNKNOWN_FRAMES else 0
        if first:
            self._skip(first)
        buffer = np.empty((block_frames(file.channels), file.channels), np.float32)
        while self.frames < wanted:
            try:
                block = file.read(out=buffer[: min(len(buffer), wanted - self.frames)])
            except (soundfile.LibsndfileError, DecodeError) as error:
                failure = error_text(error)
                break
            if not len(block):
                self.ended = True
                break
            self.frames += len(block)
            check_length(self.frames, rate, file.channels, self.max_duration, self._max_values)
            if self.full_scale:
                self.full_scale.add(block)
                if self._gain != 1:
                    block *= self._gain
            with np.errstate(over="ignore", invalid="ignore"):  # damaged files; what is not finite is refused
                mono = self.downmix(block)
                total = float(mono.sum())
            if not math.isfinite(total):
                raise UnusableAudio("samples that are not finite (NaN or infinity); export the file again as PCM")
            self.total += total
            yield block, mono
        if not self.frames:
            raise UnusableAudio(f"no audio could be decoded ({failure or 'no frames'})")
        self._compare_with_header(declared, failure)

    def _compare_with_header(self, declared: int, failure: str) -> None:
        """Set `share` and `note` from the frames that the header declares (0: none) and the error that ended decoding."""
        rate, unfinished = self.file.samplerate, False
        seconds = self.frames / rate
        if declared:
            self.share = min(1.0, self.frames / declared)
        whole_file = not self.span[0] and self.span[1] == float("inf")
        if whole_file and (header := _WAV_LENGTH.search(self.file.extra_info)):
            # libsndfile corrects the length in a WAV header; only this message tells what the header declared.
            declared_bytes, actual_bytes = int(header[1]), int(header[2])
            unfinished = declared_bytes >= _UNFINISHED_WAV
            self.share = 1.0 if unfinished else min(self.share, actual_bytes / declared_bytes)
            declared = round(self.frames / self.share)
        if failure:
            reason = failure.replace(";", ",")  # a semicolon separates notes
            self.note = f"decoding stopped after {seconds:.1f} s ({reason}), so only the audio before is used"
        elif self.share < _COMPLETE:
            self.note = f"the header declares {declared / rate:.1f} s, the file has {seconds:.1f} s, which are used"
        elif unfinished:
            self.note = (
                f"the header was never finished and declares no length, so all {seconds:.1f} s of the file are used"
            )

    def _skip(self, frames: int) -> None:
        try:
            self.file.seek(frames)
        except (soundfile.LibsndfileError, DecodeError) as error:
            length = self.file.frames / self.file.samplerate
            # Beyond the end, the decoder's message says no more.
            reason = f" ({error_text(error)})" if self.span[0] < length else ""
            raise UnusableAudio(
                f"starts at {self.span[0]:g} s of a file of {length:.1f} s; correct its start{reason}"
            ) from error
