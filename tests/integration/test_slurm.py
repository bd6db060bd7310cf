"""`--profile slurm` on a real Slurm of three nodes on this machine."""

import contextlib
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.conftest import NO_SCONTROL, ROOT, copy_run
from tests.integration.conftest import LONG, Submitter, clone, wait_until
from tests.workflow.conftest import FOLDER, snakemake
from tests.workflow.outputs import promised

SCRIPTS = ROOT / "tests/integration/slurm"

pytestmark = [
    pytest.mark.slurm,
    pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="starting a Slurm cluster needs root"),
    pytest.mark.skipif(not shutil.which("apt-get"), reason="Slurm is installed with apt-get"),
]

PARTITIONS = """partitions:
  cpu: {max_runtime: 7d, max_mem_mb: 16000, max_threads: 64}
  gpu: {max_runtime: 7d, max_mem_mb: 16000, max_threads: 64, max_gpu: 2}
"""

WITHOUT_RETRIES = ("--retries", "0")

SHARED = "train={epochs: 12, width: 24, nodes: 2, devices: 2}"
"""Settings of a training of four processes on two nodes. They share the cores of this machine, and an epoch can take seconds."""


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Start the cluster and return its folder, whose path is short because the paths of sockets are limited in length."""
    with_scontrol = [part for part in os.environ["PATH"].split(os.pathsep) if NO_SCONTROL not in part]
    os.environ["PATH"] = os.pathsep.join(with_scontrol)
    root = Path("/tmp") / f"autobird-slurm-{os.getpid()}"
    done = subprocess.run([SCRIPTS / "up.sh", root, "3"], text=True, capture_output=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (root / "partitions.yaml").write_text(PARTITIONS)
    yield root
    subprocess.run([SCRIPTS / "down.sh", root], check=False)


@pytest.fixture(scope="session")
def untrained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone in which all stages before the training were run without Slurm. Shared by tests: copy it before you change it."""
    project = clone(tmp_path_factory.mktemp("untrained") / "a clone")
    result = snakemake(project, "--until", "dataset")
    assert result.code == 0, result.text[-5000:]
    return project


@pytest.fixture(scope="session")
def trained(untrained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of it after a training with the settings `LONG` that was not interrupted, without Slurm."""
    project = copy_run(untrained, tmp_path_factory.mktemp("trained") / "a clone")
    result = snakemake(project, "--until", "train", "--config", LONG)
    assert result.code == 0, result.text[-5000:]
    return project


@pytest.fixture
def slurm(cluster: Path, tmp_path: Path) -> Iterator[Submitter]:
    """`snakemake --profile slurm -j8` in a clone.

    It queries the state of jobs after two seconds. The plugin increases the interval by ten seconds with each query in which no job has
    ended.
    """
    arguments = ["--profile", "slurm", "-j8", "--slurm-init-seconds-before-status-checks", "2"]
    arguments += ["--seconds-between-status-checks", "2", "--latency-wait", "10", "--slurm-keep-successful-logs"]
    env = {
        "SLURM_CONF": str(cluster / "etc/slurm.conf"),
        "SBATCH_ACCOUNT": "birds",
        "SNAKEMAKE_SLURM_PARTITIONS": str(cluster / "partitions.yaml"),
    }
    submitter = Submitter(clone(tmp_path / "a clone"), arguments, env)
    yield submitter
    # After a failed test, too: no jobs, and all nodes.
    submitter.stop()
    subprocess.run(["scancel", "--full", "--user=root"], capture_output=True, check=False)
    wait_until(lambda: queue() == [], 120, "an empty queue")
    scontrol = ["scontrol", "update", "NodeName=n[1-3]", "State=RESUME"]
    subprocess.run(scontrol, capture_output=True, check=False)
    subprocess.run([SCRIPTS / "up.sh", cluster, "3"], check=True, capture_output=True)


def query(*command: str) -> list[list[str]]:
    """Run a Slurm command, and return the rows of its output."""
    done = subprocess.run(command, text=True, capture_output=True, check=True)
    return [line.split("|") for line in done.stdout.splitlines()]


def jobs(result_text: str) -> dict[str, dict[str, str]]:
    """The accounting data of the jobs that a run submitted, by rule or group."""
    fields = "JobID,Partition,Account,State,ReqMem,AllocTRES,Timelimit,NodeList"
    submitted = dict(re.findall(r"SLURM jobid (\d+) \(log: .*?/slurm_logs/([^/]+)/", result_text))
    rows = query("sacct", "-a", "-X", "-n", "-P", "-o", fields, "-j", ",".join(submitted))
    return {submitted[row[0]]: dict(zip(fields.split(","), row, strict=True)) for row in rows}


def queue() -> list[list[str]]:
    """Id, state and node of each job in the queue."""
    return query("squeue", "-h", "-o", "%i|%T|%N")


def test_a_complete_run_gives_the_bytes_of_a_local_run_and_a_second_run_does_nothing(
    slurm: Submitter, finished_demo: Path
) -> None:
    result = slurm.run()
    assert result.code == 0, result.text[-5000:]
    assert promised(slurm.project) == promised(finished_demo)
    assert queue() == []

    found = jobs(result.text)
    assert {job["State"] for job in found.values()} == {"COMPLETED"}
    assert {job["Account"] for job in found.values()} == {"birds"}
    batch = next(name for name in found if name.startswith("group_batch"))
    assert set(batch.removeprefix("group_batch_").split("_")) >= {"download", "recordings", "segment"}
    for rule in ("rule_train", "rule_prune"):
        assert found[rule]["Partition"] == "gpu"
        assert "gres/gpu=1" in found[rule]["AllocTRES"]
    assert found[batch]["Partition"] == "cpu"
    assert "gpu" not in found[batch]["AllocTRES"]
    log = next((slurm.project / ".snakemake/slurm_logs/rule_train").glob("*.log")).read_text()
    assert "train" in log
    assert result.text.count("has been submitted with SLURM jobid") == 12  # 42 jobs of Snakemake

    again = slurm.run()
    assert again.code == 0, again.text[-5000:]
    assert "Nothing to be done" in again.text


def test_a_training_whose_node_failed_resumes_from_its_checkpoint_with_the_same_weights(
    slurm: Submitter, cluster: Path, untrained: Path, trained: Path, tmp_path: Path
) -> None:
    slurm.project = copy_run(untrained, tmp_path / "untrained")
    run = slurm.start("--until", "train", "--config", LONG, *WITHOUT_RETRIES)
    _wait_for_checkpoint(slurm, run)
    [[_, _, node]] = queue()
    _kill_node(cluster, node)
    wait_until(lambda: queue() == [], 120, "the end of the job")
    result = slurm.finish(run)
    assert result.code != 0
    assert result.rules == {"train"}
    assert not (slurm.project / "results/test/model/weights.safetensors").exists()

    result = slurm.run("--until", "train", "--config", LONG)
    assert result.code == 0, result.text[-5000:]
    assert result.rules == {"train"}
    assert "resumed from" in (slurm.project / "results/logs/test/train.log").read_text()
    assert promised(slurm.project) == promised(trained)
    assert node not in [job["NodeList"] for job in jobs(result.text).values()]
    assert queue() == []


def test_two_nodes_share_a_training_and_after_one_fails_it_resumes_with_the_same_weights(
    slurm: Submitter, cluster: Path, untrained: Path, tmp_path: Path
) -> None:
    slurm.project = copy_run(untrained, tmp_path / "untrained")
    run = slurm.start("--until", "train", "--config", SHARED, *WITHOUT_RETRIES)
    checkpoints = _wait_for_checkpoint(slurm, run)
    assert query("squeue", "-h", "-o", "%D") == [["2"]]
    _, second = (node for node in ("n1", "n2", "n3") if _processes_of(node))
    # The job's own script runs on the first node.
    _kill_node(cluster, second)
    wait_until(lambda: queue() == [], 120, "the end of the job")
    result = slurm.finish(run)
    assert result.code != 0
    # Either the job's own error, or that of the plugin if Slurm has ended the job first.
    assert re.search("the training has lost a node|failed due to a node failure", result.text)
    assert {job["State"] for job in jobs(result.text).values()} <= {"NODE_FAIL", "FAILED"}
    assert not (slurm.project / "results/test/model/weights.safetensors").exists()

    result = slurm.run("--until", "train", "--config", SHARED)
    assert result.code == 0, result.text[-5000:]
    log = (slurm.project / "results/logs/test/train.log").read_text()
    assert "4 processes on 2 machines share the training" in log
    assert "resumed from" in log
    resumed = promised(slurm.project)
    [job] = jobs(result.text).values()
    assert "node=2" in job["AllocTRES"]
    assert "gres/gpu=4" in job["AllocTRES"]

    shutil.rmtree(checkpoints)
    result = slurm.run("-R", "train", "--until", "train", "--config", SHARED)
    assert result.code == 0, result.text[-5000:]
    assert "resumed from" not in (slurm.project / "results/logs/test/train.log").read_text()
    assert promised(slurm.project) == resumed


def _wait_for_checkpoint(slurm: Submitter, run: subprocess.Popen[str]) -> Path:
    """Wait until a training has saved a checkpoint; returns the folder of the checkpoints."""
    checkpoints = slurm.project / "results/test/.checkpoints/train"
    slurm.wait_until(run, lambda: any(checkpoints.glob("*/checkpoint.pt")), 400, "a checkpoint")
    return checkpoints


def _processes_in(folder: Path) -> list[int]:
    """The processes whose working directory is a folder."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if (entry / "cwd").readlink() == folder:
                found.append(int(entry.name))
    return found


def _processes_of(node: str) -> list[int]:
    """The processes of jobs on a node, found by the environment variable that Slurm gives them."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if f"SLURMD_NODENAME={node}".encode() in (entry / "environ").read_bytes().split(b"\0"):
                found.append(int(entry.name))
    return found


def _kill_node(cluster: Path, node: str) -> None:
    """Kill the slurmd of a node and all processes of its jobs, like a power failure."""
    (cluster / f"pid/slurmd.{node}.pid").rename(cluster / "dead")
    os.kill(int((cluster / "dead").read_text()), signal.SIGKILL)
    while processes := _processes_of(node):
        for pid in [*_job_daemons(processes), *processes]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def _job_daemons(processes: Sequence[int]) -> set[int]:
    """The processes of Slurm (slurmstepd) that have started some of these processes."""
    found = set()
    for pid in processes:
        with contextlib.suppress(OSError):
            parent = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1]
            if Path(f"/proc/{parent}/comm").read_text().startswith("slurmstepd"):
                found.add(int(parent))
    return found


def test_ctrl_c_cancels_the_jobs_and_the_next_run_continues(
    slurm: Submitter, untrained: Path, trained: Path, tmp_path: Path
) -> None:
    slurm.project = copy_run(untrained, tmp_path / "untrained")
    run = slurm.start("--until", "train", "--config", LONG)
    _wait_for_checkpoint(slurm, run)
    os.kill(run.pid, signal.SIGINT)
    assert slurm.finish(run, 120).code != 0
    wait_until(lambda: queue() == [], 60, "an empty queue")
    wait_until(lambda: not _processes_in(slurm.project), 60, "the end of all processes")

    result = slurm.run("--until", "train", "--config", LONG)
    assert result.code == 0, result.text[-5000:]
    assert "resumed from" in (slurm.project / "results/logs/test/train.log").read_text()
    assert promised(slurm.project) == promised(trained)


def test_a_job_without_enough_memory_is_tried_again_with_more(
    slurm: Submitter, untrained: Path, tmp_path: Path
) -> None:
    slurm.project = copy_run(untrained, tmp_path / "untrained")
    too_little = ("--set-resources", "train:mem_mb=300+3000*(attempt-1)")
    result = slurm.run("--until", "train", "--config", LONG, *too_little)
    assert result.code == 0, result.text[-5000:]
    assert len(re.findall(r"SLURM jobid \d+ \(log: [^)]*rule_train/", result.text)) == 2
    assert "hint: the job needed more memory" in result.text


# Common mistakes, and their error messages


@pytest.mark.parametrize(
    ("variable", "value", "hint"),
    [
        ("SBATCH_ACCOUNT", "nobody", "set SBATCH_ACCOUNT"),
        ("SBATCH_PARTITION", "nowhere", "set SBATCH_PARTITION"),
        ("SBATCH_QOS", "none", "set SBATCH_QOS"),
        ("SBATCH_QOS", "tiny", "quota"),
    ],
)
def test_a_rejected_submission_is_reported_before_the_first_job(
    slurm: Submitter, variable: str, value: str, hint: str
) -> None:
    result = slurm.run(**{variable: value})
    assert result.code == 1
    line = result.text.strip().splitlines()[-1]
    assert line.startswith("error: Slurm rejects the jobs of ")
    assert hint in line
    assert "localrule rows" not in result.text
    assert queue() == []


def test_a_request_that_no_node_can_meet_is_reported_before_the_first_job(slurm: Submitter) -> None:
    result = slurm.run("--set-threads", "train=64")
    assert result.code == 1
    assert "error: Slurm rejects the jobs of train" in result.text
    assert "RULE:gpu=0" in result.text


def test_a_full_disk_gives_a_hint(slurm: Submitter, tmp_path: Path) -> None:
    results = slurm.project / "results"
    results.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", results], check=True)
    try:
        result = slurm.run("--until", "download", *WITHOUT_RETRIES)
    finally:
        subprocess.run(["umount", "-l", results], check=True)
    assert result.code != 0
    assert "hint: a disk is full" in result.text
    assert queue() == []


def test_a_folder_on_a_shared_file_system_is_read_in_place(slurm: Submitter, finished_folder: Path) -> None:
    shutil.copytree(finished_folder / "my birds", slurm.project / "my birds")
    result = slurm.run("--until", "dataset", "--config", FOLDER)
    assert result.code == 0, result.text[-5000:]
    assert "pack" not in result.rules
    local = promised(finished_folder)
    assert promised(slurm.project).items() <= local.items()
