"""Stage `comparison_figure`: plot macro-F1, size and speed of all variants."""

from collections.abc import Sequence
from itertools import compress
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from autobird.core.files import read_json
from autobird.core.plots import BLUE, GREY, ORANGE, figure, save
from autobird.core.stage import parser, run, stage


def comparison_figure(path: Path, table: pd.DataFrame, latency: dict[str, Any]) -> None:
    """Write a figure of three panels with one row per variant; of several, the released one is orange.

    A student's teacher and the network without a teacher have a row in the first panel only: they are not released.

    Args:
        path: image file to write.
        table: `comparison.csv` of stage `compare`.
        latency: `latency.json` of stage `latency`.
    """
    test = table[table["split"] == "test"].reset_index(drop=True)
    y = np.arange(len(test))[::-1]
    several = len(test) > 1
    colours = [ORANGE if released and several else BLUE for released in test["released"]]
    fig, axes = figure(11, 1.4 + 0.4 * len(test), columns=3, sharey=True)
    low, high = test["macro_f1"] - test["macro_f1_low"], test["macro_f1_high"] - test["macro_f1"]
    for i, colour in enumerate(colours):
        axes[0].errorbar(
            test["macro_f1"][i], y[i], xerr=[[low[i]], [high[i]]], fmt="o", color=colour, ecolor=GREY, capsize=3
        )
    axes[0].set_xlabel("macro-F1 per test recording, with interval")
    axes[0].set_yticks(y, test["variant"])
    axes[0].grid(axis="x", alpha=0.3)
    axes[0].set_ylim(-0.6, len(test) - 0.4)
    measured = [name in latency["windows_per_second"] for name in test["variant"]]
    test, y, colours = test[measured], y[measured], list(compress(colours, measured))
    backbone = latency["backbone"]
    size = test.get("backbone_bytes", pd.Series([0])).max()
    beside = f"\n(backbone {backbone}: {size / 1e6:.1f} MB more)" if backbone else ""
    _bars(axes[1], y, test["bytes"].to_numpy() / 1000, colours, f"size, kB{beside}")
    speed = [latency["windows_per_second"][name] for name in test["variant"]]
    speedup = [latency["times_eager"][name] for name in test["variant"]]
    included = f"\n{'with' if latency['includes_backbone'] else 'without'} the backbone {backbone}" if backbone else ""
    _bars(axes[2], y, np.array(speed), colours, f"windows/s, one thread (ratio to torch){included}", speedup)
    released = ", ".join(test.loc[test["released"], "variant"]) or "none"
    which = "orange" if several else "the only variant"
    fig.suptitle(f"released: {released} ({which})" if test["released"].any() else "released: none", fontsize=10)
    save(fig, path)


def _bars(ax: Any, y: Any, values: Any, colours: list[str], label: str, speedup: Any = None) -> None:
    ax.barh(y, values, color=colours, height=0.6)
    for i, value in enumerate(values):
        factor = f" ({speedup[i]:.1f}x)" if speedup else ""
        ax.text(value, y[i], f" {value:.0f}{factor}", va="center", fontsize=9)
    ax.set_xlim(0, float(np.max(values)) * 1.35)
    ax.locator_params(axis="x", nbins=5)
    ax.set_xlabel(label)


def main(argv: Sequence[str] | None = None) -> None:
    """Run the stage from the command line."""
    p = parser(__doc__)
    p.add_argument("--comparison", type=Path, required=True)
    p.add_argument("--latency", type=Path, required=True)
    p.add_argument("--output", type=Path, required=True)
    args = p.parse_args(argv)
    with stage("comparison_figure", args, [args.output]):
        comparison_figure(args.output, pd.read_csv(args.comparison), read_json(args.latency))


if __name__ == "__main__":
    run(main)
