"""What the stage `recordings` says of a file, and that one mutated file costs itself alone."""

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

from autobird.audio.access import Place, Sound, sounds_of
from autobird.core.files import csv_text
from autobird.core.hashing import file_digest
from autobird.core.tables import read_table
from autobird.corpus.listing import ROWS
from autobird.corpus.recordings import Task, examine
from autobird.corpus.settings import RecordingsStageSettings

TOLERANT = RecordingsStageSettings(min_duration=0)


def examined(
    sound: Sound | None, accept: RecordingsStageSettings = TOLERANT, missing: str = "", **more: str
) -> dict[str, Any]:
    """The row of a recording; its sound is kept if it is usable, and only then."""
    row = dict.fromkeys(ROWS, "") | {"recording": "a.wav", "species": "x"} | more
    with tempfile.TemporaryDirectory() as folder:
        part = Path(folder) / "part"
        found, (hashes, frames) = examine(Task(row, sound, missing, part, accept))
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


def reason(path: Path | None, accept: RecordingsStageSettings = TOLERANT, missing: str = "", **more: str) -> str:
    return str(examined(path, accept, missing, **more)["reason"])


def test_the_measures_of_a_recording(tmp_path: Path) -> None:
    """Over several blocks of 65,536 frames, whose borders lie within the frames of 50 ms."""
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


def test_a_part_of_a_file_is_a_recording_of_its_own(tmp_path: Path) -> None:
    samples = np.random.default_rng(0).uniform(-0.5, 0.5, 5 * 16000)
    whole, part = wav(tmp_path / "a.wav", samples), wav(tmp_path / "b.wav", samples[16000:40000])
    cut = examined(whole, recording="a#1-2.5", location="a.wav", start="1", end="2.5")
    alone = examined(part)
    assert cut["duration"] == 1.5
    assert cut["sound_sha256"] == alone["sound_sha256"]
    to_the_end = examined(whole, start="4")
    assert (to_the_end["duration"], to_the_end["note"]) == (1.0, "")
    beyond = examined(whole, start="4", end="7")
    assert beyond["duration"] == 1.0
    assert "begins at 9 s of a file of 5.0 s" in reason(whole, start="9")


def test_a_recording_that_is_decoded_twice_leaves_what_the_second_decoding_gives(tmp_path: Path) -> None:
    """Channels that cancel each other are found by the first decoding; the second one uses one of them."""
    a = np.random.default_rng(1).uniform(-0.5, 0.5, 5 * 22050)
    alone = examined(wav(tmp_path / "a.wav", a, 22050, subtype="FLOAT"))
    twice = examined(wav(tmp_path / "b.wav", np.stack([a, -a], 1), 22050, subtype="FLOAT"))
    assert "cancel each other" in twice["note"]
    assert len(alone["landmarks"][0]) > 50
    differ = {name for name in alone if alone[name] != twice[name]}
    assert differ == {"channels", "note"}


def test_silence_is_told_by_its_peak(tmp_path: Path) -> None:
    assert "silent" in reason(wav(tmp_path / "a.wav", np.zeros(16000)))
    assert "silent" in reason(wav(tmp_path / "b.wav", np.full(16000, 5e-5), subtype="FLOAT"))
    assert reason(wav(tmp_path / "c.wav", 0.01 * tone(1))) == ""


def test_a_file_that_holds_a_small_share_of_what_it_promises_is_truncated(tmp_path: Path) -> None:
    whole = wav(tmp_path / "a.wav", tone(10)).read_bytes()
    for share, words in ((0.1, "truncated: 1.0 s are 10% of what its header promises"), (0.5, "")):
        (tmp_path / "b.wav").write_bytes(whole[: round(share * len(whole))])
        assert words in reason(tmp_path / "b.wav")
        assert (reason(tmp_path / "b.wav") == "") == (words == "")
    found = examined(tmp_path / "b.wav")
    assert found["note"] == "5.0 s decoded of 10.0 s promised; used up to there"
    assert found["decoded_share"] == pytest.approx(0.5, abs=0.01)


def test_a_header_that_was_never_finished_promises_nothing(odd_files: Path) -> None:
    found = examined(odd_files / "constructed_from_corpusA/wav_short_of_its_header.wav")
    assert (found["status"], found["decoded_share"]) == ("ok", 1.0)
    assert found["note"] == "its header was never finished; used up to its end at 4.0 s"


def test_a_small_file_that_expands_to_hours_is_bounded(tmp_path: Path) -> None:
    path = tmp_path / "a.flac"
    with soundfile.SoundFile(path, "w", 8000, 1, format="FLAC") as file:
        for _ in range(900):
            file.write(np.full(80_000, 0.1, np.float32))
    assert path.stat().st_size < 2_000_000
    assert "longer than 7200 s of decoded sound; cut it or raise corpus.max_duration" in reason(path)


def test_why_a_recording_did_not_come_is_its_reason() -> None:
    assert reason(None, missing="withdrawn: the server answers 404") == "withdrawn: the server answers 404"
    assert reason(None) == "missing from the batch's archive"
    assert reason(None, problem="no such file") == "no such file"


def mutated(data: bytes, how: str, seed: int, others: list[bytes]) -> bytes:
    """A real file as accidents leave it."""
    rng = random.Random(seed)
    at, end = sorted(rng.sample(range(len(data)), 2))
    if how == "cut":
        return data[at:end]
    if how == "head":
        return data[:at]
    if how == "flip":
        changed = bytearray(data)
        for _ in range(rng.choice((1, 50, 5000))):
            changed[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        return bytes(changed)
    if how == "zero":
        return data[:at] + bytes(end - at) + data[end:]
    if how == "header":
        changed = bytearray(data)
        for _ in range(8):
            changed[rng.randrange(min(64, len(data)))] = rng.randrange(256)
        return bytes(changed)
    other = rng.choice(others)
    return data[:at] + other[rng.randrange(len(other)) :]


def stages(folder: Path, root: Path, names: list[str]) -> tuple[pd.DataFrame, pd.DataFrame, np.ndarray]:
    """Run `recordings` and `segment` on some files as the rules do, each bounded in time."""
    lines = [[n, n.split("/")[0], f"sha256:{file_digest(root / n)}", "", "", "", ""] for n in sorted(names)]
    folder.mkdir()
    (folder / "rows.csv").write_text(csv_text([list(ROWS), *lines]), encoding="utf-8")
    recordings, pcm, segments = folder / "r.parquet", folder / "p.npy", folder / "s.parquet"
    for arguments in (
        [
            "autobird.corpus.recordings",
            "--rows",
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
    """Some short real files of several formats, in a folder of their own."""
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
    """What the stages make of the good files alone."""
    names = [p.relative_to(good).as_posix() for p in good.rglob("*") if p.is_file()]
    return stages(tmp_path_factory.mktemp("expected") / "run", good, names)


@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 10**6))
def test_mutated_files_cost_themselves_alone(
    good: Path,
    expected: tuple[pd.DataFrame, pd.DataFrame, np.ndarray],
    tmp_path_factory: pytest.TempPathFactory,
    seed: int,
) -> None:
    """Each example mutates ten real files in as many ways, under names that sort among the good ones."""
    rng = random.Random(seed)
    root = tmp_path_factory.mktemp("mixed")
    files = sorted(good.glob("good/*"))
    (root / "good").symlink_to(good / "good")
    data = [f.read_bytes() for f in files]
    bad = []
    for number in range(10):
        how = rng.choice(("cut", "head", "flip", "zero", "header", "splice"))
        suffix = rng.choice((".mp3", ".wav", ".FLAC", "", ".txt", ".ogg"))
        name = f"{rng.choice(('aa', 'good-', 'zz'))}/{how} {number} é{suffix}"
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_bytes(mutated(rng.choice(data), how, seed + number, data))
        bad.append(name)
    names = [f"good/{f.name}" for f in files]
    recordings, segments, pcm = stages(tmp_path_factory.mktemp("run") / "run", root, names + bad)
    assert sorted(recordings["recording"]) == sorted(names + bad)
    assert ((recordings["status"] == "ok") == (recordings["reason"] == "")).all()
    table, windows, sound = expected
    pd.testing.assert_frame_equal(recordings[recordings["recording"].isin(names)].reset_index(drop=True), table)
    mine = segments[segments["recording"].isin(names)].reset_index(drop=True)
    pd.testing.assert_frame_equal(mine.drop(columns="offset"), windows.drop(columns="offset"))
    for (at, n), (there, m) in zip(
        mine[["offset", "samples"]].drop_duplicates().to_numpy(),
        windows[["offset", "samples"]].drop_duplicates().to_numpy(),
        strict=True,
    ):
        assert np.array_equal(pcm[at : at + n], sound[there : there + m])


def test_what_a_recorder_wrote_into_the_header_comes_along_from_a_file_a_tar_and_for_a_part(tmp_path: Path) -> None:
    path = wav(tmp_path / "a.wav", tone(2))
    lines = b"Serial: S4A01234\nTimestamp: 2023-05-12T04:00:00+02:00\n"
    data = path.read_bytes() + b"guan" + len(lines).to_bytes(4, "little") + lines + bytes(len(lines) % 2)
    path.write_bytes(data)
    with tarfile.open(tmp_path / "0.tar", "w") as tar:
        tar.add(path, "a.wav")
    (packed,) = sounds_of([Place("a.wav")], None, tmp_path / "0.tar")
    for found in (examined(path), examined(packed), examined(path, recording="b", location="a.wav", start="1")):
        assert (found["recorder"], found["recorded_at"]) == ("S4A01234", "2023-05-12T04:00:00+02:00")
        assert found["status"] == "ok"
    silent = examined(wav(tmp_path / "b.wav", tone(1)))
    assert (silent["recorder"], silent["recorded_at"]) == ("", "")
