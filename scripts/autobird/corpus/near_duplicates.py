"""Stage `near_duplicates`: pairs of recordings that hold the same sound, found by their landmarks.

Batches are compared two at a time, so that memory is bounded by the batch. Labels play no part: the same pairs
come out whatever the recordings are called; what follows from a pair is decided by `acceptance` and `split`.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from autobird.audio.landmarks import FRAME_SECONDS
from autobird.core.progress import Progress
from autobird.core.stage import log, parser, run, settings_of, stage
from autobird.core.tables import read_table, write_csv
from autobird.corpus.schemas import PAIRS
from autobird.corpus.settings import NearDuplicateSettings

_COMMON = 10_000
"""A landmark that makes more pairs than this between two batches says nothing about any of them: hum, insects."""

_BLOCK = 250_000
"""Landmarks of one batch that are compared at a time: those of about 100 recordings of half a minute."""

_TOLERANCE = 1
"""Frames by which the distances of landmarks may differ where one recording was cut between two frames of the other."""


def matches(
    a: NDArray[np.void], b: NDArray[np.void], votes: int, same: bool = False
) -> list[tuple[int, int, int, int]]:
    """Pairs of recordings of two batches that have landmarks in common at one distance in time.

    Args:
        a: landmarks of one batch (`LANDMARK`), sorted by hash.
        b: those of another one, or `a` itself.
        votes: moments that they must have in common.
        same: whether `b` is `a`; each pair is then found once.

    Returns:
        (number in a, number in b, votes, distance): the sound is `distance` frames later in a than in b.
    """
    a = _telling(a, b)
    found: list[tuple[int, int, int, int]] = []
    # Some recordings at a time, so that memory does not grow with what two batches have in common.
    for numbers in _blocks(a["recording"]):
        part = a[np.isin(a["recording"], numbers)]
        found += _matches(part, b, votes, same)
    return sorted(found)


def _matches(a: NDArray[np.void], b: NDArray[np.void], votes: int, same: bool) -> list[tuple[int, int, int, int]]:
    left, right = _joined(a, b)
    one, other = a["recording"][left].astype(np.int64), b["recording"][right].astype(np.int64)
    if same:
        kept = one < other
        left, right, one, other = left[kept], right[kept], one[kept], other[kept]
    time = a["frame"][left].astype(np.int64)
    distance = time - b["frame"][right].astype(np.int64)
    pair = (one << 32) | other
    likely = _likely(pair, distance, votes)
    pair, time, distance = pair[likely], time[likely], distance[likely]
    order = np.argsort(pair, kind="stable")
    found = []
    for rows in np.split(order, np.flatnonzero(np.diff(pair[order])) + 1) if len(order) else ():
        count, at = _best(distance[rows], time[rows])
        if count >= votes:
            first = int(pair[rows[0]])
            found.append((first >> 32, first & 0xFFFFFFFF, count, at))
    return found


def _likely(pair: NDArray[np.int64], distance: NDArray[np.int64], votes: int) -> NDArray[np.bool_]:
    """Rows whose pair has enough of them at one distance; by far the most coincide by chance, and once."""
    width = 4 * _TOLERANCE
    enough = np.zeros(len(pair), bool)
    # Two grids, half a cell apart, so that distances that differ by the tolerance share a cell of one of them.
    for shift in (0, width // 2):
        order = np.lexsort(((distance + shift) // width, pair))
        cell = (distance[order] + shift) // width
        new = np.flatnonzero((np.diff(pair[order], prepend=-1) != 0) | (np.diff(cell, prepend=cell[:1] - 1) != 0))
        sizes = np.diff(np.append(new, len(order)))
        enough[order] |= np.repeat(sizes >= votes, sizes)
    return enough


def _telling(a: NDArray[np.void], b: NDArray[np.void]) -> NDArray[np.void]:
    """The landmarks of `a` that are not too common to tell anything."""
    count = np.searchsorted(b["hash"], a["hash"], side="right") - np.searchsorted(b["hash"], a["hash"], side="left")
    _, inverse, mine = np.unique(a["hash"], return_inverse=True, return_counts=True)
    return a[count * mine[inverse] <= _COMMON]


def _blocks(recordings: NDArray[np.uint32]) -> list[NDArray[np.int64]]:
    """The numbers of the recordings in blocks of about `_BLOCK` landmarks."""
    sizes = np.bincount(recordings) if len(recordings) else np.zeros(0, int)
    block = np.cumsum(sizes) // _BLOCK
    return [np.flatnonzero(block == n) for n in np.unique(block)]


def _joined(a: NDArray[np.void], b: NDArray[np.void]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Indices of all pairs of rows with the same hash."""
    low = np.searchsorted(b["hash"], a["hash"], side="left")
    count = np.searchsorted(b["hash"], a["hash"], side="right") - low
    left = np.repeat(np.arange(len(a)), count)
    within = np.arange(len(left)) - np.repeat(np.cumsum(count) - count, count)
    return left, low[left] + within


def _best(distance: NDArray[np.int64], time: NDArray[np.int64]) -> tuple[int, int]:
    """The distance with the most votes, and how many: moments, not landmarks, as one peak has several partners."""
    moments = np.unique(np.stack([distance, time], axis=1), axis=0)
    values, counts = np.unique(moments[:, 0], return_counts=True)
    best, at = 0, 0
    # A cut between two frames spreads the votes over neighbouring distances.
    for value in values[np.argsort(-counts, kind="stable")[:3]]:
        near = np.abs(moments[:, 0] - value) <= _TOLERANCE
        count = len(np.unique(moments[near, 1]))
        if count > best:
            best, at = count, int(value)
    return best, at


def near_duplicates(
    names: Sequence[pd.DataFrame], landmarks: Sequence[Path], settings: NearDuplicateSettings
) -> pd.DataFrame:
    """The pairs (`PAIRS`) of all batches, sorted.

    Args:
        names: recording and species of each batch, in the order of its landmarks' numbers.
        landmarks: their files.
        settings: how much they must have in common.
    """
    rows = []
    total = len(landmarks) * (len(landmarks) + 1) // 2
    progress, done = Progress("near_duplicates", total, "pairs of batches"), 0
    for i in range(len(landmarks)):
        a = np.load(landmarks[i])
        for j in range(i, len(landmarks)):
            b = a if i == j else np.load(landmarks[j])
            for one, other, votes, distance in matches(a, b, settings.near_duplicate_votes, same=i == j):
                first, second = names[i].iloc[one], names[j].iloc[other]
                seconds = -distance * FRAME_SECONDS
                if second["recording"] < first["recording"]:
                    first, second, seconds = second, first, -seconds
                rows.append(
                    [
                        first["recording"],
                        second["recording"],
                        votes,
                        round(seconds, 3),
                        first["species"],
                        second["species"],
                    ]
                )
            done += 1
            progress(done)
    return pd.DataFrame(sorted(rows), columns=PAIRS)


def main(argv: Sequence[str] | None = None) -> None:
    """Command line of the stage."""
    p = parser(__doc__)
    p.add_argument("--recordings", type=Path, nargs="+", required=True)
    p.add_argument("--landmarks", type=Path, nargs="+", required=True)
    p.add_argument("--output", type=Path, required=True)
    args = p.parse_args(argv)
    settings = settings_of(NearDuplicateSettings, args.settings)
    with stage("near_duplicates", args, [args.output]):
        names = [read_table(path, ["recording", "species"]) for path in args.recordings]
        pairs = near_duplicates(names, args.landmarks, settings)
        write_csv(args.output, pairs)
        log.info(
            "%d pairs, %d of them under two labels", len(pairs), (pairs["species"] != pairs["other_species"]).sum()
        )


if __name__ == "__main__":
    run(main)
