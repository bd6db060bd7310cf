"""Compute the mel frames of a recording while its samples arrive, in memory that does not depend on its length."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from autobird.audio.amplitude_scaling import Floats
from autobird.audio.mel import FRAMES_PER_BLOCK, FrontEnd
from autobird.audio.windows import first_frames, window_count


class FrameStream:
    """The frames of one recording, block by block; they are the same values as those of `FrontEnd.windows`.

    Args:
        front_end: converts the samples.

    Attributes:
        samples: number of samples that were added.
        frames: number of frames that were returned.
    """

    def __init__(self, front_end: FrontEnd) -> None:
        self._front_end, self._settings = front_end, front_end.settings
        self._scale = front_end.scaling.new_scaler()
        self._held = np.zeros(0, np.int16)
        self._held_from = 0
        """Position in the recording of the first sample in `_held`; frames that are still missing need no earlier one."""
        self.samples = self.frames = 0

    @property
    def windows(self) -> int:
        """Number of windows of the samples that were added; more samples may add windows."""
        return window_count(self.samples, self._settings.window_samples, self._settings.hop_samples)

    def first_frames(self, begin: int, end: int) -> NDArray[np.int64]:
        """Return the first frames of the windows with the numbers `begin` to `end` - 1; shape (windows,)."""
        windows = np.arange(begin, end, dtype=np.int64)
        if self._settings.alignment == "window":
            return windows * self._front_end.frames_per_window
        return first_frames(windows * self._settings.hop_samples, self._settings.hop_length)

    def add(self, samples: NDArray[np.int16]) -> Iterator[Floats]:
        """Add the next samples, and yield the frames that are complete, in arrays of shape (frames, mels)."""
        self._held = np.concatenate([self._held, samples])
        self.samples += len(samples)
        yield from self._compute(is_end=False)

    def finish(self) -> Iterator[Floats]:
        """Yield the remaining frames; call it once, after the last `add`."""
        yield from self._compute(is_end=True)

    def _compute(self, is_end: bool) -> Iterator[Floats]:
        if self._settings.alignment == "window":
            yield from self._separate_windows(is_end)
        else:
            yield from self._blocks(is_end)

    def _blocks(self, is_end: bool) -> Iterator[Floats]:
        s = self._settings
        # Frames beyond the last window are not computed. Further samples can only add windows.
        count = int(self.first_frames(self.windows - 1, self.windows)[0]) + self._front_end.frames_per_window
        while self.frames < (count if self.windows else 0):
            size = min(FRAMES_PER_BLOCK, count - self.frames)
            end = (self.frames + size - 1) * s.hop_length - s.n_fft // 2 + s.n_fft
            if not is_end and (size < FRAMES_PER_BLOCK or end > self.samples):
                break
            out = np.empty((size, s.mels), np.float32)
            self._front_end.compute_block(self._held, self._held_from, self.frames, out, self._scale)
            self.frames += size
            yield out
        self._drop_samples_before(self.frames * s.hop_length - s.n_fft // 2)

    def _separate_windows(self, is_end: bool) -> Iterator[Floats]:
        s, size = self._settings, self._front_end.frames_per_window
        for number in range(self.frames // size, self.windows):
            start = number * s.hop_samples
            if not is_end and start + s.window_samples > self.samples:
                break
            out = np.empty((size, s.mels), np.float32)
            at = start - self._held_from
            self._front_end.compute_separate_window(self._held[at : at + s.window_samples], out)
            self.frames += size
            yield out
        self._drop_samples_before(self.frames // size * s.hop_samples)

    def _drop_samples_before(self, position: int) -> None:
        unused = min(max(0, position - self._held_from), len(self._held))
        self._held = self._held[unused:]
        self._held_from += unused
