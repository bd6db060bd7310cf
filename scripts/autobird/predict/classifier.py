"""From audio to probabilities and detections: the same decoding, resampling and mel as in training."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from autobird.audio.audio_file import UnusableAudio
from autobird.audio.decode import decode
from autobird.audio.mel import FrontEnd, window_mean_std
from autobird.audio.windows import is_quiet, window_rms, window_starts
from autobird.drift.monitor import features
from autobird.predict.answers import answer
from autobird.predict.bundle import GRAPH, Bundle
from autobird.predict.graph import Graph

MAX_DURATION = 7200.0
"""Longest recording, seconds of decoded sound, where nobody says otherwise."""

MIN_DURATION = 0.5
"""Shortest recording that is answered, seconds: what `corpus.min_duration` keeps out of training by default."""


@dataclass(frozen=True)
class Detection:
    """A species heard from `start` to `end` (seconds), with the highest probability of those windows."""

    start: float
    end: float
    species: str
    probability: float


@dataclass(frozen=True)
class Prediction:
    """What a recording holds.

    Attributes:
        duration: seconds.
        starts: start of each window, seconds; shape (windows,).
        probabilities: calibrated, by window; shape (windows, species), rows sum to 1.
        detected: species that reach their threshold in a window that is not quiet; shape (windows, species).
        recording: probabilities of the whole recording, over its windows that are not quiet; zeros if all are;
            shape (species,).
        quiet: windows that the filters of the training leave out; shape (windows,), bool.
        frames: all mel frames, in the front end's units; shape (frames, mels).
        first_frames: first frame of each window in `frames`; shape (windows,).
        rms: of each window, full scale = 1; shape (windows,).
    """

    duration: float
    starts: NDArray[np.float64]
    probabilities: NDArray[np.float64]
    detected: NDArray[np.bool_]
    recording: NDArray[np.float64]
    quiet: NDArray[np.bool_]
    frames: NDArray[np.float32]
    first_frames: NDArray[np.int64]
    rms: NDArray[np.float32]


class Classifier:
    """A bundle ready to answer: `Classifier("results/demo/release/bundle").predict("dawn.mp3")`."""

    def __init__(self, bundle: Path | str, threads: int = 1) -> None:
        self.bundle = Bundle.load(Path(bundle))
        self._front_end = FrontEnd.of(self.bundle.features)
        self._graph = Graph(self.bundle.folder / GRAPH, threads)

    @property
    def labels(self) -> tuple[str, ...]:
        """Species in the order of the probabilities."""
        return self.bundle.labels

    def predict(self, audio: Path | str | BinaryIO, max_duration: float = MAX_DURATION) -> Prediction:
        """Listen to a recording.

        Args:
            audio: a path, or a seekable binary file; any format that libsndfile knows, told by content.
            max_duration: longer recordings are refused, seconds of decoded sound.

        Raises:
            TooLong: more sound than `max_duration`.
            UnusableAudio: it cannot be decoded, is shorter than `MIN_DURATION`, or the model gives no finite answer; the
                message says why.
        """
        s = self.bundle.features
        samples = decode(Path(audio) if isinstance(audio, str) else audio, s.sample_rate, max_duration)
        duration = len(samples) / s.sample_rate
        if duration < MIN_DURATION:
            raise UnusableAudio(f"{duration:.2f} s of sound are too short to tell; give at least {MIN_DURATION:g} s")
        starts = window_starts(len(samples), s.window_samples, s.hop_samples)
        frames, firsts = self._front_end.windows(samples)
        rms = window_rms(samples, starts, s.window_samples)
        stored = frames.astype(np.float16)  # as in the shards that the model was trained on
        size = self._front_end.frames_per_window
        _, std = window_mean_std(stored, firsts, size)
        quiet = is_quiet(rms, std, s)
        windows = stored[firsts[:, None] + np.arange(size)]
        logits = self._graph.logits(windows)
        if not np.isfinite(logits).all():
            raise UnusableAudio("the model's answer is NaN or infinite; check the recording's level and the bundle")
        # Quiet windows count as a second recording, so that nothing of them enters the answer about this one.
        said = answer(logits, quiet.astype(np.int64), 2, self.bundle.calibration)
        return Prediction(
            duration=duration,
            starts=starts / s.sample_rate,
            probabilities=said.windows,
            detected=said.detected & ~quiet[:, None],
            recording=said.recordings[0],
            quiet=quiet,
            frames=frames,
            first_frames=firsts,
            rms=rms,
        )

    def features(self, prediction: Prediction) -> dict[str, float]:
        """What the drift report compares (`drift.monitor.FEATURES`)."""
        heard = ~prediction.quiet if not prediction.quiet.all() else np.ones(len(prediction.quiet), bool)
        return features(
            prediction.frames,
            prediction.first_frames[heard],
            prediction.rms[heard],
            prediction.probabilities[heard],
            self.bundle.features,
        )

    def detections(self, prediction: Prediction) -> list[Detection]:
        """Species above their thresholds; neighbouring windows of one species become one detection. Sorted by time."""
        window = self.bundle.features.window
        found: list[Detection] = []
        for species, name in enumerate(self.labels):
            p = prediction.probabilities[:, species]
            for run in _runs(np.flatnonzero(prediction.detected[:, species])):
                end = min(float(prediction.starts[run[-1]]) + window, prediction.duration)
                found.append(Detection(float(prediction.starts[run[0]]), round(end, 3), name, float(p[run].max())))
        return sorted(found, key=lambda d: (d.start, -d.probability, d.species))


def _runs(indices: NDArray[np.int64]) -> Sequence[NDArray[np.int64]]:
    """Consecutive indices together."""
    return np.split(indices, np.flatnonzero(np.diff(indices) > 1) + 1) if len(indices) else []
