"""Shared fixtures: the real recordings, where they are available, and copies of the project."""

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from autobird.audio.landmarks import Found, by_hash, landmark_rows

ROOT = Path(__file__).resolve().parent.parent
SHARED = ROOT.parent / "shared" / "data"

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


def landmark_table(heard: Sequence[Found]) -> NDArray[np.void]:
    """The landmarks of recordings as one table, sorted by hash."""
    return by_hash(np.concatenate([landmark_rows(n, found) for n, found in enumerate(heard)]))


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
