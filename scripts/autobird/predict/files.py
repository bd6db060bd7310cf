"""Many files through one bundle, on all cores; one that cannot be read does not stop the others."""

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
from autobird.core.hashing import file_size
from autobird.predict.bundle import Bundle
from autobird.predict.classifier import MAX_DURATION, Classifier, Detection, Prediction

_classifier: Classifier | None = None
"""Each worker's own; loaded once."""


@dataclass(frozen=True)
class WindowResult:
    """The answer about one window.

    Attributes:
        start: seconds.
        end: seconds.
        quiet: whether the filters of the training leave it out; it counts for nothing then.
        probabilities: in the order of the labels.
        detected: species that reach their threshold.
    """

    start: float
    end: float
    quiet: bool
    probabilities: list[float]
    detected: list[str]


@dataclass(frozen=True)
class FileResult:
    """What one file holds, or why nobody could tell.

    Attributes:
        file: as it was named.
        error: why it could not be read, or "".
        duration: seconds.
        species: the most probable species of the whole file and its probability; None if all of it is quiet.
        detections: by time.
        features: for the drift report (`drift.monitor.FEATURES`).
        probabilities: of the whole file, in the order of the labels; empty if all of it is quiet or it could not be read.
        windows: the answer about each window, where they were asked for.
    """

    file: str
    error: str
    duration: float
    species: tuple[str, float] | None
    detections: list[Detection]
    features: dict[str, float]
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
            found |= dict.fromkeys(sorted(p for p in path.rglob("*") if p.is_file()))
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
    max_duration: float = MAX_DURATION,
    by_window: bool = False,
) -> FileResult:
    """Everything about one file, or one open in a tar; nothing that is wrong with it raises.

    Args:
        classifier: the bundle that answers.
        audio: a path, or a seekable binary file.
        name: what the file is called in the result.
        max_duration: longer recordings are refused, seconds.
        by_window: whether the result holds the answer about each window.
    """
    try:
        prediction = classifier.predict(audio, max_duration)
    except TooLong as error:
        return FileResult(name, f"{error}; cut it, or allow more (--max-seconds)", 0.0, None, [], {})
    except UnusableAudio as error:
        return FileResult(name, str(error), 0.0, None, [], {})
    best, some = int(prediction.recording.argmax()), bool(prediction.recording.any())
    return FileResult(
        file=name,
        error="",
        duration=prediction.duration,
        species=(classifier.labels[best], float(prediction.recording[best])) if some else None,
        detections=classifier.detections(prediction),
        features=classifier.features(prediction),
        probabilities=prediction.recording.tolist() if some else [],
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
    bundle: Path, files: Sequence[Path], jobs: int, max_duration: float = MAX_DURATION, by_window: bool = False
) -> Iterator[FileResult]:
    """Results as they are ready, in no particular order; the largest files go first so that none is waited for."""
    Bundle.load(bundle)  # a bundle that cannot be read is an error here, not in the workers
    order = sorted(files, key=file_size, reverse=True)
    # Forked workers start at once where the system can; ONNX Runtime's threads are made in the workers only.
    method = "fork" if "fork" in multiprocessing.get_all_start_methods() and os.name == "posix" else "spawn"
    context = multiprocessing.get_context(method)
    with ProcessPoolExecutor(min(jobs, len(order)), context, initializer=_load, initargs=(bundle,)) as pool:
        futures = [pool.submit(_work, path, max_duration, by_window) for path in order]
        for future in as_completed(futures):
            yield future.result()


def _load(bundle: Path) -> None:
    global _classifier
    # Decoders print warnings about damaged files on standard error; what matters of them is in the results.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    threadpool_limits(1)  # the processes share the cores; threads of BLAS that spin would slow them all
    _classifier = Classifier(bundle)


def _work(path: Path, max_duration: float, by_window: bool) -> FileResult:
    assert _classifier is not None
    return predict_file(_classifier, path, str(path), max_duration, by_window)
