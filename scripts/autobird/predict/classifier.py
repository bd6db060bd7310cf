"""Classify a recording, with the same decoding, resampling, mel front end and backbone as in training."""

import copy
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from autobird.audio.audio_file import UnusableAudio
from autobird.audio.decode import decode_at_rates_into
from autobird.audio.mel import FrontEnd
from autobird.audio.sound import Sound
from autobird.backbone.base import Backbone
from autobird.core.blas import one_blas_thread
from autobird.core.decimals import rounded_beside
from autobird.core.wording import joined_notes
from autobird.drift.features import DRIFT_FEATURES, window_features
from autobird.predict.answer_options import AnswerOptions
from autobird.predict.backbone import load_bundle_backbone, missing_band_note
from autobird.predict.bundle import Bundle
from autobird.predict.bundle_files import GRAPH
from autobird.predict.classification import classify, run_starts
from autobird.predict.graph import Graph
from autobird.predict.head_stream import HeadStream
from autobird.predict.stream import RecordingStream

MIN_DURATION = 0.5
"""Shortest recording that is classified, seconds; the default of `corpus.min_duration`, the limit in training."""


@dataclass(frozen=True)
class Detection:
    """A species detected from `start` to `end` (seconds), with its highest probability in these windows.

    `occurrence` says how likely the species occurs where and when the recording was made (`occurrence_filter`); None: unknown.
    `unknown_score` says how little these windows resemble the species of the model: the lowest `Prediction.unknown` of them; None if the
    bundle has no such score.
    """

    start: float
    end: float
    species: str
    probability: float
    occurrence: float | None = None
    unknown_score: float | None = None


@dataclass(frozen=True)
class Prediction:
    """Probabilities and detections of one recording, and the values that they were computed from.

    Attributes:
        duration: length of the recording, seconds.
        starts: start of each window, seconds; shape (windows,).
        probabilities: calibrated probabilities of each window, smoothed over its neighbours (`classification.smoothed`); shape
            (windows, species). With softmax outputs, rows sum to 1.
        detected: whether a species reaches its threshold in a window that is not quiet; shape (windows, species).
        recording: probabilities of the whole recording, from its windows that are not quiet; zeros if all windows are quiet;
            shape (species,).
        quiet: windows below `features.min_rms` or `features.min_mel_std`, which training leaves out too; shape (windows,).
        frames: mel frames of the recording, in the front end's units; shape (frames, mels). No frames if the caller does not
            keep them.
        first_frames: first frame of each window in `frames`; shape (windows,).
        rms: root mean square of the samples of each window, full scale = 1; shape (windows,).
        drift_features: features of the recording that the drift test compares, by name (`drift.features.DRIFT_FEATURES`).
        unknown: how little each window resembles the species of the model: the share of validation windows with one of them that
            resemble them more (`UnknownScore`); None if the bundle has no such score; shape (windows,).
        note: problems with the recording that did not prevent its classification, or "".
        sample_rate: the file's own sampling rate, Hz.
        channels: the file's number of channels.
        codec: container and codec of the file, for example `FLAC PCM_16`.
        sound: level, clipping and bandwidth; None if they were not measured.
        seconds: time of the stages `decode` (with resampling), `features` and `network`, seconds.
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
    drift_features: dict[str, float]
    unknown: NDArray[np.float64] | None = None
    note: str = ""
    sample_rate: int = 0
    channels: int = 0
    codec: str = ""
    sound: Sound | None = None
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def recording_unknown(self) -> float | None:
        """The lowest `unknown` of the windows that are not quiet; None without such windows or without the score."""
        if self.unknown is None or self.quiet.all():
            return None
        return float(self.unknown[~self.quiet].min())


class Classifier:
    """Classifies recordings with a bundle: `Classifier("results/demo/release/bundle").predict("dawn.mp3")`.

    Args:
        bundle: folder of the bundle.
        threads: number of CPU threads of the bundle's network; a backbone uses one.
        backbone: path of the file of the backbone, if the bundle needs one; None: the environment variable `AUTOBIRD_BACKBONE`, or
            for BirdNET where it is installed. A backbone that is loaded already is used as it is.
        options: changes of the thresholds; None: those of the table beside the bundle, if there is one.

    Raises:
        AutobirdError: the folder is not a bundle, is damaged, or has another format; its backbone is not installed; or the options do not
            fit it.
    """

    def __init__(
        self,
        bundle: Path | str,
        threads: int = 1,
        backbone: Path | str | Backbone | None = None,
        options: AnswerOptions | None = None,
    ) -> None:
        self.bundle = (options or AnswerOptions()).apply(Bundle.load(Path(bundle)))
        self._front_end = FrontEnd.of(self.bundle.features)
        self._graph = Graph(self.bundle.folder / GRAPH, threads)
        self._backbone = backbone if isinstance(backbone, Backbone) else load_bundle_backbone(self.bundle, backbone)

    @property
    def labels(self) -> tuple[str, ...]:
        """Species in the order of the probabilities."""
        return self.bundle.labels

    def with_options(self, options: AnswerOptions, hop: float | None = None) -> "Classifier":
        """Return a classifier with other thresholds or another hop, which shares the loaded networks.

        Args:
            options: changes of the thresholds of this classifier.
            hop: time from the start of one window to the start of the next, seconds, at most the length of a window; None: unchanged.

        Raises:
            AutobirdError: the options do not fit the bundle.
        """
        changed = copy.copy(self)
        changed.bundle = options.apply(self.bundle)
        if hop is not None:
            features = self.bundle.features.model_copy(update={"hop": hop})
            calibration = changed.bundle.calibration.with_hop(self.bundle.features.hop, hop)
            changed.bundle = replace(changed.bundle, features=features, calibration=calibration)
            changed._front_end = replace(self._front_end, settings=features)
        return changed

    def predict(
        self,
        audio: Path | str | BinaryIO,
        max_duration: float | None = None,
        keep_frames: bool = True,
        max_values: int | None = None,
        progress: Callable[[float], None] | None = None,
        measure: bool = False,
    ) -> Prediction:
        """Classify a recording of any length; it is decoded and classified block by block.

        Args:
            audio: a path or a seekable binary file, in any format of docs/formats.md, which is recognised by content.
            max_duration: longest accepted recording, seconds of decoded audio; None: no limit.
            keep_frames: whether the result has the mel frames, which need 29 MB for each hour with the default settings. The
                memory for the rest of the result is small: 24 hours have 34,560 windows.
            max_values: largest accepted number of decoded samples of all channels together; None: see `audio.limits`.
            progress: called with the seconds of audio that are decoded, after each block.
            measure: whether level, clipping and bandwidth of the recording are measured.

        Raises:
            TooLong: the recording is longer than `max_duration`, or has more samples than `max_values`.
            UnusableAudio: the recording cannot be decoded, is shorter than `MIN_DURATION`, or gives logits that are not finite.
        """
        s, start = self.bundle.features, time.perf_counter()
        with one_blas_thread():
            decoded = decode_at_rates_into(
                Path(audio) if isinstance(audio, str) else audio,
                (s.sample_rate,) if self._backbone is None else (s.sample_rate, self._backbone.info.sample_rate),
                lambda: self._new_stream(keep_frames),
                float("inf") if max_duration is None else max_duration,
                max_values=max_values,
                progress=progress,
                measure=measure,
            )
            stream = decoded.consumer
            duration = stream.samples / s.sample_rate
            if duration < MIN_DURATION:
                length = rounded_beside(duration, MIN_DURATION, 2)
                raise UnusableAudio(f"{length} s of audio is too short to classify; give at least {MIN_DURATION:g} s")
            windows = stream.finish()
        seconds = {"decode": time.perf_counter() - start - sum(windows.seconds.values()), **windows.seconds}
        if not np.isfinite(windows.logits).all():
            raise UnusableAudio("the model's output is NaN or infinite; check the recording's level and the bundle")
        quiet = windows.quiet
        # Recording 0 has the windows that are not quiet. Quiet windows are assigned to recording 1, which is not used, so
        # that they do not contribute to the probabilities of the recording.
        calibration = self.bundle.calibration
        result = classify(windows.logits, quiet.astype(np.int64), 2, calibration, np.arange(len(quiet)))
        used = ~quiet if not quiet.all() else np.ones(len(quiet), bool)
        features = windows.statistics.finish()
        features |= window_features(
            windows.rms[used], calibration.probabilities(windows.logits[used]), calibration.outputs
        )
        score = self.bundle.unknown
        unknown = None if score is None else score.of_windows(windows.logits, calibration)
        return Prediction(
            duration=duration,
            starts=np.arange(len(quiet)) * s.hop_samples / s.sample_rate,
            probabilities=result.window_probabilities,
            detected=result.window_detections & ~quiet[:, None],
            recording=result.recording_probabilities[0],
            quiet=quiet,
            frames=windows.frames,
            first_frames=windows.first_frames,
            rms=windows.rms,
            drift_features={name: features[name] for name in DRIFT_FEATURES},
            unknown=unknown,
            note=joined_notes((decoded.note, missing_band_note(self.bundle.backbone, decoded.sample_rate))),
            sample_rate=decoded.sample_rate,
            channels=decoded.channels,
            codec=decoded.codec,
            sound=decoded.sound,
            seconds=seconds,
        )

    def _new_stream(self, keep_frames: bool) -> RecordingStream | HeadStream:
        if self._backbone is None:
            return RecordingStream(self._front_end, self._graph, self.bundle.features, keep_frames)
        return HeadStream(self._front_end, self._backbone, self._graph, self.bundle.features, keep_frames)

    def drift_features(self, prediction: Prediction) -> dict[str, float]:
        """Return the features of a recording that the drift test compares (`drift.features.DRIFT_FEATURES`)."""
        return prediction.drift_features

    def detections(self, prediction: Prediction) -> list[Detection]:
        """Return the detections sorted by start; consecutive windows with the same species are one detection."""
        window = self.bundle.features.window
        detections: list[Detection] = []
        number = np.arange(len(prediction.starts))
        is_start = run_starts(prediction.detected, np.zeros_like(number), number)
        for species in np.flatnonzero(prediction.detected.any(axis=0)):
            name = self.labels[species]
            p = prediction.probabilities[:, species]
            detected = np.flatnonzero(prediction.detected[:, species])
            for run in np.split(detected, np.flatnonzero(is_start[detected, species])[1:]):
                end = min(float(prediction.starts[run[-1]]) + window, prediction.duration)
                start = float(prediction.starts[run[0]])
                unknown = None if prediction.unknown is None else float(prediction.unknown[run].min())
                detections.append(Detection(start, round(end, 3), name, float(p[run].max()), unknown_score=unknown))
        return sorted(detections, key=lambda d: (d.start, -d.probability, d.species))
