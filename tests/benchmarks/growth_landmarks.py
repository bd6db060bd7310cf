"""Simulated landmarks of a large corpus, made from those of real recordings, among which real near-duplicates are hidden.

A simulated recording takes the spectral peaks of a real one, chosen at random. All of its frequencies are stretched and
shifted by random numbers, all of its times are multiplied by another one, its blocks of one second change their order, and each peak moves a little. It thus has the
density, the bands, the time differences and the repetitions of a real recording, but is no near-duplicate of its source, nor of another
recording from the same source. `growth_statistics` compares simulated with real recordings.

The hidden recordings are the real ones themselves, each with its modified copies (`CASES` of the quality test), so that recall and
precision are those of real audio in a corpus of that size.
"""

import argparse
import csv
import json
import tempfile
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from autobird.audio.landmarks import LANDMARK, LandmarkArrays, _pairs, landmark_array, sort_by_hash
from autobird.corpus.landmark_matching import match_recordings
from autobird.corpus.landmark_ranges import range_of_hashes
from autobird.corpus.settings import NearDuplicateSettings
from tests.conftest import landmark_table
from tests.quality.test_near_duplicates import CASES, cases

NAMES = ["original", *CASES]
"""What is made of each hidden real recording."""

_HIDDEN_SHARE = 0.1
"""Largest share of the hidden recordings."""

_BANDS = 252
"""Number of bands of the spectral peaks."""

_SHIFT = 40
"""Largest shift of the bands of a recording (1.25 kHz)."""

_TEMPO, _STRETCH = 0.5, 0.2
"""Largest logarithms of the factors of its times, and of its bands."""

_BLOCK = 62
"""Frames of a block whose peaks stay together (1 s)."""

_SPREAD = 1.0
"""Standard deviation by which each peak moves, in bands and in frames."""

_FRAMES = 1 << 20
"""Distance of the simulated recordings of a batch while their peaks are joined to landmarks, frames; longer than any recording. It
allows 4,096 recordings, as frames have 32 bits."""


class Peaks(NamedTuple):
    """Spectral peaks of all real recordings, one recording after the other.

    Attributes:
        frame: frame of each peak; shape (peaks,).
        band: band of each peak; shape (peaks,).
        start: index of the first peak of each recording, and the number of peaks; shape (recordings + 1,).
    """

    frame: NDArray[np.int64]
    band: NDArray[np.int64]
    start: NDArray[np.int64]


def real_landmarks(recordings: Path, cache: Path) -> list[list[LandmarkArrays]]:
    """Return the landmarks of each real recording and of its modified copies, in the order of `NAMES`.

    Args:
        recordings: folder of MP3 files.
        cache: NPZ file in which the landmarks are kept.
    """
    if not cache.exists():
        paths = sorted(path for path in recordings.rglob("*") if path.suffix.lower() == ".mp3")
        with ProcessPoolExecutor() as pool:
            found = list(pool.map(cases, paths, chunksize=4))
        np.savez(
            cache,
            **{
                f"{i:05d}-{k}-{n}": x
                for i, of in enumerate(found)
                for k, pair in enumerate(of)
                for n, x in enumerate(pair)
            },
        )
    with np.load(cache) as file:
        arrays = [file[name] for name in sorted(file.files)]
    pairs = list(zip(arrays[::2], arrays[1::2], strict=True))
    return [pairs[at : at + len(NAMES)] for at in range(0, len(pairs), len(NAMES))]


def peaks_of(landmarks: Sequence[LandmarkArrays]) -> Peaks:
    """Return the spectral peaks of recordings: the first peaks of their landmarks, which are all but the last ones."""
    frames, bands, lengths = [], [], [0]
    for hashes, times in landmarks:
        peaks = np.unique(times.astype(np.int64) << 8 | hashes.astype(np.int64) >> 16)
        frames.append(peaks >> 8)
        bands.append(peaks & 0xFF)
        lengths.append(len(peaks))
    return Peaks(np.concatenate(frames), np.concatenate(bands), np.cumsum(lengths))


def simulated(peaks: Peaks, sources: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.void]:
    """Return the landmarks (`LANDMARK`, in any order) of recordings that are made from the real ones with the numbers `sources`."""
    counts = peaks.start[sources + 1] - peaks.start[sources]
    recording = np.repeat(np.arange(len(sources)), counts)
    at = np.repeat(peaks.start[sources] - (np.cumsum(counts) - counts), counts) + np.arange(len(recording))
    tempo = np.exp(rng.uniform(-_TEMPO, _TEMPO, len(sources)))[recording]
    frame = np.round(peaks.frame[at] * tempo).astype(np.int64) + rng.integers(0, _BLOCK, len(sources))[recording]
    frame = _in_other_order(recording, frame // _BLOCK, rng) * _BLOCK + frame % _BLOCK
    frame = np.maximum(0, frame + np.round(rng.normal(0, _SPREAD, len(frame))).astype(np.int64))
    shift = rng.integers(-_SHIFT, _SHIFT + 1, len(sources))[recording]
    stretch = np.exp(rng.uniform(-_STRETCH, _STRETCH, len(sources)))[recording]
    middle = np.round((peaks.band[at] - _BANDS / 2) * stretch + _BANDS / 2).astype(np.int64)
    band = (middle + shift + np.round(rng.normal(0, _SPREAD, len(frame))).astype(np.int64)) % _BANDS
    joined = np.unique((recording * _FRAMES + frame) << 8 | band)
    hashes, times = _pairs(joined >> 8, joined & 0xFF)
    rows = np.zeros(len(hashes), LANDMARK)
    rows["hash"], rows["recording"], rows["frame"] = hashes, times // _FRAMES, times % _FRAMES
    return rows


def _in_other_order(
    recording: NDArray[np.int64], block: NDArray[np.int64], rng: np.random.Generator
) -> NDArray[np.int64]:
    """Return a new number of the block of each peak: the blocks of each recording in random order."""
    keys, inverse = np.unique(recording << 32 | block, return_inverse=True)
    of_recording = keys >> 32
    number = np.empty(len(keys), np.int64)
    number[np.lexsort((rng.random(len(keys)), of_recording))] = np.arange(len(keys)) - np.searchsorted(
        of_recording, of_recording
    )
    return number[inverse]


class Corpus(NamedTuple):
    """A simulated corpus. Recording n is row `n // batches` of batch `n % batches`.

    Attributes:
        count: number of recordings.
        batches: number of batches.
        real: number of real recordings that are hidden, each with its copies.
    """

    count: int
    batches: int
    real: int

    @property
    def hidden(self) -> NDArray[np.int64]:
        """Numbers of the hidden recordings: all of the first real one (`NAMES`), then all of the second one, and so on."""
        number = self.real * len(NAMES)
        return np.arange(number) * self.count // number

    @classmethod
    def of(cls, count: int, real: int) -> "Corpus":
        """Return the corpus of `count` recordings; `real`: how many real ones there are."""
        return cls(count, batches_for(count), min(real, int(_HIDDEN_SHARE * count) // len(NAMES)))


def batches_for(count: int) -> int:
    """Return the number of batches for 1,000 recordings per batch, within the limits of the setting."""
    return min(1000, max(8, count // 1000))


def write_landmarks(
    folder: Path, count: int, real: Sequence[Sequence[LandmarkArrays]], only: tuple[int, int] | None
) -> float:
    """Write the landmark file of each batch, and return the share of the landmarks that are in the files.

    Args:
        folder: for the files.
        count: number of recordings.
        real: result of `real_landmarks`.
        only: write only the landmarks of this range of hashes (number, ranges). The others become a hole at the beginning of the
            file, as long as they would be, so that the stage of this range reads the same as from the whole file.
    """
    corpus, peaks = Corpus.of(count, len(real)), peaks_of([of_cases[0] for of_cases in real])
    hidden = {int(number): real[i // len(NAMES)][i % len(NAMES)] for i, number in enumerate(corpus.hidden)}
    total, written = 0, 0
    for batch in range(corpus.batches):
        numbers = range(batch, count, corpus.batches)
        rng = np.random.default_rng([3, batch])
        rows = simulated(peaks, rng.integers(0, len(real), len(numbers)), rng)
        replaced = {row: hidden[number] for row, number in enumerate(numbers) if number in hidden}
        rows = rows[~np.isin(rows["recording"], list(replaced))]
        rows = sort_by_hash(np.concatenate([rows, *(landmark_array(row, found) for row, found in replaced.items())]))
        written += _write(folder / f"{batch:04d}.npy", rows, range_of_hashes(*only) if only else None)
        total += len(rows)
    return written / total


def _write(path: Path, rows: NDArray[np.void], hashes: tuple[int, int] | None) -> int:
    """Write the landmarks, or those in a range of hashes, and return their number."""
    if hashes is None:
        np.save(path, rows)
        return len(rows)
    first, end = np.searchsorted(rows["hash"], hashes)
    hole = len(rows) - (end - first)
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(
            file, {"descr": np.lib.format.dtype_to_descr(LANDMARK), "fortran_order": False, "shape": rows.shape}
        )
        file.seek(hole * LANDMARK.itemsize, 1)
        file.write(rows[first:end].data)
    return int(end - first)


def score(found: Path, count: int, real: Sequence[Sequence[LandmarkArrays]]) -> dict[str, object]:
    """Return what a search found.

    Args:
        found: its near-duplicates (`PAIRS`).
        count: number of recordings of the corpus.
        real: result of `real_landmarks`.

    Returns:
        recall: share of the copies of each kind that were found as near-duplicates of their originals; found and possible: number of
        pairs of hidden recordings of the same audio that were found, and that the comparison of all hidden recordings with each other
        finds; wrong: number of pairs with a hidden recording that are not of the same audio; simulated: number of pairs of two
        simulated recordings.
    """
    corpus = Corpus.of(count, len(real))
    place = {int(number): i for i, number in enumerate(corpus.hidden)}
    with found.open(encoding="utf-8") as file:
        pairs = [(place.get(int(row["recording"])), place.get(int(row["other"]))) for row in csv.DictReader(file)]
    kinds = len(NAMES)
    right = {tuple(sorted((a, b))) for a, b in pairs if a is not None and b is not None and a // kinds == b // kinds}
    table = landmark_table([real[i // kinds][i % kinds] for i in range(corpus.real * kinds)])
    possible = {
        (pair.first, pair.second)
        for pair in match_recordings(table, table, NearDuplicateSettings().near_duplicate_votes, same_batch=True)
        if pair.first // kinds == pair.second // kinds
    }
    recall = {
        name: sum((i * kinds, i * kinds + kind) in right for i in range(corpus.real)) / corpus.real
        for kind, name in enumerate(NAMES)
        if kind
    }
    return {
        "recall": {name: round(value, 3) for name, value in recall.items()},
        "found": len(right & possible),
        "more": len(right - possible),
        "possible": len(possible),
        "wrong": sum(
            (a is None) != (b is None) or (a is not None and b is not None and a // kinds != b // kinds)
            for a, b in pairs
        ),
        "simulated": sum(a is None and b is None for a, b in pairs),
    }


def parser_of_recordings(description: str | None) -> argparse.ArgumentParser:
    """Return a parser of the arguments of `real_landmarks`: the recordings, and the file for their landmarks."""
    p = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("recordings", type=Path, help="folder of MP3 files")
    p.add_argument(
        "--cache",
        type=Path,
        default=Path(tempfile.gettempdir()) / "growth_landmarks.npz",
        help="file for their landmarks",
    )
    return p


def main() -> None:
    """Write a corpus, or score a search; prints JSON."""
    p = parser_of_recordings(__doc__)
    p.add_argument("--count", type=int, help="number of recordings")
    p.add_argument("--write", type=Path, help="folder for the landmark files")
    p.add_argument("--only", type=int, nargs=2, metavar=("RANGE", "RANGES"), help="write one range of hashes")
    p.add_argument("--score", type=Path, help="near-duplicates that a search found")
    args = p.parse_args()
    real = real_landmarks(args.recordings, args.cache)
    if args.write:
        print(json.dumps({"share": write_landmarks(args.write, args.count, real, args.only)}))
    elif args.score:
        print(json.dumps(score(args.score, args.count, real)))


if __name__ == "__main__":
    main()
