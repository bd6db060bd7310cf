"""How much simulated and real recordings have in common by chance: `python -m tests.benchmarks.growth_statistics RECORDINGS` prints JSON.

Landmarks and triples of peaks that two recordings have in common decide how many votes and candidates the search for near-duplicates has.
"""

import json

import numpy as np
from numpy.typing import NDArray

from autobird.audio.landmarks import sort_by_hash
from autobird.corpus.landmark_votes import triples_of
from tests.benchmarks.growth_landmarks import parser_of_recordings, peaks_of, real_landmarks, simulated
from tests.conftest import landmark_table


def statistics(rows: NDArray[np.void]) -> dict[str, float]:
    """Return how much the recordings of a table of landmarks (`LANDMARK`) have in common by chance.

    Returns:
        bits, own_bits, triple_bits: minus the binary logarithm of the probability that two landmarks of different recordings, two of one
        recording, or two triples of different recordings, are equal; aligned_N: share of the pairs of recordings with at least N equal
        landmarks at one time offset.
    """
    recording = rows["recording"].astype(np.int64)
    between, within = _bits(rows["hash"].astype(np.int64), recording)
    band = rows["hash"] >> 16
    keys, owners = [], []
    for number in np.unique(band):
        key, owner, _ = triples_of(rows[band == number])
        keys.append(key.astype(np.int64) | int(number) << 32)
        owners.append(owner.astype(np.int64))
    triple_bits, _ = _bits(np.concatenate(keys), np.concatenate(owners))
    return {
        "landmarks": len(rows) / len(np.unique(recording)), "bits": between, "own_bits": within, "triple_bits": triple_bits, **_aligned(rows),
    }  # fmt: skip


def _bits(keys: NDArray[np.int64], recording: NDArray[np.int64]) -> tuple[float, float]:
    """Return minus the logarithms of the probabilities of equal keys in different recordings, and in one."""

    def equal(*columns: NDArray[np.int64]) -> float:
        _, counts = np.unique(np.stack(columns), axis=1, return_counts=True)
        return float((counts.astype(float) ** 2).sum())

    within, all_within = equal(keys, recording), equal(recording)
    return float(-np.log2((equal(keys) - within) / (len(keys) ** 2 - all_within))), float(-np.log2(within / all_within))


def _aligned(rows: NDArray[np.void]) -> dict[str, float]:
    rows = sort_by_hash(rows)
    recording, frame = rows["recording"].astype(np.int64), rows["frame"].astype(np.int64)
    low, high = (np.searchsorted(rows["hash"], rows["hash"], side) for side in ("left", "right"))
    first = np.repeat(np.arange(len(rows)), high - low)
    second = low[first] + np.arange(len(first)) - np.repeat(np.cumsum(high - low) - (high - low), high - low)
    differ = recording[first] < recording[second]
    first, second = first[differ], second[differ]
    votes = np.sort((recording[first] << 31 | recording[second] << 21) + frame[first] - frame[second] + (1 << 20))
    count = len(np.unique(recording))
    found = {}
    for least in range(2, 7):
        aligned = votes[least - 1 :] - votes[: -least + 1] <= 2
        found[f"aligned_{least}"] = len(np.unique(votes[: -least + 1][aligned] >> 21)) / (count * (count - 1) / 2)
    return found


def main() -> None:
    """Command line."""
    p = parser_of_recordings(__doc__)
    args = p.parse_args()
    originals = [of_cases[0] for of_cases in real_landmarks(args.recordings, args.cache)]
    rows = simulated(peaks_of(originals), np.arange(len(originals)), np.random.default_rng(1))
    print(json.dumps({"real": statistics(landmark_table(originals)), "simulated": statistics(rows)}, indent=2))


if __name__ == "__main__":
    main()
