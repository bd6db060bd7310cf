"""Fixtures for tests that run Snakemake on `config/test.yaml`, each in its own copy of the project."""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from filelock import FileLock

from autobird.synth.folder import write_folder
from tests.conftest import copy_project, copy_run

FOLDER = "corpus={type: folder, root: my birds}"


@dataclass(frozen=True)
class Result:
    """Result of a run of Snakemake.

    Attributes:
        code: exit status.
        text: output on stdout and stderr.
        jobs: jobs that ran, as `rule` or `rule:batch`.
    """

    code: int
    text: str
    jobs: set[str]

    @property
    def rules(self) -> set[str]:
        """The rules that ran, without `all`."""
        return {j.split(":")[0] for j in self.jobs} - {"all"}

    def batches(self, rule: str) -> set[str]:
        """The batches (or tables) for which a rule ran."""
        return {j.split(":")[1] for j in self.jobs if j.startswith(f"{rule}:")}


def command(*arguments: str) -> list[str]:
    """The Snakemake command of a user, with the configuration for tests and the default profile."""
    return [sys.executable, "-m", "snakemake", "--configfile", "config/test.yaml", *arguments]


def environment() -> dict[str, str]:
    """The environment without the variables of the test run."""
    return {k: v for k, v in os.environ.items() if not k.startswith(("PYTEST", "PYTHONPATH"))}


def snakemake(project: Path, *arguments: str, cores: int = 2) -> Result:
    """Run the workflow in `project` and return its result."""
    done = subprocess.run(
        command("--cores", str(cores), *arguments),
        cwd=project,
        env=environment(),
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=1200,
    )
    return result_of(done.returncode, done.stdout)


def result_of(code: int, text: str) -> Result:
    """Parse the result of a run from its output."""
    return Result(code, text, _jobs(text))


def _jobs(text: str) -> set[str]:
    jobs: set[str] = set()
    for block in re.split(r"\n(?=(?:(?:local)?rule|checkpoint) \w+:)", "\n" + text):
        if found := re.match(r"\n?(?:(?:local)?rule|checkpoint) (\w+):", block):
            wildcard = re.search(r"wildcards: \w+=(\S+)", block.split("\n[")[0])
            jobs.add(f"{found[1]}:{wildcard[1]}" if wildcard else found[1])
    return jobs


def _once(folder: Path, make: Callable[[Path], None]) -> Path:
    """Make `folder` in the first test process that needs it; the others wait and reuse it."""
    with FileLock(f"{folder}.lock"):
        if not folder.exists():
            work = folder.with_name(folder.name + ".part")
            make(work)
            work.rename(folder)
    return folder


def _finish(project: Path, *arguments: str) -> None:
    result = snakemake(project, *arguments)
    assert result.code == 0, result.text


@pytest.fixture(scope="session")
def shared_tmp(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder shared by all test processes of this session. Its path contains a space, like many users' paths."""
    base = tmp_path_factory.getbasetemp()
    base = base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base
    folder = base / "finished runs"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def finished_demo(shared_tmp: Path) -> Path:
    """A finished demo run. Shared by tests: copy it before you change it."""

    def make(project: Path) -> None:
        _finish(copy_project(project))

    return _once(shared_tmp / "demo", make)


@pytest.fixture(scope="session")
def finished_folder(shared_tmp: Path) -> Path:
    """A finished run on a folder of demo recordings. Shared by tests: copy it before you change it."""

    def make(project: Path) -> None:
        copy_project(project)
        write_folder(project / "my birds", species=3, recordings=9, seed=7)
        _finish(project, "--config", FOLDER)

    return _once(shared_tmp / "folder", make)


@pytest.fixture
def demo(finished_demo: Path, tmp_path: Path) -> Path:
    """A copy of the finished demo run for one test."""
    return copy_run(finished_demo, tmp_path / "a demo")


@pytest.fixture
def folder(finished_folder: Path, tmp_path: Path) -> Path:
    """A copy of the finished run on a folder for one test."""
    return copy_run(finished_folder, tmp_path / "a folder")
