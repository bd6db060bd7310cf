"""Recordings opened by their id: from the folder where they lie, or from the tar of their batch."""

import tarfile
from collections.abc import Iterator, Sequence
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


def open_recordings(
    places: Sequence[Place], root: Path | None, tar: Path | None
) -> Iterator[tuple[Place, Path | BinaryIO | None]]:
    """Yield every recording with its audio, in the order of `places`; one is open at a time.

    Args:
        places: where they lie.
        root: the folder of a local corpus.
        tar: the batch's `corpus/audio/<b>.tar`, read instead of `root` where given.

    Yields:
        (place, audio): a path, a seekable file inside the tar, or None where the tar lacks it.
    """
    if tar is None:
        if root is None:
            raise AutobirdError("neither --root nor --audio was given; one of them says where recordings lie")
        folder = root.expanduser()
        for place in places:
            yield place, folder / place.file
        return
    with tarfile.open(tar) as archive:
        members = {m.name: m for m in archive}
        for place in places:
            name = place.file
            yield place, cast(BinaryIO, archive.extractfile(members[name])) if name in members else None
