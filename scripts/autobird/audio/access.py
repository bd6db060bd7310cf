"""Recordings opened by their id: from the folder where they lie, or from the tar of their batch."""

import tarfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, cast

from autobird.core.errors import AutobirdError


class Place(NamedTuple):
    """Where a recording lies.

    Attributes:
        recording: its id.
        location: the file that holds it, if that is not its id.
        start: where it begins in that file, seconds; "" for the beginning.
        end: where it ends, seconds; "" for the end.
    """

    recording: str
    location: str = ""
    start: str = ""
    end: str = ""

    @classmethod
    def of(cls, row: Mapping[str, str]) -> "Place":
        """The place that a row of a table names."""
        return cls(*(row[name] for name in cls._fields))

    @property
    def file(self) -> str:
        """Path of its file relative to the root, or its name in the tar."""
        return self.location or self.recording

    @property
    def span(self) -> tuple[float, float]:
        """Its first and last second in that file."""
        return float(self.start or 0), float(self.end or "inf")


def places_of(table: Any) -> list[Place]:
    """The places of a table of recordings (a data frame, which this module does not import pandas for)."""
    return [Place(*row) for row in table[list(Place._fields)].itertuples(index=False)]


class Member(NamedTuple):
    """A recording inside a tar; it can be sent to another process.

    Attributes:
        tar: the archive.
        offset: where in it its bytes begin.
        size: how many there are.
    """

    tar: Path
    offset: int
    size: int


Sound = Path | Member
"""Where the bytes of a recording are."""


def sounds_of(places: Sequence[Place], root: Path | None, tar: Path | None) -> list[Sound | None]:
    """Where the recordings' bytes are, in the order of `places`; None where the tar lacks one.

    Args:
        places: where they lie.
        root: the folder of a local corpus.
        tar: the batch's `corpus/audio/<b>.tar`, read instead of `root` where given.
    """
    if tar is None:
        if root is None:
            raise AutobirdError("neither --root nor --audio was given; one of them says where recordings lie")
        folder = root.expanduser()
        return [folder / place.file for place in places]
    with tarfile.open(tar) as archive:
        members = {m.name: Member(tar, m.offset_data, m.size) for m in archive}
    return [members.get(place.file) for place in places]


def size_of(sound: Sound | None) -> int:
    """Bytes; 0 where there are none to be had."""
    if isinstance(sound, Member):
        return sound.size
    try:
        return sound.stat().st_size if sound else 0
    except OSError:
        return 0


@contextmanager
def opened(sound: Sound) -> Iterator[Path | BinaryIO]:
    """The recording's path, or a seekable file inside the tar."""
    if isinstance(sound, Path):
        yield sound
        return
    info = tarfile.TarInfo()
    info.offset_data, info.size = sound.offset, sound.size
    with tarfile.open(sound.tar) as archive, cast(BinaryIO, archive.extractfile(info)) as file:
        yield file
