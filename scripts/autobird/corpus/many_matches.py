"""Count the aligned landmark matches of a pair of long recordings that has too many matches to hold them in memory."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from autobird.corpus.landmark_matching import BIN_WIDTH, CANDIDATE_OFFSETS, OFFSET_TOLERANCE, is_chance

Integers = NDArray[np.int64]


class ManyMatches:
    """The matches of a pair, which are made in blocks as often as they are needed. Those at one time are in one block.

    Args:
        time: frame of each landmark of the first recording; shape (landmarks,).
        low: index in `other_time` of the first landmark of the second recording that it matches.
        count: number of consecutive ones that it matches.
        other_time: frames of the landmarks of the second recording.
        block: number of matches of a block.
    """

    def __init__(self, time: Integers, low: Integers, count: Integers, other_time: Integers, block: int) -> None:
        order = np.argsort(time, kind="stable")
        self._time, self._low, self._count = time[order], low[order], count[order]
        self._other_time = other_time
        starts = np.flatnonzero(np.diff(self._time, prepend=-1))
        number = np.cumsum(np.add.reduceat(self._count, starts)) // block
        self._edges = np.append(starts[np.flatnonzero(np.diff(number, prepend=-1))], len(time))
        self._bias = int(other_time.max())
        """Added to an offset so that it is not negative."""
        self._offsets = self._bias + int(time.max()) + 1

    def best_alignment(self, min_matches: int) -> tuple[int, int]:
        """Return the number of aligned matches at the best offset, and that offset, as `landmark_matching.aligned_pairs` does.

        Fewer than `min_matches` can be fewer than there are; 0 if they can be chance.
        """
        matches, times = np.zeros(self._offsets, np.int64), np.zeros(self._offsets, np.int64)
        for biased, time in self._blocks():
            matches += np.bincount(biased, minlength=self._offsets)
            distinct = np.unique(time * self._offsets + biased)
            times += np.bincount(distinct % self._offsets, minlength=self._offsets)
        possible = self._possible(matches, min_matches)
        offsets = np.flatnonzero(possible & (times > 0))
        best = offsets[np.argsort(-times[offsets], kind="stable")[:CANDIDATE_OFFSETS]]
        counts = np.zeros(len(best), np.int64)
        for biased, time in self._blocks():
            biased, time = biased[possible[biased]], time[possible[biased]]
            for i, offset in enumerate(best.tolist()):
                counts[i] += len(np.unique(time[np.abs(biased - offset) <= OFFSET_TOLERANCE]))
        if not counts.any():
            return 0, 0
        highest, offset = int(counts.max()), int(best[counts.argmax()])
        near = slice(max(0, offset - OFFSET_TOLERANCE), offset + OFFSET_TOLERANCE + 1)
        others = int(matches.sum() - matches[near][possible[near]].sum())
        chance = is_chance(highest, others, int(np.ptp(np.flatnonzero(matches))) + 1)
        return (0, 0) if chance else (highest, offset - self._bias)

    def _blocks(self) -> Iterator[tuple[Integers, Integers]]:
        """Yield biased offset and time of the matches of each block."""
        for first, end in zip(self._edges[:-1].tolist(), self._edges[1:].tolist(), strict=True):
            count = self._count[first:end]
            time = np.repeat(self._time[first:end], count)
            in_run = np.arange(len(time)) - np.repeat(np.cumsum(count) - count, count)
            yield time - self._other_time[np.repeat(self._low[first:end], count) + in_run] + self._bias, time

    def _possible(self, matches: Integers, min_matches: int) -> NDArray[np.bool_]:
        """Return the offsets that share a bin of either histogram with at least `min_matches` matches.

        Args:
            matches: number of matches of each biased offset.
            min_matches: minimum number of aligned matches.
        """
        offsets = np.arange(len(matches)) - self._bias
        possible = np.zeros(len(matches), bool)
        for shift in (0, BIN_WIDTH // 2):
            bins = (offsets + shift) // BIN_WIDTH
            bins -= bins[0]
            possible |= np.bincount(bins, matches)[bins] >= min_matches
        return possible
