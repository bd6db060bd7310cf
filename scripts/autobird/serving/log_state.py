"""The state of the log of predictions; the Snakefile imports this module, so it must import quickly."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def log_state(path: Path) -> str:
    """Return a text that changes when entries are added to a log or removed from it.

    Entries are never changed, so the number of entries of each bundle, the last one and their times identify the content. A
    checksum of the file would not change at once, because SQLite first writes new entries to another file (write-ahead log).
    """
    try:
        with snapshot(path) as connection:
            states = connection.execute(
                "SELECT bundle, count(*), max(id), min(time), max(time) FROM predictions GROUP BY bundle ORDER BY bundle"
            )
            return "; ".join(" ".join(map(str, state)) for state in states) or "empty"
    except sqlite3.Error as error:
        return f"not a log: {error}"


@contextmanager
def snapshot(path: Path) -> Iterator[sqlite3.Connection]:
    """Open a log for reading; all statements see the same entries, also while a server adds some."""
    connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
    try:
        connection.execute("BEGIN")
        yield connection
    finally:
        connection.close()
