"""Memory that the front shares with one compute process, so that recordings reach it with one copy instead of through a pipe."""

from dataclasses import dataclass, replace
from multiprocessing import get_context
from typing import Any

from autobird.serving.compute.requests import Task

BLOCK = 1 << 20
"""Bytes of the block; longer recordings that are not in files go through the pipe."""


@dataclass(frozen=True)
class Lent:
    """A task whose recording is in the block.

    Attributes:
        task: the task, without the recording.
        size: bytes of the recording.
    """

    task: Task
    size: int


class SharedBlock:
    """Memory for one recording, which two processes share; it is passed to the second one when that is started.

    The front writes, sends the `Lent` task, and does not write again before the answer. The system frees the memory with the last of
    both processes, however they end: on Unix it is a file without a name, on Windows a mapping without a file.
    """

    def __init__(self) -> None:
        self._array: Any = get_context("spawn").RawArray("B", BLOCK)

    def lend(self, task: Task) -> Task | Lent:
        """Copy the recording of a task into the block; return what is to be sent to the process."""
        if not isinstance(task.source, bytes | memoryview):
            return task
        size = len(task.source)
        if size > BLOCK:
            return replace(task, source=bytes(task.source))
        memoryview(self._array).cast("B")[:size] = task.source
        return Lent(replace(task, source=b""), size)

    def opened(self, message: Any) -> Any:
        """Return the task of a message, with its recording where it is; the block must not be written meanwhile."""
        if not isinstance(message, Lent):
            return message
        return replace(message.task, source=memoryview(self._array).cast("B")[: message.size].toreadonly())
