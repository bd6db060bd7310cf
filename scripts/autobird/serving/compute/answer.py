"""The answer for one recording, made in a compute process."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, cast

from autobird.audio.audio_file import TooLong, UnusableAudio
from autobird.audio.file_view import MemoryView
from autobird.audio.headers import read_header
from autobird.core.errors import AutobirdError
from autobird.predict.answer_options import AnswerOptions
from autobird.predict.classifier import Classifier
from autobird.predict.origin import Origin, Places
from autobird.serving.compute.requests import Task, TaskAnswer, TaskOptions, TaskProblem
from autobird.serving.compute.response import TOP, response_body

_LONGEST_OVERLAP = 0.9
"""Largest overlap of consecutive windows, as a share of their length: ten times as many windows as without overlap."""

_MAX_VALUES = 500_000
"""Largest number of probabilities of windows in an answer: 30 MB of JSON. A day of windows with five species has 172,800."""


def answer_of(
    classifier: Classifier, task: Task, progress: Callable[[float], None] | None = None
) -> TaskAnswer | TaskProblem:
    """Classify one recording.

    Args:
        classifier: loaded from the bundle that answers; its thresholds are those of the bundle and the table beside it.
        task: the recording and the options of the request.
        progress: called with the seconds of audio that are decoded, from time to time.
    """
    options = task.options
    answer_options = AnswerOptions(False, options.precision, options.threshold, options.species)
    try:
        used = classifier.with_options(answer_options, _hop(classifier, options))
    except AutobirdError as error:
        return TaskProblem(400, "Wrong option", str(error))
    given = task.source
    source = given if isinstance(given, Path) else cast(BinaryIO, MemoryView(memoryview(given)))
    try:
        prediction = used.predict(
            source, options.max_seconds, options.spectrogram, options.max_values, progress, measure=True
        )
    except TooLong as error:
        return TaskProblem(413, "Recording too long", f"{error}; cut the recording into parts")
    except UnusableAudio as error:
        return TaskProblem(422, "Not a usable recording", str(error))
    species = options.top_k or (len(classifier.labels) if options.top_k == 0 else TOP)
    values = len(prediction.starts) * min(species, len(classifier.labels))
    if options.windows and values > _MAX_VALUES:
        return TaskProblem(
            400,
            "Wrong option",
            f"the answer would have {values} probabilities of windows, more than {_MAX_VALUES}; give a smaller top_k, a smaller "
            "overlap, or windows=0",
        )
    start = time.perf_counter()
    place = Places().of(Origin.of(task.name, read_header(source)))
    body = response_body(used, prediction, options, place, answer_options.notes(classifier.bundle))
    seconds = prediction.seconds | {"answer": time.perf_counter() - start}
    return TaskAnswer({"file": task.name, **body}, used.drift_features(prediction), seconds)


def _hop(classifier: Classifier, options: TaskOptions) -> float | None:
    """Return the hop that a wanted overlap of the windows means, seconds; None: that of the bundle.

    Raises:
        AutobirdError: the overlap is not possible.
    """
    if options.overlap is None:
        return None
    window = classifier.bundle.features.window
    if not 0 <= options.overlap <= _LONGEST_OVERLAP * window:
        raise AutobirdError(
            f"overlap {options.overlap:g} s is not possible with windows of {window:g} s; give 0 to "
            f"{_LONGEST_OVERLAP * window:g} s"
        )
    return window - options.overlap
