"""What a compute process does: load the bundle, check it with its example clip, and answer tasks."""

import gc
import time
import traceback
from contextlib import suppress
from pathlib import Path

from autobird.backbone.base import Backbone
from autobird.core.errors import AutobirdError
from autobird.predict.answer_options import AnswerOptions
from autobird.predict.check import replay_with
from autobird.predict.classifier import Classifier
from autobird.serving.compute.answer import answer_of
from autobird.serving.compute.memory import memory_trimmer
from autobird.serving.compute.messages import (
    CANCEL,
    Cancelled,
    Failed,
    NotReady,
    Pipe,
    ProcessSettings,
    Progress,
    Ready,
)
from autobird.serving.compute.remote_backbone import EmbeddingLost, RemoteBackbone
from autobird.serving.compute.requests import ServedBundle, Task, TaskAnswer, TaskProblem

_PROGRESS_SECONDS = 0.1
"""Least time between two messages on the progress of a task, seconds."""

_TRIM_SECONDS = 0.05
"""Memory is returned to the system after a task that took at least this much processor time, seconds; it takes a millisecond."""


def load(folder: Path, backbone: str | Backbone | None = None) -> tuple[Classifier, ServedBundle]:
    """Load a bundle with the thresholds of the table beside it; return it with its description.

    Raises:
        AutobirdError: the bundle cannot be read, the table does not fit it, or its backbone is not installed.
    """
    classifier = Classifier(folder, backbone=backbone)
    b = classifier.bundle
    return classifier, ServedBundle(
        folder=folder,
        name=b.name,
        variant=b.variant,
        fingerprint=b.fingerprint,
        labels=b.labels,
        thresholds=tuple(float(t) for t in b.thresholds),
        precisions=tuple(sorted(b.precision_thresholds)),
        outputs=b.calibration.outputs,
        features=b.features.model_dump(mode="json"),
        backbone=None if b.backbone is None else b.backbone.model_dump(mode="json"),
        frequencies=b.frequencies,
        notes=tuple(AnswerOptions().notes(b)),
    )


def work(pipe: Pipe, settings: ProcessSettings) -> None:
    """Answer the tasks that arrive until the front closes the pipe or dies."""
    remote: RemoteBackbone | None = None
    try:
        if settings.embedding:
            remote = RemoteBackbone(settings.embedding)
        classifier, served = load(settings.folder, remote or settings.backbone)
        if not (check := replay_with(classifier)).passed:
            raise AutobirdError(check.failure())
    except (AutobirdError, EmbeddingLost) as error:
        pipe.send(NotReady(str(error)))
        return
    trim = memory_trimmer()
    gc.freeze()  # what lives as long as the process is not looked at again
    with suppress(EOFError, BrokenPipeError, ConnectionResetError):  # the front has ended
        pipe.send(Ready(served))
        while True:
            task = pipe.recv()
            if task == CANCEL:  # the answer of the last task was sent before this message arrived
                continue
            if settings.block:
                task = settings.block.opened(task)
            start = time.process_time()
            pipe.send(_result(classifier, task, pipe, remote))
            del task
            if time.process_time() - start > _TRIM_SECONDS:
                trim()


def _result(
    classifier: Classifier, task: Task, pipe: Pipe, remote: RemoteBackbone | None
) -> TaskAnswer | TaskProblem | Failed:
    last, decoded = time.monotonic(), 0.0

    def report(seconds: float | None = None) -> None:
        nonlocal last, decoded
        decoded = decoded if seconds is None else seconds
        if (now := time.monotonic()) - last >= _PROGRESS_SECONDS:
            last = now
            if pipe.poll():  # the only message during a task
                pipe.recv()
                raise Cancelled
            pipe.send(Progress(decoded, remote.windows if remote else 0))

    if remote:
        remote.on_wait, remote.windows = report, 0
    try:
        return answer_of(classifier, task, report)
    except Cancelled:
        return TaskProblem(499, "Cancelled", "the client has gone")
    except (EOFError, BrokenPipeError, ConnectionResetError):
        raise
    except EmbeddingLost as error:
        return TaskProblem(503, "Embedding process ended", f"{error}; try later, or cut the recording into parts")
    except MemoryError:
        return TaskProblem(
            503, "Out of memory", "the server has not enough memory for this recording; cut it into parts, or try later"
        )
    except Exception:
        return Failed(traceback.format_exc())
