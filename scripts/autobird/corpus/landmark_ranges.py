"""Read one range of landmark hashes from the landmark files of all batches, each sorted by hash."""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from autobird.audio.landmarks import HASH_BITS, LANDMARK
from autobird.core.errors import AutobirdError

BANDS = 1 << (HASH_BITS - 16)
"""Number of bands of the first peak of a landmark, the highest bits of its hash."""

BUCKET = 256
"""Hashes of a bucket, the smallest part of a range that is read: landmarks with the same two bands."""

MAX_RECORDINGS = 1 << 24
"""Limit of the numbers of recordings, because a vote holds two of them and a time offset in 64 bits."""


def range_of_hashes(number: int, ranges: int) -> tuple[int, int]:
    """Return the first hash of a range and the first one after it.

    A range holds whole bands of the first peak, because triples of peaks have it in common.

    Args:
        number: number of the range, from 0.
        ranges: how many ranges there are, at most `BANDS`.
    """
    return BANDS * number // ranges << 16, BANDS * (number + 1) // ranges << 16


class LandmarkRange:
    """The landmarks of all batches in one range of hashes. Files are opened for each read: there can be 1,000 batches.

    Recordings of all batches have different numbers: row number in the table of the batch, times the number of batches, plus
    the number of the batch.

    Attributes:
        first: first hash of the range.
        counts: number of landmarks of each hash in all batches; shape (hashes of the range,).
        landmarks: number of landmarks of all batches, of all hashes.
    """

    def __init__(self, paths: Sequence[Path], first: int, end: int) -> None:
        """Count the landmarks of each hash.

        Raises:
            AutobirdError: a batch has too many recordings for `MAX_RECORDINGS`.
        """
        self._paths, self.first = paths, first
        self.counts = np.zeros(end - first, np.int64)
        self.landmarks = 0
        edges = np.arange(first, end + 1, BUCKET)
        self._positions = np.zeros((len(paths), len(edges)), np.int64)
        """Row of each file at which each bucket begins."""
        for batch, path in enumerate(paths):
            mapped = np.load(path, mmap_mode="r")
            self.landmarks += len(mapped)
            low, high = (bisect_left(mapped["hash"], value) for value in (first, end))
            rows = _read(path, low, high)
            if int(rows["recording"].max(initial=0)) * len(paths) + batch >= MAX_RECORDINGS:
                raise AutobirdError(
                    f"{path} has a recording with the row number {rows['recording'].max()}, and the search for near-duplicates "
                    f"can compare at most {MAX_RECORDINGS} recordings; set corpus.near_duplicates to false"
                )
            hashes = np.ascontiguousarray(rows["hash"])
            self.counts += np.bincount(hashes - np.uint32(first), minlength=end - first)
            self._positions[batch] = low + np.searchsorted(hashes, edges)

    def rows(self, first_bucket: int, end_bucket: int) -> Iterator[tuple[int, NDArray[np.void]]]:
        """Yield the number of each batch with its landmarks (`LANDMARK`) in some buckets, sorted by hash."""
        for batch, path in enumerate(self._paths):
            yield batch, _read(path, self._positions[batch, first_bucket], self._positions[batch, end_bucket])

    def numbers(self, batch: int, rows: NDArray[np.uint32]) -> NDArray[np.uint64]:
        """Return the numbers of recordings, given by their row numbers in the table of a batch."""
        return rows.astype(np.uint64) * np.uint64(len(self._paths)) + np.uint64(batch)


def _read(path: Path, first: int, end: int) -> NDArray[np.void]:
    """Read some rows. A memory map would do, but its pages would count as memory of the process."""
    with path.open("rb") as file:
        np.lib.format.read_magic(file)
        np.lib.format.read_array_header_1_0(file)
        file.seek(int(first) * LANDMARK.itemsize, 1)
        return np.fromfile(file, LANDMARK, int(end - first))
