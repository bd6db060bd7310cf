"""The stage `train` in several processes that torchrun starts: killed processes, signals, errors."""

import os
import random
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from autobird.audio.npy import NpyWriter
from autobird.core.files import write_json
from tests.conftest import ROOT
from tests.integration.conftest import wait_until
from tests.label_sets import label_columns
from tests.unit.test_training import windows

pytestmark = pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="finds the processes in /proc")

SETTINGS = '{"width": 4, "epochs": 12, "batch_size": 8, "threads": 1, "devices": 2, "precision": "float32"}'


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the inputs of a training; its mel frames are in two shards."""
    folder, n = tmp_path_factory.mktemp("inputs"), 48
    data = windows(n)
    for shard, frames in enumerate(np.split(np.asarray(data.shards[0]), 2)):
        with NpyWriter(folder / f"{shard}.npy", "<f2", (16,)) as out:
            out.append(frames)
    index = pd.DataFrame(
        {
            "recording": [f"r{i // 2:02d}" for i in range(n)], "start": 0, "split": np.array(["train", "train", "validation"])[np.arange(n) % 3],
            "shard": np.arange(n) // (n // 2), "first_frame": np.arange(n) % (n // 2) * 40, "dropped": "",
            "earliest": 0, "latest": 0, "rms": 0.1, "negative": np.arange(n) % 10 == 0,
            **label_columns([f"s{i % 3}" if i % 10 else "" for i in range(n)]),
        }
    )  # fmt: skip
    index.to_parquet(folder / "index.parquet")
    write_json(folder / "labels.json", ["s0", "s1", "s2"])
    write_json(folder / "norm.json", {"mean": -8.0, "std": 2.0})
    return folder


class Stage:
    """The stage in a folder of its own.

    Args:
        inputs: folder of its inputs.
        folder: folder of its outputs.
    """

    def __init__(self, inputs: Path, folder: Path) -> None:
        self.inputs, self.folder = inputs, folder
        self.weights, self.log = folder / "run/model/weights.safetensors", folder / "log"

    def start(self) -> None:
        """Start the launcher."""
        self.log.unlink(missing_ok=True)
        arguments = {
            "settings": SETTINGS, "front-end": '{"window": 1.248, "hop": 0.5, "mels": 16}', "checkpoints": self.folder / "checkpoints",
            "index": self.inputs / "index.parquet", "labels": self.inputs / "labels.json", "normalisation": self.inputs / "norm.json",
            "weights": self.weights, "model": self.weights.with_name("model.json"), "history": self.folder / "history.csv", "log": self.log,
        }  # fmt: skip
        options = [text for name, value in arguments.items() for text in (f"--{name}", str(value))]
        shards = ["--shards", str(self.inputs / "0.npy"), str(self.inputs / "1.npy")]
        self.launcher = subprocess.Popen(
            [sys.executable, "-m", "autobird.model.train", *options, *shards],
            env=os.environ | {"PYTHONPATH": str(ROOT / "scripts")},
            stderr=subprocess.PIPE,
            text=True,
        )

    def finish(self) -> tuple[int, str]:
        """Wait until the launcher and all processes have ended; return the exit status and what they have printed."""
        _, printed = self.launcher.communicate(timeout=100)  # ends when no process has the pipe any more
        return self.launcher.returncode, printed

    def wait_for_epoch(self, epoch: int) -> None:
        """Wait until an epoch is complete."""
        wait_until(lambda: self.log.exists() and f"epoch {epoch}:" in self.log.read_text(), 100, f"epoch {epoch}")

    def process(self, rank: int) -> int:
        """The id of one of the processes that share the training."""
        launcher = self.launcher.pid
        for child in Path(f"/proc/{launcher}/task/{launcher}/children").read_text().split():
            if f"RANK={rank}".encode() in Path(f"/proc/{child}/environ").read_bytes().split(b"\0"):
                return int(child)
        raise AssertionError(f"no process {rank}")


@pytest.fixture(scope="module")
def uninterrupted(inputs: Path, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The weights of a training that was not interrupted."""
    stage = Stage(inputs, tmp_path_factory.mktemp("uninterrupted"))
    stage.start()
    status, printed = stage.finish()
    assert status == 0, printed
    assert "2 processes on 1 machines share the training" in stage.log.read_text()
    assert printed.count("done in") == 1
    return stage.weights.read_bytes()


@pytest.fixture
def moment() -> random.Random:
    """Delays that differ from run to run; a failure of a test prints the seed."""
    seed = int.from_bytes(os.urandom(4))
    print(f"seed {seed}")
    return random.Random(seed)


@pytest.mark.parametrize("killed", [pytest.param(0, marks=pytest.mark.long), 1])
def test_a_killed_process_ends_the_others_and_the_resumed_training_ends_with_the_same_bytes(
    killed: int, inputs: Path, uninterrupted: bytes, tmp_path: Path, moment: random.Random
) -> None:
    stage = Stage(inputs, tmp_path)
    stage.start()
    stage.wait_for_epoch(moment.randint(1, 8))
    os.kill(stage.process(killed), signal.SIGKILL)
    status, printed = stage.finish()
    assert status == 1
    assert re.findall("(?m)^error: .*", printed) == re.findall("(?m)^error: .*", stage.log.read_text())
    assert f"error: process {killed} of the training ended with signal 9 (SIGKILL)" in printed
    assert "Traceback" not in printed
    assert not stage.weights.exists()
    stage.start()
    assert stage.finish()[0] == 0
    assert "resumed from" in stage.log.read_text()
    assert stage.weights.read_bytes() == uninterrupted


@pytest.mark.long
@pytest.mark.parametrize("receiver", ["launcher", "process 1"])
def test_sigterm_to_any_process_saves_a_checkpoint_and_all_end_with_143(
    receiver: str, inputs: Path, uninterrupted: bytes, tmp_path: Path, moment: random.Random
) -> None:
    stage = Stage(inputs, tmp_path)
    stage.start()
    stage.wait_for_epoch(moment.randint(1, 8))
    os.kill(stage.launcher.pid if receiver == "launcher" else stage.process(1), signal.SIGTERM)
    status, printed = stage.finish()
    assert status == 143
    assert "Traceback" not in printed
    assert "checkpoint saved" in stage.log.read_text()
    stage.start()
    assert stage.finish()[0] == 0
    assert re.search(r"resumed from .* step [1-9]", stage.log.read_text())
    assert stage.weights.read_bytes() == uninterrupted


@pytest.mark.long
def test_after_the_launcher_was_killed_the_processes_save_a_checkpoint_and_end(
    inputs: Path, uninterrupted: bytes, tmp_path: Path
) -> None:
    stage = Stage(inputs, tmp_path)
    stage.start()
    stage.wait_for_epoch(2)
    stage.launcher.kill()
    assert stage.finish()[0] == -signal.SIGKILL
    assert "checkpoint saved" in stage.log.read_text()
    stage.start()
    assert stage.finish()[0] == 0
    assert stage.weights.read_bytes() == uninterrupted


def test_an_error_of_any_process_appears_once_in_one_line(inputs: Path, tmp_path: Path) -> None:
    """Each process checks its share of the shards; the second finds the error."""
    for path in inputs.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    shard = np.load(tmp_path / "1.npy", mmap_mode="r+")
    shard[50, 3] = np.nan
    shard.flush()
    stage = Stage(tmp_path, tmp_path / "out")
    stage.start()
    status, printed = stage.finish()
    assert status == 1
    [line] = [line for line in printed.splitlines() if not line.startswith("[train]")]
    assert re.fullmatch(r"error: .*1\.npy: the window of r\d+ at sample 0 contains NaN or infinity; .*", line)
    assert stage.log.read_text().count("contains NaN or infinity") == 1
