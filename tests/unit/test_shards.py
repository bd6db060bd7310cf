"""PCM and mel shards: the same bytes for any number of workers, order and batches; a crash fails one recording only."""

import faulthandler
import io
import os
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from autobird.audio import mel_shards, segment
from autobird.core.files import csv_text
from autobird.core.tables import read_table
from autobird.corpus import recordings
from autobird.corpus.recordings import RecordingJob, examine
from autobird.sources.listing import MANIFEST_COLUMNS

NAMES = [f"{n}.{kind}" for n, kind in enumerate(("wav", "flac", "mp3", "ogg", "wav", "mp3", "flac", "wav", "ogg"))]
RATES = (16000, 44100, 48000, 22050, 96000, 44100, 8000, 32000, 48000)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Recordings of 0.8 to 17 s, mono and stereo, one with cancelling channels, and two unusable files."""
    folder = tmp_path_factory.mktemp("root")
    rng = np.random.default_rng(0)
    for n, (name, rate) in enumerate(zip(NAMES, RATES, strict=True)):
        samples = 0.1 * rng.standard_normal((round((0.8 + 2 * n) * rate), 1 + n % 2)).astype(np.float32)
        if n == 3:
            samples[:, 1] = -samples[:, 0]
        with soundfile.SoundFile(folder / name, "w", rate, samples.shape[1]) as file:
            for at in range(0, len(samples), 1 << 15):
                file.write(samples[at : at + (1 << 15)])
    (folder / "text.mp3").write_text("no audio")
    soundfile.write(folder / "silent.wav", np.zeros(32000), 16000)
    return folder


def run(folder: Path, root: Path, names: list[str], threads: int, tar: bool = False) -> dict[str, bytes]:
    """Run the three stages on a batch; return the bytes of all files that they write."""
    folder.mkdir(parents=True)
    lines = [[n, "x", "", "", "", "", ""] for n in names]
    (folder / "rows.csv").write_text(csv_text([list(MANIFEST_COLUMNS), *lines]))
    f = {k: str(folder / k) for k in ("rows.csv", "r.parquet", "l.npy", "p.npy", "s.parquet", "m.npy", "m.parquet")}
    where = ["--root", str(root)]
    if tar:
        with tarfile.open(folder / "a.tar", "w") as archive:
            for name in names:
                archive.add(root / name, name)
        where = ["--audio", str(folder / "a.tar")]
    log = ["--log", str(folder / "log"), "--threads", str(threads)]
    recordings.main(
        ["--manifest", f["rows.csv"], *where, "--recordings", f["r.parquet"], "--landmarks", f["l.npy"], "--pcm", f["p.npy"], *log]
    )  # fmt: skip
    segment.main(["--recordings", f["r.parquet"], "--pcm", f["p.npy"], "--segments", f["s.parquet"], *log[:2]])
    mel_shards.main(
        ["--segments", f["s.parquet"], "--pcm", f["p.npy"], "--shard", f["m.npy"], "--table", f["m.parquet"], *log]
    )
    assert sorted(p.name for p in folder.iterdir() if p.suffix in (".tmp", ".pcm", ".f16")) == []
    return {k: Path(v).read_bytes() for k, v in f.items() if k != "rows.csv"}


ALL = [*NAMES, "text.mp3", "silent.wav"]


@pytest.fixture(scope="module")
def expected(root: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    return run(tmp_path_factory.mktemp("one") / "run", root, ALL, 1)


@pytest.mark.parametrize("threads", [1, 2, 4])
def test_the_bytes_are_the_same_for_any_number_of_workers(
    root: Path, expected: dict[str, bytes], threads: int, tmp_path: Path
) -> None:
    assert run(tmp_path / "run", root, ALL, threads) == expected


def test_the_bytes_of_a_recording_are_the_same_in_any_batch_and_order(root: Path, tmp_path: Path) -> None:
    def per_recording(folder: Path, names: list[str]) -> dict[str, tuple[bytes, bytes, list[float]]]:
        run(folder, root, names, 2, tar=len(names) < 5)
        pcm, shard = np.load(folder / "p.npy"), np.load(folder / "m.npy")
        windows = read_table(folder / "s.parquet").merge(read_table(folder / "m.parquet"), on=["recording", "start"])
        found = {}
        for name, rows in windows.groupby("recording"):
            at, count, first = (int(rows[c].iloc[0]) for c in ("offset", "samples", "first_frame"))
            frames = shard[first : int(rows["first_frame"].iloc[-1]) + 157]
            numbers = [*rows["rms"], *rows["mel_mean"], *rows["mel_std"], *(rows["first_frame"] - first)]
            found[str(name)] = (pcm[at : at + count].tobytes(), frames.tobytes(), numbers)
        return found

    one = per_recording(tmp_path / "one", ALL)
    assert sorted(one) == NAMES
    assert per_recording(tmp_path / "reversed", ALL[::-1]) == one
    several: dict[str, tuple[bytes, bytes, list[float]]] = {}
    for batch in range(3):
        several |= per_recording(tmp_path / f"{batch}", ALL[batch::3])
    assert several == one


def test_unusable_recordings_have_no_samples(root: Path, expected: dict[str, bytes]) -> None:
    table = read_table(io.BytesIO(expected["r.parquet"]))  # type: ignore[arg-type]
    assert list(table["samples"][table["status"] != "ok"]) == [0, 0]
    assert table["samples"].sum() == len(np.load(io.BytesIO(expected["p.npy"])))
    short = table[table["recording"] == "0.wav"].iloc[0]
    assert short["samples"] == round(0.8 * 16000)


def test_a_batch_without_recordings_is_valid(root: Path, tmp_path: Path) -> None:
    for number, names in enumerate(([], ["text.mp3"])):
        run(tmp_path / f"{number}", root, names, 2)
        assert np.load(tmp_path / f"{number}/m.npy").shape == (0, 64)
        assert len(read_table(tmp_path / f"{number}/m.parquet")) == 0


def crashing(job: RecordingJob) -> object:
    """What a decoder with a bug does: it has written something, and then ends the process."""
    if job.row["recording"] == "4.wav":
        faulthandler.disable()  # pytest's would print what is known
        job.part.write_bytes(b"half of it")
        os.kill(os.getpid(), signal.SIGSEGV)
    return examine(job)


@pytest.mark.parametrize("threads", [1, 3])
def test_a_crash_of_the_decoder_fails_one_recording_only(
    root: Path, threads: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(tmp_path / "without", root, [n for n in ALL if n != "4.wav"], threads)
    monkeypatch.setattr(recordings, "examine", crashing)
    run(tmp_path / "with", root, ALL, threads)
    table = read_table(tmp_path / "with/r.parquet").set_index("recording")
    assert table.loc["4.wav", "reason"] == (
        "the decoder crashed on this file (SIGSEGV); save the file again with another program"
    )
    for name in ("p.npy", "m.npy", "m.parquet"):
        assert (tmp_path / "with" / name).read_bytes() == (tmp_path / "without" / name).read_bytes()


def test_a_killed_stage_gives_the_same_bytes_when_run_again(
    root: Path, expected: dict[str, bytes], tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "rows.csv").write_text(csv_text([list(MANIFEST_COLUMNS), *([n, "x", "", "", "", "", ""] for n in ALL)]))
    paths = [v for o, n in (("recordings", "r.parquet"), ("landmarks", "l.npy"), ("pcm", "p.npy")) for v in (f"--{o}", str(folder / n))]  # fmt: skip
    where = ["--manifest", str(folder / "rows.csv"), "--root", str(root), "--log", str(folder / "log")]
    command = [sys.executable, "-m", "autobird.corpus.recordings", *where, "--threads", "2", *paths]
    process = subprocess.Popen(command)
    while not list(folder.glob(".p.npy.*.tmp/*.pcm")):
        assert process.poll() is None
        time.sleep(0.002)
    process.kill()
    process.wait()
    assert list(folder.glob(".p.npy.*.tmp"))
    assert not list(folder.glob("*.npy"))
    subprocess.run(command, check=True, capture_output=True)
    assert {n: (folder / n).read_bytes() for n in ("r.parquet", "l.npy", "p.npy")}.items() <= expected.items()
    assert not list(folder.glob(".*.tmp"))
