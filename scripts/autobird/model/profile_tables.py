"""Tables of the events of a profile: time by part of a step and by operator."""

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from torch._C._autograd import DeviceType

from autobird.model.step_parts import BACKWARD, GRAPH, PARTS, VALIDATION, part_of_range

REST = "rest"
"""Time of a step outside of all parts: drawing the order of the windows, Python code of the loop."""

_STEP = re.compile(r"ProfilerStep[#*]")
"""Names of the ranges with which torch marks the steps of a profile."""

_COPIES = ("Memcpy", "Memset")
"""Start of the names of copies of memory on a GPU, which are not kernels."""

_AUTOGRAD = "autograd::engine::"
"""Start of the names of ranges that contain the operators of a backward pass. On a GPU they run in a thread of their own."""


@dataclass
class Profile:
    """The events of some profiled steps, summed up.

    Attributes:
        steps: number of steps.
        step_us: their duration, microseconds.
        validations: number of validations among them.
        part_us: time of each part without the parts inside of it, microseconds.
        operators: by operator and part, and by kernel of the graphs of a GPU: calls, microseconds on the CPU and on the GPU without the
            operators inside of it, and bytes of CPU memory that it took and did not free.
        validation_us: their duration, microseconds.
        kernel_us: time during which the GPU computed, microseconds, without the validations.
    """

    steps: int = 0
    step_us: float = 0.0
    validations: int = 0
    part_us: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    operators: dict[tuple[str, str], list[float]] = field(default_factory=lambda: defaultdict(lambda: [0.0] * 4))
    validation_us: float = 0.0
    kernel_us: float = 0.0

    def add(self, events: Iterable[Any]) -> None:
        """Add the events of a cycle of a profile, `torch.autograd.profiler_util.FunctionEvent`; their times count from its start."""
        on_gpu, validations = list[tuple[str, float, float]](), list[tuple[float, float]]()
        for event in events:
            if event.device_type != DeviceType.CPU:
                if not event.is_user_annotation:
                    on_gpu.append((event.name, event.time_range.start, event.time_range.end))
                continue
            duration = event.time_range.elapsed_us()
            if _STEP.match(event.name):
                self.steps += 1
                self.step_us += duration
                continue
            outer = _part_around(event)
            if (part := part_of_range(event.name)) is not None:
                self.part_us[part] += duration
                if outer:
                    self.part_us[outer] -= duration
                if part == VALIDATION:
                    self.validations += 1
                    validations.append((event.time_range.start, event.time_range.end))
                continue
            numbers = (1, event.self_cpu_time_total, event.self_device_time_total, event.self_cpu_memory_usage)
            sums = self.operators[event.name, outer or REST]
            for i, number in enumerate(numbers):
                sums[i] += number
        if GRAPH in self.part_us:  # the kernels of graphs belong to no operator of the CPU
            for name, start, end in on_gpu:
                if not name.startswith(_COPIES) and not any(first <= start < last for first, last in validations):
                    sums = self.operators[short_kernel_name(name), GRAPH]
                    sums[0] += 1
                    sums[2] += end - start
        self.validation_us += covered(validations)
        self.kernel_us += covered([*((start, end) for _, start, end in on_gpu), *validations]) - covered(validations)

    @property
    def kernel_share(self) -> float:
        """Share of the time of the steps during which the GPU computes, without the validations; 0 without a GPU."""
        time = self.step_us - self.validation_us
        return self.kernel_us / time if time > 0 else 0.0


def short_kernel_name(name: str) -> str:
    """Return the name of a kernel without its arguments and namespaces."""
    plain = name.removeprefix("void ").replace("(anonymous namespace)", "")
    return re.split(r"[<(]", plain, maxsplit=1)[0].rpartition("::")[2] or name


def covered(spans: Sequence[tuple[float, float]]) -> float:
    """Return the length of the union of intervals, each given by start and end."""
    total, reached = 0.0, -np.inf
    for start, end in sorted(spans):
        total += max(0.0, end - max(start, reached))
        reached = max(reached, end)
    return total


def _part_around(event: Any) -> str | None:
    """Return the innermost part that contains an event; None if there is none."""
    outer, name = event.cpu_parent, event.name
    while outer is not None:
        if (part := part_of_range(outer.name)) is not None:
            return part
        name, outer = outer.name, outer.cpu_parent
    return BACKWARD if name.startswith(_AUTOGRAD) else None


def parts_table(profile: Profile, steps_per_epoch: int, validation_scale: float) -> pd.DataFrame:
    """Return the time of each part, in the order of `PARTS`, with the rest at the end.

    Args:
        profile: the profiled steps.
        steps_per_epoch: number of steps of an epoch.
        validation_scale: time of the validations of an epoch, on average, relative to one of the validations of the profile.

    Returns:
        Columns `part`, `ms` (milliseconds per step, or per validation of the profile), `epoch_seconds` and `share` of an epoch.
        Parts that did not run are left out.
    """
    steps, part_us = max(1, profile.steps), dict(profile.part_us)
    # With a GPU, a thread reads labels and windows for the next step while the other parts run, so these can add up to more than the steps.
    part_us[REST] = max(0.0, profile.step_us - sum(part_us.values()))
    rows = []
    for part in (*PARTS, REST):
        if part not in part_us:
            continue
        is_validation = part == VALIDATION
        ms = part_us[part] / 1000 / (profile.validations if is_validation else steps)
        seconds = ms / 1000 * (validation_scale if is_validation else steps_per_epoch)
        rows.append({"part": part, "ms": ms, "epoch_seconds": seconds})
    table = pd.DataFrame(rows, columns=["part", "ms", "epoch_seconds"])
    table["share"] = table["epoch_seconds"] / max(1e-12, float(table["epoch_seconds"].sum()))
    return table


def operators_table(profile: Profile, memory: Profile) -> pd.DataFrame:
    """Return the time of each operator in each part, the longest first.

    Args:
        profile: the profiled steps.
        memory: profiled steps with memory.

    Returns:
        Columns `operator`, `part`, `calls` per step, `cpu_ms` and `gpu_ms` per step without the operators inside of it, and
        `memory_mb`, the CPU memory per step that it took and did not free itself. Operators of a validation are given per step, too.
    """
    steps = max(1, profile.steps)
    rows = [
        {
            "operator": operator,
            "part": part,
            "calls": calls / steps,
            "cpu_ms": cpu / 1000 / steps,
            "gpu_ms": gpu / 1000 / steps,
            "memory_mb": memory.operators.get((operator, part), [0.0] * 4)[3] / 1e6 / max(1, memory.steps),
        }
        for (operator, part), (calls, cpu, gpu, _) in profile.operators.items()
    ]
    table = pd.DataFrame(rows, columns=["operator", "part", "calls", "cpu_ms", "gpu_ms", "memory_mb"])
    order = (table["cpu_ms"] + table["gpu_ms"]).sort_values(ascending=False, kind="stable").index
    return table.loc[order].reset_index(drop=True)
