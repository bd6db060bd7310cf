"""Stage `landmark_votes`: join the landmarks of all batches in one range of hashes, and write a vote for each match.

A vote is a pair of recordings and the time offset at which they have a landmark in common. Stage `near_duplicates` adds up the
votes of all ranges, and counts the aligned matches of the pairs with several votes for one offset exactly.

The number of votes is limited: to a constant in small corpora, and in proportion to the number of landmarks in large ones. Without a
limit it would grow with the square of that number: in a large corpus, any hash is found in many recordings. Hashes are therefore divided
by their number of landmarks:

1. Up to the limit of the range, every match is a vote. The limit is the highest one with which the votes stay within the budget,
   and at most `MAX_LANDMARKS_PER_HASH`. In a small corpus, all hashes are below it.
2. Landmarks of more frequent hashes are joined in pairs with the same first peak. Such a triple of peaks is 200 times as rare as a
   landmark. A triple that is still too frequent is dropped.
3. Common hashes, which have more than one in `LANDMARKS_PER_COMMON_HASH` landmarks of the corpus, are ignored: they come from sounds
   that many recordings share, for example hum or insects. They do not count as matches in the second step either.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from autobird.audio.npy import NpyWriter
from autobird.core.files import atomic, scratch, write_json
from autobird.core.stage import log, parser, run, stage
from autobird.corpus.landmark_ranges import BUCKET, MAX_RECORDINGS, LandmarkRange, range_of_hashes

MAX_LANDMARKS_PER_HASH = 100
"""Landmarks of a hash, or of a triple, above which its matches are never votes. No hash is common with fewer."""

LANDMARKS_PER_COMMON_HASH = 25_000
"""A hash is common if it has more than one in so many landmarks, which is about one landmark in every tenth recording."""

VOTES_PER_LANDMARK, VOTES_PER_TRIPLE = 0.25, 1.0
"""Budgets of votes. Triples have the larger one, because their matches are less often chance."""

LEAST_VOTES = 1 << 23
"""Smallest budget of a range, so that all matches in a corpus of some thousand recordings are votes."""

_TRIPLE_STEPS = (1, 2)
"""Landmarks with the same first peak, sorted by time, are joined with the next one and the one after it. With more steps, few
additional copies would be found."""

_BLOCK = 1 << 22
"""Number of landmarks, triples or votes that are joined at a time; bounds the memory."""

_PARTS = 256
"""Parts of a file of votes. A part holds the votes of every 256th recording, so all parts have similar sizes."""

_OFFSET_BITS = 16
"""Lowest bits of a vote: the offset in frames plus 32,768, modulo `OFFSET_MODULUS`."""

OFFSET_MODULUS = 1 << _OFFSET_BITS
"""65,536 frames (17 minutes). Matches whose offsets differ by it count as aligned, which can only add a pair to the exact count."""

_NUMBER_BITS = 24
assert 1 << _NUMBER_BITS == MAX_RECORDINGS

_BIAS = np.int64(1 << (_OFFSET_BITS - 1))
_U = np.uint64


class VoteFile:
    """Collects votes in temporary files, one for each part, and sorts them in bounded memory."""

    def __init__(self, folder: Path) -> None:
        self._files = [folder / f"{part}" for part in range(_PARTS)]
        for file in self._files:
            file.touch()

    def add(self, votes: NDArray[np.uint64]) -> None:
        """Add votes in any order."""
        part = (votes >> _U(_NUMBER_BITS + _OFFSET_BITS)).astype(np.uint16) % _PARTS
        votes = votes[np.argsort(part, kind="stable")]
        ends = np.cumsum(np.bincount(part, minlength=_PARTS))
        for path, rows in zip(self._files, np.split(votes, ends[:-1]), strict=True):
            if len(rows):
                with path.open("ab") as file:
                    file.write(rows.data)

    def write(self, path: Path) -> int:
        """Write the number of votes of each part, and then all votes, sorted within their part; return their number."""
        lengths = np.array([file.stat().st_size // 8 for file in self._files], np.uint64)
        with atomic(path) as temporary, NpyWriter(temporary, np.uint64) as out:
            out.append(lengths)
            for file in self._files:
                out.append(np.sort(np.fromfile(file, np.uint64)))
                file.unlink()
        return int(lengths.sum())


def votes_by_part(paths: Sequence[Path]) -> Iterator[NDArray[np.uint64]]:
    """Yield the votes of each part from the files of all ranges, sorted. All votes of a pair of recordings are in one part."""
    lengths = [np.load(path, mmap_mode="r")[:_PARTS].astype(np.int64) for path in paths]
    starts = [_PARTS + np.cumsum(of_file) - of_file for of_file in lengths]
    for part in range(_PARTS):
        parts = [
            np.load(path, mmap_mode="r")[of_file[part] : of_file[part] + length[part]]
            for path, of_file, length in zip(paths, starts, lengths, strict=True)
        ]
        yield np.sort(np.concatenate(parts))


def pairs_of(votes: NDArray[np.uint64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the numbers of the two recordings of each vote; the first one is lower."""
    first, second = votes >> _U(_NUMBER_BITS + _OFFSET_BITS), votes >> _U(_OFFSET_BITS) & _U(MAX_RECORDINGS - 1)
    return first.astype(np.int64), second.astype(np.int64)


def limit_of(sizes: NDArray[np.int64], budget: int) -> int:
    """Return the largest number of landmarks with which a hash is not too frequent for a budget of votes.

    Args:
        sizes: number of landmarks of each hash.
        budget: largest number of matches of all hashes that are not too frequent.
    """
    with_size = np.bincount(np.minimum(sizes, MAX_LANDMARKS_PER_HASH + 1), minlength=MAX_LANDMARKS_PER_HASH + 2)
    size = np.arange(MAX_LANDMARKS_PER_HASH + 1)
    votes = np.cumsum(with_size[:-1] * size * (size - 1) // 2)
    return int(np.searchsorted(votes, budget, side="right")) - 1


Keys = tuple[NDArray[np.uint32], NDArray[np.uint64], NDArray[np.uint32]]
"""Hashes, or triples of peaks, of a batch; the number of the recording and the frame of each; all of shape (keys,)."""


def vote(of_batches: Sequence[Keys], limit: int | None, least_votes: int, out: VoteFile) -> None:
    """Add a vote for each two recordings with the same key.

    Args:
        of_batches: keys of each batch.
        limit: number of equal keys above which they are dropped; None: that of the budget for triples.
        least_votes: smallest budget.
        out: the votes.
    """
    keys, recordings, frames = (np.concatenate(parts) for parts in zip(*of_batches, strict=True))
    # One sort of 64-bit numbers takes half the time of an argsort.
    order = np.sort(keys.astype(np.uint64) << _U(32) | np.arange(len(keys), dtype=np.uint64)) & _U(0xFFFFFFFF)
    keys, recordings, frames = keys[order], recordings[order], frames[order]
    starts = np.flatnonzero(np.concatenate([[True], keys[1:] != keys[:-1]])) if len(keys) else np.zeros(0, np.intp)
    sizes = np.diff(np.append(starts, len(keys)))
    if limit is None:
        limit = limit_of(sizes, max(least_votes, int(VOTES_PER_TRIPLE * len(keys))))
    ends = np.repeat(starts + sizes, sizes)
    followers = ends - 1 - np.arange(len(keys))
    followers[np.repeat(sizes > limit, sizes)] = 0
    total = np.cumsum(followers)
    block = total // _BLOCK
    edges = np.flatnonzero(np.diff(block)) + 1
    for rows in np.split(np.arange(len(keys)), edges):
        count = followers[rows]
        first = np.repeat(rows, count)
        second = first + 1 + np.arange(len(first)) - np.repeat(np.cumsum(count) - count, count)
        _add_votes(recordings[first], recordings[second], frames[first], frames[second], out)


def _add_votes(
    first: NDArray[np.uint64],
    second: NDArray[np.uint64],
    frame: NDArray[np.uint32],
    other_frame: NDArray[np.uint32],
    out: VoteFile,
) -> None:
    """Add the votes of matches, except those within one recording."""
    offset = frame.astype(np.int64) - other_frame.astype(np.int64)
    offset = np.where(first < second, offset, -offset) + _BIAS & ((1 << _OFFSET_BITS) - 1)
    low, high = np.minimum(first, second), np.maximum(first, second)
    votes = (low << _U(_NUMBER_BITS) | high) << _U(_OFFSET_BITS) | offset.astype(np.uint64)
    out.add(votes[low != high])


def triples_of(landmarks: NDArray[np.void]) -> tuple[NDArray[np.uint32], NDArray[np.uint32], NDArray[np.uint32]]:
    """Return the triples of peaks in landmarks that all have the same band of the first peak.

    Args:
        landmarks: landmarks of a batch (`LANDMARK`).

    Returns:
        bands and times of the second and the third peak in one number, recording, and frame of the first peak.
    """
    landmarks = landmarks[
        np.lexsort((landmarks["hash"] >> 8, landmarks["hash"] & 0xFF, landmarks["frame"], landmarks["recording"]))
    ]
    found = []
    for step in _TRIPLE_STEPS:
        rows, later = landmarks[:-step], landmarks[step:]
        same = (rows["recording"] == later["recording"]) & (rows["frame"] == later["frame"])
        rows, later = rows[same], later[same]
        found.append((rows["hash"] << 16 | later["hash"] & 0xFFFF, rows["recording"], rows["frame"]))
    keys, recordings, frames = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return keys, recordings, frames


def vote_for_landmarks(source: LandmarkRange, limit: int, out: VoteFile) -> None:
    """Add the votes of hashes with at most `limit` landmarks."""
    used = (source.counts >= 2) & (source.counts <= limit)
    in_bucket = np.where(used, source.counts, 0).reshape(-1, BUCKET).sum(axis=1)
    for first, end in _blocks(in_bucket):
        found = []
        for batch, rows in source.rows(first, end):
            rows = rows[used[rows["hash"] - np.uint32(source.first)]]
            found.append((rows["hash"], source.numbers(batch, rows["recording"]), rows["frame"]))
        vote(found, limit, 0, out)


def _blocks(sizes: NDArray[np.int64]) -> Iterator[tuple[int, int]]:
    """Yield first and end of blocks of consecutive buckets with together about `_BLOCK` landmarks, without empty blocks."""
    block = np.cumsum(sizes) // _BLOCK
    for number in np.unique(block[sizes > 0]):
        rows = np.flatnonzero((block == number) & (sizes > 0))
        yield int(rows[0]), int(rows[-1]) + 1


def vote_for_triples(source: LandmarkRange, limit: int, common: int, least_votes: int, out: VoteFile) -> None:
    """Add the votes of triples of landmarks whose hashes have more than `limit` and at most `common` landmarks."""
    used = (source.counts > limit) & (source.counts <= common)
    of_band = np.where(used, source.counts, 0).reshape(-1, 1 << 16).sum(axis=1)
    for band in np.flatnonzero(of_band).tolist():
        buckets = band * (1 << 16) // BUCKET, (band + 1) * (1 << 16) // BUCKET
        parts = -(-len(_TRIPLE_STEPS) * int(of_band[band]) // _BLOCK)
        for part in range(parts):
            found = []
            for batch, rows in source.rows(*buckets):
                keys, recordings, frames = triples_of(rows[used[rows["hash"] - np.uint32(source.first)]])
                in_part = _part_of(keys, parts) == part
                found.append((keys[in_part], source.numbers(batch, recordings[in_part]), frames[in_part]))
            vote(found, None, least_votes // len(of_band) // parts, out)


def _part_of(keys: NDArray[np.uint32], parts: int) -> NDArray[np.uint32]:
    """Divide triples into parts of similar sizes, by a multiplicative hash (Knuth, The Art of Computer Programming 3, 6.4)."""
    return (keys * np.uint32(2654435769) >> np.uint32(16)) % np.uint32(parts)


def write_votes(landmarks: Sequence[Path], number: int, ranges: int, votes: Path, summary: Path) -> None:
    """Write the votes of one range of hashes.

    Args:
        landmarks: landmark files of all batches.
        number: number of the range, from 0.
        ranges: how many ranges there are.
        votes: file of the votes; see `VoteFile.write`.
        summary: JSON file of `landmarks` (number in the corpus), `limit`, `complete` (whether every match of a hash that is not
            common is a vote) and `common` (the common hashes).
    """
    source = LandmarkRange(landmarks, *range_of_hashes(number, ranges))
    common = max(MAX_LANDMARKS_PER_HASH, source.landmarks // LANDMARKS_PER_COMMON_HASH)
    budget = max(LEAST_VOTES, int(VOTES_PER_LANDMARK * source.counts.sum()))
    limit = limit_of(source.counts, budget)
    with scratch(votes) as folder:
        out = VoteFile(folder)
        vote_for_landmarks(source, limit, out)
        vote_for_triples(source, limit, common, LEAST_VOTES, out)
        length = out.write(votes)
    between = (source.counts > limit) & (source.counts <= common)
    common_hashes = (np.flatnonzero(source.counts > common) + source.first).tolist()
    content = {
        "landmarks": source.landmarks, "limit": limit, "complete": not between.any(), "common": common_hashes,
    }  # fmt: skip
    write_json(summary, content)
    log.info(
        "%d votes; hashes with at most %d landmarks are joined directly; %d hashes are common",
        length, limit, len(common_hashes),
    )  # fmt: skip


def main(argv: Sequence[str] | None = None) -> None:
    """Command line of the stage."""
    p = parser(__doc__)
    p.add_argument("--landmarks", type=Path, nargs="+", required=True)
    p.add_argument("--range", type=int, required=True, help="number of the range of hashes, from 0")
    p.add_argument("--ranges", type=int, required=True, help="number of ranges")
    p.add_argument("--votes", type=Path, required=True)
    p.add_argument("--summary", type=Path, required=True)
    args = p.parse_args(argv)
    with stage("landmark_votes", args, [args.votes, args.summary]):
        write_votes(args.landmarks, args.range, args.ranges, args.votes, args.summary)


if __name__ == "__main__":
    run(main)
