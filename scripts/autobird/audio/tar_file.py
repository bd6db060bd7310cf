"""Write tar archives of recordings that have the same bytes whenever they hold the same files."""

import io
import tarfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from autobird.core.files import atomic


class TarMember(NamedTuple):
    """A file of a tar archive.

    Attributes:
        name: name in the archive.
        content: the bytes, or the file that holds them.
        headers: further headers (PAX).
    """

    name: str
    content: bytes | Path
    headers: Mapping[str, str] | None = None


def write_tar(path: Path, members: Iterable[TarMember]) -> None:
    """Write a tar archive, atomically; members have neither owner nor time. Each member is written before the next one is asked for."""
    with atomic(path) as temporary, tarfile.open(temporary, "w", format=tarfile.PAX_FORMAT) as archive:
        for name, content, headers in members:
            info = tarfile.TarInfo(name)
            info.pax_headers = dict(headers or {})
            with io.BytesIO(content) if isinstance(content, bytes) else content.open("rb") as file:
                info.size = file.seek(0, io.SEEK_END)
                file.seek(0)
                archive.addfile(info, file)
