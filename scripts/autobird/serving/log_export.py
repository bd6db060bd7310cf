"""Export the log of the server, from SQLite or PostgreSQL, to a table (parquet, CSV) or to a SQLite file that the drift test reads."""

import itertools
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from autobird.core.errors import AutobirdError
from autobird.core.files import atomic, csv_text
from autobird.serving.store.backend import Backend, Query, Unavailable
from autobird.serving.store.schema import TABLES, TableName
from autobird.serving.store.sqlite import SqliteBackend
from autobird.serving.store.store import backend_of, utc

SUFFIXES = (".parquet", ".csv", ".sqlite")
"""Kinds of files."""

_FORMULAS = ("=", "+", "-", "@", "\t", "\r")
"""Starts of texts that spreadsheets take for formulas."""


def export_log(
    place: str, output: Path, table: TableName = "predictions", since: float | None = None, until: float | None = None
) -> int:
    """Write the rows of a log in a time range, the oldest first, and return their number.

    Args:
        place: path or URL of the log; a server may be writing to it.
        output: the file. Parquet and CSV hold one table with the time as text (UTC); SQLite is a log, with both tables.
        table: which table.
        since: start of the range, seconds since 1970 UTC.
        until: end of the range, not included.

    Raises:
        AutobirdError: the log cannot be read, or the file is of another kind.
    """
    if output.suffix not in SUFFIXES:
        raise AutobirdError(f"--output {output}: the ending of the name must be one of {', '.join(SUFFIXES)}")
    backend = backend_of(place)
    if isinstance(backend, SqliteBackend) and not backend.path.exists():
        raise AutobirdError(f"{backend.name} does not exist; give what `autobird serve --log` was given")
    if (
        isinstance(backend, SqliteBackend)
        and output.exists()
        and backend.path.exists()
        and output.samefile(backend.path)
    ):
        raise AutobirdError(f"--output {output} is the log itself; give the path of another file")
    try:
        with backend.snapshot() as query:
            if output.suffix == ".sqlite":
                return _write_sqlite(query, output, since, until)
            rows = _rows(query, table, since, until)
            return (
                _write_parquet(rows, table, output) if output.suffix == ".parquet" else _write_csv(rows, table, output)
            )
    except Unavailable as error:
        raise AutobirdError(_message(backend, str(error))) from error
    except sqlite3.Error as error:
        raise AutobirdError(
            f"--output {output} cannot be written ({error}); give a path on a disk with free space"
        ) from error


def _message(backend: Backend, error: str) -> str:
    return (
        f"{backend.name} is not a log of the server, or cannot be read ({error}); give what `autobird serve --log` was given, and start "
        "that version of the server once with a log of an older version"
    )


def _rows(query: Query, table: TableName, since: float | None, until: float | None) -> Iterator[tuple[Any, ...]]:
    """Yield id and values of rows, the oldest first."""
    limits = {"time >= ?": since, "time < ?": until}
    used = {text: value for text, value in limits.items() if value is not None}
    where = f" WHERE {' AND '.join(used)}" if used else ""
    names = ", ".join(column.name for column in TABLES[table])
    return query(f"SELECT id, {names} FROM {table}{where} ORDER BY id", list(used.values()))


def _with_time(rows: Iterator[tuple[Any, ...]]) -> Iterator[list[Any]]:
    """Yield the values of rows with the time as text; it is the first column after the id."""
    for number, seconds, *values in rows:
        yield [number, utc(seconds), *values]


def _write_parquet(rows: Iterator[tuple[Any, ...]], table: TableName, output: Path) -> int:
    from autobird.predict.columns import Column
    from autobird.predict.parquet import write_parquet

    kinds: dict[str, Any] = {"real": "score", "text": "text", "integer": "count"}
    columns = [Column("id", "count", lambda _: None), Column("time", "text", lambda _: None)]
    columns += [Column(column.title, kinds[column.kind], lambda _: None) for column in TABLES[table][1:]]
    counter = itertools.count()
    write_parquet(output, columns, (row for row, _ in zip(_with_time(rows), counter, strict=False)))
    return next(counter)


def _write_csv(rows: Iterator[tuple[Any, ...]], table: TableName, output: Path) -> int:
    count = 0
    with atomic(output) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        file.write(csv_text([["id", *(column.title for column in TABLES[table])]]))
        for row in _with_time(rows):
            file.write(csv_text([[_cell(value) for value in row]]))
            count += 1
    return count


def _cell(value: float | str | None) -> str:
    """Return a value as text of a CSV file.

    Clients choose the texts of the feedback; spreadsheets run those that begin with certain characters as formulas, unless an apostrophe
    comes first. Source: https://owasp.org/www-community/attacks/CSV_Injection.
    """
    text = "" if value is None else str(value)
    return f"'{text}" if isinstance(value, str) and text.startswith(_FORMULAS) else text


def _write_sqlite(query: Query, output: Path, since: float | None, until: float | None) -> int:
    count = 0
    with atomic(output) as temporary:
        SqliteBackend(temporary).open()  # creates the tables
        with closing(sqlite3.connect(temporary)) as connection:
            with connection:
                for table in TABLES:
                    # With their ids, which feedback refers to.
                    names = ["id", *(column.name for column in TABLES[table])]
                    insert = f"INSERT INTO {table} ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})"
                    count += connection.executemany(insert, _rows(query, table, since, until)).rowcount
            # Without a write-ahead log, reading the file creates no others beside it, and works where nothing can be written.
            connection.execute("PRAGMA journal_mode=DELETE")
    return count
