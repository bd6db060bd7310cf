"""Classify many files in parallel; a file that cannot be read is reported and does not stop the others."""

import os
import tarfile
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import BinaryIO, NamedTuple

from autobird.audio.access import AudioSource, open_source, source_size
from autobird.audio.audio_file import TooLong, UnusableAudio
from autobird.audio.headers import Header, read_header
from autobird.core.progress import Progress
from autobird.core.workers import Crash, Killed, TimedOut, run_each
from autobird.predict.answer_options import AnswerOptions
from autobird.predict.bundle import Bundle
from autobird.predict.classifier import Classifier, Detection, Prediction
from autobird.predict.origin import Origin

_LEAST_TIME, _TIME_PER_MB = 600.0, 5.0
"""Time limit of a file, seconds, and additional seconds per MB. On a core of 2020, an hour of audio takes about 4 s, and a MB
of the smallest usual recordings (opus, 16 kbit/s) is 8 minutes. The limit is only for decoders that hang."""

_STEP = 2.0**-15
"""One step of 16 bits, full scale = 1. A recording whose windows are all below has no signal: the noise of a microphone is above it,
even in a very quiet place."""

_AUDIO_PER_MB, _TIME_PER_BACKBONE_WINDOW = 500.0, 0.3
"""Seconds of audio in a MB of the smallest usual recordings, and the seconds that a backbone may take for one of its windows:
BirdNET takes 0.035 to 0.075 on a core of 2020."""


@dataclass(frozen=True)
class WindowResult:
    """The result of one window.

    Attributes:
        start: start of the window, seconds.
        end: end of the window, seconds.
        quiet: whether the window is quiet, and therefore not used for the recording.
        probabilities: calibrated probabilities in the order of the labels.
        detected: species whose probability reaches their threshold.
        unknown_score: how little the window resembles the model's species, see `Prediction.unknown`; None if the bundle has no score.
    """

    start: float
    end: float
    quiet: bool
    probabilities: list[float]
    detected: list[str]
    unknown_score: float | None = None


@dataclass(frozen=True)
class FileResult:
    """The result of one file, or the reason why it was skipped.

    Attributes:
        file: name of the file, as given by the caller; bytes of a path that are not UTF-8 are written as `\\xNN`.
        error: reason why the file was skipped, or "".
        duration: length of the recording, seconds.
        species: most probable species of the recording and its probability; None if the whole recording is quiet.
        detections: detections sorted by start.
        drift_features: features for the drift test (`drift.features.DRIFT_FEATURES`).
        probabilities: probabilities of the recording in the order of the labels; empty if it is quiet or was skipped.
        windows: result of each window, if requested.
        is_final: whether another attempt would have the same result; false if the time limit or the memory was not enough.
        note: problems with a file that was classified nevertheless, or "".
        quiet_share: share of the windows that are quiet, in which nothing is detected; 0 to 1.
        is_silent: whether the recording has no signal (`_STEP`), as with a faulty microphone or cable.
        unknown_score: see `Prediction.recording_unknown`; None if the bundle has no such score.
        origin: what the path and the header state about place and time, also for a file that was skipped.
    """

    file: str
    error: str
    duration: float
    species: tuple[str, float] | None
    detections: list[Detection]
    drift_features: dict[str, float]
    probabilities: list[float] = field(default_factory=list)
    windows: list[WindowResult] | None = None
    is_final: bool = True
    note: str = ""
    quiet_share: float = 0.0
    is_silent: bool = False
    unknown_score: float | None = None
    origin: Origin = field(default_factory=Origin)

    @property
    def status(self) -> str:
        """`skipped`, `silent`, `detections`, `no detections`, or `quiet` if the whole recording is quiet."""
        if self.error or self.is_silent:
            return "skipped" if self.error else "silent"
        return "detections" if self.detections else "no detections" if self.species else "quiet"


def skipped(name: str, reason: str, is_final: bool = True) -> FileResult:
    """Return the result of a file that was skipped."""
    return FileResult(name, reason, 0.0, None, [], {}, is_final=is_final)


def predict_file(
    classifier: Classifier,
    audio: Path | BinaryIO,
    name: str,
    max_duration: float | None = None,
    by_window: bool = False,
) -> FileResult:
    """Classify one file; a file that cannot be used gives a result with an error instead of raising.

    Args:
        classifier: the classifier to use.
        audio: a path or a seekable binary file, for example a member of a tar archive.
        name: name of the file in the result.
        max_duration: longest accepted recording, seconds.
        by_window: whether the result includes each window.
    """
    try:
        prediction = classifier.predict(audio, max_duration, keep_frames=False)
    except TooLong as error:
        return skipped(name, f"{error}; cut the recording, or raise --max-seconds")
    except UnusableAudio as error:
        return skipped(name, str(error))
    best, is_classified = int(prediction.recording.argmax()), bool(prediction.recording.any())
    return FileResult(
        file=name,
        error="",
        duration=prediction.duration,
        species=(classifier.labels[best], float(prediction.recording[best])) if is_classified else None,
        detections=classifier.detections(prediction),
        drift_features=classifier.drift_features(prediction),
        probabilities=prediction.recording.tolist() if is_classified else [],
        windows=_window_results(classifier, prediction) if by_window else None,
        note=prediction.note,
        quiet_share=float(prediction.quiet.mean()) if len(prediction.quiet) else 0.0,
        is_silent=bool((prediction.rms < _STEP).all()),
        unknown_score=prediction.recording_unknown,
    )


def _window_results(classifier: Classifier, prediction: Prediction) -> list[WindowResult]:
    length, labels = classifier.bundle.features.window, classifier.labels
    return [
        WindowResult(
            start=float(start),
            end=round(min(float(start) + length, prediction.duration), 3),
            quiet=bool(prediction.quiet[i]),
            probabilities=prediction.probabilities[i].tolist(),
            detected=[labels[s] for s in prediction.detected[i].nonzero()[0]],
            unknown_score=None if prediction.unknown is None else float(prediction.unknown[i]),
        )
        for i, start in enumerate(prediction.starts)
    ]


class FileJob(NamedTuple):
    """A file to classify in a worker process.

    Attributes:
        bundle: folder of the bundle.
        audio: the file.
        name: its name in the result.
        max_duration: longest accepted recording, seconds; None: no limit.
        by_window: whether the result includes each window.
        backbone: file of the backbone, if the bundle needs one.
        below: path of the file below the folder that was named, for the site (`origin.Origin.path`); "": the name.
        options: changes of the thresholds of the bundle.
    """

    bundle: Path
    audio: AudioSource
    name: str
    max_duration: float | None = None
    by_window: bool = False
    backbone: Path | None = None
    below: str = ""
    options: AnswerOptions = AnswerOptions()


def time_per_megabyte(bundle: Bundle) -> float:
    """Return the seconds that a MB of a recording may take with a bundle, beside the least time limit of a file."""
    return _TIME_PER_MB + _AUDIO_PER_MB * bundle.backbone_windows_per_second * _TIME_PER_BACKBONE_WINDOW


def predict_files(
    jobs: Sequence[FileJob], workers: int, time_limit: float | None = None, time_per_mb: float = _TIME_PER_MB
) -> Generator[tuple[int, FileResult], None, None]:
    """Classify files in worker processes.

    A file whose decoder crashes or exceeds the time limit is skipped. A file whose process was ended from outside is tried
    once more, alone, at the end.

    Args:
        jobs: files to classify; large files are started first, so that the workers finish at about the same time.
        workers: number of worker processes.
        time_limit: seconds that a file may take; None: at least ten minutes, and more for large files.
        time_per_mb: additional seconds for each MB of a file, see `time_per_megabyte`; used if there is no `time_limit`.

    Yields:
        The number of a job and its result, in the order of completion.

    Raises:
        AutobirdError: the bundle cannot be read.
    """
    sizes = [source_size(job.audio) for job in jobs]
    order = sorted(range(len(jobs)), key=lambda n: -sizes[n])
    limits = [_LEAST_TIME + time_per_mb * sizes[n] / 1e6 if time_limit is None else time_limit for n in order]
    for at, result in run_each(_run_job, [jobs[n] for n in order], workers, limits, retry_killed=True):
        number = order[at]
        job = jobs[number]
        found = _of_crash(job.name, result) if isinstance(result, Crash) else result
        yield number, replace(found, origin=read_origin(job.audio, job.below or job.name))


def predict_batch_files(
    results: list[FileResult], jobs: Sequence[tuple[int, FileJob]], bundle: Bundle, progress: Progress
) -> None:
    """Classify the files of a batch, and put each result in its place.

    One worker: the batches are the parallel jobs. It is a separate process because a decoder may crash.

    Args:
        results: of all recordings of the batch; those of `jobs` are replaced.
        jobs: place in `results`, and the file.
        bundle: the bundle of the jobs, for the time limit.
        progress: counts the recordings of the batch.
    """
    done = len(results) - len(jobs)
    for at, result in predict_files([job for _, job in jobs], 1, time_per_mb=time_per_megabyte(bundle)):
        results[jobs[at][0]] = result
        done += 1
        progress(done)


def read_origin(source: AudioSource, path: str) -> Origin:
    """Return what the path and the header of a file state about its origin; a header that cannot be read states nothing.

    Args:
        source: the file.
        path: see `origin.Origin`.
    """
    try:
        with open_source(source) as audio:
            return Origin.of(path, read_header(audio))
    except (OSError, tarfile.TarError):
        return Origin.of(path, Header())


def _of_crash(name: str, crash: Crash) -> FileResult:
    if isinstance(crash, TimedOut):
        reason = f"took longer than {crash.seconds:g} s; cut the recording, or raise the limit (autobird predict --time-limit)"
        return skipped(name, reason, is_final=False)
    if isinstance(crash, Killed):
        reason = f"its process {crash.how} twice, perhaps because memory ran out; free memory, or cut the recording"
        return skipped(name, reason, is_final=False)
    return skipped(name, f"the decoder crashed on this file ({crash.signal}); save the file again with another program")


def _run_job(job: FileJob) -> FileResult:
    classifier = _classifier_of_worker(job.bundle, job.backbone, job.options)
    try:
        with open_source(job.audio) as audio:
            return predict_file(classifier, audio, job.name, job.max_duration, job.by_window)
    except Exception as error:  # a fault that this file reveals must not cost the results of the other files
        return skipped(job.name, f"cannot be classified ({type(error).__name__}: {error})", is_final=False)


@cache
def _classifier_of_worker(bundle: Path, backbone: Path | None, options: AnswerOptions) -> Classifier:
    """Load the classifier of a worker process, once."""
    # Decoders print warnings about damaged files to standard error. They are dropped, because the results hold an error for
    # each file that cannot be used.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    return Classifier(bundle, backbone=backbone, options=options)
