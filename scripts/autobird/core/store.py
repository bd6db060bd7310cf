"""State that is no output and outlives a job: checkpoints, the split of the last run. In a folder, or at a URL."""

import importlib
import logging
import shutil
from pathlib import Path
from typing import Any, Protocol

from autobird.core.errors import AutobirdError
from autobird.core.files import write_bytes

log = logging.getLogger("autobird")


class Store(Protocol):
    """Files below a place, each written in one step.

    Attributes:
        pause: seconds that should lie between two writes of one file.
    """

    pause: float

    def read(self, name: str) -> bytes:
        """The content of a file, by its path below the place. Raises FileNotFoundError where there is none."""
        ...

    def write(self, name: str, data: bytes) -> None:
        """Replace a file."""
        ...

    def keep_only(self, folder: str) -> None:
        """Remove all other folders directly below the place."""
        ...


class FolderStore:
    """A folder on a disk."""

    pause = 0.0

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def read(self, name: str) -> bytes:
        """As `Store` says."""
        return (self._folder / name).read_bytes()

    def write(self, name: str, data: bytes) -> None:
        """As `Store` says."""
        write_bytes(self._folder / name, data)

    def keep_only(self, folder: str) -> None:
        """As `Store` says."""
        for other in self._folder.iterdir():
            if other.name != folder and other.is_dir():
                shutil.rmtree(other, ignore_errors=True)


class UrlStore:
    """A URL that fsspec knows (`gs://`, `s3://`): what outlives a machine that is taken away.

    A write that fails costs at most the time since the last one, so it is a warning.
    """

    pause = 5.0  # Google Cloud Storage takes one write a second of an object

    def __init__(self, url: str) -> None:
        self._files, self._root = file_system(url)

    def read(self, name: str) -> bytes:
        """As `Store` says."""
        self._files.invalidate_cache()
        data: bytes = self._files.cat_file(f"{self._root}/{name}")
        return data

    def write(self, name: str, data: bytes) -> None:
        """As `Store` says; a failure is logged."""
        path = f"{self._root}/{name}"
        try:
            self._files.makedirs(path.rpartition("/")[0], exist_ok=True)
            self._files.pipe_file(path, data)
        except Exception as error:
            log.warning("%s was not written (%s); the work goes on without it", path, error)

    def keep_only(self, folder: str) -> None:
        """As `Store` says; a failure is logged."""
        try:
            self._files.invalidate_cache()
            for path in self._files.find(self._root):
                if not path.startswith(f"{self._root}/{folder}/"):
                    self._files.rm_file(path)
        except Exception as error:
            log.warning("old files are left below %s (%s)", self._root, error)


def file_system(url: str) -> tuple[Any, str]:
    """The file system of a URL that fsspec knows, and the path on it.

    Raises:
        AutobirdError: fsspec, or what it needs for this kind of URL, is not installed.
    """
    try:
        # By name, so that another version of it retrains and downloads nothing.
        fsspec = importlib.import_module("fsspec")
        files, path = fsspec.core.url_to_fs(url)
    except (ImportError, ValueError) as error:
        raise AutobirdError(
            f"files at {url} need a package more ({error}); install it, for gs:// autobird[gce]"
        ) from error
    return files, path


def store_of(place: str) -> Store:
    """The store at a folder or a URL."""
    return UrlStore(place) if "://" in place else FolderStore(Path(place))
