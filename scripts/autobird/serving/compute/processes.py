"""Compute processes: how the front starts one, gives it a task, waits for its answer and ends it.

The front imports neither NumPy nor ONNX Runtime; a process imports them when it has started.
"""

import os
import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from multiprocessing import get_context
from multiprocessing.connection import wait

from autobird.core.workers import Crash, Killed, TimedOut, crash_of, end_with_parent
from autobird.serving.compute.messages import (
    CANCEL,
    NotReady,
    Pipe,
    ProcessSettings,
    Progress,
    Ready,
    Result,
    has_message,
    is_readable,
)
from autobird.serving.compute.requests import ClientGone, Task
from autobird.serving.compute.shared_block import SharedBlock

_CONTEXT = get_context("spawn")
"""A process that is forked from a program with threads may hang; `spawn` behaves in the same way on all systems."""

START_SECONDS = 120.0
"""Time that a process has to load the bundle and classify the example clip."""

ATTEMPTS = 2
"""How often a task is computed whose process is killed from outside."""

BACKGROUND_NICENESS = 10
"""For `ProcessSettings.niceness` of processes that give way to those that answer requests."""

_POLL_SECONDS = 0.25
"""How often a thread that waits for an answer looks whether its client is still there, seconds."""

_CANCEL_SECONDS = 1.0
"""Time that a process has to stop a task whose client has gone before it is killed. A new process takes about a second."""

_STOP_SECONDS = 5.0
"""Time that an idle process has to end by itself before it is killed."""

_reaping = threading.Lock()
"""`multiprocessing` asks the system for the ends of all processes when it starts one, which must not happen while another thread
asks for the end of one of them. The lock is held for some milliseconds at most."""


class ComputeProcess:
    """A process that computes one task at a time.

    A process belongs to one thread at a time: to the thread of the pool that starts processes, or to the thread whose task it computes.

    Args:
        settings: what the process loads.
    """

    def __init__(self, settings: ProcessSettings) -> None:
        self._pipe, theirs = _CONTEXT.Pipe()
        self._block = SharedBlock()
        settings = replace(settings, block=self._block)
        self._process = _CONTEXT.Process(target=_main, args=(theirs, settings), daemon=True, name="autobird")
        with _reaping:
            self._process.start()
        theirs.close()
        self.started = time.monotonic()

    @property
    def pipe(self) -> Pipe:
        """The connection to the process, to wait for its first message."""
        return self._pipe

    @property
    def pid(self) -> int:
        """Number of the process."""
        return self._process.pid or 0

    def is_alive(self) -> bool:
        """Return whether the process runs."""
        return not is_readable(self._process.sentinel, 0)

    def first_message(self) -> Ready | NotReady:
        """Return the first message; call it once, when the pipe has data."""
        try:
            message = self._pipe.recv()
        except (EOFError, OSError):
            return NotReady(f"a compute process ended while it loaded the bundle ({_text(self.ended())})")
        assert isinstance(message, Ready | NotReady)
        return message

    def run(
        self, task: Task, limit: float, is_gone: Callable[[], bool], progress: Callable[[float], None] | None
    ) -> Result:
        """Compute a task; afterwards the process may be dead, see `is_alive`.

        Args:
            task: the recording.
            limit: seconds after which the process is killed.
            is_gone: whether nobody waits for the answer any more.
            progress: called with the seconds of audio that are decoded.

        Raises:
            ClientGone: `is_gone` returned true.
        """
        deadline, cancelled = time.monotonic() + limit, float("inf")
        try:
            self._pipe.send(self._block.lend(task))
            while True:
                if has_message(self._pipe, _POLL_SECONDS):
                    message = self._pipe.recv()
                    if not isinstance(message, Progress):
                        if cancelled < float("inf"):
                            raise ClientGone
                        assert isinstance(message, Result)
                        return message
                    if progress:
                        progress(message.seconds)
                now = time.monotonic()
                if now > deadline or now > cancelled + _CANCEL_SECONDS:
                    self.kill()
                    if now > deadline:
                        return TimedOut("SIGKILL", limit)
                    raise ClientGone
                if cancelled == float("inf") and is_gone():
                    self._pipe.send(CANCEL)
                    cancelled = now
        except (EOFError, OSError):
            ended = self.ended()
            if cancelled < float("inf"):
                raise ClientGone from None
            return ended

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


def _text(crash: Crash) -> str:
    return crash.how if isinstance(crash, Killed) else crash.signal


def _main(pipe: Pipe, settings: ProcessSettings) -> None:
    """Load the bundle, and compute tasks until the front closes the pipe or dies."""
    end_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # on Ctrl+C the front ends its processes
    with suppress(AttributeError, OSError):  # Windows has no os.nice
        os.nice(settings.niceness)
    # BLAS reads these when NumPy is imported. A process computes with one thread; unused threads would cost memory.
    for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(name, "1")
    from autobird.core.decoder_messages import shorten_decoder_messages
    from autobird.serving.compute.worker import work

    shorten_decoder_messages()
    work(pipe, settings)
