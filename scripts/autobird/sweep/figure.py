"""Figure of a sweep: its trials as parallel coordinates, and the importance of its parameters."""

import math
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.colors import Normalize
from matplotlib.ticker import LogLocator, MaxNLocator
from numpy.typing import NDArray

from autobird.core.plots import BLUE, GREY, ORANGE, explain_empty, figure, save
from autobird.sweep.importance import Importance, why_unknown

_MARGIN = 0.04
"""Space above and below the values of an axis, as a share of its height."""

_MOST_VALUES = 7
"""Largest number of different values that are all tick marks of their axis."""

_LEAST_DISTANCE = 0.05
"""Least distance of such tick marks, as a share of the height: the height of their text."""


def _is_short(value: float) -> bool:
    """Whether three digits are enough to write a number; an integer is written in full."""
    return isinstance(value, int) or math.isclose(float(f"{value:.3g}"), value, rel_tol=1e-9)


class _Axis:
    """A vertical axis: it maps values to heights from 0 to 1.

    Args:
        values: value of each trial.
        logarithmic: whether the logarithm matters.
    """

    def __init__(self, values: Sequence[Any], logarithmic: bool) -> None:
        numeric = all(isinstance(v, int | float) and not isinstance(v, bool) for v in values)
        self._levels = [] if numeric else sorted({str(v) for v in values})
        self._values = sorted(set(values)) if numeric else []
        self.is_logarithmic = numeric and logarithmic and min(values) > 0
        self._low, self._high = (0.0, float(len(self._levels) - 1))
        if numeric:
            at = [self._transformed(v) for v in values]
            self._low, self._high = min(at), max(at)

    def _transformed(self, value: Any) -> float:
        if self._levels:
            return float(self._levels.index(str(value)))
        return float(np.log10(value)) if self.is_logarithmic else float(value)

    def height(self, value: Any) -> float:
        """Return the height of a value."""
        if self._high == self._low:
            return 0.5
        share = (self._transformed(value) - self._low) / (self._high - self._low)
        return _MARGIN + (1 - 2 * _MARGIN) * share

    def _are_ticks(self) -> bool:
        """Whether the values themselves are the tick marks: few, short to write, and not too close to each other."""
        if len(self._values) > _MOST_VALUES or not all(map(_is_short, self._values)):
            return False
        return float(min(np.diff([self.height(v) for v in self._values]))) >= _LEAST_DISTANCE

    def ticks(self) -> list[tuple[float, str]]:
        """Return height and text of the tick marks."""
        if self._levels:
            return [(self.height(level), level) for level in self._levels]
        if self._high == self._low:
            value = 10**self._low if self.is_logarithmic else self._low
            return [(0.5, f"{value:.6g}")]
        if self._are_ticks():
            return [(self.height(v), str(v) if isinstance(v, int) else f"{v:.6g}") for v in self._values]
        if self.is_logarithmic:
            low, high = 10**self._low, 10**self._high
            found = [
                v for v in LogLocator(subs=(1.0, 2.0, 5.0)).tick_values(low, high) if low * 0.999 <= v <= high * 1.001
            ]
            shown = found if len(found) >= 2 else [low, high]
        else:
            slack = 1e-9 * (self._high - self._low)
            ticks = MaxNLocator(5).tick_values(self._low, self._high)
            shown = [v for v in ticks if self._low - slack <= v <= self._high + slack]
        return [(self.height(v), f"{v:.6g}") for v in shown]


def sweep_figure(
    path: Path,
    values: Sequence[Mapping[str, Any]],
    scores: NDArray[np.float64],
    importance: Sequence[Importance],
    metric: str,
    logarithmic: Collection[str] = (),
    defaults: int | None = None,
    best: int | None = None,
) -> None:
    """Plot the trials of a sweep: a line per trial through its values to its score, and a bar per parameter.

    If no importance is known, a sentence says why in place of the bars.

    Args:
        path: PNG file.
        values: value of each parameter of each trial.
        scores: score of each trial; shape (trials,).
        importance: of the parameters.
        metric: name of the score.
        logarithmic: names of the parameters with a logarithmic axis.
        defaults: the trial with the settings of the run, as an index.
        best: the selected trial, as an index.
    """
    names = list(values[0])
    is_known = any(one.share is not None for one in importance)
    bars_height = 0.8 + 0.32 * len(names) if is_known else 0.5
    fig, (ax, bars) = figure(
        float(np.clip(2.5 + 1.7 * len(names), 8, 30)), 4.6 + bars_height, rows=2, height_ratios=[4.6, bars_height]
    )
    axes = [_Axis([trial[name] for trial in values], name in logarithmic) for name in names]
    score_axis = _Axis([float(score) for score in scores], logarithmic=False)
    heights = [
        [*(axis.height(trial[name]) for axis, name in zip(axes, names, strict=True)), score_axis.height(float(score))]
        for trial, score in zip(values, scores, strict=True)
    ]
    colours = matplotlib.colormaps["viridis_r"]
    norm = Normalize(float(scores.min()), float(scores.max()) or 1.0)
    positions = range(len(names) + 1)
    for index in np.argsort(scores):
        ax.plot(positions, heights[index], color=colours(0.1 + 0.9 * norm(scores[index])), linewidth=1.3, alpha=0.75)
    marked = [(best, ORANGE, "-", "best trial"), (defaults, "black", "--", "settings of the run")]
    for chosen, colour, style, label in marked:
        if chosen is not None:
            ax.plot(positions, heights[chosen], color=colour, linestyle=style, linewidth=2.4, label=label)
    for x, axis in enumerate([*axes, score_axis]):
        ax.axvline(x, color=GREY, linewidth=1)
        for y, text in axis.ticks():
            ax.plot([x - 0.02, x], [y, y], color=GREY, linewidth=1)
            ax.annotate(text, (x, y), (-5, 0), textcoords="offset points", ha="right", va="center", fontsize=8.5,
                        bbox={"boxstyle": "round,pad=0.1", "color": "white", "alpha": 0.75})  # fmt: skip
    labels = [f"{name}\n(logarithmic)" if axis.is_logarithmic else name for name, axis in zip(names, axes, strict=True)]
    ax.set_xticks(list(positions), [*labels, metric.replace(" of the ", "\nof the ")])
    ax.tick_params(axis="x", length=0)
    ax.set_yticks([])
    ax.spines[["left", "bottom"]].set_visible(False)
    ax.set_xlim(-0.6, len(names) + 0.2)
    ax.set_ylim(0, 1)
    if ax.get_legend_handles_labels()[0]:
        ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2)
    if is_known:
        _importance_bars(bars, importance)
    else:
        explain_empty(bars, f"The importance of the parameters is not known: {why_unknown(scores)}.")
    save(fig, path)


def _importance_bars(ax: Any, importance: Sequence[Importance]) -> None:
    """Plot the share of each parameter with its p-value."""
    shares = [one.share or 0.0 for one in importance]
    rows = np.arange(len(importance))
    ax.barh(rows, shares, color=BLUE, height=0.6)
    for row, one in zip(rows, importance, strict=True):
        text = "not known" if one.share is None or one.p is None else f"{one.share:.2f}  (p = {max(one.p, 0.001):.3f})"
        ax.annotate(text, (one.share or 0.0, row), (5, 0), textcoords="offset points", va="center", fontsize=9)
    ax.set_yticks(rows, [one.parameter for one in importance])
    ax.invert_yaxis()
    ax.set_xlim(0, 1.15)
    ax.set_xticks(np.arange(0, 1.01, 0.2))
    ax.set_xlabel("importance: share of the variance of the trials' scores (p: permutation test)")
