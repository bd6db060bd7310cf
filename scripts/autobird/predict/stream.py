"""Classify a recording while it is decoded, in memory that hardly depends on its length."""

import time
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from autobird.audio.frame_stream import FrameStream
from autobird.audio.mel import FrontEnd, window_mean_std
from autobird.audio.settings import FeatureSettings
from autobird.audio.windows import is_quiet, window_rms
from autobird.drift.features import FrameStatistics
from autobird.predict.graph import BATCH, Graph

_HELD_SECONDS = 600.0
"""Seconds of samples that are held before the first is classified (19 MB at 16 kHz). A recording that is shorter is classified when it
is completely decoded: no work is lost if it has to be decoded again (see `decode_into`) or is refused because it is too long."""


class WindowsOf(NamedTuple):
    """The windows of a recording.

    Attributes:
        samples: length of the recording, samples.
        logits: shape (windows, species).
        rms: root mean square of the samples of each window, full scale = 1; shape (windows,).
        quiet: which windows are quiet; shape (windows,).
        frames: mel frames of the recording, shape (frames, mels); no frames if they were not kept.
        first_frames: first frame of each window; shape (windows,).
        statistics: of the mel frames.
        seconds: time of the stages `features` and `network`, seconds.
    """

    samples: int
    logits: NDArray[np.float32]
    rms: NDArray[np.float32]
    quiet: NDArray[np.bool_]
    frames: NDArray[np.float32]
    first_frames: NDArray[np.int64]
    statistics: FrameStatistics
    seconds: Mapping[str, float] = MappingProxyType({})


class RecordingStream:
    """Consumer of the samples of one decode attempt: computes mel frames, levels and logits.

    The values do not depend on the sizes of the blocks of samples, and are those of the whole recording at once: the
    front end always computes the same blocks of frames, and the graph the same batches of windows.

    Args:
        front_end: converts the samples.
        graph: computes the logits of windows; None: they are computed elsewhere, and the result has logits of shape (windows, 0).
        settings: windows and filters of quiet windows.
        keep_frames: whether the result has the mel frames of the recording (29 MB an hour with the default settings).
    """

    def __init__(self, front_end: FrontEnd, graph: Graph | None, settings: FeatureSettings, keep_frames: bool) -> None:
        self._graph, self._settings = graph, settings
        self._size = front_end.frames_per_window
        self._stream = FrameStream(front_end)
        self._waiting: list[NDArray[np.int16]] = []
        self._waiting_samples = 0
        """Samples that are not processed yet, and their number."""
        self._limit = int(_HELD_SECONDS * settings.sample_rate)
        """Number of waiting samples that are processed at once: after the first time those of a batch of windows, so that
        arrays are joined rarely."""
        self._samples = np.zeros(0, np.int16)
        self._samples_from = 0
        """Samples from the start of the next window on, and the position of the first."""
        self._frames = np.zeros((0, settings.mels), np.float16)
        self._in_used_window = np.zeros(0, bool)
        self._frames_from = 0
        """Frames from the first frame of the next window on, whether they are in a window that is not quiet, and the
        number of the first. The model was trained on frames stored as float16."""
        self._windows = 0
        """Number of windows whose logits are computed."""
        self._logits: list[NDArray[np.float32]] = []
        self._rms: list[NDArray[np.float32]] = []
        self._quiet: list[NDArray[np.bool_]] = []
        self._kept: list[NDArray[np.float32]] | None = [] if keep_frames else None
        self._statistics = FrameStatistics(settings)
        self._seconds = {"features": 0.0, "network": 0.0}

    def add(self, samples: NDArray[np.int16], /, *_: NDArray[np.int16]) -> None:
        """Process the next samples, those at the sampling rate of the features."""
        self._waiting.append(samples)
        self._waiting_samples += len(samples)
        if self._waiting_samples > self._limit:
            self._process_waiting()
            self._limit = BATCH * self._settings.hop_samples

    def finish(self) -> WindowsOf:
        """Process the end of the recording; call it once, after the last `add`."""
        self._process_waiting()
        self._add_frames(self._stream.finish())
        self._classify(self._stream.windows)
        self._statistics.add(self._frames, self._in_used_window)
        species = self._graph.species if self._graph else 0
        return WindowsOf(
            self._stream.samples,
            np.concatenate([*self._logits, np.zeros((0 if self._graph else self._windows, species), np.float32)]),
            np.concatenate([*self._rms, np.zeros(0, np.float32)]),
            np.concatenate([*self._quiet, np.zeros(0, bool)]),
            np.concatenate([*(self._kept or ()), np.zeros((0, self._settings.mels), np.float32)]),
            self._stream.first_frames(0, self._windows),
            self._statistics,
            self._seconds,
        )

    @property
    def samples(self) -> int:
        """Number of samples that were added."""
        return self._stream.samples + self._waiting_samples

    def _process_waiting(self) -> None:
        samples = np.concatenate([*self._waiting, np.zeros(0, np.int16)])
        self._waiting, self._waiting_samples = [], 0
        self._samples = np.concatenate([self._samples, samples])
        self._add_frames(self._stream.add(samples))
        s = self._settings
        # Windows whose samples are complete; the last window may be padded, which is known only at the end.
        count = max(0, (self._stream.samples - s.window_samples) // s.hop_samples + 1)
        firsts = self._stream.first_frames(self._windows, min(count, self._stream.windows))
        complete = self._windows + int(np.searchsorted(firsts, self._stream.frames - self._size, side="right"))
        self._classify(self._windows + (complete - self._windows) // BATCH * BATCH)

    def _add_frames(self, blocks: Iterator[NDArray[np.float32]]) -> None:
        start = time.perf_counter()
        new = list(blocks)  # computes them
        self._seconds["features"] += time.perf_counter() - start
        if self._kept is not None:
            self._kept += new
        self._frames = np.concatenate([self._frames, *(block.astype(np.float16) for block in new)])
        missing = len(self._frames) - len(self._in_used_window)
        self._in_used_window = np.concatenate([self._in_used_window, np.zeros(missing, bool)])

    def _classify(self, end: int) -> None:
        """Classify the windows up to number `end` - 1, in batches that start at a multiple of `BATCH`."""
        s = self._settings
        while self._windows < end:
            begin, stop = self._windows, min(end, self._windows + BATCH)
            firsts = self._stream.first_frames(begin, stop) - self._frames_from
            starts = np.arange(begin, stop, dtype=np.int64) * s.hop_samples - self._samples_from
            rms = window_rms(self._samples, starts, s.window_samples)
            used = self._frames[firsts[0] : firsts[-1] + self._size]
            _, std = window_mean_std(used, firsts - firsts[0], self._size)
            quiet = is_quiet(rms, std, s)
            for first in firsts[~quiet]:
                self._in_used_window[first : first + self._size] = True
            if self._graph:
                start = time.perf_counter()
                self._logits.append(self._graph.logits(self._frames[firsts[:, None] + np.arange(self._size)]))
                self._seconds["network"] += time.perf_counter() - start
            self._rms.append(rms)
            self._quiet.append(quiet)
            self._windows = stop
            self._drop_samples_before(stop * s.hop_samples)
            self._drop_frames_before(int(self._stream.first_frames(stop, stop + 1)[0]))

    def _drop_samples_before(self, position: int) -> None:
        unused = min(position - self._samples_from, len(self._samples))
        self._samples = self._samples[unused:]
        self._samples_from += unused

    def _drop_frames_before(self, number: int) -> None:
        """Drop the frames that no further window contains, after their statistics are collected."""
        unused = min(number - self._frames_from, len(self._frames))
        self._statistics.add(self._frames[:unused], self._in_used_window[:unused])
        self._frames, self._in_used_window = self._frames[unused:], self._in_used_window[unused:]
        self._frames_from += unused
