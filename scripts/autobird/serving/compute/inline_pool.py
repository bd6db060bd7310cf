"""A pool that computes in the calling thread, for tests and for the app in other WSGI servers."""

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from autobird.serving.compute.requests import (
    ClientGone,
    PoolState,
    Priority,
    ServedBundle,
    Task,
    TaskAnswer,
    TaskProblem,
)


class InlinePool:
    """Computes in the calling thread, one task at a time; for tests and for the app in other WSGI servers.

    Args:
        bundle: folder of the bundle.
        backbone: file of the backbone, see `Classifier`.

    Raises:
        AutobirdError: the bundle cannot be read, or its backbone is not installed.
    """

    def __init__(self, bundle: Path, backbone: str | None = None) -> None:
        from autobird.serving.compute.worker import load

        self._lock = threading.Lock()
        self._running = 0
        self._classifier, self._bundle = load(bundle, backbone)

    def submit(
        self,
        task: Task,
        is_gone: Callable[[], bool] = lambda: False,
        priority: Priority = "interactive",  # noqa: ARG002
        progress: Callable[[float], None] | None = None,
        on_shadow: Callable[[TaskAnswer], None] | None = None,  # noqa: ARG002
    ) -> TaskAnswer | TaskProblem:
        """Return the answer for a recording; see `Pool.submit`."""
        from autobird.serving.compute.answer import answer_of

        start = time.perf_counter()
        with self._lock:
            if is_gone():
                raise ClientGone
            began = time.perf_counter()
            self._running = 1
            try:
                answer = answer_of(self._classifier, task, progress)
            finally:
                self._running = 0
        if is_gone():
            raise ClientGone
        if isinstance(answer, TaskAnswer):
            times = {"queue": began - start, **answer.seconds, "total": time.perf_counter() - start}
            answer = replace(answer, seconds=times)
        return answer

    def raise_if_full(self) -> None:
        """Do nothing: there is no queue."""

    def bundle(self) -> ServedBundle:
        """Return the description of the bundle."""
        return self._bundle

    def state(self) -> PoolState:
        """Return what the pool does."""
        b = self._bundle
        return PoolState(True, b.name, b.fingerprint, 1, 1, 0, self._running)

    def close(self, seconds: float = 30.0) -> None:
        """Do nothing: there are no processes."""
