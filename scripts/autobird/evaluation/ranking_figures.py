"""Figures of the precision-recall and ROC curves."""

import textwrap
from pathlib import Path
from typing import Any

import pandas as pd

from autobird.core.plots import BLUE, GREY, ORANGE, figure, save
from autobird.core.wording import counted

MAX_SPECIES = 12
"""Largest number of species with panels of their own: those with the lowest average precision."""

_TITLE_WIDTH = 34
"""Longest line of the name of a species above its panel, characters."""

_AXES = {
    "precision_recall": ("recall", "precision"),
    "roc": ("false positive rate", "recall (true positive rate)"),
}
_METRIC = {"precision_recall": ("average_precision", "average precision"), "roc": ("auroc", "AUROC")}


def pooled_curves_figure(path: Path, curves: pd.DataFrame, table: pd.DataFrame, confidence: float) -> None:
    """Plot the curves of all cells pooled, with their band, and thin ones of each species.

    Args:
        path: PNG file.
        curves: `ranking_curves.curves_of`; the first species is the pooled one.
        table: rows by recording of `ranking_curves.ranking_table`: pooled, mean over species, and each species.
        confidence: confidence level of the bands.
    """
    pooled = curves["species"].iloc[0]
    others = curves[curves["species"] != pooled]
    fig, axes = figure(10.5, 5.2, columns=2)
    for ax, kind in zip(axes, _AXES, strict=True):
        for n, (_, species) in enumerate(others[others["curve"] == kind].groupby("species", sort=True)):
            ax.plot(species["x"], species["y"], color=GREY, linewidth=0.7, alpha=0.6, label="" if n else "each species")
        column, name = _METRIC[kind]
        label = f"all species pooled:\n{name} {_interval(table.iloc[0], column)}"
        _band(ax, curves[(curves["species"] == pooled) & (curves["curve"] == kind)], label)
        _decorate(ax, kind)
        ax.set_title(f"mean over species of the {name}:\n{_interval(table.iloc[1], column)}", fontsize=10)
        ax.legend(loc="lower left" if kind == "precision_recall" else "lower right", fontsize=9)
    fig.suptitle(f"test recordings, {confidence:.0%} confidence bands (point by point)", fontsize=10)
    save(fig, path)


def species_curves_figure(path: Path, curves: pd.DataFrame, table: pd.DataFrame, confidence: float) -> None:
    """Plot both curves, with bands, of the species with the lowest average precision; for the arguments see `pooled_curves_figure`."""
    species = table.iloc[2:].dropna(subset=["average_precision"])
    shown = species.sort_values(["average_precision", "species"], ignore_index=True).head(MAX_SPECIES)
    columns = 3
    rows = max(1, -(-len(shown) // columns))
    fig, axes = figure(14, 2.7 * rows + 0.6, rows=rows, columns=2 * columns, squeeze=False)
    for ax in axes.flat:
        ax.set_axis_off()
    for n, row in shown.iterrows():
        for k, kind in enumerate(_AXES):
            ax = axes.flat[2 * n + k]
            ax.set_axis_on()
            _band(ax, curves[(curves["species"] == row["species"]) & (curves["curve"] == kind)], "")
            _decorate(ax, kind, fontsize=8)
            column, name = _METRIC[kind]
            if k == 0:
                recordings = f"{row['items']} in {counted(row['groups'], 'group')}"
                name = textwrap.fill(row["species"], _TITLE_WIDTH)
                ax.set_title(f"{name}\n{recordings}", fontsize=8, style="italic")
            else:
                ax.set_title(f"AP {_interval(row, 'average_precision')}\n{name} {_interval(row, column)}", fontsize=8)
    count = f"the {len(shown)} of {len(species)} species with the lowest" if len(shown) < len(species) else "sorted by"
    fig.suptitle(
        f"Test recordings, {count} average precision (AP), with the number of recordings that contain the species and "
        f"{confidence:.0%} confidence bands (point by point)",
        fontsize=10,
    )
    save(fig, path)


def _band(ax: Any, curve: pd.DataFrame, label: str) -> None:
    ax.fill_between(curve["x"], curve["low"], curve["high"], color=BLUE, alpha=0.2, linewidth=0)
    ax.plot(curve["x"], curve["y"], color=BLUE, linewidth=2, label=label)


def _decorate(ax: Any, kind: str, fontsize: int = 10) -> None:
    x, y = _AXES[kind]
    if kind == "roc":
        ax.plot([0, 1], [0, 1], color=ORANGE, linestyle=":", linewidth=1)
    ax.set_xlabel(x, fontsize=fontsize)
    ax.set_ylabel(y, fontsize=fontsize)
    ax.set_xlim(-0.01, 1.01)
    ax.set_ylim(-0.01, 1.02)
    ax.tick_params(labelsize=fontsize)


def _interval(row: "pd.Series[float]", column: str) -> str:
    value, low, high = (row[f"{column}{end}"] for end in ("", "_low", "_high"))
    if pd.isna(value):
        return "not defined"
    bounds = "interval unknown" if pd.isna(low) else f"{low:.2f}, {high:.2f}"
    return f"{value:.2f} [{bounds}]"
