"""Embeddings of recordings on the disk, as unit vectors, so that a recording is embedded once however often it is searched."""

import os
import sqlite3
import sys
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray

from autobird.audio.settings import FeatureSettings
from autobird.backbone.base import BackboneInfo
from autobird.core.errors import AutobirdError
from autobird.core.files import write_json
from autobird.core.hashing import digest_of

_FORMAT = 1
"""Version of the files; it is part of the folder's name."""

_ROWS, _FILES = "rows.f16", "files.sqlite"

Rows = NDArray[np.float16]


def user_cache_folder() -> Path:
    """Return the folder for files that can be made again: `autobird` in the user's cache folder, as each system names it."""
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", "~/AppData/Local")).expanduser() / "autobird"
    if sys.platform == "darwin":
        return Path("~/Library/Caches/autobird").expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "autobird"


class CachedFile(NamedTuple):
    """The rows of a recording.

    Attributes:
        first: row of its first window.
        windows: number of its windows.
        duration: length of the recording, seconds.
    """

    first: int
    windows: int
    duration: float


class EmbeddingCache:
    """The embeddings of all recordings that were searched with one backbone and one set of windows.

    A file of rows that only grows, and a table of the recordings in it by the sha256 of their file: a recording that is moved or
    renamed is found, one whose content changes is embedded again. A row that has no recording, because a process was killed, is
    overwritten by the next one. Several processes can use the same folder.

    Args:
        root: folder of all caches.
        backbone: the backbone.
        features: windows and their positions.

    Raises:
        AutobirdError: the folder cannot be used.

    Attributes:
        folder: folder of this cache.
    """

    def __init__(self, root: Path, backbone: BackboneInfo, features: FeatureSettings) -> None:
        about = {
            "format": _FORMAT,
            # All that identifies its values: a file without fixed lengths can be used at several rates and with several windows.
            "backbone": backbone.model_dump(mode="json", exclude={"name", "licence", "source"}),
            "sample_rate": features.sample_rate,
            "window": features.window,
            "hop": features.hop,
        }
        self._width = backbone.width
        self.folder = root / "embeddings" / f"{backbone.name}-{digest_of(repr(about))[:12]}"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            write_json(self.folder / "about.json", {"backbone_name": backbone.name, **about})
            (self.folder / _ROWS).touch()
            with self._database() as db:
                db.execute(
                    "CREATE TABLE IF NOT EXISTS files "
                    "(sha256 TEXT PRIMARY KEY, first INTEGER NOT NULL, windows INTEGER NOT NULL, duration REAL NOT NULL)"
                )
        except (OSError, sqlite3.Error) as error:
            raise AutobirdError(
                f"{self.folder}: the cache of embeddings cannot be used ({error}); remove it, or name another folder with --cache"
            ) from error

    def _database(self) -> closing[sqlite3.Connection]:
        return closing(sqlite3.connect(self.folder / _FILES, timeout=60, isolation_level=None))

    def files(self, digests: Iterable[str]) -> dict[str, CachedFile]:
        """Return the recordings that are in the cache, by the sha256 of their file."""
        wanted = set(digests)
        with self._database() as db:
            rows = db.execute("SELECT sha256, first, windows, duration FROM files")
            return {sha256: CachedFile(*rest) for sha256, *rest in rows if sha256 in wanted}

    def add(self, digest: str, embeddings: NDArray[np.floating], duration: float) -> None:
        """Add a recording, unless it is there already.

        Args:
            digest: sha256 of its file.
            embeddings: of its windows, shape (windows, width).
            duration: its length, seconds.
        """
        rows = unit_rows(embeddings)
        # The lock and the order of writing (rows, then the table) keep the table right if a process is killed.
        with FileLock(self.folder / ".lock"), self._database() as db:
            if db.execute("SELECT 1 FROM files WHERE sha256 = ?", (digest,)).fetchone():
                return
            (first,) = db.execute("SELECT COALESCE(MAX(first + windows), 0) FROM files").fetchone()
            with (self.folder / _ROWS).open("r+b") as file:
                file.seek(first * self._width * rows.itemsize)
                file.truncate()
                file.write(rows.tobytes())
                file.flush()
                os.fsync(file.fileno())
            db.execute("INSERT INTO files VALUES (?, ?, ?, ?)", (digest, first, len(rows), duration))

    def rows(self) -> Rows:
        """Return all rows as a memory map; shape (rows, width)."""
        file = self.folder / _ROWS
        count = file.stat().st_size // (2 * self._width)
        if not count:
            return np.zeros((0, self._width), np.float16)
        return np.memmap(file, np.float16, "r", shape=(count, self._width))


def unit_rows(embeddings: NDArray[np.floating]) -> Rows:
    """Return embeddings divided by their Euclidean norm, as float16; an embedding of zeros stays as it is."""
    values = np.asarray(embeddings, np.float32)
    norms = np.sqrt(np.einsum("ij,ij->i", values, values))[:, None]
    return (values / np.where(norms > 0, norms, 1)).astype(np.float16)
