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
    training then saves a checkpoint after the current step and exits with status 143.

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
        signal.signal(signal.SIGTERM, self._on_sigterm)

    def resume(self) -> None:
        """Continue from the checkpoint if there is a readable one."""
        try:
            data = io.BytesIO(self._store.read(self._file))
            state: dict[str, Any] = torch.load(data, map_location="cpu", weights_only=True)
        except FileNotFoundError:
            return
        except Exception as error:
            log.warning(
                "the checkpoint in %s cannot be read (%s); training starts from the beginning", self.location, error
            )
            return
        self.trainer.load_state_dict(state)
        progress = self.trainer.progress
        log.info("resumed from %s at epoch %d, step %d", self.location, progress.epoch + 1, progress.step)

    def save(self) -> None:
        """Save a checkpoint atomically, unless the store asks for a longer pause since the last one.

        After SIGTERM the pause does not count.
        """
        if not self._sigterm_received and time.monotonic() - self._saved_at < self._store.min_interval:
            return
        data = io.BytesIO()
        torch.save(self.trainer.state_dict(), data)
        self._store.write(self._file, data.getvalue())
        self._saved_at = time.monotonic()

    def after_step(self) -> None:
        """Save a checkpoint if one is due or SIGTERM was received; exit in the latter case.

        Raises:
            SystemExit: SIGTERM was received; the status is 143.
        """
        if self._sigterm_received or time.monotonic() - self._saved_at > _SAVE_INTERVAL:
            self.save()
        if self._sigterm_received:
            log.warning("SIGTERM: checkpoint saved in %s; run the same command again to resume", self.location)
            raise SystemExit(128 + signal.SIGTERM)

    def remove_other_trainings(self) -> None:
        """Remove the checkpoints of other trainings.

        This training's checkpoint stays: if the stage is killed before it has written its outputs, it need not train again.
        """
        self._store.keep_only(self.training_id)

    def _on_sigterm(self, _signal: int, _frame: FrameType | None) -> None:
        self._sigterm_received = True
        os.write(2, b"[train] SIGTERM: saving a checkpoint after this step\n")
