"""Checksums of files, cached between runs, and the assignment of recordings to batches by a stable hash."""

import contextlib
import hashlib
import os
import sqlite3
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self, TypeVar

from autobird.core.walk import file_size, printable

_T = TypeVar("_T")

_PROGRESS_SECONDS = 2.0
"""Seconds between two lines of progress while files are hashed."""


_LOCK_SECONDS = 10.0
"""Seconds to wait for another process that writes the cache. Writing takes a fraction of a second."""

_UNUSABLE = {
    sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_IOERR, sqlite3.SQLITE_FULL, sqlite3.SQLITE_PROTOCOL, sqlite3.SQLITE_AUTH,
}  # fmt: skip
"""Error codes of SQLite that do not mean that the file is damaged."""


class HashCache:
    """A SQLite table that maps (path, device, inode, size, mtime, ctime) to sha256.

    ctime changes whenever the content or the name of a file changes, and users cannot set it back. A file that was replaced by
    another one of the same name, size and mtime is therefore hashed again. A damaged cache is renamed and a new one is begun;
    if the cache cannot be used, all files are hashed; both with a message on standard error.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._db: sqlite3.Connection | None = None
        self._attempt(self._open)

    def sha256(self, paths: Sequence[Path]) -> list[str | None]:
        """Return the hexadecimal digest of each path, None for files that cannot be read. Uses all cores."""
        # Links are not resolved: the path is the key. SQLite stores no text that is not UTF-8.
        keys = [printable(os.path.abspath(path)) for path in paths]  # noqa: PTH100
        states = [_state(path) for path in paths]
        digests = self._attempt(lambda: self._cached_digests(keys, states)) or [None] * len(keys)
        missing = [i for i, digest in enumerate(digests) if digest is None and states[i]]
        for i, digest in zip(missing, _hash_files([paths[i] for i in missing]), strict=True):
            digests[i] = digest
        new_rows = [(keys[i], states[i], digests[i]) for i in missing if digests[i]]
        self._attempt(lambda: self._store(new_rows))
        return digests

    def _attempt(self, action: Callable[[], _T]) -> _T | None:
        """Return the result of `action`; None if the cache is damaged or cannot be used, which is printed once."""
        try:
            return action()
        except OSError as error:
            self._go_on_without(error.strerror or str(error))
        except sqlite3.Error as error:
            if getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT) & 0xFF in _UNUSABLE:
                self._go_on_without(str(error))
            else:
                self._set_aside(str(error))
        return None

    def _open(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._db = sqlite3.connect(self._path, timeout=_LOCK_SECONDS)
        self._db.execute("CREATE TABLE IF NOT EXISTS files (path TEXT PRIMARY KEY, state TEXT, sha256 TEXT)")

    def _cached_digests(self, keys: Sequence[str], states: Sequence[str | None]) -> list[str | None]:
        """Return the digest of each file whose state is the one in the cache, else None."""
        rows = self._db.execute("SELECT path, state, sha256 FROM files") if self._db else ()
        cached = {path: (state, digest) for path, state, digest in rows}
        digests: list[str | None] = []
        for key, state in zip(keys, states, strict=True):
            cached_state, digest = cached.get(key, (None, None))
            is_valid = state and state == cached_state and isinstance(digest, str) and len(digest) == 64
            digests.append(digest if is_valid else None)
        return digests

    def _store(self, rows: Sequence[tuple[str, str | None, str | None]]) -> None:
        if self._db and rows:
            with self._db:
                self._db.executemany("INSERT OR REPLACE INTO files VALUES (?, ?, ?)", rows)

    def _go_on_without(self, reason: str) -> None:
        self._close()
        print(
            f"note: {self._path} cannot be used ({reason}); the checksums of all files are computed again and not stored",
            file=sys.stderr,
        )

    def _set_aside(self, reason: str) -> None:
        """Rename the damaged file, and what SQLite keeps beside it, and begin a new cache."""
        self._close()
        damaged = self._path.with_name(f"{self._path.name}.damaged")
        try:
            self._path.replace(damaged)
            for suffix in ("-journal", "-wal", "-shm"):
                self._path.with_name(self._path.name + suffix).unlink(missing_ok=True)
            self._open()
        except (OSError, sqlite3.Error) as error:
            self._go_on_without(f"{reason}; {error}")
            return
        print(
            f"note: {self._path} is damaged ({reason}); it is renamed to {damaged.name}, and the checksums of all files are "
            "computed again",
            file=sys.stderr,
        )

    def _close(self) -> None:
        if self._db is not None:
            with contextlib.suppress(sqlite3.Error):
                self._db.close()
        self._db = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()


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
    """Return the sha256 of a file in hexadecimal; None if it cannot be read, or is a pipe, socket or device."""
    if not path.is_file():
        return None  # opening a pipe would wait for a writer
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
        sha256: hexadecimal; None if the file cannot be read.
        size: bytes; 0 if the file cannot be found.
    """

    file: str
    name: str
    sha256: str | None
    size: int


def hash_files(root: Path, files: Sequence[str], cache: Path) -> list[HashedFile]:
    """Return the checksums of files, in their order.

    Args:
        root: the folder.
        files: paths relative to it.
        cache: file of the checksum cache.
    """
    with HashCache(cache) as hashes:
        digests = hashes.sha256([root / f for f in files])
    return [HashedFile(f, printable(f), digest, file_size(root / f)) for f, digest in zip(files, digests, strict=True)]


def batch_of(recording: str, batches: int) -> int:
    """Return the batch of a recording. It depends only on the id, so adding recordings does not move others."""
    return int.from_bytes(hashlib.sha256(recording.encode()).digest()[:8], "big") % batches


def batch_names(batches: int) -> list[str]:
    """Return the numbers of the batches as names of files, padded with zeros so that they have one length and sort by number."""
    return [f"{batch:0{len(str(batches - 1))}d}" for batch in range(batches)]


def digest_of(text: str) -> str:
    """Return the sha256 of a text in hexadecimal."""
    return hashlib.sha256(text.encode()).hexdigest()
