"""Pairs of recordings that have several landmarks in common at one time offset, from the votes of all ranges of hashes."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from autobird.corpus.landmark_votes import OFFSET_MODULUS, pairs_of

LEAST_VOTES = 2
"""Votes for one offset with which a pair can be a candidate."""

CANDIDATES_PER_RECORDING = 10
"""Number of candidates, per recording, above which those with the fewest votes are not compared exactly."""

_OFFSETS = 2
"""Largest difference, in frames, between the offsets of aligned matches: an excerpt can start between two frames."""

Pairs = NDArray[np.int64]
"""Numbers of two recordings, the lower one first; shape (pairs, 2)."""


def candidate_pairs(
    votes: Iterable[NDArray[np.uint64]], recordings: int, min_matches: int, complete: bool
) -> tuple[Pairs, int]:
    """Return the pairs whose aligned matches are to be counted, and the votes for one offset that they have at least.

    If the votes are complete, only pairs with `min_matches` votes can be near-duplicates. Otherwise, pairs need `LEAST_VOTES`, or as
    many more, up to `min_matches`, as it takes until there are at most `CANDIDATES_PER_RECORDING`.

    Args:
        votes: votes of each part (`votes_by_part`).
        recordings: number of recordings.
        min_matches: minimum number of aligned matches of near-duplicates.
        complete: whether every match of a hash that is not common is a vote.
    """
    least = min_matches if complete else min(LEAST_VOTES, min_matches)
    found: list[tuple[Pairs, NDArray[np.int32]]] = []
    count = 0
    for part in votes:
        found.append(_pairs_with_votes(part, least, min_matches))
        count += len(found[-1][0])
        while count > CANDIDATES_PER_RECORDING * recordings and least < min_matches:
            least += 1
            found = [(pairs[most >= least], most[most >= least]) for pairs, most in found]
            count = sum(len(pairs) for pairs, _ in found)
    return np.concatenate([pairs for pairs, _ in found] or [np.zeros((0, 2), np.int64)]), least


def _pairs_with_votes(votes: NDArray[np.uint64], least: int, enough: int) -> tuple[Pairs, NDArray[np.int32]]:
    """Return the pairs with at least `least` votes for about one offset, and their votes for it, counted up to `enough`.

    Args:
        votes: sorted votes.
        least: minimum number of votes.
        enough: number of votes up to which they are counted.
    """
    # Offsets are stored modulo `OFFSET_MODULUS`, so two neighbouring ones can be its first and its last number. The votes near these two
    # are counted a second time with offsets shifted by half of the modulus, which puts them side by side.
    near_border = (votes + np.uint64(_OFFSETS)) % np.uint64(OFFSET_MODULUS) < np.uint64(2 * _OFFSETS)
    shifted = np.sort(votes[near_border] ^ np.uint64(OFFSET_MODULUS // 2))
    counted = [(sorted_votes, _aligned_votes(sorted_votes, least, enough)) for sorted_votes in (votes, shifted)]
    rows, most = (np.concatenate(parts) for parts in zip(*((v[n > 0], n[n > 0]) for v, n in counted), strict=True))
    order = np.argsort(rows, kind="stable")
    pairs, most = np.stack(pairs_of(rows[order]), axis=1), most[order]
    starts = np.flatnonzero(np.concatenate([[True], (pairs[1:] != pairs[:-1]).any(axis=1)])) if len(rows) else order
    return pairs[starts], np.maximum.reduceat(most, starts) if len(rows) else most


def _aligned_votes(votes: NDArray[np.uint64], least: int, enough: int) -> NDArray[np.int32]:
    """Return how many votes, from each one on, are for about its offset: 0 if fewer than `least`, and counted up to `enough`."""
    most = np.zeros(len(votes), np.int32)
    for count in range(least, enough + 1):
        # The votes of a pair are sorted by offset, so `count` of them are aligned if the last one is near the first one.
        aligned = votes[count - 1 :] - votes[: max(0, len(votes) - count + 1)] <= np.uint64(_OFFSETS)
        if not aligned.any():
            break
        most[np.flatnonzero(aligned)] = count
    return most
