"""Windows per second of the original project's training loop and of this one, side by side; see docs/training-speed.md.

Each measurement is a process of its own, because allocator and instruction set are settings of a process. The programs alternate in each round.
"""

import json
import os
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.benchmarks import report
from tests.benchmarks.test_threads import THREAD_VARIABLES

pytestmark = pytest.mark.benchmark

REPEATS = int(os.environ.get("REPEATS", "5"))
TURN = float(os.environ.get("TURN", "4"))
"""Duration of one measurement, in seconds of the clock."""
THREADS = int(os.environ.get("THREADS", "1"))
CLOCK = os.environ.get("CLOCK", "wall")
"""`wall`: seconds, on an idle machine; `cpu`: core-seconds, which are comparable on a busy one."""

AVX2 = {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2"}
WITHOUT_ALLOCATOR = {"MALLOC_TOP_PAD_": str(128 << 10)}
"""glibc's default. Any such variable makes `keep_freed_memory` leave the allocator as it is."""
HUGE_PAGES = {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"}

PROGRAM = """
import contextlib, json, sys, time
import numpy as np
import torch
from autobird.dataset.label_sets import LabelSets
from autobird.model import loop
from autobird.model.data import WindowDataset
from autobird.model.networks import CnnTransformer, build_network
from autobird.model.precision import make_deterministic, select_precision
from autobird.model.settings import TrainSettings
from tests.benchmarks.original_loop import original_step

SPECIES, WINDOWS = 13, 960
which, seconds, clock, changes, values = sys.argv[1], float(sys.argv[2]), sys.argv[3], sys.argv[4].split("+"), json.loads(sys.argv[5])
settings = TrainSettings.model_validate(values)
frames = np.random.default_rng(0).normal(-8, 3, (WINDOWS * 157, 64)).astype(np.float16)
labels = LabelSets(np.eye(SPECIES, dtype=bool)[np.arange(WINDOWS) % SPECIES], np.ones((WINDOWS, SPECIES), bool))
windows = WindowDataset([frames], np.zeros(WINDOWS, np.int64), np.arange(WINDOWS) * 157, labels, np.arange(WINDOWS), 157)
torch.manual_seed(0)
if "ReLU before pooling" in changes:
    CnnTransformer._convolutions = lambda self, x: self.cnn(x)
network, rng = build_network(settings, SPECIES, -8.0, 3.0), np.random.default_rng(1)

if which == "original":
    torch.set_num_threads(settings.threads)
    x, y = windows.take(np.arange(WINDOWS)).contiguous(), torch.arange(WINDOWS) % SPECIES
    step = original_step(network, x, y, settings, rng)
else:
    make_deterministic(settings.threads)
    if "contiguous layout" in changes:
        loop.memory_format = lambda network: torch.contiguous_format
    trainer = loop.Trainer(network, windows, windows, settings, select_precision(settings))
    def step():
        trainer._step(rng.integers(0, WINDOWS, settings.batch_size))

for _ in range(5):
    step()
now = time.process_time if clock == "cpu" else time.perf_counter
count, start = 0, now()
while (took := now() - start) < seconds:
    step()
    count += settings.batch_size
print(count / took)
"""


class Program(NamedTuple):
    """A program to measure: which loop, its settings, environment variables, and changes of the code by name."""

    loop: str
    settings: dict[str, Any]
    variables: dict[str, str] = {}  # noqa: RUF012 - never changed
    change: str = ""


def speed(program: Program) -> float:
    """Return the windows per second of a program."""
    ours = ("ATEN_CPU_CAPABILITY", "ONEDNN_MAX_CPU_ISA", "GLIBC_TUNABLES", *THREAD_VARIABLES)
    clean = {k: v for k, v in os.environ.items() if k not in ours and not k.startswith("MALLOC_")}
    root = Path(__file__).parents[2]
    path = os.pathsep.join(filter(None, [str(root / "scripts"), str(root), os.environ.get("PYTHONPATH")]))
    settings = json.dumps({"threads": THREADS} | program.settings)
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, program.loop, str(TURN), CLOCK, program.change, settings],
        env=clean | program.variables | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=True,
    )
    return float(done.stdout.split()[-1])


def measured(programs: dict[str, Program]) -> dict[str, list[float]]:
    """Return the windows per second of each program in each round."""
    found: dict[str, list[float]] = {name: [] for name in programs}
    for _ in range(REPEATS):
        for name, program in programs.items():
            found[name].append(speed(program))
    return found


def ratio(a: list[float], b: list[float]) -> float:
    """Return the median over the rounds of the ratio of two programs."""
    return statistics.median(x / y for x, y in zip(a, b, strict=True))


ORIGINAL = {"architecture": "cnn_transformer"}


def test_against_the_original() -> None:
    """The original's loop and this one with the same network, on this CPU and with AVX2 alone."""
    found = measured(
        {
            f"{loop} {cpu}": Program(loop, ORIGINAL, variables)
            for cpu, variables in (("native", {}), ("avx2", AVX2))
            for loop in ("original", "ours")
        }
    )
    rows = []
    for cpu, name in (("native", "all instructions of the CPU"), ("avx2", "AVX2 only")):
        original, ours = found[f"original {cpu}"], found[f"ours {cpu}"]
        medians = [f"{statistics.median(v):,.0f}" for v in (original, ours)]
        rows.append([name, *medians, f"{ratio(ours, original):.2f}"])
    data = {
        "machine": report.machine("torch", "numpy"),
        "threads": THREADS,
        "clock": CLOCK,
        "windows per second": found,
    }
    head = ["instructions", "original's loop, windows/s", "this loop, windows/s", "ratio"]
    section = f"training-speed-{CLOCK}-{THREADS}"
    report.write(section, data, head, rows, "training-speed.md")


def ablations(settings: dict[str, Any]) -> dict[str, Program]:
    """Return this loop with one thing taken away, or added, in turn."""
    found = {
        "this loop": Program("ours", settings),
        "float32": Program("ours", settings | {"precision": "float32"}),
        "contiguous layout": Program("ours", settings, change="contiguous layout"),
        "glibc's own allocator settings": Program("ours", settings, WITHOUT_ALLOCATOR),
    }
    if settings.get("architecture") == "cnn_transformer":
        found["ReLU before pooling"] = Program("ours", settings, change="ReLU before pooling")
    batch = 32 if settings.get("architecture") == "cnn_transformer" else 16
    found["huge pages"] = Program("ours", settings, HUGE_PAGES)
    found[f"batch of {4 * batch}"] = Program("ours", settings | {"batch_size": 4 * batch})
    return found


@pytest.mark.parametrize("architecture", ["cnn_transformer", "resnet"])
@pytest.mark.parametrize("cpu", ["native", "avx2"])
def test_what_each_part_brings(architecture: str, cpu: str) -> None:
    """Speed of this loop after one change, relative to the loop as it is."""
    variables = AVX2 if cpu == "avx2" else {}
    programs = {
        name: program._replace(variables=program.variables | variables)
        for name, program in ablations({"architecture": architecture}).items()
        if not (cpu == "avx2" and name == "float32")  # it is float32 already
    }
    found = measured(programs)
    base = found["this loop"]
    rows = [[name, f"{statistics.median(v):,.0f}", f"{ratio(v, base):.2f}"] for name, v in found.items()]
    data = {
        "machine": report.machine("torch", "numpy"),
        "threads": THREADS,
        "clock": CLOCK,
        "windows per second": found,
    }
    head = ["changed", "windows/s", "ratio to this loop"]
    report.write(f"training-{architecture}-{cpu}", data, head, rows, "training-speed.md")
