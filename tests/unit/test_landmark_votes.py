"""The search by ranges of hashes finds the pairs that a comparison of all pairs of batches finds, with a bounded number of votes."""

from itertools import combinations, pairwise, product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from autobird.audio.landmarks import LANDMARK, sort_by_hash
from autobird.core.errors import AutobirdError
from autobird.core.files import read_json, write_json
from autobird.corpus import candidate_pairs, exact_matches, landmark_matching, landmark_votes
from autobird.corpus.candidate_pairs import candidate_pairs as find_candidates
from autobird.corpus.landmark_matching import match_recordings
from autobird.corpus.landmark_ranges import BANDS, MAX_RECORDINGS, LandmarkRange, range_of_hashes
from autobird.corpus.landmark_votes import (
    VoteFile,
    limit_of,
    pairs_of,
    triples_of,
    vote_for_triples,
    votes_by_part,
    write_votes,
)
from autobird.corpus.many_matches import ManyMatches
from autobird.corpus.near_duplicates import add_up_votes

MIN_MATCHES = 6
Landmarks = NDArray[np.void]


def landmarks(*rows: tuple[int, int, int]) -> Landmarks:
    """Return landmarks from (hash, recording, frame)."""
    return sort_by_hash(np.array(list(rows), LANDMARK))


def corpus(recordings: int, seed: int = 0, bands: int = 252) -> list[Landmarks]:
    """Return the landmarks of recordings of random peaks; each fifth one is a copy of the one before, 40 frames later, with half of its
    peaks.
    """
    rng = np.random.default_rng(seed)
    found: list[Landmarks] = []
    peaks = np.zeros((0, 2), int)
    for number in range(recordings):
        if number % 5 == 4:
            peaks = peaks[rng.random(len(peaks)) < 0.5] + [40, 0]
        else:
            peaks = np.stack([np.sort(rng.integers(0, 1500, 250)), rng.integers(0, bands, 250)], axis=1)
        rows = []
        for i, (frame, band) in enumerate(peaks):
            later = peaks[i + 1 : i + 9]
            rows += [(band << 16 | b << 8 | (f - frame) >> 1, 0, frame) for f, b in later if 0 < f - frame <= 128]
        found.append(landmarks(*rows))
    return found


def in_batches(recordings: list[Landmarks], batches: int, folder: Path) -> tuple[list[pd.DataFrame], list[Path]]:
    """Write the landmarks of recordings in batches; return the tables of recordings and the files."""
    tables, files = [], []
    for batch in range(batches):
        numbers = range(batch, len(recordings), batches)
        parts = []
        for row, number in enumerate(numbers):
            part = recordings[number].copy()
            part["recording"] = row
            parts.append(part)
        files.append(folder / f"{batch}.landmarks.npy")
        np.save(files[-1], sort_by_hash(np.concatenate(parts)))
        tables.append(pd.DataFrame({"recording": [f"{n:03d}" for n in numbers], "species": "x", "status": "ok"}))
    return tables, files


def votes_of(files: list[Path], ranges: int, folder: Path) -> tuple[list[Path], list[Path]]:
    """Write the votes of all ranges of hashes; return the files of votes and summaries."""
    votes = [folder / f"{number}.votes.npy" for number in range(ranges)]
    summaries = [folder / f"{number}.json" for number in range(ranges)]
    for number in range(ranges):
        write_votes(files, number, ranges, votes[number], summaries[number])
    return votes, summaries


def found_pairs(recordings: list[Landmarks], batches: int, ranges: int, folder: Path) -> list[tuple[str, str, int]]:
    """Return the pairs that are found, with their aligned matches."""
    tables, files = in_batches(recordings, batches, folder)
    pairs = add_up_votes(tables, files, files, *votes_of(files, ranges, folder), MIN_MATCHES, folder)
    return list(pairs[["recording", "other", "votes"]].itertuples(index=False, name=None))


def pairs_of_batches(recordings: list[Landmarks], batches: int, folder: Path) -> list[tuple[str, str, int]]:
    """Return the pairs from a comparison of all pairs of batches, in which the recording whose name sorts first is the first one."""
    tables, files = in_batches(recordings, batches, folder)
    rows = []
    for i, j in product(range(batches), repeat=2):
        for pair in match_recordings(np.load(files[i]), np.load(files[j]), MIN_MATCHES, same_batch=i == j):
            first, second = tables[i]["recording"][pair.first], tables[j]["recording"][pair.second]
            if first < second:
                rows.append((first, second, pair.matches))
    return sorted(rows)


@pytest.mark.parametrize(("batches", "ranges"), [(1, 1), (1, 8), (3, 1), (3, 5), (8, 64)])
def test_the_pairs_are_those_of_a_comparison_of_all_pairs_of_batches(tmp_path: Path, batches: int, ranges: int) -> None:
    recordings = corpus(30)
    expected = pairs_of_batches(recordings, batches, tmp_path)
    assert {pair[:2] for pair in expected} >= {(f"{n - 1:03d}", f"{n:03d}") for n in range(4, 30, 5)}
    assert found_pairs(recordings, batches, ranges, tmp_path) == expected


@pytest.mark.parametrize("batches", [1, 2])
@pytest.mark.parametrize(("repeated", "matches"), [(1, 14), (2, 7)])
def test_matches_at_one_time_of_the_recording_whose_name_sorts_first_count_once_with_any_number_of_batches(
    tmp_path: Path, repeated: int, matches: int, batches: int
) -> None:
    """One recording has each landmark once, the other one twice, in neighbouring frames."""
    times = range(100, 800, 100)
    once = landmarks(*((time, 0, time) for time in times))
    twice = landmarks(*((time, 0, time + later) for time in times for later in (0, 1)))
    other = landmarks((5, 0, 0))
    # In two batches, 002 is the second recording of batch 0, and 001 is the first one of batch 1.
    recordings = [other, *((twice, once) if repeated == 1 else (once, twice))]
    assert pairs_of_batches(recordings, batches, tmp_path) == [("001", "002", matches)]
    assert found_pairs(recordings, batches, 1, tmp_path) == [("001", "002", matches)]


def long_recording(rng: np.random.Generator, shared: NDArray[np.int64], at: int) -> Landmarks:
    """Return the landmarks of half an hour of random peaks in 100 bands, with some other peaks (frame, band) from frame `at` on."""
    frames, bands = rng.integers(0, 112_500, 18_000), rng.integers(0, 100, 18_000)
    outside = (frames < at) | (frames >= at + 300)
    peaks = np.concatenate([np.stack([frames, bands], axis=1)[outside], shared + np.array([at, 0])])
    frame, band = peaks[np.lexsort((peaks[:, 1], peaks[:, 0]))].T
    rows = []
    for step in range(1, 9):
        gap = frame[step:] - frame[:-step]
        pair = np.zeros(len(gap), LANDMARK)
        pair["hash"], pair["frame"] = band[:-step] << 16 | band[step:] << 8 | gap >> 1, frame[:-step]
        rows.append(pair[(gap > 0) & (gap <= 128)])
    return sort_by_hash(np.concatenate(rows))


def test_long_recordings_are_near_duplicates_if_they_share_a_few_seconds_and_not_by_chance(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The first two of three recordings of half an hour share five seconds; all pairs have many aligned matches by chance at some offset."""
    rng = np.random.default_rng(0)
    shared, other = (np.stack([np.sort(rng.integers(0, 300, 50)), rng.integers(0, 100, 50)], axis=1) for _ in range(2))
    recordings = [long_recording(rng, *part) for part in ((shared, 90_000), (shared, 4_000), (other, 90_000))]
    first, second = ([recordings[n] for n in side] for side in ((0, 0, 1), (1, 2, 2)))
    for block in (1 << 14, 1 << 20):
        monkeypatch.setattr(exact_matches, "_BLOCK", block)
        [pair] = exact_matches._match(first, second, MIN_MATCHES)
        assert (pair.first, pair.offset) == (0, 86_000)
    compared = [match_recordings(*pair, MIN_MATCHES) for pair in zip(first, second, strict=True)]
    assert [len(found) for found in compared] == [1, 0, 0]
    monkeypatch.setattr(landmark_matching, "_CHANCE", np.inf)
    assert len(list(exact_matches._match(first, second, MIN_MATCHES))) == 3


def test_copies_of_which_all_hashes_are_frequent_are_found_by_triples(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recordings = corpus(30)
    expected = {pair[:2] for pair in pairs_of_batches(recordings, 3, tmp_path)}
    monkeypatch.setattr(landmark_votes, "VOTES_PER_LANDMARK", 0.0)
    monkeypatch.setattr(landmark_votes, "LEAST_VOTES", 0)
    found = found_pairs(recordings, 3, 4, tmp_path)
    assert all(read_json(tmp_path / f"{number}.json")["limit"] == 1 for number in range(4))
    assert {pair[:2] for pair in found} == expected
    monkeypatch.setattr(landmark_votes, "VOTES_PER_TRIPLE", 0.0)
    assert found_pairs(recordings, 3, 4, tmp_path) == []


def test_a_vote_is_written_for_each_match_of_two_recordings(tmp_path: Path) -> None:
    """Numbers of recordings: row times two, plus the batch."""
    np.save(tmp_path / "0.npy", landmarks((7, 0, 100), (7, 1, 30), (9, 0, 5)))
    np.save(tmp_path / "1.npy", landmarks((7, 0, 90), (7, 0, 95), (8, 0, 5)))
    write_votes([tmp_path / "0.npy", tmp_path / "1.npy"], 0, 1, tmp_path / "votes.npy", tmp_path / "s.json")
    votes = np.concatenate(list(votes_by_part([tmp_path / "votes.npy"])))
    first, second = pairs_of(votes)
    offset = (votes & np.uint64(0xFFFF)).astype(int) - (1 << 15)
    assert sorted(zip(first.tolist(), second.tolist(), offset.tolist(), strict=True)) == [
        (0, 1, 5), (0, 1, 10), (0, 2, 70), (1, 2, 60), (1, 2, 65),
    ]  # fmt: skip
    assert read_json(tmp_path / "s.json") == {"landmarks": 6, "limit": 100, "complete": True, "common": []}


@pytest.mark.parametrize("ranges", [1, 3, 8, 64, BANDS])
def test_ranges_hold_each_hash_once(ranges: int) -> None:
    bounds = [range_of_hashes(number, ranges) for number in range(ranges)]
    assert bounds[0][0] == 0
    assert bounds[-1][1] == 1 << 24
    assert all(end == first for (_, end), (first, _) in pairwise(bounds))
    assert all(first % (1 << 16) == 0 and first < bound for first, bound in bounds)


def test_hashes_at_the_borders_of_ranges_have_votes_once(tmp_path: Path) -> None:
    borders = [range_of_hashes(number, 8) for number in range(8)]
    hashes = [value for first, end in borders for value in (first, end - 1)]
    np.save(tmp_path / "0.npy", landmarks(*((h, recording, 10) for h in hashes for recording in (0, 1))))
    votes, _ = votes_of([tmp_path / "0.npy"], 8, tmp_path)
    assert [sum(map(len, votes_by_part([path]))) for path in votes] == [2] * 8


def test_common_hashes_are_no_matches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two recordings have seven hashes in common; with a lower bound, two of them are common, so five matches remain."""
    shared = [(hash_ << 8, 0, 20 * hash_) for hash_ in range(1, 8)]
    others = [landmarks(*((h << 8, 0, 1000 * number) for h in (1, 2))) for number in range(1, 5)]
    recordings = [landmarks(*shared), landmarks(*shared), *others]
    assert found_pairs(recordings, 1, 4, tmp_path) == [("000", "001", 7)]
    monkeypatch.setattr(landmark_votes, "MAX_LANDMARKS_PER_HASH", 5)
    assert found_pairs(recordings, 1, 4, tmp_path) == []
    assert read_json(tmp_path / "0.json")["common"] == [1 << 8, 2 << 8]
    tables, files = in_batches(recordings, 1, tmp_path)
    votes, summaries = votes_of(files, 4, tmp_path)
    for path in summaries:  # five votes are enough for a candidate then, but its exact count is five as well
        write_json(path, read_json(path) | {"complete": False})
    assert add_up_votes(tables, files, files, votes, summaries, MIN_MATCHES, tmp_path).empty
    monkeypatch.setattr(landmark_votes, "LANDMARKS_PER_COMMON_HASH", 3)  # a third of 22 landmarks: 7
    assert found_pairs(recordings, 1, 4, tmp_path) == [("000", "001", 7)]


def test_the_limit_is_the_highest_one_within_the_budget() -> None:
    sizes = np.array([1, 2, 2, 3, 5, 100, 101])
    assert [limit_of(sizes, budget) for budget in (0, 1, 2, 4, 5, 14, 15, 4964, 4965, 10**9)] == [
        1, 1, 2, 2, 4, 4, 99, 99, 100, 100,
    ]  # fmt: skip


@pytest.mark.parametrize("recordings", [20, 40, 80])
def test_the_number_of_votes_grows_with_the_landmarks_not_with_their_square(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, recordings: int
) -> None:
    """With six bands, every hash and every triple is in most of the recordings."""
    monkeypatch.setattr(landmark_votes, "LEAST_VOTES", 0)
    monkeypatch.setattr(landmark_votes, "LANDMARKS_PER_COMMON_HASH", 1)
    _, files = in_batches(corpus(recordings, bands=6), 2, tmp_path)
    votes, _ = votes_of(files, 2, tmp_path)
    total = sum(len(np.load(path)) for path in files)
    assert 0 < sum(map(len, votes_by_part(votes))) <= (0.25 + 2 * 1.0) * total


def test_the_files_do_not_depend_on_the_size_of_the_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recordings = corpus(30)
    monkeypatch.setattr(exact_matches, "_BLOCK", 1 << 20)
    whole = found_pairs(recordings, 2, 2, tmp_path)
    expected = [(tmp_path / f"{number}.votes.npy").read_bytes() for number in range(2)]
    for module in (landmark_votes, exact_matches):
        monkeypatch.setattr(module, "_BLOCK", 500)
    assert found_pairs(recordings, 2, 2, tmp_path) == whole
    assert [(tmp_path / f"{number}.votes.npy").read_bytes() for number in range(2)] == expected


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("block", [1, 100, 10**6])
@pytest.mark.parametrize("apart", [0, 2000])
def test_a_pair_with_many_matches_is_counted_in_blocks(seed: int, block: int, apart: int) -> None:
    """Few hashes at few times, so that there are ties, several matches at one time, and offsets whose bins have too few matches.

    Those of one offset are within a minute, or in four parts with half a minute between them.
    """
    rng = np.random.default_rng(seed)

    def some(n: int) -> Landmarks:
        times = rng.integers(0, 40, n) + apart * rng.integers(0, 4, n)
        return landmarks(*((h, 0, t) for h, t in zip(rng.integers(0, 6, n), times, strict=True)))

    first, second = (some(n) for n in rng.integers(1, 40, 2))
    low, high = (np.searchsorted(second["hash"], first["hash"], side) for side in ("left", "right"))
    matched = high > low
    time, other_time = (rows["frame"].astype(np.int64) for rows in (first, second))
    many = ManyMatches(time[matched], low[matched], (high - low)[matched], other_time, block) if matched.any() else None
    for min_matches in range(3, 12):
        expected = match_recordings(first, second, min_matches)
        found = many.best_alignment(min_matches) if many else (0, 0)
        assert [found] * (found[0] >= min_matches) == [pair[2:] for pair in expected]


def test_pairs_with_more_matches_than_a_block_are_found_beside_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of five pairs, the first and the third have 900 matches each, and the fourth has none."""
    many, few = landmarks(*((7, 0, t) for t in range(0, 300, 10))), landmarks(*((h, 0, 9 * h) for h in range(8)))
    first, second = [many, few, many, few, few], [many, few, many, many[:1], few]
    expected = list(exact_matches._match(first, second, 6))
    assert [pair.first for pair in expected] == [0, 1, 2, 4]
    monkeypatch.setattr(exact_matches, "_BLOCK", 100)
    assert sorted(exact_matches._match(first, second, 6)) == expected


def votes_of_triples(files: list[Path], folder: Path, common: int, least_votes: int) -> NDArray[np.uint64]:
    """Return the votes of the triples of all landmarks whose hashes have 2 to `common` landmarks."""
    folder.mkdir()
    out = VoteFile(folder)
    vote_for_triples(LandmarkRange(files, 0, 1 << 24), 1, common, least_votes, out)
    out.write(folder / "votes.npy")
    return np.concatenate(list(votes_by_part([folder / "votes.npy"])))


def test_triples_have_the_same_votes_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, files = in_batches(corpus(20, bands=20), 3, tmp_path)
    whole = votes_of_triples(files, tmp_path / "whole", 10**6, 10**9)
    monkeypatch.setattr(landmark_votes, "_BLOCK", 500)
    assert len(whole) > 500
    assert np.array_equal(votes_of_triples(files, tmp_path / "parts", 10**6, 10**9), whole)


def test_the_bands_and_parts_of_a_range_share_the_smallest_budget_of_triples(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a budget there would be more votes."""
    _, files = in_batches(corpus(40, bands=20), 3, tmp_path)
    monkeypatch.setattr(landmark_votes, "VOTES_PER_TRIPLE", 0.0)
    assert len(votes_of_triples(files, tmp_path / "all", 10**6, 10**9)) > 20 * 250
    for block in (2000, 1 << 22):
        monkeypatch.setattr(landmark_votes, "_BLOCK", block)
        found = votes_of_triples(files, tmp_path / f"{block}", 10**6, 256 * 250)
        assert 0 < len(found) <= 20 * 250  # 20 bands of 256


def test_common_hashes_are_in_no_triples(tmp_path: Path) -> None:
    """Five recordings have three landmarks at one time; the hash of one is in another recording besides."""
    rows = [(hash_, recording, 10) for hash_ in (3, 5, 9) for recording in range(5)]
    np.save(tmp_path / "0.npy", landmarks(*rows, (5, 5, 99)))
    assert len(votes_of_triples([tmp_path / "0.npy"], tmp_path / "all", 6, 10**9)) == 3 * 10
    assert len(votes_of_triples([tmp_path / "0.npy"], tmp_path / "fewer", 5, 10**9)) == 10


def test_triples_have_the_same_first_peak_and_neighbouring_times() -> None:
    at = {
        name: (5 << 16) + (band << 8) + gap for name, band, gap in (("a", 1, 9), ("b", 2, 4), ("c", 3, 6), ("d", 4, 7))
    }
    rows = landmarks(*((h, 0, 10) for h in at.values()), (at["a"], 0, 11), (at["b"], 1, 10))
    keys, recordings, frames = triples_of(rows)
    low = {name: h & 0xFFFF for name, h in at.items()}
    # By time: b, c, d, a.
    expected = [low[x] << 16 | low[y] for x, y in ("bc", "cd", "da", "bd", "ca")]
    assert keys.tolist() == expected
    assert set(recordings.tolist()) == {0}
    assert set(frames.tolist()) == {10}


def test_too_many_candidates_need_more_votes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pairs (0, 1) to (0, 4) have 1 to 4 votes for one offset."""
    votes = np.sort(np.array([(0 << 24 | n) << 16 | 500 + i % 2 for n in range(1, 5) for i in range(n)], np.uint64))

    def found(complete: bool) -> tuple[list[list[int]], int]:
        pairs, least = find_candidates([votes], 5, 4, complete)
        return pairs.tolist(), least

    assert found(complete=False) == ([[0, 2], [0, 3], [0, 4]], 2)
    assert found(complete=True) == ([[0, 4]], 4)
    monkeypatch.setattr(candidate_pairs, "CANDIDATES_PER_RECORDING", 0.4)
    assert found(complete=False) == ([[0, 3], [0, 4]], 3)
    monkeypatch.setattr(candidate_pairs, "CANDIDATES_PER_RECORDING", 0)
    assert found(complete=False) == ([[0, 4]], 4)


def test_votes_with_distant_offsets_are_not_added_up() -> None:
    votes = np.sort(np.array([(0 << 24 | 1) << 16 | 500 + 3 * i for i in range(4)], np.uint64))
    assert len(find_candidates([votes], 5, 4, complete=False)[0]) == 0


@pytest.mark.parametrize("border", [1 << 15, -(1 << 15), 3 << 15])
def test_votes_are_added_up_where_offsets_are_wrapped(border: int) -> None:
    """Five votes for offsets of nine minutes: two before the number that is stored as 0, three from it on; the other pair has one."""
    offsets = np.array([border - 2, border - 1, border, border, border]) + (1 << 15) & 0xFFFF
    votes = np.sort(np.append((0 << 24 | 1) << 16 | offsets, (0 << 24 | 2) << 16).astype(np.uint64))
    assert find_candidates([votes], 5, 4, complete=True)[0].tolist() == [[0, 1]]
    assert find_candidates([votes], 5, 6, complete=True)[0].tolist() == []


def test_any_number_of_votes_can_be_asked_for() -> None:
    votes = np.full(200, (0 << 24 | 1) << 16 | 500, np.uint64)
    assert find_candidates([votes], 5, 200, complete=True)[0].tolist() == [[0, 1]]
    assert find_candidates([votes], 5, 200, complete=False)[0].tolist() == [[0, 1]]
    assert find_candidates([votes], 5, 201, complete=True)[0].tolist() == []


def test_all_votes_of_a_pair_are_in_one_part(tmp_path: Path) -> None:
    _, files = in_batches(corpus(30), 3, tmp_path)
    votes, _ = votes_of(files, 4, tmp_path)
    parts = [set(zip(*(side.tolist() for side in pairs_of(part)), strict=True)) for part in votes_by_part(votes)]
    assert not any(a & b for a, b in combinations(parts, 2))


def test_a_row_number_that_does_not_fit_into_a_vote_is_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "0.npy", landmarks((7, MAX_RECORDINGS, 100)))
    with pytest.raises(AutobirdError, match=r"0\.npy has a recording with the row number 16777216.*near_duplicates"):
        write_votes([tmp_path / "0.npy"], 0, 1, tmp_path / "votes.npy", tmp_path / "s.json")
