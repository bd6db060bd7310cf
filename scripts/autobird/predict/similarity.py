"""Find the windows whose embeddings are most similar to that of a clip, among up to some millions."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from autobird.core.blas import one_blas_thread
from autobird.predict.embedding_cache import CachedFile, Rows

_BLOCK = 256
"""Rows that are converted to float32 at a time: 1 MB of BirdNET's embeddings, which stay in the cache of the processor. A million
rows take 2 s; in blocks of 4096 rows they take 6 s."""


class Match(NamedTuple):
    """A window that is similar to the clip.

    Attributes:
        file: number of its file.
        window: number of the window in the file.
        similarity: cosine of the angle between the two embeddings, at most 1.
    """

    file: int
    window: int
    similarity: float


def cosines(rows: Rows, files: Sequence[CachedFile], query: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the cosine of each window of some files with a query, file by file; shape (windows,).

    Args:
        rows: unit vectors, shape (rows, width).
        files: rows of each file.
        query: shape (width,); its length does not matter.
    """
    unit = query / max(float(np.sqrt(np.dot(query, query))), 1e-12)
    out = np.empty(sum(f.windows for f in files), np.float32)
    at = 0
    with one_blas_thread():
        for first, count in _ranges(files):
            for begin in range(first, first + count, _BLOCK):
                block = rows[begin : min(begin + _BLOCK, first + count)].astype(np.float32)
                out[at : at + len(block)] = block @ unit
                at += len(block)
    return np.minimum(out, 1.0)  # rounding to float16 may give slightly more


def most_similar(
    similarities: NDArray[np.float32],
    windows: Sequence[int],
    count: int,
    apart: int,
    excluded: Mapping[int, tuple[int, int]] | None = None,
) -> list[Match]:
    """Return the most similar windows, the best first, without those that overlap a better one of the same file.

    Args:
        similarities: of each window, file by file; shape (windows,).
        windows: number of windows of each file.
        count: largest number of matches.
        apart: smallest difference of the numbers of two windows of a file that do not overlap.
        excluded: first and last number of the windows of a file that are left out, by the number of the file.
    """
    ends = np.cumsum(windows)
    excluded = excluded or {}
    taken: dict[int, list[int]] = {}
    matches: list[Match] = []
    # Sorted in growing parts, because usually a few hundred of a million are looked at.
    part, seen = max(1024, 8 * count), 0
    while len(matches) < count and seen < len(similarities):
        for position in _best(similarities, part)[seen:]:
            file = int(np.searchsorted(ends, position, side="right"))
            window = int(position - (ends[file] - windows[file]))
            first, last = excluded.get(file, (0, -1))
            if first <= window <= last or any(abs(window - other) < apart for other in taken.get(file, ())):
                continue
            taken.setdefault(file, []).append(window)
            matches.append(Match(file, window, float(similarities[position])))
            if len(matches) == count:
                break
        seen, part = min(part, len(similarities)), part * 8
    return matches


def _best(similarities: NDArray[np.float32], count: int) -> NDArray[np.intp]:
    """Return the positions of the `count` largest values, the largest first; of equal values the first position first."""
    if count >= len(similarities):
        return np.argsort(-similarities, kind="stable")
    limit = -np.partition(-similarities, count - 1)[count - 1]
    above = np.flatnonzero(similarities > limit)
    at_limit = np.flatnonzero(similarities == limit)[: count - len(above)]
    found = np.sort(np.concatenate([above, at_limit]))
    return found[np.argsort(-similarities[found], kind="stable")]


def _ranges(files: Sequence[CachedFile]) -> list[tuple[int, int]]:
    """Return first row and number of rows of the files, in their order, with consecutive rows joined."""
    ranges: list[tuple[int, int]] = []
    for f in files:
        if ranges and sum(ranges[-1]) == f.first:
            ranges[-1] = (ranges[-1][0], ranges[-1][1] + f.windows)
        else:
            ranges.append((f.first, f.windows))
    return ranges
