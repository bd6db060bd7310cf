"""The images of envs/Dockerfile.train, built with buildah on a base made here, and run with podman."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.integration.conftest import Submitter, clone, start_google
from tests.integration.test_google import ONCE, messages
from tests.workflow.outputs import promised

HERE = ROOT / "tests/integration/image"

pytestmark = [
    pytest.mark.image,
    pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="debootstrap and containers want root"),
    pytest.mark.skipif(
        not shutil.which("apt-get"), reason="buildah, podman and debootstrap are taken from Debian's packages"
    ),
]


def call(*command: str | Path, **env: str) -> str:
    done = subprocess.run(command, text=True, capture_output=True, env=os.environ | env, cwd=ROOT, check=False)
    assert done.returncode == 0, f"{command}:\n{done.stdout[-3000:]}{done.stderr[-3000:]}"
    return done.stdout


@pytest.fixture(scope="session")
def images() -> dict[str, str]:
    """Both targets, by name."""
    os.environ["CONTAINERS_CONF"] = str(HERE / "containers.conf")
    dockerfile = ROOT / "envs/Dockerfile.train"
    python = next(x for x in dockerfile.read_text().splitlines() if x.startswith("ARG PYTHON=")).removeprefix(
        "ARG PYTHON="
    )
    folder = Path("/tmp/autobird-image")
    call(HERE / "base.sh", folder, f"docker.io/library/python:{python}")
    wheels = os.environ.get("PIP_FIND_LINKS", "")
    mounts = [f"--volume={wheels}:{wheels}:ro"] if wheels else []
    names = {target: f"localhost/autobird/{target}:test" for target in ("train", "executor")}
    for target, name in names.items():
        call("buildah", "bud", "--isolation=chroot", "--network=host", "--pull-never", "--layers", *mounts,
             "-f", dockerfile, "--target", target, "-t", name, ".")  # fmt: skip
    return names


def test_hadolint_finds_nothing() -> None:
    call("hadolint", ROOT / "envs/Dockerfile.train")


def test_the_train_image_runs_the_workflow_as_an_ordinary_user_to_the_same_bytes(
    images: dict[str, str], finished_demo: Path, tmp_path: Path
) -> None:
    def run(*command: str) -> str:
        return call("podman", "run", "--rm", "--network=host", f"--volume={project}:/work", images["train"], *command)

    project = clone(tmp_path / "clone")
    call("chown", "-R", "10001:10001", project)
    assert run("id", "-u").strip() == "10001"
    assert "predict" in run("autobird", "--help")
    run("python", "-m", "snakemake", "--configfile", "config/test.yaml")
    here = promised(finished_demo)
    there = promised(project)
    assert there.keys() == here.keys()
    # Another build of Python or of a library may encode a picture or round a figure otherwise; the data may not differ.
    differ = [path for path in here if there[path] != here[path]]
    assert not [path for path in differ if path.endswith((".npy", ".parquet", ".tar"))], differ


def test_jobs_of_google_batch_run_in_the_executor_image(
    images: dict[str, str], storage_host: str, finished_demo: Path, tmp_path: Path
) -> None:
    google, process = start_google(storage_host, tmp_path / "batch", "birds-image", "--image")
    try:
        arguments = ["--profile", "gce", "-j2", "--seconds-between-status-checks", "1"]
        gce = Submitter(clone(tmp_path / "clone"), arguments, google.env | {"AUTOBIRD_IMAGE": images["executor"]})
        result = gce.run("--until", "train", *ONCE)
        assert result.code == 0, result.text[-5000:]
        there, here = promised(google.fetch(tmp_path / "fetched")), promised(finished_demo)
        assert "test/model/weights.safetensors" in there
        assert not [path for path in there if there[path] != here[path] and path.endswith((".npy", ".parquet", ".tar"))]
        assert set(messages(google)) == {"download", "recordings", "segment", "mel_shards", "quarantine", "check_corpus",
                                         "dataset", "train"}  # fmt: skip
        logs = "".join(p.read_text() for p in google.folder.glob("train-*/log"))
        assert "pip: this image is complete; not done: install" in logs
        # The plugin's script ends with a command that succeeds; a failure before it must still be one.
        failed = gce.run("--until", "dataset", *ONCE, "--config", "dataset={min_windows: 100000}")
        assert failed.code != 0
        assert "min_windows" in failed.text
    finally:
        process.terminate()
        process.wait()
