"""Count the aligned landmark matches of candidate pairs of recordings, from all their landmarks."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from autobird.audio.landmarks import HASH_BITS, LANDMARK
from autobird.core.progress import Progress
from autobird.corpus.landmark_matching import MAX_MATCHES_PER_HASH, MatchedPair, aligned_pairs
from autobird.corpus.many_matches import ManyMatches

_BLOCK = 1 << 20
"""Number of landmarks, or of matches, that are compared at a time; bounds the memory."""


class LandmarkStore:
    """The landmarks of some recordings in one temporary file, one recording after the other."""

    def __init__(self, path: Path) -> None:
        self._path = path
        path.touch()
        self._rows: dict[int, tuple[int, int]] = {}
        self._length = 0

    def add(self, numbers: NDArray[np.int64], rows: NDArray[np.int64], landmarks: NDArray[np.void]) -> None:
        """Add recordings of a batch.

        Args:
            numbers: numbers of the recordings.
            rows: their row numbers in the table of the batch, sorted.
            landmarks: landmarks of the batch, sorted by hash.
        """
        landmarks = landmarks[np.isin(landmarks["recording"], rows)]
        landmarks = landmarks[np.argsort(landmarks["recording"], kind="stable")]
        with self._path.open("ab") as file:
            file.write(landmarks.data)
        first = np.searchsorted(landmarks["recording"], rows, side="left")
        count = np.searchsorted(landmarks["recording"], rows, side="right") - first
        for number, start, length in zip(numbers.tolist(), first.tolist(), count.tolist(), strict=True):
            self._rows[number] = self._length + start, length
        self._length += len(landmarks)

    def count(self, number: int) -> int:
        """Return the number of landmarks of a recording."""
        return self._rows[number][1]

    def read(self, numbers: Iterable[int]) -> dict[int, NDArray[np.void]]:
        """Return the landmarks of recordings, sorted by hash."""
        with self._path.open("rb") as file:
            return {number: self._read(file, number) for number in numbers}

    def _read(self, file: BinaryIO, number: int) -> NDArray[np.void]:
        first, count = self._rows[number]
        file.seek(first * LANDMARK.itemsize)
        return np.fromfile(file, LANDMARK, count)


def exact_matches(pairs: NDArray[np.int64], store: LandmarkStore, min_matches: int) -> Iterator[MatchedPair]:
    """Yield the near-duplicates among pairs of recordings.

    Args:
        pairs: numbers of the first and the second recording; shape (pairs, 2).
        store: landmarks of all recordings in `pairs`.
        min_matches: minimum number of aligned matches.
    """
    progress = Progress("near_duplicates", len(pairs), "pairs of recordings")
    done = 0
    for block in _blocks(pairs, store):
        landmarks = store.read(np.unique(block).tolist())
        first, second = ([landmarks[number] for number in block[:, side].tolist()] for side in (0, 1))
        for found in _match(first, second, min_matches):
            a, b = block[found.first].tolist()
            yield found._replace(first=a, second=b)
        done += len(block)
        progress(done)


def _blocks(pairs: NDArray[np.int64], store: LandmarkStore) -> Iterator[NDArray[np.int64]]:
    """Divide pairs into blocks with together about `_BLOCK` landmarks."""
    sizes = np.array([store.count(a) + store.count(b) for a, b in pairs.tolist()], np.int64)
    yield from _split(pairs, sizes)


def _split(rows: NDArray[np.int64], sizes: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """Divide rows into parts with together about `_BLOCK` of something."""
    block = np.cumsum(sizes) // _BLOCK
    return np.split(rows, np.flatnonzero(np.diff(block)) + 1) if len(rows) else []


def _match(first: list[NDArray[np.void]], second: list[NDArray[np.void]], min_matches: int) -> Iterator[MatchedPair]:
    """Yield the pairs with enough aligned matches; `first` and `second` of the results are both the index of the pair.

    Args:
        first: landmarks of the first recording of each pair, sorted by hash.
        second: landmarks of the second recording of each pair, sorted by hash.
        min_matches: minimum number of aligned matches.
    """
    (keys, frames), (other_keys, other_frames) = _keys_and_frames(first), _keys_and_frames(second)
    low = np.searchsorted(other_keys, keys)
    # Most landmarks have no match; only the others are searched a second time.
    matched = np.flatnonzero(np.append(other_keys, -1)[low] == keys)
    keys, frames, low = keys[matched], frames[matched], low[matched]
    count = np.searchsorted(other_keys, keys, side="right") - low
    _, inverse, equal = np.unique(keys, return_inverse=True, return_counts=True)
    count[count * equal[inverse] > MAX_MATCHES_PER_HASH] = 0
    pair = keys >> HASH_BITS
    of_pair = np.bincount(pair, count, len(first)).astype(np.int64)
    ends = np.searchsorted(pair, np.arange(len(first)), side="right")
    starts = np.append(0, ends[:-1])
    for number in np.flatnonzero(of_pair > _BLOCK).tolist():
        own = slice(starts[number], ends[number])
        many = ManyMatches(frames[own], low[own], count[own], other_frames, _BLOCK)
        matches, offset = many.best_alignment(min_matches)
        if matches >= min_matches:
            yield MatchedPair(number, number, matches, offset)
        count[own] = of_pair[number] = 0
    for pairs in _split(np.arange(len(first)), of_pair):
        rows = np.arange(starts[pairs[0]], ends[pairs[-1]])
        a = np.repeat(rows, count[rows])
        b = low[a] + np.arange(len(a)) - np.repeat(np.cumsum(count[rows]) - count[rows], count[rows])
        yield from aligned_pairs(pair[a] << 32 | pair[a], frames[a] - other_frames[b], frames[a], min_matches)


def _keys_and_frames(landmarks: list[NDArray[np.void]]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return for each landmark the index of its pair together with its hash, in one number, and its frame."""
    together = np.concatenate(landmarks)
    pair = np.repeat(np.arange(len(landmarks)), [len(rows) for rows in landmarks])
    return pair << HASH_BITS | together["hash"].astype(np.int64), together["frame"].astype(np.int64)
