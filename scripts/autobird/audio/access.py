"""Open recordings by their id: from local folders, or from the tar archives of their batch."""

import json
import re
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, cast
from urllib.parse import unquote

from autobird.core.errors import AutobirdError
from autobird.core.walk import path_of_printable

LOCAL = "local://"
"""Start of the location of a file in the folder of a named source: `local://<name>/<path>`."""

SYNTHESISED = "demo://"
"""Start of the location of a recording of the demo that has another id than in the demo: `demo://<name>/<id in the demo>`."""

_SPECIAL = re.compile(r"[%#?\x00-\x1f\x7f]")
"""Characters of a path that mean something else in a URL."""


def local_location(name: str, path: str) -> str:
    """Return the location of a file in the folder of the source `name`; `path` is relative to the folder, or absolute."""
    return f"{LOCAL}{name}/{_SPECIAL.sub(lambda m: f'%{ord(m[0]):02X}', path)}"


class RecordingRoots:
    """The folders that hold recordings, by the name of their source; "" for a source without a name.

    They are no part of the ids and locations of recordings, so that moving a folder repeats no job.
    """

    def __init__(self, folders: Mapping[str, Path]) -> None:
        self._folders = {name: folder.expanduser() for name, folder in folders.items()}

    @classmethod
    def parse(cls, text: str) -> "RecordingRoots":
        """Read what `text` returns; any path of a single folder is accepted too."""
        if text.startswith('{"'):
            return cls({name: Path(folder) for name, folder in json.loads(text).items()})
        return cls({"": Path(text)} if text else {})

    def text(self) -> str:
        """Return the folders as text: the path of a single one without a name, "" for none, otherwise a JSON object."""
        if not self._folders.keys() - {""}:
            return str(self._folders.get("", ""))
        return json.dumps({name: str(folder) for name, folder in self._folders.items()}, ensure_ascii=False)

    def folder(self, name: str) -> Path | None:
        """Return the folder of a source; None if it is unknown."""
        return self._folders.get(name)

    def path(self, file: str) -> Path | None:
        """Return the path of a file, given as in `RecordingLocation.file`; None if its folder is unknown."""
        name = ""
        if file.startswith(LOCAL):
            name, _, file = file.removeprefix(LOCAL).partition("/")
            file = unquote(file)
        folder = self.folder(name)
        return None if folder is None else path_of_printable(folder, file)


class RecordingLocation(NamedTuple):
    """The file and the part of it that hold a recording.

    Attributes:
        recording: its id.
        location: the file that holds it; "" if the id is the file's name.
        start: start of the recording in that file, seconds; "" for the start of the file.
        end: end of the recording, seconds; "" for the end of the file.
    """

    recording: str
    location: str = ""
    start: str = ""
    end: str = ""

    @classmethod
    def from_row(cls, row: Mapping[str, str]) -> "RecordingLocation":
        """Read the location from a row of a table with these columns."""
        return cls(*(row[name] for name in cls._fields))

    @property
    def file(self) -> str:
        """Path of the file relative to the root, which is also its name in the tar."""
        return self.location or self.recording

    @property
    def span(self) -> tuple[float, float]:
        """Start and end of the recording in the file, seconds."""
        return float(self.start or 0), float(self.end or "inf")


def recording_locations(table: Any) -> list[RecordingLocation]:
    """Return the locations of a table of recordings, a data frame (typed Any, as this module does not import pandas)."""
    return [RecordingLocation(*row) for row in table[list(RecordingLocation._fields)].itertuples(index=False)]


class TarMember(NamedTuple):
    """A file inside a tar; unlike an open file it can be sent to another process.

    Attributes:
        tar: the archive.
        offset: position of the file's first byte in the archive.
        size: number of bytes.
    """

    tar: Path
    offset: int
    size: int


AudioSource = Path | TarMember
"""A file that holds a recording."""


def audio_sources(
    locations: Sequence[RecordingLocation], root: RecordingRoots | Path | None, tars: Sequence[Path] | Path | None
) -> list[AudioSource | None]:
    """Return the files of recordings, in the order of `locations`; None for those that are nowhere.

    Args:
        locations: of the recordings.
        root: folders of the recordings, or the only one.
        tars: tar archives of the batch. If there are any, only files in the folder of a named source (`LOCAL`) are read from
            `root`, and only if no archive holds them.

    Raises:
        AutobirdError: neither `root` nor `tars` is given.
    """
    archives = [tars] if isinstance(tars, Path) else list(tars or ())
    roots = RecordingRoots({"": root}) if isinstance(root, Path) else root
    if not archives:
        if roots is None:
            raise AutobirdError("neither --root nor --audio is given; give the folder or the tar of the recordings")
        return [roots.path(location.file) for location in locations]
    members: dict[str, TarMember] = {}
    for tar in archives:
        with tarfile.open(tar) as archive:
            members |= {m.name: TarMember(tar, m.offset_data, m.size) for m in archive}
    return [
        members.get(file) or (roots.path(file) if roots is not None and file.startswith(LOCAL) else None)
        for file in (location.file for location in locations)
    ]


def source_size(source: AudioSource | None) -> int:
    """Return the number of bytes; 0 for a missing file."""
    if isinstance(source, TarMember):
        return source.size
    try:
        return source.stat().st_size if source else 0
    except OSError:
        return 0


@contextmanager
def open_source(source: AudioSource) -> Iterator[Path | BinaryIO]:
    """Yield the path of a file in a folder, or a seekable file object for a member of a tar."""
    if isinstance(source, Path):
        yield source
        return
    info = tarfile.TarInfo()
    info.offset_data, info.size = source.offset, source.size
    with tarfile.open(source.tar) as archive, cast(BinaryIO, archive.extractfile(info)) as file:
        yield file
