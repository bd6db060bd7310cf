"""The log of predictions in SQLite: drift features and results. It holds no audio and no addresses of clients."""

import sqlite3
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from autobird.core.errors import AutobirdError
from autobird.drift.features import DRIFT_FEATURES

_COLUMNS = ("time", "bundle", "duration", "species", "probability", *DRIFT_FEATURES)

_SCHEMA = f"""
CREATE TABLE IF NOT EXISTS predictions (
    id INTEGER PRIMARY KEY, time REAL NOT NULL, bundle TEXT NOT NULL, duration REAL NOT NULL, species TEXT, probability REAL,
    {", ".join(f"{name} REAL NOT NULL" for name in DRIFT_FEATURES)}
)
"""

_LOCK_TIMEOUT = 10.0
"""Time to wait for other processes that write to the file, seconds."""

_RETRY_INTERVAL = 0.01
"""Pause before a statement that SQLite refuses without waiting is tried again, seconds."""


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
    """Writes to a SQLite file that several processes share; the file is created if it does not exist.

    Raises:
        AutobirdError: the file cannot be created, read or written, or is not a log of the server.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._local = threading.local()
        remedy = "give the path of a new file, or of a log that `autobird serve --log` wrote, on a disk with free space"
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.is_dir():
                raise AutobirdError(f"the log {path} is a folder; {remedy}")
            self._create_table()
        except (OSError, sqlite3.Error) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            raise AutobirdError(f"the log {path} cannot be used ({reason}); {remedy}") from error
        finally:
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

    def _create_table(self) -> None:
        connection = self._connection()
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if tables and "predictions" not in tables:
            raise AutobirdError(f"the log {self.path} is a database of another program; give the path of another file")
        _use_write_ahead_log(connection)
        with connection:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute(_SCHEMA)
            columns = {row[1] for row in connection.execute("PRAGMA table_info(predictions)")}
            if missing := set(_COLUMNS) - columns:
                raise AutobirdError(
                    f"the log {self.path} has no column {min(missing)!r}: another version of Autobird wrote it; "
                    "give the path of a new file"
                )
            # A write that changes nothing: a full disk or a file that may only be read is reported now.
            version = connection.execute("PRAGMA user_version").fetchone()[0]
            connection.execute(f"PRAGMA user_version = {version}")

    def _connection(self) -> sqlite3.Connection:
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = sqlite3.connect(self.path, timeout=_LOCK_TIMEOUT)
            connection.execute("PRAGMA synchronous=NORMAL")
            self._local.connection = connection
        return connection


def _use_write_ahead_log(connection: sqlite3.Connection) -> None:
    """Switch the file to a write-ahead log, which it keeps.

    While another process uses the file, SQLite refuses this switch at once instead of waiting, so that processes that start
    together would fail. It is therefore tried again until one of them succeeds.

    Raises:
        sqlite3.Error: the file is not a database or cannot be written, or another process locks it for `_LOCK_TIMEOUT`.
    """
    deadline = time.monotonic() + _LOCK_TIMEOUT
    while True:
        try:
            if connection.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
                connection.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as error:
            # The lower 8 bits of an extended error code are the primary one.
            is_locked = error.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
            if not is_locked or time.monotonic() > deadline:
                raise
        time.sleep(_RETRY_INTERVAL)
