"""List the files below a folder, in the same way for training, prediction and the drift test."""

import os
from collections.abc import Iterator
from pathlib import Path


def files_below(root: Path) -> Iterator[str]:
    """Yield the path of every file below `root`, relative to it, with `/`.

    Links to folders are followed. Each folder is visited once, however many links lead to it.
    """
    seen: set[tuple[int, int]] = set()
    for folder, folders, files in os.walk(root, followlinks=True):
        stat = Path(folder).stat()
        if (stat.st_dev, stat.st_ino) in seen:
            folders.clear()
            continue
        seen.add((stat.st_dev, stat.st_ino))
        folders.sort()
        for file in files:
            yield Path(folder, file).relative_to(root).as_posix()


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
