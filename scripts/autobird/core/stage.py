"""Run a stage: arguments, log, locks of the outputs, duration, and errors."""

import argparse
import json
import logging
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TextIO, TypeVar

from pydantic import ValidationError
from threadpoolctl import threadpool_limits

from autobird.core.decoder_messages import short_decoder_messages
from autobird.core.errors import AutobirdError
from autobird.core.files import locked
from autobird.core.settings import Settings

S = TypeVar("S", bound=Settings)

log = logging.getLogger("autobird")

_original_stderr: TextIO | None = None
"""Standard error of the process, often a terminal, while `sys.stderr` is redirected to the log; None if it is not."""


def terminal() -> TextIO:
    """Return the standard error of the process, also while `sys.stderr` is redirected to the log."""
    return _original_stderr or sys.stderr


def print_line(text: str) -> None:
    """Print a line to `terminal()`."""
    print(text, file=terminal(), flush=True)


def parser(description: str | None) -> argparse.ArgumentParser:
    """Create an argument parser with the options of all stages: `--settings` (JSON) and `--log`."""
    p = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--settings", default="{}", help="the resolved settings of the stage, as JSON")
    p.add_argument("--log", type=Path, help="log file; progress is printed to standard error")
    return p


def settings_of(kind: type[S], text: str) -> S:
    """Parse the settings that a rule passes as JSON.

    Raises:
        AutobirdError: the JSON is not valid for `kind`.
    """
    try:
        return kind.model_validate(json.loads(text))
    except (ValidationError, json.JSONDecodeError) as error:
        raise AutobirdError(f"--settings {text!r} is not valid for {kind.__name__}: {error}") from error


def format_duration(seconds: float) -> str:
    """Format a duration for people: `4.2 s`, `3 min 05 s`, `2 h 07 min`."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, s = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {s:02d} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min"


@contextmanager
def _redirect_stderr(path: Path) -> Iterator[None]:
    """Append standard error to `path`, including the first of the warnings that C libraries write to file descriptor 2."""
    global _original_stderr
    saved = os.dup(2)
    with path.open("ab", buffering=0) as file, open(saved, "w", encoding="utf-8") as _original_stderr:  # noqa: PTH123 - a descriptor
        try:
            with short_decoder_messages(file.fileno()):
                yield
        finally:
            _original_stderr = None


@contextmanager
def stage(name: str, args: argparse.Namespace, outputs: Sequence[Path]) -> Iterator[None]:
    """Run a stage: log to `args.log`, hold the locks of `outputs`, and report the duration at the end."""
    with ExitStack() as stack:
        handler: logging.Handler = logging.StreamHandler()
        if args.log:
            args.log.parent.mkdir(parents=True, exist_ok=True)
            args.log.write_bytes(b"")
            handler = logging.FileHandler(args.log, mode="a", encoding="utf-8")
            stack.enter_context(_redirect_stderr(args.log))
        else:
            stack.enter_context(short_decoder_messages())
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)-7s %(message)s", "%H:%M:%S"))
        stack.callback(handler.close)
        stack.callback(log.removeHandler, handler)
        log.addHandler(handler)
        log.setLevel(logging.INFO)
        start = time.monotonic()
        try:
            # One BLAS thread: results must not depend on the number of cores, which the jobs share.
            with locked(outputs), threadpool_limits(1, user_api="blas"):
                log.info("%s: settings %s", name, args.settings)
                yield
            duration = format_duration(time.monotonic() - start)
            log.info("%s: done in %s", name, duration)
            print_line(f"[{name}] done in {duration}")
        except Exception as error:
            log.error("%s: %s", name, error, exc_info=not isinstance(error, AutobirdError))
            raise


def run(main: Callable[[Sequence[str] | None], None]) -> None:
    """Call the `main` of a stage as a program: an `AutobirdError` is printed in one line, with exit status 1."""
    try:
        main(None)
    except AutobirdError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)
