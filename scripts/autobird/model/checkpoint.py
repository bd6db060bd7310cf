"""Checkpoints: a training that was interrupted resumes and ends with the same weights."""

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

_SAVE_INTERVAL = 30.0
"""Seconds between two checkpoints within an epoch. Another checkpoint is saved after each epoch."""


def training_id(texts: Sequence[str], files: Sequence[Path]) -> str:
    """Return an identifier of a training: a hash of its code, its settings and the content of its input files.

    Args:
        texts: hash of the code, settings and other strings that the result depends on.
        files: input files.

    Returns:
        The first 16 hexadecimal digits of a SHA-256.
    """
    digest = hashlib.sha256()
    for text in texts:
        digest.update(f"{len(text)} {text}".encode())
    for path in files:
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()[:16]


class Checkpointer:
    """Saves and loads the checkpoint of one training.

    Creating an instance installs a handler of SIGTERM, the signal that batch systems send before they kill a job. The
    training then saves a checkpoint after the current step and exits with status 143. Of several processes that share a training, the
    first one saves and loads, and all exit after the same step, whichever of them received the signal.

    Args:
        location: folder or URL that holds the checkpoints of all trainings of a stage.
        training_id: identifier of this training (`training_id`), the name of its folder below `location`.
        trainer: the training.
    """

    def __init__(self, location: str, training_id: str, trainer: Trainer) -> None:
        self.location, self.training_id, self.trainer = f"{location}/{training_id}", training_id, trainer
        self._store, self._file = open_store(location), f"{training_id}/checkpoint.pt"
        self._saved_at = time.monotonic()
        self._sigterm_received = False
        self._parent = os.getppid()
        trainer.stop_requested = self._must_stop
        signal.signal(signal.SIGTERM, self._on_sigterm)

    def resume(self) -> None:
        """Continue from the checkpoint if there is a readable one."""
        processes = self.trainer.processes
        data = processes.from_first(None if processes.rank else self._read())
        if data is None:
            return
        self.trainer.load_state_dict(_state_of(data))
        progress = self.trainer.progress
        log.info("resumed from %s at epoch %d, step %d", self.location, progress.epoch + 1, progress.step)

    def _read(self) -> bytes | None:
        """Return the checkpoint if there is a readable one."""
        try:
            data = self._store.read(self._file)
            _state_of(data)
        except FileNotFoundError:
            return None
        except Exception as error:
            log.warning(
                "the checkpoint in %s cannot be read (%s); training starts from the beginning", self.location, error
            )
            return None
        return data

    def save(self) -> bool:
        """Save a checkpoint atomically, unless the store asks for a longer pause since the last one; return whether it was written.

        After SIGTERM the pause does not count. Of several processes, only the first saves.
        """
        if self.trainer.processes.rank:
            return False
        if not self.trainer.stopping and time.monotonic() - self._saved_at < self._store.min_interval:
            return False
        data = io.BytesIO()
        torch.save(self.trainer.state_dict(), data)
        written = self._store.write(self._file, data.getvalue())
        self._saved_at = time.monotonic()
        return written

    def after_step(self) -> None:
        """Save a checkpoint if one is due or the training must stop; exit in the latter case.

        Raises:
            SystemExit: a process of the training has received SIGTERM; the status is 143.
        """
        is_due = self.trainer.stopping or time.monotonic() - self._saved_at > _SAVE_INTERVAL
        saved = is_due and self.save()
        if self.trainer.stopping:
            which = "checkpoint saved" if saved else "stopped without a new checkpoint"
            log.warning("SIGTERM: %s in %s; run the same command again to resume", which, self.location)
            raise SystemExit(128 + signal.SIGTERM)

    def remove_other_trainings(self) -> None:
        """Remove the checkpoints of other trainings.

        This training's checkpoint stays: if the stage is killed before it has written its outputs, it need not train again.
        """
        if not self.trainer.processes.rank:
            self._store.keep_only(self.training_id)

    def _must_stop(self) -> bool:
        """Return whether this process has received SIGTERM, or shares a training whose launcher was killed."""
        return self._sigterm_received or (self.trainer.processes.size > 1 and os.getppid() != self._parent)

    def _on_sigterm(self, _signal: int, _frame: FrameType | None) -> None:
        self._sigterm_received = True
        if not self.trainer.processes.rank:
            os.write(2, b"[train] SIGTERM: saving a checkpoint after this step\n")


def _state_of(checkpoint: bytes) -> dict[str, Any]:
    return torch.load(io.BytesIO(checkpoint), map_location="cpu", weights_only=True)
