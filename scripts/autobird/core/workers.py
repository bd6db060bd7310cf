"""Run tasks in worker processes; a task whose worker crashes, is killed or takes too long costs only itself.

`concurrent.futures` fails all tasks when one process dies, and does not say which task caused it.
"""

import ctypes
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

from threadpoolctl import threadpool_limits

from autobird.core.errors import AutobirdError

_PR_SET_PDEATHSIG = 1
"""Option of prctl in <linux/prctl.h>."""

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

_WINDOWS_EXCEPTIONS = 0xC0000000
"""Exit codes from here on are faults of the process on Windows, for example 0xC0000005 for an access violation."""

_STOP_SECONDS = 5.0
"""Time that an idle worker has to end by itself before it is killed."""


@dataclass(frozen=True)
class Crash:
    """The result of a task whose process crashed.

    Attributes:
        signal: name of the signal, for example `SIGSEGV`.
    """

    signal: str


@dataclass(frozen=True)
class TimedOut(Crash):
    """The result of a task whose process was killed because it took longer than the time limit of the task.

    Attributes:
        seconds: the time limit.
    """

    seconds: float


@dataclass(frozen=True)
class Killed(Crash):
    """The result of a task whose process was ended from outside, perhaps because memory ran out.

    Attributes:
        how: how the process ended, for example `was killed by SIGKILL`.
    """

    how: str


class _Worker(NamedTuple):
    process: BaseProcess
    pipe: Pipe


class _Assignment(NamedTuple):
    """The task that a worker works on: its number, its time limit (seconds), and when the limit is reached."""

    worker: _Worker
    number: int
    limit: float
    deadline: float


def _worker_loop(pipe: Pipe, inherited: Sequence[Pipe], function: Callable[[Any], Any]) -> None:
    """Receive tasks and send results until the parent process closes the pipe or dies."""
    end_with_parent()
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
            try:
                pipe.send(reply)
            except BrokenPipeError:  # the parent died
                return


def end_with_parent() -> None:
    """Let the kernel kill this process when its parent dies, even if it hangs in a task. Does nothing elsewhere than on Linux.

    The parent is the thread that started this process: it must not end earlier. Source: prctl(2), PR_SET_PDEATHSIG.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


class _WorkerPool(Generic[T, R]):
    """Worker processes and the tasks assigned to them."""

    def __init__(self, function: Callable[[T], R]) -> None:
        # A fork takes milliseconds and shares the imported modules. It is only safe on Linux.
        self._forks = sys.platform == "linux"
        self._context: Any = get_context("fork" if self._forks else "spawn")
        self._function = function
        self._workers: list[_Worker] = []
        self.tasks: dict[Pipe, _Assignment] = {}
        """The task of each busy worker by the pipe of the worker."""

    def start_worker(self) -> _Worker:
        ours, theirs = self._context.Pipe()
        inherited = [*(w.pipe for w in self._workers), ours] if self._forks else []
        process = self._context.Process(target=_worker_loop, args=(theirs, inherited, self._function), daemon=True)
        process.start()
        theirs.close()
        self._workers.append(_Worker(process, ours))
        return self._workers[-1]

    def assign(self, worker: _Worker | None, number: int, task: T, limit: float) -> None:
        """Give a task to an idle worker, or to a new one (None, or if the worker died while it was idle)."""
        worker = worker or self.start_worker()
        try:
            worker.pipe.send(task)
        except (BrokenPipeError, ConnectionResetError):
            self._remove(worker)
            worker = self.start_worker()
            worker.pipe.send(task)
        self.tasks[worker.pipe] = _Assignment(worker, number, limit, time.monotonic() + limit)

    def results(self) -> Iterator[tuple[_Worker | None, int, R | Crash]]:
        """Wait for at least one result; yield the worker (None if it is dead), the task number and the result."""
        earliest = min(a.deadline for a in self.tasks.values())
        # A wait of more than some weeks overflows the timer of the system.
        ready = wait(list(self.tasks), min(max(0.0, earliest - time.monotonic()), 1e6))
        now = time.monotonic()
        for pipe in list(self.tasks):
            worker, number, limit, deadline = self.tasks[pipe]
            if pipe not in ready:
                if now >= deadline:
                    del self.tasks[pipe]
                    worker.process.kill()
                    self._remove(worker)
                    yield None, number, TimedOut("SIGKILL", limit)
                continue
            del self.tasks[pipe]
            try:
                result, error = pipe.recv()
            except (EOFError, ConnectionResetError):
                self._remove(worker)
                yield None, number, crash_of(worker.process.exitcode or 0)
                continue
            if error is not None:
                raise error
            yield worker, number, result

    def stop_worker(self, worker: _Worker) -> None:
        """Stop an idle worker."""
        self._workers.remove(worker)
        worker.pipe.close()
        worker.process.join(_STOP_SECONDS)
        worker.process.kill()
        worker.process.join()

    def _remove(self, worker: _Worker) -> None:
        """Forget a dead worker."""
        self._workers.remove(worker)
        worker.process.join()
        worker.pipe.close()

    def kill(self) -> None:
        """Kill all workers, also busy ones. SIGTERM would run signal handlers that a worker inherited from the parent."""
        for worker in self._workers:
            worker.process.kill()
        for worker in self._workers:
            worker.process.join()
            worker.pipe.close()


def crash_of(exit_code: int) -> Crash:
    """Return how a process ended: by a fault in its own code, or (`Killed`) by a cause outside of it.

    Args:
        exit_code: of `multiprocessing.Process`; the negative number of a signal.
    """
    code = exit_code
    name = signal.Signals(-code).name if code < 0 else ""
    if -code in _CRASH_SIGNALS:
        return Crash(name)
    if code >= _WINDOWS_EXCEPTIONS:
        return Crash(f"exception {code:#x}")
    return Killed(name, f"was killed by {name}" if name else f"ended with status {code}")


def run_each(
    function: Callable[[T], R],
    tasks: Sequence[T],
    workers: int,
    time_limits: Sequence[float] | None = None,
    retry_killed: bool = False,
) -> Iterator[tuple[int, R | Crash]]:
    """Run `function` on each task in a pool of worker processes, with one BLAS and FFT thread each.

    Args:
        function: defined at the top level of a module, so that it can be pickled.
        tasks: started in this order.
        workers: number of processes; also 1 uses a separate process, because the task may crash.
        time_limits: seconds that each task may take; then its process is killed and its result is `TimedOut`. None: no limits.
        retry_killed: whether a task whose process was ended from outside is run once more, when all others are done, without
            any other task beside it; if that process is killed too, the result is `Killed`.

    Yields:
        The number of a task and its result, or `Crash` (also `TimedOut`, `Killed`), in the order of completion.

    Raises:
        AutobirdError: a worker was ended from outside, and `retry_killed` is false.
        Exception: raised by `function`.
    """
    limits = [float("inf")] * len(tasks) if time_limits is None else time_limits
    killed: list[int] = []
    for number, result in _run(function, tasks, range(len(tasks)), limits, workers):
        if not isinstance(result, Killed):
            yield number, result
        elif retry_killed:
            killed.append(number)
        else:
            raise AutobirdError(
                f"a worker process {result.how}, perhaps because memory ran out; give the job more memory, and run again"
            )
    yield from _run(function, tasks, sorted(killed), limits, 1)


def _run(
    function: Callable[[T], R], tasks: Sequence[T], numbers: Sequence[int], limits: Sequence[float], workers: int
) -> Iterator[tuple[int, R | Crash]]:
    """Run the tasks with these numbers, and yield each number with its result in the order of completion."""
    pool = _WorkerPool[T, R](function)
    waiting = iter(numbers)
    try:
        for number in islice(waiting, max(1, workers)):
            pool.assign(None, number, tasks[number], limits[number])
        while pool.tasks:
            for worker, number, result in pool.results():
                following = next(waiting, None)
                if following is not None:
                    pool.assign(worker, following, tasks[following], limits[following])
                elif worker:
                    pool.stop_worker(worker)
                yield number, result
    finally:
        pool.kill()
