"""The search for near-duplicates finds modified copies of a recording, and no pairs of different recordings."""

import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
import soxr
from numpy.typing import NDArray

from autobird.audio.decode import decode_into
from autobird.audio.landmarks import NO_LANDMARKS, SAMPLE_RATE, LandmarkFile, Landmarks
from autobird.core.errors import AutobirdError
from autobird.corpus.landmark_matching import match_recordings
from autobird.corpus.near_duplicates import load_landmarks, near_duplicates
from autobird.corpus.schemas import PAIRS
from autobird.corpus.settings import NearDuplicateSettings
from autobird.synth.plan import Plan, plan_corpus
from autobird.synth.scene import render
from tests.conftest import landmark_table

MIN_MATCHES = NearDuplicateSettings().near_duplicate_votes
Audio = NDArray[np.float32]


def landmarks(
    audio: Audio, rate: int = SAMPLE_RATE, block: int = 1 << 16
) -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
    finder = Landmarks(rate)
    for start in range(0, len(audio), block):
        finder.add(audio[start : start + block])
    return finder.finish()


def mono(plan: Plan) -> Audio:
    samples = render(plan)[0].astype(np.float32)
    samples = samples if samples.ndim == 1 else samples.mean(axis=1)
    return soxr.resample(samples, plan.sample_rate, SAMPLE_RATE).astype(np.float32)


@pytest.fixture(scope="module")
def songs() -> list[Audio]:
    """One recording of each of twelve sessions of four species, 8 s or longer."""
    plans: dict[tuple[int, int], Plan] = {}
    for plan in plan_corpus(3, 4, 12):
        if plan.duration > 8:
            plans.setdefault((plan.species, plan.session), plan)
    return [mono(p) for p in list(plans.values())[:12]]


def encoded(audio: Audio, rate: int, **options: str) -> tuple[Audio, int]:
    file = io.BytesIO()
    soundfile.write(file, audio, rate, **options)
    file.seek(0)
    decoded, rate = soundfile.read(file, dtype="float32")
    return decoded, rate


def noisy(audio: Audio, snr: float = 10.0) -> Audio:
    noise = np.random.default_rng(0).standard_normal(len(audio)).astype(np.float32)
    return audio + noise * np.sqrt((audio**2).mean() / (noise**2).mean() / np.float32(10 ** (snr / 10)))


CHANGES = {
    "mp3": lambda s: encoded(s, SAMPLE_RATE, format="MP3"),
    "ogg": lambda s: encoded(s, SAMPLE_RATE, format="OGG", subtype="VORBIS"),
    "44.1 kHz": lambda s: (soxr.resample(s, SAMPLE_RATE, 44100), 44100),
    "11 kHz": lambda s: (soxr.resample(s, SAMPLE_RATE, 11025), 11025),
    "quieter": lambda s: (0.1 * s, SAMPLE_RATE),
    "cut": lambda s: (s[30_001 : 30_001 + 5 * SAMPLE_RATE], SAMPLE_RATE),
    "noise": lambda s: (noisy(s), SAMPLE_RATE),
}


@pytest.mark.parametrize("change", CHANGES)
def test_modified_copies_are_found_and_nothing_else(songs: list[Audio], change: str) -> None:
    originals = landmark_table([landmarks(s) for s in songs])
    copies = landmark_table([landmarks(*CHANGES[change](s)) for s in songs])  # type: ignore[no-untyped-call]
    pairs = match_recordings(copies, originals, MIN_MATCHES)
    assert {(p.first, p.second) for p in pairs if p.first != p.second} == set()
    assert len(pairs) >= len(songs) - 1
    if change == "cut":
        assert all(abs(-p.offset * 256 / SAMPLE_RATE - 30_001 / SAMPLE_RATE) < 0.05 for p in pairs)


def test_pairs_of_two_batches_have_the_recordings_in_order_and_the_offset_of_the_first(
    songs: list[Audio], tmp_path: Path
) -> None:
    """b is the excerpt of z from 2 s on, y is a copy of m."""
    batches = {"0": {"z": songs[0], "m": songs[1]}, "1": {"y": songs[1], "b": songs[0][2 * SAMPLE_RATE :]}}
    files = [tmp_path / f"{number}.npy" for number in batches]
    for file, batch in zip(files, batches.values(), strict=True):
        np.save(file, landmark_table([landmarks(audio) for audio in batch.values()]))
    tables = [
        pd.DataFrame({"recording": list(batch), "species": [f"bird {name}" for name in batch], "status": "ok"})
        for batch in batches.values()
    ]
    found = near_duplicates(tables, files, [Path("0.parquet"), Path("1.parquet")], MIN_MATCHES)
    assert found.columns.tolist() == PAIRS
    assert found[["recording", "other", "offset", "species", "other_species"]].to_numpy().tolist() == [
        ["b", "z", 2.0, "bird b", "bird z"], ["m", "y", 0.0, "bird m", "bird y"],
    ]  # fmt: skip
    assert (found["votes"] >= MIN_MATCHES).all()


def test_different_recordings_are_no_pairs(songs: list[Audio]) -> None:
    table = landmark_table([landmarks(s) for s in songs])
    assert match_recordings(table, table, MIN_MATCHES, same_batch=True) == []


def test_landmarks_do_not_depend_on_the_size_of_the_blocks(songs: list[Audio]) -> None:
    long = np.concatenate(songs)
    whole = landmarks(long, block=len(long))
    for block in (1000, 12_345, 1 << 16):
        in_blocks = landmarks(long, block=block)
        assert all(np.array_equal(a, b) for a, b in zip(whole, in_blocks, strict=True))
    assert len(whole[0]) > 20 * len(long) / SAMPLE_RATE


@pytest.mark.parametrize(
    "audio", [np.zeros(80_000, np.float32), np.zeros(10, np.float32), np.full(50_000, 0.5, np.float32)]
)
def test_silent_and_very_short_recordings_do_not_match(audio: Audio) -> None:
    table = landmark_table([landmarks(audio), landmarks(audio)])
    assert match_recordings(table, table, MIN_MATCHES, same_batch=True) == []


def test_the_same_hum_in_all_recordings_makes_no_pairs(songs: list[Audio]) -> None:
    def with_hum(audio: Audio) -> Audio:
        t = np.arange(len(audio), dtype=np.float32) / SAMPLE_RATE
        return audio + np.float32(0.05) * np.sin(2 * np.pi * 1000 * t).astype(np.float32)

    table = landmark_table([landmarks(with_hum(s)) for s in songs])
    assert match_recordings(table, table, MIN_MATCHES, same_batch=True) == []


def test_the_same_audio_in_five_formats_is_found(odd_files: Path) -> None:
    tables = []
    for path in sorted((odd_files / "same_audio_five_formats").iterdir()):
        tables.append(decode_into(path, Landmarks).consumer.finish())
    pairs = match_recordings(table := landmark_table(tables), table, MIN_MATCHES, same_batch=True)
    assert {(p.first, p.second) for p in pairs} == {(a, b) for b in range(5) for a in range(b)}


def test_landmarks_of_a_large_batch_are_sorted_in_parts(
    songs: list[Audio], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    landmarks_of_each = [landmarks(s) for s in songs] + [NO_LANDMARKS]
    expected = landmark_table(landmarks_of_each)
    for size in (10**6, 700, 1):
        monkeypatch.setattr("autobird.audio.landmarks._SORTED_AT_ONCE", max(size, len(expected) // 40))
        file = LandmarkFile(tmp_path / f"{size}")
        for number in reversed(range(len(landmarks_of_each))):  # recordings finish in any order
            file.add(number, landmarks_of_each[number])
        file.write(tmp_path / "sorted.npy")
        np.testing.assert_array_equal(np.load(tmp_path / "sorted.npy"), expected)
    LandmarkFile(tmp_path / "none").write(tmp_path / "sorted.npy")
    assert np.load(tmp_path / "sorted.npy").shape == (0,)


@pytest.mark.parametrize(
    ("status", "problem"),
    [(["ok"], r"row 1 of a table of 1 rows"), (["ok", "unusable"], "the unusable recording b"), (["ok", "ok"], "")],
)
def test_landmarks_of_another_table_of_recordings_are_refused(
    songs: list[Audio], tmp_path: Path, status: list[str], problem: str
) -> None:
    np.save(tmp_path / "0.npy", landmark_table([landmarks(s) for s in songs[:2]]))
    table = pd.DataFrame({"recording": list("ab")[: len(status)], "status": status})
    if not problem:
        assert len(load_landmarks(tmp_path / "0.npy", table, Path("0.parquet")))
        return
    with pytest.raises(
        AutobirdError, match=rf"0\.npy does not belong to 0\.parquet: it has landmarks of {problem}; delete"
    ):
        load_landmarks(tmp_path / "0.npy", table, Path("0.parquet"))


def test_landmarks_of_a_batch_without_recordings_are_valid(tmp_path: Path) -> None:
    LandmarkFile(tmp_path / "none").write(tmp_path / "0.npy")
    assert (
        len(load_landmarks(tmp_path / "0.npy", pd.DataFrame({"recording": [], "status": []}), Path("0.parquet"))) == 0
    )


@pytest.mark.parametrize(
    ("names", "expected"), [(("a", "b"), -30_001 / SAMPLE_RATE), (("b", "a"), 30_001 / SAMPLE_RATE)]
)
def test_the_offset_is_the_position_in_other_at_which_recording_starts(
    songs: list[Audio], tmp_path: Path, names: tuple[str, str], expected: float
) -> None:
    """The second recording is an excerpt of the first; the pair is listed with the name that sorts first as `recording`."""
    whole, excerpt = songs[0], songs[0][30_001:]
    np.save(tmp_path / "0.npy", landmark_table([landmarks(whole), landmarks(excerpt)]))
    table = pd.DataFrame({"recording": names, "species": "x", "status": "ok"})
    pairs = near_duplicates([table], [tmp_path / "0.npy"], [Path("0.parquet")], MIN_MATCHES)
    assert pairs[["recording", "other"]].to_numpy().tolist() == [["a", "b"]]
    assert pairs["offset"].iloc[0] == pytest.approx(expected, abs=0.05)
