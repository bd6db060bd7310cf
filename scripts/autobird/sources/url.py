"""A folder of recordings at a URL that fsspec supports (`gs://`, `s3://`, ...), as the lock file lists it."""

from pathlib import Path

from autobird.core.errors import AutobirdError
from autobird.sources.base import ListedRecording, RecordingMetadata, Source
from autobird.sources.lock import Entry, read_lock
from autobird.sources.metadata import normalise


def source_key(root: str) -> Entry:
    """Return the key in the first line of the lock file of this source."""
    return {"url": root.rstrip("/")}


class UrlSource(Source):
    """Recordings in the layout `<root>/<Species name>/<any depth>/<file>` at a URL.

    Args:
        lock: the lock file. Each entry holds the objects `row` (a `ListedRecording`) and `facts` (a `RecordingMetadata`, or null).
        root: the URL.

    Raises:
        LockMissing: there is no lock file for this URL.
        AutobirdError: the lock file is damaged.
    """

    def __init__(self, lock: Path, root: str) -> None:
        self.name = f"corpus.root: {root}"
        entries = read_lock(lock, source_key(root))
        try:
            recordings = [ListedRecording(**e["row"]) for e in entries]
            metadata = [normalise(RecordingMetadata(**e["facts"])) for e in entries if e["facts"]]
        except (KeyError, TypeError) as error:
            raise AutobirdError(f"{lock} is damaged ({error!r}); refresh it") from error
        self._recordings = sorted(recordings, key=lambda r: r.recording)
        self._metadata = sorted(metadata, key=lambda m: m.recording)

    def recordings(self) -> list[ListedRecording]:
        """Return every file below the URL."""
        return self._recordings

    def metadata(self) -> list[RecordingMetadata]:
        """Return the rows of the metadata table at the URL."""
        return self._metadata
