"""Write a `.npy` file by appending arrays; the final length is known only at the end."""

import math
import shutil
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

import numpy as np
from numpy.typing import DTypeLike, NDArray

_HEADER = 128
"""Bytes of magic number and header together, a multiple of 64 as the format requires; the shape is filled in at the end."""


class NpyWriter:
    """Append arrays of shape (n, *row_shape) to `path`, which is an ordinary `.npy` file once the writer is closed.

    Memory holds one array at a time, so the file may be larger than the memory.
    """

    def __init__(self, path: Path, dtype: DTypeLike, row_shape: tuple[int, ...] = ()) -> None:
        self.dtype, self.row_shape, self.length = np.dtype(dtype).newbyteorder("<"), row_shape, 0
        self._file: BinaryIO = path.open("wb")
        self._write_header()

    def append(self, rows: NDArray[Any]) -> None:
        """Append the rows of an array."""
        self._file.write(np.ascontiguousarray(rows, self.dtype).data)
        self.length += len(rows)

    def append_file(self, part: Path) -> None:
        """Append the rows of a file that holds their bytes without a header."""
        with part.open("rb") as file:
            shutil.copyfileobj(file, self._file, 1 << 20)
        self.length += part.stat().st_size // (self.dtype.itemsize * math.prod(self.row_shape))

    def _write_header(self) -> None:
        shape = (self.length, *self.row_shape)
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
            self._write_header()
        finally:
            self._file.close()
