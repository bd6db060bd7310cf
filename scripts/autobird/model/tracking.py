"""Weights & Biases, if it is installed: offline unless the user asked for online; never required."""

import importlib
import json
import logging
import os
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

log = logging.getLogger("autobird")

Mode = Literal["none", "offline", "online"]


def mode_of(setting: Mode) -> Mode:
    """Where the training is logged: the setting `run.tracking`, unless WANDB_MODE says something else.

    `none` stays `none`. WANDB_MODE=online asks for online as the setting does; with any other value nothing
    is sent.
    """
    asked = os.environ.get("WANDB_MODE", "").strip().lower()
    if setting == "none" or asked == "disabled":
        return "none"
    if asked:
        return "online" if asked == "online" else "offline"
    return setting


def _logged_in(wandb: Any) -> bool:
    """Whether W&B accepts the user's key; asks its server."""
    try:
        return bool(wandb.login(prompt=False))
    except Exception as error:
        log.info("W&B's login failed: %s", error)
        return False


class Tracker:
    """A W&B run in `folder`, or nothing at all; trouble with it is logged and never ends a training."""

    def __init__(self, setting: Mode, folder: Path, name: str, group: str, settings: str) -> None:
        self._run: Any = None
        mode = mode_of(setting)
        if mode == "none":
            return
        try:
            # By name, so that a new version of W&B is no new version of the training's code.
            wandb = importlib.import_module("wandb")
            folder.mkdir(parents=True, exist_ok=True)
            # Being logged in is not asking: the login matters only where online was asked for.
            if mode == "online" and not _logged_in(wandb):
                mode = "offline"
                log.warning(
                    "W&B: online was asked for, but there is no login that its server accepts; the training is logged "
                    "offline to %s. Run `wandb login` or set WANDB_API_KEY; `wandb sync` uploads what is there",
                    folder,
                )
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
            level = logging.WARNING if mode == "online" else logging.INFO
            log.log(level, "W&B is not installed; nothing is tracked")
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
