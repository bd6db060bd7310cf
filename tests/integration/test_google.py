"""`--profile gce` with an emulated Cloud Storage and a fake Google Batch that runs the jobs."""

import json
import os
import shutil
import signal
from pathlib import Path

import pytest

from autobird.predict.bundle import Bundle
from autobird.predict.threshold_overlay import write_overlay
from autobird.synth.folder import write_folder
from tests.integration.conftest import LONG, Google, Submitter, clone
from tests.workflow.conftest import FOLDER, snakemake
from tests.workflow.outputs import promised

pytestmark = [
    pytest.mark.google,
    pytest.mark.skipif(
        os.name != "posix" or os.geteuid() != 0, reason="each job gets its own file system, which needs root"
    ),
    pytest.mark.skipif(
        not shutil.which("unshare"), reason="each job gets its own file system with `unshare` (util-linux)"
    ),
]

WITHOUT_RETRIES = ("--retries", "0", "--googlebatch-retry-count", "0")


def without(outputs: dict[str, str], *parts: str) -> dict[str, str]:
    """The outputs whose path contains none of `parts`."""
    return {path: digest for path, digest in outputs.items() if not any(part in path for part in parts)}


def messages(google: Google) -> dict[str, dict]:
    """The last Job message that was submitted for each rule."""
    found = {}
    for file in sorted(google.folder.glob("*.json"), key=lambda p: p.stat().st_mtime):
        found[file.name.rsplit("-", 2)[0].replace("-", "_")] = json.loads(file.read_text())
    return found


def instance(job: dict) -> dict:
    return job["allocationPolicy"]["instances"][0]


def task(job: dict) -> dict:
    return job["taskGroups"][0]["taskSpec"]


def test_a_complete_run_gives_the_bytes_of_a_local_run_and_a_second_run_does_nothing(
    gce: Submitter, google: Google, finished_demo: Path, tmp_path: Path
) -> None:
    result = gce.run()
    assert result.code == 0, result.text[-5000:]
    local = without(promised(finished_demo), "README.md")
    assert promised(google.fetch(tmp_path / "fetched")) == local
    assert len(local) > 60

    sent = messages(google)
    assert {"download", "segment", "mel_shards", "train", "compare", "bundle", "drift"} <= set(sent)
    assert not {"manifest", "all"} & set(sent)
    for rule, job in sent.items():
        assert task(job)["runnables"][3]["container"]["imageUri"] == "localhost/autobird/executor:test"
        gpu = rule in ("train", "prune")
        assert instance(job)["policy"]["machineType"] == ("g2-standard-4" if gpu else "e2-standard-2"), rule
        assert bool(instance(job)["policy"].get("accelerators")) == gpu
        assert instance(job)["policy"]["provisioningModel"] == (0 if rule == "latency" else 3)
        assert instance(job)["policy"]["bootDisk"]["image"].endswith("batch-cos-stable-official")
        assert task(job)["maxRetryCount"] == 2
    assert instance(sent["train"])["installGpuDrivers"]
    assert instance(sent["train"])["policy"]["accelerators"][0]["type"] == "nvidia-l4"

    again = gce.run()
    assert again.code == 0, again.text[-5000:]
    assert "Nothing to be done" in again.text
    assert not [b.name for b in google.bucket.list_blobs() if "snakemake-workflow-sources" in b.name]


def test_a_failed_job_is_reported_as_failed(gce: Submitter, google: Google) -> None:
    result = gce.run("--until", "dataset", *WITHOUT_RETRIES, "--config", "dataset={min_windows: 100000}")
    assert result.code != 0
    assert "Error in rule dataset" in result.text
    assert "min_windows" in result.text.split("Error in rule dataset")[1]
    job = google.job("dataset")
    assert job
    assert "exit code 1" in (job / "log").read_text()
    assert "model" not in str(sorted(b.name for b in google.bucket.list_blobs()))


def test_a_training_whose_machine_was_reclaimed_resumes_from_its_checkpoint_with_the_same_weights(
    gce: Submitter, google: Google, tmp_path: Path
) -> None:
    local = clone(tmp_path / "local")
    assert snakemake(local, "--until", "train", "--config", LONG).code == 0

    run = gce.start("--until", "train", "--config", LONG)
    gce.wait_until(run, lambda: any(".checkpoints" in b.name for b in google.bucket.list_blobs()), 240, "a checkpoint")
    job = google.job("train")
    assert job
    os.kill(int((job / "pid").read_text()), signal.SIGKILL)
    result = gce.finish(run)
    assert result.code == 0, result.text[-5000:]
    assert "attempt 0: exit code 50001" in (job / "log").read_text()
    assert "attempt 1: exit code 0" in (job / "log").read_text()
    fetched = google.fetch(tmp_path / "fetched")
    assert "resumed from gs://" in (fetched / "results/logs/test/train.log").read_text()
    assert without(promised(fetched), "README.md") == without(promised(local), "README.md")


def test_a_local_folder_is_packed_and_gives_the_bytes_of_a_local_run(
    gce: Submitter, google: Google, finished_folder: Path, tmp_path: Path
) -> None:
    write_folder(gce.project / "my birds", species=3, recordings=9, seed=7)
    result = gce.run("--until", "compare", "catalogue", "--config", FOLDER)
    assert result.code == 0, result.text[-5000:]
    assert {"pack", "segment", "compare"} <= result.rules
    remote = without(promised(google.fetch(tmp_path / "fetched")), "audio/")
    local = promised(finished_folder)
    assert len(remote) > 30
    assert remote == {path: local[path] for path in remote}


def test_field_recordings_and_a_configured_bundle_are_sent_to_the_jobs(
    gce: Submitter, google: Google, finished_folder: Path, tmp_path: Path
) -> None:
    field = tmp_path / "field recordings"
    shutil.copytree(finished_folder / "my birds", field)
    bundle = tmp_path / "a bundle"
    shutil.copytree(finished_folder / "results/test/release/bundle", bundle)
    write_overlay(Bundle.load(bundle), {Bundle.load(bundle).labels[0]: 0.0})
    config = ["--config", f"predict={{input: {field}, bundle: {bundle}, name: field, batches: 2}}"]
    result = gce.run("predict", *config)
    assert result.code == 0, result.text[-5000:]
    local = clone(tmp_path / "local")
    assert snakemake(local, "predict", *config).code == 0
    fetched = google.fetch(tmp_path / "fetched")
    for table in ("detections.csv", "skipped.csv"):
        path = Path("results/test/predict/field") / table
        assert (fetched / path).read_bytes() == (local / path).read_bytes()
    assert len((local / "results/test/predict/field/detections.csv").read_text().splitlines()) > 1


def test_ctrl_c_cancels_the_jobs(gce: Submitter, google: Google) -> None:
    run = gce.start("--until", "download")
    gce.wait_until(run, lambda: len(list(google.folder.glob("download-*.json"))) == 3, 60, "three jobs")
    os.kill(run.pid, signal.SIGINT)
    assert gce.finish(run, 120).code != 0
    assert (google.folder / "deleted").read_text().count("download") == 3


def test_one_machine_runs_the_workflow_with_files_in_the_bucket(
    google: Google, finished_demo: Path, tmp_path: Path
) -> None:
    """The profile of scripts/gce-vm.sh: Snakemake and all stages run on one machine."""
    vm = Submitter(clone(tmp_path / "a vm"), ["--profile", "profiles/vm"], google.env)
    result = vm.run()
    assert result.code == 0, result.text[-5000:]
    assert promised(google.fetch(tmp_path / "fetched")) == without(promised(finished_demo), "README.md")
    assert not list(google.folder.glob("*.json"))
    assert "Nothing to be done" in vm.run().text


# Common mistakes, and their error messages


def test_an_exceeded_quota_gives_a_hint(gce: Submitter, google: Google) -> None:
    (google.folder / "reject").write_text("RESOURCE_EXHAUSTED Quota exceeded for quota metric 'CPUs'")
    result = gce.run("--until", "download", *WITHOUT_RETRIES, timeout=120)
    assert result.code != 0
    assert "hint: your Google Cloud quota is used up" in result.text


def test_missing_permissions_for_batch_give_a_hint(gce: Submitter, google: Google) -> None:
    (google.folder / "reject").write_text("PERMISSION_DENIED Permission 'batch.jobs.create' denied on resource")
    result = gce.run("--until", "download", *WITHOUT_RETRIES, timeout=120)
    assert result.code != 0
    assert "hint: you cannot use Google Batch" in result.text


def test_a_missing_image_gives_a_hint(gce: Submitter) -> None:
    result = gce.run(
        "--until", "download", *WITHOUT_RETRIES, timeout=120, AUTOBIRD_IMAGE="localhost/autobird/executor:missing"
    )
    assert result.code != 0
    assert "hint: the container image of the jobs cannot be pulled" in result.text


def test_a_missing_bucket_is_an_error_with_a_remedy(gce: Submitter) -> None:
    result = gce.run("--until", "download", timeout=120, AUTOBIRD_BUCKET="nobodys-bucket")
    assert result.code != 0
    assert "error: the bucket gs://nobodys-bucket" in result.text
    assert "gcloud storage buckets create" in result.text


def test_unset_variables_are_named_in_one_line(gce: Submitter) -> None:
    result = gce.run("-n", GOOGLE_CLOUD_REGION="", AUTOBIRD_IMAGE="")
    assert result.code != 0
    line = [x for x in result.text.splitlines() if x.startswith("error:")]
    assert len(line) == 1
    assert "GOOGLE_CLOUD_REGION (" in line[0]
    assert "AUTOBIRD_IMAGE (" in line[0]
    assert "AUTOBIRD_BUCKET (" not in line[0]


def test_a_bucket_of_recordings_gives_the_segments_and_split_of_the_same_folder(
    google: Google, finished_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`refresh_sources` lists the bucket, and the recordings are downloaded into tar archives."""
    birds = finished_folder / "my birds"
    for path in sorted(p for p in birds.rglob("*") if p.is_file()):
        google.bucket.blob(f"birds/{path.relative_to(birds).as_posix()}").upload_from_filename(path)
    project = clone(tmp_path / "a clone")
    for name in ("STORAGE_EMULATOR_HOST", "GOOGLE_CLOUD_PROJECT"):
        monkeypatch.setenv(name, google.env[name])
    config = ["--config", f"corpus={{type: url, root: 'gs://{google.bucket.name}/birds'}}"]
    listed = snakemake(project, "refresh_sources", *config)
    assert "27 recordings added" in listed.text, listed.text
    result = snakemake(project, "results/test/dataset/index.parquet", *config)
    assert result.code == 0, result.text
    same = {
        n: d for n, d in promised(finished_folder).items() if "/segments/" in n or n.endswith("dataset/index.parquet")
    }
    assert same.items() <= promised(project).items()
    assert "Nothing to be done" in snakemake(project, "results/test/dataset/index.parquet", *config).text
