"""Threads that wait do not take the processor from others, however a stage is started; the user's own variables win."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from autobird.core.environment import use_this_interpreter

SCRIPTS = Path(__file__).parents[2] / "scripts"
HELD = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")


@pytest.mark.parametrize("module", ["autobird.model.train", "autobird.release.prune", "autobird.release.latency"])
def test_the_openmp_library_of_torch_is_told_before_it_is_loaded(module: str) -> None:
    clean = {k: v for k, v in os.environ.items() if k not in HELD} | {"PYTHONPATH": str(SCRIPTS)}
    done = subprocess.run(
        [sys.executable, "-m", module, "--help"],
        env=clean | {"OMP_DISPLAY_ENV": "verbose"},
        capture_output=True,
        text=True,
        check=True,
    )
    if "OMP_" not in done.stderr:
        pytest.skip("this torch has an OpenMP library that does not tell its settings")
    assert "GOMP_SPINCOUNT = '3000'" in done.stderr


@pytest.mark.parametrize("own", [{"OMP_WAIT_POLICY": "active"}, {"GOMP_SPINCOUNT": "500"}, {}])
def test_jobs_inherit_it_and_the_users_own_value_wins(own: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*HELD, "PATH", "PYTHONPATH", "OPENBLAS_NUM_THREADS"):
        monkeypatch.setenv(name, "x")  # so that it is restored
        monkeypatch.delenv(name)
    for name, value in own.items():
        monkeypatch.setenv(name, value)
    use_this_interpreter(SCRIPTS)
    assert {n: os.environ[n] for n in HELD if n in os.environ} == (own or {"GOMP_SPINCOUNT": "3000"})
    assert os.environ["OPENBLAS_NUM_THREADS"] == "1"
