"""The log in a PostgreSQL database, in its schema `autobird`; needs the package psycopg (`autobird[postgres]`)."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from autobird.core.errors import AutobirdError
from autobird.serving.store.backend import Query, Row, RowRefused, Unavailable
from autobird.serving.store.schema import ADDED, INDEXES, POSTGRES, PREDICTIONS, VERSION

if TYPE_CHECKING:
    import psycopg

_SCHEMA = "autobird"
"""The tables have a schema of their own, so that they do not collide with those of other programs."""

_CONNECT_OPTIONS = {
    "connect_timeout": 5,
    "application_name": "autobird",
    # A connection that was cut is noticed after seconds, not after the minutes that TCP waits.
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 2,
    "tcp_user_timeout": 10_000,
}
"""Source: https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-PARAMKEYWORDS. Those of the URL come first."""

_WRITE_TIMEOUT = "1s"
"""Time that one attempt to write waits for locks; the writer tries again."""

_STATEMENT_TIMEOUT = "10s"
"""Time limit of a statement that writes."""

_START_LOCK = 7_283_461_905
"""Number of the lock under which the tables are created: servers that start together wait for each other."""

_ROWS = 2000
"""Rows that are fetched at a time."""


class PostgresBackend:
    """See `Backend`.

    Args:
        url: `postgresql://user@host:port/database`; the password is better in `~/.pgpass` or the environment variable `PGPASSWORD`.

    Raises:
        AutobirdError: psycopg is not installed.
    """

    def __init__(self, url: str) -> None:
        try:
            import psycopg
        except ImportError as error:
            raise AutobirdError(
                f"a log in PostgreSQL needs a package that is not installed ({error}); run: pip install 'autobird[postgres]'"
            ) from error
        self._psycopg, self._url = psycopg, url
        errors = psycopg.errors
        # Another program dropped a table, a column or the schema.
        self._changed = (errors.UndefinedTable, errors.UndefinedColumn, errors.InvalidSchemaName)
        try:
            parts = urlsplit(url)
            host = f"{parts.hostname or ''}{f':{parts.port}' if parts.port else ''}"
            psycopg.conninfo.conninfo_to_dict(url)
        except (ValueError, psycopg.Error):  # whose messages may hold a part of the password
            raise AutobirdError(
                "the URL of the log is not valid; give postgresql://USER@HOST:PORT/DATABASE, with special characters as %XX"
            ) from None
        self.name = f"postgresql://{f'{parts.username}@' if parts.username else ''}{host}{parts.path}"
        self.recreated = 0
        self._connection: psycopg.Connection[Any] | None = None

    def open(self) -> None:
        """See `Backend`."""
        try:
            with self._connect() as connection:
                self._create(connection)
        except self._psycopg.Error as error:
            raise AutobirdError(
                f"the log {self.name} cannot be used ({_one_line(error)}); check the URL, that the database exists, and that the user "
                f"may create the schema `{_SCHEMA}`"
            ) from error

    def write(self, rows: Sequence[Row]) -> list[int | None]:
        """See `Backend`."""
        try:
            return self._attempt(rows)
        except self._changed as error:
            try:
                with self._connect() as connection:
                    self._create(connection)
                self.recreated += 1
                return self._attempt(rows)
            except (AutobirdError, self._psycopg.Error) as second:
                raise Unavailable(f"{_one_line(error)}; it could not be created again ({_one_line(second)})") from error

    def _attempt(self, rows: Sequence[Row]) -> list[int | None]:
        try:
            if self._connection is None:
                self._connection = self._connect()
            numbers: list[int | None] = []
            with self._connection.transaction(), self._connection.cursor() as cursor:
                for table in dict.fromkeys(row.table for row in rows):
                    # A row whose transaction was committed just before the connection broke is there already.
                    statement = f"{POSTGRES.insert(table, ['key'])} ON CONFLICT (key) DO NOTHING RETURNING id"
                    values = [(*row.values, row.key) for row in rows if row.table == table]
                    cursor.executemany(statement, values, returning=True)
                    found = iter([(result.fetchone() or (None,))[0] for result in _results(cursor)])
                    numbers += found
            order = [
                n for table in dict.fromkeys(r.table for r in rows) for n, r in enumerate(rows) if r.table == table
            ]
            by_row = dict(zip(order, numbers, strict=True))
            return [by_row[n] for n in range(len(rows))]
        except (self._psycopg.DataError, self._psycopg.IntegrityError) as error:
            raise RowRefused(_one_line(error)) from error
        except self._changed:
            self.close()
            raise
        except (self._psycopg.Error, OSError) as error:
            self.close()
            raise Unavailable(_one_line(error)) from error

    def prune(self, before: float, limit: int) -> int:
        """See `Backend`."""
        try:
            if self._connection is None:
                self._connection = self._connect()
            with self._connection.transaction():
                return self._connection.execute(
                    "DELETE FROM predictions WHERE id IN (SELECT id FROM predictions WHERE time < %s ORDER BY time LIMIT %s)",
                    (before, limit),
                ).rowcount
        except (self._psycopg.Error, OSError) as error:
            self.close()
            raise Unavailable(_one_line(error)) from error

    @contextmanager
    def snapshot(self) -> Iterator[Query]:
        """See `Backend`."""
        try:
            connection = self._connect()
        except self._psycopg.Error as error:
            raise Unavailable(_one_line(error)) from error

        def query(sql: str, parameters: Sequence[Any] = ()) -> Iterator[tuple[Any, ...]]:
            try:
                # A cursor of the server sends the rows in parts.
                with connection.cursor(name="rows") as cursor:
                    cursor.itersize = _ROWS
                    cursor.execute(sql.replace("?", "%s"), parameters)
                    yield from cursor
            except self._psycopg.Error as error:
                raise Unavailable(_one_line(error)) from error

        try:
            connection.autocommit = False
            connection.isolation_level = self._psycopg.IsolationLevel.REPEATABLE_READ
            connection.read_only = True
            yield query
        finally:
            connection.close()

    def close(self) -> None:
        """See `Backend`."""
        if self._connection is not None:
            with suppress(self._psycopg.Error):
                self._connection.close()
            self._connection = None

    def _connect(self) -> "psycopg.Connection[Any]":
        options: dict[str, Any] = _CONNECT_OPTIONS | self._psycopg.conninfo.conninfo_to_dict(self._url)
        connection: psycopg.Connection[Any] = self._psycopg.connect(autocommit=True, **options)
        connection.execute(f"SET search_path TO {_SCHEMA}")
        connection.execute(f"SET lock_timeout TO '{_WRITE_TIMEOUT}'")
        connection.execute(f"SET statement_timeout TO '{_STATEMENT_TIMEOUT}'")
        return connection

    def _create(self, connection: "psycopg.Connection[Any]") -> None:
        with connection.transaction():
            connection.execute("SET LOCAL lock_timeout TO '10s'")
            connection.execute("SELECT pg_advisory_xact_lock(%s)", (_START_LOCK,))
            # A user who may not create schemas can use one that exists.
            if not connection.execute("SELECT 1 FROM pg_namespace WHERE nspname = %s", (_SCHEMA,)).fetchone():
                connection.execute(f"CREATE SCHEMA {_SCHEMA}")
            connection.execute("CREATE TABLE IF NOT EXISTS log_version (version INTEGER NOT NULL)")
            found = connection.execute("SELECT max(version) FROM log_version").fetchone()
            version = found[0] if found else None
            if version is not None and version > VERSION:
                raise AutobirdError(
                    f"the log {self.name} was written by a newer version of Autobird (tables {version}, this one has {VERSION}); "
                    "use that version, or another database"
                )
            if version is None:
                connection.execute("INSERT INTO log_version VALUES (%s)", (VERSION,))
            connection.execute(POSTGRES.create("predictions"))
            connection.execute(POSTGRES.create("feedback"))
            for column in ADDED:
                connection.execute(f"ALTER TABLE predictions ADD COLUMN IF NOT EXISTS {POSTGRES.definition(column)}")
            columns = {
                name
                for (name,) in connection.execute(
                    "SELECT column_name FROM information_schema.columns WHERE table_schema = %s AND table_name = 'predictions'",
                    (_SCHEMA,),
                )
            }
            if missing := {"key", *(column.name for column in PREDICTIONS)} - columns:
                raise AutobirdError(
                    f"the log {self.name} has no column {min(missing)!r}: another version of Autobird wrote it; use another database"
                )
            for index in INDEXES:
                connection.execute(index)


def _results(cursor: "psycopg.Cursor[Any]") -> Iterator["psycopg.Cursor[Any]"]:
    """Yield the cursor at the result of each row of `executemany`."""
    while True:
        yield cursor
        if not cursor.nextset():
            return


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
