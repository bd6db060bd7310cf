"""Checksums of files, cached between runs, and the assignment of recordings to batches by a stable hash."""

import hashlib
import os
import sqlite3
import sys
import time
from collections.abc import Iterator, Sequence
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
        keys = [os.path.abspath(path) for path in paths]  # noqa: PTH100 - links are not resolved: the path is the key
        states = [_state(path) for path in paths]
        digests = self._cached_digests(keys, states)
        missing = [i for i, digest in enumerate(digests) if digest is None and states[i]]
        for i, digest in zip(missing, _hash_files([paths[i] for i in missing]), strict=True):
            digests[i] = digest
        new_rows = [(keys[i], states[i], digests[i]) for i in missing if digests[i]]
        with self._db:
            self._db.executemany("INSERT OR REPLACE INTO files VALUES (?, ?, ?)", new_rows)
        return digests

    def _cached_digests(self, keys: Sequence[str], states: Sequence[str | None]) -> list[str | None]:
        """Return the digest of each file whose state is the one in the cache, else None."""
        rows = self._db.execute("SELECT path, state, sha256 FROM files")
        cached = {path: (state, digest) for path, state, digest in rows}
        digests: list[str | None] = []
        for key, state in zip(keys, states, strict=True):
            cached_state, digest = cached.get(key, (None, None))
            digests.append(digest if state and state == cached_state else None)
        return digests

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._db.close()


def _hash_files(paths: Sequence[Path]) -> Iterator[str | None]:
    """Yield the digest of each file in order, and print the progress."""
    start = last_print = time.monotonic()
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for done, digest in enumerate(pool.map(file_digest, paths), 1):
            yield digest
            now = time.monotonic()
            if now - last_print > _PROGRESS_SECONDS:
                last_print, remaining = now, (now - start) / done * (len(paths) - done)
                print(f"hashed {done} of {len(paths)} files, {remaining:.0f} s to go", file=sys.stderr, flush=True)


def _state(path: Path) -> str | None:
    """Return device, inode, size, mtime and ctime of a file, None if it cannot be found."""
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
        file: path relative to the folder, with `/`, as the file system stores it.
        name: the same path as printable text; it differs from `file` if the path is not UTF-8.
        sha256: hexadecimal; None if the path is not UTF-8 or the file cannot be read.
        size: bytes; 0 if the file cannot be found.
    """

    file: str
    name: str
    sha256: str | None
    size: int


def hashed_files(root: Path, cache: Path, excluded: Path | None = None) -> list[HashedFile]:
    """Return every file below `root`, except the file `excluded`, sorted by path.

    Args:
        root: the folder.
        cache: file of the checksum cache.
        excluded: a file below `root` to leave out.
    """
    files = [f for f in sorted(files_below(root)) if root / f != excluded]
    hashable = [f for f in files if is_utf8(f)]
    with HashCache(cache) as hashes:
        digests = dict(zip(hashable, hashes.sha256([root / f for f in hashable]), strict=True))
    return [HashedFile(f, printable(f), digests.get(f), file_size(root / f)) for f in files]


def batch_of(recording: str, batches: int) -> int:
    """Return the batch of a recording. It depends only on the id, so adding recordings does not move others."""
    return int.from_bytes(hashlib.sha256(recording.encode()).digest()[:8], "big") % batches


def digest_of(text: str) -> str:
    """Return the sha256 of a text in hexadecimal."""
    return hashlib.sha256(text.encode()).hexdigest()
