"""Figures of the evaluation."""

from pathlib import Path

import numpy as np
import pandas as pd

from autobird.core.plots import BLUE, GREY, ORANGE, figure, save
from autobird.evaluation.calibration import BINS, expected_calibration_error, reliability
from autobird.evaluation.predictions import Items

_WRITE_COUNTS = 30
"""Most species for which the confusion matrix has room for numbers."""


def confusion_figure(path: Path, recordings: Items, labels: list[str]) -> None:
    """Confusion matrix by test recording of exactly one species: rows are the truth, shaded by their share."""
    n = len(labels)
    single = recordings.where(recordings.only >= 0)
    counts = np.zeros((n, n), int)
    np.add.at(counts, (single.only, single.probabilities.argmax(axis=1)), 1)
    share = counts / np.maximum(1, counts.sum(axis=1, keepdims=True))
    side = float(np.clip(2.5 + 0.42 * n, 5, 22))
    fig, ax = figure(side + 1.2, side)
    image = ax.imshow(share, cmap="Blues", vmin=0, vmax=1)
    size = 9 if n <= _WRITE_COUNTS else 5
    ax.set_xticks(range(n), labels, rotation=90, fontsize=size, style="italic")
    ax.set_yticks(range(n), labels, fontsize=size, style="italic")
    if n <= _WRITE_COUNTS:
        for i, j in zip(*np.nonzero(counts), strict=True):
            colour = "white" if share[i, j] > 0.6 else "black"
            ax.text(j, i, str(counts[i, j]), ha="center", va="center", fontsize=8, color=colour)
    ax.set_xlabel("most probable species")
    ax.set_ylabel("true species")
    ax.set_title(f"{counts.trace()} of {counts.sum()} test recordings of one species right")
    fig.colorbar(image, ax=ax, fraction=0.04, label="share of the species' recordings")
    save(fig, path)


def species_figure(path: Path, table: pd.DataFrame, confidence: float) -> None:
    """Of each species, by test recording: F1 of the most probable species; precision and recall of its detections."""
    table = table.sort_values(["f1", "species"], na_position="first", ignore_index=True)
    columns = {
        "f1": "F1 of the most probable species",
        "detection_precision_by_recording": "precision of the detections",
        "detection_recall_by_recording": "recall of the detections",
    }
    fig, axes = figure(12, float(np.clip(1.6 + 0.26 * len(table), 2.8, 30)), columns=3, sharey=True)
    at = np.arange(len(table))
    for ax, (column, title) in zip(axes, columns.items(), strict=True):
        value, low, high = (table[c].astype(float) for c in (column, f"{column}_low", f"{column}_high"))
        bars = [(value - low).clip(lower=0).fillna(0), (high - value).clip(lower=0).fillna(0)]
        ax.errorbar(value, at, xerr=bars, fmt="o", color=BLUE, ecolor=GREY, capsize=3)
        ax.set_xlim(-0.02, 1.02)
        ax.set_xlabel(title)
        ax.grid(axis="x", alpha=0.3)
    names = [f"{r.species} ({r.test_recordings})" for r in table.itertuples()]
    axes[0].set_yticks(at, names, fontsize=9, style="italic")
    fig.suptitle(f"By test recording (their number in brackets), {confidence:.0%} intervals", fontsize=10)
    save(fig, path)


def reliability_figure(path: Path, before: Items, after: Items) -> None:
    """Accuracy against confidence of test windows, before and after the temperature."""
    fig, ax = figure(5.2, 4.8)
    ax.plot([0, 1], [0, 1], color=GREY, linestyle="--", linewidth=1, label="perfect")
    for name, predictions, colour in (("as trained", before, ORANGE), ("with temperature", after, BLUE)):
        confidence, accuracy, count = reliability(predictions)
        used = count > 0
        if not used.any():
            continue
        error = expected_calibration_error(predictions)
        ax.plot(confidence[used], accuracy[used], "-", color=colour, label=f"{name}: calibration error {error:.3f}")
        sizes = 12 + 180 * count[used] / count.max()
        ax.scatter(confidence[used], accuracy[used], s=sizes, color=colour, alpha=0.8, clip_on=False)
    ax.set_xlabel("confidence of the most probable species")
    ax.set_ylabel("share that is right")
    ax.set_title(f"{len(before.only)} test windows in {BINS} bins (area: windows)")
    ax.set_xlim(0, 1)
    ax.set_ylim(0, 1)
    ax.legend(loc="lower right", fontsize=9)
    save(fig, path)
