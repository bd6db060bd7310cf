"""Compute processes: how the front starts one, gives it a task, waits for its answer and ends it.

The front imports neither NumPy nor ONNX Runtime; a process imports them when it has started.
"""

import time
from collections.abc import Callable
from dataclasses import replace

from autobird.core.workers import Crash, Killed, TimedOut
from autobird.serving.compute.child_process import ChildProcess, prepare
from autobird.serving.compute.messages import (
    CANCEL,
    NotReady,
    Pipe,
    ProcessSettings,
    Progress,
    Ready,
    Result,
    has_message,
)
from autobird.serving.compute.requests import ClientGone, Task
from autobird.serving.compute.shared_block import SharedBlock

ATTEMPTS = 2
"""How often a task is computed whose process is killed from outside."""

BACKGROUND_NICENESS = 10
"""For `ProcessSettings.niceness` of processes that give way to those that answer requests."""

_POLL_SECONDS = 0.25
"""How often a thread that waits for an answer looks whether its client is still there, seconds."""

_CANCEL_SECONDS = 1.0
"""Time that a process has to stop a task whose client has gone before it is killed. A new process takes about a second."""


class ComputeProcess(ChildProcess):
    """A process that computes one task at a time.

    A process belongs to one thread at a time: to the thread of the pool that starts processes, or to the thread whose task it computes.

    Args:
        settings: what the process loads.
    """

    def __init__(self, settings: ProcessSettings) -> None:
        self._block = SharedBlock()
        super().__init__(_main, replace(settings, block=self._block))
        self.embedded = 0
        """Windows that the backbone has computed for the present or the last task."""

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
        self.embedded = 0
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
                    self.embedded = message.windows
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


def _text(crash: Crash) -> str:
    return crash.how if isinstance(crash, Killed) else crash.signal


def _main(pipe: Pipe, settings: ProcessSettings) -> None:
    """Load the bundle, and compute tasks until the front closes the pipe or dies."""
    prepare(settings.niceness)
    from autobird.core.decoder_messages import shorten_decoder_messages
    from autobird.serving.compute.worker import work

    shorten_decoder_messages()
    work(pipe, settings)
