"""What the front and a compute process tell each other."""

import select
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autobird.core.workers import Crash
from autobird.serving.compute.requests import ServedBundle, TaskAnswer, TaskProblem
from autobird.serving.compute.shared_block import SharedBlock

if TYPE_CHECKING:
    Pipe = Connection[Any, Any]
else:
    Pipe = Connection


def has_message(pipe: Pipe, seconds: float) -> bool:
    """Return whether a message arrives, or the other process closes the pipe, within some seconds.

    `Connection.poll` does the same with several objects of Python, which take ten times as long.
    """
    return is_readable(pipe.fileno(), seconds) if hasattr(select, "poll") else pipe.poll(seconds)


def is_readable(handle: int, seconds: float) -> bool:
    """Return whether a descriptor (on Windows: a handle) becomes ready within some seconds, as `multiprocessing.connection.wait`."""
    if not hasattr(select, "poll"):
        return bool(wait([handle], seconds))
    poller = select.poll()
    poller.register(handle, select.POLLIN)
    return bool(poller.poll(1000 * seconds))


@dataclass(frozen=True)
class Ready:
    """The first message of a process: it has loaded the bundle, and the example clip gives the stored answer."""

    bundle: ServedBundle


@dataclass(frozen=True)
class NotReady:
    """The first and last message of a process that cannot use the bundle."""

    error: str


@dataclass(frozen=True)
class Progress:
    """A message during a task: seconds of audio that are decoded, and windows that the backbone has computed."""

    seconds: float
    windows: int = 0


@dataclass(frozen=True)
class Failed:
    """The result of a task that raised an unexpected exception.

    Attributes:
        trace: the traceback, for the log of the server.
    """

    trace: str


CANCEL = "cancel"
"""Message to a process: nobody waits for the answer of the present task any more."""


class Cancelled(BaseException):
    """Raised in a compute process by the progress of a task that was cancelled; no handler of errors may catch it."""


Result = TaskAnswer | TaskProblem | Failed | Crash


@dataclass(frozen=True)
class EmbeddingAddress:
    """How a compute process reaches the embedding process, and which work of that is done first.

    Attributes:
        address: of its `multiprocessing.connection.Listener`.
        is_background: whether its windows are computed after those of users who wait.
    """

    address: str
    is_background: bool = False


@dataclass(frozen=True)
class ProcessSettings:
    """What a compute process is started with.

    Attributes:
        folder: the bundle.
        shown_folder: what messages call it.
        backbone: file of the backbone, see `Classifier`.
        niceness: added to the priority of the process (`os.nice`); 0 for that of the front.
        block: memory for recordings, which each process has for itself.
        embedding: the embedding process; None: the process loads the backbone, if the bundle needs one.
    """

    folder: Path
    shown_folder: Path
    backbone: str | None = None
    niceness: int = 0
    block: SharedBlock | None = None
    embedding: EmbeddingAddress | None = None


@dataclass(frozen=True)
class EmbeddingSettings:
    """What an embedding process is started with.

    Attributes:
        info: the backbone, as the bundle records it (`BackboneInfo` as JSON values).
        shown_folder: the bundle, for messages.
        file: file of the backbone, see `Classifier`.
        threads: number of windows that it computes at the same time.
        address: where compute processes reach it.
        counts: what it has done (`EmbeddingCounts`), in memory that it shares with the front.
    """

    info: dict[str, Any]
    shown_folder: Path
    file: str | None
    threads: int
    address: str
    counts: Any


class EmbeddingReady:
    """The first message of an embedding process: it has loaded the backbone, and compute processes can connect."""
