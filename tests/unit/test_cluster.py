"""Resources that jobs request, checks of Slurm and Google Cloud, hints for errors, and the store of checkpoints."""

import logging
import os
import re
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from autobird.cluster import google, slurm
from autobird.cluster.hints import HINTS, HintHandler, hints_for
from autobird.cluster.needs import NEEDS, AudioSizes, ResourceRequest, epochs_of_student, machine, resources
from autobird.core.errors import AutobirdError
from autobird.core.store import FolderStore, UrlStore, open_store
from tests.conftest import ROOT

MB = 1_000_000


def evaluated(found: dict, attempt: int = 1, threads: int = 1, **wildcards: str) -> dict:
    """The values of resources, evaluated for a job as Snakemake does."""
    given = {"wildcards": wildcards, "attempt": attempt, "threads": threads}

    def value(f: object) -> object:
        return f(**{n: given[n] for n in f.__code__.co_varnames[: f.__code__.co_argcount]}) if callable(f) else f

    return {name: value(f) for name, f in found.items()}


def resources_of(
    stage: str, sizes: list[list[int]], *, gpu: bool = False, google: bool = False, epochs: int = 35
) -> dict:
    """The resources of a stage for batches of files of these sizes, bytes."""
    request = ResourceRequest(NEEDS[stage], AudioSizes(sizes), lambda _: epochs, 7200, gpu)
    return resources(request, lambda w: w.get("batch"), google)


def test_the_table_of_needs_has_exactly_the_rules_that_run_jobs() -> None:
    text = "\n".join(p.read_text() for p in (ROOT / "workflow/rules").glob("*.smk"))
    rules = set(re.findall(r"(?m)^ *(?:rule|checkpoint) (\w+):", text)) - {
        "embeddings",
        "predict",
        "predict_pack",
        "predict_bundle",
        "predict_overlay",
        "predict_species_tables",
        "refresh_sources",
        "crossval",
        "sweep",
        "unlabelled_pack",
        "field",
        "field_pack",
    }
    assert rules == set(NEEDS)
    assert set(re.findall(r'\*\*needs\("(\w+)"', text)) == set(NEEDS)


@pytest.mark.parametrize(("stage", "bytes_per_value"), [("train_head", 6), ("learning_curve", 4)])
def test_fitting_heads_requests_memory_for_the_embeddings_of_all_windows(stage: str, bytes_per_value: int) -> None:
    # Windows of 2.5 s in files of 0.35 MB a minute, the most strongly compressed that are expected, and the wide embeddings of Perch.
    windows, width = 400_000, 1536
    files = [[round(windows * 0.35 * MB * 2.5 / 60)]]
    program = 500 + 250  # Snakemake, and the stage with few windows (measured: 250)
    assert evaluated(resources_of(stage, files))["mem_mb"] > program + windows * width * bytes_per_value / MB


def test_requests_grow_with_the_size_of_the_batch_and_with_each_attempt() -> None:
    found = resources_of("segment", [[MB, 2 * MB], [500 * MB, 20 * MB]])
    small, large = (evaluated(found, batch=b) for b in "01")
    assert large["mem_mb"] > small["mem_mb"]
    assert large["runtime"] > small["runtime"]
    again = evaluated(found, attempt=2, batch="1")
    assert again["mem_mb"] == pytest.approx(1.5 * large["mem_mb"], abs=1)
    assert again["runtime"] == pytest.approx(2 * large["runtime"], abs=1)


def test_memory_for_decoding_is_limited_by_the_longest_accepted_recording() -> None:
    found = resources_of("segment", [[100_000 * MB]])
    assert evaluated(found, batch="0")["mem_mb"] < 1500


def test_a_batch_of_unknown_size_gets_the_request_of_an_empty_one() -> None:
    assert evaluated(resources_of("segment", []), batch="3") == evaluated(resources_of("segment", [[0]]), batch="0")


def test_training_requests_time_per_epoch_and_with_a_gpu_the_memory_of_cuda() -> None:
    sizes = [[200 * MB] * 8]
    plain, gpu = evaluated(resources_of("train", sizes)), evaluated(resources_of("train", sizes, gpu=True))
    assert "gpu" not in plain
    assert gpu["gpu"] == 1
    assert gpu["mem_mb"] - plain["mem_mb"] == 4000
    assert evaluated(resources_of("train", sizes, epochs=350))["runtime"] > 5 * plain["runtime"]


def test_the_time_of_a_student_is_that_of_its_windows_and_those_of_its_teacher() -> None:
    assert epochs_of_student(40, 16, 48) == 160


def test_a_training_of_several_processes_requests_memory_and_gpus_for_each_and_tasks_for_its_nodes() -> None:
    def found(**shape: Any) -> dict:
        request = ResourceRequest(NEEDS["train"], AudioSizes([[MB]]), lambda _: 35, 7200, **shape)
        return evaluated(resources(request, lambda w: None, False))

    one, four = found(gpu=True), found(gpu=True, devices=4)
    assert (one["gpu"], four["gpu"]) == (1, 4)
    assert four["mem_mb"] - one["mem_mb"] == 3 * (4000 + 900)
    assert not {"nodes", "tasks", "mpi", "gres"} & four.keys()
    two_nodes = found(gpu=True, devices=4, nodes=2)
    assert two_nodes["mem_mb"] == four["mem_mb"]  # of each node
    shape = {"nodes": 2, "tasks": 2, "mpi": "srun", "gres": "gpu:4", "tasks_per_gpu": 0}
    assert {name: two_nodes.get(name) for name in shape} == shape
    assert "gpu" not in two_nodes
    assert "gres" not in found(devices=4, nodes=2)
    options = slurm.Submission.of("train", 8, two_nodes, None).options
    assert {"--nodes=2", "--ntasks=2", "--cpus-per-task=8", "--gres=gpu:4"} <= set(options)


@pytest.mark.parametrize(
    ("shape", "message"), [((1, 2, False), "train.nodes is 2"), ((2, 1, True), "train.devices is 2")]
)
def test_a_training_that_no_machine_of_google_batch_can_hold_is_refused(
    shape: tuple[int, int, bool], message: str
) -> None:
    google.check_training(1, 1, True)
    google.check_training(4, 1, False)
    with pytest.raises(AutobirdError, match=message):
        google.check_training(*shape)


def test_google_batch_gets_the_same_request_as_its_own_resources() -> None:
    found = evaluated(resources_of("train", [[MB]], gpu=True, google=True), threads=2)
    assert found["googlebatch_cpu_milli"] == 2000
    assert found["googlebatch_memory"] == round(found["mem_mb"] / 1.048576)
    assert found["googlebatch_machine_type"] == "g2-standard-4"
    assert found["googlebatch_max_run_duration"] == f"{60 * found['runtime'] + 600}s"
    assert found["nvidia_gpu"] == "nvidia-l4"
    assert found["googlebatch_boot_disk_gb"] == 60
    assert not [name for name in resources_of("train", [[MB]], gpu=True) if "google" in name or name == "nvidia_gpu"]


@pytest.mark.parametrize(
    ("cores", "memory", "gpu", "name"),
    [
        (1, 800, False, "e2-standard-2"),
        (2, 7000, False, "e2-standard-2"),
        (3, 7000, False, "e2-standard-4"),
        (1, 40_000, False, "e2-highmem-8"),
        (48, 1000, False, "n2-standard-48"),
        (1, 5700, True, "g2-standard-4"),
        (5, 5700, True, "g2-standard-8"),
    ],
)
def test_the_smallest_sufficient_machine_is_selected(cores: int, memory: int, gpu: bool, name: str) -> None:
    assert machine(cores, memory, gpu).name == name


def test_a_request_that_no_machine_can_meet_is_an_error() -> None:
    with pytest.raises(ValueError, match="use fewer threads"):
        machine(64, 1000, True)


# Slurm


def test_account_partition_and_qos_come_from_slurms_environment_variables() -> None:
    found = slurm.site_resources({"SBATCH_ACCOUNT": "birds", "SBATCH_QOS": "", "HOME": "/root"})
    assert found == {"slurm_account": "birds"}


@pytest.fixture
def sbatch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A fake `sbatch` that records its arguments and rejects the account `nobody`; returns the file with the arguments."""
    script = tmp_path / "bin/sbatch"
    script.parent.mkdir()
    script.write_text(
        f"""#!/bin/sh
echo "$@" >> '{tmp_path}/calls'
case "$*" in *account=nobody*) echo 'sbatch: error: Invalid account or account/partition combination specified' >&2; exit 1;; esac
"""
    )
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{script.parent}{os.pathsep}{os.environ['PATH']}")
    return tmp_path / "calls"


def test_each_distinct_submission_is_tested_once_and_nothing_is_submitted(sbatch: Path) -> None:
    found = {"mem_mb": 800, "runtime": 10, "slurm_account": "birds"}
    submissions = [slurm.Submission.of("segment", 1, found, None) for _ in range(8)]
    slurm.check_submission([*submissions, slurm.Submission.of("train", 2, found | {"gpu": 1}, "gpus")])
    one, two = sbatch.read_text().splitlines()
    assert one == "--test-only --nodes=1 --account=birds --mem=800 --time=10 --cpus-per-task=1 --wrap true"
    assert "--partition=gpus" in two
    assert "--gpus=1" in two
    assert "--test-only" in two


def test_the_error_names_the_rule_slurms_message_and_a_remedy(sbatch: Path) -> None:
    with pytest.raises(AutobirdError, match=r"rejects the jobs of train .*Invalid account.*set SBATCH_ACCOUNT"):
        slurm.check_submission([slurm.Submission.of("train", 1, {"slurm_account": "nobody"}, None)])


def test_a_missing_sbatch_is_an_error_with_a_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(AutobirdError, match="sbatch was not found; run on a login node"):
        slurm.check_submission([])


# Google


SET = dict.fromkeys(google.VARIABLES, "x") | {"AUTOBIRD_BUCKET": "birds-of-mine/run1"}


def test_unset_variables_are_named_in_one_line() -> None:
    google.check_environment(SET)
    with pytest.raises(AutobirdError) as error:
        google.check_environment({"AUTOBIRD_BUCKET": "birds"})
    assert "\n" not in str(error.value)
    for name in ("GOOGLE_CLOUD_PROJECT", "GOOGLE_CLOUD_REGION", "AUTOBIRD_IMAGE"):
        assert name in str(error.value)
    google.check_environment({"GOOGLE_CLOUD_PROJECT": "p", "AUTOBIRD_BUCKET": "birds"}, ["GOOGLE_CLOUD_PROJECT"])


@pytest.mark.parametrize("bucket", ["gs://birds", "Birds", "birds/", "b", "birds//x"])
def test_an_invalid_name_of_a_bucket_is_rejected(bucket: str) -> None:
    with pytest.raises(AutobirdError, match="AUTOBIRD_BUCKET"):
        google.check_environment(SET | {"AUTOBIRD_BUCKET": bucket})


class FakeStorage:
    """A fake google.cloud.storage with one bucket, whose clock can be ahead and whose permissions can be missing."""

    def __init__(self, ahead: float = 0.0, denied: str = "") -> None:
        self.ahead, self.denied, self.deleted = ahead, denied, 0

    def Client(self, project: str) -> "FakeStorage":
        return self

    def bucket(self, name: str) -> "FakeStorage":
        return self

    def blob(self, name: str) -> "FakeStorage":
        return self

    def list_blobs(self, **_: object) -> list:
        return []

    def upload_from_string(self, data: bytes, timeout: float) -> None:
        if self.denied:
            raise PermissionError(self.denied)
        stamp = time.time() + self.ahead
        self.time_created = SimpleNamespace(timestamp=lambda: stamp)

    def reload(self, timeout: float) -> None:
        pass

    def delete(self, timeout: float) -> None:
        self.deleted += 1


def test_a_bucket_with_all_permissions_and_a_correct_clock_is_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeStorage(ahead=3)
    monkeypatch.setattr(google.importlib, "import_module", lambda name: fake)
    google.check_bucket("gs://birds/run", SET)
    google.check_access("gs://birds/run", SET)
    assert fake.deleted == 1


@pytest.mark.parametrize("ahead", [-600, 600])
def test_a_wrong_clock_is_an_error_with_a_remedy(ahead: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(google.importlib, "import_module", lambda name: FakeStorage(ahead))
    with pytest.raises(AutobirdError, match=r"clock differs by (599|600) s .*timedatectl"):
        google.check_access("gs://birds", SET)


def test_the_error_names_a_missing_permission_and_the_role_that_grants_it(monkeypatch: pytest.MonkeyPatch) -> None:
    message = "403 POST: me@x.org does not have storage.objects.create access to the Google Cloud Storage object."
    monkeypatch.setattr(google.importlib, "import_module", lambda name: FakeStorage(denied=message))
    with pytest.raises(AutobirdError, match=r"gs://birds.*storage\.objects\.create.*roles/storage\.objectAdmin"):
        google.check_access("gs://birds", SET)


# Hints


@pytest.mark.parametrize(
    ("message", "hint"),
    [
        ("sbatch: error: Batch job submission failed: Invalid qos specification", "SBATCH_QOS"),
        ("OSError: [Errno 28] No space left on device", "a disk is full"),
        ("slurmstepd: error: Detected 1 oom-kill event(s) in StepId=3.0", "mem_mb"),
        ("*** JOB 7 ON n1 CANCELLED AT 2026-11-25T04:00:00 DUE TO TIME LIMIT ***", "runtime"),
        ("munge: error: Rewound credential", "timedatectl"),
        ("google.api_core.exceptions.ResourceExhausted: 429 Quota exceeded for quota metric", "quota"),
        ("CODE_GCE_QUOTA_EXCEEDED: Quota 'PREEMPTIBLE_NVIDIA_L4_GPUS' exceeded", "quota"),
        ("docker: Error response from daemon: manifest for x/y:1 not found: manifest unknown", "AUTOBIRD_IMAGE"),
        ("('invalid_grant: Invalid JWT: Token must be a short-lived token')", "clocks"),
        ("Your default credentials were not found.", "application-default login"),
    ],
)
def test_known_errors_have_a_hint(message: str, hint: str) -> None:
    assert any(hint in h for h in hints_for(message)), hints_for(message)


def test_ordinary_messages_have_no_hint_and_neither_do_printed_hints() -> None:
    assert hints_for("Finished jobid: 3 (Rule: train). 10 of 37 steps (27%) done") == []
    assert len(HINTS) > 10
    for _, remedy in HINTS:
        assert hints_for(f"hint: {remedy}") == []


def test_a_hint_is_printed_once_for_errors_in_log_records_and_in_the_logs_that_they_name(tmp_path: Path) -> None:
    printed: list[str] = []
    handler = HintHandler(printed.append)
    log = tmp_path / "train.log"
    log.write_text("epoch 1\nOSError: [Errno 28] No space left on device\n")
    record = logging.makeLogRecord(
        {"msg": "Error in rule train, jobid: 7", "levelno": logging.ERROR, "log": [str(log)]}
    )
    handler.handle(record)
    handler.handle(record)
    group = {"msg": "Error in group x", "levelno": logging.ERROR, "job_error_info": [{"log": [str(log)]}]}
    handler.handle(logging.makeLogRecord(group))
    handler.handle(logging.makeLogRecord({"msg": "slurm: Invalid qos specification", "levelno": logging.ERROR}))
    assert len(printed) == 2
    assert all(line.startswith("hint: ") for line in printed)


# Files that survive a failed job


@pytest.mark.parametrize("kind", ["folder", "url"])
def test_a_store_writes_replaces_and_reads_files_and_deletes_other_folders(kind: str, tmp_path: Path) -> None:
    place = str(tmp_path / "s") if kind == "folder" else f"memory://autobird-{os.getpid()}-{tmp_path.name}"
    store = open_store(place)
    assert isinstance(store, FolderStore if kind == "folder" else UrlStore)
    with pytest.raises(FileNotFoundError):
        store.read("a/checkpoint.pt")
    for data in (b"one", b"two"):
        store.write("a/checkpoint.pt", data)
        store.write("b/checkpoint.pt", data)
    store.keep_only("b")
    assert open_store(place).read("b/checkpoint.pt") == b"two"
    with pytest.raises(FileNotFoundError):
        open_store(place).read("a/checkpoint.pt")


def test_a_store_that_cannot_be_written_gives_a_warning(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = UrlStore("memory://x")

    def deny(*_: object, **__: object) -> None:
        raise PermissionError("403")

    monkeypatch.setattr(store._files, "pipe_file", deny)
    logging.getLogger("autobird").propagate = True
    store.write("a/checkpoint.pt", b"")
    assert "was not written (403)" in caplog.text


def test_a_protocol_whose_package_is_not_installed_names_the_extra_to_install() -> None:
    with pytest.raises(AutobirdError, match=r"autobird\[gce\]"):
        UrlStore("adl://container/x")
