"""Progress of a stage: a bar on a terminal, plain lines otherwise."""

import importlib
import time
from typing import Any, Self

from autobird.core.stage import log, terminal

# Imported by name, so that the code fingerprints do not include tqdm: its version does not change results.
_tqdm: Any = importlib.import_module("tqdm").tqdm


class _Bar(_tqdm):  # type: ignore[misc]
    """A progress bar that other output replaces; plain lines if standard error is not a terminal."""

    monitor_interval = 0  # no monitoring thread, because the stages fork worker processes

    def display(self, msg: str | None = None, pos: int | None = None) -> bool:  # noqa: ARG002 - the signature of tqdm
        """Show the bar, or a text instead of it; "" removes it (see `tqdm.display`)."""
        text = str(self) if msg is None else msg
        if self.fp.closed:
            return False  # a bar of a stage that failed is closed after the terminal
        if self.fp.isatty():
            # Erase the line first, and end with a carriage return: the next output of any process overwrites the bar.
            print(f"\r\x1b[K{text}", end="\r", file=self.fp, flush=True)
        elif text:
            print(text, file=self.fp, flush=True)
        return False  # `close` must not print another carriage return


class Progress:
    """Progress of a stage, with the estimated remaining time.

    Args:
        stage: its name.
        total: number of units of work.
        unit: their name, in the plural.
        interval: minimum time between two plain lines, seconds, which keeps the logs of batch systems short.
        done: number of units that an interrupted run has already done.
    """

    def __init__(self, stage: str, total: int, unit: str, interval: float = 5.0, done: int = 0) -> None:
        on_terminal = terminal().isatty()
        if on_terminal:
            interval = min(interval, 0.2)
        bar = " {bar:24}" if on_terminal else ""
        self._bar = _Bar(
            desc=f"[{stage}]", total=total, initial=done, unit=unit, file=terminal(), leave=False,
            mininterval=interval, delay=interval, miniters=1, smoothing=0, dynamic_ncols=on_terminal,
            bar_format=f"{{desc}}{bar} {{n_fmt}} of {{total_fmt}} {{unit}}, {{remaining}} left{{postfix}}",
        )  # fmt: skip

    def __call__(self, done: int, text: str = "") -> None:
        """Report that `done` units are done, with a text to show."""
        self._bar.set_postfix_str(text, refresh=False)
        self._bar.update(done - self._bar.n)
        if done >= self._bar.total:
            self._bar.close()


class RecordingProgress:
    """Progress over recordings, with the hours of audio and the speed; logs a summary at the end."""

    def __init__(self, stage: str, recordings: int) -> None:
        self._progress = Progress(stage, recordings, "recordings")
        self._start = time.monotonic()
        self._done = self._unusable = 0
        self._seconds = 0.0

    def __call__(self, seconds: float, unusable: bool = False) -> None:
        """Report that one more recording is done, with its duration (seconds) and whether it is unusable."""
        self._done += 1
        self._seconds += seconds
        self._unusable += unusable
        self._progress(self._done, self._summary())

    def _summary(self) -> str:
        elapsed = max(1e-9, time.monotonic() - self._start)
        text = f"{self._seconds / 3600:.2f} h of audio at {self._seconds / elapsed:,.0f} times real time"
        return text + (f", {self._unusable} unusable" if self._unusable else "")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            log.info("%d recordings: %s", self._done, self._summary())
