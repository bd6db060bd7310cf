"""Former names of the log, until the app uses `serving.store`."""

from pathlib import Path

from autobird.serving.store.entries import LogEntry
from autobird.serving.store.sqlite import SqliteBackend
from autobird.serving.store.store import Store

__all__ = ["LogEntry", "PredictionLog"]


class PredictionLog(Store):
    """A log in a SQLite file."""

    def __init__(self, path: Path) -> None:
        super().__init__(SqliteBackend(path))
