"""Give the tasks of users to a second bundle too, with low priority; its answers are passed on and never returned."""

import logging
import os
import shutil
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from autobird.serving.compute.embeddings import Embeddings
from autobird.serving.compute.group import Group
from autobird.serving.compute.messages import ProcessSettings, Result
from autobird.serving.compute.processes import BACKGROUND_NICENESS
from autobird.serving.compute.requests import ClientGone, Task, TaskAnswer

log = logging.getLogger("autobird")

_MAX_WAITING = 64
"""Tasks that wait for the shadow bundle; further ones are left out, because users must not wait for it."""

_TIME_LIMIT = 3600.0
"""Seconds for a recording; low, as nobody waits, and high, as the process gives way to the others."""


class ShadowQueue:
    """Tasks for the shadow bundle, which one process computes.

    Attributes:
        group: its process.
        dropped: number of tasks that were left out because too many waited, or that failed.
    """

    def __init__(
        self, bundle: Path, settings: ProcessSettings, lock: threading.Lock, embeddings: Embeddings | None = None
    ) -> None:
        self._lock = lock
        self._work = threading.Condition()
        self._waiting: deque[tuple[Task, Callable[[TaskAnswer], None]]] = deque()
        self._closed = False
        self.dropped = 0
        background = replace(settings, niceness=BACKGROUND_NICENESS)
        self.group = Group(bundle, background, 1, lock, self._notify, embeddings)
        self._thread = threading.Thread(target=self._run, name="shadow bundle", daemon=True)
        self._thread.start()

    def fingerprint(self) -> str | None:
        """Return the fingerprint of the bundle; None while it is not ready."""
        current = self.group.current
        return current.bundle.fingerprint if current.bundle and current.ready else None

    def put(self, task: Task, on_answer: Callable[[TaskAnswer], None]) -> None:
        """Add a task, if not too many wait. Its file may be deleted afterwards."""
        own = None if len(self._waiting) >= _MAX_WAITING or self.fingerprint() is None else _own_file(task)
        with self._work:
            if own is not None and not self._closed:
                self._waiting.append((own, on_answer))
                self._work.notify()
                return
            self.dropped += 1
        if own is not None:
            _delete(own)

    def close(self) -> None:
        """End the thread; tasks that wait are left out."""
        with self._work:
            self._closed = True
            for task, _ in self._waiting:
                _delete(task)
            self._waiting.clear()
            self._work.notify()

    def _notify(self) -> None:
        with self._work:
            self._work.notify()

    def _run(self) -> None:
        while True:
            with self._work:
                while not self._closed and not self._waiting:
                    self._work.wait()
                if self._closed:
                    return
            with self._lock:
                taken = self.group.take()
            if taken is None:
                with self._work:
                    self._work.wait(1.0)
                continue
            generation, process = taken
            with self._work:
                waiting = self._waiting.popleft() if self._waiting else None
            if waiting is None:
                self.group.give_back(generation, process)
                continue
            task, on_answer = waiting
            result: Result | None = None
            try:
                result = process.run(task, _TIME_LIMIT, lambda: self._closed, None)
            except ClientGone:
                pass
            finally:
                self.group.give_back(generation, process)
                _delete(task)
            if not isinstance(result, TaskAnswer):
                self.dropped += 1
                continue
            try:
                on_answer(result)
            except Exception:  # it must not end the thread: no other recording would get an answer
                self.dropped += 1
                log.exception("error while an answer of the shadow bundle was passed on")


def _own_file(task: Task) -> Task | None:
    """Return the task with a file of its own beside the original; None if that is not possible."""
    if not isinstance(task.source, Path):
        return replace(task, source=bytes(task.source))
    copy = task.source.with_name(f"{task.source.name}.shadow")
    try:
        os.link(task.source, copy)
    except OSError:  # not all file systems have links
        try:
            shutil.copyfile(task.source, copy)
        except OSError:
            return None
    return replace(task, source=copy)


def _delete(task: Task) -> None:
    if isinstance(task.source, Path):
        with suppress(OSError):
            task.source.unlink()
