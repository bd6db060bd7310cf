"""Storage for state that outlives a job and is not an output (checkpoints, the last split): a folder or a URL."""

import importlib
import logging
import shutil
from pathlib import Path
from typing import Any, Protocol

from autobird.core.errors import AutobirdError
from autobird.core.files import write_bytes

log = logging.getLogger("autobird")


class Store(Protocol):
    """Files below a root, each written atomically.

    Attributes:
        min_interval: minimum time between two writes of the same file, seconds.
    """

    min_interval: float

    def read(self, name: str) -> bytes:
        """Return the content of a file, given by its path below the root. Raises FileNotFoundError if it is missing."""
        ...

    def write(self, name: str, data: bytes) -> bool:
        """Write or replace a file; return whether it was written."""
        ...

    def keep_only(self, folder: str) -> None:
        """Remove all other folders directly below the root."""
        ...


class FolderStore:
    """A folder on a disk.

    fsspec's local file system is not used, because its writes are not atomic: it overwrites a file in place. Its transactions
    copy from the system's temporary folder, which is not atomic either if that folder is on another disk. A process that is
    killed during a write would destroy the old checkpoint.
    """

    min_interval = 0.0

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def read(self, name: str) -> bytes:
        """See `Store`."""
        return (self._folder / name).read_bytes()

    def write(self, name: str, data: bytes) -> bool:
        """See `Store`."""
        write_bytes(self._folder / name, data)
        return True

    def keep_only(self, folder: str) -> None:
        """See `Store`."""
        for other in self._folder.iterdir():
            if other.name != folder and other.is_dir():
                shutil.rmtree(other, ignore_errors=True)


class UrlStore:
    """A URL that fsspec supports (`gs://`, `s3://`), for machines that may be shut down at any time.

    A failed write is only a warning, as it costs at most the training since the last successful write.
    """

    min_interval = 5.0  # Google Cloud Storage accepts one write per second to an object

    def __init__(self, url: str) -> None:
        self._files, self._root = fsspec_file_system(url)

    def read(self, name: str) -> bytes:
        """See `Store`."""
        self._files.invalidate_cache()
        data: bytes = self._files.cat_file(f"{self._root}/{name}")
        return data

    def write(self, name: str, data: bytes) -> bool:
        """See `Store`; a failure is logged."""
        path = f"{self._root}/{name}"
        try:
            self._files.makedirs(path.rpartition("/")[0], exist_ok=True)
            self._files.pipe_file(path, data)
        except Exception as error:
            log.warning("%s was not written (%s); the stage continues without it", path, error)
            return False
        return True

    def keep_only(self, folder: str) -> None:
        """See `Store`; a failure is logged."""
        try:
            self._files.invalidate_cache()
            for path in self._files.find(self._root):
                if not path.startswith(f"{self._root}/{folder}/"):
                    self._files.rm_file(path)
        except Exception as error:
            log.warning("old files below %s were not removed (%s)", self._root, error)


def fsspec_file_system(url: str) -> tuple[Any, str]:
    """Return the file system of a URL that fsspec supports, and the path on it.

    Raises:
        AutobirdError: fsspec, or the package that it needs for this kind of URL, is not installed.
    """
    try:
        # Imported by name, so that the code fingerprints do not include fsspec: its version does not change results.
        fsspec = importlib.import_module("fsspec")
        files, path = fsspec.core.url_to_fs(url)
    except (ImportError, ValueError) as error:
        raise AutobirdError(
            f"files at {url} need another package ({error}); install it, for gs:// `pip install autobird[gce]`"
        ) from error
    return files, path


def open_store(place: str) -> Store:
    """Return the store for a folder or a URL."""
    return UrlStore(place) if "://" in place else FolderStore(Path(place))
