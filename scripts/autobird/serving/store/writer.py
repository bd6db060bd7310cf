"""The thread that writes rows to a database: many in one transaction, again if it is unavailable, and old ones are removed."""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import islice

from autobird.serving.store.backend import Backend, Row, RowRefused, Unavailable

log = logging.getLogger("autobird")

CAPACITY = 20_000
"""Rows that may wait for a database that is unavailable: about 1 kB each, and several minutes of a busy server."""

_BATCH = 500
"""Largest number of rows of one transaction."""

_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 2.0
"""Pause after an attempt that failed, seconds; it doubles after each further one."""

_PRUNE_INTERVAL = 3600.0
"""Time between two searches for entries that are too old, seconds."""

_PRUNE_ROWS = 5000
"""Entries that are removed in one transaction: waiting rows are written in between."""

_MESSAGE_INTERVAL = 60.0
"""Time between two messages about a database that is unavailable, seconds."""


@dataclass
class _Waiting:
    row: Row
    number: int | None = None
    done: threading.Event = field(default_factory=threading.Event)


class Writer:
    """Writes rows in the order in which they are added.

    Args:
        backend: the database, opened.
        keep_days: days for which predictions are kept; None: for ever.
        on_lost: called with the number of rows that will never be written.
        on_recreated: called after the tables were created again.
        capacity: rows that may wait.
        clock: seconds since 1970 UTC.

    Attributes:
        written: rows that were written.
        lost: rows that were not, and never will be.
        pruned: predictions that were removed because of their age.
        error: why the database is unavailable; "" if it is not.
    """

    def __init__(
        self,
        backend: Backend,
        keep_days: float | None = None,
        on_lost: Callable[[int], object] = lambda _: None,
        on_recreated: Callable[[], object] = lambda: None,
        capacity: int = CAPACITY,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._backend, self._keep_days, self._clock = backend, keep_days, clock
        self._on_lost, self._on_recreated, self._capacity = on_lost, on_recreated, capacity
        self._waiting: deque[_Waiting] = deque()
        self._changed = threading.Condition()
        self._stop_at: float | None = None
        self._prune_at = 0.0
        self._message_at = 0.0
        self._recreated = backend.recreated
        self.written = self.lost = self.pruned = 0
        self.error = ""
        self._thread = threading.Thread(target=self._run, name="autobird-log", daemon=True)
        self._thread.start()

    def add(self, row: Row, timeout: float, is_refusable: bool = False) -> int | None:
        """Add a row; wait until it is written, and return its id.

        Returns None if it is not written yet, but will be as soon as the database is available; or never, if too many rows wait.
        While the database is unavailable, nobody waits.

        Args:
            row: the row.
            timeout: longest time to wait, seconds.
            is_refusable: whether an exception is raised if too many rows wait; otherwise the row is counted as lost.

        Raises:
            Unavailable: too many rows wait; only with `is_refusable`.
        """
        waiting = _Waiting(row)
        with self._changed:
            is_full = self._stop_at is not None or len(self._waiting) >= self._capacity
            if not is_full:
                self._waiting.append(waiting)
                self._changed.notify()
        if is_full:
            if is_refusable:
                raise Unavailable(f"{len(self._waiting)} rows wait for the database")
            self._count_lost(1)
            return None
        if not self.error:
            waiting.done.wait(timeout)
        return waiting.number

    def waiting(self) -> int:
        """Return the number of rows that wait."""
        return len(self._waiting)

    def waits(self, is_meant: Callable[[Row], bool]) -> bool:
        """Return whether a row waits for which a condition holds."""
        with self._changed:
            return any(is_meant(waiting.row) for waiting in self._waiting)

    def close(self, timeout: float) -> None:
        """Write the rows that wait, at most for `timeout` seconds, and end the thread; count those that remain as lost."""
        with self._changed:
            self._stop_at = time.monotonic() + timeout
            self._changed.notify()
        self._thread.join(timeout + 15)  # an attempt that has begun ends by its own time limit
        if not self._thread.is_alive() and (remaining := len(self._waiting)):
            self._waiting.clear()
            self._count_lost(remaining)

    def _run(self) -> None:
        pause = _FIRST_PAUSE
        while (batch := self._next_batch()) is not None:
            try:
                self._write(batch)
                self._prune()
                self.error, pause = "", _FIRST_PAUSE
                continue
            except Unavailable as error:
                self._report(str(error))
            except Exception as error:  # a fault must not end the thread, because rows would then wait for ever
                log.exception("error while writing to the log %s", self._backend.name)
                self._report(f"internal error ({type(error).__name__})")
            with self._changed:
                self._changed.wait_for(lambda: self._stop_at is not None, pause)
            pause = min(2 * pause, _LONGEST_PAUSE)
        self._backend.close()

    def _next_batch(self) -> list[_Waiting] | None:
        """Wait for rows, or until old entries are to be removed; return the rows, or None to end."""
        with self._changed:
            until_prune = None if self._keep_days is None else max(0.0, self._prune_at - time.monotonic())
            self._changed.wait_for(lambda: self._waiting or self._stop_at is not None, until_prune)
            if self._stop_at is not None and (not self._waiting or time.monotonic() >= self._stop_at):
                return None
            return list(islice(self._waiting, _BATCH))

    def _write(self, batch: list[_Waiting]) -> None:
        """Write rows, and remove them from those that wait.

        Raises:
            Unavailable: they still wait.
        """
        if not batch:
            return
        try:
            numbers = self._backend.write([waiting.row for waiting in batch])
        except RowRefused as error:
            if len(batch) > 1:
                for waiting in batch:  # the others must not be lost with the row that is refused
                    self._write([waiting])
                return
            log.warning("the log %s refuses an entry: %s", self._backend.name, error)
            self._count_lost(1)
            numbers = [None]
        else:
            self.written += len(batch)
        if self._backend.recreated != self._recreated:
            self._recreated = self._backend.recreated
            log.warning("the log %s, or a table of it, was moved or deleted; it was created again", self._backend.name)
            self._on_recreated()
        with self._changed:
            for waiting, number in zip(batch, numbers, strict=True):
                self._waiting.popleft()
                waiting.number = number
                waiting.done.set()

    def _prune(self) -> None:
        """Remove some of the entries that are too old, if the last search is long enough ago.

        Raises:
            Unavailable: none was removed.
        """
        if self._keep_days is None or time.monotonic() < self._prune_at:
            return
        removed = self._backend.prune(self._clock() - self._keep_days * 86400, _PRUNE_ROWS)
        self.pruned += removed
        if removed < _PRUNE_ROWS:
            self._prune_at = time.monotonic() + _PRUNE_INTERVAL

    def _report(self, error: str) -> None:
        self.error = error
        if time.monotonic() >= self._message_at:
            self._message_at = time.monotonic() + _MESSAGE_INTERVAL
            log.warning(
                "the log %s cannot be written now: %s; %d entries wait", self._backend.name, error, self.waiting()
            )

    def _count_lost(self, count: int) -> None:
        self.lost += count
        self._on_lost(count)
