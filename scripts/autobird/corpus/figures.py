"""Stage `corpus_figures`: figures of the corpus: species, durations, sampling rates, licences, grades, places."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from autobird.core.plots import BLUE, GREEN, GREY, ORANGE, explain_empty, figure, make_logarithmic, save
from autobird.core.stage import parser, run, stage
from autobird.core.tables import read_table
from autobird.core.wording import counted
from autobird.sources.base import NEGATIVE

_MAX_BARS = 12
"""Bars in one panel; the counts of the rarer values are added up in one more bar."""

_MAX_SPECIES_LABELS = 120
"""Species names that can be read on the axis; with more species, only every n-th name is shown."""

_REASON_KINDS = {
    "a negative in the folder": "negative in a species folder",
    "a negative": "same audio, species and negative",
    "which has another species": "same audio, other species",
    "the same audio as": "exact copy",
    "shorter than": "too short",
    "longer than": "too long",
    "truncated": "truncated",
    "silent": "silent",
    "withdrawn": "withdrawn",
    "sha256": "other sha256",
    "sends only": "incomplete download",
    "licence": "licence",
    "taken down": "taken down",
    "to protect the species": "access restricted",
    "species": "no species",
    "annotat": "not annotated",
    "git-lfs": "git-lfs pointer",
    "empty": "empty",
    "text": "text",
    "UTF-8": "name not UTF-8",
    "finite": "not finite",
    "cannot be read": "cannot be read",
    "the table": "error in the table",
    "start": "wrong start or end",
    "answers": "not downloaded",
}
"""Words in a quarantine reason, and the kind of the reason. The first match decides, so the order matters."""


def overview(path: Path, catalogue: pd.DataFrame) -> None:
    """Draw durations, sampling rates, codecs, licences and grades of the recordings in use, and quarantine reasons."""
    used = catalogue[catalogue["quarantined"] == ""]
    fig, axes = figure(12, 7.2, rows=2, columns=3)
    panels = axes.flat
    _duration_histogram(panels[0], used["duration"].to_numpy())
    channels = used["channels"].map({1: " mono", 2: " stereo"}).fillna(" more")
    _count_bars(panels[1], used["sample_rate"].map("{:,} Hz".format) + channels, "sampling rate and channels", BLUE)
    codec = used["codec"].str.split(" ").str[0] + used["bits"].map(lambda bits: f" {bits} bit" if bits else "")
    _count_bars(panels[2], codec, "codec", BLUE)
    _count_bars(panels[3], used["licence_family"], "licence", GREEN)
    _count_bars(panels[4], used["quality"].replace("", "not graded"), "grade", GREEN)
    reason_kinds = catalogue.loc[catalogue["quarantined"] != "", "quarantined"].map(reason_kind)
    _count_bars(panels[5], reason_kinds, f"quarantined: {len(reason_kinds)} of {len(catalogue)}", ORANGE)
    save(fig, path)


def reason_kind(reason: str) -> str:
    """Return the kind of a quarantine reason, without the names and numbers in it."""
    return next((kind for words, kind in _REASON_KINDS.items() if words in reason), "cannot be decoded")


def _duration_histogram(ax: Any, seconds: Any) -> None:
    if len(seconds):
        edges = np.geomspace(max(0.1, seconds.min() * 0.99), seconds.max() * 1.01, 30)
        ax.hist(seconds, bins=edges, color=BLUE)
        make_logarithmic(ax, "x", "seconds", most=7)
    else:
        explain_empty(ax, "There are no such recordings.")
    ax.set_title(f"duration ({len(seconds)} used, {seconds.sum() / 3600:.2f} h)", fontsize=10, loc="left")


def _count_bars(ax: Any, values: "pd.Series[str]", title: str, colour: str) -> None:
    """Draw a bar for the number of occurrences of each value, most frequent first."""
    ax.set_title(title, fontsize=10, loc="left")
    counts = values.value_counts()
    if not len(counts):
        explain_empty(ax, "There are no such recordings.")
        return
    shown = counts.iloc[:_MAX_BARS]
    if len(counts) > _MAX_BARS:
        shown[f"{len(counts) - _MAX_BARS} others"] = int(counts.iloc[_MAX_BARS:].sum())
    positions = np.arange(len(shown))
    ax.barh(positions, shown.to_numpy(), color=colour)
    for y, count in zip(positions, shown, strict=True):
        ax.text(count, y, f" {count}", va="center", fontsize=8)
    ax.set_yticks(positions, list(shown.index), fontsize=8)
    ax.set_ylim(max(len(shown), _MAX_BARS // 2) - 0.5, -0.5)
    ax.set_xlim(0, 1.15 * shown.max())
    ax.xaxis.get_major_locator().set_params(integer=True)


def species(path: Path, catalogue: pd.DataFrame) -> None:
    """Draw the number of used and quarantined recordings of each species, and the used hours; negatives are no species."""
    with_species = catalogue[catalogue["species"] != ""]
    negatives = catalogue[(catalogue["kind"] == NEGATIVE) & (catalogue["quarantined"] == "")]
    used = with_species["quarantined"] == ""
    hours = with_species["duration"] / 3600
    per_species = pd.DataFrame(
        {
            "recordings": used.groupby(with_species["species"]).sum(),
            "quarantined": (~used).groupby(with_species["species"]).sum(),
            "hours": hours.where(used, 0.0).groupby(with_species["species"]).sum(),
        }
    ).sort_values(["recordings", "hours"], kind="stable")
    fig, axes = figure(11, float(np.clip(1.4 + 0.26 * len(per_species), 2.8, 32)), columns=2, sharey=True)
    positions = np.arange(len(per_species))
    axes[0].barh(positions, per_species["recordings"], color=BLUE, label="used")
    axes[0].barh(positions, per_species["quarantined"], left=per_species["recordings"], color=GREY, label="quarantined")
    axes[0].set_xlabel("recordings")
    axes[0].xaxis.get_major_locator().set_params(integer=True)
    fig.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=2, fontsize=9)
    unit, scale = ("hours", 1) if per_species["hours"].max() >= 1 else ("minutes", 60)
    axes[1].barh(positions, per_species["hours"] * scale, color=GREEN)
    axes[1].set_xlabel(f"{unit} used")
    if len(negatives):
        shown = f"not shown: {len(negatives)} negatives, {negatives['duration'].sum() / 3600 * scale:.1f} {unit}"
        axes[1].set_title(shown, fontsize=9, loc="right")
    step = -(-len(per_species) // _MAX_SPECIES_LABELS) or 1
    axes[0].set_yticks(positions[::step], list(per_species.index[::step]), style="italic", fontsize=9)
    save(fig, path)


def places(path: Path, catalogue: pd.DataFrame) -> None:
    """Draw the coordinates of the recordings in use, in equirectangular projection; without any, a sentence says so."""
    used = catalogue[catalogue["quarantined"] == ""]
    with_coordinates = used.dropna(subset=["latitude", "longitude"])
    if not len(with_coordinates):
        fig, ax = figure(9, 1)
        missing = f"The metadata give no coordinates of the {counted(len(used), 'recording')} in use"
        explain_empty(ax, f"{missing if len(used) else 'No recording is in use'}, so there is no map.")
        save(fig, path)
        return
    fig, ax = figure(9, 4.8)
    x, y = with_coordinates["longitude"].to_numpy(), with_coordinates["latitude"].to_numpy()
    ax.scatter(x, y, s=18, color=ORANGE, alpha=0.6, linewidths=0)
    ax.set_xlim(max(-180, x.min() - 8), min(180, x.max() + 8))
    ax.set_ylim(max(-90, y.min() - 8), min(90, y.max() + 8))
    ax.grid(color="#dddddd", linewidth=0.6)
    ax.set_axisbelow(True)
    ax.set_xlabel("longitude, degrees")
    ax.set_ylabel("latitude, degrees")
    ax.set_title(f"{len(with_coordinates)} of {len(used)} recordings have coordinates", fontsize=10, loc="left")
    save(fig, path)


def main(argv: Sequence[str] | None = None) -> None:
    """Command line of the stage."""
    p = parser(__doc__)
    for name in ("catalogue", "overview", "species", "map"):
        p.add_argument(f"--{name}", type=Path, required=True)
    args = p.parse_args(argv)
    with stage("corpus_figures", args, [args.overview, args.species, args.map]):
        catalogue = read_table(args.catalogue)
        overview(args.overview, catalogue)
        species(args.species, catalogue)
        places(args.map, catalogue)


if __name__ == "__main__":
    run(main)
