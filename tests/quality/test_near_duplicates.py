"""Precision and recall of the search for near-duplicates, on real recordings: constructed cases, and pairs that are known."""

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
from autobird.corpus.near_duplicates import matches
from autobird.corpus.settings import NearDuplicateSettings
from tests.conftest import landmark_table

pytestmark = pytest.mark.quality

VOTES = NearDuplicateSettings().near_duplicate_votes
Sound = NDArray[np.float32]
Found = tuple[NDArray[np.uint32], NDArray[np.uint32]]


def encoded(sound: Sound, **options: str | float) -> Sound:
    file = io.BytesIO()
    with soundfile.SoundFile(file, "w", SAMPLE_RATE, 1, **options) as out:  # type: ignore[arg-type]
        for at in range(0, len(sound), 1 << 15):  # libsndfile crashes on a long ogg in one call
            out.write(sound[at : at + (1 << 15)])
    file.seek(0)
    return soundfile.read(file, dtype="float32")[0]


def part(sound: Sound, rng: np.random.Generator) -> Sound:
    """40 % of a recording, at least 5 s of it, from anywhere."""
    length = max(int(0.4 * len(sound)), min(len(sound), 5 * SAMPLE_RATE))
    at = rng.integers(0, len(sound) - length + 1)
    return sound[at : at + length]


def mixed(sound: Sound, rng: np.random.Generator, pink: bool = False, snr: float = 10.0) -> Sound:
    noise = rng.standard_normal(len(sound)).astype(np.float32)
    if pink:
        spectrum = np.fft.rfft(noise) / np.sqrt(np.arange(len(noise) // 2 + 1) + 1)
        noise = np.fft.irfft(spectrum, len(noise)).astype(np.float32)
    return sound + noise * np.float32(np.sqrt((sound**2).mean() / 10 ** (snr / 10) / (noise**2).mean()))


CASES: dict[str, Callable[[Sound, np.random.Generator], Sound]] = {
    "re-encoded, mp3": lambda s, r: encoded(s, format="MP3"),
    "re-encoded, mp3 of the lowest quality": lambda s, r: encoded(s, format="MP3", compression_level=0.9),
    "re-encoded, ogg vorbis": lambda s, r: encoded(s, format="OGG", subtype="VORBIS"),
    "resampled to 11,025 Hz": lambda s, r: soxr.resample(soxr.resample(s, SAMPLE_RATE, 11025), 11025, SAMPLE_RATE),
    "12 dB quieter": lambda s, r: 0.25 * s,
    "an excerpt of 40 %, at least 5 s": part,
    "white noise at 10 dB": mixed,
    "pink noise at 10 dB": lambda s, r: mixed(s, r, pink=True),
    "excerpt, pink noise at 10 dB and ogg": lambda s, r: encoded(part(mixed(s, r, pink=True), r), format="OGG", subtype="VORBIS"),
}  # fmt: skip


def heard(sound: Sound) -> Found:
    found = Landmarks(SAMPLE_RATE)
    found.add(sound.astype(np.float32))
    return found.finish()


def cases(path: Path) -> list[Found]:
    """Landmarks of a recording, and of what is made of it."""
    sound = decode(path, SAMPLE_RATE).astype(np.float32) / 32768
    seed = int.from_bytes(path.stem.encode()[-4:], "big")
    return [heard(sound), *(heard(change(sound, np.random.default_rng(seed))) for change in CASES.values())]


def test_constructed_copies_are_found_and_nothing_else(real_corpus: Path) -> None:
    paths = sorted(p for p in real_corpus.rglob("*") if p.suffix.lower() == ".mp3")
    with ProcessPoolExecutor() as pool:
        found = list(pool.map(cases, paths, chunksize=4))
    originals = landmark_table([f[0] for f in found])
    wrong = matches(originals, originals, VOTES, same=True)
    pairs = len(paths) * (len(paths) - 1) // 2
    print(f"\n{len(paths)} recordings: {len(wrong)} of {pairs} pairs of different recordings are taken for one sound")
    print(f"{'case':40} recall  wrong")
    for number, name in enumerate(CASES, 1):
        copies = landmark_table([f[number] for f in found])
        hits = {(a, b) for a, b, _, _ in matches(copies, originals, VOTES)}
        right = sum((i, i) in hits for i in range(len(paths)))
        false = len(hits) - right
        print(f"{name:40} {right / len(paths):.3f}  {false} of {len(paths) * (len(paths) - 1)}")
        assert right / len(paths) > (0.85 if name.startswith(("excerpt, pink", "re-encoded, mp3 of")) else 0.93)
        assert false == 0
    assert wrong == []


def test_the_pairs_that_are_known_in_the_odd_files_are_found(real_corpus: Path, odd_files: Path) -> None:
    with (odd_files / "SOURCES.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    paths = [*(odd_files / r["file"] for r in rows), *sorted(real_corpus.rglob("*.mp3"))]
    usable, tables = [], []
    for path in paths:
        try:
            found_landmarks = decode_into(path, Landmarks).consumer.finish()
        except UnusableAudio:
            continue
        usable.append(path)
        tables.append(found_landmarks)
    table = landmark_table(tables)
    found = {(usable[a].name, usable[b].name) for a, b, _, _ in matches(table, table, VOTES, same=True)}
    # SOURCES.csv says it: XC42999 came from a file called Andean Guan28.mp3.
    groups = {
        "same_audio_five_formats": [], "identical_copies": ["XC42999.mp3"], "constructed_from_corpusA": ["XC192210.mp3"], "encodings": [],
    }  # fmt: skip
    known = set()
    for folder, more in groups.items():
        names = [p.name for p in usable if p.parent.name == folder and p.name != "1up.wav"] + more
        together = [n.split(".")[0].split("-")[0] for n in names] if folder == "encodings" else [folder] * len(names)
        known |= {
            (a, b) for i, a in enumerate(names) for j, b in enumerate(names) if i < j and together[i] == together[j]
        }
    known = {pair for pair in known if {*pair} <= {p.name for p in usable}}
    missed = {pair for pair in known if pair not in found and pair[::-1] not in found}
    wrong = {pair for pair in found if pair not in known and pair[::-1] not in known}
    print(
        f"\n{len(known)} known pairs: {len(known) - len(missed)} found, {len(wrong)} others: {sorted(wrong)}, missed: {sorted(missed)}"
    )
    assert not missed
    assert not wrong
