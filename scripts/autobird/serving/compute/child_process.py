"""A process that the front starts and ends, and whose end it notices.

The front imports neither NumPy nor ONNX Runtime; a process imports them when it has started.
"""

import os
import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from multiprocessing import get_context
from multiprocessing.connection import wait
from typing import Any

from autobird.core.workers import Crash, crash_of, end_with_parent
from autobird.serving.compute.messages import Pipe, is_readable

CONTEXT = get_context("spawn")
"""A process that is forked from a program with threads may hang; `spawn` behaves in the same way on all systems."""

START_SECONDS = 120.0
"""Time that a process has to load its networks, and a compute process to classify the example clip too."""

_MAX_PAUSE = 30.0
"""Longest pause before a process is started again after others could not start, seconds."""

_STOP_SECONDS = 5.0
"""Time that an idle process has to end by itself before it is killed."""

_reaping = threading.Lock()
"""`multiprocessing` asks the system for the ends of all processes when it starts one, which must not happen while another thread
asks for the end of one of them. The lock is held for some milliseconds at most."""


class ChildProcess:
    """A process with a pipe to the front; it ends when the front closes the pipe or dies.

    The kernel ends it with the thread that started it (`end_with_parent`).

    Args:
        main: called in the process with its end of the pipe and the settings; it calls `prepare` first.
        settings: what the process loads.
        name: of the process.
    """

    def __init__(self, main: Callable[[Pipe, Any], None], settings: object, name: str = "autobird") -> None:
        self._pipe, theirs = CONTEXT.Pipe()
        self._process = CONTEXT.Process(target=main, args=(theirs, settings), daemon=True, name=name)
        with _reaping:
            self._process.start()
        theirs.close()
        self.started = time.monotonic()

    @property
    def pipe(self) -> Pipe:
        """The connection to the process, to wait for its first message."""
        return self._pipe

    @property
    def sentinel(self) -> int:
        """What `multiprocessing.connection.wait` takes to wait for the end of the process."""
        return self._process.sentinel

    @property
    def pid(self) -> int:
        """Number of the process."""
        return self._process.pid or 0

    def is_alive(self) -> bool:
        """Return whether the process runs."""
        return not is_readable(self._process.sentinel, 0)

    def ended(self) -> Crash:
        """Wait for the end of a process that has closed its pipe, and return how it ended."""
        wait([self._process.sentinel], _STOP_SECONDS)
        return crash_of(self.kill())

    def stop(self) -> None:
        """End an idle process."""
        self._pipe.close()
        wait([self._process.sentinel], _STOP_SECONDS)
        self.kill()

    def kill(self) -> int:
        """End the process at once, if it runs; return its exit code."""
        if self.is_alive():
            self._process.kill()
            wait([self._process.sentinel])
        with _reaping:
            self._process.join()
            code = self._process.exitcode
        self._pipe.close()
        return code or 0


def pause_after(failures: int) -> float:
    """Return the pause before the next attempt to start a process, seconds.

    Args:
        failures: number of attempts that failed one after the other, at least 1; a missing file may fail for days.
    """
    return float(min(_MAX_PAUSE, 2 ** (failures - 1)))


def prepare(niceness: int = 0) -> None:
    """Prepare a new process, before it imports NumPy: it ends with the front, and BLAS has one thread.

    Args:
        niceness: added to the priority of the process (`os.nice`).
    """
    end_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # on Ctrl+C the front ends its processes
    with suppress(AttributeError, OSError):  # Windows has no os.nice
        os.nice(niceness)
    # BLAS reads these when NumPy is imported. Unused threads would cost memory.
    for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(name, "1")
