"""Find pairs of recordings of the same audio by their aligned landmark matches (Wang, ISMIR 2003).

Two recordings match at a landmark if both contain a landmark with the same hash. The matches of recordings of the same
audio have the same time offset, apart from the rounding to frames; chance matches have random offsets.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import pdtrc

MAX_MATCHES_PER_HASH = 10_000
"""A hash with more matches than this between two batches is ignored: it comes from sounds that many recordings share,
for example hum or insects."""

_BLOCK_LANDMARKS = 250_000
"""Landmarks of one batch that are compared at a time: those of about 100 recordings of half a minute."""

OFFSET_TOLERANCE = 1
"""Frames by which aligned matches may differ in their offset, because an excerpt can start between two frames."""

BIN_WIDTH = 4 * OFFSET_TOLERANCE
"""Frames of a bin of the two histograms of offsets, which are shifted by half a bin: offsets that differ by the tolerance share a bin in
one of them."""

CANDIDATE_OFFSETS = 3
"""Number of offsets, those with the most matches, of which the best one is chosen."""

_CHANCE = 1e-6
"""Largest expected number of offsets with as many aligned matches as a near-duplicate has, if all matches were chance."""

_FEWEST_OFFSETS = 3750
"""Fewest offsets (of two recordings of half a minute) that are assumed for a pair: those of a few matches say little about it."""


class MatchedPair(NamedTuple):
    """Two recordings of the same audio.

    Attributes:
        first: row number of the recording in the table of the first batch.
        second: row number of the recording in the table of the second batch.
        matches: number of aligned landmark matches.
        offset: frames by which the shared audio is later in the first recording than in the second.
    """

    first: int
    second: int
    matches: int
    offset: int


def match_recordings(
    first: NDArray[np.void], second: NDArray[np.void], min_matches: int, same_batch: bool = False
) -> list[MatchedPair]:
    """Return the pairs of recordings of two batches with enough aligned landmark matches, sorted.

    Args:
        first: landmarks of one batch (`LANDMARK`), sorted by hash.
        second: landmarks of another batch, or of the same one.
        min_matches: minimum number of aligned matches.
        same_batch: whether `second` is `first`. Each pair is returned once then.
    """
    first = _without_common_hashes(first, second)
    pairs: list[MatchedPair] = []
    # In blocks of recordings, so that memory does not grow with the number of matches between two batches.
    for recordings in _recording_blocks(first["recording"]):
        block = first[np.isin(first["recording"], recordings)]
        pairs += _match_block(block, second, min_matches, same_batch)
    return sorted(pairs)


def _match_block(
    first: NDArray[np.void], second: NDArray[np.void], min_matches: int, same_batch: bool
) -> list[MatchedPair]:
    first_rows, second_rows = _equal_hashes(first, second)
    first_recording = first["recording"][first_rows].astype(np.int64)
    second_recording = second["recording"][second_rows].astype(np.int64)
    if same_batch:
        once = first_recording < second_recording
        first_rows, second_rows = first_rows[once], second_rows[once]
        first_recording, second_recording = first_recording[once], second_recording[once]
    time = first["frame"][first_rows].astype(np.int64)
    offset = time - second["frame"][second_rows].astype(np.int64)
    return aligned_pairs((first_recording << 32) | second_recording, offset, time, min_matches)


def aligned_pairs(
    pair_key: NDArray[np.int64], offset: NDArray[np.int64], time: NDArray[np.int64], min_matches: int
) -> list[MatchedPair]:
    """Return the pairs with enough aligned matches, sorted. Those whose matches can be chance (`is_chance`) are left out.

    Args:
        pair_key: for each match the number of the first recording, times 2^32, plus that of the second one.
        offset: frames by which the landmark is later in the first recording.
        time: frame of the landmark in the first recording.
        min_matches: minimum number of aligned matches.
    """
    likely = _possibly_aligned(pair_key, offset, min_matches)
    in_likely_pair = np.isin(pair_key, pair_key[likely])
    pair_key, time, offset = pair_key[in_likely_pair], time[in_likely_pair], offset[in_likely_pair]
    likely = likely[in_likely_pair]
    order = np.argsort(pair_key, kind="stable")
    pairs = []
    for rows in np.split(order, np.flatnonzero(np.diff(pair_key[order])) + 1) if len(order) else ():
        used = rows[likely[rows]]
        matches, best_offset = _best_alignment(offset[used], time[used])
        others = len(rows) - int((np.abs(offset[used] - best_offset) <= OFFSET_TOLERANCE).sum())
        if matches >= min_matches and not is_chance(matches, others, int(np.ptp(offset[rows])) + 1):
            key = int(pair_key[rows[0]])
            pairs.append(MatchedPair(key >> 32, key & 0xFFFFFFFF, matches, best_offset))
    return pairs


def is_chance(matches: int, others: int, offsets: int) -> bool:
    """Return whether a pair of different recordings can have so many aligned matches by chance.

    Matches by chance have random offsets, so their number near an offset has a Poisson distribution. Long recordings have many of them, and
    many offsets: of 120 pairs of different real recordings of 38 minutes, 15 had at least six aligned matches at some offset.

    Args:
        matches: number of aligned matches.
        others: number of matches of the pair that are not aligned.
        offsets: number of offsets from the lowest to the highest one of its matches.
    """
    offsets = max(offsets, _FEWEST_OFFSETS)
    # Up to twice the mean: offsets near the highest and the lowest one are possible for short parts of the recordings only.
    expected = 2 * (2 * OFFSET_TOLERANCE + 1) * others / offsets
    return bool(offsets * pdtrc(matches - 1, expected) > _CHANCE)


def _without_common_hashes(first: NDArray[np.void], second: NDArray[np.void]) -> NDArray[np.void]:
    """Return the landmarks of `first` whose hash has at most `MAX_MATCHES_PER_HASH` matches between the batches."""
    hashes = first["hash"]
    in_second = np.searchsorted(second["hash"], hashes, side="right") - np.searchsorted(
        second["hash"], hashes, side="left"
    )
    _, inverse, in_first = np.unique(hashes, return_inverse=True, return_counts=True)
    return first[in_second * in_first[inverse] <= MAX_MATCHES_PER_HASH]


def _recording_blocks(recordings: NDArray[np.uint32]) -> list[NDArray[np.int64]]:
    """Divide the recordings of landmarks into blocks of about `_BLOCK_LANDMARKS` landmarks each."""
    landmarks_of_each = np.bincount(recordings) if len(recordings) else np.zeros(0, int)
    block = np.cumsum(landmarks_of_each) // _BLOCK_LANDMARKS
    return [np.flatnonzero(block == number) for number in np.unique(block)]


def _equal_hashes(first: NDArray[np.void], second: NDArray[np.void]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the row numbers in `first` and in `second` of all pairs of landmarks with the same hash."""
    low = np.searchsorted(second["hash"], first["hash"], side="left")
    count = np.searchsorted(second["hash"], first["hash"], side="right") - low
    first_rows = np.repeat(np.arange(len(first)), count)
    position_in_run = np.arange(len(first_rows)) - np.repeat(np.cumsum(count) - count, count)
    return first_rows, low[first_rows] + position_in_run


def _possibly_aligned(
    pair_key: NDArray[np.int64], offset: NDArray[np.int64], min_matches: int
) -> NDArray[np.bool_]:  # fmt: skip
    """Return which matches belong to pairs with at least `min_matches` matches of about the same offset.

    This removes most of the chance matches before the exact count of each pair.
    """
    possible = np.zeros(len(pair_key), bool)
    for shift in (0, BIN_WIDTH // 2):
        order = np.lexsort(((offset + shift) // BIN_WIDTH, pair_key))
        offset_bin = (offset[order] + shift) // BIN_WIDTH
        new_pair = np.diff(pair_key[order], prepend=-1) != 0
        new_bin = np.diff(offset_bin, prepend=offset_bin[:1] - 1) != 0
        bin_starts = np.flatnonzero(new_pair | new_bin)
        bin_sizes = np.diff(np.append(bin_starts, len(order)))
        possible[order] |= np.repeat(bin_sizes >= min_matches, bin_sizes)
    return possible


def _best_alignment(offset: NDArray[np.int64], time: NDArray[np.int64]) -> tuple[int, int]:
    """Return the number of aligned matches at the best offset, and that offset, for the matches of one pair.

    Matches at the same time count once, because one spectral peak is part of several landmarks.
    """
    distinct = np.unique(np.stack([offset, time], axis=1), axis=0)
    offsets, counts = np.unique(distinct[:, 0], return_counts=True)
    best_count, best_offset = 0, 0
    # An excerpt that starts between two frames has matches at two neighbouring offsets.
    for candidate in offsets[np.argsort(-counts, kind="stable")[:CANDIDATE_OFFSETS]]:
        near = np.abs(distinct[:, 0] - candidate) <= OFFSET_TOLERANCE
        count = len(np.unique(distinct[near, 1]))
        if count > best_count:
            best_count, best_offset = count, int(candidate)
    return best_count, best_offset
