"""Figures of the evaluation on field recordings."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from autobird.core.plots import BLUE, GREY, ORANGE, figure, make_logarithmic, save

_MAX_BARS = 40
"""Largest number of species or sites that have a row in a figure."""

_LEGEND_GAP = 4.5
"""Gap between an axis and the legend below it, in units of the font size: room for the numbers and the label of the axis."""

_LEAST_RATE = 0.1
"""Lower end of the axes of false alarms per hour, which are logarithmic; lower if one false alarm in all hours is rarer."""


def precision_recall_figure(path: Path, curves: pd.DataFrame, species: pd.DataFrame, metrics: dict[str, Any]) -> None:
    """Plot precision against recall of the windows for all thresholds, and the event scores of each species.

    Args:
        path: PNG file.
        curves: see `field_curves.curves_of`.
        species: see `field_evaluate.species_table`.
        metrics: content of metrics.json.
    """
    rows = species[(species["windows"] > 0) | (species["events"] > 0)].head(_MAX_BARS)
    fig, (left, right) = figure(12, float(np.clip(2.4 + 0.3 * len(rows), 4.6, 16)), columns=2)
    for name, curve in curves.dropna(subset=["precision", "recall"]).groupby("species"):
        bold = name == ""
        left.plot(
            curve["recall"], curve["precision"], color=BLUE if bold else GREY, linewidth=2.2 if bold else 0.8,
            alpha=1 if bold else 0.6, label="all species pooled" if bold else None, zorder=3 if bold else 2,
        )  # fmt: skip
    delivered = (
        [metrics["by_window"][f"detection_{name}"] for name in ("recall", "precision")] if metrics["by_window"] else []
    )
    if delivered and None not in delivered:
        left.plot(*(d["value"] for d in delivered), "o", color=ORANGE, label="thresholds of the bundle", zorder=4)
    left.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), xlabel="recall", ylabel="precision")
    left.set_title("Windows, for all thresholds (grey: single species)", fontsize=10)
    if left.get_legend_handles_labels()[0]:
        _legend_below(left)
    else:
        left.text(0.5, 0.5, "no recording contains a species of the model", ha="center", color=GREY)
    level = "event" if metrics.get("by_event") else "window"
    y = np.arange(len(rows))[::-1]
    for n, (name, colour) in enumerate((("precision", BLUE), ("recall", ORANGE))):
        value, low, high = (rows[f"{level}_{name}{end}"].astype(float) for end in ("", "_low", "_high"))
        bars = [(value - low).clip(lower=0).fillna(0), (high - value).clip(lower=0).fillna(0)]
        right.errorbar(value, y + 0.13 - 0.26 * n, xerr=bars, fmt="o", color=colour, ecolor=GREY, capsize=2, label=name)
    counts = rows["events"] if level == "event" else rows["windows"]
    right.set_yticks(
        y, [f"{s} ({c})" for s, c in zip(rows["species"], counts, strict=True)], fontsize=9, style="italic"
    )
    right.set(xlim=(-0.02, 1.02), xlabel=f"detections by {level}")
    right.set_title(
        f"At the bundle's thresholds, {metrics['confidence']:.0%} intervals (number of {level}s)", fontsize=10
    )
    right.grid(axis="x", alpha=0.3)
    right.set_ylim(-0.7, max(0, len(rows) - 1) + 0.7)
    if len(rows):
        _legend_below(right)
    save(fig, path)


def _legend_below(axes: Axes) -> None:
    """Add a legend below the label of the horizontal axis, where it covers no point, whatever the height of the figure."""
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, 0), borderaxespad=_LEGEND_GAP, ncols=2, fontsize=9)


def false_alarms_figure(path: Path, curves: pd.DataFrame, metrics: dict[str, Any]) -> None:
    """Plot false alarms per hour against the threshold, and by kind of sound and site at the bundle's thresholds.

    Args:
        path: PNG file.
        curves: see `field_curves.curves_of`.
        metrics: content of metrics.json.
    """
    alarms = metrics["false_alarms"]
    rates = {
        "all sound": alarms["overall"],
        "without the model's species": alarms["without_model_species"],
        "  without any box": alarms["no_species"],
        "  with boxes of other species": alarms["unknown_species"],
        **{f"site {name}": rate for name, rate in alarms["by_site"].items()},
    }
    rates = {name: rate for name, rate in rates.items() if rate["per_hour"]}
    rates = dict(list(rates.items())[:_MAX_BARS])
    fig, (left, right) = figure(12, float(np.clip(2.4 + 0.3 * len(rates), 4.6, 16)), columns=2)
    least = min(_LEAST_RATE, 0.5 / max((rate["hours"] for rate in rates.values()), default=1))
    pooled = curves[curves["species"] == ""]
    # A rate of 0 has no place on a logarithmic axis: the line ends there.
    left.plot(pooled["threshold"], pooled["false_alarms_per_hour"].where(lambda x: x > 0), color=BLUE)
    delivered = alarms["without_model_species"]["per_hour"]
    if delivered and delivered["value"]:
        left.axhline(delivered["value"], color=ORANGE, linestyle="--", label="thresholds of the bundle")
        _legend_below(left)
    left.set(xlim=(0, 1), xlabel="threshold, the same for all species (no line: no false alarm)")
    make_logarithmic(left, "y", "false alarms per hour")
    left.set_title("In sound without any of the model's species", fontsize=10)
    left.grid(alpha=0.3)
    y = np.arange(len(rates))[::-1]
    for at, rate in zip(y, rates.values(), strict=True):
        interval = rate["per_hour"]
        value = max(least, interval["value"])
        if interval["low"] is not None:
            right.plot([max(least, interval["low"]), max(least, interval["high"])], [at, at], color=GREY)
        right.plot(value, at, "o" if interval["value"] else "<", color=BLUE)
    names = [f"{name} ({rate['hours']:.2f} h)" for name, rate in rates.items()]
    right.set_yticks(y, names, fontsize=9)
    right.set_ylim(-0.7, len(rates) - 0.3)
    signs = f"<: no false alarm; lines: {metrics['confidence']:.0%} intervals"
    make_logarithmic(right, "x", f"{signs}\nfalse alarms per hour", most=8)
    right.grid(axis="x", alpha=0.3)
    save(fig, path)
