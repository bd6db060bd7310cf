"""Keep the results of an unfinished `autobird predict --output` in a file, one JSON line per file, so that it can be resumed."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from autobird.core.errors import AutobirdError
from autobird.predict.classifier import Detection
from autobird.predict.files import FileResult, WindowResult
from autobird.predict.origin import Origin

_FORMAT = 4
"""Version of the lines; lines of other versions are not used."""


class FileState(NamedTuple):
    """A file as it was before it was classified: path, size (bytes; -1 if it cannot be found), and time of the last change."""

    path: str
    size: int
    mtime_ns: int

    @classmethod
    def of(cls, path: Path) -> "FileState":
        """Read the present state of a file."""
        try:
            stat = path.stat()
        except OSError:
            return cls(str(path), -1, 0)
        return cls(str(path), stat.st_size, stat.st_mtime_ns)


class Journal:
    """The results of the files that are done. They stay on the disk; memory holds their positions.

    Lines of a file whose state has changed, of another bundle or of other options are not used. A line that a kill cut off is
    removed.

    Args:
        path: the file; it is created if it does not exist.
        key: identifies the bundle and the options that the results depend on.
        files: the files to classify.

    Raises:
        AutobirdError: another process has opened the journal.

    Attributes:
        done: numbers of the files that have a result.
        taken_over: how many of them an earlier run left.
        unused: number of results of earlier runs that are not used.
    """

    def __init__(self, path: Path, key: str, files: Sequence[FileState]) -> None:
        self.path, self._key, self._files = path, key, files
        self._offsets: dict[int, int] = {}
        self.unused = 0
        self._file = path.open("a+b")
        self._lock()
        self._load()
        self.taken_over = len(self._offsets)

    @property
    def done(self) -> set[int]:
        """See the class."""
        return set(self._offsets)

    def _lock(self) -> None:
        # A lock of POSIX: the workers do not inherit it, so it ends with this process even if they still work. The command
        # runs without this check on Windows.
        if sys.platform != "win32":
            import fcntl

            try:
                fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                self._file.close()
                raise AutobirdError(
                    f"{self.path}: another process writes this output; wait until it ends, or name another file"
                ) from error

    def _load(self) -> None:
        numbers = {state: number for number, state in enumerate(self._files)}
        self._file.seek(0)
        end = 0
        for line in self._file:
            if not line.endswith(b"\n"):
                break
            entry = _parse(line)
            number = numbers.get(FileState(*entry["state"])) if entry and entry["key"] == self._key else None
            if number is None or not entry or not entry["result"]["is_final"]:
                self.unused += 1
            else:
                self._offsets[number] = end
            end += len(line)
        self._file.truncate(end)

    def append(self, number: int, result: FileResult) -> None:
        """Add the result of a file; it is on the disk when the function returns, as far as this process decides it."""
        value = {"key": self._key, "state": list(self._files[number]), "result": _to_json(result)}
        # ASCII: file names that are not UTF-8 are represented by surrogates, which JSON can only hold in escaped form.
        line = json.dumps(value, ensure_ascii=True, separators=(",", ":")).encode("ascii") + b"\n"
        self._offsets[number] = self._file.seek(0, 2)
        self._file.write(line)
        self._file.flush()

    def read(self, number: int) -> FileResult:
        """Return the result of a file that is done."""
        self._file.seek(self._offsets[number])
        return _from_json(json.loads(self._file.readline())["result"])

    def close(self) -> None:
        """Close the file; it stays on the disk."""
        self._file.close()

    def remove(self) -> None:
        """Close and delete the file."""
        self.close()
        self.path.unlink(missing_ok=True)


def _parse(line: bytes) -> dict[str, Any] | None:
    """Return a line of this version; None for anything else."""
    try:
        entry = json.loads(line)
        path, size, mtime_ns = entry["state"]
        is_known = isinstance(path, str) and isinstance(size, int) and isinstance(mtime_ns, int)
        if not is_known or entry["result"]["format"] != _FORMAT or "key" not in entry:
            return None
        _from_json(entry["result"])
        return entry
    except (ValueError, KeyError, TypeError):
        return None


def _to_json(result: FileResult) -> dict[str, Any]:
    """Return a result without its drift features, which no output of the command has."""
    windows = result.windows
    return {
        "format": _FORMAT,
        "file": result.file,
        "error": result.error,
        "duration": result.duration,
        "species": result.species,
        "detections": [list(vars(d).values()) for d in result.detections],
        "probabilities": result.probabilities,
        "windows": None
        if windows is None
        else [[w.start, w.end, w.quiet, w.probabilities, w.detected, w.unknown_score] for w in windows],
        "is_final": result.is_final,
        "note": result.note,
        "quiet_share": result.quiet_share,
        "is_silent": result.is_silent,
        "unknown_score": result.unknown_score,
        "origin": list(result.origin),
    }


def _from_json(value: dict[str, Any]) -> FileResult:
    return FileResult(
        file=value["file"],
        error=value["error"],
        duration=value["duration"],
        species=None if value["species"] is None else tuple(value["species"]),
        detections=[Detection(*d) for d in value["detections"]],
        drift_features={},
        probabilities=value["probabilities"],
        windows=None if value["windows"] is None else [WindowResult(*w) for w in value["windows"]],
        is_final=value["is_final"],
        note=value["note"],
        quiet_share=value["quiet_share"],
        is_silent=value["is_silent"],
        unknown_score=value["unknown_score"],
        origin=Origin(*value["origin"]),
    )
