"""Figure of the detections of each species by hour of the day."""

from pathlib import Path

import numpy as np
from matplotlib.colors import LinearSegmentedColormap

from autobird.core.plots import BLUE, GREY, figure, save

_MAX_SPECIES = 40
"""Largest number of species in the figure: those with most detections."""


def plot_species_by_hour(
    path: Path, species: list[str], detections: dict[str, list[int]], seconds: list[float]
) -> None:
    """Plot detections per recorded hour of each species and hour of the day, above the recorded hours.

    Args:
        path: the PNG file to write.
        species: the species.
        detections: of each species, by hour of the day; 24 values.
        seconds: recorded in each hour of the day; 24 values.
    """
    shown = sorted(species, key=lambda name: (-sum(detections[name]), name))[:_MAX_SPECIES]
    hours = np.array(seconds) / 3600
    with np.errstate(divide="ignore", invalid="ignore"):
        rates = np.where(hours > 0, np.array([detections[name] for name in shown]) / hours, np.nan)
    height = 1.6 + 0.28 * len(shown)
    fig, (top, axes) = figure(9, height + 1.2, rows=2, sharex=True, height_ratios=[1.0, max(1.0, 0.28 * len(shown))])
    top.bar(range(24), hours, width=0.9, color=GREY)
    top.set_ylabel("recorded\nhours")
    left_out = (
        f"; {len(species) - len(shown)} species with fewer detections are left out" if len(shown) < len(species) else ""
    )
    top.set_title(f"Detections per recorded hour, by local hour of the day{left_out}", fontsize=10, loc="left")
    colours = LinearSegmentedColormap.from_list("rate", ["#ffffff", BLUE]).with_extremes(bad="#e4e4e4")
    image = axes.imshow(rates, aspect="auto", cmap=colours, vmin=0, interpolation="nearest")
    axes.set_yticks(range(len(shown)), shown)
    axes.set_xticks(range(0, 24, 2), [str(hour) for hour in range(0, 24, 2)])
    axes.set_xlabel("local hour of the day (grey: nothing was recorded)")
    fig.colorbar(image, ax=axes, label="detections\nper hour", pad=0.01)
    save(fig, path)
