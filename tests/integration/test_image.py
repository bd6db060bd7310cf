"""The images of envs/Dockerfile.train, built with buildah on a locally made base image, and run with podman."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.integration.conftest import Submitter, clone, start_google
from tests.integration.test_google import WITHOUT_RETRIES, messages
from tests.workflow.outputs import promised

HERE = ROOT / "tests/integration/image"

pytestmark = [
    pytest.mark.image,
    pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="debootstrap and containers need root"),
    pytest.mark.skipif(
        not shutil.which("apt-get"), reason="buildah, podman and debootstrap are installed with apt-get"
    ),
]


def call(*command: str | Path, **env: str) -> str:
    """Run a command in the root of the repository, and return its output; fail with its output if it fails."""
    done = subprocess.run(command, text=True, capture_output=True, env=os.environ | env, cwd=ROOT, check=False)
    assert done.returncode == 0, f"{command}:\n{done.stdout[-3000:]}{done.stderr[-3000:]}"
    return done.stdout


@pytest.fixture(scope="session")
def images() -> dict[str, str]:
    """Build both images; returns their names by target."""
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


def test_hadolint_reports_no_problems() -> None:
    call("hadolint", ROOT / "envs/Dockerfile.train")


def test_the_train_image_runs_the_workflow_as_an_ordinary_user_with_the_same_data(
    images: dict[str, str], finished_demo: Path, tmp_path: Path
) -> None:
    def run(*command: str) -> str:
        return call("podman", "run", "--rm", "--network=host", f"--volume={project}:/work", images["train"], *command)

    project = clone(tmp_path / "clone")
    call("chown", "-R", "10001:10001", project)
    assert run("id", "-u").strip() == "10001"
    assert "predict" in run("autobird", "--help")
    run("python", "-m", "snakemake", "--configfile", "config/test.yaml")
    local = promised(finished_demo)
    in_image = promised(project)
    assert in_image.keys() == local.keys()
    # Images and rounded numbers may differ with another build of Python or of a library; the data must be the same.
    different = [path for path in local if in_image[path] != local[path]]
    assert not [path for path in different if path.endswith((".npy", ".parquet", ".tar"))], different


def test_jobs_of_google_batch_run_in_the_executor_image(
    images: dict[str, str], storage_host: str, finished_demo: Path, tmp_path: Path
) -> None:
    google, process = start_google(storage_host, tmp_path / "batch", "birds-image", "--image")
    try:
        arguments = ["--profile", "gce", "-j2", "--seconds-between-status-checks", "1"]
        gce = Submitter(clone(tmp_path / "clone"), arguments, google.env | {"AUTOBIRD_IMAGE": images["executor"]})
        result = gce.run("--until", "train", *WITHOUT_RETRIES)
        assert result.code == 0, result.text[-5000:]
        remote, local = promised(google.fetch(tmp_path / "fetched")), promised(finished_demo)
        assert "test/model/weights.safetensors" in remote
        different = [path for path in remote if remote[path] != local[path]]
        assert not [path for path in different if path.endswith((".npy", ".parquet", ".tar"))], different
        assert set(messages(google)) == {"download", "recordings", "landmark_votes", "near_duplicates", "segment", "mel_shards",
                                         "quarantine", "check_corpus", "dataset", "train"}  # fmt: skip
        logs = "".join(p.read_text() for p in google.folder.glob("train-*/log"))
        assert "pip: all packages are installed in this image; ignored: install" in logs
        # The plugin's script ends with a command that succeeds; the failure of an earlier command must still be reported.
        failed = gce.run("--until", "dataset", *WITHOUT_RETRIES, "--config", "dataset={min_windows: 100000}")
        assert failed.code != 0
        assert "min_windows" in failed.text
    finally:
        process.terminate()
        process.wait()
