"""The figure of the learning curve: macro-F1 against the number of recordings, and the gain of each species."""

from pathlib import Path
from typing import Any

import numpy as np

from autobird.core.plots import BLUE, GREY, ORANGE, figure, height_of_rows, save
from autobird.core.wording import counted
from autobird.evaluation.learning_curve_text import GAINS

_TICK_DISTANCE = 0.09
"""Smallest distance of two numbers on the axis of recordings that do not touch, as a share of its length."""


def learning_curve_figure(path: Path, result: dict[str, Any]) -> None:
    """Plot macro-F1 against the number of training recordings of a species, and the gain of F1 by doubling them.

    Args:
        path: PNG file.
        result: content of `learning_curve.json`.
    """
    species = result["species"]
    height, font = height_of_rows(len(species), 1.7, 4.2, 0.27)
    fig, (left, right) = figure(11.5, height, columns=2, gridspec_kw={"width_ratios": [1, 1.1]})
    _plot_curve(left, result)
    _plot_gains(right, species, font)
    fig.suptitle(
        f"{counted(result['test_recordings'], 'test recording')} in {counted(result['test_groups'], 'group')}, "
        f"{result['confidence']:.0%} confidence intervals",
        fontsize=10,
    )
    save(fig, path)


def _plot_curve(ax: Any, result: dict[str, Any]) -> None:
    for entry in result["species"].values():
        known = [(p["recordings"], p["f1"]["value"]) for p in entry["curve"] if p["f1"] and p["recordings"] > 0]
        if known:
            ax.plot(*zip(*known, strict=True), color=GREY, linewidth=0.8, alpha=0.5)
    points = [p for p in result["curve"] if p["macro_f1"]]
    x = [p["recordings"] for p in points]
    value, low, high = (np.array([p["macro_f1"][key] for p in points], float) for key in ("value", "low", "high"))
    bars = [np.nan_to_num(value - low).clip(0), np.nan_to_num(high - value).clip(0)]
    ax.errorbar(x, value, yerr=bars, fmt="o-", color=BLUE, capsize=3, linewidth=2, label="all species (macro-F1)")
    ax.plot([], [], color=GREY, linewidth=0.8, label="each species (F1)")
    ax.set_xscale("log", base=2)
    largest = max([*x, *(p["recordings"] for e in result["species"].values() for p in e["curve"])], default=2)
    ticks = _ticks(x[-1] if x else largest, largest)
    ax.set_xticks(ticks, [f"{round(t, 1 if t < 100 else 0):g}" for t in ticks])
    ax.minorticks_off()
    ax.set_ylim(0, 1.02)
    ax.set_xlabel("training recordings of a species (mean, logarithmic scale)")
    ax.set_ylabel("F1 of the most probable species per test recording")
    ax.grid(alpha=0.3)
    ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2, fontsize=9)


def _ticks(last: float, largest: float) -> list[float]:
    """Return the powers of two up to `largest`, and `last` instead of those whose numbers would touch its number."""
    powers = [2.0**n for n in range(1, int(np.floor(np.log2(max(2.0, largest)))) + 1)]
    distance = _TICK_DISTANCE * np.log2(max(2.0, largest / 2))
    return sorted([*(p for p in powers if abs(np.log2(p / last)) > distance), last])


def _plot_gains(ax: Any, species: dict[str, Any], font: int) -> None:
    known = {
        name: e for name, e in species.items() if e["gain_of_doubling"] and e["gain_of_doubling"]["low"] is not None
    }
    names = sorted(species, key=lambda n: (n in known, known[n]["gain_of_doubling"]["value"] if n in known else 0.0, n))
    inside = ax.get_yaxis_transform()
    for y, name in enumerate(names):
        if name not in known:
            # At the left end of the panel, wherever the gains of the other species put the axis.
            ax.text(0.02, y, "too few recordings", va="center", fontsize=8, color=GREY, transform=inside)
            continue
        gain = known[name]["gain_of_doubling"]
        colour = ORANGE if known[name]["conclusion"] == GAINS else BLUE
        bars = [[gain["value"] - gain["low"]], [gain["high"] - gain["value"]]]
        ax.errorbar([gain["value"]], [y], xerr=bars, fmt="o", color=colour, ecolor=colour, capsize=3, alpha=0.9)
    ax.axvline(0, color=GREY, linewidth=1)
    if not known:
        ax.set_xlim(-0.5, 0.5)
    labels = [f"{name} ({species[name]['train_recordings']:g}, {species[name]['test_groups']})" for name in names]
    ax.set_yticks(range(len(names)), labels, fontsize=font, style="italic")
    ax.set_ylim(-0.6, len(names) - 0.4)
    ax.set_xlabel("gain of F1 by doubling the recordings (orange: interval above 0)")
    ax.set_title("species (training recordings, test groups)", fontsize=10)
    ax.grid(axis="x", alpha=0.3)
