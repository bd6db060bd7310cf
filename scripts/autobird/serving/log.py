"""The log of predictions in SQLite: drift features and results. It holds no audio and no addresses of clients."""

import sqlite3
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from autobird.drift.features import DRIFT_FEATURES

_COLUMNS = ("time", "bundle", "duration", "species", "probability", *DRIFT_FEATURES)

_SCHEMA = f"""
CREATE TABLE IF NOT EXISTS predictions (
    id INTEGER PRIMARY KEY, time REAL NOT NULL, bundle TEXT NOT NULL, duration REAL NOT NULL, species TEXT, probability REAL,
    {", ".join(f"{name} REAL NOT NULL" for name in DRIFT_FEATURES)}
)
"""


@dataclass(frozen=True)
class LogEntry:
    """One classified recording.

    Attributes:
        bundle: fingerprint of the bundle.
        duration: length of the recording, seconds.
        species: most probable species; None if the whole recording is quiet.
        probability: probability of that species; None if there is none.
        features: drift features, by name.
    """

    bundle: str
    duration: float
    species: str | None
    probability: float | None
    features: dict[str, float]


class PredictionLog:
    """Writes to a SQLite file that several processes share; the file is created if it does not exist."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self._local = threading.local()
        self._connection().execute(_SCHEMA)
        self._connection().commit()
        self.close()  # an SQLite connection must not be used in a forked process

    def append(self, entry: LogEntry) -> None:
        """Add one entry.

        Raises:
            sqlite3.Error: the file cannot be written.
        """
        values = (time.time(), entry.bundle, entry.duration, entry.species, entry.probability)
        row = values + tuple(entry.features[name] for name in DRIFT_FEATURES)
        connection = self._connection()
        with connection:
            connection.execute(
                f"INSERT INTO predictions ({', '.join(_COLUMNS)}) VALUES ({', '.join('?' * len(_COLUMNS))})", row
            )

    def close(self) -> None:
        """Close the connection of this thread."""
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
    """Yield name and drift features of each logged recording, oldest first.

    Raises:
        sqlite3.Error: the file is not a log.
    """
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    try:
        for number, *values in connection.execute(
            f"SELECT id, {', '.join(DRIFT_FEATURES)} FROM predictions ORDER BY id"
        ):
            yield f"request {number}", dict(zip(DRIFT_FEATURES, values, strict=True))
    finally:
        connection.close()


def log_state(path: Path) -> str:
    """Return a text that changes when entries are added to a log.

    Entries are never changed, so their number and the last one identify the content. A checksum of the file would not change
    at once, because SQLite first writes new entries to another file (write-ahead log).
    """
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
