"""Classify many files in parallel; a file that cannot be read is reported and does not stop the others."""

import multiprocessing
import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from threadpoolctl import threadpool_limits

from autobird.audio.audio_file import TooLong, UnusableAudio
from autobird.core.errors import AutobirdError
from autobird.core.walk import file_size, files_below
from autobird.predict.bundle import Bundle
from autobird.predict.classifier import Classifier, Detection, Prediction

_classifier: Classifier | None = None
"""The classifier of a worker process, loaded when the worker starts."""


@dataclass(frozen=True)
class WindowResult:
    """The result of one window.

    Attributes:
        start: start of the window, seconds.
        end: end of the window, seconds.
        quiet: whether the window is quiet, and therefore not used for the recording.
        probabilities: calibrated probabilities in the order of the labels.
        detected: species whose probability reaches their threshold.
    """

    start: float
    end: float
    quiet: bool
    probabilities: list[float]
    detected: list[str]


@dataclass(frozen=True)
class FileResult:
    """The result of one file, or the reason why it was skipped.

    Attributes:
        file: name of the file, as given by the caller.
        error: reason why the file was skipped, or "".
        duration: length of the recording, seconds.
        species: most probable species of the recording and its probability; None if the whole recording is quiet.
        detections: detections sorted by start.
        drift_features: features for the drift test (`drift.monitor.DRIFT_FEATURES`).
        probabilities: probabilities of the recording in the order of the labels; empty if it is quiet or was skipped.
        windows: result of each window, if requested.
    """

    file: str
    error: str
    duration: float
    species: tuple[str, float] | None
    detections: list[Detection]
    drift_features: dict[str, float]
    probabilities: list[float] = field(default_factory=list)
    windows: list[WindowResult] | None = None


def find_files(paths: Iterable[Path]) -> list[Path]:
    """The files named, and all files below the folders named, each once, in order.

    Raises:
        AutobirdError: a path is not there, or there is no file at all.
    """
    found: dict[Path, None] = {}
    for path in paths:
        if path.is_dir():
            found |= dict.fromkeys(sorted(path / file for file in files_below(path)))
        elif path.exists():
            found[path] = None
        else:
            raise AutobirdError(f"{path} is not there; give audio files, or folders of them")
    if not found:
        raise AutobirdError("there is no file in what was named; give audio files, or folders of them")
    return list(found)


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
        return FileResult(name, f"{error}; cut the recording, or raise --max-seconds", 0.0, None, [], {})
    except UnusableAudio as error:
        return FileResult(name, str(error), 0.0, None, [], {})
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
        )
        for i, start in enumerate(prediction.starts)
    ]


def predict_files(
    bundle: Path, files: Sequence[Path], jobs: int, max_duration: float | None = None, by_window: bool = False
) -> Iterator[FileResult]:
    """Classify files in worker processes, and yield each result when it is ready, in no particular order.

    Args:
        bundle: folder of the bundle.
        files: files to classify; large files are started first, so that the workers finish at about the same time.
        jobs: number of worker processes.
        max_duration: longest accepted recording, seconds.
        by_window: whether the results include each window.

    Raises:
        AutobirdError: the folder is not a bundle, is damaged, or has another format.
    """
    Bundle.load(bundle)  # raise errors of the bundle here: errors in the start of a worker are hard to read
    order = sorted(files, key=file_size, reverse=True)
    # Forked workers start at once where the system supports them. This process starts no threads of ONNX Runtime, which
    # would not exist in a forked process.
    method = "fork" if "fork" in multiprocessing.get_all_start_methods() and os.name == "posix" else "spawn"
    context = multiprocessing.get_context(method)
    with ProcessPoolExecutor(min(jobs, len(order)), context, initializer=_start_worker, initargs=(bundle,)) as pool:
        futures = [pool.submit(_predict_in_worker, path, max_duration, by_window) for path in order]
        for future in as_completed(futures):
            yield future.result()


def _start_worker(bundle: Path) -> None:
    global _classifier
    # Decoders print warnings about damaged files to standard error. They are dropped, because the results hold an error for
    # each file that cannot be used.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    threadpool_limits(1)  # one thread per worker: spinning BLAS threads of all workers would slow each other down
    _classifier = Classifier(bundle)


def _predict_in_worker(path: Path, max_duration: float, by_window: bool) -> FileResult:
    assert _classifier is not None
    return predict_file(_classifier, path, str(path), max_duration, by_window)
