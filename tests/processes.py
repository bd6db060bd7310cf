"""Small trainings that several processes share, and the start of these processes without torchrun."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch

from autobird.model.data import WindowDataset
from autobird.model.distributed import ALONE, Processes, joined
from autobird.model.loop import Trainer
from autobird.model.networks import build_network
from autobird.model.precision import Compute, make_deterministic
from autobird.model.settings import TrainSettings
from autobird.model.teaching import Teaching, TrainingSounds
from tests.conftest import ROOT
from tests.unit.test_losses import with_negatives
from tests.unit.test_training import windows

CPU = Compute(torch.device("cpu"), torch.float32)
WINDOWS = 31
"""Training windows: with batches of 6, the last one has a single window, and one of two processes has none."""


def training(settings: TrainSettings, processes: Processes = ALONE) -> Trainer:
    """Return a training with negatives, windows of several species and unknown ones; softmax: with windows of one species."""
    make_deterministic(1)
    torch.manual_seed(0)
    network = build_network(settings, 3, -8.0, 2.0)
    make = windows if settings.outputs == "softmax" else with_negatives
    train, validation = make(WINDOWS), make(130, seed=1)
    teaching = (
        Teaching(sounds(train), network.classifier.in_features, settings, CPU.device) if settings.teacher else None
    )
    return Trainer(network, train, validation, settings, CPU, teaching, processes)


def sounds(data: WindowDataset) -> TrainingSounds:
    """Training sounds of a teacher with random answers."""
    rng, n = np.random.default_rng(5), len(data)
    answers = rng.random((n, 3)).astype(np.float32)
    return TrainingSounds(
        data.shards, data.shard, data.first_frame, data.frames, rng.normal(size=(n, 7)).astype(np.float16),
        answers / answers.sum(1, keepdims=True), np.zeros(n, bool),
    )  # fmt: skip


def environment(rank: int, size: int, store: Path) -> dict[str, str]:
    """The environment variables by which torchrun tells a process its place, with a file in place of a port."""
    return os.environ | {
        "PYTHONPATH": os.pathsep.join([str(ROOT / "scripts"), str(ROOT)]), "TORCHELASTIC_RUN_ID": "test", "RANK": str(rank),
        "LOCAL_RANK": str(rank), "WORLD_SIZE": str(size), "STORE": str(store), "OMP_NUM_THREADS": "1",
    }  # fmt: skip


def run(size: int, cases: dict[str, dict[str, Any]], folder: Path) -> dict[str, dict[str, Any]]:
    """Run trainings that `size` processes share; return the weights and the history of each, the same from all processes."""
    started = [
        subprocess.Popen([sys.executable, "-m", "tests.processes", json.dumps(cases), str(folder)], env=environment(rank, size, folder / "store"))
        for rank in range(size)
    ]  # fmt: skip
    assert [process.wait(120) for process in started] == [0] * size
    found = [torch.load(folder / f"{rank}.pt") for rank in range(size)]
    for name, other in ((name, other) for name in cases for other in found[1:]):
        assert all(torch.equal(value, other[name]["weights"][key]) for key, value in found[0][name]["weights"].items())
        assert str(other[name]["history"]) == str(found[0][name]["history"])
    return found[0]


def main(cases: dict[str, dict[str, Any]], folder: Path) -> None:
    """Run the trainings in one of the processes."""
    with joined(CPU.device, f"file://{os.environ['STORE']}") as processes:
        found = {}
        for name, case in cases.items():
            trainer = training(TrainSettings.model_validate(case), processes)
            found[name] = {"weights": trainer.run(lambda: None), "history": trainer.progress.history}
        torch.save(found, folder / f"{processes.rank}.pt")


if __name__ == "__main__":
    main(json.loads(sys.argv[1]), Path(sys.argv[2]))
