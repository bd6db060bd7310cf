"""What tests share: the real recordings, where they are at hand, and a copy of the project to run in."""

import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from autobird.audio.landmarks import LandmarkArrays, landmark_array, sort_by_hash

ROOT = Path(__file__).resolve().parent.parent
SHARED = ROOT.parent / "shared" / "data"


@pytest.fixture(autouse=True)
def keep_subnormal_numbers() -> Iterator[None]:
    """Restore the processor's handling of subnormal numbers, which training switches off for its whole process."""
    yield
    if "torch" in sys.modules:
        sys.modules["torch"].set_flush_denormal(False)


PROJECT = ("Snakefile", "workflow", "scripts", "config", "profiles", "envs", "pyproject.toml")


@pytest.fixture(scope="session")
def odd_files() -> Path:
    """Real files that break pipelines."""
    if not SHARED.is_dir():
        pytest.skip(f"the project's shared recordings are not at {SHARED}")
    return SHARED / "odd"


@pytest.fixture(scope="session")
def real_corpus() -> Path:
    """150 real recordings of 13 species."""
    if not SHARED.is_dir():
        pytest.skip(f"the project's shared recordings are not at {SHARED}")
    return SHARED / "corpus"


def landmark_table(heard: Sequence[LandmarkArrays]) -> NDArray[np.void]:
    """The landmarks of recordings as one table, sorted by hash."""
    return sort_by_hash(np.concatenate([landmark_array(n, found) for n, found in enumerate(heard)]))


def copy_project(to: Path) -> Path:
    """The files that a run needs, in a folder of their own."""
    to.mkdir(parents=True)
    for name in PROJECT:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, to / name, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
        else:
            shutil.copy2(source, to / name)
    return to


def copy_run(source: Path, to: Path) -> Path:
    """A finished run with everything that Snakemake and the caches remember, times included."""
    subprocess.run(["cp", "-a", str(source), str(to)], check=True)
    return to
