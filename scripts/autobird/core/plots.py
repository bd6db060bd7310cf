"""The common style of all figures, and saving them as reproducible PNG files."""

from pathlib import Path
from typing import Any

import matplotlib

from autobird.core.files import atomic

matplotlib.use("Agg")

import matplotlib.pyplot as plt
from matplotlib.text import Text

BLUE, ORANGE, GREEN, GREY = "#33658a", "#e07a1f", "#4f8f5b", "#8a8f98"

_MANY_ROWS = 110
"""Number of rows of a figure above which they are closer together."""

_MAX_HEIGHT = 200.0
"""Largest height of a figure, inches (22,000 pixels, 100 MB while it is drawn): enough for 1,200 rows."""

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
