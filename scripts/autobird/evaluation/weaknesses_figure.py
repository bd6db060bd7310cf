"""Figure of the scores of strata."""

from pathlib import Path
from typing import Any

from autobird.core.plots import BLUE, GREY, ORANGE, explain_empty, figure, save
from autobird.core.wording import counted, shortened

_LONGEST_NAME = 60
"""Longest name of a stratum in the figure, characters; of a longer one, the middle is left out."""

_PANELS = {
    "recall": "recall of the detections",
    "precision": "precision of the detections",
    "difference": "recall minus that of the other strata,\nwithin the same species",
}


def weaknesses_figure(path: Path, result: dict[str, Any]) -> None:
    """Plot recall and precision of each stratum, and the difference of its recall from the other strata, with intervals.

    A stratum with too few groups has no point but a text. Precision and difference have no panel if no stratum has them. Differences that
    are certain after correction for all comparisons are orange. If nothing is known of the recordings, the figure is the first sentence of
    `summary`.

    Args:
        path: PNG file.
        result: content of `weaknesses.json`.
    """
    known = [factor for factor in result["factors"] if factor["known"]]
    if not known:
        fig, ax = figure(9, 1)
        explain_empty(ax, result["summary"].splitlines()[0])
        save(fig, path)
        return
    rows: list[tuple[dict[str, Any], dict[str, Any] | None]] = []
    for factor in known:
        rows += [(factor, None), *((factor, stratum) for stratum in factor["strata"])]
    panels = [
        score
        for score in _PANELS
        if score == "recall" or any(stratum is not None and stratum[score] for _, stratum in rows)
    ]
    names = [
        factor["text"]
        if stratum is None
        else f"{shortened(stratum['stratum'], _LONGEST_NAME)}  ({_counts(stratum, factor['level'])})"
        for factor, stratum in rows
    ]
    # Room for the names: 8 points are less than 0.065 inches a letter.
    room = max(4.5, 1 + 0.065 * max(map(len, names)))
    width, height = room + 2.5 * len(panels), max(2.5, 1.5 + 0.24 * len(rows))
    fig, grid = figure(width, height, columns=len(panels), sharey=True, squeeze=False)
    axes = grid[0]
    for ax, score in zip(axes, panels, strict=True):
        for y, (_, stratum) in enumerate(rows):
            if stratum is not None:
                _draw(ax, y, stratum, score, result["min_groups"])
        is_difference = score == "difference"
        ax.set_xlim(*((-1.02, 1.02) if is_difference else (-0.02, 1.02)))
        ax.axvline(0, color=GREY, linestyle=":", linewidth=1 if is_difference else 0)
        ax.set_xlabel(_PANELS[score])
        ax.grid(axis="x", alpha=0.3)
    axes[0].set_yticks(range(len(rows)), names, fontsize=8)
    for label, (_, stratum) in zip(axes[0].get_yticklabels(), rows, strict=True):
        label.set_fontweight("bold" if stratum is None else "normal")
    axes[0].set_ylim(len(rows) - 0.5, -0.5)
    fig.suptitle(
        f"{counted(result['recordings'], 'test recording')} in {counted(result['groups'], 'independent group')}, "
        f"{result['confidence']:.0%} confidence intervals;"
        + (" " if len(panels) == len(_PANELS) else "\n")
        + (
            f"orange: certain after correction for {counted(result['comparisons'], 'comparison')}"
            if result["comparisons"]
            else "no strata with enough groups to compare"
        ),
        fontsize=10,
    )
    save(fig, path)


def _counts(stratum: dict[str, Any], level: str) -> str:
    return f"{counted(stratum['items'], level)}, {counted(stratum['groups'], 'group')}"


def _draw(ax: Any, y: int, stratum: dict[str, Any], score: str, min_groups: int) -> None:
    """Draw a score of a stratum, or why there is none."""
    interval = stratum[score]
    if interval is None:
        if score == "recall" and stratum["too_few"]:
            text = f"too few: {counted(stratum['groups_with_species'], 'group')} with a species (at least {min_groups})"
            ax.text(0.0, y, text, va="center", fontsize=7, color="#555555")
        return
    colour = ORANGE if score == "difference" and stratum["certain"] else BLUE
    value, low, high = interval["value"], interval["low"], interval["high"]
    if low is not None and high is not None:
        ax.plot([low, high], [y, y], color=colour if colour == ORANGE else GREY, linewidth=1.5)
    ax.plot([value], [y], "o", color=colour, markersize=5)
