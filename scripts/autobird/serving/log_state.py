"""The state of the log of predictions; the Snakefile imports this module, so it must import quickly."""

from pathlib import Path

from autobird.serving.store.backend import Unavailable
from autobird.serving.store.sqlite import SqliteBackend


def log_state(path: Path) -> str:
    """Return a text that changes when entries are added to a log or removed from it.

    Entries are never changed, so the number of entries of each bundle, the last one and their times identify the content. A
    checksum of the file would not change at once, because SQLite first writes new entries to another file (write-ahead log).
    """
    try:
        with SqliteBackend(path).snapshot() as query:
            states = query(
                "SELECT bundle, count(*), max(id), min(time), max(time) FROM predictions GROUP BY bundle ORDER BY bundle",
                [],
            )
            return "; ".join(" ".join(map(str, state)) for state in states) or "empty"
    except Unavailable as error:
        return f"not a log: {error}"
