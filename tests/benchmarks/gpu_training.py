"""Speed of the training on a GPU, and the share of the time in which the GPU computes; see docs/training-gpu.md.

    python -m tests.benchmarks.gpu_training

Measures steps of the original's loop and of this one in turn, with and without CUDA graphs and windows on the GPU, in all number formats.
"""

import argparse
import json
import statistics
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import numpy as np
import torch
from torch._C._autograd import DeviceType
from torch.profiler import ProfilerActivity, profile, schedule

from autobird.dataset.label_sets import LabelSets
from autobird.model import loop
from autobird.model.data import WindowDataset
from autobird.model.networks import build_network
from autobird.model.precision import make_deterministic, select_precision
from autobird.model.profile_tables import Profile
from autobird.model.settings import TrainSettings
from autobird.model.shares import StepInputs
from autobird.model.step_graphs import StepGraphs
from tests.benchmarks.original_loop import original_step

SPECIES, WINDOWS, FRAMES, MELS = 13, 4096, 157, 64
WARM_UP, PROFILED = 12, 12
Step = Callable[[], Any]


class SingleKernels(StepGraphs):
    """Runs all steps without graphs."""

    def run(self, inputs: StepInputs) -> torch.Tensor:
        """Compute a step."""
        return self.compute(inputs.on(self.device))


def data() -> WindowDataset:
    """Return windows of noise, each a recording of its own."""
    frames = np.random.default_rng(0).normal(-8, 3, (WINDOWS * FRAMES, MELS)).astype(np.float16)
    labels = LabelSets(np.eye(SPECIES, dtype=bool)[np.arange(WINDOWS) % SPECIES], np.ones((WINDOWS, SPECIES), bool))
    first = np.arange(WINDOWS) * FRAMES
    return WindowDataset([frames], np.zeros(WINDOWS, np.int64), first, labels, np.arange(WINDOWS), FRAMES)


def original_step_on_gpu(windows: WindowDataset, settings: TrainSettings) -> Step:
    """Return a step of the original's loop with float32 windows on the GPU."""
    torch.manual_seed(0)
    network = build_network(settings, SPECIES, -8.0, 3.0).cuda()
    x, y = windows.take(np.arange(WINDOWS)).contiguous().cuda(), (torch.arange(WINDOWS) % SPECIES).cuda()
    return original_step(network, x, y, settings, np.random.default_rng(1))


def own_step(windows: WindowDataset, settings: TrainSettings, is_resident: bool, has_graphs: bool) -> Step:
    """Return a step of this loop."""
    torch.manual_seed(0)
    network = build_network(settings, SPECIES, -8.0, 3.0)
    with mock.patch.object(loop, "resident", loop.resident if is_resident else lambda w, _: w):
        trainer = loop.Trainer(network, windows, windows, settings, select_precision(settings))
    if not has_graphs:
        trainer._graphs = SingleKernels(trainer._compute_alone, trainer.compute.device) if trainer._graphs else None
    rng = np.random.default_rng(1)

    def steps() -> Iterator[None]:
        while True:
            batches = [rng.integers(0, WINDOWS, settings.batch_size) for _ in range(1000)]
            for rows, drawn in trainer._drawn(batches):
                trainer._step(rows, drawn)
                yield

    running = steps()
    return lambda: next(running)


def steps_per_second(step: Step, seconds: float) -> float:
    """Return the steps per second of the clock."""
    torch.cuda.synchronize()
    count, start = 0, time.perf_counter()
    while time.perf_counter() - start < seconds:
        for _ in range(10):
            step()
        count += 10
    torch.cuda.synchronize()
    return count / (time.perf_counter() - start)


def kernels_of(step: Step) -> tuple[float, Counter[str]]:
    """Return the share of the time of some steps during which the GPU computes, and the milliseconds of each kernel in a step."""
    found, kernels = Profile(), Counter[str]()

    def add(profiler: Any) -> None:
        events = profiler.events()
        found.add(events)
        for event in events:
            if event.device_type != DeviceType.CPU and not event.is_user_annotation:
                kernels[event.name] += event.time_range.elapsed_us() / 1000 / PROFILED

    plan = schedule(wait=0, warmup=5, active=PROFILED, repeat=1)
    with profile(
        activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA],
        schedule=plan,
        on_trace_ready=add,
    ) as profiler:
        for _ in range(5 + PROFILED):
            step()
            profiler.step()
    return found.kernel_share, kernels


CASES = [
    ("resnet", {}),
    ("cnn_transformer", {"architecture": "cnn_transformer"}),
    ("resnet, 64 windows", {"batch_size": 64}),
]
DEFAULT = "on the GPU, graphs (default)"
VARIANTS: dict[str, tuple[dict[str, Any], bool, bool]] = {
    "from shards, single kernels": ({}, False, False),
    "on the GPU, single kernels": ({}, True, False),
    DEFAULT: ({}, True, True),
    "the same in float32": ({"precision": "float32"}, True, True),
    "the same in float16, single kernels": ({"precision": "float16"}, True, False),
}


def main() -> None:
    """Print a table for each network, as Markdown."""
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--rounds", type=int, default=5)
    p.add_argument("--seconds", type=float, default=0.5, help="duration of one measurement")
    p.add_argument("--kernels", type=int, default=0, help="kernels to list")
    p.add_argument("--only", choices=[name for name, _ in CASES], help="the one network to measure")
    args = p.parse_args()
    make_deterministic(1)
    windows = data()
    print(torch.cuda.get_device_name(), torch.__version__, flush=True)
    for name, changes in CASES:
        if args.only not in (None, name):
            continue
        settings = TrainSettings.model_validate({"threads": 1} | changes)
        steps = {"original's loop": original_step_on_gpu(windows, settings)}
        for variant, (more, is_resident, has_graphs) in VARIANTS.items():
            own = TrainSettings.model_validate({"threads": 1} | changes | more)
            steps[variant] = own_step(windows, own, is_resident, has_graphs)
        for step in steps.values():
            for _ in range(WARM_UP):
                step()
        found: dict[str, list[float]] = {variant: [] for variant in steps}
        for _ in range(args.rounds):
            for variant, step in steps.items():
                found[variant].append(steps_per_second(step, args.seconds) * settings.batch_size)
        profiles = {variant: kernels_of(step) for variant, step in steps.items()}
        print(
            f"\n{name}: batches of {settings.batch_size}\n\n| loop | windows/s | ratio | GPU computes |\n| --- | ---: | ---: | ---: |"
        )
        first = found["original's loop"]
        for variant, speeds in found.items():
            ratio = statistics.median(a / b for a, b in zip(speeds, first, strict=True))
            print(
                f"| {variant} | {statistics.median(speeds):,.0f} | {ratio:.2f} | {profiles[variant][0]:.0%} |",
                flush=True,
            )
        of_default = profiles[DEFAULT][1]
        print(f"\nkernels of a step of {DEFAULT}: {of_default.total():.2f} ms")
        for kernel, ms in of_default.most_common(args.kernels):
            print(f"{ms:.3f} ms  {kernel[:110]}")
        print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
