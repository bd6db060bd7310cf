"""Files by their content: sha256 remembered between runs, stable batches, walking a folder."""

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

_SAY_AFTER = 2.0
"""Seconds of hashing after which the terminal is told why nothing seems to happen."""


class HashCache:
    """A SQLite table from (path, device, inode, size, mtime, ctime) to sha256.

    ctime changes whenever content or name does and cannot be set back, so that a file replaced by another of
    the same name, size and mtime is read again.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._db = sqlite3.connect(path, timeout=60)
        self._db.execute("CREATE TABLE IF NOT EXISTS files (path TEXT PRIMARY KEY, state TEXT, sha256 TEXT)")

    def sha256(self, paths: Sequence[Path]) -> list[str | None]:
        """The hex digests of `paths`, None for those that cannot be read. Hashes on all cores."""
        remembered = self._db.execute("SELECT path, state, sha256 FROM files")
        known = {path: (state, digest) for path, state, digest in remembered}
        states = [_state(p) for p in paths]
        keys = [os.path.abspath(p) for p in paths]  # noqa: PTH100 - links stay, as they are part of the name
        found = [
            known.get(k, ("", ""))[1] if s and known.get(k, ("", ""))[0] == s else None
            for k, s in zip(keys, states, strict=True)
        ]
        missing = [i for i, digest in enumerate(found) if digest is None and states[i]]
        start = said = time.monotonic()
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            for done, (i, digest) in enumerate(
                zip(missing, pool.map(file_digest, [paths[i] for i in missing]), strict=True), 1
            ):
                found[i] = digest
                now = time.monotonic()
                if now - said > _SAY_AFTER:
                    said, left = now, (now - start) / done * (len(missing) - done)
                    print(
                        f"[rows] hashed {done} of {len(missing)} files, {left:.0f} s to go",
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
    """sha256 of a file, hexadecimal; None if it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return None


def files_below(root: Path) -> Iterator[str]:
    """Files below `root`, relative, with `/`; links to folders are followed, each folder once."""
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


class Found(NamedTuple):
    """A file below a folder.

    Attributes:
        file: its name relative to the folder, with `/`.
        name: that name as text; it differs where the name is not UTF-8.
        sha256: hexadecimal; None where the name is not UTF-8 or the file cannot be read.
        size: bytes; 0 where the file cannot be found.
    """

    file: str
    name: str
    sha256: str | None
    size: int


def hashed_files(root: Path, cache: Path, without: Path | None = None) -> list[Found]:
    """Every file below `root` but `without`, sorted by name."""
    found = [f for f in sorted(files_below(root)) if root / f != without]
    known = [f for f in found if is_text(f)]
    with HashCache(cache) as hashes:
        digests = dict(zip(known, hashes.sha256([root / f for f in known]), strict=True))
    return [
        Found(f, os.fsencode(f).decode("utf-8", "backslashreplace"), digests.get(f), file_size(root / f)) for f in found
    ]


def file_size(path: Path) -> int:
    """Bytes of a file; 0 if it cannot be found."""
    try:
        return path.stat().st_size
    except OSError:
        return 0


def is_text(name: str) -> bool:
    """Whether a file name is UTF-8 (others arrive with surrogates, which no table can hold)."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def batch_of(recording: str, batches: int) -> int:
    """The batch of a recording: a function of its id alone, so that adding one moves no other."""
    return int.from_bytes(hashlib.sha256(recording.encode()).digest()[:8], "big") % batches


def digest_of(text: str) -> str:
    """sha256 of a text, hexadecimal."""
    return hashlib.sha256(text.encode()).hexdigest()
