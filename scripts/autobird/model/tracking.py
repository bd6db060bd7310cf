"""Weights & Biases, if it is installed: offline unless the user is logged in or WANDB_MODE says else; never required."""

import importlib
import json
import logging
import os
from pathlib import Path
from types import TracebackType
from typing import Any, Self

log = logging.getLogger("autobird")


class Tracker:
    """A W&B run in `folder`, or nothing at all; trouble with it is logged and never ends a training."""

    def __init__(self, enabled: bool, folder: Path, name: str, group: str, settings: str) -> None:
        self._run: Any = None
        if not enabled or os.environ.get("WANDB_MODE") == "disabled":
            return
        try:
            # By name, so that a new version of W&B is no new version of the training's code.
            wandb = importlib.import_module("wandb")
            mode = os.environ.get("WANDB_MODE") or ("online" if wandb.login(prompt=False) else "offline")
            folder.mkdir(parents=True, exist_ok=True)
            self._run = wandb.init(
                project=os.environ.get("WANDB_PROJECT", "autobird"),
                id=name,
                group=group,
                dir=str(folder),
                mode=mode,
                config=json.loads(settings),
                resume="allow" if mode == "online" else None,
                settings=wandb.Settings(silent=True, console="off", x_disable_stats=True),
            )
            log.info("W&B %s, files in %s", mode, folder)
        except ImportError:
            log.info("W&B is not installed; nothing is tracked")
        except Exception as error:
            log.warning("W&B did not start (%s); training goes on without it", error)

    def log(self, values: dict[str, float]) -> None:
        """Log one epoch."""
        if self._run is not None:
            try:
                self._run.log(values, step=int(values["epoch"]))
            except Exception as error:
                log.warning("W&B stopped (%s); training goes on without it", error)
                self._run = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._run is not None:
            try:
                self._run.finish(exit_code=0 if kind is None else 1)
            except Exception as trouble:
                log.warning("W&B did not end well (%s)", trouble)
