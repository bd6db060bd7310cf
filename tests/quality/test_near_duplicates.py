"""Precision and recall of the search for near-duplicates on real recordings: modified copies, and known pairs."""

import csv
import io
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr
from numpy.typing import NDArray

from autobird.audio.audio_file import UnusableAudio
from autobird.audio.decode import decode, decode_into
from autobird.audio.landmarks import SAMPLE_RATE, Landmarks
from autobird.corpus.landmark_matching import match_recordings
from autobird.corpus.settings import NearDuplicateSettings
from tests.conftest import landmark_table

pytestmark = pytest.mark.quality

MIN_MATCHES = NearDuplicateSettings().near_duplicate_votes
Audio = NDArray[np.float32]
LandmarkArrays = tuple[NDArray[np.uint32], NDArray[np.uint32]]


def encoded(audio: Audio, **options: str | float) -> Audio:
    file = io.BytesIO()
    with soundfile.SoundFile(file, "w", SAMPLE_RATE, 1, **options) as out:  # type: ignore[arg-type]
        for start in range(0, len(audio), 1 << 15):  # libsndfile crashes on a long ogg in one call
            out.write(audio[start : start + (1 << 15)])
    file.seek(0)
    return soundfile.read(file, dtype="float32")[0]


def excerpt(audio: Audio, rng: np.random.Generator) -> Audio:
    """Return 40 % of a recording, at least 5 s, from a random position."""
    length = max(int(0.4 * len(audio)), min(len(audio), 5 * SAMPLE_RATE))
    start = rng.integers(0, len(audio) - length + 1)
    return audio[start : start + length]


def with_noise(audio: Audio, rng: np.random.Generator, pink: bool = False, snr: float = 10.0) -> Audio:
    noise = rng.standard_normal(len(audio)).astype(np.float32)
    if pink:
        spectrum = np.fft.rfft(noise) / np.sqrt(np.arange(len(noise) // 2 + 1) + 1)
        noise = np.fft.irfft(spectrum, len(noise)).astype(np.float32)
    return audio + noise * np.float32(np.sqrt((audio**2).mean() / 10 ** (snr / 10) / (noise**2).mean()))


CASES: dict[str, Callable[[Audio, np.random.Generator], Audio]] = {
    "re-encoded, mp3": lambda s, r: encoded(s, format="MP3"),
    "re-encoded, mp3 of the lowest quality": lambda s, r: encoded(s, format="MP3", compression_level=0.9),
    "re-encoded, ogg vorbis": lambda s, r: encoded(s, format="OGG", subtype="VORBIS"),
    "resampled to 11,025 Hz": lambda s, r: soxr.resample(soxr.resample(s, SAMPLE_RATE, 11025), 11025, SAMPLE_RATE),
    "12 dB quieter": lambda s, r: 0.25 * s,
    "an excerpt of 40 %, at least 5 s": excerpt,
    "white noise at 10 dB": with_noise,
    "pink noise at 10 dB": lambda s, r: with_noise(s, r, pink=True),
    "excerpt, pink noise at 10 dB and ogg": lambda s, r: encoded(excerpt(with_noise(s, r, pink=True), r), format="OGG", subtype="VORBIS"),
}  # fmt: skip


def landmarks_of(audio: Audio) -> LandmarkArrays:
    finder = Landmarks(SAMPLE_RATE)
    finder.add(audio.astype(np.float32))
    return finder.finish()


def one_after_the_other(parts: list[LandmarkArrays]) -> LandmarkArrays:
    """Return the landmarks of recordings as those of one long recording."""
    lengths = np.array([rows[1].max(initial=0) + 200 for rows in parts], np.int64)
    starts = np.cumsum(lengths) - lengths
    frames = [rows[1] + start for rows, start in zip(parts, starts, strict=True)]
    return np.concatenate([rows[0] for rows in parts]), np.concatenate(frames).astype(np.uint32)


def cases(path: Path) -> list[LandmarkArrays]:
    """Return the landmarks of a recording and of its modified copies."""
    audio = decode(path, SAMPLE_RATE).astype(np.float32) / 32768
    seed = int.from_bytes(path.stem.encode()[-4:], "big")
    return [
        landmarks_of(audio),
        *(landmarks_of(change(audio, np.random.default_rng(seed))) for change in CASES.values()),
    ]


def test_modified_copies_are_found_and_nothing_else(real_corpus: Path) -> None:
    paths = sorted(p for p in real_corpus.rglob("*") if p.suffix.lower() == ".mp3")
    with ProcessPoolExecutor() as pool:
        landmarks = list(pool.map(cases, paths, chunksize=4))
    originals = landmark_table([of_cases[0] for of_cases in landmarks])
    wrong = match_recordings(originals, originals, MIN_MATCHES, same_batch=True)
    pairs = len(paths) * (len(paths) - 1) // 2
    print(f"\n{len(paths)} recordings: {len(wrong)} of {pairs} pairs of different recordings are wrongly found")
    print(f"{'case':40} recall  wrong")
    for number, name in enumerate(CASES, 1):
        copies = landmark_table([of_cases[number] for of_cases in landmarks])
        hits = {(pair.first, pair.second) for pair in match_recordings(copies, originals, MIN_MATCHES)}
        correct = sum((i, i) in hits for i in range(len(paths)))
        incorrect = len(hits) - correct
        print(f"{name:40} {correct / len(paths):.3f}  {incorrect} of {len(paths) * (len(paths) - 1)}")
        assert correct / len(paths) > (0.85 if name.startswith(("excerpt, pink", "re-encoded, mp3 of")) else 0.93)
        assert incorrect == 0
    assert wrong == []


def test_long_recordings_are_no_near_duplicates_by_chance(real_corpus: Path) -> None:
    """Half of the recordings one after the other, and the other half, each about 38 minutes, 40 times."""
    paths = [p for p in sorted(real_corpus.rglob("*")) if p.suffix.lower() == ".mp3"]
    parts = [landmarks_of(decode(path, SAMPLE_RATE).astype(np.float32) / 32768) for path in paths]
    found = 0
    for seed in range(40):
        halves = np.array_split(np.random.default_rng(seed).permutation(len(parts)), 2)
        table = landmark_table([one_after_the_other([parts[n] for n in half]) for half in halves])
        found += len(match_recordings(table, table, MIN_MATCHES, same_batch=True))
    print(f"\n{found} of 40 pairs of long recordings are wrongly found")
    assert found == 0


def test_the_known_pairs_in_the_odd_files_are_found(real_corpus: Path, odd_files: Path) -> None:
    with (odd_files / "SOURCES.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    paths = [*(odd_files / r["file"] for r in rows), *sorted(real_corpus.rglob("*.mp3"))]
    usable, tables = [], []
    for path in paths:
        try:
            landmarks = decode_into(path, Landmarks).consumer.finish()
        except UnusableAudio:
            continue
        usable.append(path)
        tables.append(landmarks)
    table = landmark_table(tables)
    found = {
        (usable[pair.first].name, usable[pair.second].name)
        for pair in match_recordings(table, table, MIN_MATCHES, same_batch=True)
    }
    # According to SOURCES.csv, XC42999 came from a file called Andean Guan28.mp3.
    groups = {
        "same_audio_five_formats": [], "identical_copies": ["XC42999.mp3"], "constructed_from_corpusA": ["XC192210.mp3"], "encodings": [],
    }  # fmt: skip
    known = set()
    for folder, other_names in groups.items():
        names = [p.name for p in usable if p.parent.name == folder and p.name != "1up.wav"] + other_names
        same_audio = [n.split(".")[0].split("-")[0] for n in names] if folder == "encodings" else [folder] * len(names)
        known |= {
            (a, b) for i, a in enumerate(names) for j, b in enumerate(names) if i < j and same_audio[i] == same_audio[j]
        }
    known = {pair for pair in known if {*pair} <= {p.name for p in usable}}
    missed = {pair for pair in known if pair not in found and pair[::-1] not in found}
    wrong = {pair for pair in found if pair not in known and pair[::-1] not in known}
    print(
        f"\n{len(known)} known pairs: {len(known) - len(missed)} found, {len(wrong)} others: {sorted(wrong)}, missed: {sorted(missed)}"
    )
    assert not missed
    assert not wrong
