"""What each rule asks of a machine: memory, run time, GPU; and which machine of Google Cloud has that.

Memory is what was measured (`docs/costs.md`) with a margin, and what the Snakemake of a cluster's job takes
beside it. Every retry asks for more. None of this changes what a rule computes.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

SNAKEMAKE_MB = 500
"""Memory of the Snakemakes around a stage in a cluster's job: the job step's and the job's own."""

_MB_PER_MINUTE = 4.5
"""Memory that a recording takes while it is decoded, MB per minute of sound (60 min of ogg, mp3 and flac: 4.0)."""

_SMALLEST_RATE = 0.35
"""MB of file per minute of sound in the tightest files that are expected: 48 kbit/s."""

_WINDOWS_PER_MB = 17.0
"""Windows per MB of audio: one every 2.5 s, in mp3 of about 190 kbit/s."""

_WINDOWS_PER_SECOND = 250.0
"""Training speed on two cores of a CPU without bfloat16, windows/s."""


@dataclass(frozen=True)
class Need:
    """What a stage needs.

    Attributes:
        memory: its own peak for any small input, MB.
        per_mb: MB more for each MB of audio that it works on.
        per_core: MB more for each core beyond the first, for a process of its own.
        decodes: it holds one decoded recording at a time.
        minutes: run time that is enough for any small input.
        per_gb: minutes more for each GB of audio that it works on.
        trains: share of the training that its run time is, besides.
    """

    memory: int
    per_mb: float = 0.0
    per_core: int = 0
    decodes: bool = False
    minutes: int = 10
    per_gb: float = 0.0
    trains: float = 0.0


NEEDS = {
    "manifest": Need(200),
    "pack": Need(100, per_gb=2),
    "download": Need(600, per_gb=30),
    "recordings": Need(250, per_core=70, per_gb=6),
    "segment": Need(200, decodes=True, per_gb=2),
    "mel_shards": Need(250, per_core=150, decodes=True, per_gb=4),
    "catalogue": Need(250, per_mb=0.01),
    "near_duplicates": Need(250, per_mb=0.1, per_gb=10),
    "quarantine": Need(200, per_mb=0.01),
    "corpus_figures": Need(300, per_mb=0.01),
    "check_corpus": Need(200, per_mb=0.01),
    "dataset": Need(300, per_mb=0.05),
    "data_figures": Need(350, per_mb=0.1, per_gb=1),
    "train": Need(1200, per_mb=0.3, minutes=15, trains=1),
    "curves": Need(250),
    "export": Need(600),
    "prune": Need(1200, per_mb=0.3, minutes=15, trains=0.5),
    "quantize": Need(800, per_mb=0.1, per_gb=2),
    "score": Need(400, per_mb=0.1, per_gb=10),
    "compare": Need(500, per_mb=0.1, per_gb=5),
    "evaluate": Need(500, per_mb=0.1, per_gb=5),
    "latency": Need(700),
    "comparison_figure": Need(250),
    "bundle": Need(400, per_mb=0.2, per_gb=5),
    "drift": Need(500, per_mb=0.02, per_gb=2),
    "drift_current": Need(300, per_mb=0.2, per_gb=2),
    "predict_manifest": Need(200),
    "predict_batch": Need(300, decodes=True, per_gb=8),
    "predict_merge": Need(150, per_mb=0.05),
}
"""Every rule that runs a job. A test holds the rules of the workflow to this table."""


class Sizes:
    """Bytes of audio that a job works on: those of its batch, or all. Unknown (in a cluster's own job) is nothing."""

    def __init__(self, batches: Sequence[Sequence[int]] = ()) -> None:
        self._batches = batches

    def megabytes(self, batch: str | None) -> float:
        """MB of one batch, or of all."""
        if batch is None:
            return sum(map(sum, self._batches)) / 1e6
        return sum(self._batches[int(batch)]) / 1e6 if int(batch) < len(self._batches) else 0.0

    def largest(self, batch: str | None) -> float:
        """MB of the largest recording of one batch, or of all."""
        chosen = self._batches if batch is None else self._batches[int(batch) : int(batch) + 1]
        return max((size for b in chosen for size in b), default=0) / 1e6


@dataclass(frozen=True)
class Demand:
    """What a job of `stage` asks for.

    Attributes:
        need: of its stage.
        sizes: of the recordings that it works on.
        epochs: of the training.
        max_duration: of a recording, seconds; longer ones are refused while they are decoded.
        gpu: whether it runs on a GPU: then CUDA takes host memory too.
    """

    need: Need
    sizes: Sizes
    epochs: int = 0
    max_duration: float = 0.0
    gpu: bool = False

    def memory(self, batch: str | None, attempt: int, cores: int = 1) -> int:
        """MB; a retry asks for half as much again."""
        n = self.need
        mb = SNAKEMAKE_MB + n.memory + n.per_mb * self.sizes.megabytes(batch) + (4000 if self.gpu else 0)
        mb += n.per_core * (cores - 1)
        if n.decodes:
            minutes = min(self.max_duration / 60, self.sizes.largest(batch) / _SMALLEST_RATE)
            mb += _MB_PER_MINUTE * minutes
        return round(mb * (1 + (attempt - 1) / 2))

    def minutes(self, batch: str | None, attempt: int) -> int:
        """Run time, minutes; a retry asks for twice, three times as much."""
        n, mb = self.need, self.sizes.megabytes(batch)
        epoch = mb * _WINDOWS_PER_MB / _WINDOWS_PER_SECOND / 60
        return round((n.minutes + n.per_gb * mb / 1000 + 2 * n.trains * self.epochs * epoch) * attempt)


class Machine(NamedTuple):
    """A machine type of Google Compute Engine, with its memory in MiB."""

    name: str
    cores: int
    memory: int


_GB = 1024
CPU_MACHINES = [Machine(f"e2-standard-{n}", n, 4 * n * _GB) for n in (2, 4, 8, 16, 32)]
CPU_MACHINES += [Machine(f"n2-standard-{n}", n, 4 * n * _GB) for n in (48, 64, 80, 96, 128)]
MEMORY_MACHINES = [Machine(f"e2-highmem-{n}", n, 8 * n * _GB) for n in (2, 4, 8, 16)]
GPU_MACHINES = [Machine(f"g2-standard-{n}", n, 4 * n * _GB) for n in (4, 8, 12, 16, 32)]
"""With one NVIDIA L4 each."""

GPU_TYPE = "nvidia-l4"


def machine(cores: int, memory: int, gpu: bool) -> Machine:
    """The smallest machine type with `cores`, and with `memory` (MB) beside what its system takes.

    Raises:
        ValueError: none has that much.
    """
    wanted = memory / 1.048576 + _GB
    for kinds in [GPU_MACHINES] if gpu else [CPU_MACHINES[:3], MEMORY_MACHINES, CPU_MACHINES]:
        for kind in kinds:
            if kind.cores >= cores and kind.memory >= wanted:
                return kind
    raise ValueError(
        f"no machine type has {cores} cores and {memory} MB{' and a GPU' if gpu else ''}; use fewer threads"
    )


_BOOT_DISK_GB = {False: 30, True: 60}
"""The system, the image (with CUDA about 9 GB unpacked), and room for the job's files."""


def resources(
    demand: Demand, batch_of: Callable[[Any], str | None], google: bool
) -> dict[str, Callable[..., int | str] | int | str]:
    """The resources of a rule, as Snakemake evaluates them for each job and attempt.

    Args:
        demand: what its jobs ask for.
        batch_of: the batch that a job's wildcards name, or None.
        google: whether to say the same to Google Batch, whose executor knows `threads`, `mem_mb` and `runtime` not.
    """

    def mem_mb(wildcards: Any, attempt: int, threads: int) -> int:
        return demand.memory(batch_of(wildcards), attempt, threads)

    def runtime(wildcards: Any, attempt: int) -> int:
        return demand.minutes(batch_of(wildcards), attempt)

    found: dict[str, Callable[..., int | str] | int | str] = {"mem_mb": mem_mb, "runtime": runtime}
    if demand.gpu:
        found["gpu"] = 1
    if not google:
        return found

    def cpu_milli(wildcards: Any, threads: int) -> int:  # noqa: ARG001 - Snakemake gives it
        return 1000 * threads

    def machine_type(wildcards: Any, threads: int, attempt: int) -> str:
        return machine(threads, mem_mb(wildcards, attempt, threads), demand.gpu).name

    def max_run_duration(wildcards: Any, attempt: int) -> str:
        return f"{60 * runtime(wildcards, attempt) + 600}s"

    def boot_disk_gb(wildcards: Any) -> int:
        return _BOOT_DISK_GB[demand.gpu] + round(4 * demand.sizes.megabytes(batch_of(wildcards)) / 1000)

    found |= {
        "googlebatch_cpu_milli": cpu_milli,
        "googlebatch_memory": lambda wildcards, attempt, threads: round(mem_mb(wildcards, attempt, threads) / 1.048576),
        "googlebatch_machine_type": machine_type,
        "googlebatch_max_run_duration": max_run_duration,
        "googlebatch_boot_disk_gb": boot_disk_gb,
    }
    return found | ({"nvidia_gpu": GPU_TYPE} if demand.gpu else {})
