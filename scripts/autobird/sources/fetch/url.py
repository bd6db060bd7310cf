"""A bucket or server that fsspec knows: what lies below a URL, and its files."""

from pathlib import Path, PurePosixPath
from typing import Any

from autobird.core.errors import AutobirdError
from autobird.core.files import write_stream
from autobird.core.store import fsspec_file_system
from autobird.sources.folder import species_row
from autobird.sources.lock import Entry
from autobird.sources.metadata import read_metadata
from autobird.sources.settings import SourceSettings

_CHECKSUMS = ("md5Hash", "crc32c", "ETag", "etag", "sha256", "generation", "checksum")
"""What file systems tell of a file's content, best first."""


def listing(corpus: SourceSettings, work: Path) -> list[Entry]:
    """Every file below `corpus.root`, with what its server tells of its content, and the metadata table's rows.

    Args:
        corpus: the section `corpus`.
        work: folder for the metadata table.
    """
    root = (corpus.root or "").rstrip("/")
    files, base = fsspec_file_system(root)
    try:
        found = files.find(base, detail=True)
    except Exception as error:
        raise AutobirdError(
            f"corpus.root: {root} cannot be listed ({error}); look at the URL and your rights"
        ) from error
    names = {path: PurePosixPath(path).relative_to(base).as_posix() for path in found}
    wanted = ("SOURCES.csv", "metadata.csv") if corpus.metadata == "auto" else (corpus.metadata,)
    table = next((p for w in wanted for p, n in names.items() if n == w), None)
    facts = {}
    if table is not None:
        local = work / PurePosixPath(table).name
        fetch(files, table, local)
        facts = {f.recording: f._asdict() for f in read_metadata(local, corpus.columns)}
    entries: list[Entry] = []
    for path, name in sorted(names.items()):
        if path == table:
            continue
        detail = found[path]
        checksum = next((f"{k}:{detail[k]}" for k in _CHECKSUMS if detail.get(k)), "")
        content = f"{checksum} {detail.get('size')}" if checksum else f"changed {_changed(detail)} {detail.get('size')}"
        row = species_row(
            name, content.replace('"', ""), int(detail.get("size") or 0), corpus.species_suffix, f"{root}/{name}"
        )
        entries.append({"recording": name, "row": row._asdict(), "facts": facts.get(name)})
    return entries


def _changed(detail: dict[str, Any]) -> str:
    return str(next((detail[k] for k in ("updated", "mtime", "LastModified", "created") if detail.get(k)), ""))


def fetch(files: Any, path: str, to: Path) -> None:
    """Copy one file of a file system to `to`."""
    with files.open(path, "rb") as source:
        write_stream(to, source)
