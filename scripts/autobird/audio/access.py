"""Recordings opened by their id: from the folder where they lie, or from the tar of their batch."""

import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, cast

from autobird.core.errors import AutobirdError


def open_recordings(
    ids: Sequence[str], root: Path | None, tar: Path | None
) -> Iterator[tuple[str, Path | BinaryIO | None]]:
    """Yield every id with its audio, in the order of `ids`; one is open at a time.

    Args:
        ids: paths relative to `root`, with `/`; or names in `tar`.
        root: the folder of a local corpus.
        tar: the batch's `corpus/audio/<b>.tar`, read instead of `root` where given.

    Yields:
        (id, audio): a path, a seekable file inside the tar, or None where the tar lacks it.
    """
    if tar is None:
        if root is None:
            raise AutobirdError("neither --root nor --audio was given; one of them says where recordings lie")
        folder = root.expanduser()
        for name in ids:
            yield name, folder / name
        return
    with tarfile.open(tar) as archive:
        members = {m.name: m for m in archive}
        for name in ids:
            yield name, cast(BinaryIO, archive.extractfile(members[name])) if name in members else None
