"""Tasks on several processes, whose crashes cost the task that caused them and nothing else.

`concurrent.futures` fails all tasks when one process dies, and does not say whose fault it was.
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

_CRASHES = frozenset(
    getattr(signal, name) for name in ("SIGSEGV", "SIGABRT", "SIGBUS", "SIGFPE", "SIGILL") if hasattr(signal, name)
)
"""Signals that a process's own code brings on it. Others come from outside: a kill for memory says nothing of a task."""


class Crash(NamedTuple):
    """What there is instead of a result where a task ended its process.

    Attributes:
        signal: by name, for example `SIGSEGV`.
    """

    signal: str


class _Worker(NamedTuple):
    process: BaseProcess
    pipe: Pipe


def _serve(pipe: Pipe, inherited: Sequence[Pipe], function: Callable[[Any], Any]) -> None:
    """What a worker does until its parent closes the pipe, or dies."""
    for other in inherited:  # a copy of the parent's end would keep the pipe open without the parent
        other.close()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends its workers
    with threadpool_limits(1):
        while True:
            try:
                task = pipe.recv()
            except EOFError:
                return
            answer: tuple[Any, Exception | None]
            try:
                answer = function(task), None
            except Exception as error:
                answer = None, error
            pipe.send(answer)


class _Crew(Generic[T, R]):
    """Worker processes, and which task each of them has."""

    def __init__(self, function: Callable[[T], R]) -> None:
        # A fork starts in milliseconds and shares what is imported; elsewhere than on Linux it is not safe.
        self._forks = sys.platform == "linux"
        self._context: Any = get_context("fork" if self._forks else "spawn")
        self._function = function
        self._hired: list[_Worker] = []
        self.tasks: dict[Pipe, tuple[_Worker, int]] = {}

    def hire(self) -> _Worker:
        ours, theirs = self._context.Pipe()
        inherited = [*(w.pipe for w in self._hired), ours] if self._forks else []
        process = self._context.Process(target=_serve, args=(theirs, inherited, self._function), daemon=True)
        process.start()
        theirs.close()
        self._hired.append(_Worker(process, ours))
        return self._hired[-1]

    def give(self, worker: _Worker, number: int, task: T) -> None:
        self.tasks[worker.pipe] = (worker, number)
        worker.pipe.send(task)

    def answers(self) -> Iterator[tuple[_Worker | None, int, R | Crash]]:
        """What came back, of whom (None: the process is dead), and of which task; waits for at least one."""
        ready = wait(list(self.tasks))
        for pipe in [p for p in self.tasks if p in ready]:
            worker, number = self.tasks.pop(pipe)
            try:
                result, error = pipe.recv()
            except (EOFError, ConnectionResetError):
                self._hired.remove(worker)
                yield None, number, _crash(worker)
                continue
            if error is not None:
                raise error
            yield worker, number, result

    def dismiss(self, worker: _Worker) -> None:
        """End a worker that has nothing to do."""
        self._hired.remove(worker)
        worker.pipe.close()
        worker.process.join()

    def end(self) -> None:
        """End all workers, whatever they do; a signal that can be caught would run handlers of the parent's."""
        for worker in self._hired:
            worker.process.kill()
            worker.process.join()
            worker.pipe.close()


def _crash(worker: _Worker) -> Crash:
    worker.process.join()
    worker.pipe.close()
    code = worker.process.exitcode or 0
    if -code in _CRASHES:
        return Crash(signal.Signals(-code).name)
    how = f"killed by {signal.Signals(-code).name}" if code < 0 else f"gone with status {code}"
    raise AutobirdError(f"a worker process was {how}, perhaps for want of memory; give the job more, and run again")


def run_each(function: Callable[[T], R], tasks: Sequence[T], workers: int) -> Iterator[tuple[int, R | Crash]]:
    """Run `function` on each task, each in a process of its own that serves many; one BLAS and FFT thread each.

    Args:
        function: of a module, so that it can be sent.
        tasks: started in this order.
        workers: processes at a time; also 1 works in a process of its own, so that it may crash.

    Yields:
        The number of a task and its result, or `Crash`, as they are done.

    Raises:
        AutobirdError: a process was killed from outside.
        Exception: what `function` raises.
    """
    crew = _Crew(function)
    waiting = iter(enumerate(tasks))
    try:
        for number, task in islice(waiting, max(1, workers)):
            crew.give(crew.hire(), number, task)
        while crew.tasks:
            for worker, number, result in crew.answers():
                following = next(waiting, None)
                if following:
                    crew.give(worker or crew.hire(), *following)
                elif worker:
                    crew.dismiss(worker)
                yield number, result
    finally:
        crew.end()
