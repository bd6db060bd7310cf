"""The same sound is known again whatever was done to it, and different sounds are told apart."""

import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
import soxr
from numpy.typing import NDArray

from autobird.audio.decode import probe
from autobird.audio.landmarks import NOTHING, SAMPLE_RATE, LandmarkFile, Landmarks
from autobird.corpus.demo.plan import Plan, plan_corpus
from autobird.corpus.demo.scene import render
from autobird.corpus.near_duplicates import matches, near_duplicates
from autobird.corpus.schemas import PAIRS
from autobird.corpus.settings import NearDuplicateSettings
from tests.conftest import landmark_table

VOTES = NearDuplicateSettings().near_duplicate_votes
Sound = NDArray[np.float32]


def landmarks(
    sound: Sound, rate: int = SAMPLE_RATE, block: int = 1 << 16
) -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
    heard = Landmarks(rate)
    for at in range(0, len(sound), block):
        heard.add(sound[at : at + block])
    return heard.finish()


def mono(plan: Plan) -> Sound:
    samples = render(plan)[0].astype(np.float32)
    samples = samples if samples.ndim == 1 else samples.mean(axis=1)
    return soxr.resample(samples, plan.sample_rate, SAMPLE_RATE).astype(np.float32)


@pytest.fixture(scope="module")
def songs() -> list[Sound]:
    """One recording of each of twelve sessions of four species, 8 s or longer."""
    found: dict[tuple[int, int], Plan] = {}
    for plan in plan_corpus(3, 4, 12):
        if plan.duration > 8:
            found.setdefault((plan.species, plan.session), plan)
    return [mono(p) for p in list(found.values())[:12]]


def encoded(sound: Sound, rate: int, **options: str) -> tuple[Sound, int]:
    file = io.BytesIO()
    soundfile.write(file, sound, rate, **options)
    file.seek(0)
    back, rate = soundfile.read(file, dtype="float32")
    return back, rate


def noisy(sound: Sound, snr: float = 10.0) -> Sound:
    noise = np.random.default_rng(0).standard_normal(len(sound)).astype(np.float32)
    return sound + noise * np.sqrt((sound**2).mean() / (noise**2).mean() / np.float32(10 ** (snr / 10)))


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
def test_the_same_sound_is_found_and_only_it(songs: list[Sound], change: str) -> None:
    kept = landmark_table([landmarks(s) for s in songs])
    changed = landmark_table([landmarks(*CHANGES[change](s)) for s in songs])  # type: ignore[no-untyped-call]
    found = matches(changed, kept, VOTES)
    assert {(a, b) for a, b, _, _ in found if a != b} == set()
    assert len(found) >= len(songs) - 1
    if change == "cut":
        assert all(abs(-d * 256 / SAMPLE_RATE - 30_001 / SAMPLE_RATE) < 0.05 for _, _, _, d in found)


def test_pairs_of_two_batches_name_both_recordings_in_order_with_the_offset_of_the_first(
    songs: list[Sound], tmp_path: Path
) -> None:
    """b is what z holds from 2 s on, y is a copy of m."""
    batches = {"0": {"z": songs[0], "m": songs[1]}, "1": {"y": songs[1], "b": songs[0][2 * SAMPLE_RATE :]}}
    for name, sounds in batches.items():
        np.save(tmp_path / f"{name}.npy", landmark_table([landmarks(s) for s in sounds.values()]))
    names = [pd.DataFrame({"recording": list(b), "species": [f"bird {n}" for n in b]}) for b in batches.values()]
    found = near_duplicates(names, [tmp_path / "0.npy", tmp_path / "1.npy"], NearDuplicateSettings())
    assert found.columns.tolist() == PAIRS
    assert found[["recording", "other", "offset", "species", "other_species"]].to_numpy().tolist() == [
        ["b", "z", 2.0, "bird b", "bird z"], ["m", "y", 0.0, "bird m", "bird y"],
    ]  # fmt: skip
    assert (found["votes"] >= VOTES).all()


def test_different_songs_are_told_apart(songs: list[Sound]) -> None:
    kept = landmark_table([landmarks(s) for s in songs])
    assert matches(kept, kept, VOTES, same=True) == []


def test_landmarks_do_not_depend_on_how_the_sound_comes_in_blocks(songs: list[Sound]) -> None:
    long = np.concatenate(songs)
    whole = landmarks(long, block=len(long))
    for block in (1000, 12_345, 1 << 16):
        again = landmarks(long, block=block)
        assert all(np.array_equal(a, b) for a, b in zip(whole, again, strict=True))
    assert len(whole[0]) > 20 * len(long) / SAMPLE_RATE


@pytest.mark.parametrize(
    "sound", [np.zeros(80_000, np.float32), np.zeros(10, np.float32), np.full(50_000, 0.5, np.float32)]
)
def test_silence_and_snippets_have_no_landmarks_that_match(sound: Sound) -> None:
    table = landmark_table([landmarks(sound), landmarks(sound)])
    assert matches(table, table, VOTES, same=True) == []


def test_hum_that_all_recordings_share_makes_no_pairs(songs: list[Sound]) -> None:
    def with_hum(sound: Sound) -> Sound:
        t = np.arange(len(sound), dtype=np.float32) / SAMPLE_RATE
        return sound + np.float32(0.05) * np.sin(2 * np.pi * 1000 * t).astype(np.float32)

    table = landmark_table([landmarks(with_hum(s)) for s in songs])
    assert matches(table, table, VOTES, same=True) == []


def test_the_same_audio_in_five_formats_is_one_sound(odd_files: Path) -> None:
    tables = []
    for path in sorted((odd_files / "same_audio_five_formats").iterdir()):
        heard: list[Landmarks] = []
        probe(path, listener=lambda rate, heard=heard: heard.append(Landmarks(rate)) or heard[-1])
        tables.append(heard[-1].finish())
    found = matches(table := landmark_table(tables), table, VOTES, same=True)
    assert {(a, b) for a, b, _, _ in found} == {(a, b) for b in range(5) for a in range(b)}


def test_the_landmarks_of_a_large_batch_are_sorted_a_part_at_a_time(
    songs: list[Sound], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = [landmarks(s) for s in songs] + [NOTHING]
    expected = landmark_table(found)
    for size in (10**6, 700, 1):
        monkeypatch.setattr("autobird.audio.landmarks._SORTED_AT_ONCE", max(size, len(expected) // 40))
        file = LandmarkFile(tmp_path / f"{size}")
        for number in reversed(range(len(found))):  # as they come
            file.add(number, found[number])
        file.write(tmp_path / "sorted.npy")
        np.testing.assert_array_equal(np.load(tmp_path / "sorted.npy"), expected)
    LandmarkFile(tmp_path / "none").write(tmp_path / "sorted.npy")
    assert np.load(tmp_path / "sorted.npy").shape == (0,)
