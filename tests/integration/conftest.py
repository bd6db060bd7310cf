"""Clones to submit jobs from, an emulated Cloud Storage, and a fake Google Batch."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from google.auth.credentials import AnonymousCredentials
from google.cloud import storage

from tests.conftest import ROOT, copy_project
from tests.workflow.conftest import Result, command, environment, result_of
from tests.workflow.conftest import finished_demo as finished_demo
from tests.workflow.conftest import finished_folder as finished_folder
from tests.workflow.conftest import shared_tmp as shared_tmp

LONG = "train={epochs: 40, width: 24}"
"""Settings of a training that takes about ten seconds, on a busy machine minutes: long enough to be interrupted."""


def clone(to: Path) -> Path:
    """Copy the project into a git repository and commit it: Snakemake sends the files that git tracks to the cloud."""
    copy_project(to)
    for name in ("gce", "slurm"):
        (to / name).symlink_to((ROOT / name).readlink())
    (to / ".gitignore").write_text((ROOT / ".gitignore").read_text())
    git = ["git", "-c", "user.name=test", "-c", "user.email=test@localhost", "-C", str(to)]
    for arguments in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "clone"]):
        subprocess.run([*git, *arguments], check=True)
    return to


@dataclass
class Submitter:
    """Runs Snakemake in a clone, like a user of a cluster.

    Attributes:
        project: the clone.
        arguments: arguments of every call.
        env: additional environment variables.
        started: the processes that were started.
    """

    project: Path
    arguments: list[str]
    env: dict[str, str] = field(default_factory=dict)
    started: list[subprocess.Popen[str]] = field(default_factory=list)

    def start(self, *arguments: str, **env: str) -> subprocess.Popen[str]:
        """Start Snakemake in its own process group."""
        self.output = self.project / ".printed"  # not a pipe: Snakemake would block when the pipe is full
        with self.output.open("w") as file:
            process = subprocess.Popen(
                [*command(), *self.arguments, *arguments],
                cwd=self.project,
                env=environment() | self.env | env,
                text=True,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.started.append(process)
        return process

    def run(self, *arguments: str, timeout: float = 1500, **env: str) -> Result:
        """Run Snakemake until it ends; kill it after the timeout, seconds."""
        return self.finish(self.start(*arguments, **env), timeout)

    def wait_until(
        self, process: subprocess.Popen[str], condition: Callable[[], bool], seconds: float, event: str
    ) -> None:
        """Wait until `condition()` is true; fail with the output of the started Snakemake if it ends before, or after some seconds."""
        end = time.monotonic() + seconds
        while not condition():
            ended = process.poll() is not None
            if ended or time.monotonic() > end:
                reason = "Snakemake has ended" if ended else f"{seconds:g} s have passed"
                pytest.fail(f"{event} did not occur before {reason}:\n{self.output.read_text()[-5000:]}")
            time.sleep(0.1)

    def finish(self, process: subprocess.Popen[str], timeout: float = 1500) -> Result:
        """Wait until a started Snakemake ends; kill it after the timeout, seconds."""
        try:
            process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.stop()
            pytest.fail(f"Snakemake did not end within {timeout:g} s:\n{self.output.read_text()[-5000:]}")
        return result_of(process.returncode, self.output.read_text())

    def stop(self) -> None:
        """Kill the processes that are still running, as after a failed test."""
        for process in self.started:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def wait_until(condition: Callable[[], bool], seconds: float = 120, event: str = "the expected event") -> None:
    """Wait until `condition()` is true; fail after some seconds."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            pytest.fail(f"{event} did not occur within {seconds:g} s")
        time.sleep(0.1)


def free_port() -> int:
    """Return an unused port."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


def _listening(port: int) -> bool:
    with socket.socket() as s:
        return s.connect_ex(("127.0.0.1", port)) == 0


@dataclass(frozen=True)
class Google:
    """The emulated storage and the fake Google Batch.

    Attributes:
        env: environment variables that direct the clients to them.
        folder: folder of the fake Google Batch, with the messages and logs of its jobs.
        bucket: a bucket for one test.
    """

    env: dict[str, str]
    folder: Path
    bucket: storage.Bucket

    def fetch(self, to: Path) -> Path:
        """Download all files below `results` in the bucket, and return the folder."""
        for blob in self.bucket.list_blobs(prefix="results/"):
            path = to / blob.name
            path.parent.mkdir(parents=True, exist_ok=True)
            blob.download_to_filename(path)
        return to

    def job(self, rule: str) -> Path | None:
        """Return the folder of the newest job of a rule; None if it has not started."""
        found = [p.with_suffix("") for p in self.folder.glob(f"{rule.replace('_', '-')}-*.json")]
        return max((p for p in found if p.is_dir()), key=lambda p: p.stat().st_mtime, default=None)


@pytest.fixture(scope="session")
def storage_host() -> Iterator[str]:
    """Start an emulator of Google Cloud Storage that keeps its data in memory; returns its URL."""
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "gcp_storage_emulator", "start", "--in-memory", "--port", str(port), "-H", "127.0.0.1"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    wait_until(lambda: _listening(port), 30, "the storage emulator")
    yield f"http://127.0.0.1:{port}"
    process.terminate()
    process.wait()


def start_google(storage_host: str, folder: Path, bucket: str, *options: str) -> tuple[Google, subprocess.Popen[bytes]]:
    """Start a fake Google Batch and create a bucket."""
    port = free_port()
    env = {
        "STORAGE_EMULATOR_HOST": storage_host,
        "GOOGLE_CLOUD_PROJECT": "project",
        "GOOGLE_CLOUD_REGION": "europe-west4",
        "AUTOBIRD_BUCKET": bucket,
        "AUTOBIRD_IMAGE": "localhost/autobird/executor:test",
        "FAKE_BATCH": f"127.0.0.1:{port}",
        "PYTHONPATH": str(ROOT / "tests/integration/google/site"),
    }
    # In place of the interpreter of the image, the jobs use the interpreter of these tests.
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    process = subprocess.Popen(
        [sys.executable, ROOT / "tests/integration/google/fake_batch.py", str(port), str(folder), *options],
        env=environment() | {"PATH": path, "STORAGE_EMULATOR_HOST": storage_host, "GOOGLE_CLOUD_PROJECT": "project"},
        stdout=subprocess.DEVNULL,
    )
    wait_until(lambda: _listening(port), 30, "the fake Google Batch")
    client = storage.Client(
        project="project", credentials=AnonymousCredentials(), client_options={"api_endpoint": storage_host}
    )
    return Google(env, folder, client.create_bucket(bucket)), process


@pytest.fixture
def google(storage_host: str, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Google]:
    """A fake Google Batch that runs jobs as processes of this machine, and an empty bucket."""
    bucket = f"birds-{abs(hash(request.node.nodeid)) % 10**8}"
    google, process = start_google(storage_host, tmp_path / "batch", bucket)
    yield google
    process.terminate()
    process.wait()


@pytest.fixture
def gce(google: Google, tmp_path: Path) -> Iterator[Submitter]:
    """`snakemake --profile gce -j8` in a clone; it queries the state of jobs every second, to save time."""
    arguments = ["--profile", "gce", "-j8", "--seconds-between-status-checks", "1"]
    submitter = Submitter(clone(tmp_path / "a clone"), arguments, google.env)
    yield submitter
    submitter.stop()
