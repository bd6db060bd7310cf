"""The frame that every stage runs in: arguments, a readable log, progress on the terminal, locked outputs."""

import argparse
import json
import logging
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Self, TextIO, TypeVar

from pydantic import ValidationError
from threadpoolctl import threadpool_limits

from autobird.core.errors import AutobirdError
from autobird.core.files import locked
from autobird.core.settings import Settings

S = TypeVar("S", bound=Settings)

log = logging.getLogger("autobird")

_terminal: TextIO | None = None
"""Where people look while a stage runs, as standard error itself goes to the log then; None: standard error."""


def say(text: str) -> None:
    """Print a line on the terminal."""
    print(text, file=_terminal or sys.stderr, flush=True)


def parser(description: str | None) -> argparse.ArgumentParser:
    """An argument parser with what every stage takes: `--settings` (JSON) and `--log`."""
    p = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--settings", default="{}", help="the resolved settings that the stage uses, as JSON")
    p.add_argument("--log", type=Path, help="where the log goes besides the terminal's progress lines")
    return p


def settings_of(kind: type[S], text: str) -> S:
    """The settings that a rule handed over as JSON.

    Raises:
        AutobirdError: the JSON does not fit `kind`.
    """
    try:
        return kind.model_validate(json.loads(text))
    except (ValidationError, json.JSONDecodeError) as error:
        raise AutobirdError(f"--settings {text!r} do not fit {kind.__name__}: {error}") from error


_BAR = 24
"""Width of a progress bar, characters."""


class Progress:
    """How far a stage is and how long it will still take: a bar where somebody looks at a terminal, else lines.

    At most one line every `every` seconds, so that logs of batch systems stay short.
    """

    def __init__(self, stage: str, total: int, unit: str, every: float = 5.0, done: int = 0) -> None:
        self.stage, self.total, self.unit, self.every = stage, total, unit, every
        self.start = self.last = time.monotonic()
        self.first = done

    def __call__(self, done: int, text: str = "", force: bool = False) -> None:
        """Report that `done` of the total are done."""
        now = time.monotonic()
        drawn = (_terminal or sys.stderr).isatty()
        ends = drawn and done >= self.total
        if not (force or ends) and now - self.last < (min(self.every, 0.2) if drawn else self.every):
            return
        self.last = now
        rate = (now - self.start) / max(1, done - self.first)
        left = f"{duration(rate * (self.total - done))} to go"
        extra = f", {text}" if text else ""
        line = f"{done} of {self.total} {self.unit}{extra}, {left}"
        if not drawn:
            say(f"[{self.stage}] {line}")
            return
        full = _BAR * done // max(1, self.total)
        bar = "█" * full + "░" * (_BAR - full)
        # The cursor goes back to the line's beginning, so that what others print replaces the bar.
        shown = f"[{self.stage}] {bar} {line}"[: shutil.get_terminal_size((160, 24)).columns - 1]
        print(f"\r\x1b[K{shown}", end="\r\x1b[K" if ends else "\r", file=_terminal or sys.stderr, flush=True)


class Speed:
    """Progress over recordings that also tells hours done and times real time; in the end a line in the log."""

    def __init__(self, stage: str, recordings: int) -> None:
        self._progress = Progress(stage, recordings, "recordings")
        self._done = self._quarantined = 0
        self._seconds = 0.0

    def __call__(self, seconds: float, quarantined: bool = False) -> None:
        """Report that one more recording is done.

        Args:
            seconds: of its sound.
            quarantined: it cannot be used.
        """
        self._done += 1
        self._seconds += seconds
        self._quarantined += quarantined
        self._progress(self._done, self._said())

    def _said(self) -> str:
        took = max(1e-9, time.monotonic() - self._progress.start)
        said = f"{self._seconds / 3600:.2f} h of sound at {self._seconds / took:,.0f} times real time"
        return said + (f", {self._quarantined} quarantined" if self._quarantined else "")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            log.info("%d recordings: %s", self._done, self._said())


def duration(seconds: float) -> str:
    """Seconds as people say them: `4.2 s`, `3 min 05 s`, `2 h 07 min`."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, s = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {s:02d} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min"


@contextmanager
def _errors_into(path: Path) -> Iterator[None]:
    """Send file descriptor 2, where C libraries write their warnings, to the end of `path`."""
    global _terminal
    sys.stderr.flush()
    saved = os.dup(2)
    with path.open("ab", buffering=0) as file, open(saved, "w", encoding="utf-8") as _terminal:  # noqa: PTH123 - a descriptor
        os.dup2(file.fileno(), 2)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(saved, 2)
            _terminal = None


@contextmanager
def stage(name: str, args: argparse.Namespace, outputs: Sequence[Path]) -> Iterator[None]:
    """Run a stage: log to `args.log`, hold the locks of `outputs`, say at the end how long it took."""
    with ExitStack() as stack:
        handler: logging.Handler = logging.StreamHandler()
        if args.log:
            args.log.parent.mkdir(parents=True, exist_ok=True)
            args.log.write_bytes(b"")
            handler = logging.FileHandler(args.log, mode="a", encoding="utf-8")
            stack.enter_context(_errors_into(args.log))
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)-7s %(message)s", "%H:%M:%S"))
        stack.callback(handler.close)
        stack.callback(log.removeHandler, handler)
        log.addHandler(handler)
        log.setLevel(logging.INFO)
        start = time.monotonic()
        try:
            # One BLAS thread: the results must not depend on the number of cores, and the jobs share them.
            with locked(outputs), threadpool_limits(1, user_api="blas"):
                log.info("%s: settings %s", name, args.settings)
                yield
            took = duration(time.monotonic() - start)
            log.info("%s: done in %s", name, took)
            say(f"[{name}] done in {took}")
        except Exception as error:
            log.error("%s: %s", name, error, exc_info=not isinstance(error, AutobirdError))
            raise


def run(main: Callable[[Sequence[str] | None], None]) -> None:
    """Call a stage's `main` as a program: an `AutobirdError` ends it with one line and status 1."""
    try:
        main(None)
    except AutobirdError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)
