"""Pools that compute the answers for recordings: in processes of their own, or (for tests) in the calling thread."""

import logging
import multiprocessing
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from multiprocessing.connection import wait
from pathlib import Path

from autobird.core.errors import AutobirdError
from autobird.core.workers import Killed
from autobird.serving.compute.embeddings import Embeddings
from autobird.serving.compute.group import Generation, Group
from autobird.serving.compute.inline_pool import InlinePool
from autobird.serving.compute.messages import Pipe, ProcessSettings
from autobird.serving.compute.outcome import answer_or_problem
from autobird.serving.compute.processes import ATTEMPTS, ComputeProcess
from autobird.serving.compute.requests import (
    ClientGone,
    EmbeddingState,
    PoolState,
    Priority,
    ServedBundle,
    Task,
    TaskAnswer,
    TaskProblem,
)
from autobird.serving.compute.shadow import ShadowQueue
from autobird.serving.compute.task_queue import TaskQueue, Ticket, stopping
from autobird.serving.compute.time_limit import time_limit
from autobird.serving.compute.windows import estimated_windows

__all__ = ["InlinePool", "PoolOptions", "ProcessPool"]

log = logging.getLogger("autobird")

_GONE_SECONDS = 0.25
"""How often a waiting task looks whether its client is still there, seconds."""

_TICK_SECONDS = 0.5
"""How often the processes are looked after when nothing happens, seconds."""

_FAULT_SECONDS = 2.0
"""Pause after an unexpected error while the processes are looked after, seconds."""


@dataclass(frozen=True)
class PoolOptions:
    """How many processes compute, and their limits.

    Attributes:
        processes: number of compute processes.
        queued: largest number of interactive tasks that wait.
        seconds: longest time that a process may compute one task; None: see `time_limit`. Tasks of jobs have always the latter.
        backbone: file of the backbone, see `Classifier`.
        threads: windows that the embedding process computes at the same time; used if the pool is given no `Embeddings`.
        queued_windows: largest number of windows of a backbone that interactive tasks may wait for.
        shadow: folder of a second bundle, which gets each task too; its answers are passed to `on_shadow`.
    """

    processes: int = 1
    queued: int = 64
    seconds: float | None = None
    backbone: str | None = None
    threads: int = 1
    queued_windows: int = 1000
    shadow: Path | None = None


class ProcessPool:
    """Computes in processes of its own; a task costs only itself, whatever its process does.

    A task waits in the order of arrival until a process is idle. The thread that submits a task talks to the process itself; another
    thread starts, replaces and ends processes. A task whose process crashes is answered as damaged, one whose process is killed
    from outside is computed once more: at least once, as the first process may have finished it.

    Args:
        bundle: folder of the bundle.
        options: processes and limits.
        embeddings: the embedding processes, which the pool starts and ends; None: its own.
    """

    def __init__(self, bundle: Path, options: PoolOptions, embeddings: Embeddings | None = None) -> None:
        self.options = options
        self._embeddings = embeddings or Embeddings(options.backbone, options.threads)
        self._lock = threading.Lock()
        self._tasks = TaskQueue(options.queued, options.queued_windows, options.processes)
        self._closing, self._close_at = False, 0.0
        settings = ProcessSettings(bundle, bundle, options.backbone)
        self._group = Group(bundle, settings, options.processes, self._lock, self._assign, self._embeddings)
        shadow = options.shadow
        self._shadow = ShadowQueue(shadow, settings, self._lock, self._embeddings) if shadow else None
        self._wake_sender: Pipe
        self._wake, self._wake_sender = multiprocessing.Pipe(duplex=False)
        # The kernel ends processes with the thread that started them (`end_with_parent`): this one lives until the pool is closed.
        self._thread = threading.Thread(target=self._look_after, name="compute processes", daemon=True)
        self._ready = threading.Event()
        self._thread.start()

    def wait_until_ready(self) -> ServedBundle:
        """Wait until the first process is ready; return the description of the bundle.

        Raises:
            AutobirdError: the bundle (or the shadow bundle) cannot be used; the pool is then closed.
        """
        self._ready.wait()
        error = self._group.current.error or (self._shadow.group.current.error if self._shadow else "")
        if error:
            self.close()
            raise AutobirdError(error)
        return self.bundle()

    def _sharing(self) -> float:
        """Return how many recordings share a thread of the embedding process at most."""
        embedding = self._group.current.embedding
        return self.options.processes / embedding.threads if embedding else 1.0

    def submit(
        self,
        task: Task,
        is_gone: Callable[[], bool] = lambda: False,
        priority: Priority = "interactive",
        progress: Callable[[float], None] | None = None,
        on_shadow: Callable[[TaskAnswer], None] | None = None,
    ) -> TaskAnswer | TaskProblem:
        """Return the answer for a recording; see `Pool.submit`."""
        start = time.perf_counter()
        for attempt in range(ATTEMPTS):
            windows = estimated_windows(self.bundle(), task)
            generation, process = self._wait_for_process(is_gone, priority, windows)
            began = time.perf_counter()
            limit = time_limit(self.bundle(), task.options, priority, self._sharing())
            if priority != "job" and self.options.seconds is not None:
                limit = self.options.seconds
            try:
                result = process.run(task, limit, is_gone, progress)
            finally:
                self._give_back(generation, process)
            if not isinstance(result, Killed) or attempt == ATTEMPTS - 1:
                break
            log.warning("a compute process %s; its recording is classified again", result.how)
        if is_gone():
            raise ClientGone
        end = time.perf_counter()
        with self._lock:
            self._tasks.note_seconds(end - began)
        answer = answer_or_problem(result, ", or raise --time-limit")
        if isinstance(answer, TaskAnswer):
            if self._shadow and on_shadow:
                self._shadow.put(task, on_shadow)
            return replace(answer, seconds={"queue": began - start, **answer.seconds, "total": end - start})
        return answer

    def raise_if_full(self) -> None:
        """Raise QueueFull if an interactive task would get it now; to refuse a request before its body is parsed."""
        with self._lock:
            self._check_queue("interactive")

    def bundle(self) -> ServedBundle:
        """Return the description of the bundle that answers new requests."""
        found = self._group.current.bundle
        assert found, "wait_until_ready was not called"
        return found

    def state(self) -> PoolState:
        """Return what the pool does."""
        with self._lock:
            current, group = self._group.current, self._group
            bundle = current.bundle
            return PoolState(
                ready=current.can_answer and not self._closing,
                bundle=bundle.name if bundle else "",
                fingerprint=bundle.fingerprint if bundle else "",
                processes=current.ready,
                wanted=self.options.processes,
                queued=len(self._tasks),
                running=len(current.busy),
                replaced=group.replaced,
                shadow=self._shadow.fingerprint() if self._shadow else None,
                shadow_dropped=self._shadow.dropped if self._shadow else 0,
                swap_error=group.swap_error or (self._shadow.group.swap_error if self._shadow else ""),
                embedding=self._embedding_state(),
            )

    def _embedding_state(self) -> EmbeddingState | None:
        """Return the state of the embedding process, with the figures of former ones; the lock is held."""
        embedding = self._group.current.embedding
        if embedding is None:
            return None
        windows, seconds, replaced = self._embeddings.totals()
        waiting = self._tasks.needed_windows
        return replace(embedding.state(), windows=windows, seconds=seconds, waiting_windows=waiting, replaced=replaced)

    def close(self, seconds: float = 30.0) -> None:
        """End after the running tasks, at most this many seconds later; tasks that wait get `QueueFull`."""
        self._refuse_all(seconds)
        self._wake_up()
        self._thread.join()

    def _refuse_all(self, seconds: float) -> None:
        """Accept no more tasks, and let those that wait get `QueueFull`; running ones have this many seconds."""
        with self._lock:
            self._closing, self._close_at = True, time.monotonic() + seconds
            self._tasks.refuse_all()

    def _wait_for_process(
        self, is_gone: Callable[[], bool], priority: Priority, windows: int
    ) -> tuple[Generation, ComputeProcess]:
        ticket = Ticket(windows)
        with self._lock:
            self._check_queue(priority, windows)
            self._tasks.add(ticket, priority)
            self._assign()
        while not ticket.given.wait(_GONE_SECONDS):
            if is_gone():
                with self._lock:
                    if ticket.process is None:
                        self._tasks.remove(ticket, priority)
                        raise ClientGone
        if ticket.process is None:
            raise stopping()
        if is_gone():
            self._give_back(*ticket.process)
            raise ClientGone
        return ticket.process

    def _give_back(self, generation: Generation, process: ComputeProcess) -> None:
        with self._lock:
            self._tasks.has_ended(process)
        if not self._group.give_back(generation, process) or self._closing:
            self._wake_up()

    def _check_queue(self, priority: Priority, windows: int = 0) -> None:
        if self._closing:
            raise stopping()
        self._tasks.check(priority, self._group.current.embedding, windows)

    def _assign(self) -> None:
        """Give idle processes to waiting tasks; the lock is held."""
        self._tasks.assign(self._group.take)

    def _wake_up(self) -> None:
        with suppress(OSError):
            self._wake_sender.send_bytes(b"!")

    def _look_after(self) -> None:
        groups = [self._group, *([self._shadow.group] if self._shadow else [])]
        try:
            while not self._closing or (self._group.is_busy() and time.monotonic() < self._close_at):
                self._tick(self._embeddings)
                for group in groups:
                    self._tick(group)
                    if not self._ready.is_set() and group.current.error:
                        self._ready.set()
                if not self._ready.is_set() and all(group.current.bundle for group in groups):
                    self._ready.set()
                pipes = [pipe for group in groups for pipe in group.starting_pipes()]
                if self._wake in wait([self._wake, *pipes, *self._embeddings.waits_for()], _TICK_SECONDS):
                    while self._wake.poll():
                        self._wake.recv_bytes()
        except Exception:
            log.exception("the thread of the compute processes has failed")
            raise
        finally:
            self._ready.set()
            self._refuse_all(0)  # nobody would give them a process
            for group in groups:
                group.close()
            self._embeddings.close()
            if self._shadow:
                self._shadow.close()

    def _tick(self, group: Group | Embeddings) -> None:
        """Look after the processes of a bundle; a fault must not end the thread, because all tasks would then wait for ever."""
        try:
            group.tick()
        except Exception:
            if not self._ready.is_set():
                raise
            log.exception("error while looking after the compute processes; it is tried again")
            time.sleep(_FAULT_SECONDS)
