"""Clones to submit jobs from, and stand-ins for Google's services."""

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

LONG = "train={epochs: 70, width: 24}"
"""A training of some twenty seconds: long enough to be interrupted."""


def clone(to: Path) -> Path:
    """The project as a git clone has it, committed: Snakemake sends to the cloud what git tracks."""
    copy_project(to)
    for name in ("gce", "slurm"):
        (to / name).symlink_to((ROOT / name).readlink())
    (to / ".gitignore").write_text((ROOT / ".gitignore").read_text())
    git = ["git", "-c", "user.name=test", "-c", "user.email=test@localhost", "-C", str(to)]
    for words in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "clone"]):
        subprocess.run([*git, *words], check=True)
    return to


@dataclass
class Submitter:
    """Runs Snakemake in a clone as a user of a cluster does.

    Attributes:
        project: the clone.
        arguments: those that every call gets.
        env: what the environment holds besides the user's own.
    """

    project: Path
    arguments: list[str]
    env: dict[str, str] = field(default_factory=dict)

    def start(self, *arguments: str, **env: str) -> subprocess.Popen[str]:
        """Start Snakemake in a process group of its own."""
        self.printed = self.project / ".printed"  # a pipe that nobody reads would stop it
        with self.printed.open("w") as file:
            return subprocess.Popen(
                [*command(), *self.arguments, *arguments],
                cwd=self.project,
                env=environment() | self.env | env,
                text=True,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def run(self, *arguments: str, timeout: float = 500, **env: str) -> Result:
        """Run Snakemake to its end, or kill it."""
        return self.finish(self.start(*arguments, **env), timeout)

    def finish(self, process: subprocess.Popen[str], timeout: float = 500) -> Result:
        """Wait for a Snakemake that was started."""
        try:
            process.wait(timeout)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            pytest.fail(f"Snakemake did not end within {timeout:g} s:\n{self.printed.read_text()[-5000:]}")
        return result_of(process.returncode, self.printed.read_text())


def wait_until(true: Callable[[], bool], seconds: float = 120, what: str = "it") -> None:
    """Poll until `true()`."""
    end = time.monotonic() + seconds
    while not true():
        if time.monotonic() > end:
            pytest.fail(f"{what} did not happen within {seconds:g} s")
        time.sleep(0.1)


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


def _listening(port: int) -> bool:
    with socket.socket() as s:
        return s.connect_ex(("127.0.0.1", port)) == 0


@dataclass(frozen=True)
class Google:
    """The stand-ins.

    Attributes:
        env: what sends clients to them.
        folder: of the fake Google Batch, with the messages and logs of its jobs.
        bucket: a bucket of one's own.
    """

    env: dict[str, str]
    folder: Path
    bucket: storage.Bucket

    def fetch(self, to: Path) -> Path:
        """Everything below `results` in the bucket, as files."""
        for blob in self.bucket.list_blobs(prefix="results/"):
            path = to / blob.name
            path.parent.mkdir(parents=True, exist_ok=True)
            blob.download_to_filename(path)
        return to

    def job(self, rule: str) -> Path | None:
        """The folder of the newest job of a rule, once it runs."""
        found = [p.with_suffix("") for p in self.folder.glob(f"{rule.replace('_', '-')}-*.json")]
        return max((p for p in found if p.is_dir()), key=lambda p: p.stat().st_mtime, default=None)


@pytest.fixture(scope="session")
def storage_host() -> Iterator[str]:
    """An emulator of Google Cloud Storage, in memory."""
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
    """A fake Google Batch, and a new bucket."""
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
    # The jobs find the interpreter of these tests, as they find the image's own there.
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
    """Google Batch that runs jobs as processes of this machine, and an empty bucket."""
    bucket = f"birds-{abs(hash(request.node.nodeid)) % 10**8}"
    google, process = start_google(storage_host, tmp_path / "batch", bucket)
    yield google
    process.terminate()
    process.wait()


@pytest.fixture
def gce(google: Google, tmp_path: Path) -> Submitter:
    """`snakemake --profile gce -j8` in a clone, asking how jobs go more often than one would for real."""
    arguments = ["--profile", "gce", "-j8", "--seconds-between-status-checks", "1"]
    return Submitter(clone(tmp_path / "a clone"), arguments, google.env)
