"""What the web app and the pool of compute processes exchange: tasks, answers, problems and the state of the pool."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

Priority = Literal["interactive", "job", "shadow"]
"""Which tasks are computed first: those of waiting users, then those of jobs, then those of the shadow bundle."""

PRIORITIES: tuple[Priority, ...] = ("interactive", "job", "shadow")
"""From the first to the last."""


@dataclass(frozen=True)
class TaskOptions:
    """How one recording is classified and what its answer contains.

    Attributes:
        threshold: threshold of all species, 0 to 1; None: those of the bundle or the table beside it.
        precision: wanted precision, which selects thresholds of the bundle; None: not used.
        species: labels of the species that are reported; None: all.
        overlap: overlap of consecutive windows, seconds; None: that of the bundle.
        top_k: number of most probable species in the answer; 0 for all; None: the default of the answer.
        spectrogram: whether the answer has the spectrogram.
        windows: whether the answer has the windows.
        max_seconds: longest recording, seconds of decoded audio; None: no limit.
        max_values: largest number of decoded samples of all channels together; None: no limit.
    """

    threshold: float | None = None
    precision: float | None = None
    species: tuple[str, ...] | None = None
    overlap: float | None = None
    top_k: int | None = None
    spectrogram: bool = False
    windows: bool = True
    max_seconds: float | None = None
    max_values: int | None = None


@dataclass(frozen=True)
class Task:
    """One recording to classify.

    Attributes:
        source: the content of the file, or the path of a (temporary) file; a memoryview and a file must be there until `Pool.submit`
            returns.
        name: name of the file, from the client; "" if none was sent.
        options: how it is classified.
    """

    source: bytes | memoryview | Path
    name: str = ""
    options: TaskOptions = field(default_factory=TaskOptions)


@dataclass(frozen=True)
class TaskAnswer:
    """The answer for one recording, made in a compute process. All values are plain Python values, which JSON can hold.

    Attributes:
        body: the JSON answer of the recording, without the id of the request.
        features: drift features, by name (`drift.features.DRIFT_FEATURES`).
        seconds: time of each stage, seconds; the pool adds `queue`, the time before a process began, and `total`.
    """

    body: dict[str, Any]
    features: dict[str, float]
    seconds: dict[str, float]


@dataclass(frozen=True)
class TaskProblem:
    """Why there is no answer; becomes a response in the format of RFC 9457 (problem details).

    Attributes:
        status: HTTP status.
        title: kind of the problem in a few words.
        detail: what is wrong with which value, and the remedy; it contains no path and no trace.
    """

    status: int
    title: str
    detail: str


class QueueFull(Exception):
    """As many requests wait as are allowed, or the server is stopping; the client should try again later.

    Attributes:
        retry_after: seconds after which a new attempt makes sense; at least 1.
    """

    def __init__(self, message: str, retry_after: int) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class ClientGone(Exception):
    """The client closed its connection before the answer; nothing is to be logged or counted as an answer."""


@dataclass(frozen=True)
class ServedBundle:
    """The description of a bundle that the compute processes have loaded.

    Attributes:
        folder: path as given on the command line.
        name: name of the run that made the bundle.
        variant: variant of the model, for example `int8`.
        fingerprint: of the network's graph.
        labels: species in the order of the probabilities.
        thresholds: threshold of each species in use, from the bundle or the table beside it.
        precisions: wanted precisions for which the bundle has thresholds, ascending.
        outputs: `softmax` or `independent`, see `predict.classification.OUTPUTS`.
        features: settings of windows, front end and quiet filters, as JSON values.
        backbone: the pretrained network that it needs, as JSON values; None: none.
        frequencies: lower and upper limit of what the model hears, Hz.
        notes: messages for the user about the thresholds.
    """

    folder: Path
    name: str
    variant: str
    fingerprint: str
    labels: tuple[str, ...]
    thresholds: tuple[float, ...]
    precisions: tuple[float, ...]
    outputs: str
    features: dict[str, Any]
    backbone: dict[str, Any] | None
    frequencies: tuple[float, float]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class EmbeddingState:
    """What the embedding process does at this moment: it computes the backbone for all compute processes.

    Attributes:
        backbone: name of the backbone.
        ready: whether it can compute.
        threads: windows that it computes at the same time.
        windows: windows that were computed since the start of the server, also by processes that have ended.
        seconds: time that these windows took, seconds.
        waiting_windows: windows that are not computed yet, of requests and jobs that wait or are computed; those of requests that wait
            are estimated.
        window_seconds: mean time of the last windows, seconds.
        replaced: embedding processes that were replaced since the start, after a crash or a kill from outside.
    """

    backbone: str
    ready: bool
    threads: int
    windows: int
    seconds: float
    waiting_windows: int
    window_seconds: float
    replaced: int = 0


@dataclass(frozen=True)
class PoolState:
    """What the pool does at this moment.

    Attributes:
        ready: whether at least one process (and the embedding process) can answer; each gave the expected answer for the example clip.
        bundle: name of the bundle.
        fingerprint: of the bundle.
        processes: compute processes that are ready.
        wanted: compute processes that there should be.
        queued: tasks that wait.
        running: tasks that are computed.
        replaced: processes that were replaced since the start, after a crash, a time limit or a kill from outside.
        shadow: fingerprint of the shadow bundle; None: there is none, or it is not ready.
        shadow_dropped: recordings that have no answer of the shadow bundle, because too many waited or it failed.
        swap_error: why a changed bundle or table of thresholds could not be loaded; "" if the last change could.
        embedding: the embedding process; None: the bundle has no backbone.
    """

    ready: bool
    bundle: str
    fingerprint: str
    processes: int
    wanted: int
    queued: int
    running: int
    replaced: int = 0
    shadow: str | None = None
    shadow_dropped: int = 0
    swap_error: str = ""
    embedding: EmbeddingState | None = None


class Pool(Protocol):
    """Computes the answers for recordings; used by many threads at once."""

    def submit(
        self,
        task: Task,
        is_gone: Callable[[], bool] = lambda: False,
        priority: Priority = "interactive",
        progress: Callable[[float], None] | None = None,
        on_shadow: Callable[[TaskAnswer], None] | None = None,
    ) -> TaskAnswer | TaskProblem:
        """Return the answer for a recording, or why there is none; waits for both.

        Args:
            task: the recording.
            is_gone: whether nobody waits for the answer any more, asked several times a second.
            priority: of the task.
            progress: called in this thread with the seconds of audio that are decoded, from time to time.
            on_shadow: called in another thread, later, with the answer of the shadow bundle, if there is one.

        Raises:
            QueueFull: too many tasks wait (those of jobs and of the shadow bundle are not counted).
            ClientGone: `is_gone` returned true.
        """
        ...

    def raise_if_full(self) -> None:
        """Raise QueueFull if an interactive task would get it now; to refuse a request before its body is parsed."""
        ...

    def bundle(self) -> ServedBundle:
        """Return the description of the bundle that answers new requests; it changes when the bundle is replaced."""
        ...

    def state(self) -> PoolState:
        """Return what the pool does."""
        ...

    def close(self, seconds: float = 30.0) -> None:
        """End after the running tasks, at most this many seconds later; tasks that wait get `QueueFull`."""
        ...
