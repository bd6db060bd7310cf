"""Training of the smallest networks does not write outside of its buffers, on CPUs with and without AVX-512."""

import ctypes
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from autobird.model.networks import build_network, memory_format
from autobird.model.settings import TrainSettings

SCRIPTS = Path(__file__).parents[2] / "scripts"
AVX2 = {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2"}
MALLOC_DEBUG = "libc_malloc_debug.so.0"
"""Since glibc 2.34, MALLOC_CHECK_ has an effect only with this library."""

SMALLEST_NETWORKS = [{"width": width} for width in (4, 5, 6, 7, 8)] + [
    {"architecture": "cnn_transformer", "d_model": 8}
]

TRAINING = f"""
import hashlib
import numpy as np
import torch
from autobird.dataset.label_sets import LabelSets
from autobird.model.data import WindowDataset
from autobird.model.loop import Trainer
from autobird.model.networks import build_network
from autobird.model.precision import Compute, make_deterministic
from autobird.model.settings import TrainSettings

make_deterministic(1)
frames = np.random.default_rng(0).normal(-9, 1, (16 * 40, 16)).astype(np.float16)
labels = LabelSets(np.eye(3, dtype=bool)[np.arange(16) % 3], np.ones((16, 3), bool))
windows = WindowDataset([frames], np.zeros(16, np.int64), np.arange(16) * 40, labels, np.arange(16), 40)
for dtype in (torch.float32, torch.bfloat16):
    for keys in {SMALLEST_NETWORKS}:
        settings = TrainSettings(epochs=1, batch_size=8, threads=1, **keys)
        digests = []
        for _ in range(2):
            torch.manual_seed(0)
            network = build_network(settings, 3, -8.0, 2.0)
            weights = Trainer(network, windows, windows, settings, Compute(torch.device("cpu"), dtype)).run(lambda: None)
            digests.append(hashlib.sha256(b"".join(w.numpy().tobytes() for w in weights.values())).hexdigest())
        print(dtype, keys, *digests, flush=True)
print("done")
"""


def memory_check_variables() -> dict[str, str]:
    """Return environment variables with which glibc aborts a process that wrote outside of its buffers.

    Empty with another C library.
    """
    try:
        ctypes.CDLL(MALLOC_DEBUG)
    except OSError:
        return {}
    return {"MALLOC_CHECK_": "3", "LD_PRELOAD": MALLOC_DEBUG}


def run(program: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {"PYTHONPATH": str(SCRIPTS), **variables}
    return subprocess.run(
        [sys.executable, "-c", program], env=os.environ | environment, capture_output=True, text=True, check=False
    )


def test_the_memory_check_detects_a_write_outside_of_a_buffer() -> None:
    """Without this check, the next test still compares two runs and detects crashes."""
    if not (variables := memory_check_variables()):
        pytest.skip(f"no {MALLOC_DEBUG}, which is part of glibc since 2.34")
    program = (
        "import ctypes\nc = ctypes.pythonapi\nc.PyMem_RawMalloc.restype = ctypes.c_void_p\n"
        "p = ctypes.c_void_p(c.PyMem_RawMalloc(ctypes.c_size_t(24)))\nctypes.memset(p, 255, 24 + {excess})\nc.PyMem_RawFree(p)"
    )
    assert run(program.format(excess=0), **variables).returncode == 0
    assert run(program.format(excess=1), **variables).returncode != 0


@pytest.mark.parametrize("capabilities", [AVX2, {}], ids=["AVX2", "this CPU"])
def test_the_smallest_networks_train_without_memory_errors_to_the_same_weights_twice(
    capabilities: dict[str, str],
) -> None:
    done = run(TRAINING, **capabilities, **memory_check_variables())
    assert done.returncode == 0, f"{done.stdout}{done.stderr}"
    lines = [line.split()[-2:] for line in done.stdout.splitlines() if line != "done"]
    assert len(lines) == 2 * len(SMALLEST_NETWORKS)
    assert all(first == second for first, second in lines), done.stdout


@pytest.mark.parametrize("width", [4, 7, 8, 16])
def test_the_memory_format_is_channels_last_from_eight_channels(width: int) -> None:
    expected = torch.channels_last if width >= 8 else torch.contiguous_format
    assert memory_format(build_network(TrainSettings(width=width), 3, 0.0, 1.0)) == expected
