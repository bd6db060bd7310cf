"""Arrays appended to a `.npy` file whose length is known only at the end."""

import math
import shutil
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

import numpy as np
from numpy.typing import DTypeLike, NDArray

_HEADER = 128
"""Bytes of magic and header together, a multiple of 64 as the format asks; the shape is filled in at the end."""


class NpyWriter:
    """Append arrays of shape (n, *row) to `path`; the file is an ordinary `.npy` once closed.

    Memory holds one array at a time, so that a batch may be larger than it.
    """

    def __init__(self, path: Path, dtype: DTypeLike, row: tuple[int, ...] = ()) -> None:
        self.dtype, self.row, self.length = np.dtype(dtype).newbyteorder("<"), row, 0
        self._file: BinaryIO = path.open("wb")
        self._header()

    def append(self, rows: NDArray[Any]) -> int:
        """Append `rows` and return the index of the first of them."""
        first = self.length
        self._file.write(np.ascontiguousarray(rows, self.dtype).data)
        self.length += len(rows)
        return first

    def extend(self, part: Path) -> int:
        """Append rows that lie in a file without a header, and return the index of the first of them."""
        first = self.length
        with part.open("rb") as file:
            shutil.copyfileobj(file, self._file, 1 << 20)
        self.length += part.stat().st_size // (self.dtype.itemsize * math.prod(self.row))
        return first

    def _header(self) -> None:
        shape = (self.length, *self.row)
        text = f"{{'descr': {np.lib.format.dtype_to_descr(self.dtype)!r}, 'fortran_order': False, 'shape': {shape}, }}"
        padded = text.ljust(_HEADER - 11) + "\n"
        self._file.seek(0)
        self._file.write(b"\x93NUMPY\x01\x00" + (_HEADER - 10).to_bytes(2, "little") + padded.encode("ascii"))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._header()
        finally:
            self._file.close()
