"""The lock file of a remote source: JSON lines, kept in git, that list the recordings found by the last refresh."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from autobird.core.errors import AutobirdError
from autobird.core.files import write_text

Entry = dict[str, Any]
"""A JSON object, one line of a lock file."""


class LockMissing(AutobirdError):
    """There is no lock file, or it was written for another source."""


class Changes(NamedTuple):
    """Ids of the entries that a refresh added to a lock file, removed from it, or changed."""

    added: list[str]
    removed: list[str]
    changed: list[str]


def read_lock(path: Path, source: Entry) -> list[Entry]:
    """Read the entries of a lock file.

    Args:
        path: the file.
        source: key of the configured source; the first line of the file holds the key that it was written for.

    Raises:
        LockMissing: there is no such file, or it was written for another source.
        AutobirdError: the file is damaged.
    """
    if not path.is_file():
        raise LockMissing(
            f"corpus.lock: {path} does not exist; write it with `snakemake refresh_sources` (uses the network)"
        )
    try:
        with path.open(encoding="utf-8") as file:
            header = json.loads(next(file, "null"))
            entries = [json.loads(line) for line in file]
    except ValueError as error:
        raise AutobirdError(f"{path} is damaged ({error}); restore it from git or refresh it") from error
    if header != {"source": source}:
        configured = json.dumps(source, ensure_ascii=False)
        raise LockMissing(
            f"{path} was written for another source than the configured one ({configured}); run `snakemake refresh_sources`"
        )
    return entries


def write_lock(path: Path, source: Entry, entries: Iterable[Entry], key: str) -> Changes:
    """Write a lock file, one line per entry, and return the differences from the previous file.

    Args:
        path: the file.
        source: key of the source, written as the first line.
        entries: one per recording.
        key: the entries' field that holds their id; they are sorted by it.
    """
    new = {str(e[key]): e for e in entries}
    try:
        old = {str(e[key]): e for e in _entries_of_any_source(path)}
    except (ValueError, KeyError, TypeError):
        old = {}
    lines = [{"source": source}, *(new[k] for k in sorted(new))]
    write_text(path, "".join(json.dumps(e, ensure_ascii=False, sort_keys=True) + "\n" for e in lines))
    return Changes(
        sorted(set(new) - set(old)),
        sorted(set(old) - set(new)),
        sorted(k for k in set(new) & set(old) if new[k] != old[k]),
    )


def _entries_of_any_source(path: Path) -> list[Entry]:
    if not path.is_file():
        return []
    with path.open(encoding="utf-8") as file:
        next(file, None)
        return [json.loads(line) for line in file]
