"""A folder of recordings in a bucket or on a server that fsspec knows, as the lock file lists it."""

from pathlib import Path

from autobird.core.errors import AutobirdError
from autobird.corpus.sources.base import Facts, Row, Source
from autobird.corpus.sources.lock import Entry, read_lock
from autobird.corpus.sources.metadata import complete


def source_key(root: str) -> Entry:
    """What a lock was made for."""
    return {"url": root.rstrip("/")}


class UrlSource(Source):
    """`<root>/<Species name>/<any depth>/<file>` at a URL.

    Args:
        lock: the lock file; each entry is {"row": `Row`, "facts": `Facts` or null}, both as objects.
        root: the URL.
    """

    def __init__(self, lock: Path, root: str) -> None:
        self.name = f"corpus.root: {root}"
        entries = read_lock(lock, source_key(root))
        try:
            self._rows = sorted((Row(**e["row"]) for e in entries), key=lambda r: r.recording)
            known = [complete(Facts(**e["facts"])) for e in entries if e["facts"]]
        except (KeyError, TypeError) as error:
            raise AutobirdError(f"{lock} is damaged ({error!r}); refresh it") from error
        self._facts = sorted(known, key=lambda f: f.recording)

    def rows(self) -> list[Row]:
        """Every file below the URL."""
        return self._rows

    def facts(self) -> list[Facts]:
        """The rows of its metadata table."""
        return self._facts
