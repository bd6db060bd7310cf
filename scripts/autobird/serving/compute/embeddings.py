"""The embedding processes of a server: one for each backbone in use, shared by all compute processes that need it."""

import json
import logging
import sys
import threading
import time
from pathlib import Path
from typing import Any
from uuid import uuid4

from autobird.core.errors import AutobirdError
from autobird.core.workers import Killed
from autobird.serving.compute.child_process import CONTEXT, START_SECONDS, ChildProcess, pause_after, prepare
from autobird.serving.compute.messages import EmbeddingAddress, EmbeddingReady, EmbeddingSettings, NotReady, Pipe
from autobird.serving.compute.own_folder import OwnFolder
from autobird.serving.compute.requests import EmbeddingState

log = logging.getLogger("autobird")

_STALLED_SECONDS = 60.0
"""An embedding process that has work and computes no window for so long is replaced; a window takes less than a second."""

_SHORT_LIFE = 5.0
"""A process that ends sooner after it was ready is started again after a pause, as one that could not start, seconds."""

_WINDOWS, _SECONDS, _WAITING, _RECENT = range(4)
"""Places of `fair_queue.Counts`; that module imports NumPy."""


class Embedding:
    """The embedding process of a backbone, and what has become of it.

    Attributes:
        threads: number of windows that it computes at the same time.
        users: generations of compute processes that need it.
        is_ready: whether it has loaded the backbone and lives.
        error: why no process could be started; "" if the last one could.
        replaced: number of processes that were started in place of one that ended.
    """

    def __init__(self, info: dict[str, Any], shown_folder: Path, file: str | None, threads: int) -> None:
        self._info, self._shown_folder, self._file, self.threads = info, shown_folder, file, threads
        self._folder = None if sys.platform == "win32" else OwnFolder("autobird-embedding-")
        self._address = (
            str(self._folder.path / "socket") if self._folder else rf"\\.\pipe\autobird-embedding-{uuid4().hex}"
        )
        self.counts = CONTEXT.RawArray("d", 4)
        self.users = self.replaced = 0
        self.is_ready, self.error = False, ""
        self._process: ChildProcess | None = None
        self._failures, self._next_start = 0, 0.0
        self._ready_at = 0.0
        self._seen: tuple[float, float] = (-1.0, 0.0)
        """Number of computed windows, and since when it has been this one."""

    def address(self, is_background: bool = False) -> EmbeddingAddress:
        """Return what compute processes need to connect."""
        return EmbeddingAddress(self._address, is_background)

    def state(self) -> EmbeddingState:
        """Return what it does."""
        return EmbeddingState(
            backbone=self._info["name"],
            ready=self.is_ready,
            threads=self.threads,
            windows=int(self.counts[_WINDOWS]),
            seconds=self.counts[_SECONDS],
            waiting_windows=int(self.counts[_WAITING]),
            window_seconds=self.counts[_RECENT],
            replaced=self.replaced,
        )

    @property
    def window_seconds(self) -> float:
        """Mean time of the last windows, seconds."""
        return self.counts[_RECENT]

    def waits_for(self) -> list[Pipe | int]:
        """Return what `tick` waits for: the first message of a process, or the end of one."""
        if self._process is None:
            return []
        return [self._process.sentinel, *([] if self.is_ready else [self._process.pipe])]

    @property
    def pid(self) -> int:
        """Number of the process; 0: there is none."""
        return self._process.pid if self._process else 0

    def tick(self) -> None:
        """Start, check and replace the process as needed."""
        now = time.monotonic()
        if self._process is None:
            if now >= self._next_start:
                self._start()
            return
        if not self.is_ready:
            self._receive(now)
        elif not self._process.is_alive():
            crash = self._process.ended()
            how = crash.how if isinstance(crash, Killed) else f"crashed ({crash.signal})"
            self._replace(f"the embedding process {how}", now)
        elif self.counts[_WAITING] <= 0 or self.counts[_WINDOWS] != self._seen[0]:
            self._seen = (self.counts[_WINDOWS], now)
        elif now - self._seen[1] > _STALLED_SECONDS:
            self._process.kill()
            self._replace(f"the embedding process computed nothing for {_STALLED_SECONDS:g} s", now)

    def close(self) -> None:
        """End the process."""
        self.is_ready = False
        if self._process:
            self._process.kill()
            self._process = None
        if self._folder:
            self._folder.remove()
            self._folder = None

    def _start(self) -> None:
        settings = EmbeddingSettings(
            self._info, self._shown_folder, self._file, self.threads, self._address, self.counts
        )
        try:
            self._process = ChildProcess(_main, settings, "autobird embedding")
        except OSError as error:  # for example too many open files; other clients may close theirs
            self._note_failure(f"the embedding process cannot be started ({error.strerror or error})")

    def _receive(self, now: float) -> None:
        """Receive the first message of a new process."""
        assert self._process
        message: EmbeddingReady | NotReady
        try:
            if self._process.pipe.poll():
                message = self._process.pipe.recv()
            elif now - self._process.started > START_SECONDS:
                message = NotReady(f"the embedding process did not load the backbone in {START_SECONDS:g} s")
            else:
                return
        except (EOFError, OSError):
            crash = self._process.ended()
            how = crash.how if isinstance(crash, Killed) else crash.signal
            message = NotReady(f"the embedding process ended while it loaded the backbone ({how})")
        if isinstance(message, EmbeddingReady):
            self.is_ready, self.error, self._ready_at, self._seen = True, "", now, (-1.0, now)
            return
        self._process.kill()
        self._process = None
        self._note_failure(message.error)

    def _replace(self, why: str, now: float) -> None:
        """Forget a process that has ended; compute processes send their windows again to the next one."""
        log.warning("%s; it is replaced, and its windows are computed again", why)
        self.is_ready, self._process = False, None
        self.replaced += 1
        self.counts[_WAITING] = 0
        if now - self._ready_at < _SHORT_LIFE:
            self._note_failure("")
        else:
            self._failures, self._next_start = 0, 0.0
            self._start()

    def _note_failure(self, error: str) -> None:
        """Note why there is no process, and when the next attempt is made."""
        self.error = error
        if error:  # at the first start, the caller reports it
            log.log(logging.WARNING if self._ready_at else logging.DEBUG, "%s", error)
        self._failures += 1
        self._next_start = time.monotonic() + pause_after(self._failures)


class Embeddings:
    """The embedding processes by backbone.

    `tick` and `close` are called by one thread, which lives as long as the processes; the other methods by all threads.

    Args:
        file: file of the backbone, see `Classifier`.
        threads: number of windows that a process computes at the same time.
    """

    def __init__(self, file: str | None = None, threads: int = 1) -> None:
        self._file, self._threads = file, threads
        self._lock = threading.Lock()
        self._found: dict[str, Embedding] = {}
        self._ended_windows, self._ended_seconds, self._ended_replaced = 0.0, 0.0, 0

    def lease(self, bundle: Path, shown_folder: Path) -> Embedding | None:
        """Return the embedding process for a bundle, which `tick` starts; None if it needs none.

        Bundles with the same backbone share it. Each lease must be released.

        Args:
            bundle: folder of the (copy of the) bundle.
            shown_folder: what messages call it.

        Raises:
            AutobirdError: there is no temporary folder for it.
        """
        info = _backbone_of(bundle)
        if info is None:
            return None
        key = json.dumps(
            {name: value for name, value in info.items() if name not in ("licence", "source")}, sort_keys=True
        )
        with self._lock:
            if key not in self._found:
                try:
                    self._found[key] = Embedding(info, shown_folder, self._file, self._threads)
                except OSError as error:
                    raise AutobirdError(
                        f"a temporary folder cannot be created ({error.strerror or error}); make space there, or set TMPDIR to another"
                    ) from error
            self._found[key].users += 1
            return self._found[key]

    def release(self, embedding: Embedding | None) -> None:
        """Return a lease; without leases, `tick` ends the process."""
        if embedding:
            with self._lock:
                embedding.users -= 1

    def waits_for(self) -> list[Pipe | int]:
        """Return what `tick` waits for."""
        with self._lock:
            return [item for embedding in self._found.values() for item in embedding.waits_for()]

    def tick(self) -> None:
        """Start, check, replace and end processes as needed; takes some milliseconds."""
        with self._lock:
            unused = [key for key, embedding in self._found.items() if embedding.users <= 0]
            ended = [self._found.pop(key) for key in unused]
            for embedding in ended:
                self._ended_windows += embedding.counts[_WINDOWS]
                self._ended_seconds += embedding.counts[_SECONDS]
                self._ended_replaced += embedding.replaced
            used = list(self._found.values())
        for embedding in ended:
            embedding.close()
        for embedding in used:
            embedding.tick()

    def totals(self) -> tuple[int, float, int]:
        """Return the windows that were computed since the start, the seconds that they took, and the processes that were replaced."""
        with self._lock:
            found = list(self._found.values())
            return (
                int(self._ended_windows + sum(embedding.counts[_WINDOWS] for embedding in found)),
                self._ended_seconds + sum(embedding.counts[_SECONDS] for embedding in found),
                self._ended_replaced + sum(embedding.replaced for embedding in found),
            )

    def close(self) -> None:
        """End all processes at once."""
        with self._lock:
            found, self._found = list(self._found.values()), {}
        for embedding in found:
            embedding.close()


def _backbone_of(bundle: Path) -> dict[str, Any] | None:
    """Return the backbone that a bundle records; None without one, or if the bundle is damaged, which its compute process reports."""
    try:
        info = json.loads((bundle / "bundle.json").read_text(encoding="utf-8")).get("backbone")
    except (OSError, ValueError, AttributeError):
        return None
    return info if isinstance(info, dict) and isinstance(info.get("name"), str) else None


def _main(pipe: Pipe, settings: EmbeddingSettings) -> None:
    """Load the backbone, and compute windows until the front closes the pipe or dies."""
    prepare()
    from autobird.serving.compute.embedding_process import serve_embeddings

    serve_embeddings(pipe, settings)
