"""Stage `corpus_figures`: the corpus at a glance: species, durations, rates, licences, grades, places."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from autobird.core.plots import BLUE, GREEN, GREY, ORANGE, figure, save
from autobird.core.stage import parser, run, stage
from autobird.core.tables import read_table

_ROWS = 12
"""Bars in one panel; what is rarer is added up."""


def overview(path: Path, table: pd.DataFrame) -> None:
    """Durations, sample rates, codecs, licences, grades and quarantine reasons of all recordings."""
    used = table[table["quarantined"] == ""]
    fig, axes = figure(12, 7.2, rows=2, columns=3)
    panels = axes.flat
    _durations(panels[0], used["duration"].to_numpy())
    rates = used["sample_rate"].map("{:,} Hz".format) + used["channels"].map({1: " mono", 2: " stereo"}).fillna(" more")
    _bars(panels[1], rates, "rate and channels", BLUE)
    codec = used["codec"].str.split(" ").str[0] + used["bits"].map(lambda b: f" {b} bit" if b else "")
    _bars(panels[2], codec, "codec", BLUE)
    _bars(panels[3], used["licence_family"], "licence", GREEN)
    _bars(panels[4], used["quality"].replace("", "not graded"), "grade", GREEN)
    left = table.loc[table["quarantined"] != "", "quarantined"].map(short_reason)
    _bars(panels[5], left, f"quarantined: {len(left)} of {len(table)}", ORANGE)
    save(fig, path)


def short_reason(reason: str) -> str:
    """The kind of a reason, without names and figures."""
    kinds = {
        "nearly the same sound": "same sound, other species", "under another species": "same sound, other species",
        "the same sound": "exact copy", "shorter than": "too short", "longer than": "too long", "truncated": "truncated",
        "silent": "silent", "withdrawn": "withdrawn", "licence": "licence", "taken down": "taken down",
        "git-lfs": "git-lfs pointer", "empty": "empty", "text": "text", "species": "no species", "finite": "not finite",
    }  # fmt: skip
    return next((kind for words, kind in kinds.items() if words in reason), "cannot be decoded")


def _durations(ax: Any, seconds: Any) -> None:
    if len(seconds):
        edges = np.geomspace(max(0.1, seconds.min() * 0.99), seconds.max() * 1.01, 30)
        ax.hist(seconds, bins=edges, color=BLUE)
        ax.set_xscale("log")
        ticks = [t for t in (0.5, 1, 2, 5, 10, 30, 60, 300, 900, 3600) if edges[0] <= t <= edges[-1]]
        ax.set_xticks(ticks, [f"{t:g}" for t in ticks])
        ax.minorticks_off()
    ax.set_title(f"duration, seconds ({len(seconds)} used, {seconds.sum() / 3600:.2f} h)", fontsize=10, loc="left")


def _bars(ax: Any, values: "pd.Series[str]", title: str, colour: str) -> None:
    counts = values.value_counts()
    shown = counts.iloc[:_ROWS]
    if len(counts) > _ROWS:
        shown[f"{len(counts) - _ROWS} others"] = int(counts.iloc[_ROWS:].sum())
    at = np.arange(len(shown))
    ax.barh(at, shown.to_numpy(), color=colour)
    for y, n in zip(at, shown, strict=True):
        ax.text(n, y, f" {n}", va="center", fontsize=8)
    ax.set_yticks(at, list(shown.index), fontsize=8)
    ax.set_ylim(max(len(shown), _ROWS // 2) - 0.5, -0.5)
    ax.set_xlim(0, 1.15 * max(1, shown.max() if len(shown) else 0))
    ax.xaxis.get_major_locator().set_params(integer=True)
    ax.set_title(title, fontsize=10, loc="left")


def species(path: Path, table: pd.DataFrame) -> None:
    """Recordings and hours of each species, used and quarantined."""
    named = table[table["species"] != ""]
    used = named["quarantined"] == ""
    hours = named["duration"] / 3600
    by = pd.DataFrame(
        {
            "recordings": used.groupby(named["species"]).sum(),
            "quarantined": (~used).groupby(named["species"]).sum(),
            "hours": hours.where(used, 0.0).groupby(named["species"]).sum(),
        }
    ).sort_values(["recordings", "hours"], kind="stable")
    fig, axes = figure(11, float(np.clip(1.4 + 0.26 * len(by), 2.8, 32)), columns=2, sharey=True)
    at = np.arange(len(by))
    axes[0].barh(at, by["recordings"], color=BLUE, label="used")
    axes[0].barh(at, by["quarantined"], left=by["recordings"], color=GREY, label="quarantined")
    axes[0].set_xlabel("recordings")
    axes[0].legend(loc="lower right")
    unit, scale = ("hours", 1) if by["hours"].max() >= 1 else ("minutes", 60)
    axes[1].barh(at, by["hours"] * scale, color=GREEN)
    axes[1].set_xlabel(f"{unit} used")
    # More names than these cannot be read; the table has them all.
    step = -(-len(by) // 120) or 1
    axes[0].set_yticks(at[::step], list(by.index[::step]), style="italic", fontsize=9)
    save(fig, path)


def places(path: Path, table: pd.DataFrame) -> None:
    """Where the recordings in use were made: longitude and latitude, equirectangular."""
    used = table[table["quarantined"] == ""]
    known = used.dropna(subset=["latitude", "longitude"])
    fig, ax = figure(9, 4.8)
    x, y = known["longitude"].to_numpy(), known["latitude"].to_numpy()
    ax.scatter(x, y, s=18, color=ORANGE, alpha=0.6, linewidths=0)
    if len(known):
        ax.set_xlim(max(-180, x.min() - 8), min(180, x.max() + 8))
        ax.set_ylim(max(-90, y.min() - 8), min(90, y.max() + 8))
    ax.grid(color="#dddddd", linewidth=0.6)
    ax.set_axisbelow(True)
    ax.set_xlabel("longitude, degrees")
    ax.set_ylabel("latitude, degrees")
    ax.set_title(f"{len(known)} of {len(used)} recordings have coordinates", fontsize=10, loc="left")
    save(fig, path)


def main(argv: Sequence[str] | None = None) -> None:
    """Command line of the stage."""
    p = parser(__doc__)
    for name in ("catalogue", "overview", "species", "map"):
        p.add_argument(f"--{name}", type=Path, required=True)
    args = p.parse_args(argv)
    with stage("corpus_figures", args, [args.overview, args.species, args.map]):
        table = read_table(args.catalogue)
        overview(args.overview, table)
        species(args.species, table)
        places(args.map, table)


if __name__ == "__main__":
    run(main)
