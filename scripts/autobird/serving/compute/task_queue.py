"""The tasks that wait for a compute process: their order, their number, and the work that they mean."""

import math
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

from autobird.serving.compute.embeddings import Embedding
from autobird.serving.compute.group import Generation
from autobird.serving.compute.processes import ComputeProcess
from autobird.serving.compute.requests import PRIORITIES, Priority, QueueFull

_FIRST_GUESS = 0.1
"""Seconds of a task before one has been measured, for the header `Retry-After`."""

_SMOOTHING = 0.05
"""Weight of a task in the mean time of the last tasks."""

_MAX_RETRY = 60
"""Largest `Retry-After`, seconds."""

_STOPPING = "the server is stopping; try again when it has started"


@dataclass(eq=False)
class Ticket:
    """A task, with the estimated number of windows of its backbone: waits for a process, and gets none if the pool closes."""

    windows: int = 0
    given: threading.Event = field(default_factory=threading.Event)
    process: tuple[Generation, ComputeProcess] | None = None


def stopping() -> QueueFull:
    """Return the exception for tasks that come while the server stops."""
    return QueueFull(_STOPPING, 5)


class TaskQueue:
    """The waiting and the running tasks of a pool. Hold the lock of the pool for all methods.

    Args:
        queued: largest number of interactive tasks that wait.
        windows: largest number of windows of a backbone that interactive tasks may wait for.
        processes: number of compute processes.
    """

    def __init__(self, queued: int, windows: int, processes: int) -> None:
        self._queued, self._windows, self._processes = queued, windows, processes
        self._waiting: dict[Priority, deque[Ticket]] = {priority: deque() for priority in PRIORITIES}
        self._running: dict[ComputeProcess, int] = {}
        """Estimated number of windows of the task of each busy process."""
        self._mean_seconds = _FIRST_GUESS

    def __len__(self) -> int:
        return sum(map(len, self._waiting.values()))

    def add(self, ticket: Ticket, priority: Priority) -> None:
        """Let a task wait."""
        self._waiting[priority].append(ticket)

    def remove(self, ticket: Ticket, priority: Priority) -> None:
        """Let a task wait no more."""
        with suppress(ValueError):  # the pool was closed
            self._waiting[priority].remove(ticket)

    def refuse_all(self) -> None:
        """Let all waiting tasks go without a process."""
        for tickets in self._waiting.values():
            while tickets:
                tickets.popleft().given.set()

    def assign(self, take: Callable[[], tuple[Generation, ComputeProcess] | None]) -> None:
        """Give processes to waiting tasks.

        Args:
            take: returns an idle process, which is then busy; None if there is none.
        """
        for tickets in self._waiting.values():  # in the order of `PRIORITIES`
            while tickets:
                taken = take()
                if not taken:
                    return
                ticket = tickets.popleft()
                ticket.process = taken
                if ticket.windows:
                    self._running[taken[1]] = ticket.windows
                ticket.given.set()

    def has_ended(self, process: ComputeProcess) -> None:
        """Note that a process has no task any more."""
        self._running.pop(process, None)

    def note_seconds(self, seconds: float) -> None:
        """Note the time that a task took."""
        self._mean_seconds += _SMOOTHING * (seconds - self._mean_seconds)

    @property
    def needed_windows(self) -> int:
        """Estimated number of windows that all tasks still need, waiting and running ones."""
        return self._waiting_windows(*PRIORITIES) + self._running_windows()

    def check(self, priority: Priority, embedding: Embedding | None, windows: int = 0) -> None:
        """Check that a further task may wait.

        The work for a bundle with a backbone is the number of its windows. One recording may need more than may wait: it waits
        alone.

        Args:
            priority: of the task.
            embedding: the embedding process that it needs; None: none.
            windows: estimated number of windows of its backbone; 0 before its upload is parsed.

        Raises:
            QueueFull: it may not wait.
        """
        if priority != "interactive":
            return
        waiting, reason = len(self._waiting["interactive"]), ""
        seconds = waiting * self._mean_seconds / self._processes
        if waiting >= self._queued:
            reason = f"{waiting} requests wait, as many as --queue allows"
        if embedding:
            needed = self._waiting_windows("interactive")
            seconds = (needed + self._running_windows()) * embedding.window_seconds / embedding.threads
            if not reason and waiting and needed + max(1, windows) > self._windows:
                own = f" and this one about {windows}" if windows else ""
                reason = (
                    f"the requests that wait need {needed} windows of the backbone{own}, and --queue-windows allows "
                    f"{self._windows}"
                )
        if reason:
            raise QueueFull(f"{reason}; try again later", max(1, min(_MAX_RETRY, math.ceil(seconds))))

    def _waiting_windows(self, *priorities: Priority) -> int:
        return sum(ticket.windows for priority in priorities for ticket in self._waiting[priority])

    def _running_windows(self) -> int:
        return sum(max(0, windows - process.embedded) for process, windows in self._running.items())
