"""Stage `data_figures`: figures of the data set: species, durations, leakage, and example spectrograms."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from autobird.audio.settings import MelSettings
from autobird.core.files import read_json
from autobird.core.memory_maps import memory_maps
from autobird.core.plots import BLUE, GREEN, GREY, ORANGE, figure, height_of_rows, make_logarithmic, save
from autobird.core.stage import parser, run, settings_of, stage
from autobird.core.tables import read_table, read_tables, read_text_csv
from autobird.core.wording import counted
from autobird.dataset.leakage import RANDOM_SPLITS, SHARED
from autobird.dataset.present import species_rows
from autobird.dataset.spectrogram import draw_window
from autobird.sources.splits import SPLITS

_EXAMPLES = 12
"""Maximum number of species in the figure of spectrograms."""

_COLUMNS = [
    "recording", "start", "species", "split", "group", "shard", "first_frame", "mel_std", "dropped", "negative", "present",
]  # fmt: skip
"""Columns of the index that the figures need."""

_NEGATIVES = "negatives (no species)"
"""Name of their row in the figure of species."""


def species_counts(path: Path, index: pd.DataFrame, labels: Sequence[str]) -> None:
    """Draw the number of recordings and windows of each species and split, and below them those of the negatives, if there are any.

    Args:
        path: of the figure.
        index: columns recording, start, split, group, dropped, negative, present.
        labels: species that are trained. A recording or window of several of them counts for each.
    """
    used = index[index["dropped"] == ""]
    rows = species_rows(used, labels)
    negatives = used[used["negative"]].assign(species=_NEGATIVES)
    rows = pd.concat([rows, negatives], ignore_index=True)
    windows_per_split = rows.groupby(["species", "split"]).size().unstack(fill_value=0)
    recordings = rows.drop_duplicates(["recording", "species"])
    recordings_per_split = recordings.groupby(["species", "split"]).size().unstack(fill_value=0)
    order = windows_per_split.drop(index=_NEGATIVES, errors="ignore").sum(axis=1).sort_values(kind="stable").index
    order = order.insert(0, _NEGATIVES) if len(negatives) else order
    height, font = height_of_rows(len(order), 1.6, 2.8)
    fig, axes = figure(11, height, columns=2, sharey=True)
    for ax, table, label in zip(
        axes, (recordings_per_split, windows_per_split), ("recordings", "windows"), strict=True
    ):
        left = np.zeros(len(order))
        for split, colour in zip(SPLITS, (BLUE, GREEN, ORANGE), strict=True):
            values = table.reindex(index=order, columns=list(SPLITS), fill_value=0)[split].to_numpy()
            ax.barh(np.arange(len(order)), values, left=left, color=colour, label=split)
            left += values
        ax.set_xlabel(label)
        ax.xaxis.get_major_locator().set_params(integer=True)
    axes[0].set_yticks(np.arange(len(order)), list(order), style="italic", fontsize=font)
    if len(negatives):
        axes[0].get_yticklabels()[0].set_style("normal")
    fig.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=len(SPLITS), fontsize=9)
    save(fig, path)


def durations(path: Path, recordings: pd.DataFrame, quarantined_recordings: "pd.Series[str]") -> None:
    """Draw a histogram of the durations of all recordings that could be decoded, accepted and quarantined.

    Args:
        path: of the figure.
        recordings: columns recording, duration (seconds; 0 if the recording could not be decoded).
        quarantined_recordings: ids of the quarantined recordings.
    """
    table = recordings.sort_values("recording")
    quarantined = table["recording"].isin(quarantined_recordings).to_numpy()
    seconds = table["duration"].to_numpy()
    decoded = seconds > 0
    fig, ax = figure(7, 3.6)
    if decoded.any():
        edges = np.geomspace(max(0.1, seconds[decoded].min() * 0.99), seconds.max() * 1.01, 40)
        series = [seconds[decoded & ~quarantined], seconds[decoded & quarantined]]
        labels = [f"accepted ({len(series[0])})", f"quarantined ({len(series[1])})"]
        ax.hist(series, bins=edges, stacked=True, color=[BLUE, GREY], label=labels)
        make_logarithmic(ax, "x", "duration, seconds")
        fig.legend(loc="outside lower center", ncols=2, fontsize=9)
    ax.set_ylabel("recordings")
    ax.yaxis.get_major_locator().set_params(integer=True)
    ax.set_title(f"{counted(len(table), 'recording')}, {seconds[~quarantined].sum() / 3600:.2f} h accepted")
    save(fig, path)


def leakage_bars(path: Path, leakage: dict[str, Any]) -> None:
    """Draw the shares of test recordings that share a property with training, beside those of random splits.

    Args:
        path: of the figure.
        leakage: result of `measure_leakage`. An unknown share has the text "unknown" instead of a bar.
    """
    properties = list(SHARED)
    positions = np.arange(len(properties))
    shares = np.array([leakage["this_split"][name] for name in properties], float)
    unknown = dict.fromkeys(("mean", "low", "high"), np.nan)
    random = [leakage["random_split"][name] or unknown for name in properties]
    random_means = np.array([r["mean"] for r in random])
    ranges = np.abs([[r["mean"] - r["low"], r["high"] - r["mean"]] for r in random]).T
    fig, ax = figure(8, 3.4)
    ax.barh(positions - 0.2, shares, 0.36, color=BLUE, label="this split")
    ax.barh(
        positions + 0.2, random_means, 0.36, xerr=ranges, color=GREY, ecolor="#444",
        label=f"random splits (mean and range of {RANDOM_SPLITS})",
    )  # fmt: skip
    bars = [*zip(positions - 0.2, shares, strict=True), *zip(positions + 0.2, random_means, strict=True)]
    for y, value in bars:
        text = "unknown" if np.isnan(value) else f"{value:.0%}"
        ax.text(1.01, y, text, va="center", fontsize=8, transform=ax.get_yaxis_transform())
    labels = [f"{n.replace('_', ' ').replace('and', '+')}\n(known for {leakage['known'][n]})" for n in properties]
    ax.set_yticks(positions, labels, fontsize=8)
    ax.set_ylim(len(properties) - 0.5, -0.5)  # explicit, because unknown shares have no bars to scale the axis
    ax.set_xlim(0, 1)
    ax.set_xlabel(
        f"share of the test recordings with known values ({counted(leakage['test_recordings'], 'test recording')})"
    )
    ax.legend(loc="upper center", bbox_to_anchor=(0.5, 1.16), ncols=2)
    save(fig, path)


def spectrograms(
    path: Path,
    index: pd.DataFrame,
    labels: Sequence[str],
    recordings: pd.DataFrame,
    shards: Sequence[NDArray[np.float16]],
    settings: MelSettings,
) -> None:
    """Draw one training window of each of up to twelve species: the one with the largest standard deviation.

    Windows that may hold other species, and those that are padded with silence at the end of a recording, are drawn only if the
    species has no others.

    Args:
        path: of the figure.
        index: the index of windows (`INDEX`).
        labels: species that are trained.
        recordings: columns recording, duration (seconds).
        shards: mel frames of each batch, in the order of the shard numbers of the index; shape (frames, mels).
        settings: the front end.
    """
    windows = _example_windows(index, labels, recordings, settings)
    columns = 3
    rows = -(-len(windows) // columns)
    fig, axes = figure(11, 2.3 * rows + 0.4, rows=rows, columns=columns, squeeze=False, sharex=True, sharey=True)
    for ax in axes.flat[len(windows) :]:
        ax.set_axis_off()
    for ax, row in zip(axes.flat, windows.itertuples(), strict=False):
        draw_window(ax, shards[row.shard], row.first_frame, settings)
        ax.set_title(f"{row.species}\n{row.recording.rsplit('/', 1)[-1]}", fontsize=8, style="italic")
    fig.supxlabel("seconds", fontsize=9)
    fig.supylabel("kHz", fontsize=9)
    save(fig, path)


def _example_windows(
    index: pd.DataFrame, labels: Sequence[str], recordings: pd.DataFrame, settings: MelSettings
) -> pd.DataFrame:
    """Return the training windows to draw, sorted by species."""
    windows = index[(index["dropped"] == "") & (index["split"] == "train")]
    windows = species_rows(windows.assign(others=windows["species"] == ""), labels)
    windows = windows.merge(recordings[["recording", "duration"]], on="recording")
    windows["padded"] = windows["start"] / settings.sample_rate + settings.window > windows["duration"]
    order = ["others", "padded", "mel_std", "recording", "start"]
    best = windows.sort_values(order, ascending=[True, True, False, True, True]).drop_duplicates("species")
    return best.sort_values("species").head(_EXAMPLES)


def main(argv: Sequence[str] | None = None) -> None:
    """Command line of the stage."""
    p = parser(__doc__)
    p.add_argument("--recordings", type=Path, nargs="+", required=True)
    p.add_argument("--shards", type=Path, nargs="+", required=True)
    for name in ("index", "labels", "quarantine", "leakage", "species", "durations", "leakage-figure", "spectrograms"):
        p.add_argument(f"--{name}", type=Path, required=True)
    args = p.parse_args(argv)
    settings = settings_of(MelSettings, args.settings)
    with stage("data_figures", args, [args.species, args.durations, args.leakage_figure, args.spectrograms]):
        index, labels = read_table(args.index, _COLUMNS), read_json(args.labels)
        species_counts(args.species, index, labels)
        recordings = read_tables(args.recordings, ["recording", "duration"])
        durations(args.durations, recordings, read_text_csv(args.quarantine)["recording"])
        leakage_bars(args.leakage_figure, read_json(args.leakage))
        shards = memory_maps(args.shards)
        spectrograms(args.spectrograms, index, labels, recordings, shards, settings)


if __name__ == "__main__":
    run(main)
