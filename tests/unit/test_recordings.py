"""Stage `recordings`: measured properties, reasons of unusable files, and that damaged files do not affect other recordings."""

import random
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import soundfile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from autobird.audio.access import AudioSource, RecordingLocation, audio_sources
from autobird.core.files import csv_text
from autobird.core.hashing import file_digest
from autobird.core.tables import read_table
from autobird.corpus.recordings import RecordingJob, examine
from autobird.corpus.settings import RecordingsStageSettings
from autobird.sources.listing import MANIFEST_COLUMNS

TOLERANT = RecordingsStageSettings(min_duration=0)


def examined(
    audio: AudioSource | None,
    accept: RecordingsStageSettings = TOLERANT,
    download_problem: str = "",
    **manifest_columns: str,
) -> dict[str, Any]:
    """Return the row of a recording. Its samples are kept only if it is usable."""
    row = dict.fromkeys(MANIFEST_COLUMNS, "") | {"recording": "a.wav", "species": "x"} | manifest_columns
    with tempfile.TemporaryDirectory() as folder:
        part = Path(folder) / "part"
        found, (hashes, frames) = examine(RecordingJob(row, audio, download_problem, part, accept))
        assert (found["status"] == "ok") == (found["reason"] == "") == part.exists()
        assert found["samples"] == (part.stat().st_size / 2 if part.exists() else 0)
        assert part.exists() or not len(hashes)
        found["pcm"] = part.read_bytes() if part.exists() else b""
        found["landmarks"] = hashes.tolist(), frames.tolist()
    return found


def wav(path: Path, samples: object, rate: int = 16000, **options: str) -> Path:
    soundfile.write(path, np.asarray(samples, np.float32), rate, **options)
    return path


def tone(seconds: float, rate: int = 16000) -> np.ndarray:
    return 0.5 * np.sin(2 * np.pi * 1000 * np.arange(round(seconds * rate)) / rate)


def reason(
    path: Path | None, accept: RecordingsStageSettings = TOLERANT, download_problem: str = "", **manifest_columns: str
) -> str:
    return str(examined(path, accept, download_problem, **manifest_columns)["reason"])


def test_measured_properties(tmp_path: Path) -> None:
    """Of several blocks of 65,536 samples, whose ends are within the frames of 50 ms."""
    quiet, audible = (a * np.sqrt(2) * np.sin(np.arange(80_000) / 3) for a in (0.9e-3, 1.1e-3))  # RMS about -60 dBFS
    samples = np.concatenate([tone(5), quiet, np.zeros(80_000), audible, np.full(40_000, -1.0), np.full(16_000, 0.25)])
    found = examined(wav(tmp_path / "a.wav", np.stack([samples, samples], 1), subtype="PCM_24"))
    assert (found["codec"], found["bits"], found["channels"], found["sample_rate"]) == ("WAV PCM_24", 24, 2, 16000)
    assert found["duration"] == 23.5
    assert found["peak"] == 1.0
    assert found["clipped_share"] == pytest.approx(2.5 / 23.5, abs=1e-5)
    assert found["dc_offset"] == pytest.approx((-2.5 + 0.25) / 23.5, abs=1e-5)
    assert found["silent_share"] == pytest.approx(10 / 23.5, abs=1e-5)
    assert found["decoded_share"] == 1.0


def test_an_interval_of_a_file_is_decoded_like_a_file_of_its_own(tmp_path: Path) -> None:
    samples = np.random.default_rng(0).uniform(-0.5, 0.5, 5 * 16000)
    whole, part = wav(tmp_path / "a.wav", samples), wav(tmp_path / "b.wav", samples[16000:40000])
    cut = examined(whole, recording="a#1-2.5", location="a.wav", start="1", end="2.5")
    alone = examined(part)
    assert cut["duration"] == 1.5
    assert cut["sound_sha256"] == alone["sound_sha256"]
    to_the_end = examined(whole, start="4")
    assert (to_the_end["duration"], to_the_end["note"]) == (1.0, "")
    past_the_end = examined(whole, start="4", end="7")
    assert past_the_end["duration"] == 1.0
    assert "starts at 9 s of a file of 5.0 s" in reason(whole, start="9")


def test_a_recording_that_is_decoded_twice_has_the_results_of_the_second_attempt(tmp_path: Path) -> None:
    """The first attempt finds that the channels cancel each other. The second one uses one of them."""
    a = np.random.default_rng(1).uniform(-0.5, 0.5, 5 * 22050)
    alone = examined(wav(tmp_path / "a.wav", a, 22050, subtype="FLOAT"))
    twice = examined(wav(tmp_path / "b.wav", np.stack([a, -a], 1), 22050, subtype="FLOAT"))
    assert "cancel each other" in twice["note"]
    assert len(alone["landmarks"][0]) > 50
    different = {name for name in alone if alone[name] != twice[name]}
    assert different == {"channels", "note"}


def test_recordings_with_a_low_peak_are_silent(tmp_path: Path) -> None:
    assert "silent" in reason(wav(tmp_path / "a.wav", np.zeros(16000)))
    assert "silent" in reason(wav(tmp_path / "b.wav", np.full(16000, 5e-5), subtype="FLOAT"))
    assert reason(wav(tmp_path / "c.wav", 0.01 * tone(1))) == ""


def test_a_file_with_a_small_share_of_its_declared_length_is_truncated(tmp_path: Path) -> None:
    whole = wav(tmp_path / "a.wav", tone(10)).read_bytes()
    for share, words in (
        (0.1, "truncated: 1.0 s could be decoded, 10% of the length that its header declares"),
        (0.5, ""),
    ):
        (tmp_path / "b.wav").write_bytes(whole[: round(share * len(whole))])
        assert words in reason(tmp_path / "b.wav")
        assert (reason(tmp_path / "b.wav") == "") == (words == "")
    found = examined(tmp_path / "b.wav")
    assert found["note"] == "the header declares 10.0 s, the file has 5.0 s, which are used"
    assert found["decoded_share"] == pytest.approx(0.5, abs=0.01)


def test_an_unfinished_header_declares_no_length(odd_files: Path) -> None:
    found = examined(odd_files / "constructed_from_corpusA/wav_short_of_its_header.wav")
    assert (found["status"], found["decoded_share"]) == ("ok", 1.0)
    assert found["note"] == "the header was never finished and declares no length, so all 4.0 s of the file are used"


def test_decoding_stops_at_the_maximum_length(tmp_path: Path) -> None:
    path = tmp_path / "a.flac"
    with soundfile.SoundFile(path, "w", 8000, 1, format="FLAC") as file:
        for _ in range(900):
            file.write(np.full(80_000, 0.1, np.float32))
    assert path.stat().st_size < 2_000_000
    assert "longer than 7200 s of decoded audio; cut it or raise corpus.max_duration" in reason(path)


def test_problems_of_the_download_and_the_manifest_become_the_reason() -> None:
    assert reason(None, download_problem="withdrawn: the server answers 404") == "withdrawn: the server answers 404"
    assert reason(None) == "missing from the batch's archive"
    assert reason(None, problem="no such file") == "no such file"


def mutated(data: bytes, how: str, seed: int, others: list[bytes]) -> bytes:
    """Return a damaged copy of a file."""
    rng = random.Random(seed)
    start, end = sorted(rng.sample(range(len(data)), 2))
    if how == "cut":
        return data[start:end]
    if how == "head":
        return data[:start]
    if how == "flip":
        changed = bytearray(data)
        for _ in range(rng.choice((1, 50, 5000))):
            changed[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        return bytes(changed)
    if how == "zero":
        return data[:start] + bytes(end - start) + data[end:]
    if how == "header":
        changed = bytearray(data)
        for _ in range(8):
            changed[rng.randrange(min(64, len(data)))] = rng.randrange(256)
        return bytes(changed)
    other = rng.choice(others)
    return data[:start] + other[rng.randrange(len(other)) :]


def stages(folder: Path, root: Path, names: list[str]) -> tuple[pd.DataFrame, pd.DataFrame, np.ndarray]:
    """Run `recordings` and `segment` on some files as the rules do, each with a time limit."""
    lines = [[n, n.split("/")[0], f"sha256:{file_digest(root / n)}", "", "", "", ""] for n in sorted(names)]
    folder.mkdir()
    (folder / "rows.csv").write_text(csv_text([list(MANIFEST_COLUMNS), *lines]), encoding="utf-8")
    recordings, pcm, segments = folder / "r.parquet", folder / "p.npy", folder / "s.parquet"
    for arguments in (
        [
            "autobird.corpus.recordings",
            "--manifest",
            folder / "rows.csv",
            "--recordings",
            recordings,
            "--landmarks",
            folder / "l.npy",
            "--pcm",
            pcm,
            "--root",
            root,
        ],
        ["autobird.audio.segment", "--recordings", recordings, "--pcm", pcm, "--segments", segments],
    ):
        command = [sys.executable, "-m", *map(str, arguments), "--log", str(folder / "log")]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr + (folder / "log").read_text()
    return read_table(recordings), read_table(segments), np.load(pcm)


@pytest.fixture(scope="module")
def good(real_corpus: Path, odd_files: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with some short real files of several formats."""
    root = tmp_path_factory.mktemp("good")
    short = sorted(real_corpus.rglob("*.mp3"), key=lambda p: (p.stat().st_size, p.name))[:3]
    formats = sorted((odd_files / "same_audio_five_formats").iterdir())
    for path in [
        *short,
        *formats,
        odd_files / "encodings/M1F1-float32-AFsp.wav",
        odd_files / "encodings/gameover-rifx.wav",
    ]:
        (root / "good").mkdir(exist_ok=True)
        (root / "good" / path.name).write_bytes(path.read_bytes())
    return root


@pytest.fixture(scope="module")
def expected(good: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[pd.DataFrame, pd.DataFrame, np.ndarray]:
    """The outputs of the stages for the undamaged files only."""
    names = [p.relative_to(good).as_posix() for p in good.rglob("*") if p.is_file()]
    return stages(tmp_path_factory.mktemp("expected") / "run", good, names)


@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 10**6))
def test_damaged_files_do_not_affect_other_recordings(
    good: Path,
    expected: tuple[pd.DataFrame, pd.DataFrame, np.ndarray],
    tmp_path_factory: pytest.TempPathFactory,
    seed: int,
) -> None:
    """Each example adds ten damaged files whose names sort between those of the undamaged ones."""
    rng = random.Random(seed)
    root = tmp_path_factory.mktemp("mixed")
    files = sorted(good.glob("good/*"))
    (root / "good").symlink_to(good / "good")
    data = [f.read_bytes() for f in files]
    damaged = []
    for number in range(10):
        how = rng.choice(("cut", "head", "flip", "zero", "header", "splice"))
        suffix = rng.choice((".mp3", ".wav", ".FLAC", "", ".txt", ".ogg"))
        name = f"{rng.choice(('aa', 'good-', 'zz'))}/{how} {number} é{suffix}"
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_bytes(mutated(rng.choice(data), how, seed + number, data))
        damaged.append(name)
    names = [f"good/{f.name}" for f in files]
    recordings, segments, pcm = stages(tmp_path_factory.mktemp("run") / "run", root, names + damaged)
    assert sorted(recordings["recording"]) == sorted(names + damaged)
    assert ((recordings["status"] == "ok") == (recordings["reason"] == "")).all()
    table, windows, expected_pcm = expected
    pd.testing.assert_frame_equal(recordings[recordings["recording"].isin(names)].reset_index(drop=True), table)
    mine = segments[segments["recording"].isin(names)].reset_index(drop=True)
    pd.testing.assert_frame_equal(mine.drop(columns="offset"), windows.drop(columns="offset"))
    for (offset, samples), (expected_offset, expected_samples) in zip(
        mine[["offset", "samples"]].drop_duplicates().to_numpy(),
        windows[["offset", "samples"]].drop_duplicates().to_numpy(),
        strict=True,
    ):
        assert np.array_equal(
            pcm[offset : offset + samples], expected_pcm[expected_offset : expected_offset + expected_samples]
        )


def test_recorder_and_time_are_read_from_the_header_of_files_tar_members_and_intervals(tmp_path: Path) -> None:
    path = wav(tmp_path / "a.wav", tone(2))
    lines = b"Serial: S4A01234\nTimestamp: 2023-05-12T04:00:00+02:00\n"
    data = path.read_bytes() + b"guan" + len(lines).to_bytes(4, "little") + lines + bytes(len(lines) % 2)
    path.write_bytes(data)
    with tarfile.open(tmp_path / "0.tar", "w") as tar:
        tar.add(path, "a.wav")
    (packed,) = audio_sources([RecordingLocation("a.wav")], None, tmp_path / "0.tar")
    for found in (examined(path), examined(packed), examined(path, recording="b", location="a.wav", start="1")):
        assert (found["recorder"], found["recorded_at"]) == ("S4A01234", "2023-05-12T04:00:00+02:00")
        assert found["status"] == "ok"
    without_header = examined(wav(tmp_path / "b.wav", tone(1)))
    assert (without_header["recorder"], without_header["recorded_at"]) == ("", "")
