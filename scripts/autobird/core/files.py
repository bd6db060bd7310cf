"""Outputs that appear whole or not at all, and a lock so that two processes never write the same one."""

import csv
import json
import logging
import shutil
import uuid
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any

from filelock import FileLock, Timeout

log = logging.getLogger("autobird")


def _hidden(path: Path, suffix: str) -> Path:
    return path.with_name(f".{path.name}.{suffix}")


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Yield a unique temporary path (a file to be made) beside `path`; renamed to it when all went well."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = _hidden(path, f"{uuid.uuid4().hex}.tmp")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def scratch(path: Path) -> Iterator[Path]:
    """Yield a folder beside the output `path` for what is made on the way to it; removed in the end."""
    folder = _hidden(path, f"{uuid.uuid4().hex}.tmp")
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def write_bytes(path: Path, data: bytes) -> None:
    """Write `data` to `path` in one step."""
    with atomic(path) as temporary:
        temporary.write_bytes(data)


def write_stream(path: Path, source: IO[bytes]) -> None:
    """Write all that `source` yields to `path` in one step; memory is bounded."""
    with atomic(path) as temporary, temporary.open("wb") as target:
        shutil.copyfileobj(source, target, 1 << 20)


def write_text(path: Path, text: str) -> None:
    """Write `text` as UTF-8 with \\n line ends to `path` in one step."""
    write_bytes(path, text.encode())


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON; NaN is not JSON and raises ValueError."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """Read a JSON file."""
    return json.loads(path.read_text(encoding="utf-8"))


def read_rows(path: Path) -> list[dict[str, str]]:
    """Read the rows of a CSV table, each by the names of its columns."""
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def csv_text(rows: list[list[str]]) -> str:
    """Rows as CSV with \\n line ends."""

    class Lines(list[str]):
        write = list.append

    lines = Lines()
    csv.writer(lines, lineterminator="\n").writerows(rows)
    return "".join(lines)


@contextmanager
def locked(outputs: Sequence[Path]) -> Iterator[None]:
    """Hold the lock of every output; wait for an orphan of a killed run that still writes one of them.

    What such an orphan left unfinished (temporary files beside the outputs) is removed.
    """
    with ExitStack() as stack:
        for path in sorted(outputs):
            path.parent.mkdir(parents=True, exist_ok=True)
            lock = FileLock(_hidden(path, "lock"))
            try:
                lock.acquire(timeout=1)
            except Timeout:
                log.warning("another process still writes %s; waiting for it to end", path)
                lock.acquire()
            stack.callback(lock.release)
        for path in outputs:
            for stale in path.parent.glob(f".{glob_escape(path.name)}.*.tmp"):
                shutil.rmtree(stale) if stale.is_dir() else stale.unlink(missing_ok=True)
        yield


def glob_escape(name: str) -> str:
    """`name` with the characters that a glob would interpret made literal."""
    return "".join(f"[{c}]" if c in "*?[" else c for c in name)
