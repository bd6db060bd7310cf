"""Temporary folders of a server; those of servers that were killed are deleted by the next one."""

import os
import shutil
import tempfile
import time
from contextlib import suppress
from pathlib import Path

from filelock import FileLock, Timeout

_LOCK = "lock"
"""The file in each folder that its server holds locked."""

_NEW_SECONDS = 60.0
"""A folder that is newer may not be locked yet."""


class OwnFolder:
    """A temporary folder that only this user can read, and that is deleted at the end.

    Args:
        prefix: start of its name; other folders with it that no process has locked are deleted.

    Attributes:
        path: the folder.

    Raises:
        OSError: it cannot be created.
    """

    def __init__(self, prefix: str) -> None:
        _remove_left_behind(prefix)
        self.path = Path(tempfile.mkdtemp(prefix=prefix))
        self._lock = FileLock(self.path / _LOCK)
        self._lock.acquire()

    def remove(self) -> None:
        """Delete the folder."""
        self._lock.release()
        shutil.rmtree(self.path, ignore_errors=True)


def _remove_left_behind(prefix: str) -> None:
    """Delete the folders of servers that were killed: those that no process has locked."""
    for folder in Path(tempfile.gettempdir()).glob(f"{prefix}*"):
        with suppress(Timeout, OSError):
            status = folder.lstat()
            if hasattr(os, "getuid") and status.st_uid != os.getuid():
                continue  # in the folder that all users share; what looks like the lock may be a link to another file
            if time.time() - status.st_mtime > _NEW_SECONDS:
                with FileLock(folder / _LOCK, timeout=0):
                    shutil.rmtree(folder, ignore_errors=True)
