"""Keep what a client sends in memory, or in a temporary file if it is large."""

import os
import tempfile
from pathlib import Path
from typing import BinaryIO

from autobird.serving.http.body import MEMORY, Body

HEAD = 4096
"""Bytes at the start that `Spool.head` holds."""


class Spool:
    """Content that is written once and then given to a compute process.

    Args:
        folder: where the temporary file is created; None: the system's folder.

    Attributes:
        memory: largest content that is kept in memory, bytes; may be changed before something is written.
        size: bytes written.
        head: the first bytes, at most `HEAD`.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._folder, self._blocks = folder, list[bytes]()
        self._file: BinaryIO | None = None
        self._path: Path | None = None
        self.size, self.head = 0, b""
        self.memory = MEMORY

    def write(self, block: bytes) -> None:
        """Add bytes."""
        if len(self.head) < HEAD:
            self.head += block[: HEAD - len(self.head)]
        self.size += len(block)
        if self._file is None and self.size > self.memory:
            descriptor, path = tempfile.mkstemp(prefix="upload-", dir=self._folder)
            self._file, self._path = os.fdopen(descriptor, "wb"), Path(path)
            self._file.writelines(self._blocks)
            self._blocks = []
        if self._file is None:
            self._blocks.append(bytes(block))
        else:
            self._file.write(block)

    @property
    def in_memory(self) -> int:
        """Bytes that are kept in memory."""
        return self.size if self._path is None else 0

    def source(self) -> bytes | memoryview | Path:
        """Return the content, or the path of the file that holds it until `remove`; nothing can be written afterwards."""
        if self._path is None:
            self._blocks = [b"".join(self._blocks)]
            return self._blocks[0]
        self._close()
        return self._path

    def read(self) -> bytes:
        """Return the content."""
        source = self.source()
        return source.read_bytes() if isinstance(source, Path) else bytes(source)

    def remove(self) -> None:
        """Delete the temporary file, if there is one."""
        self._close()
        if self._path is not None:
            self._path.unlink(missing_ok=True)

    def _close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


class Received(Spool):
    """A body that the front has received, where it is.

    Args:
        body: the body; it belongs to the front, which removes it after the request.
    """

    def __init__(self, body: Body) -> None:
        super().__init__()
        self._source = body.source()
        self.size = len(body)
        if isinstance(self._source, Path):
            with self._source.open("rb") as file:
                self.head = file.read(HEAD)
        else:
            self.head = bytes(self._source[:HEAD])

    @property
    def in_memory(self) -> int:
        """Bytes that are kept in memory for the app."""
        return 0

    def source(self) -> memoryview | Path:
        """Return the content, or the path of the file that holds it."""
        return self._source

    def remove(self) -> None:
        """Do nothing."""
