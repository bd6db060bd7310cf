"""Outputs are identical after an interruption and on any number of cores."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import copy_project
from tests.workflow.conftest import command, environment, snakemake
from tests.workflow.outputs import promised

pytestmark = pytest.mark.long


def processes(module: str, project: Path) -> Iterator[int]:
    """Ids of the Python processes in folder `project` that run `module`."""
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0")
            here = (entry / "cwd").resolve()
        except OSError:
            continue
        if here == project and module.encode() in words and b"-m" in words:
            yield int(entry.name)


def start_and_wait_for(module: str, project: Path, *arguments: str) -> tuple[subprocess.Popen[bytes], int]:
    """Start the workflow, wait until one of its jobs runs `module`, and return both processes."""
    main = subprocess.Popen(
        command("--cores", "2", *arguments),
        cwd=project,
        env=environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 240
    while time.monotonic() < deadline and main.poll() is None:
        if job := next(processes(module, project), None):
            return main, job
        time.sleep(0.02)
    main.kill()
    raise AssertionError(f"{module} did not start")


@pytest.mark.parametrize("module", ["autobird.audio.mel_shards", "autobird.model.train"])
def test_after_killing_snakemake_only_its_job_continues_and_the_next_run_gives_the_same_bytes(
    module: str, finished_demo: Path, tmp_path: Path
) -> None:
    project = copy_project(tmp_path / "a killed run").resolve()
    main, orphan = start_and_wait_for(module, project)
    main.send_signal(signal.SIGKILL)
    main.wait()
    assert Path(f"/proc/{orphan}").exists(), "the job should continue as an orphan"
    assert snakemake(project, "--unlock").code == 0
    result = snakemake(project)
    assert result.code == 0, result.text
    assert promised(project) == promised(finished_demo)
    assert snakemake(project).jobs == set()


LONG = ("--config", "train={epochs: 60}")
"""A training that is still running some seconds after its first checkpoint."""


@pytest.fixture(scope="module")
def finished_long(tmp_path_factory: pytest.TempPathFactory) -> Path:
    project = copy_project(tmp_path_factory.mktemp("long") / "uninterrupted")
    result = snakemake(project, *LONG)
    assert result.code == 0, result.text
    return project


@pytest.mark.xdist_group("long training")
@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGKILL])
def test_after_killing_the_training_the_run_fails_and_the_next_run_resumes(
    sent: signal.Signals, finished_long: Path, tmp_path: Path
) -> None:
    project = copy_project(tmp_path / "a killed run").resolve()
    main, job = start_and_wait_for("autobird.model.train", project, *LONG)
    checkpoints = project / "results/test/.checkpoints/train"
    deadline = time.monotonic() + 60
    while not list(checkpoints.glob("*/checkpoint.pt")) and time.monotonic() < deadline:
        time.sleep(0.005)
    os.kill(job, sent)
    assert main.wait() != 0
    assert not (project / "results/test/model/weights.safetensors").exists()
    result = snakemake(project, *LONG)
    assert result.code == 0, result.text
    assert "resumed from" in (project / "results/logs/test/train.log").read_text(encoding="utf-8")
    assert promised(project) == promised(finished_long)


def test_one_two_and_four_cores_give_the_same_bytes(tmp_path: Path) -> None:
    found = {}
    for cores in (1, 2, 4):
        project = copy_project(tmp_path / str(cores))
        result = snakemake(project, "--config", "train={threads: 2}", cores=cores)
        assert result.code == 0, result.text
        found[cores] = promised(project)
    assert found[1] == found[2] == found[4]
    assert len(found[1]) > 30
