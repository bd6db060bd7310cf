"""Open many `.npy` files as memory maps, which together may be larger than the memory."""

import contextlib
import errno
import mmap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autobird.core.errors import AutobirdError

with contextlib.suppress(ImportError):  # not on Windows, which has no such limit
    import resource

_OPEN_FILES = Path("/dev/fd")
"""Folder with an entry for each open file of the process, on Linux and macOS."""

_OTHER_FILES = 512
"""Files that a process may open besides, later."""


def memory_maps(paths: Sequence[Path]) -> list[NDArray[Any]]:
    """Return read-only memory maps of `.npy` files.

    Python keeps a file open for each map. Most systems allow 1,024 open files unless a process asks for more, which this function does.

    Raises:
        AutobirdError: the system does not allow as many open files.
    """
    _allow_open_files(len(paths))
    try:
        return [np.load(path, mmap_mode="r") for path in paths]
    except OSError as error:
        if error.errno != errno.EMFILE:
            raise
        raise AutobirdError(
            f"the system does not allow a process to open {len(paths)} more files, the first of them {paths[0]}; raise the limit "
            "(ulimit -Hn shows it), or lower corpus.batches"
        ) from error


def _allow_open_files(count: int) -> None:
    """Raise the limit of open files, as far as the system allows it, so that `count` more can be opened."""
    if "resource" in globals():
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        is_open = len(list(_OPEN_FILES.iterdir())) if _OPEN_FILES.exists() else 0
        needed = is_open + count + _OTHER_FILES
        if resource.RLIM_INFINITY != soft < needed:
            resource.setrlimit(
                resource.RLIMIT_NOFILE, (needed if hard == resource.RLIM_INFINITY else min(needed, hard), hard)
            )


def expect_random_reads(maps: Sequence[NDArray[Any]]) -> None:
    """Tell the system that memory maps are read in random order, after calls of `request_rows`.

    Otherwise it reads the pages around each page that it needs. With files larger than the memory, most of these would be evicted unread:
    244 kB were read for each window of 20 kB in a measurement. Pages that are in memory already stay there.
    """
    for array in maps:
        if found := _map_of(array):
            found.madvise(mmap.MADV_RANDOM)


def request_rows(array: NDArray[Any], first: NDArray[np.int64], count: int) -> None:
    """Ask the system to read rows of a memory map into the memory; it reads them all at a time, and this function does not wait.

    Args:
        array: the map.
        first: first row of each block of rows.
        count: number of rows of a block.
    """
    if found := _map_of(array):
        start = array.offset % mmap.ALLOCATIONGRANULARITY  # type: ignore[attr-defined]  # of np.memmap
        for row in first.tolist():
            begin = start + row * array.strides[0]
            page = begin - begin % mmap.PAGESIZE
            found.madvise(mmap.MADV_WILLNEED, page, begin + count * array.strides[0] - page)


def _map_of(array: NDArray[Any]) -> mmap.mmap | None:
    """Return the map of an array of `memory_maps`; None for other arrays, and on systems that take no advice about maps."""
    found = getattr(array, "_mmap", None)
    return found if isinstance(found, mmap.mmap) and hasattr(found, "madvise") else None
