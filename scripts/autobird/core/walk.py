"""List the files below a folder, in the same way for training, prediction and the drift test."""

import errno
import os
import re
from collections import deque
from pathlib import Path

from autobird.core.errors import AutobirdError
from autobird.core.system_names import is_system_name

_UNRESOLVED = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG)
"""Error codes of a link that leads nowhere, or to itself."""

_ESCAPED_BYTE = re.compile(rb"\\x([0-9a-f]{2})")


class Tally:
    """How many times something occurred, and the first example by name."""

    def __init__(self) -> None:
        self.count = 0
        self.example = ""

    def add(self, name: str) -> None:
        """Count one more occurrence."""
        self.example = name if not self.count else min(self.example, name)
        self.count += 1


class FolderWalk:
    """The files below a folder.

    Hidden and system entries (`core.system_names`) are passed over, and what is below them. Links to folders are followed;
    each folder is visited once, however many links lead to it, and by its own path if that is below the root. Links that
    lead nowhere, and pipes, sockets and devices are passed over.

    Attributes:
        files: paths relative to the root, with `/`, as the file system stores them; sorted.
        hidden: the hidden and system entries; what is below a folder is not counted.
        dangling: the links that lead nowhere.
        special: the pipes, sockets and devices.

    Args:
        root: the folder; its own name may be hidden.

    Raises:
        AutobirdError: a folder cannot be read, or was removed in the meantime.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self.files: list[str] = []
        self.hidden, self.dangling, self.special = Tally(), Tally(), Tally()
        self._links: deque[str] = deque()
        seen: set[tuple[int, int] | str] = set()
        folders = deque([""])
        while folders or self._links:
            # Links are followed last, so that a folder below the root keeps its own path.
            folder = folders.popleft() if folders else self._links.popleft()
            identity = self._identity(folder)
            if identity not in seen:
                seen.add(identity)
                folders.extend(self._read(folder))
        self.files.sort()

    def notes(self) -> list[str]:
        """Return messages about the entries that were passed over."""
        return [
            f"{tally.count} {what if tally.count > 1 else one} passed over, for example {printable(tally.example)}"
            for tally, what, one in (
                (self.hidden, "hidden and system files and folders were", "hidden or system file or folder was"),
                (self.dangling, "links that lead nowhere were", "link that leads nowhere was"),
                (self.special, "pipes, sockets or devices were", "pipe, socket or device was"),
            )
            if tally.count
        ]

    def _path(self, name: str) -> str:
        return os.path.join(self._root, name) if name else os.fspath(self._root)  # noqa: PTH118 - a string is faster

    def _identity(self, folder: str) -> tuple[int, int] | str:
        """Return what is the same for all paths of a folder."""
        path = self._path(folder)
        try:
            stat = os.stat(path)  # noqa: PTH116 - as above
        except OSError as error:
            raise _unreadable(path, error) from error
        # Some network file systems give no inode numbers.
        return (stat.st_dev, stat.st_ino) if stat.st_ino else os.path.realpath(path)

    def _read(self, folder: str) -> list[str]:
        """Add the files of a folder, and return the folders in it, sorted; folders behind links are kept for later."""
        path = self._path(folder)
        try:
            with os.scandir(path) as scan:
                entries = sorted(scan, key=lambda entry: entry.name)
        except OSError as error:
            raise _unreadable(path, error) from error
        prefix = f"{folder}/" if folder else ""
        folders: list[str] = []
        for entry in entries:
            name = prefix + entry.name
            if is_system_name(entry.name):
                self.hidden.add(name)
                continue
            try:
                if entry.is_dir():
                    (self._links if entry.is_symlink() else folders).append(name)
                elif entry.is_file():
                    self.files.append(name)
                elif entry.is_symlink() and not os.path.exists(entry.path):  # noqa: PTH110 - as above
                    self.dangling.add(name)
                else:
                    self.special.add(name)
            except OSError as error:
                if error.errno not in _UNRESOLVED:
                    raise _unreadable(entry.path, error) from error
                self.dangling.add(name)
        return folders


def _unreadable(path: str, error: OSError) -> AutobirdError:
    reason = error.strerror or str(error)
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        return AutobirdError(f"{printable(path)} was removed while its files were listed ({reason}); run again")
    return AutobirdError(
        f"{printable(path)} cannot be read ({reason}); correct its permissions (`chmod -R u+rX`) or check its disk, or move it "
        "out of the folder of the recordings"
    )


def file_size(path: Path) -> int:
    """Return the size of a file in bytes; 0 if it cannot be found."""
    try:
        return path.stat().st_size
    except OSError:
        return 0


def is_utf8(name: str) -> bool:
    """Return whether a file name is valid UTF-8. Python represents other bytes by surrogates, which no table can hold."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def printable(name: str) -> str:
    """Return a file name as text that can be written anywhere: bytes that are not UTF-8 become `\\xNN`."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def path_of_printable(root: Path, name: str) -> Path:
    """Return the path of a file below `root`, given its name relative to `root` as `printable` returns it."""
    path = root / name
    if "\\x" not in name or path.exists():
        return path
    raw = _ESCAPED_BYTE.sub(lambda found: bytes([int(found[1], 16)]), name.encode())
    return root / os.fsdecode(raw)
