"""A private copy of a bundle and the table of thresholds beside it, and whether the originals have changed since."""

import os
import shutil
import tempfile
import time
from contextlib import suppress
from pathlib import Path

from filelock import FileLock, Timeout

from autobird.core.errors import AutobirdError
from autobird.predict.overlay_path import overlay_path

MANIFEST = "manifest.json"
"""`predict.bundle.MANIFEST`; that module imports NumPy, which the front does not need."""

_PREFIX, _LOCK = "autobird-bundle-", "lock"
"""Start of the names of the temporary folders, and the file in each that its server holds locked."""

_NEW_SECONDS = 60.0
"""A folder that is newer may not be locked yet."""

Signature = tuple[tuple[str, int, int, int], ...]
"""Path, size, time of change (ns) and inode of every file."""


def signature(folder: Path) -> Signature:
    """Return what changes when the bundle, a link to it, or the table of thresholds beside it is replaced."""
    try:
        files = [overlay_path(folder)]
        files = [*sorted(folder.resolve().iterdir()), *files]
    except OSError:  # there is no folder
        pass
    except RuntimeError:  # links that lead to each other
        return ()
    found = []
    for file in files:
        try:
            status = file.stat()
        except OSError:
            continue
        found.append((str(file), status.st_size, status.st_mtime_ns, status.st_ino))
    return tuple(found)


class Snapshot:
    """A copy of a bundle in a temporary folder.

    Compute processes load the copy, so that one that is started later, in place of one that crashed, loads the same bundle, even
    while files of the original are being replaced.

    Args:
        folder: the bundle.

    Raises:
        AutobirdError: it cannot be copied.
    """

    def __init__(self, folder: Path) -> None:
        self.original, self.signature = folder, signature(folder)
        try:
            _remove_left_behind()
            self._temporary = Path(tempfile.mkdtemp(prefix=_PREFIX))
            self._lock = FileLock(self._temporary / _LOCK)
            self._lock.acquire()
        except OSError as error:
            raise _copy_error(folder, error) from error
        try:
            self.folder = self._temporary / folder.resolve().name
            if (folder / MANIFEST).is_file():  # a wrong path, for example that of a run, is not copied
                self.folder.mkdir()
                for file in folder.iterdir():
                    if not file.is_dir():
                        shutil.copyfile(file, self.folder / file.name)
            table = overlay_path(folder)
            if table.is_file():
                shutil.copyfile(table, overlay_path(self.folder))
        except (OSError, RuntimeError) as error:
            self.remove()
            raise _copy_error(folder, error) from error

    def message(self, text: str) -> str:
        """Return a message about the copy as one about the original."""
        table = overlay_path(self.folder)
        return text.replace(str(table), str(overlay_path(self.original))).replace(str(self.folder), str(self.original))

    def remove(self) -> None:
        """Delete the copy."""
        self._lock.release()
        shutil.rmtree(self._temporary, ignore_errors=True)


def _remove_left_behind() -> None:
    """Delete the copies of servers that were killed: those that no process has locked."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        with suppress(Timeout, OSError):
            status = folder.lstat()
            if hasattr(os, "getuid") and status.st_uid != os.getuid():
                continue  # in the folder that all users share; what looks like the lock may be a link to another file
            if time.time() - status.st_mtime > _NEW_SECONDS:
                with FileLock(folder / _LOCK, timeout=0):
                    shutil.rmtree(folder, ignore_errors=True)


def _copy_error(folder: Path, error: OSError | RuntimeError) -> AutobirdError:
    reason = getattr(error, "strerror", None) or error
    return AutobirdError(
        f"{folder} cannot be copied to the folder of temporary files ({reason}); make space there, or set TMPDIR to "
        "another folder"
    )
