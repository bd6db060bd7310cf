"""A folder of recordings in a bucket or on a server that fsspec knows, as the lock file lists it."""

from pathlib import Path

from autobird.core.errors import AutobirdError
from autobird.sources.base import ListedRecording, RecordingMetadata, Source
from autobird.sources.lock import Entry, read_lock
from autobird.sources.metadata import complete


def source_key(root: str) -> Entry:
    """What a lock was made for."""
    return {"url": root.rstrip("/")}


class UrlSource(Source):
    """`<root>/<Species name>/<any depth>/<file>` at a URL.

    Args:
        lock: the lock file; each entry is {"row": `ListedRecording`, "facts": `RecordingMetadata` or null}, both as objects.
        root: the URL.
    """

    def __init__(self, lock: Path, root: str) -> None:
        self.name = f"corpus.root: {root}"
        entries = read_lock(lock, source_key(root))
        try:
            self._rows = sorted((ListedRecording(**e["row"]) for e in entries), key=lambda r: r.recording)
            known = [complete(RecordingMetadata(**e["facts"])) for e in entries if e["facts"]]
        except (KeyError, TypeError) as error:
            raise AutobirdError(f"{lock} is damaged ({error!r}); refresh it") from error
        self._facts = sorted(known, key=lambda f: f.recording)

    def recordings(self) -> list[ListedRecording]:
        """Every file below the URL."""
        return self._rows

    def metadata(self) -> list[RecordingMetadata]:
        """The rows of its metadata table."""
        return self._facts
