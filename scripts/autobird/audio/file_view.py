"""A part of a file behind other bytes, for example audio data behind a corrected header, without a copy in memory."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, cast

_BUFFER = 1 << 16


class _Readable(io.RawIOBase):
    """A file that can be read from any position."""

    _at = 0

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def tell(self) -> int:
        """Return the position."""
        return self._at


class FileView(_Readable):
    """Reads `prefix`, and then the bytes of `file` from `start` to `end`.

    Closing the view leaves `file` open. The position of `file` changes.

    Args:
        file: a seekable binary file.
        start: first byte of `file` to read.
        end: byte of `file` before which to stop; None for the end of the file.
        prefix: bytes before those of `file`.
    """

    def __init__(self, file: BinaryIO, start: int, end: int | None = None, prefix: bytes = b"") -> None:
        self._file: Any = file  # `BinaryIO` has no `readinto`, the files have
        self._start, self._prefix = start, prefix
        self._size = len(prefix) + max(0, (file_length(file) if end is None else end) - start)

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """Change the position, and return it."""
        self._at = max(0, offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence])
        return self._at

    def readinto(self, buffer: Any, /) -> int:
        """Read as many bytes as fit into `buffer`; fewer only at the end."""
        out = memoryview(buffer).cast("B")
        wanted = max(0, min(len(out), self._size - self._at))
        done = 0
        if self._at < len(self._prefix):
            part = self._prefix[self._at : self._at + wanted]
            out[: len(part)] = part
            done = len(part)
        if done < wanted:
            self._file.seek(self._start + self._at + done - len(self._prefix))
            while done < wanted and (count := self._file.readinto(out[done:wanted])):
                done += count
        self._at += done
        return done


class MemoryView(_Readable):
    """Reads bytes where they are; `io.BytesIO` copies them.

    Attributes:
        content: the bytes.
    """

    def __init__(self, content: memoryview) -> None:
        self.content = content

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """Change the position, and return it."""
        at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: len(self.content)}[whence]
        if at < 0:
            raise ValueError(f"negative position {at}")
        self._at = at
        return at

    def read(self, size: int | None = -1, /) -> bytes:
        """Return the next bytes; fewer only at the end."""
        end = None if size is None or size < 0 else self._at + size
        part = bytes(self.content[self._at : end])
        self._at += len(part)
        return part

    def readinto(self, buffer: Any, /) -> int:
        """Read as many bytes as fit into `buffer`; fewer only at the end."""
        out = memoryview(buffer).cast("B")
        part = self.content[self._at : self._at + len(out)]
        out[: len(part)] = part
        self._at += len(part)
        return len(part)


class Seekable:
    """A binary file for libsndfile, whose seeks before the start of the file have no effect.

    Damaged headers lead to such seeks. An exception of `seek` would be printed to stderr with its traceback, and the decoder would not
    learn about it.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._seek, self.tell, self.read = file.seek, file.tell, file.read
        if readinto := getattr(file, "readinto", None):
            self.readinto = readinto

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """Change the position if it is not negative; return it."""
        try:
            return self._seek(offset, whence)
        except (ValueError, OSError):
            return self.tell()


def file_length(file: BinaryIO) -> int:
    """Return the number of bytes of a seekable file, whose position stays."""
    position = file.tell()
    end = file.seek(0, io.SEEK_END)
    file.seek(position)
    return end


def view(file: BinaryIO, start: int, end: int | None = None, prefix: bytes = b"") -> BinaryIO:
    """Return a `FileView` with a buffer, because decoders read a few bytes at a time, as the type that readers of files take."""
    return cast(BinaryIO, io.BufferedReader(FileView(file, start, end, prefix), _BUFFER))


@contextmanager
def opened(source: Path | BinaryIO) -> Iterator[BinaryIO]:
    """Open a path; a file object is passed on, and stays open."""
    if isinstance(source, Path):
        with source.open("rb") as file:
            yield file
    else:
        yield source
