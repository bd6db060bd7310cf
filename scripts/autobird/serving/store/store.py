"""The log of predictions and the feedback, as the server uses them."""

import datetime as dt
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from autobird.core.errors import AutobirdError
from autobird.drift.names import DRIFT_FEATURES
from autobird.serving.store.backend import Backend, Row
from autobird.serving.store.distinct import Distinct
from autobird.serving.store.entries import Feedback, LogEntry, Role, new_key, stored_text
from autobird.serving.store.schema import FEEDBACK, PREDICTIONS, ROLE
from autobird.serving.store.sqlite import SqliteBackend
from autobird.serving.store.writer import CAPACITY, Writer

WRITE_SECONDS = 1.0
"""Longest time that an answer waits until its entry is written, seconds."""

MAX_PAGE = 500
"""Largest number of entries of a page."""

_CLOSE_SECONDS = 5.0
"""Time at the end of the server for entries that wait, seconds."""

_ENTRY = "id, time, request, role, bundle, duration, species, probability, unknown_score, detections, detection_count, seconds"

_SEARCHED = 20
"""Entries that are searched for each recording of the drift test: many are repetitions if a program sends the same file again and again."""

_REQUEST = [column.name for column in PREDICTIONS].index("request")


class StoreState(NamedTuple):
    """Counts since the start of the server, and why the database cannot be written now.

    Attributes:
        written: rows that were written.
        waiting: rows that wait for the database.
        lost: rows that will never be written.
        recreated: how often the log was created again, because someone had moved or deleted it.
        pruned: predictions that were removed because of their age.
        error: why the database cannot be written now, or "".
    """

    written: int
    waiting: int
    lost: int
    recreated: int
    pruned: int
    error: str


class Store:
    """The log; used by many threads at once.

    Args:
        backend: the database; it is opened.
        keep_days: days for which predictions are kept; None: for ever. Feedback is kept.
        on_lost: called with the number of rows that will never be written.
        on_recreated: called after the log was created again, because someone had moved or deleted it.
        capacity: rows that may wait for a database that is unavailable.

    Raises:
        AutobirdError: the database cannot be used.
    """

    def __init__(
        self,
        backend: Backend,
        keep_days: float | None = None,
        on_lost: Callable[[int], object] = lambda _: None,
        on_recreated: Callable[[], object] = lambda: None,
        capacity: int = CAPACITY,
    ) -> None:
        backend.open()
        self._backend = backend
        self._writer = Writer(backend, keep_days, on_lost, on_recreated, capacity)

    def append(self, entry: LogEntry, timeout: float = WRITE_SECONDS) -> int | None:
        """Write an entry, and return its id after it is committed.

        Returns None if that takes longer than `timeout` (seconds): the entry is then written as soon as possible. If it never can be, it
        is counted as lost.
        """
        return self._writer.add(Row("predictions", entry.values(), new_key()), timeout)

    def append_feedback(self, feedback: Feedback, timeout: float = WRITE_SECONDS) -> int | None:
        """Write feedback; see `append`.

        Raises:
            Unavailable: the database is unavailable, and too many rows wait for it already.
        """
        return self._writer.add(Row("feedback", feedback.values(), new_key()), timeout, is_refusable=True)

    def page(
        self, before: int | None = None, limit: int = 50, species: str | None = None, role: Role | None = None
    ) -> list[dict[str, Any]]:
        """Return entries as JSON values, the newest first.

        Args:
            before: id; only older entries are returned.
            limit: largest number of entries.
            species: only recordings with this most probable species.
            role: only entries of this role (`entries.Role`).

        Raises:
            Unavailable: the database cannot be read.
        """
        conditions = {"id < ?": before, "species = ?": species, f"{ROLE} = ?": role}
        used = {text: value for text, value in conditions.items() if value is not None}
        where = f"WHERE {' AND '.join(used)} " if used else ""
        with self._backend.snapshot() as query:
            rows = query(f"SELECT {_ENTRY} FROM predictions {where}ORDER BY id DESC LIMIT ?", [*used.values(), limit])
            return [_entry_json(row) for row in rows]

    def feedback(self, before: int | None = None, limit: int = 50) -> list[dict[str, Any]]:
        """Return feedback as JSON values, the newest first; see `page`."""
        names = ", ".join(column.name for column in FEEDBACK)
        titles = ["id", *(column.title for column in FEEDBACK)]
        where, values = ("WHERE id < ? ", [before]) if before is not None else ("", [])
        with self._backend.snapshot() as query:
            rows = query(f"SELECT id, {names} FROM feedback {where}ORDER BY id DESC LIMIT ?", [*values, limit])
            found = [dict(zip(titles, row, strict=True)) for row in rows]
        return [{**row, "time": utc(row["time"])} for row in found]

    def has_request(self, request: str) -> bool:
        """Return whether there is an entry of a request or job, or one that waits to be written.

        Raises:
            Unavailable: the database cannot be read.
        """
        request = stored_text(request)
        # In this order: an entry stops to wait after it is written.
        if self._writer.waits(lambda row: row.table == "predictions" and row.values[_REQUEST] == request):
            return True
        with self._backend.snapshot() as query:
            return bool(list(query("SELECT 1 FROM predictions WHERE request = ? LIMIT 1", [request])))

    def request_of(self, prediction: int) -> str | None:
        """Return the id of the request or job of an entry, "" for one of an older version; None: there is no such entry.

        Raises:
            Unavailable: the database cannot be read.
        """
        with self._backend.snapshot() as query:
            found = list(query("SELECT request FROM predictions WHERE id = ?", [prediction]))
        return found[0][0] or "" if found else None

    def features(self, bundle: str, limit: int) -> list[tuple[float, ...]]:
        """Return the drift features (`DRIFT_FEATURES`) of the last recordings that a bundle classified, the newest first.

        A recording that was sent several times counts once (`Distinct`): otherwise it would make drift look more certain.

        Entries of a shadow bundle are not used: if it has the same network, it classified recordings that are there already.

        Raises:
            Unavailable: the database cannot be read.
        """
        distinct = Distinct()
        with self._backend.snapshot() as query:
            rows = query(
                f"SELECT duration, {', '.join(DRIFT_FEATURES)} FROM predictions WHERE bundle = ? AND {ROLE} <> 'shadow' "
                "ORDER BY id DESC LIMIT ?",
                [bundle, _SEARCHED * limit],
            )
            found = [tuple(features) for duration, *features in rows if distinct.is_new(duration, features)]
        return found[:limit]

    def state(self) -> StoreState:
        """Return what was written, waits and is lost."""
        w = self._writer
        return StoreState(w.written, w.waiting(), w.lost, self._backend.recreated, w.pruned, w.error)

    def close(self, timeout: float = _CLOSE_SECONDS) -> None:
        """Write the rows that wait, for at most `timeout` seconds; count the others as lost."""
        self._writer.close(timeout)


def backend_of(place: str | Path) -> Backend:
    """Return the database at a path or URL (`sqlite:///PATH`, `postgresql://...`).

    Raises:
        AutobirdError: the URL is of another kind, or a package that it needs is not installed.
    """
    text = str(place)
    if text.startswith("sqlite:///"):
        return SqliteBackend(Path(text.removeprefix("sqlite:///")))
    if text.startswith(("postgresql://", "postgres://")):
        from autobird.serving.store.postgres import PostgresBackend

        return PostgresBackend(text)
    if "://" in text:
        kind = text.partition("://")[0]
        raise AutobirdError(
            f"the log cannot be at a URL that starts with {kind!r}://; give a path, sqlite:///PATH or postgresql://USER@HOST/DATABASE"
        )
    return SqliteBackend(Path(text))


def utc(seconds: float) -> str:
    """Return seconds since 1970 UTC in ISO 8601 format, with milliseconds."""
    return dt.datetime.fromtimestamp(seconds, dt.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _entry_json(row: tuple[Any, ...]) -> dict[str, Any]:
    names = _ENTRY.split(", ")
    value = dict(zip(names, row, strict=True))
    value["time"] = utc(value["time"])
    value["request"], value["role"] = value["request"] or "", value["role"] or "answer"
    value["detections"] = [
        {"start": start, "end": end, "species": species, "probability": p}
        for start, end, species, p in json.loads(value["detections"] or "[]")
    ]
    value["seconds"] = json.loads(value["seconds"] or "{}")
    return value
