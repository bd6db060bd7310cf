"""Checkpoints that let a killed training go on to the same weights."""

import hashlib
import importlib
import io
import logging
import os
import shutil
import signal
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import Any, Protocol

import torch

from autobird.core.errors import AutobirdError
from autobird.core.files import write_bytes
from autobird.model.loop import Trainer

log = logging.getLogger("autobird")

_EVERY = 30.0
"""Seconds between two checkpoints inside an epoch; there is one after each epoch anyway."""


def fingerprint(texts: Sequence[str], files: Sequence[Path]) -> str:
    """A name for exactly this training: a hash of code, settings and the content of all inputs."""
    digest = hashlib.sha256()
    for text in texts:
        digest.update(f"{len(text)} {text}".encode())
    for path in files:
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()[:16]


class Store(Protocol):
    """Where checkpoints lie: one file for each training, written in one step.

    Attributes:
        pause: seconds that lie at least between two writes, unless the machine is about to go.
    """

    pause: float

    def read(self, name: str) -> bytes:
        """The checkpoint of training `name`. Raises FileNotFoundError where there is none."""
        ...

    def write(self, name: str, data: bytes) -> None:
        """Replace the checkpoint of training `name`."""
        ...

    def keep_only(self, name: str) -> None:
        """Remove the checkpoints of all other trainings."""
        ...


_FILE = "checkpoint.pt"


class FolderStore:
    """`<folder>/<name>/checkpoint.pt` on a disk."""

    pause = 0.0

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def read(self, name: str) -> bytes:
        """As `Store` says."""
        return (self._folder / name / _FILE).read_bytes()

    def write(self, name: str, data: bytes) -> None:
        """As `Store` says."""
        write_bytes(self._folder / name / _FILE, data)

    def keep_only(self, name: str) -> None:
        """As `Store` says."""
        for other in self._folder.iterdir():
            if other.name != name and other.is_dir():
                shutil.rmtree(other, ignore_errors=True)


class UrlStore:
    """The same below a URL that fsspec knows (`gs://`, `s3://`): what outlives a machine that was preempted.

    A write that fails costs at most the time since the last one, so it is a warning.
    """

    pause = 5.0  # Google Cloud Storage takes one write a second of an object

    def __init__(self, url: str) -> None:
        # By name, so that another version of them retrains nothing.
        try:
            fsspec = importlib.import_module("fsspec")
            self._files, self._root = fsspec.core.url_to_fs(url)
        except ImportError as error:
            raise AutobirdError(f"checkpoints at {url} need a package more ({error}); install autobird[gce]") from error

    def read(self, name: str) -> bytes:
        """As `Store` says."""
        self._files.invalidate_cache()
        data: bytes = self._files.cat_file(f"{self._root}/{name}/{_FILE}")
        return data

    def write(self, name: str, data: bytes) -> None:
        """As `Store` says; a failure is logged."""
        path = f"{self._root}/{name}/{_FILE}"
        try:
            self._files.makedirs(f"{self._root}/{name}", exist_ok=True)
            self._files.pipe_file(path, data)
        except Exception as error:
            log.warning("the checkpoint was not written to %s (%s); training goes on without it", path, error)

    def keep_only(self, name: str) -> None:
        """As `Store` says; a failure is logged."""
        try:
            self._files.invalidate_cache()
            for path in self._files.find(self._root):
                if not path.endswith(f"/{name}/{_FILE}"):
                    self._files.rm_file(path)
        except Exception as error:
            log.warning("checkpoints of other trainings are left below %s (%s)", self._root, error)


def store_of(place: str) -> Store:
    """The store at a folder or a URL."""
    return UrlStore(place) if "://" in place else FolderStore(Path(place))


class Checkpoints:
    """The checkpoint of one training, `name`, in a store; other trainings' are removed when this one ends.

    SIGTERM, which batch systems send before they kill, saves after the current step and ends with status 143.
    """

    def __init__(self, place: str, name: str, trainer: Trainer) -> None:
        self.place, self.name, self.trainer = f"{place}/{name}", name, trainer
        self._store = store_of(place)
        self._saved = time.monotonic()
        self._stop = False
        signal.signal(signal.SIGTERM, self._on_signal)

    def resume(self) -> None:
        """Go on from the checkpoint, if there is a sound one."""
        try:
            data = io.BytesIO(self._store.read(self.name))
            state: dict[str, Any] = torch.load(data, map_location="cpu", weights_only=True)
        except FileNotFoundError:
            return
        except Exception as error:
            log.warning("the checkpoint in %s cannot be read (%s); training starts anew", self.place, error)
            return
        self.trainer.load(state)
        at = self.trainer.at
        log.info("resumed from %s at epoch %d, step %d", self.place, at.epoch + 1, at.step)

    def save(self) -> None:
        """Write the checkpoint in one step, unless the last one is too young."""
        if not self._stop and time.monotonic() - self._saved < self._store.pause:
            return
        data = io.BytesIO()
        torch.save(self.trainer.state(), data)
        self._store.write(self.name, data.getvalue())
        self._saved = time.monotonic()

    def after_step(self) -> None:
        """Save if it is time, or if the process was asked to end."""
        if self._stop or time.monotonic() - self._saved > _EVERY:
            self.save()
        if self._stop:
            log.warning("SIGTERM: saved in %s; run again to go on", self.place)
            raise SystemExit(128 + signal.SIGTERM)

    def remove_others(self) -> None:
        """Remove what other trainings left; this one's stays, so that a repetition after a kill need not train again."""
        self._store.keep_only(self.name)

    def _on_signal(self, _signal: int, _frame: FrameType | None) -> None:
        self._stop = True
        os.write(2, b"[train] SIGTERM: saving a checkpoint after this step\n")
