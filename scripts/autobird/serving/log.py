"""The log of requests: features of what came in and what was answered, in SQLite. No sound and no addresses are kept."""

import sqlite3
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from autobird.drift.monitor import FEATURES

_COLUMNS = ("time", "bundle", "duration", "species", "probability", *FEATURES)

_SCHEMA = f"""
CREATE TABLE IF NOT EXISTS predictions (
    id INTEGER PRIMARY KEY, time REAL NOT NULL, bundle TEXT NOT NULL, duration REAL NOT NULL, species TEXT, probability REAL,
    {", ".join(f"{name} REAL NOT NULL" for name in FEATURES)}
)
"""


@dataclass(frozen=True)
class Entry:
    """One answered recording; `species` is None if all of it was quiet."""

    bundle: str
    duration: float
    species: str | None
    probability: float | None
    features: dict[str, float]


class PredictionLog:
    """Appends to a SQLite file that several processes share."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self._local = threading.local()
        self._connection().execute(_SCHEMA)
        self._connection().commit()
        self.close()  # a connection must not cross a fork

    def append(self, entry: Entry) -> None:
        """Add one row.

        Raises:
            sqlite3.Error: the file cannot be written.
        """
        values = (time.time(), entry.bundle, entry.duration, entry.species, entry.probability)
        row = values + tuple(entry.features[name] for name in FEATURES)
        connection = self._connection()
        with connection:
            connection.execute(
                f"INSERT INTO predictions ({', '.join(_COLUMNS)}) VALUES ({', '.join('?' * len(_COLUMNS))})", row
            )

    def close(self) -> None:
        """Close this thread's connection."""
        if connection := getattr(self._local, "connection", None):
            connection.close()
            self._local.connection = None

    def _connection(self) -> sqlite3.Connection:
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = sqlite3.connect(self.path, timeout=10)
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=NORMAL")
            self._local.connection = connection
        return connection


def read_log(path: Path) -> Iterator[tuple[str, dict[str, float]]]:
    """Name and features of each logged recording, in the order they came.

    Raises:
        sqlite3.Error: not a log.
    """
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    try:
        for number, *values in connection.execute(f"SELECT id, {', '.join(FEATURES)} FROM predictions ORDER BY id"):
            yield f"request {number}", dict(zip(FEATURES, values, strict=True))
    finally:
        connection.close()


def log_state(path: Path) -> str:
    """What stands for a log's content: its rows are never changed, only added. The file itself does not tell, because
    SQLite keeps new rows in another one for a while."""
    try:
        connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
        try:
            return "{} {} {}".format(
                *connection.execute("SELECT count(*), max(id), max(time) FROM predictions").fetchone()
            )
        finally:
            connection.close()
    except sqlite3.Error as error:
        return f"not a log: {error}"
