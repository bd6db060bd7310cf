"""Shared fixtures: the real recordings, where they are available, and copies of the project."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from autobird.audio.landmarks import LandmarkArrays, landmark_array, sort_by_hash

ROOT = Path(__file__).resolve().parent.parent
SHARED = ROOT.parent / "shared" / "data"

NO_SCONTROL = "autobird-no-scontrol-"
"""Beginning of the name of the folder of the command that replaces `scontrol`."""


@pytest.fixture(autouse=True)
def keep_subnormal_numbers() -> Iterator[None]:
    """Restore the processor's handling of subnormal numbers, which training switches off for its whole process."""
    yield
    if "torch" in sys.modules:
        sys.modules["torch"].set_flush_denormal(False)


def pytest_configure(config: pytest.Config) -> None:
    """Replace `scontrol` by a command that fails at once; the tests on a real Slurm remove it from the path.

    Snakemake's plugin for Slurm runs it whenever Snakemake starts. Where Slurm is installed but no controller answers, each start would
    wait for 10 s.
    """
    if hasattr(config, "workerinput") or not shutil.which("scontrol"):
        return
    folder = Path(tempfile.mkdtemp(prefix=NO_SCONTROL))
    config.add_cleanup(lambda: shutil.rmtree(folder, ignore_errors=True))
    command = folder / "scontrol"
    command.write_text("#!/bin/sh\nexit 1\n", encoding="utf-8")
    command.chmod(0o755)
    os.environ["PATH"] = f"{folder}{os.pathsep}{os.environ['PATH']}"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Start the tests that run Snakemake first.

    `--dist worksteal` gives each process an equal part of the list. Each part begins with its share of these tests, which take up to
    minutes, and ends with short ones. So no process is still busy for minutes when the others have nothing left to do.
    """
    processes = getattr(config, "workerinput", {}).get("workercount", 1)
    slow = [item for item in items if {"workflow", "integration"} & set(item.path.relative_to(ROOT).parts)]
    fast = [item for item in items if item not in set(slow)]
    items[:] = [
        item
        for part in range(processes)
        for of in (slow, fast)
        for item in of[len(of) * part // processes : len(of) * (part + 1) // processes]
    ]


PROJECT = ("Snakefile", "workflow", "scripts", "config", "profiles", "envs", "pyproject.toml")


@pytest.fixture(scope="session")
def odd_files() -> Path:
    """Folder of real files with unusual or damaged content."""
    if not SHARED.is_dir():
        pytest.skip(f"the project's shared recordings are not at {SHARED}")
    return SHARED / "odd"


@pytest.fixture(scope="session")
def real_corpus() -> Path:
    """Folder of 150 real recordings of 13 species."""
    if not SHARED.is_dir():
        pytest.skip(f"the project's shared recordings are not at {SHARED}")
    return SHARED / "corpus"


def landmark_table(landmarks: Sequence[LandmarkArrays]) -> NDArray[np.void]:
    """Return the landmarks of several recordings as one table (`LANDMARK`), sorted by hash."""
    return sort_by_hash(np.concatenate([landmark_array(number, found) for number, found in enumerate(landmarks)]))


def copy_project(to: Path) -> Path:
    """Copy the files that a run needs to a new folder."""
    to.mkdir(parents=True)
    for name in PROJECT:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, to / name, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
        else:
            shutil.copy2(source, to / name)
    return to


def copy_run(source: Path, to: Path) -> Path:
    """Copy a finished run with Snakemake's records, the caches and all modification times."""
    subprocess.run(["cp", "-a", str(source), str(to)], check=True)
    return to
