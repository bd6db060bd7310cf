"""Checkpoints that let a killed training go on to the same weights."""

import hashlib
import io
import logging
import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import Any

import torch

from autobird.core.store import open_store
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


class Checkpoints:
    """The checkpoint of one training, `name`, at a folder or URL; other trainings' are removed when this one ends.

    SIGTERM, which batch systems send before they kill, saves after the current step and ends with status 143.
    """

    def __init__(self, place: str, name: str, trainer: Trainer) -> None:
        self.place, self.name, self.trainer = f"{place}/{name}", name, trainer
        self._store, self._file = open_store(place), f"{name}/checkpoint.pt"
        self._saved = time.monotonic()
        self._stop = False
        signal.signal(signal.SIGTERM, self._on_signal)

    def resume(self) -> None:
        """Go on from the checkpoint, if there is a sound one."""
        try:
            data = io.BytesIO(self._store.read(self._file))
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
        if not self._stop and time.monotonic() - self._saved < self._store.min_interval:
            return
        data = io.BytesIO()
        torch.save(self.trainer.state(), data)
        self._store.write(self._file, data.getvalue())
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
