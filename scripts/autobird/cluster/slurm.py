"""Check before the first submission whether Slurm accepts the jobs of a run."""

import os
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from autobird.cluster.hints import hints_for
from autobird.core.errors import AutobirdError

SITE = {"slurm_account": "SBATCH_ACCOUNT", "slurm_partition": "SBATCH_PARTITION", "qos": "SBATCH_QOS"}
"""Snakemake's resources for account, partition and QOS, and the environment variables that set them."""


def site_resources(environment: Mapping[str, str]) -> dict[str, str]:
    """Return account, partition and QOS as resources, as far as the environment variables are set."""
    return {resource: environment[name] for resource, name in SITE.items() if environment.get(name)}


def partition_file(environment: Mapping[str, str]) -> str | None:
    """Return the path of the file of partitions (docs/slurm.md), if the environment variable is set."""
    return environment.get("SNAKEMAKE_SLURM_PARTITIONS") or None


@dataclass(frozen=True)
class Submission:
    """The resources of a job, as options of `sbatch`.

    Attributes:
        rule: name of the rule or group, for messages.
        options: options of `sbatch`.
    """

    rule: str
    options: tuple[str, ...]

    @classmethod
    def of(cls, rule: str, threads: int, resources: Mapping[str, object], partition: str | None) -> "Submission":
        """Return the submission of a job.

        Args:
            rule: name of the rule or group.
            threads: number of threads.
            resources: Snakemake's resources of the job.
            partition: partition that was selected for the job; None for the partition in `resources`, if any.
        """
        values = {
            "nodes": resources.get("nodes") or 1,
            "ntasks": resources.get("tasks"),
            "account": resources.get("slurm_account"),
            "partition": partition or resources.get("slurm_partition"),
            "qos": resources.get("qos"),
            "mem": resources.get("mem_mb"),
            "time": resources.get("runtime"),
            "cpus-per-task": threads,
            "gpus": resources.get("gpu"),
            "gres": resources.get("gres"),
        }
        return cls(rule, tuple(f"--{name}={value}" for name, value in values.items() if value))


def check_submission(submissions: Iterable[Submission]) -> None:
    """Ask Slurm with `sbatch --test-only` whether it accepts each distinct set of options; no job is submitted.

    Raises:
        AutobirdError: `sbatch` is not installed, or Slurm rejects a submission; the message has Slurm's error and a remedy.
    """
    if not shutil.which("sbatch"):
        raise AutobirdError("--profile slurm: the command sbatch was not found; run on a login node of the cluster")
    checked: set[tuple[str, ...]] = set()
    for submission in submissions:
        if submission.options in checked:
            continue
        checked.add(submission.options)
        done = subprocess.run(
            ["sbatch", "--test-only", *submission.options, "--wrap", "true"],
            capture_output=True,
            text=True,
            check=False,
            env={k: v for k, v in os.environ.items() if not k.startswith("SBATCH_")},
        )
        if done.returncode:
            message = " ".join(line.removeprefix("sbatch: error: ") for line in done.stderr.split("\n") if line.strip())
            remedy = "; ".join(hints_for(message)) or "see `man sbatch`"
            options = " ".join(submission.options)
            raise AutobirdError(f"Slurm rejects the jobs of {submission.rule} ({options}): {message}: {remedy}")
