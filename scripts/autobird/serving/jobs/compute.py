"""The compute process of jobs: it gives way to those that answer requests, and runs only while there are jobs."""

from collections.abc import Callable
from dataclasses import replace
from multiprocessing.connection import wait
from pathlib import Path
from time import monotonic
from typing import Protocol

from autobird.core.errors import AutobirdError
from autobird.core.workers import Killed
from autobird.serving.compute.child_process import START_SECONDS
from autobird.serving.compute.embeddings import Embedding, Embeddings
from autobird.serving.compute.messages import NotReady, ProcessSettings
from autobird.serving.compute.outcome import answer_or_problem
from autobird.serving.compute.processes import ATTEMPTS, BACKGROUND_NICENESS, ComputeProcess
from autobird.serving.compute.requests import (
    ClientGone,
    Priority,
    QueueFull,
    ServedBundle,
    Task,
    TaskAnswer,
    TaskProblem,
)
from autobird.serving.compute.snapshot import Signature, Snapshot, signature
from autobird.serving.compute.time_limit import time_limit

_POLL_SECONDS = 0.25
"""How often it is asked whether the job is still wanted, seconds."""


class Computes(Protocol):
    """Computes the answers of jobs: the pool itself, or `JobProcess`."""

    def submit(
        self,
        task: Task,
        is_gone: Callable[[], bool] = ...,
        priority: Priority = ...,
        progress: Callable[[float], None] | None = ...,
    ) -> TaskAnswer | TaskProblem:
        """See `requests.Pool.submit`."""
        ...

    def bundle(self) -> ServedBundle:
        """Return the description of the bundle that computed the last answer."""
        ...


class JobProcess:
    """A process of its own for the jobs, so that requests never wait for one that takes hours; used by one thread.

    Args:
        bundle: folder of the bundle; after a change the next job is computed with the new one.
        backbone: file of the backbone, see `Classifier`.
        embeddings: the embedding processes of the pool; None: the process loads the backbone.
    """

    def __init__(self, bundle: Path, backbone: str | None = None, embeddings: Embeddings | None = None) -> None:
        self._bundle = bundle
        self._backbone, self._embeddings = backbone, embeddings
        self._embedding: Embedding | None = None
        self._process: ComputeProcess | None = None
        self._loaded: Signature | None = None
        self._served: ServedBundle | None = None

    def submit(
        self,
        task: Task,
        is_gone: Callable[[], bool] = lambda: False,
        priority: Priority = "job",  # noqa: ARG002 - see `Computes`
        progress: Callable[[float], None] | None = None,
    ) -> TaskAnswer | TaskProblem:
        """See `Computes`.

        Raises:
            ClientGone: the job is not wanted any more; its process stops within a second.
            QueueFull: the bundle cannot be loaded now.
        """
        for attempt in range(ATTEMPTS):
            process = self._ready_process(is_gone)
            limit = time_limit(self.bundle(), task.options, "job")
            result = process.run(task, limit, is_gone, progress)
            if not isinstance(result, Killed) or attempt == ATTEMPTS - 1:
                break
        if is_gone():
            raise ClientGone
        return answer_or_problem(result)

    def bundle(self) -> ServedBundle:
        """See `Computes`; call it after `submit`."""
        assert self._served, "no process was started"
        return self._served

    def idle(self) -> None:
        """End the process: its memory is not needed until the next job."""
        if self._process is not None:
            self._process.stop()
            self._process = None
        self._release()

    def _ready_process(self, is_gone: Callable[[], bool]) -> ComputeProcess:
        if self._process is not None and not (self._process.is_alive() and signature(self._bundle) == self._loaded):
            self.idle()
        if self._process is None:
            self._process = self._started(is_gone)
        return self._process

    def _release(self) -> None:
        if self._embeddings:
            self._embeddings.release(self._embedding)
        self._embedding = None

    def _started(self, is_gone: Callable[[], bool]) -> ComputeProcess:
        try:
            snapshot = Snapshot(self._bundle)
        except AutobirdError as error:
            raise QueueFull(str(error), 30) from error
        is_ready = False
        try:
            settings = ProcessSettings(snapshot.folder, self._bundle, self._backbone, BACKGROUND_NICENESS)
            try:
                if self._embeddings:
                    self._embedding = self._embeddings.lease(snapshot.folder, self._bundle)
                if self._embedding:
                    settings = replace(settings, embedding=self._embedding.address(is_background=True))
                process = ComputeProcess(settings)
            except AutobirdError as error:
                raise QueueFull(str(error), 30) from error
            except OSError as error:
                raise QueueFull(f"a compute process cannot be started ({error.strerror or error})", 30) from error
            deadline = monotonic() + START_SECONDS
            while not wait([process.pipe], _POLL_SECONDS):
                fault = self._embedding.error if self._embedding else ""
                if is_gone() or fault or monotonic() > deadline:
                    process.kill()
                    if is_gone():
                        raise ClientGone
                    if fault:
                        raise QueueFull(fault, 30)
                    raise QueueFull(f"the bundle was not loaded in {START_SECONDS:g} s", 30)
            message = process.first_message()
            if isinstance(message, NotReady):
                process.kill()
                raise QueueFull(snapshot.message(message.error), 30)
            self._loaded, self._served = snapshot.signature, message.bundle
            is_ready = True
            return process
        finally:
            snapshot.remove()
            if not is_ready:
                self._release()
