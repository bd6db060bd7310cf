"""Checksums of files, cached between runs, and the assignment of recordings to batches by a stable hash."""

import hashlib
import os
import sqlite3
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

from autobird.core.walk import file_size, files_below, is_utf8, printable

_PROGRESS_SECONDS = 2.0
"""Seconds between two lines of progress while files are hashed."""


class HashCache:
    """A SQLite table that maps (path, device, inode, size, mtime, ctime) to sha256.

    ctime changes whenever the content or the name of a file changes, and users cannot set it back. A file that was replaced by
    another one of the same name, size and mtime is therefore hashed again.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._db = sqlite3.connect(path, timeout=60)
        self._db.execute("CREATE TABLE IF NOT EXISTS files (path TEXT PRIMARY KEY, state TEXT, sha256 TEXT)")

    def sha256(self, paths: Sequence[Path]) -> list[str | None]:
        """Return the hexadecimal digest of each path, None for files that cannot be read. Uses all cores."""
        cached_rows = self._db.execute("SELECT path, state, sha256 FROM files")
        cached = {path: (state, digest) for path, state, digest in cached_rows}
        states = [_state(p) for p in paths]
        keys = [os.path.abspath(p) for p in paths]  # noqa: PTH100 - links are not resolved: the path is the key
        found = [
            cached.get(k, ("", ""))[1] if s and cached.get(k, ("", ""))[0] == s else None
            for k, s in zip(keys, states, strict=True)
        ]
        missing = [i for i, digest in enumerate(found) if digest is None and states[i]]
        start = printed = time.monotonic()
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            for done, (i, digest) in enumerate(
                zip(missing, pool.map(file_digest, [paths[i] for i in missing]), strict=True), 1
            ):
                found[i] = digest
                now = time.monotonic()
                if now - printed > _PROGRESS_SECONDS:
                    printed, left = now, (now - start) / done * (len(missing) - done)
                    print(
                        f"hashed {done} of {len(missing)} files, {left:.0f} s to go",
                        file=sys.stderr,
                        flush=True,
                    )
        fresh = [(keys[i], states[i], found[i]) for i in missing if found[i]]
        with self._db:
            self._db.executemany("INSERT OR REPLACE INTO files VALUES (?, ?, ?)", fresh)
        return found

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._db.close()


def _state(path: Path) -> str | None:
    try:
        s = path.stat()
    except OSError:
        return None
    return f"{s.st_dev} {s.st_ino} {s.st_size} {s.st_mtime_ns} {s.st_ctime_ns}"


def file_digest(path: Path) -> str | None:
    """Return the sha256 of a file in hexadecimal; None if it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return None


class HashedFile(NamedTuple):
    """A file below a folder, with its checksum.

    Attributes:
        file: path relative to the folder, with `/`, as the file system has it.
        name: the same path as text that can be written anywhere; it differs from `file` where that is not UTF-8.
        sha256: hexadecimal; None where the path is not UTF-8 or the file cannot be read.
        size: bytes; 0 where the file cannot be found.
    """

    file: str
    name: str
    sha256: str | None
    size: int


def hashed_files(root: Path, cache: Path, without: Path | None = None) -> list[HashedFile]:
    """Return every file below `root`, except the file `without`, sorted by path.

    Args:
        root: the folder.
        cache: file of the checksum cache.
        without: a file below `root` that is left out.
    """
    found = [f for f in sorted(files_below(root)) if root / f != without]
    hashable = [f for f in found if is_utf8(f)]
    with HashCache(cache) as hashes:
        digests = dict(zip(hashable, hashes.sha256([root / f for f in hashable]), strict=True))
    return [HashedFile(f, printable(f), digests.get(f), file_size(root / f)) for f in found]


def batch_of(recording: str, batches: int) -> int:
    """Return the batch of a recording, which depends on its id alone: adding a recording moves no other one."""
    return int.from_bytes(hashlib.sha256(recording.encode()).digest()[:8], "big") % batches


def digest_of(text: str) -> str:
    """Return the sha256 of a text in hexadecimal."""
    return hashlib.sha256(text.encode()).hexdigest()
