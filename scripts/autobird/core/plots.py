"""The common style of all figures, and saving them as reproducible PNG files."""

from pathlib import Path
from typing import Any

import matplotlib
import numpy as np

from autobird.core.files import atomic

matplotlib.use("Agg")

import matplotlib.pyplot as plt
from matplotlib.text import Text
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter

BLUE, ORANGE, GREEN, GREY = "#33658a", "#e07a1f", "#4f8f5b", "#8a8f98"

_MANY_ROWS = 110
"""Number of rows of a figure above which they are closer together."""

_MAX_HEIGHT = 200.0
"""Largest height of a figure, inches (22,000 pixels, 100 MB while it is drawn): enough for 1,200 rows."""

_FEWEST_TICKS = 4
"""Fewer numbers on a logarithmic axis do not show how its values increase."""

_TICK_DIGITS = ((1, 2, 5), (1, 1.5, 2, 3, 5, 7), (1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8))
"""Numbers of one decade of a logarithmic axis; the finer ones are for axes of about a decade or less."""

_FEW_DIGITS = (1, 3)
"""The same for axes of several decades."""

plt.rcParams.update(
    {"font.size": 10, "axes.spines.top": False, "axes.spines.right": False, "legend.frameon": False, "figure.dpi": 110}
)


def figure(width: float, height: float, rows: int = 1, columns: int = 1, **options: Any) -> tuple[Any, Any]:
    """Create a figure of `width` by `height` inches; return it and its axes."""
    return plt.subplots(rows, columns, figsize=(width, height), layout="constrained", **options)


def height_of_rows(rows: int, rest: float, least: float, of_row: float = 0.26) -> tuple[float, int]:
    """Return the height of a figure with a row for each species, inches, and the size of their names, points; names do not overlap.

    Args:
        rows: number of rows.
        rest: height of the axes' names and the title.
        least: smallest height.
        of_row: height of a row, if they are not many.
    """
    of_row, size = (of_row, 9) if rows <= _MANY_ROWS else (0.16, 8)
    return min(max(least, rest + of_row * rows), _MAX_HEIGHT), size


def logarithmic_ticks(low: float, high: float, most: int = 10) -> list[float]:
    """Return the values to write at a logarithmic axis: 1, 2, 5, 10, ..., or finer ones if it is short, or fewer if it is long.

    Args:
        low: smallest value of the axis, above 0.
        high: largest value of the axis, above `low`.
        most: largest number of values.
    """
    decades = np.arange(np.floor(np.log10(low)), np.ceil(np.log10(high)) + 1)

    def within(values: Any) -> list[float]:
        return [float(v) for v in values if low <= v <= high]

    whole = within(10.0**decades)
    if len(whole) > most:
        return whole[:: -(-len(whole) // most)]
    for digits in _TICK_DIGITS:
        ticks = within(d * 10**k for k in decades for d in digits)
        if len(ticks) > most:
            fewer = within(d * 10**k for k in decades for d in _FEW_DIGITS)
            return fewer if len(fewer) <= most else whole
        if len(ticks) >= _FEWEST_TICKS:
            return ticks
    return within(MaxNLocator(min(most, 5)).tick_values(low, high))


def make_logarithmic(ax: Any, name: str, label: str, most: int = 10) -> None:
    """Make an axis logarithmic, with plain numbers and a label that says so; call it after the last value is plotted.

    Args:
        ax: the panel.
        name: `x` or `y`.
        label: what the axis shows.
        most: largest number of ticks with a number.
    """
    axis = getattr(ax, f"{name}axis")
    getattr(ax, f"set_{name}scale")("log")
    low, high = getattr(ax, f"get_{name}lim")()
    if low <= 0:  # no value above 0 is plotted, so any range will do
        low, high = getattr(ax, f"set_{name}lim")(1, 10)
    ticks = logarithmic_ticks(low, high, most)
    axis.set_ticks(ticks, [f"{tick:,.10g}" for tick in ticks])
    axis.set_minor_locator(LogLocator(subs=range(2, 10)))
    axis.set_minor_formatter(NullFormatter())
    axis.set_label_text(f"{label} (logarithmic scale)")


def explain_empty(ax: Any, sentence: str) -> None:
    """Write in a panel without data why it has none, in place of its axes; a title stays."""
    ax.set_axis_off()
    ax.text(0.5, 0.5, sentence, ha="center", va="center", transform=ax.transAxes, fontsize=10, color="#555555")


def save(fig: Any, path: Path) -> None:
    """Write and close a figure as PNG without metadata, so that the same data give the same bytes; SVG files would differ."""
    for text in fig.findobj(Text):
        # Names of files, places and people can hold dollar signs. Those of mathematical text are only in the ticks of logarithmic axes.
        if "$" in text.get_text() and r"\mathdefault" not in text.get_text():
            text.set_parse_math(False)
    with atomic(path) as temporary:
        fig.savefig(temporary, format="png", metadata={"Software": None})
    plt.close(fig)
