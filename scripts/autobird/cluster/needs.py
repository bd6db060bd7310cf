"""Memory, run time and GPU that each rule requests, and the machine type of Google Cloud that provides them.

Memory is the measured peak (`docs/costs.md`) plus a margin, plus the memory of Snakemake itself in a cluster job. Each
retry requests more. Requests do not change what a rule computes.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

SNAKEMAKE_MB = 500
"""Memory of the two Snakemake processes that run beside a stage in a cluster job (one of the job, one of its step), MB."""

_MB_PER_MINUTE = 4.5
"""Memory needed to decode a recording, MB per minute of audio (measured on 60 minutes of ogg, mp3 and flac: 4.0)."""

_SMALLEST_RATE = 0.35
"""Size of the most strongly compressed recordings that are expected, MB per minute of audio: 48 kbit/s."""

_WINDOWS_PER_MB = 17.0
"""Windows per MB of audio file: one window every 2.5 s, and mp3 of about 190 kbit/s."""

_WINDOWS_PER_SECOND = 250.0
"""Training speed on two cores of a CPU without bfloat16, windows per second."""


@dataclass(frozen=True)
class Need:
    """Memory and run time of a stage.

    Attributes:
        memory: peak memory for a small input, MB.
        per_mb: additional memory per MB of audio files in the input, MB.
        per_core: additional memory for each core after the first (each core has its own process), MB.
        per_device: additional memory for each process of a training after the first (`train.devices`), MB.
        decodes: whether the stage holds one decoded recording in memory.
        minutes: run time that is enough for a small input, minutes.
        per_gb: additional run time per GB of audio files in the input, minutes.
        trains: additional run time, as a share of the duration of the training.
    """

    memory: int
    per_mb: float = 0.0
    per_core: int = 0
    per_device: int = 0
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
    "embed": Need(450, per_core=250, per_gb=60),
    "unlabelled_manifest": Need(200),
    "teach": Need(600, per_core=350, minutes=60, per_gb=10),
    "catalogue": Need(250, per_mb=0.01),
    "landmark_votes": Need(1000, per_gb=2),
    "near_duplicates": Need(350, per_mb=0.01, per_gb=10),
    "quarantine": Need(200, per_mb=0.01),
    "corpus_figures": Need(300, per_mb=0.01),
    "check_corpus": Need(200, per_mb=0.01),
    "dataset": Need(300, per_mb=0.05),
    "data_figures": Need(350, per_mb=0.1, per_gb=1),
    "train": Need(1200, per_mb=0.3, per_device=900, minutes=15, trains=1),
    "train_head": Need(
        650, per_mb=0.7, minutes=15, per_gb=30
    ),  # 6 bytes per value of an embedding, in dense recordings
    "profile": Need(1800, per_mb=0.3, minutes=20),
    "curves": Need(250),
    "export": Need(600),
    "prune": Need(1200, per_mb=0.3, minutes=15, trains=0.5),
    "ensemble": Need(600, per_mb=0.3, per_gb=10),
    "ensemble_answers": Need(400, per_mb=0.2, per_gb=10),
    "quantize": Need(800, per_mb=0.1, per_gb=2),
    "score": Need(400, per_mb=0.1, per_gb=10),
    "compare": Need(500, per_mb=0.1, per_gb=5),
    "evaluate": Need(500, per_mb=0.1, per_gb=5),
    "ranking_curves": Need(500, per_mb=0.1, per_gb=5),
    "confusions": Need(500, per_mb=0.2, per_gb=2),
    "weaknesses": Need(500, per_mb=0.2, per_gb=5),
    "track": Need(500, per_mb=0.1),
    "possibly_heard": Need(500, per_mb=0.1),
    "with_backbone": Need(700, per_mb=0.2),
    "learning_curve": Need(
        700, per_mb=0.7, minutes=60, per_gb=10
    ),  # 4 bytes; the fits use at most about 20,000 windows
    "pool": Need(500, per_mb=0.3, per_gb=15),
    "crossval_references": Need(500, per_mb=0.4, per_gb=30),
    "sweep_rung": Need(500, per_mb=0.3, per_gb=30),
    "sweep_report": Need(300),
    "track_sweep": Need(500),
    "latency": Need(700),
    "comparison_figure": Need(250),
    "bundle": Need(400, per_mb=0.2, per_gb=5),
    "drift": Need(500, per_mb=0.02, per_gb=2),
    "drift_current": Need(300, per_mb=0.2, per_gb=2),
    "predict_manifest": Need(200),
    "predict_batch": Need(350, minutes=30, per_gb=8),  # a decoder that hangs is stopped after ten minutes
    "predict_merge": Need(150, per_mb=0.05),
    "field_manifest": Need(200),
    "field_demo": Need(600, per_gb=60),
    "field_recordings": Need(250, per_core=70, per_gb=6),
    "field_leakage": Need(300, per_mb=0.1, per_gb=10),
    "field_predict": Need(350, per_mb=0.3, minutes=30, per_gb=8),
    "field_evaluate": Need(500, per_mb=0.3, minutes=15, per_gb=30),
}
"""Needs of every rule that runs a job, by its name. A test compares the names with the rules of the workflow."""

BACKBONE_NEEDS = {
    "bundle": Need(800, per_mb=0.2, per_gb=5),
    "predict_batch": Need(600, minutes=30, per_gb=60),
    "field_predict": Need(600, per_mb=0.3, minutes=30, per_gb=60),
}
"""Needs of rules that predict with a bundle, if it needs a backbone: BirdNET takes 200 MB, and most of the run time."""


def epochs_of_student(epochs: int, batch_size: int, teacher_batch: int) -> int:
    """Return how many epochs of a network without a teacher take as long as a student's, whose steps have the windows of the teacher, too.

    40 epochs of a student, with 48 windows beside 16, took 570 to 760 s of processor time, 60 epochs without a teacher 220 to 300 s.
    """
    return round(epochs * (1 + teacher_batch / batch_size))


class AudioSizes:
    """Sizes of the audio files that a job processes: those of its batch, or all.

    Args:
        batches: for each batch, the sizes of its files, bytes. Empty if unknown, as in a cluster job, where Snakemake parses
            the workflow again but the requests are already made.
    """

    def __init__(self, batches: Sequence[Sequence[int]] = ()) -> None:
        self._batches = batches

    def megabytes(self, batch: str | None) -> float:
        """Return the total size of the files of one batch, or of all batches, MB."""
        if batch is None:
            return sum(map(sum, self._batches)) / 1e6
        return sum(self._batches[int(batch)]) / 1e6 if int(batch) < len(self._batches) else 0.0

    def largest(self, batch: str | None) -> float:
        """Return the size of the largest file of one batch, or of all batches, MB."""
        chosen = self._batches if batch is None else self._batches[int(batch) : int(batch) + 1]
        return max((size for b in chosen for size in b), default=0) / 1e6


@dataclass(frozen=True)
class ResourceRequest:
    """Memory and run time that the jobs of a rule request.

    Attributes:
        need: needs of the stage.
        sizes: sizes of the audio files that the jobs process.
        epochs_of: returns the number of epochs of the training from a job's wildcards; members of a run can differ in it.
        max_duration: longest accepted recording, seconds; decoding stops at this limit.
        gpu: whether the job runs on a GPU; CUDA then needs main memory, too.
        devices: number of processes on each node, each with a GPU of its own if the job runs on GPUs.
        nodes: number of nodes; memory and cores are those of one of them.
    """

    need: Need
    sizes: AudioSizes
    epochs_of: Callable[[Any], int]
    max_duration: float = 0.0
    gpu: bool = False
    devices: int = 1
    nodes: int = 1

    def memory(self, batch: str | None, attempt: int, cores: int = 1) -> int:
        """Return the memory of a job, MB; each further attempt requests half of the first request more."""
        n = self.need
        mb = SNAKEMAKE_MB + n.memory + n.per_mb * self.sizes.megabytes(batch) + (4000 * self.devices if self.gpu else 0)
        mb += n.per_core * (cores - 1) + n.per_device * (self.devices - 1)
        if n.decodes:
            minutes = min(self.max_duration / 60, self.sizes.largest(batch) / _SMALLEST_RATE)
            mb += _MB_PER_MINUTE * minutes
        return round(mb * (1 + (attempt - 1) / 2))

    def minutes(self, batch: str | None, epochs: int, attempt: int) -> int:
        """Return the run time of a job, minutes; attempt n requests n times as much as the first."""
        n, mb = self.need, self.sizes.megabytes(batch)
        epoch = mb * _WINDOWS_PER_MB / _WINDOWS_PER_SECOND / 60
        return round((n.minutes + n.per_gb * mb / 1000 + 2 * n.trains * epochs * epoch) * attempt)


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
"""Machine types with one NVIDIA L4 each."""

GPU_TYPE = "nvidia-l4"


def machine(cores: int, memory: int, gpu: bool) -> Machine:
    """Return the smallest machine type that has enough cores and memory.

    Args:
        cores: number of cores.
        memory: memory of the job, MB; 1 GiB is added for the operating system.
        gpu: whether the machine needs a GPU.

    Raises:
        ValueError: no machine type is large enough.
    """
    wanted = memory / 1.048576 + _GB
    # In this order: standard machines of up to 8 cores, machines with more memory per core, larger standard machines.
    for machines in [GPU_MACHINES] if gpu else [CPU_MACHINES[:3], MEMORY_MACHINES, CPU_MACHINES]:
        for candidate in machines:
            if candidate.cores >= cores and candidate.memory >= wanted:
                return candidate
    raise ValueError(
        f"no machine type has {cores} cores and {memory} MB{' and a GPU' if gpu else ''}; use fewer threads"
    )


_BOOT_DISK_GB = {False: 30, True: 60}
"""Size of the boot disk without and with a GPU, GB: operating system, container image (with CUDA about 9 GB unpacked), and
space for the files of the job."""


def resources(
    request: ResourceRequest, batch_of: Callable[[Any], str | None], google: bool
) -> dict[str, Callable[..., int | str] | int | str]:
    """Return the resources of a rule; Snakemake evaluates the functions for each job and attempt.

    Args:
        request: memory and run time of the jobs.
        batch_of: returns the batch in a job's wildcards, or None.
        google: whether to add the resources for the Google Batch executor, which ignores `threads`, `mem_mb` and `runtime`.
    """

    def mem_mb(wildcards: Any, attempt: int, threads: int) -> int:
        return request.memory(batch_of(wildcards), attempt, threads)

    def runtime(wildcards: Any, attempt: int) -> int:
        return request.minutes(batch_of(wildcards), request.epochs_of(wildcards), attempt)

    named: dict[str, Callable[..., int | str] | int | str] = {"mem_mb": mem_mb, "runtime": runtime}
    if request.nodes > 1:
        # For Slurm: one task on each node, which the job itself starts (`mpi`). GPUs are given per node; `gpu` would be the number of
        # all nodes together, which Slurm may divide unevenly among them.
        named |= {"nodes": request.nodes, "tasks": request.nodes, "mpi": "srun"}
        if request.gpu:
            named |= {"gres": f"gpu:{request.devices}", "tasks_per_gpu": 0}
    elif request.gpu:
        named["gpu"] = request.devices
    if not google:
        return named

    def cpu_milli(wildcards: Any, threads: int) -> int:  # noqa: ARG001 - Snakemake passes it
        return 1000 * threads

    def machine_type(wildcards: Any, threads: int, attempt: int) -> str:
        return machine(threads, mem_mb(wildcards, attempt, threads), request.gpu).name

    def max_run_duration(wildcards: Any, attempt: int) -> str:
        return f"{60 * runtime(wildcards, attempt) + 600}s"

    def boot_disk_gb(wildcards: Any) -> int:
        return _BOOT_DISK_GB[request.gpu] + round(4 * request.sizes.megabytes(batch_of(wildcards)) / 1000)

    named |= {
        "googlebatch_cpu_milli": cpu_milli,
        "googlebatch_memory": lambda wildcards, attempt, threads: round(mem_mb(wildcards, attempt, threads) / 1.048576),
        "googlebatch_machine_type": machine_type,
        "googlebatch_max_run_duration": max_run_duration,
        "googlebatch_boot_disk_gb": boot_disk_gb,
    }
    return named | ({"nvidia_gpu": GPU_TYPE} if request.gpu else {})
