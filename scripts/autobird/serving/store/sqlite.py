"""The log in a SQLite file, which other processes may read, lock, change, move or delete meanwhile."""

import re
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from autobird.core.errors import AutobirdError
from autobird.serving.store.backend import Query, Row, RowRefused, Unavailable
from autobird.serving.store.schema import ADDED, FEEDBACK, FIRST, INDEXES, SQLITE, VERSION, Column, TableName

_START_TIMEOUT = 10.0
"""Time to wait at the start for other processes that write to the file, seconds."""

_WRITE_TIMEOUT = 0.25
"""Time that one attempt to write waits for other processes, seconds; the writer tries again."""

_READ_TIMEOUT = 5.0
"""Time to wait for a process that locks the file for reading too, seconds."""

_RETRY_INTERVAL = 0.01
"""Pause before a statement that SQLite refuses without waiting is tried again, seconds."""

_CHANGED = re.compile("no such table|has no column named")
"""Messages of statements about a table that another program dropped or changed."""

_REMEDY = "give the path of a new file, or of a log that `autobird serve --log` wrote, on a disk with free space"


class SqliteBackend:
    """See `Backend`. The file is created if it does not exist, also while the server runs.

    Committed rows survive the end of the process at any time (write-ahead log); a power failure may cost the last ones.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.name = str(path)
        self.recreated = 0
        self._connection: sqlite3.Connection | None = None
        self._file: tuple[int, int] | None = None
        self._has_changed = False

    def open(self) -> None:
        """See `Backend`."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            if self.path.is_dir():
                raise AutobirdError(f"the log {self.path} is a folder; {_REMEDY}")
            self._create(_START_TIMEOUT)
        except (OSError, sqlite3.Error) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            raise AutobirdError(f"the log {self.path} cannot be used ({reason}); {_REMEDY}") from error

    def write(self, rows: Sequence[Row]) -> list[int | None]:
        """See `Backend`."""
        for _ in range(3):
            numbers = self._attempt(rows)
            # A file that was moved or deleted during the transaction does not have the rows where readers look for them.
            if numbers is not None and not self._is_replaced():
                return numbers
            self._reopen()
        raise Unavailable(f"{self.path} is changed, moved or deleted again and again; {_REMEDY}")

    def _attempt(self, rows: Sequence[Row]) -> list[int | None] | None:
        """Write rows; return None if the file was moved or deleted, or its tables were."""
        if self._connection is not None and self._is_replaced():
            return None
        try:
            connection = self._connect()
            with connection:
                connection.execute("BEGIN IMMEDIATE")
                return [connection.execute(SQLITE.insert(row.table), row.values).lastrowid for row in rows]
        except (sqlite3.IntegrityError, sqlite3.InterfaceError, sqlite3.ProgrammingError, ValueError) as error:
            raise RowRefused(str(error)) from error
        except (sqlite3.Error, OSError) as error:
            self._has_changed = bool(_CHANGED.search(str(error)))
            if self._connection is not None and self._is_replaced():
                return None
            self.close()
            raise Unavailable(str(error)) from error

    def prune(self, before: float, limit: int) -> int:
        """See `Backend`."""
        try:
            connection = self._connect()
            with connection:
                connection.execute("BEGIN IMMEDIATE")
                return connection.execute(
                    "DELETE FROM predictions WHERE id IN (SELECT id FROM predictions WHERE time < ? ORDER BY time LIMIT ?)",
                    (before, limit),
                ).rowcount
        except (sqlite3.Error, OSError) as error:
            self._has_changed = bool(_CHANGED.search(str(error)))
            self.close()
            raise Unavailable(str(error)) from error

    @contextmanager
    def snapshot(self) -> Iterator[Query]:
        """See `Backend`."""
        try:
            connection = sqlite3.connect(f"{self.path.absolute().as_uri()}?mode=ro", timeout=_READ_TIMEOUT, uri=True)
        except sqlite3.Error as error:
            raise Unavailable(str(error)) from error

        def query(sql: str, parameters: Sequence[Any] = ()) -> Iterator[tuple[Any, ...]]:
            try:
                yield from connection.execute(sql, parameters)
            except sqlite3.Error as error:
                raise Unavailable(str(error)) from error

        try:
            list(query("BEGIN"))
            yield query
        finally:
            connection.close()

    def close(self) -> None:
        """See `Backend`."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _connect(self) -> sqlite3.Connection:
        """Return the connection that writes; if there is none, open the file, or create what someone moved or deleted."""
        if self._connection is None:
            if self._is_replaced():
                self.path.parent.mkdir(parents=True, exist_ok=True)
                try:
                    self._create(_WRITE_TIMEOUT)
                except AutobirdError as error:
                    raise sqlite3.DatabaseError(str(error)) from error
                self.recreated += 1
            self._connection = _connection(self.path, _WRITE_TIMEOUT)
            self._connection.execute("SELECT id FROM predictions LIMIT 1")  # opens the file
            if self._is_replaced():  # perhaps before it was opened
                raise sqlite3.OperationalError(f"{self.path} was moved or deleted")
        return self._connection

    def _reopen(self) -> None:
        """Close a file that was moved or deleted; the next connection opens or creates the one at the path."""
        if self._connection is not None:
            # Closing a moved file does not copy the entries of the write-ahead log, which stays at the old path.
            with suppress(sqlite3.Error):
                self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        self.close()

    def _is_replaced(self) -> bool:
        return self._has_changed or self._on_disk() != self._file

    def _on_disk(self) -> tuple[int, int] | None:
        try:
            status = self.path.stat()
        except OSError:
            return None
        return status.st_dev, status.st_ino

    def _create(self, timeout: float) -> None:
        connection = _connection(self.path, timeout)
        try:
            tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            version = connection.execute("PRAGMA user_version").fetchone()[0]
            is_own = self._has_changed and version == VERSION and self._on_disk() == self._file
            if tables and "predictions" not in tables and not is_own:
                raise AutobirdError(
                    f"the log {self.path} is a database of another program; give the path of another file"
                )
            _use_write_ahead_log(connection, timeout)
            with connection:
                connection.execute("BEGIN IMMEDIATE")
                self._create_tables(connection)
            found = self._on_disk()
            if found is None:
                raise sqlite3.OperationalError(f"{self.path} was moved or deleted")
            self._file, self._has_changed = found, False
        finally:
            connection.close()

    def _create_tables(self, connection: sqlite3.Connection) -> None:
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if version > VERSION:
            raise AutobirdError(
                f"the log {self.path} was written by a newer version of Autobird (tables {version}, this one has {VERSION}); "
                "use that version, or give the path of a new file"
            )
        required: dict[TableName, tuple[Column, ...]] = {"predictions": FIRST, "feedback": FEEDBACK}
        for table, columns in required.items():
            connection.execute(SQLITE.create(table))
            if missing := {column.name for column in columns} - _columns(connection, table):
                raise AutobirdError(
                    f"the log {self.path} has no column {min(missing)!r} in its table {table}: another version of Autobird wrote it, "
                    "or another program changed it; give the path of a new file"
                )
        known = _columns(connection, "predictions")
        for column in (column for column in ADDED if column.name not in known):
            connection.execute(f"ALTER TABLE predictions ADD COLUMN {SQLITE.definition(column)}")
        for index in INDEXES:
            connection.execute(index)
        # Also a write that changes nothing: a full disk or a file that may only be read is reported now.
        connection.execute(f"PRAGMA user_version = {VERSION}")


def _columns(connection: sqlite3.Connection, table: TableName) -> set[str]:
    return {row[1] for row in connection.execute(f"PRAGMA table_info({table})")}


def _connection(path: Path, timeout: float) -> sqlite3.Connection:
    # Transactions are begun explicitly. The connection is used by one thread at a time, and closed by another at the end.
    connection = sqlite3.connect(path, timeout, isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA synchronous=NORMAL")
    return connection


def _use_write_ahead_log(connection: sqlite3.Connection, timeout: float) -> None:
    """Switch the file to a write-ahead log, which it keeps.

    While another process uses the file, SQLite refuses this switch at once instead of waiting, so that processes that start
    together would fail. It is therefore tried again until one of them succeeds.

    Raises:
        sqlite3.Error: the file is not a database or cannot be written, or another process locks it for `timeout`.
    """
    deadline = time.monotonic() + timeout
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
