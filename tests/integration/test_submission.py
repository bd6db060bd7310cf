"""The jobs that are submitted to Slurm and Google Batch, checked without either; these tests run in the default suite.

Slurm's commands are replaced by scripts that record their arguments. Google Batch is replaced by a local server that rejects
the jobs.
"""

import json
import os
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.conftest import ROOT, copy_run
from tests.integration.conftest import Google, Submitter, clone, start_google

pytestmark = pytest.mark.skipif(os.name != "posix", reason="clusters are used from POSIX systems")

PROFILES = ("default", "slurm", "gce", "vm")


def keys(profile: str) -> dict:
    """The options of a profile."""
    found = yaml.safe_load((ROOT / f"profiles/{profile}/config.yaml").read_text())
    return {k: v for k, v in found.items() if not k.startswith("__")}


@pytest.mark.parametrize("other", PROFILES[1:])
def test_profiles_have_no_key_of_the_default_profile_which_would_override_theirs(other: str) -> None:
    assert not set(keys("default")) & set(keys(other))


@pytest.mark.parametrize("profile", PROFILES)
def test_every_key_has_a_comment_in_the_line_above_it(profile: str) -> None:
    lines = (ROOT / f"profiles/{profile}/config.yaml").read_text().splitlines()
    self_explanatory = {"googlebatch-region", "googlebatch-image-project", "default-storage-prefix", "storage-gcs-project",
                 "seconds-between-status-checks", "shared-fs-usage", "googlebatch-project", "executor",
                 "default-storage-provider"}  # fmt: skip
    for number, line in enumerate(lines):
        if re.match(r"[a-z]", line) and line.split(":")[0] not in self_explanatory:
            assert lines[number - 1].startswith("# "), line


@pytest.mark.parametrize("name", ["gce", "slurm"])
def test_the_links_in_the_root_folder_point_to_the_profiles(name: str) -> None:
    link = ROOT / name
    assert link.is_symlink()
    assert link.readlink() == Path("profiles") / name
    assert (link / "config.yaml").is_file()


def test_no_profile_sets_account_partition_or_qos() -> None:
    for profile in PROFILES:
        assert not re.search(
            r"(?m)^\s*-?\s*(slurm_account|slurm_partition|qos)\s*[:=]",
            (ROOT / f"profiles/{profile}/config.yaml").read_text(),
        )


def test_the_rules_in_groups_and_on_spot_machines_exist() -> None:
    text = "\n".join(p.read_text() for p in (ROOT / "workflow/rules").glob("*.smk"))
    rules = set(re.findall(r"(?m)^ *(?:rule|checkpoint|use rule \w+ as) (\w+)(?::| with:)", text))
    assert {g.split("=")[0] for g in keys("slurm")["groups"]} <= rules
    assert set(keys("gce")["preemptible-rules"]) == rules - {
        "manifest", "pack", "refresh_sources", "crossval", "sweep", "predict", "predict_manifest", "predict_pack", "predict_bundle", "predict_overlay", "predict_species_tables", "latency",
        "embeddings", "unlabelled_manifest", "unlabelled_pack", "field", "field_manifest", "field_pack",
    }  # fmt: skip


# Slurm

_RECORDING = """#!/bin/sh
{ for word in "$@"; do printf '%s\\037' "$word"; done; echo; } >> "$CALLS/$(basename "$0")"
"""

_COMMANDS = {
    "sbatch": """
case "$*" in *--test-only*) exit 0;; esac
grep -vc -- --test-only "$CALLS/sbatch"
""",
    "sacct": """
case "$*" in *JobI[dD]*) n=$(grep -vc -- --test-only "$CALLS/sbatch"); for i in $(seq "$n"); do echo "$i|FAILED"; done;; esac
""",
    "sacctmgr": "echo birds\n",
    "squeue": "",
    "scontrol": "echo 'MinJobAge = 300 sec'\n",
    "sinfo": "echo 'cpu*'\n",
    "scancel": "",
    "srun": "",
}


@pytest.fixture
def slurm(tmp_path: Path) -> Submitter:
    """A fake Slurm that accepts every job and reports it as failed."""
    folder, calls = tmp_path / "bin", tmp_path / "calls"
    folder.mkdir()
    calls.mkdir()
    for name, body in _COMMANDS.items():
        (folder / name).write_text(_RECORDING + body)
        (folder / name).chmod(0o755)
    arguments = ["--profile", "profiles/slurm", "-j8", "--retries", "0", "--seconds-between-status-checks", "1"]
    arguments += ["--slurm-init-seconds-before-status-checks", "1"]
    env = {"PATH": f"{folder}{os.pathsep}{os.environ['PATH']}", "CALLS": str(calls), "SBATCH_ACCOUNT": "birds"}
    return Submitter(tmp_path / "not yet", arguments, env | {"SBATCH_QOS": "long"})


def submitted(slurm: Submitter) -> list[dict[str, str]]:
    """The options of each submission, by name, without the wrapped command."""
    found = []
    for line in (Path(slurm.env["CALLS"]) / "sbatch").read_text().splitlines():
        words = [w for w in line.split("\037") if w and not w.startswith("--wrap")]
        if "--test-only" not in words:
            text = shlex.join(words).replace("=", " ")
            found.append(dict(re.findall(r"(?<!\S)--?([\w-]+)(?: (?!-)('[^']*'|\S+))?", text)))
    return found


def test_the_stages_of_a_batch_are_one_submission_with_memory_time_and_account(
    slurm: Submitter, tmp_path: Path
) -> None:
    slurm.project = clone(tmp_path / "clone")
    result = slurm.run("--until", "mel_shards", timeout=120)
    assert result.code != 0
    for options in (calls := submitted(slurm)):
        assert options["A"] == "birds"
        assert options["qos"] == "long"
        assert options["cpus-per-task"] == "1"
        assert 700 < int(options["mem"]) < 1500
        assert int(options["t"]) == 40  # four consecutive stages of ten minutes
        assert "gpus" not in options
        assert "no-requeue" in options
    assert len(calls) == 3  # one per batch, not one per stage


def test_training_requests_a_gpu_its_threads_and_more_with_each_attempt(
    slurm: Submitter, finished_demo: Path, tmp_path: Path
) -> None:
    slurm.project = copy_run(finished_demo, tmp_path / "done")
    # More threads than this machine has cores: they are needed on the node, not here.
    threads = ("--set-threads", "train=64")
    result = slurm.run("-R", "train", "--until", "train", *threads, "--retries", "1", timeout=120)
    assert result.code != 0
    assert result.rules == {"train"}
    first, second = submitted(slurm)
    assert first["gpus"] == "1"
    assert first["cpus-per-task"] == "64"
    assert int(first["mem"]) > 5000
    assert int(second["mem"]) == pytest.approx(1.5 * int(first["mem"]), abs=1)
    assert int(second["t"]) == 2 * int(first["t"])


# Google

# Snakemake ends after the thread that checks the jobs, which sleeps between its checks.
GCE = ["--profile", "gce", "-j1", "--seconds-between-status-checks", "1"]


@pytest.fixture
def google(storage_host: str, tmp_path: Path) -> Iterator[Google]:
    """A fake Google Batch that rejects every job and stores its message."""
    google, process = start_google(
        storage_host,
        tmp_path / "batch",
        f"submission-{os.getpid()}-{tmp_path.name[-8:].strip('_')}".lower().replace("_", "-"),
    )
    (google.folder / "reject").write_text("RESOURCE_EXHAUSTED Quota exceeded for quota metric 'CPUs'")
    yield google
    process.terminate()
    process.wait()


def last_message(google: Google) -> dict:
    [file] = google.folder.glob("*.json")
    return json.loads(file.read_text())


def test_the_message_of_a_stage_has_image_machine_memory_and_limits(google: Google, tmp_path: Path) -> None:
    gce = Submitter(clone(tmp_path / "clone"), GCE, google.env)
    result = gce.run("--until", "download", timeout=120)
    assert result.code != 0
    assert "hint: your Google Cloud quota is used up" in result.text
    job = last_message(google)
    task = job["taskGroups"][0]["taskSpec"]
    policy = job["allocationPolicy"]["instances"][0]["policy"]
    assert task["computeResource"]["cpuMilli"] == "1000"
    assert 700 < int(task["computeResource"]["memoryMib"]) < 1500
    assert task["maxRunDuration"] == "1200s"
    assert task["maxRetryCount"] == 2
    assert policy["machineType"] == "e2-standard-2"
    assert policy["provisioningModel"] == 3
    assert policy["bootDisk"]["sizeGb"] == "30"
    assert task["runnables"][3]["container"]["imageUri"] == google.env["AUTOBIRD_IMAGE"]
    script = task["runnables"][0]["script"]["text"]
    assert f"gs://{google.env['AUTOBIRD_BUCKET']}" in script


def test_the_message_of_the_training_requests_an_l4(google: Google, finished_demo: Path, tmp_path: Path) -> None:
    project = clone(tmp_path / "clone")
    outputs = [p for p in (finished_demo / "results").rglob("*") if p.is_file() and ".checkpoints" not in p.parts]
    for path in sorted(outputs, key=lambda p: p.stat().st_mtime):
        google.bucket.blob(str(path.relative_to(finished_demo))).upload_from_filename(path)
    gce = Submitter(project, [*GCE, "--rerun-triggers", "mtime"], google.env)
    result = gce.run("-R", "train", "--until", "train", "--set-threads", "train=8", timeout=120)
    assert result.code != 0
    job = last_message(google)
    instance = job["allocationPolicy"]["instances"][0]
    assert job["labels"]["snakemake-job"] == "train"
    assert instance["installGpuDrivers"]
    assert instance["policy"]["machineType"] == "g2-standard-8"
    assert [(a["type"], a["count"]) for a in instance["policy"]["accelerators"]] == [("nvidia-l4", "1")]
    assert instance["policy"]["bootDisk"]["sizeGb"] == "60"
    assert job["taskGroups"][0]["taskSpec"]["computeResource"]["cpuMilli"] == "8000"


def test_the_main_snakefile_has_no_characters_that_a_shell_would_expand() -> None:
    """Google Batch's plugin writes the file in an unquoted here-document."""
    assert not re.search(r"[$`\\]", (ROOT / "Snakefile").read_text())
