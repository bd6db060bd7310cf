"""Speed of threads on an idle machine and beside busy processes: training, ONNX Runtime, BLAS; see docs/threads.md."""

import contextlib
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.benchmarks import report

pytestmark = pytest.mark.benchmark

REPEATS = int(os.environ.get("REPEATS", "3"))
CORES = len(os.sched_getaffinity(0))
TURN = float(os.environ.get("TURN", "4"))
"""Duration of one measurement, seconds."""
THREAD_VARIABLES = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")

TIMER = f"""
import time
def rate(once, size):
    once(); once()
    calls, start = 0, time.perf_counter()
    while (took := time.perf_counter() - start) < {TURN}:
        once(); calls += 1
    print(calls * size / took)
"""

WINDOWS = """
import sys
import numpy as np
import torch
from autobird.dataset.label_sets import LabelSets
from autobird.model.data import WindowDataset
from autobird.model.networks import build_network
from autobird.model.settings import TrainSettings
threads = int(sys.argv[1])
frames = np.random.default_rng(0).normal(-8, 3, (160 * 157, 64)).astype(np.float16)
first = np.arange(160) * 157
labels = LabelSets(np.eye(10, dtype=bool)[np.arange(160) % 10], np.ones((160, 10), bool))
windows = WindowDataset([frames], np.zeros(160, np.int64), first, labels, np.arange(160), 157)
settings = TrainSettings(threads=threads)
"""

TRAINING = (
    TIMER
    + WINDOWS
    + """
from autobird.model.loop import Trainer
from autobird.model.precision import make_deterministic, select_precision
make_deterministic(threads)
torch.manual_seed(0)
trainer = Trainer(build_network(settings, 10, -8.0, 3.0), windows, windows, settings, select_precision(settings))
rows = np.arange(settings.batch_size)
rate(lambda: trainer._step(rows), len(rows))
"""
)

RUNTIME = (
    TIMER
    + WINDOWS
    + """
import tempfile
from pathlib import Path
import onnxruntime
from autobird.predict.graph import INPUT
from autobird.release.onnx_files import export
x = windows.take(np.arange(16)).contiguous().numpy()
options = onnxruntime.SessionOptions()
options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
options.add_session_config_entry("session.intra_op.allow_spinning", sys.argv[2])
with tempfile.TemporaryDirectory() as folder:
    export(build_network(settings, 10, -8.0, 3.0), 64, 157, Path(folder) / "x.onnx")
    session = onnxruntime.InferenceSession(str(Path(folder) / "x.onnx"), options, providers=["CPUExecutionProvider"])
rate(lambda: session.run(None, {INPUT: x}), len(x))
"""
)

BLAS = (
    TIMER
    + """
import numpy as np
a = np.random.default_rng(0).normal(size=(384, 384)).astype(np.float32)
rate(lambda: a @ a, 1)
"""
)


def programs() -> dict[str, tuple[str, list[str], dict[str, str]]]:
    """Return the measured programs by name, with arguments and environment variables."""
    found: dict[str, tuple[str, list[str], dict[str, str]]] = {}
    policies = {
        ", sleeping (OMP_WAIT_POLICY=passive)": {"OMP_WAIT_POLICY": "passive"},
        ", spinning (libgomp's default)": {"GOMP_SPINCOUNT": "300000"},
        ", OMP_WAIT_POLICY=active": {"OMP_WAIT_POLICY": "active"},
        ", GOMP_SPINCOUNT=300": {"GOMP_SPINCOUNT": "300"},
        ", GOMP_SPINCOUNT=3000 (default here)": {"GOMP_SPINCOUNT": "3000"},
        ", GOMP_SPINCOUNT=20000": {"GOMP_SPINCOUNT": "20000"},
    }
    for threads in sorted({1, 2, CORES}):
        for text, variables in policies.items():
            if threads > 1:
                found[f"training, {threads} threads{text}"] = TRAINING, [str(threads)], variables
        if threads == 1:
            found["training, 1 thread"] = TRAINING, ["1"], {}
    for threads in sorted({1, 2, CORES}):
        for text, spins in ((", spinning", "1"), (", not spinning", "0")):
            if threads > 1 or spins == "0":
                name = f"ONNX Runtime, {threads} thread{'s' * (threads > 1)}{text if threads > 1 else ''}"
                found[name] = RUNTIME, [str(threads), spins], {}
    for threads in sorted({1, 2, CORES}):
        name = f"BLAS (numpy, 384 x 384), {threads} thread{'s' * (threads > 1)}"
        found[name] = BLAS, [], {"OPENBLAS_NUM_THREADS": str(threads)}
    return found


@contextlib.contextmanager
def busy_processes(count: int) -> Iterator[None]:
    """Run processes that keep `count` cores busy."""
    # They end when this process ends, even if it is killed.
    loop = "import os; parent = os.getppid()\nwhile os.getppid() == parent: pass"
    busy = [subprocess.Popen([sys.executable, "-c", loop]) for _ in range(count)]
    try:
        yield
    finally:
        for process in busy:
            process.kill()
            process.wait()


def speed(program: str, arguments: list[str], variables: dict[str, str]) -> float:
    """Return the speed that a program prints; of the variables in `THREAD_VARIABLES` only `variables` are set."""
    clean = {k: v for k, v in os.environ.items() if k not in THREAD_VARIABLES}
    path = os.pathsep.join(filter(None, [str(Path(__file__).parents[2] / "scripts"), os.environ.get("PYTHONPATH")]))
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        env=clean | variables | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=True,
    )
    return float(done.stdout.split()[-1])


def test_threads() -> None:
    """Median speed of each program, and its ratio to one thread on the idle machine; programs alternate in each round."""
    chosen = {n: p for n, p in programs().items() if os.environ.get("ONLY", "") in n}
    speeds: dict[str, dict[str, list[float]]] = {"alone": {}, "beside": {}}
    for _ in range(REPEATS):
        for where, count in (("alone", 0), ("beside", CORES)):
            with busy_processes(count):
                for name, program in chosen.items():
                    speeds[where].setdefault(name, []).append(speed(*program))
    medians = {where: {n: statistics.median(v) for n, v in found.items()} for where, found in speeds.items()}
    rows = []
    for name in chosen:
        alone, beside = medians["alone"][name], medians["beside"][name]
        kind = name.split(",")[0]
        one = medians["alone"][next(n for n in chosen if n.startswith(kind))]
        rows.append([name, f"{alone:,.0f}", f"{alone / one:.2f}", f"{beside:,.0f}", f"{beside / one:.2f}"])
    head = ["", "alone, 1/s", "ratio", f"beside {CORES} busy processes, 1/s", "ratio"]
    data = {"machine": report.machine("torch", "onnxruntime", "numpy"), "per second": medians}
    report.write("threads", data, head, rows, "threads.md")
