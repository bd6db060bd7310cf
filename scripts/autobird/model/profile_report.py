"""The profile of a training as text and as a figure."""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from autobird.core.plots import BLUE, GREEN, GREY, ORANGE, figure, save
from autobird.model.profile_tables import REST
from autobird.model.step_parts import (
    AUGMENTATION,
    AVERAGE,
    BACKWARD,
    CHECKS,
    FORWARD,
    GRAPH,
    OPTIMIZER,
    READING,
    VALIDATION,
)

_OPERATORS_IN_TEXT, _OPERATORS_IN_FIGURE = 40, 15

_COLOURS = {FORWARD: BLUE, BACKWARD: ORANGE, OPTIMIZER: GREEN}
_OTHER = "other parts"
_DESCRIPTIONS = {
    READING: "reading the windows from the shards",
    AUGMENTATION: "augmentation of the windows",
    FORWARD: "network and loss",
    BACKWARD: "gradient",
    OPTIMIZER: "clipping and update of the weights",
    AVERAGE: "moving average of the weights",
    GRAPH: "start of the CUDA graph, which holds the parts from the augmentation to the moving average",
    CHECKS: "checks for NaN and infinity; on a GPU, the wait for its results",
    VALIDATION: "validation",
    REST: "all else",
}


def summary(parts: pd.DataFrame, operators: pd.DataFrame, facts: Mapping[str, str], kernel_share: float | None) -> str:
    """Return the profile as text: what was measured, the parts, and the operators that take the most time.

    Args:
        parts: see `parts_table`.
        operators: see `operators_table`.
        facts: what was measured, by name.
        kernel_share: share of the time in which the GPU computes; None without a GPU.
    """
    lines = [f"{name}: {value}" for name, value in facts.items()]
    if kernel_share is not None:
        lines.append(
            f"GPU busy: {kernel_share:.0%} of the time outside of the validations; the times of the parts are those of the CPU, which also "
            "waits for the GPU; with CUDA graphs, the reading for the next step runs in a thread at the same time"
        )
    lines += ["", f"{'part':<16} {'ms':>9} {'s/epoch':>9} {'share':>6}"]
    for row in parts.itertuples():
        lines.append(
            f"{row.part:<16} {row.ms:9.3f} {row.epoch_seconds:9.3f} {row.share:6.1%}  {_DESCRIPTIONS[row.part]}"
        )
    lines += ["ms: per step; of the validation, per pass over its profiled windows", ""]
    head = f"{'operator':<44} {'part':<16} {'calls':>7} {'CPU ms':>9} {'GPU ms':>9} {'MB':>9}"
    lines += [
        "Per step without validation, without the operators that an operator calls; MB: CPU memory that it took and did not free",
        "",
        head,
    ]
    for row in _of_steps(operators).head(_OPERATORS_IN_TEXT).itertuples():
        name = row.operator if len(row.operator) <= 44 else row.operator[:41] + "..."
        lines.append(
            f"{name:<44} {row.part:<16} {row.calls:7.1f} {row.cpu_ms:9.3f} {row.gpu_ms:9.3f} {row.memory_mb:9.2f}"
        )
    return "\n".join(lines) + "\n"


def _of_steps(operators: pd.DataFrame) -> pd.DataFrame:
    """Return the operators of steps: a profile has more validations per step than a training."""
    return operators[operators["part"] != VALIDATION]


def profile_figure(path: Path, parts: pd.DataFrame, operators: pd.DataFrame) -> None:
    """Plot the time of the parts of an epoch, and of the operators that take the most time in a step.

    Args:
        path: PNG file.
        parts: see `parts_table`.
        operators: see `operators_table`.
    """
    fig, (left, right) = figure(11, 4.6, columns=2, width_ratios=[1, 1.35])
    left.barh(parts["part"], parts["epoch_seconds"], color=[_COLOURS.get(part, GREY) for part in parts["part"]])
    for y, (seconds, share) in enumerate(zip(parts["epoch_seconds"], parts["share"], strict=True)):
        left.annotate(f"{share:.1%}", (seconds, y), (3, 0), textcoords="offset points", va="center", fontsize=9)
    left.invert_yaxis()
    left.set_xlim(0, 1.18 * max(1e-9, float(parts["epoch_seconds"].max())))
    left.set_xlabel("time per epoch, s (share of the epoch)")

    on_gpu = bool(operators["gpu_ms"].sum() > 0)
    longest = _of_steps(operators)
    if on_gpu:
        longest = longest.sort_values("gpu_ms", ascending=False, kind="stable")
    longest = longest.head(_OPERATORS_IN_FIGURE)
    time = longest["gpu_ms"] if on_gpu else longest["cpu_ms"]
    names = [name.removeprefix("aten::") for name in longest["operator"]]
    names = [name if len(name) <= 34 else name[:31] + "..." for name in names]
    right.barh(range(len(longest)), time, color=[_COLOURS.get(part, GREY) for part in longest["part"]])
    right.set_yticks(range(len(longest)), names, fontsize=9)
    right.invert_yaxis()
    right.set_xlabel(f"time of the operator per step on the {'GPU' if on_gpu else 'CPU'}, ms")
    for part, colour in (*_COLOURS.items(), (_OTHER, GREY)):
        right.barh([0], [0], color=colour, label=part)
    right.legend(loc="lower right", title="in the part")
    save(fig, path)
