"""scripts/gce-vm.sh and the start-up script of its machine, with fake gcloud, docker, curl and shutdown commands."""

import base64
import os
import subprocess
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.integration.conftest import clone

pytestmark = pytest.mark.skipif(os.name != "posix", reason="shell scripts")

_GCLOUD = """#!/bin/bash
{ printf '%s\\037' "$@"; echo; } >> "$CALLS/gcloud"
case "$1 $2 $3" in
"compute instances describe") exit 1 ;;
"storage cp "*) case "$3" in gs://*) cp "$CALLS/code.tar.gz" "$4" ;; *) cp "$3" "$CALLS/$(basename "$4")" ;; esac ;;
esac
"""

_CURL = """#!/bin/bash
url="${@: -1}"
cat "$CALLS/meta/${url##*/}" 2>/dev/null || true
"""

_DOCKER = """#!/bin/bash
{ printf '%s\\037' "$@"; echo; } >> "$CALLS/docker"
[ "$1" = run ] || exit 0
while [ "$1" != "image:1" ]; do shift; done
shift
echo "would run: $(printf '[%s]' "$@")"
"""

_SHUTDOWN = """#!/bin/bash
echo "$@" >> "$CALLS/shutdown"
"""


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    """Environment variables with the fake commands in PATH; CALLS is the folder in which they record their arguments."""
    folder, calls = tmp_path / "bin", tmp_path / "calls"
    folder.mkdir()
    (calls / "meta").mkdir(parents=True)
    for name, text in {"gcloud": _GCLOUD, "curl": _CURL, "docker": _DOCKER, "shutdown": _SHUTDOWN}.items():
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    return os.environ | {
        "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}",
        "CALLS": str(calls),
        "GOOGLE_CLOUD_PROJECT": "project",
        "GOOGLE_CLOUD_ZONE": "europe-west4-a",
        "AUTOBIRD_BUCKET": "birds",
        "AUTOBIRD_IMAGE": "image:1",
    }


def calls(env: dict[str, str], name: str) -> list[list[str]]:
    """The arguments of each call of a fake command."""
    return [line.split("\037")[:-1] for line in (Path(env["CALLS"]) / name).read_text().splitlines()]


def test_start_creates_a_spot_machine_with_an_l4_and_sends_code_and_arguments(
    env: dict[str, str], tmp_path: Path
) -> None:
    project = clone(tmp_path / "clone")
    (project / "scripts/gce-vm.sh").chmod(0o755)
    arguments = ["--configfile", "config/folder.yaml", "--config", "corpus={root: /work/my birds}"]
    subprocess.run([project / "scripts/gce-vm.sh", "start", *arguments], env=env, check=True, capture_output=True)
    create = next(c for c in calls(env, "gcloud") if c[:3] == ["compute", "instances", "create"])
    options = dict(zip(create[4::2], create[5::2], strict=False))
    assert options["--machine-type"] == "g2-standard-4"
    assert options["--provisioning-model"] == "SPOT"
    assert options["--instance-termination-action"] == "STOP"
    assert options["--metadata-from-file"] == "startup-script=scripts/gce-vm-startup.sh"
    metadata = dict(item.split("=", 1) for item in options["--metadata"].split(","))
    assert metadata["autobird-bucket"] == "birds"
    sent = base64.b64decode(metadata["autobird-arguments"]).decode()
    assert (
        subprocess.run(
            ["bash", "-c", f"printf '%s\\n' {sent}"], text=True, capture_output=True, check=True
        ).stdout.splitlines()
        == arguments
    )


def test_unset_variables_are_named(env: dict[str, str]) -> None:
    without = {k: v for k, v in env.items() if k not in ("AUTOBIRD_BUCKET", "AUTOBIRD_IMAGE")}
    done = subprocess.run(
        [ROOT / "scripts/gce-vm.sh", "start"], env=without, text=True, capture_output=True, check=False
    )
    assert done.returncode == 1
    assert "AUTOBIRD_BUCKET AUTOBIRD_IMAGE" in done.stderr


def test_the_machine_runs_snakemake_uploads_the_log_and_stops(env: dict[str, str], tmp_path: Path) -> None:
    project = clone(tmp_path / "clone")
    archive = ["git", "-C", str(project), "archive", "--format", "tar.gz", "-o", f"{env['CALLS']}/code.tar.gz", "HEAD"]
    subprocess.run(archive, check=True)
    meta = {
        "autobird-bucket": "birds", "autobird-image": "image:1", "autobird-vm": "vm", "autobird-recordings": "",
        "project-id": "project", "autobird-arguments": base64.b64encode(b"--config corpus=\\{root:\\ /work/my\\ birds\\}").decode(),
    }  # fmt: skip
    for name, value in meta.items():
        (Path(env["CALLS"]) / "meta" / name).write_text(value)
    work = tmp_path / "work"
    done = subprocess.run(
        [ROOT / "scripts/gce-vm-startup.sh"],
        env=env | {"AUTOBIRD_WORK": str(work)},
        text=True,
        capture_output=True,
        check=False,
    )
    assert "ended with status 0" in done.stdout, done.stdout + done.stderr
    assert (work / "code/Snakefile").is_file()
    log = (Path(env["CALLS"]) / "vm.log").read_text()
    assert "would run: [python][-m][snakemake][--profile][profiles/vm][--config][corpus={root: /work/my birds}]" in log
    assert "--gpus" in next(c for c in calls(env, "docker") if c[0] == "run")
    assert (Path(env["CALLS"]) / "shutdown").read_text() == "-h now\n"
