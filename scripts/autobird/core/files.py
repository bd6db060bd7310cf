"""Write output files atomically, and lock them so that two processes never write the same file."""

import csv
import glob
import io
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
    """Yield a temporary path in the folder of `path`; the file written there is renamed to `path` if no error occurs."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = _hidden(path, f"{uuid.uuid4().hex}.tmp")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def scratch(path: Path) -> Iterator[Path]:
    """Yield a new folder beside the output `path` for intermediate files; it is removed at the end."""
    folder = _hidden(path, f"{uuid.uuid4().hex}.tmp")
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def write_bytes(path: Path, data: bytes) -> None:
    """Write `data` to `path` atomically."""
    with atomic(path) as temporary:
        temporary.write_bytes(data)


def write_stream(path: Path, source: IO[bytes]) -> None:
    """Copy a file object to `path` atomically, in blocks."""
    with atomic(path) as temporary, temporary.open("wb") as target:
        shutil.copyfileobj(source, target, 1 << 20)


def write_text(path: Path, text: str) -> None:
    """Write `text` to `path` atomically, as UTF-8; line ends are not converted."""
    write_bytes(path, text.encode())


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON, atomically; NaN and infinity raise ValueError."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """Read a JSON file."""
    return json.loads(path.read_text(encoding="utf-8"))


def read_rows(path: Path) -> list[dict[str, str]]:
    """Read a CSV table as one dict per row, with the column names as keys."""
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def csv_text(rows: list[list[str]]) -> str:
    """Format rows as CSV with \\n line ends."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


@contextmanager
def locked(outputs: Sequence[Path]) -> Iterator[None]:
    """Hold a lock file for every output, and remove temporary files that a killed process left beside them.

    Waits if another process holds a lock, for example an orphaned job of a killed run that still writes the output.
    """
    with ExitStack() as stack:
        for path in sorted(outputs):
            path.parent.mkdir(parents=True, exist_ok=True)
            lock = FileLock(_hidden(path, "lock"))
            try:
                lock.acquire(timeout=1)
            except Timeout:
                log.warning("another process is writing %s; waiting until it ends", path)
                lock.acquire()
            stack.callback(lock.release)
        for path in outputs:
            for stale in path.parent.glob(f".{glob.escape(path.name)}.*.tmp"):
                shutil.rmtree(stale) if stale.is_dir() else stale.unlink(missing_ok=True)
        yield
