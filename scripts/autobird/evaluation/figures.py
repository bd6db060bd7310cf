"""Figures of the evaluation."""

from pathlib import Path

import numpy as np
import pandas as pd

from autobird.core.plots import BLUE, GREY, ORANGE, figure, height_of_rows, save
from autobird.evaluation.calibration import (
    BINS,
    calibrated_windows,
    expected_calibration_error,
    reliability_bins,
)
from autobird.evaluation.predictions import SplitPredictions

_MIN_WINDOWS_OF_A_BIN = 5
"""Smallest number of windows of a bin of the reliability diagram; the accuracy of fewer is mostly chance."""


def species_figure(path: Path, table: pd.DataFrame, confidence: float) -> None:
    """Plot F1 of the most probable species, and precision and recall of the detections, for each species.

    Args:
        path: PNG file.
        table: one row per species; see `evaluate.species_table`.
        confidence: confidence level of the intervals in the table.
    """
    table = table.sort_values(["f1", "species"], na_position="first", ignore_index=True)
    columns = {
        "f1": "F1 of the most probable species",
        "detection_precision_by_recording": "precision of the detections",
        "detection_recall_by_recording": "recall of the detections",
    }
    height, font = height_of_rows(len(table), 1.6, 2.8)
    fig, axes = figure(12, height, columns=3, sharey=True)
    y = np.arange(len(table))
    for ax, (column, title) in zip(axes, columns.items(), strict=True):
        value, low, high = (table[c].astype(float) for c in (column, f"{column}_low", f"{column}_high"))
        bars = [(value - low).clip(lower=0).fillna(0), (high - value).clip(lower=0).fillna(0)]
        ax.errorbar(value, y, xerr=bars, fmt="o", color=BLUE, ecolor=GREY, capsize=3)
        ax.set_xlim(-0.02, 1.02)
        ax.set_xlabel(title)
        ax.grid(axis="x", alpha=0.3)
    names = [f"{r.species} ({r.test_recordings})" for r in table.itertuples()]
    axes[0].set_yticks(y, names, fontsize=font, style="italic")
    axes[0].set_ylim(-1, len(table))
    fig.suptitle(
        f"Per test recording (number of recordings in brackets), {confidence:.0%} confidence intervals", fontsize=10
    )
    save(fig, path)


def reliability_figure(path: Path, before: SplitPredictions, after: SplitPredictions) -> None:
    """Plot accuracy against confidence before and after calibration (a reliability diagram).

    Bins of fewer than `_MIN_WINDOWS_OF_A_BIN` windows are not drawn; the expected calibration error is that of all windows.

    Args:
        path: PNG file.
        before: test predictions with the probabilities of the network.
        after: the same with calibrated probabilities.
    """
    fig, ax = figure(5.4, 5.4)
    ax.plot([0, 1], [0, 1], color=GREY, linestyle="--", linewidth=1, label="perfect calibration")
    drawn = False
    independent = after.windows.is_independent
    for name, split, colour in (("as trained", before, ORANGE), ("calibrated", after, BLUE)):
        items, weights = calibrated_windows(split)
        if not len(items):
            continue
        confidence, accuracy, weight = reliability_bins(items, weights)
        used = weight >= _MIN_WINDOWS_OF_A_BIN
        drawn = drawn or bool(used.any())
        label = f"{name}: expected calibration error {expected_calibration_error(items, weights):.3f}"
        ax.plot(confidence[used], accuracy[used], "-", color=colour, label=label)
        sizes = 12 + 180 * weight[used] / weight.max()
        ax.scatter(confidence[used], accuracy[used], s=sizes, color=colour, alpha=0.8, clip_on=False)
    if not drawn:
        ax.text(0.5, 0.9, f"no bin has {_MIN_WINDOWS_OF_A_BIN} windows", ha="center", fontsize=9, color=GREY)
    ax.set_xlabel("confidence (probability of the most probable species)")
    ax.set_ylabel("share of windows that contain it" if independent else "accuracy")
    ax.set_title(
        f"{len(calibrated_windows(after)[0])} test windows in {BINS} bins of confidence; point area: windows in\n"
        f"the bin. Bins of fewer than {_MIN_WINDOWS_OF_A_BIN} windows are not drawn.",
        fontsize=10,
        pad=12,  # room for the points at an accuracy of 1
    )
    ax.set_xlim(0, 1)
    ax.set_ylim(0, 1)
    fig.legend(loc="outside lower center", fontsize=9)
    save(fig, path)
