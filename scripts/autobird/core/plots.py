"""How all figures look, and how they become the same bytes each time."""

from pathlib import Path
from typing import Any

import matplotlib

from autobird.core.files import atomic

matplotlib.use("Agg")

import matplotlib.pyplot as plt

BLUE, ORANGE, GREEN, GREY = "#33658a", "#e07a1f", "#4f8f5b", "#8a8f98"

plt.rcParams.update(
    {"font.size": 10, "axes.spines.top": False, "axes.spines.right": False, "legend.frameon": False, "figure.dpi": 110}
)


def figure(width: float, height: float, rows: int = 1, columns: int = 1, **options: Any) -> tuple[Any, Any]:
    """A figure of `width` by `height` inches and its axes."""
    return plt.subplots(rows, columns, figsize=(width, height), layout="constrained", **options)


def save(fig: Any, path: Path) -> None:
    """Write a figure as PNG (SVG would differ from run to run) without the time and the library's version."""
    with atomic(path) as temporary:
        fig.savefig(temporary, format="png", metadata={"Software": None})
    plt.close(fig)
