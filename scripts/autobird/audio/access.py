"""Open recordings by their id: from a local folder, or from the tar archive of their batch."""

import tarfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, cast

from autobird.core.errors import AutobirdError
from autobird.core.walk import path_of_printable


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
    locations: Sequence[RecordingLocation], root: Path | None, tar: Path | None
) -> list[AudioSource | None]:
    """Return the files of recordings, in the order of `locations`; None for those that the tar lacks.

    Args:
        locations: of the recordings.
        root: folder of the recordings.
        tar: tar archive of the batch; if it is given, it is read instead of `root`.

    Raises:
        AutobirdError: neither `root` nor `tar` is given.
    """
    if tar is None:
        if root is None:
            raise AutobirdError("neither --root nor --audio is given; give the folder or the tar of the recordings")
        folder = root.expanduser()
        return [path_of_printable(folder, location.file) for location in locations]
    with tarfile.open(tar) as archive:
        members = {m.name: TarMember(tar, m.offset_data, m.size) for m in archive}
    return [members.get(location.file) for location in locations]


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
