"""Windows per second of a training by its processes and the threads of each, on an idle machine; see docs/training-distributed.md."""

import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

import pytest

from tests.benchmarks import report
from tests.processes import environment

pytestmark = pytest.mark.benchmark

REPEATS = int(os.environ.get("REPEATS", "3"))
TURN = float(os.environ.get("TURN", "4"))
"""Approximate duration of one measurement, seconds."""

FORMS = {"1 x 1": (1, 1), "1 x 2": (1, 2), "2 x 1": (2, 1), "4 x 1": (4, 1)}
"""Processes and threads of each."""

CASES = {
    "`resnet`, batch of 16": {"architecture": "resnet"},
    "`resnet`, batch of 64": {"architecture": "resnet", "batch_size": 64},
    "`cnn_transformer`, batch of 32": {"architecture": "cnn_transformer"},
}
VARIABLES = {
    "all instructions of the CPU": {},
    "AVX2 only": {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2"},
}

PROGRAM = """
import json, os, sys, time
from autobird.core.environment import limit_openmp_spinning
limit_openmp_spinning()  # as in a training; before torch is imported
import numpy as np
import torch
from torch import distributed
from autobird.dataset.label_sets import LabelSets
from autobird.model.data import WindowDataset
from autobird.model.distributed import joined
from autobird.model.loop import Trainer
from autobird.model.networks import build_network
from autobird.model.precision import make_deterministic, select_precision
from autobird.model.settings import TrainSettings

SPECIES, WINDOWS = 13, 960
settings, seconds = TrainSettings.model_validate(json.loads(sys.argv[1])), float(sys.argv[2])
frames = np.random.default_rng(0).normal(-8, 3, (WINDOWS * 157, 64)).astype(np.float16)
labels = LabelSets(np.eye(SPECIES, dtype=bool)[np.arange(WINDOWS) % SPECIES], np.ones((WINDOWS, SPECIES), bool))
windows = WindowDataset([frames], np.zeros(WINDOWS, np.int64), np.arange(WINDOWS) * 157, labels, np.arange(WINDOWS), 157)
make_deterministic(settings.threads)
torch.manual_seed(0)
network, rng = build_network(settings, SPECIES, -8.0, 3.0), np.random.default_rng(1)

def several(trainer, steps):
    start = time.perf_counter()
    for _ in range(steps):
        trainer._step(rng.integers(0, WINDOWS, settings.batch_size))
    return time.perf_counter() - start

with joined(torch.device("cpu"), f"file://{os.environ.get('STORE')}") as processes:
    trainer = Trainer(network, windows, windows, settings, select_precision(settings), None, processes)
    several(trainer, 5)
    steps = torch.tensor([seconds / several(trainer, 10) * 10])
    if processes.size > 1:
        distributed.broadcast(steps, 0)
    steps = max(10, int(steps))
    took = several(trainer, steps)
    if not processes.rank:
        print(steps * settings.batch_size / took)
"""


def speed(form: tuple[int, int], settings: dict[str, object], variables: dict[str, str], folder: Path) -> float:
    """Return the windows per second of a training in `form[0]` processes of `form[1]` threads."""
    size, threads = form
    store = folder / f"{size}-{threads}-{len(list(folder.iterdir()))}"
    store.parent.mkdir(exist_ok=True)
    command = [sys.executable, "-c", PROGRAM, json.dumps(settings | {"threads": threads, "devices": size}), str(TURN)]
    started = []
    for rank in range(size):
        env = environment(rank, size, store) | {"OMP_NUM_THREADS": str(threads)} | variables
        if size == 1:
            env = {key: value for key, value in env.items() if key not in ("TORCHELASTIC_RUN_ID", "RANK", "WORLD_SIZE")}
        started.append(subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True))
    outputs = [process.communicate()[0] for process in started]
    assert [process.returncode for process in started] == [0] * size
    return float(outputs[0].split()[-1])


@pytest.mark.parametrize("cpu", list(VARIABLES))
def test_processes_and_threads(cpu: str, tmp_path: Path) -> None:
    """The forms alternate in each round."""
    found: dict[str, dict[str, list[float]]] = {case: {form: [] for form in FORMS} for case in CASES}
    for _ in range(REPEATS):
        for case, settings in CASES.items():
            for form, numbers in FORMS.items():
                found[case][form].append(speed(numbers, settings, VARIABLES[cpu], tmp_path))
    rows = [
        [case, *(f"{statistics.median(values):,.0f}" for values in forms.values())] for case, forms in found.items()
    ]
    data = {"machine": report.machine("torch", "numpy"), "windows per second": found}
    section = f"devices-{cpu.split()[0].lower()}"
    report.write(section, data, ["processes x threads", *FORMS], rows, "training-distributed.md")
