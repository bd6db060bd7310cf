"""Whether Slurm will take a run's jobs, asked before the first one is submitted."""

import os
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from autobird.cluster.hints import hints_for
from autobird.core.errors import AutobirdError

SITE = {"slurm_account": "SBATCH_ACCOUNT", "slurm_partition": "SBATCH_PARTITION", "qos": "SBATCH_QOS"}
"""Resources that name a site's account, partition and QOS, and Slurm's own variables that they are taken from."""


def site(environment: Mapping[str, str]) -> dict[str, str]:
    """Account, partition and QOS as far as the environment names them."""
    return {resource: environment[name] for resource, name in SITE.items() if environment.get(name)}


def partitions(environment: Mapping[str, str]) -> str | None:
    """The file of partitions that the plugin chooses from, if the environment names one."""
    return environment.get("SNAKEMAKE_SLURM_PARTITIONS") or None


@dataclass(frozen=True)
class Ask:
    """What a job asks of Slurm, as `sbatch` takes it.

    Attributes:
        rule: its name, or that of its group, for the message.
        options: of `sbatch`.
    """

    rule: str
    options: tuple[str, ...]

    @classmethod
    def of(cls, rule: str, threads: int, resources: Mapping[str, object], partition: str | None) -> "Ask":
        """From a job's resources, and the partition that was chosen for it."""
        named = {
            "nodes": 1,
            "account": resources.get("slurm_account"),
            "partition": partition or resources.get("slurm_partition"),
            "qos": resources.get("qos"),
            "mem": resources.get("mem_mb"),
            "time": resources.get("runtime"),
            "cpus-per-task": threads,
            "gpus": resources.get("gpu"),
        }
        return cls(rule, tuple(f"--{name}={value}" for name, value in named.items() if value))


def check(asks: Iterable[Ask]) -> None:
    """Ask Slurm about each different demand, without submitting anything.

    Raises:
        AutobirdError: there is no Slurm here, or it refuses one of them; says what it said and what to do.
    """
    if not shutil.which("sbatch"):
        raise AutobirdError("--profile slurm: there is no sbatch here; run on a login node of the cluster")
    seen: set[tuple[str, ...]] = set()
    for ask in asks:
        if ask.options in seen:
            continue
        seen.add(ask.options)
        done = subprocess.run(
            ["sbatch", "--test-only", *ask.options, "--wrap", "true"],
            capture_output=True,
            text=True,
            check=False,
            env={k: v for k, v in os.environ.items() if not k.startswith("SBATCH_")},
        )
        if done.returncode:
            said = " ".join(line.removeprefix("sbatch: error: ") for line in done.stderr.split("\n") if line.strip())
            remedy = "; ".join(hints_for(said)) or "see `man sbatch`"
            raise AutobirdError(f"Slurm refuses {ask.rule} ({' '.join(ask.options)}): {said}: {remedy}")
