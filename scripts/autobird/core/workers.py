"""Run tasks in worker processes; a crash of a worker fails only the task that caused it.

`concurrent.futures` fails all tasks when one process dies, and does not say which task caused it.
"""

import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

from threadpoolctl import threadpool_limits

from autobird.core.errors import AutobirdError

T = TypeVar("T")
R = TypeVar("R")
if TYPE_CHECKING:
    Pipe = Connection[Any, Any]
else:
    Pipe = Connection

_CRASH_SIGNALS = frozenset(
    getattr(signal, name) for name in ("SIGSEGV", "SIGABRT", "SIGBUS", "SIGFPE", "SIGILL") if hasattr(signal, name)
)
"""Signals that a fault in a process's own code causes. Other signals come from outside, for example SIGKILL when the
system is out of memory, and do not mean that the task is faulty."""


class Crash(NamedTuple):
    """The result of a task whose process crashed.

    Attributes:
        signal: name of the signal, for example `SIGSEGV`.
    """

    signal: str


class _Worker(NamedTuple):
    process: BaseProcess
    pipe: Pipe


def _worker_loop(pipe: Pipe, inherited: Sequence[Pipe], function: Callable[[Any], Any]) -> None:
    """Receive tasks and send results until the parent process closes the pipe or dies."""
    for other in inherited:  # a forked copy of the parent's end would keep the pipe open after the parent's death
        other.close()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # on Ctrl-C the parent stops its workers
    with threadpool_limits(1):
        while True:
            try:
                task = pipe.recv()
            except EOFError:
                return
            reply: tuple[Any, Exception | None]
            try:
                reply = function(task), None
            except Exception as error:
                reply = None, error
            pipe.send(reply)


class _WorkerPool(Generic[T, R]):
    """Worker processes and the tasks assigned to them."""

    def __init__(self, function: Callable[[T], R]) -> None:
        # A fork takes milliseconds and shares the imported modules. It is only safe on Linux.
        self._forks = sys.platform == "linux"
        self._context: Any = get_context("fork" if self._forks else "spawn")
        self._function = function
        self._workers: list[_Worker] = []
        self.tasks: dict[Pipe, tuple[_Worker, int]] = {}
        """Worker and task number by the pipe of the worker."""

    def start_worker(self) -> _Worker:
        ours, theirs = self._context.Pipe()
        inherited = [*(w.pipe for w in self._workers), ours] if self._forks else []
        process = self._context.Process(target=_worker_loop, args=(theirs, inherited, self._function), daemon=True)
        process.start()
        theirs.close()
        self._workers.append(_Worker(process, ours))
        return self._workers[-1]

    def assign(self, worker: _Worker, number: int, task: T) -> None:
        self.tasks[worker.pipe] = (worker, number)
        worker.pipe.send(task)

    def results(self) -> Iterator[tuple[_Worker | None, int, R | Crash]]:
        """Wait for at least one result; yield the worker (None if it crashed), the task number and the result."""
        ready = wait(list(self.tasks))
        for pipe in [p for p in self.tasks if p in ready]:
            worker, number = self.tasks.pop(pipe)
            try:
                result, error = pipe.recv()
            except (EOFError, ConnectionResetError):
                self._workers.remove(worker)
                yield None, number, _crash_of(worker)
                continue
            if error is not None:
                raise error
            yield worker, number, result

    def stop_worker(self, worker: _Worker) -> None:
        """Stop an idle worker."""
        self._workers.remove(worker)
        worker.pipe.close()
        worker.process.join()

    def kill(self) -> None:
        """Kill all workers, also busy ones. SIGTERM would run signal handlers that a worker inherited from the parent."""
        for worker in self._workers:
            worker.process.kill()
            worker.process.join()
            worker.pipe.close()


def _crash_of(worker: _Worker) -> Crash:
    """Return the crash of a dead worker. Raises AutobirdError if the cause was outside of its code."""
    worker.process.join()
    worker.pipe.close()
    code = worker.process.exitcode or 0
    if -code in _CRASH_SIGNALS:
        return Crash(signal.Signals(-code).name)
    how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with status {code}"
    raise AutobirdError(
        f"a worker process {how}, perhaps because memory ran out; give the job more memory, and run again"
    )


def run_each(function: Callable[[T], R], tasks: Sequence[T], workers: int) -> Iterator[tuple[int, R | Crash]]:
    """Run `function` on each task in a pool of worker processes, with one BLAS and FFT thread each.

    Args:
        function: defined at the top level of a module, so that it can be pickled.
        tasks: started in this order.
        workers: number of processes; also 1 uses a separate process, because the task may crash.

    Yields:
        The number of a task and its result, or `Crash`, in the order of completion.

    Raises:
        AutobirdError: a worker was killed from outside.
        Exception: raised by `function`.
    """
    pool = _WorkerPool(function)
    waiting = iter(enumerate(tasks))
    try:
        for number, task in islice(waiting, max(1, workers)):
            pool.assign(pool.start_worker(), number, task)
        while pool.tasks:
            for worker, number, result in pool.results():
                following = next(waiting, None)
                if following:
                    pool.assign(worker or pool.start_worker(), *following)
                elif worker:
                    pool.stop_worker(worker)
                yield number, result
    finally:
        pool.kill()
