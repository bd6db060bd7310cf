"""A computation of jobs that a test controls; imports neither torch nor the classifier, so that subprocesses start quickly."""

import queue
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from autobird.drift.names import DRIFT_FEATURES
from autobird.serving.compute.requests import ClientGone, ServedBundle, Task, TaskAnswer, TaskOptions, TaskProblem
from autobird.serving.jobs.queue import Jobs

LONG = 60.0
"""Time to wait for something that happens at once unless the code is wrong, seconds."""

BUNDLE = ServedBundle(
    Path("bundle"), "tiny", "float", "abc", ("a", "b"), (0.5, 0.5), (), "softmax", {}, None, (50.0, 7000.0)
)


def answer(name: str = "") -> TaskAnswer:
    body = {
        "schema": "autobird/answer/1", "file": name, "model": {"fingerprint": "abc"}, "duration": 3600.0, "unknown_score": None,
        "species": [{"species": "a", "probability": 0.9}],
        "detections": [{"start": 2.5, "end": 7.5, "species": "a", "probability": 0.9}],
    }  # fmt: skip
    return TaskAnswer(body, dict.fromkeys(DRIFT_FEATURES, 1.0), {"decode": 1.0})


class Scripted:
    """Computes what the test says, when it says so; by default answers at once."""

    def __init__(self, waits: bool = False) -> None:
        self.tasks: list[Task] = []
        self.outcomes: queue.Queue[Any] = queue.Queue()
        self.waits = waits
        self.started = threading.Semaphore(0)

    def submit(
        self,
        task: Task,
        is_gone: Callable[[], bool] = lambda: False,
        priority: str = "job",
        progress: Callable[[float], None] | None = None,
    ) -> TaskAnswer | TaskProblem:
        assert isinstance(task.source, Path)
        assert task.source.stat().st_size > 0
        assert priority == "job"
        self.tasks.append(task)
        self.started.release()
        while self.waits:
            if is_gone():
                raise ClientGone
            try:
                outcome = self.outcomes.get(timeout=0.01)
            except queue.Empty:
                continue
            if isinstance(outcome, float):
                assert progress
                progress(outcome)
                continue
            if isinstance(outcome, Exception):
                raise outcome
            return outcome  # type: ignore[no-any-return]
        return answer(task.name)

    def bundle(self) -> ServedBundle:
        return BUNDLE


def add(jobs: Jobs, name: str = "dawn.wav", content: bytes = b"audio", **options: Any) -> str:
    with jobs.new() as new:
        return new.store(name, content, TaskOptions(**options)).id


def wait_until(condition: Callable[[], bool]) -> None:
    """Wait for another thread; fails after `LONG` seconds."""
    never = threading.Event()
    for _ in range(int(LONG / 0.005)):
        if condition():
            return
        never.wait(0.005)
    raise AssertionError("it did not happen")
