"""The compute processes of one bundle: kept at their number, and replaced by those of the new bundle when it changes."""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from autobird.core.errors import AutobirdError
from autobird.serving.compute.child_process import START_SECONDS, pause_after
from autobird.serving.compute.embeddings import Embedding, Embeddings
from autobird.serving.compute.messages import NotReady, Pipe, ProcessSettings
from autobird.serving.compute.processes import ComputeProcess
from autobird.serving.compute.requests import ServedBundle
from autobird.serving.compute.snapshot import Signature, Snapshot, signature

log = logging.getLogger("autobird")

_WATCH_SECONDS = 1.0
"""How often the files of the bundle are compared. A change counts when two comparisons agree, as copying takes a while."""


class Generation:
    """Processes that have loaded the same copy of a bundle.

    Attributes:
        snapshot: the copy.
        embedding: the embedding process that computes its backbone; None: it has none.
        bundle: its description, as soon as a process is ready.
        idle: processes without a task.
        starting: processes that load the bundle.
        busy: processes with a task.
        error: why no process could be started; "" if the last one could.
    """

    def __init__(self, snapshot: Snapshot, embedding: Embedding | None = None) -> None:
        self.snapshot, self.embedding = snapshot, embedding
        self.bundle: ServedBundle | None = None
        self.idle: list[ComputeProcess] = []
        self.starting: list[ComputeProcess] = []
        self.busy: set[ComputeProcess] = set()
        self.error = ""
        self.failures, self.next_start = 0, 0.0

    @property
    def ready(self) -> int:
        """Number of processes that can compute."""
        return len(self.idle) + len(self.busy)

    @property
    def processes(self) -> int:
        """Number of processes."""
        return self.ready + len(self.starting)

    @property
    def can_answer(self) -> bool:
        """Whether a process and, if it is needed, the embedding process are ready."""
        return self.ready > 0 and (self.embedding is None or self.embedding.is_ready)


class Group:
    """The processes of a bundle.

    `tick` is called by one thread, which starts and ends processes; the other methods by all threads. The attributes of generations
    change while `lock` is held.

    Args:
        folder: the bundle; a change of its files, of a link in its path, or of the table of thresholds beside it is followed.
        settings: what processes are started with; its folders are replaced.
        size: number of processes.
        lock: of the pool.
        on_idle: called with the lock held when a process may take a task.
        embeddings: the embedding processes; None: each process loads the backbone.
    """

    def __init__(
        self,
        folder: Path,
        settings: ProcessSettings,
        size: int,
        lock: threading.Lock,
        on_idle: Callable[[], None] = lambda: None,
        embeddings: Embeddings | None = None,
    ) -> None:
        self._folder, self._settings, self._size, self._lock, self._on_idle = folder, settings, size, lock, on_idle
        self._embeddings = embeddings
        self.current = self._generation()
        self._incoming: Generation | None = None
        self._retired: list[Generation] = []
        self._seen: Signature = self.current.snapshot.signature
        self._tried = self._seen
        self._next_look = time.monotonic() + _WATCH_SECONDS
        self.replaced = 0
        """Number of processes that were started in place of one that ended."""
        self.swaps = 0
        """Number of times that a changed bundle took over."""
        self.swap_error = ""
        """Why the last change could not be loaded, or ""."""

    def take(self) -> tuple[Generation, ComputeProcess] | None:
        """Return an idle process, which is then busy; None if there is none. Hold the lock."""
        generation = self.current
        while generation.idle:
            process = generation.idle.pop()
            if process.is_alive():
                generation.busy.add(process)
                return generation, process
            self.replaced += 1
        return None

    def give_back(self, generation: Generation, process: ComputeProcess) -> bool:
        """Return a process after its task; return whether it lives, so that `tick` need not start another. Do not hold the lock."""
        is_alive = process.is_alive()
        with self._lock:
            generation.busy.discard(process)
            if is_alive:
                generation.idle.append(process)
                self._on_idle()
            else:
                self.replaced += 1
        return is_alive and generation is self.current

    def is_busy(self) -> bool:
        """Return whether any process has a task."""
        return any(generation.busy for generation in (self.current, *self._retired))

    def starting_pipes(self) -> list[Pipe]:
        """Return the connections whose first message `tick` waits for."""
        generations = [self.current, *([self._incoming] if self._incoming else [])]
        return [process.pipe for generation in generations for process in generation.starting]

    def tick(self) -> None:
        """Start, check, replace and end processes as needed; takes some milliseconds."""
        self._keep(self.current)
        if self._incoming:
            self._keep(self._incoming)
            self._swap(self._incoming)
        for generation in list(self._retired):
            with self._lock:
                idle, generation.idle = generation.idle, []
                starting, generation.starting = generation.starting, []
            for process in idle:
                process.stop()
            for process in starting:  # they were to take the place of one that ended just before the change
                process.kill()
            if not generation.processes:
                self._forget(generation)
                self._retired.remove(generation)
        self._watch()

    def close(self) -> None:
        """End all processes at once and delete the copies of the bundle."""
        for generation in (self.current, *self._retired, *([self._incoming] if self._incoming else [])):
            for process in (*generation.starting, *generation.idle, *generation.busy):
                process.kill()
            self._forget(generation)

    def _generation(self) -> Generation:
        """Return a new generation with a copy of the bundle as it is now.

        Raises:
            AutobirdError: it cannot be copied.
        """
        snapshot = Snapshot(self._folder)
        try:
            embedding = self._embeddings.lease(snapshot.folder, self._folder) if self._embeddings else None
        except AutobirdError:
            snapshot.remove()
            raise
        return Generation(snapshot, embedding)

    def _forget(self, generation: Generation) -> None:
        """Delete what a generation without processes has."""
        generation.snapshot.remove()
        if self._embeddings:
            self._embeddings.release(generation.embedding)

    def _keep(self, generation: Generation) -> None:
        """Receive the first messages of new processes, forget dead ones, and start those that are missing."""
        now = time.monotonic()
        if generation.embedding and generation.embedding.error and generation.bundle is None:
            with self._lock:
                starting, generation.starting = generation.starting, []
                self._note_failure(generation, generation.embedding.error)
            for process in starting:  # they wait for the embedding process
                process.kill()
            return
        for process in list(generation.starting):
            if process.pipe.poll():
                message = process.first_message()
            elif now - process.started > START_SECONDS:
                message = NotReady(f"a compute process did not load the bundle in {START_SECONDS:g} s")
                process.kill()
            else:
                continue
            with self._lock:
                generation.starting.remove(process)
                if isinstance(message, NotReady):
                    self._note_failure(generation, generation.snapshot.message(message.error))
                    log.debug("a compute process is not ready: %s", generation.error)
                    continue
                generation.error, generation.failures = "", 0
                if generation.bundle is None:
                    notes = tuple(map(generation.snapshot.message, message.bundle.notes))
                    generation.bundle = replace(message.bundle, folder=self._folder, notes=notes)
                generation.idle.append(process)
                if generation is self.current:
                    self._on_idle()
        with self._lock:
            dead = [process for process in generation.idle if not process.is_alive()]
            generation.idle = [process for process in generation.idle if process not in dead]
            self.replaced += len(dead)
            missing = self._size - generation.processes
        if generation.bundle is None:
            # The first process shows whether the bundle can be used, and starts sooner alone.
            missing = min(missing, 1 - len(generation.starting))
        if missing <= 0 or now < generation.next_start or (generation.error and generation is self._incoming):
            return
        settings = replace(self._settings, folder=generation.snapshot.folder, shown_folder=self._folder)
        if generation.embedding:
            settings = replace(settings, embedding=generation.embedding.address(settings.niceness > 0))
        for _ in range(missing):
            try:
                process = ComputeProcess(settings)
            except OSError as error:  # for example too many open files; other clients may close theirs
                self._note_failure(generation, f"a compute process cannot be started ({error.strerror or error})")
                log.warning("%s; the next attempt follows", generation.error)
                return
            with self._lock:
                generation.starting.append(process)

    def _note_failure(self, generation: Generation, error: str) -> None:
        """Note why a process could not be started, and when the next attempt is made."""
        generation.error = error
        generation.failures += 1
        generation.next_start = time.monotonic() + pause_after(generation.failures)

    def _swap(self, incoming: Generation) -> None:
        """Let a new generation take over when all its processes are ready, or give it up when it cannot be used."""
        if incoming.error:
            self._give_up(incoming)
        elif incoming.ready == self._size:
            with self._lock:
                self._retired.append(self.current)
                self.current, self._incoming = incoming, None
                self.swaps += 1
                self.swap_error = ""
                self._on_idle()
            assert incoming.bundle
            log.warning("%s is now served as %s (%s)", self._folder, incoming.bundle.name, incoming.bundle.fingerprint)

    def _give_up(self, incoming: Generation) -> None:
        self.swap_error, self._incoming = incoming.error, None
        log.warning("the changed bundle is not used, the former one goes on: %s", incoming.error)
        for process in (*incoming.starting, *incoming.idle):
            process.kill()
        self._forget(incoming)

    def _watch(self) -> None:
        now = time.monotonic()
        if now < self._next_look:
            return
        self._next_look = now + _WATCH_SECONDS
        before, self._seen = self._seen, signature(self._folder)
        if self._seen != before or self._seen == self._tried:
            return
        self._tried = self._seen
        if self._incoming:
            self._incoming.error = "it has changed again"
            self._give_up(self._incoming)
        if self.current.snapshot.signature == self._seen:
            self.swap_error = ""
            return
        try:
            self._incoming = self._generation()
        except AutobirdError as error:
            self.swap_error = str(error)
            log.warning("the changed bundle is not used, the former one goes on: %s", error)
