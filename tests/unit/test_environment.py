"""Environment of the stages: waiting OpenMP threads sleep soon, and variables that the user has set are kept."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from autobird.core.environment import use_this_interpreter

SCRIPTS = Path(__file__).parents[2] / "scripts"
THREAD_VARIABLES = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")


@pytest.mark.parametrize("module", ["autobird.model.train", "autobird.release.prune", "autobird.release.latency"])
def test_the_spin_count_is_set_before_torch_loads_its_openmp_library(module: str) -> None:
    clean = {k: v for k, v in os.environ.items() if k not in THREAD_VARIABLES} | {"PYTHONPATH": str(SCRIPTS)}
    done = subprocess.run(
        [sys.executable, "-m", module, "--help"],
        env=clean | {"OMP_DISPLAY_ENV": "verbose"},
        capture_output=True,
        text=True,
        check=True,
    )
    if "OMP_" not in done.stderr:
        pytest.skip("the OpenMP library of this torch does not print its settings")
    assert "GOMP_SPINCOUNT = '3000'" in done.stderr


@pytest.mark.parametrize("set_by_user", [{"OMP_WAIT_POLICY": "active"}, {"GOMP_SPINCOUNT": "500"}, {}])
def test_jobs_inherit_the_spin_count_unless_the_user_has_set_a_value(
    set_by_user: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in (*THREAD_VARIABLES, "PATH", "PYTHONPATH", "OPENBLAS_NUM_THREADS"):
        monkeypatch.setenv(name, "x")  # makes monkeypatch restore the variable, which `prefer` may set
        monkeypatch.delenv(name)
    for name, value in set_by_user.items():
        monkeypatch.setenv(name, value)
    use_this_interpreter(SCRIPTS)
    assert {n: os.environ[n] for n in THREAD_VARIABLES if n in os.environ} == (
        set_by_user or {"GOMP_SPINCOUNT": "3000"}
    )
    assert os.environ["OPENBLAS_NUM_THREADS"] == "1"
