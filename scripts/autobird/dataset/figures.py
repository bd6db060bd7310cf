"""Stage `data_figures`: what the corpus looks like: species, durations, and some spectrograms."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from autobird.audio.mel_scale import band_centres
from autobird.audio.settings import MelSettings
from autobird.audio.windows import frames_per_window
from autobird.core.files import read_json
from autobird.core.plots import BLUE, GREEN, GREY, ORANGE, figure, save
from autobird.core.stage import parser, run, settings_of, stage
from autobird.core.tables import read_table, read_tables, read_text_csv
from autobird.dataset.leakage import SHARED
from autobird.dataset.split import SPLITS

_EXAMPLES = 12
"""Species that the figure of spectrograms shows."""


def species_counts(path: Path, index: pd.DataFrame) -> None:
    """Recordings and windows of each species by split."""
    kept = index[index["dropped"] == ""]
    by_recording = kept.drop_duplicates("recording").groupby(["species", "split"]).size().unstack(fill_value=0)
    by_window = kept.groupby(["species", "split"]).size().unstack(fill_value=0)
    order = by_window.sum(axis=1).sort_values(kind="stable").index
    fig, axes = figure(11, float(np.clip(1.6 + 0.26 * len(order), 2.8, 32)), columns=2, sharey=True)
    for ax, table, what in zip(axes, (by_recording, by_window), ("recordings", "windows"), strict=True):
        left = np.zeros(len(order))
        for split, colour in zip(SPLITS, (BLUE, GREEN, ORANGE), strict=True):
            values = table.reindex(index=order, columns=list(SPLITS), fill_value=0)[split].to_numpy()
            ax.barh(np.arange(len(order)), values, left=left, color=colour, label=split)
            left += values
        ax.set_xlabel(what)
    axes[0].set_yticks(np.arange(len(order)), list(order), style="italic", fontsize=9)
    axes[1].legend(loc="lower right")
    save(fig, path)


def durations(path: Path, recordings: pd.DataFrame, left_out: "pd.Series[str]") -> None:
    """Histogram of the durations of all decodable recordings, used and quarantined (`left_out` names those)."""
    out = recordings.sort_values("recording")
    quarantined = out["recording"].isin(left_out).to_numpy()
    seconds = out["duration"].to_numpy()
    decodable = seconds > 0
    fig, ax = figure(7, 3.6)
    if decodable.any():
        edges = np.geomspace(max(0.1, seconds[decodable].min() * 0.99), seconds.max() * 1.01, 40)
        parts = [seconds[decodable & ~quarantined], seconds[decodable & quarantined]]
        names = [f"accepted ({len(parts[0])})", f"quarantined ({len(parts[1])})"]
        ax.hist(parts, bins=edges, stacked=True, color=[BLUE, GREY], label=names)
        ax.set_xscale("log")
        ax.set_xticks(
            ticks := [
                t for t in (0.1, 0.3, 1, 2, 5, 10, 20, 60, 120, 300, 900, 3600, 7200) if edges[0] <= t <= edges[-1]
            ]
        )
        ax.set_xticklabels([f"{t:g}" for t in ticks])
        ax.minorticks_off()
        ax.legend()
    ax.set_xlabel("duration, seconds")
    ax.set_ylabel("recordings")
    ax.set_title(f"{len(out)} recordings, {seconds[~quarantined].sum() / 3600:.2f} h accepted")
    save(fig, path)


def leakage_bars(path: Path, leakage: dict[str, Any]) -> None:
    """What test recordings share with training recordings, in this split and in random ones; text where it is unknown."""
    names = list(SHARED)
    at = np.arange(len(names))
    mine = np.array([leakage["this_split"][n] for n in names], float)
    theirs = [leakage["random_split"][n] or dict.fromkeys(("mean", "low", "high"), np.nan) for n in names]
    means = np.array([t["mean"] for t in theirs])
    spread = np.abs([[t["mean"] - t["low"], t["high"] - t["mean"]] for t in theirs]).T
    fig, ax = figure(8, 3.4)
    ax.barh(at - 0.2, mine, 0.36, color=BLUE, label="this split")
    ax.barh(at + 0.2, means, 0.36, xerr=spread, color=GREY, ecolor="#444", label="random over recordings (range of 20)")
    for y, value in [*zip(at - 0.2, mine, strict=True), *zip(at + 0.2, means, strict=True)]:
        text = "unknown" if np.isnan(value) else f"{value:.0%}"
        ax.text(1.01, y, text, va="center", fontsize=8, transform=ax.get_yaxis_transform())
    known = [f"{n.replace('_', ' ').replace('and', '+')}\n(known of {leakage['known'][n]})" for n in names]
    ax.set_yticks(at, known, fontsize=8)
    ax.set_ylim(len(names) - 0.5, -0.5)  # unknown shares have no bars
    ax.set_xlim(0, 1)
    ax.set_xlabel(f"share of those of the {leakage['test_recordings']} test recordings of which it is known")
    ax.legend(loc="upper center", bbox_to_anchor=(0.5, 1.16), ncols=2)
    save(fig, path)


def spectrograms(
    path: Path,
    index: pd.DataFrame,
    recordings: pd.DataFrame,
    shards: Sequence[NDArray[np.float16]],
    settings: MelSettings,
) -> None:
    """Of each of up to twelve species the window with the widest spread, one without padding where there is one."""
    kept = index[(index["dropped"] == "") & (index["split"] == "train")]
    kept = kept.merge(recordings[["recording", "duration"]], on="recording")
    kept["padded"] = kept["start"] / settings.sample_rate + settings.window > kept["duration"]
    order = ["padded", "mel_std", "recording", "start"]
    best = kept.sort_values(order, ascending=[True, False, True, True]).drop_duplicates("species")
    best = best.sort_values("species").head(_EXAMPLES)
    size = frames_per_window(settings.window_samples, settings.hop_length)
    columns = 3
    rows = -(-len(best) // columns)
    fig, axes = figure(11, 2.3 * rows + 0.4, rows=rows, columns=columns, squeeze=False, sharex=True, sharey=True)
    for ax in axes.flat[len(best) :]:
        ax.set_axis_off()
    hertz = band_centres(settings)
    ticks = [f for f in (500, 1000, 2000, 4000, 8000, 16000) if hertz[0] < f < hertz[-1]]
    for ax, row in zip(axes.flat, best.itertuples(), strict=False):
        frames = np.asarray(shards[row.shard][row.first_frame : row.first_frame + size], np.float32)
        ax.imshow(frames.T, origin="lower", aspect="auto", cmap="magma", extent=(0, settings.window, 0, settings.mels))
        ax.set_title(f"{row.species}\n{row.recording.rsplit('/', 1)[-1]}", fontsize=8, style="italic")
        ax.set_yticks(
            [float(np.interp(f, hertz, np.arange(settings.mels) + 0.5)) for f in ticks],
            [f"{f / 1000:g}" for f in ticks],
        )
        ax.spines[:].set_visible(False)
    fig.supxlabel("seconds", fontsize=9)
    fig.supylabel("kHz", fontsize=9)
    save(fig, path)


def main(argv: Sequence[str] | None = None) -> None:
    """Command line of the stage."""
    p = parser(__doc__)
    p.add_argument("--recordings", type=Path, nargs="+", required=True)
    p.add_argument("--shards", type=Path, nargs="+", required=True)
    for name in ("index", "quarantine", "leakage", "species", "durations", "leakage-figure", "spectrograms"):
        p.add_argument(f"--{name}", type=Path, required=True)
    args = p.parse_args(argv)
    settings = settings_of(MelSettings, args.settings)
    with stage("data_figures", args, [args.species, args.durations, args.leakage_figure, args.spectrograms]):
        index = read_table(args.index)
        species_counts(args.species, index)
        recordings = read_tables(args.recordings)
        durations(args.durations, recordings, read_text_csv(args.quarantine)["recording"])
        leakage_bars(args.leakage_figure, read_json(args.leakage))
        spectrograms(args.spectrograms, index, recordings, [np.load(s, mmap_mode="r") for s in args.shards], settings)


if __name__ == "__main__":
    run(main)
