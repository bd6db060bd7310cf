"""Log a training to Weights & Biases (W&B) if it is installed. Data are sent only if the user asks for it."""

import importlib
import json
import logging
import os
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

log = logging.getLogger("autobird")

TrackingMode = Literal["none", "offline", "online"]


def tracking_mode(setting: TrackingMode) -> TrackingMode:
    """Return the mode of tracking: the setting `run.tracking`, unless the environment variable WANDB_MODE overrides it.

    `disabled` means `none`, `online` means `online`, and any other value that is not empty means `offline`. If the
    setting is `none`, WANDB_MODE is ignored.
    """
    variable = os.environ.get("WANDB_MODE", "").strip().lower()
    if setting == "none" or variable == "disabled":
        return "none"
    if variable:
        return "online" if variable == "online" else "offline"
    return setting


def _log_in(wandb: Any) -> bool:
    """Return whether W&B's server accepts the user's key."""
    try:
        return bool(wandb.login(prompt=False))
    except Exception as error:
        log.info("login to W&B failed: %s", error)
        return False


class Tracker:
    """A context manager that logs to a run of W&B. Errors of W&B are logged and never stop the stage.

    Several stages can log to the same run, one after the other. Offline, each writes a folder of its own, and `wandb sync` puts
    folders with the same run id together, in the order of their start.

    Attributes:
        mode: mode in which the run was started; `none` if it was not.

    Args:
        setting: the setting `run.tracking`.
        folder: folder of W&B's files; it is created if needed.
        run_id: id of the W&B run; a resumed training and the evaluation have the same.
        group: group of the W&B run.
        settings: settings of the training as JSON.
    """

    def __init__(self, setting: TrackingMode, folder: Path, run_id: str, group: str, settings: str) -> None:
        self._run: Any = None
        self._wandb: Any = None
        self.mode: TrackingMode = "none"
        mode = tracking_mode(setting)
        if mode == "none":
            return
        try:
            # Imported by name: otherwise a new version of W&B would count as a change of the training's code.
            wandb = importlib.import_module("wandb")
            folder.mkdir(parents=True, exist_ok=True)
            # W&B keeps copies of artefacts until they are uploaded; by default in the home folder.
            os.environ.setdefault("WANDB_DATA_DIR", str(folder))
            # A user who is logged in has not asked to send data; only mode `online` does.
            if mode == "online" and not _log_in(wandb):
                mode = "offline"
                log.warning(
                    "W&B: the mode is online, but its server accepts no login; the training is logged offline to %s. "
                    "Run `wandb login` or set WANDB_API_KEY; `wandb sync` uploads the offline files",
                    folder,
                )
            self._run = wandb.init(
                project=os.environ.get("WANDB_PROJECT", "autobird"),
                id=run_id,
                group=group,
                dir=str(folder),
                mode=mode,
                config=json.loads(settings),
                resume="allow" if mode == "online" else None,
                settings=wandb.Settings(silent=True, console="off", x_disable_stats=True),
            )
            self._wandb, self.mode = wandb, mode
            log.info("W&B %s, files in %s", mode, folder)
        except ImportError:
            level = logging.WARNING if mode == "online" else logging.INFO
            log.log(level, "W&B is not installed; the training is not tracked")
        except Exception as error:
            log.warning("W&B failed to start (%s); the stage continues without it", error)

    def log(self, values: dict[str, float]) -> None:
        """Log the values of an epoch; `values` contains its number as `epoch`."""
        self._attempt(lambda: self._run.log(values, step=int(values["epoch"])))

    def _attempt(self, send: Callable[[], None]) -> None:
        """Log something; after an error, nothing more is logged."""
        if self._run is not None:
            try:
                send()
            except Exception as error:
                log.warning("W&B failed (%s); the stage continues without it", error)
                self._run = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._run is not None:
            try:
                self._run.finish(exit_code=0 if kind is None else 1)
            except Exception as finish_error:
                log.warning("W&B failed to finish (%s)", finish_error)
