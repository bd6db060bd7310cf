"""The body of a request with Content-Length: received in place, in memory or in a file, and handed over without a copy."""

import io
import os
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

MEMORY = 1 << 20
"""Largest body that is kept in memory, bytes; also the largest one that a compute process gets in memory."""

_FIRST, _GROWTH = 1 << 15, 8
"""Bytes of memory that a body gets at first, and the factor by which they grow: a client that declares much and sends little holds
little memory."""

ENVIRON = "autobird.body"
"""Key of the WSGI environment under which the app finds the `Body`, if there is one."""


class Body:
    """Receives a body of known length, with the interface of the receivers of waitress.

    Args:
        length: bytes, at least 1.
        folder: for the temporary file of a body that is larger than `memory`; None: the system's folder.
        memory: largest body that is kept in memory, bytes.
        piece: memory into which such a body is read piece by piece; all bodies of a thread may share it.
    """

    error: Any = None

    def __init__(self, length: int, folder: Path | None, memory: int, piece: bytearray) -> None:
        self.length, self._folder, self._piece = length, folder, piece
        self._received = 0
        self._data = bytearray(min(length, _FIRST)) if length <= memory else None
        self._descriptor = -1
        self._path: Path | None = None

    @property
    def completed(self) -> bool:
        """Whether all bytes have arrived."""
        return self._received >= self.length

    def __len__(self) -> int:
        return self._received

    def room(self) -> memoryview:
        """Return the memory into which the next bytes are to be read, at least one; then call `filled`."""
        if self._data is None:
            return memoryview(self._piece)[: self.length - self._received]
        if self._received == len(self._data):
            grown = bytearray(min(self.length, _GROWTH * len(self._data)))
            grown[: self._received] = self._data
            self._data = grown
        return memoryview(self._data)[self._received :]

    def filled(self, count: int) -> None:
        """Take over the first bytes of `room`.

        Raises:
            OSError: the file cannot be written; the bytes are not taken.
        """
        if self._data is None:
            self._write(memoryview(self._piece)[:count])
        self._received += count

    def received(self, data: bytes) -> int:
        """Take the first of some bytes; return how many.

        Raises:
            OSError: the file cannot be written; none is taken.
        """
        used, view = min(len(data), self.length - self._received), memoryview(data)
        if not used:
            return 0
        if self._data is None:
            self._write(view[:used])
            self._received += used
            return used
        done = 0
        while done < used:
            room = self.room()
            count = min(len(room), used - done)
            room[:count] = view[done : done + count]
            self.filled(count)
            done += count
        return used

    def source(self) -> memoryview | Path:
        """Return the content of a complete body, or the path of the file with it; both are valid until `close`."""
        if self._path is not None:
            return self._path
        return memoryview(self._data or b"").toreadonly()

    def getfile(self) -> BinaryIO:
        """Return the content as a file."""
        source = self.source()
        return source.open("rb") if isinstance(source, Path) else io.BytesIO(source)

    def getbuf(self) -> "Body":
        """Return what has to be closed."""
        return self

    def close(self) -> None:
        """Forget the content, and delete the file."""
        self._data = None if self._data is None else bytearray()
        self._close_file()
        if self._path is not None:
            with suppress(OSError):  # another user of the file, on Windows
                self._path.unlink(missing_ok=True)
            self._path = None

    def __del__(self) -> None:
        self.close()

    def _write(self, view: memoryview) -> None:
        if self._descriptor < 0:
            self._descriptor, path = tempfile.mkstemp(prefix="upload-", dir=self._folder)
            self._path = Path(path)
        # A part of a failed attempt is overwritten by the next one.
        os.lseek(self._descriptor, self._received, os.SEEK_SET)
        done = 0
        while done < len(view):
            done += os.write(self._descriptor, view[done:])
        if self._received + done >= self.length:
            self._close_file()

    def _close_file(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
