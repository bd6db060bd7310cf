"""What a remote source held when somebody looked: a file of JSON lines that git tracks."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from autobird.core.errors import AutobirdError
from autobird.core.files import write_text

Entry = dict[str, Any]


class LockMissing(AutobirdError):
    """There is no lock file yet, or it was made for something else."""


class Changes(NamedTuple):
    """What a refresh changed: ids that came, went, or have other content."""

    came: list[str]
    went: list[str]
    changed: list[str]


def read_lock(path: Path, source: Entry) -> list[Entry]:
    """The entries of a lock file.

    Args:
        path: the file.
        source: what the configuration asks for; the lock's first line says what it was made for.

    Raises:
        LockMissing: no such file, or made for another source.
        AutobirdError: damaged.
    """
    if not path.is_file():
        raise LockMissing(f"corpus.lock: {path} is not there; `snakemake refresh_sources` writes it (by the network)")
    try:
        with path.open(encoding="utf-8") as file:
            header = json.loads(next(file, "null"))
            entries = [json.loads(line) for line in file]
    except ValueError as error:
        raise AutobirdError(f"{path} is damaged ({error}); restore it from git or refresh it") from error
    if header != {"source": source}:
        asked = json.dumps(source, ensure_ascii=False)
        raise LockMissing(
            f"{path} was not made for what the configuration asks ({asked}); run `snakemake refresh_sources`"
        )
    return entries


def write_lock(path: Path, source: Entry, entries: Iterable[Entry], key: str) -> Changes:
    """Write a lock file, one line an entry, sorted by `key`; return what changed against the file that was there."""
    new = {str(e[key]): e for e in entries}
    try:
        old = {str(e[key]): e for e in _any_lock(path)}
    except (ValueError, KeyError, TypeError):
        old = {}
    lines = [{"source": source}, *(new[k] for k in sorted(new))]
    write_text(path, "".join(json.dumps(e, ensure_ascii=False, sort_keys=True) + "\n" for e in lines))
    return Changes(
        sorted(set(new) - set(old)),
        sorted(set(old) - set(new)),
        sorted(k for k in set(new) & set(old) if new[k] != old[k]),
    )


def _any_lock(path: Path) -> list[Entry]:
    if not path.is_file():
        return []
    with path.open(encoding="utf-8") as file:
        next(file, None)
        return [json.loads(line) for line in file]
