"""The answer for one recording, made in a compute process."""

import copy
import io
import time
from collections.abc import Callable
from pathlib import Path

from autobird.audio.audio_file import TooLong, UnusableAudio
from autobird.core.errors import AutobirdError
from autobird.predict.answer_options import AnswerOptions
from autobird.predict.classifier import Classifier
from autobird.serving.requests import Task, TaskAnswer, TaskProblem
from autobird.serving.response import response_body


def answer_of(
    classifier: Classifier, task: Task, progress: Callable[[float], None] | None = None
) -> TaskAnswer | TaskProblem:
    """Classify one recording.

    Args:
        classifier: loaded from the bundle that answers; its thresholds are those of the bundle and the table beside it.
        task: the recording and the options of the request.
        progress: called with the seconds of audio that are decoded, from time to time.
    """
    start = time.perf_counter()
    options = task.options
    try:
        used = copy.copy(classifier)
        used.bundle = AnswerOptions(False, options.precision, options.threshold, options.species).apply(
            classifier.bundle
        )
    except AutobirdError as error:
        return TaskProblem(400, "Wrong option", str(error))
    source = task.source if isinstance(task.source, Path) else io.BytesIO(task.source)
    try:
        prediction = used.predict(
            source, options.max_seconds, options.spectrogram, max_values=options.max_values, progress=progress
        )
    except TooLong as error:
        return TaskProblem(413, "Recording too long", f"{error}; cut the recording into parts")
    except UnusableAudio as error:
        return TaskProblem(422, "Not a usable recording", str(error))
    body = response_body(used, prediction, options.spectrogram)
    return TaskAnswer(body, used.drift_features(prediction), {"compute": time.perf_counter() - start})
