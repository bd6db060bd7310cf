"""Figure of a cross-validation: the scores of each fold and seed, and the pooled scores with their intervals."""

from pathlib import Path
from typing import Any

import numpy as np

from autobird.core.plots import BLUE, GREY, ORANGE, figure, save
from autobird.core.wording import counted

METRICS = {
    "macro_f1": "macro-F1",
    "top1": "top-1",
    "cmap": "cmAP",
    "detection_macro_f1": "macro-F1 of the detections",
}


def crossval_figure(path: Path, result: dict[str, Any]) -> None:
    """Plot the scores per recording: a row per fold with a point per seed, and a row of the pooled score with its interval.

    With several seeds, the pooled score is their mean, and the row also has a point per seed.

    Args:
        path: PNG file.
        result: content of `crossval.json`.
    """
    folds, seeds = result["folds"], result["seeds"]
    fig, axes = figure(12, float(np.clip(1.9 + 0.3 * folds, 3, 30)), columns=len(METRICS), sharey=True)
    offsets = np.linspace(-0.22, 0.22, len(seeds)) if len(seeds) > 1 else np.zeros(1)
    for ax, (name, title) in zip(axes, METRICS.items(), strict=True):
        score = result["by_recording"][name]
        ax.set_xlim(-0.02, 1.02)
        ax.set_xlabel(title if score is None else f"{title}\npooled: {_in_words(score)}")
        ax.grid(axis="x", alpha=0.3)
        ax.axhline(folds - 0.5, color=GREY, linewidth=0.8)
        if score is None:
            continue
        for fold in range(folds):
            values = [score["members"].get(f"fold{fold}.seed{seed}") for seed in seeds]
            points = [(v, fold + dy) for v, dy in zip(values, offsets, strict=True) if v is not None]
            if points:
                ax.scatter(*zip(*points, strict=True), s=16, color=BLUE, alpha=0.8, clip_on=False)
        if len(seeds) > 1:
            values = [(v, folds + dy) for v, dy in zip(score["seeds"].values(), offsets, strict=True) if v is not None]
            ax.scatter(*zip(*values, strict=True), s=16, color=BLUE, alpha=0.8, clip_on=False, label="a seed")
        bars = None
        if score["low"] is not None:
            bars = [[max(0.0, score["value"] - score["low"])], [max(0.0, score["high"] - score["value"])]]
        ax.errorbar([score["value"]], [folds], xerr=bars, fmt="D", color=ORANGE, capsize=4, label="mean of the seeds")
    axes[0].set_yticks([*range(folds), folds], [*(f"fold {fold}" for fold in range(folds)), "pooled"])
    axes[0].set_ylim(folds + 0.6, -0.6)
    if len(seeds) > 1:
        fig.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=2, fontsize=9)
    times = "once per seed" if len(seeds) > 1 else "once"
    tester = "an ensemble" if (result.get("ensemble") or {}).get("mode") == "average" else "a network"
    fig.suptitle(
        f"{counted(result['recordings'], 'recording')}, each tested {times} by {tester} that was not trained on it; "
        f"bar: {result['confidence']:.0%} confidence interval",
        fontsize=10,
    )
    save(fig, path)


def _in_words(score: dict[str, Any]) -> str:
    if score["low"] is None:
        return f"{score['value']:.3f}"
    return f"{score['value']:.3f} ({score['low']:.3f} to {score['high']:.3f})"
