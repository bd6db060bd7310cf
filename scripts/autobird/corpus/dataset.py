"""Stage `dataset`: which windows are learnt from, which are tested, and why the others are left out."""

import contextlib
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from autobird.core.errors import AutobirdError
from autobird.core.files import write_json
from autobird.core.stage import log, parser, run, settings_of, stage
from autobird.core.store import Store, store_of
from autobird.core.tables import read_facts, read_table, read_tables, write_table
from autobird.corpus.acceptance import reasons
from autobird.corpus.schemas import INDEX
from autobird.corpus.settings import DatasetStageSettings
from autobird.corpus.split import SPLITS, deal, group_keys, leakage


def windows_of(segments: Sequence[Path], mels: Sequence[Path]) -> pd.DataFrame:
    """All windows of all batches, with the number of the batch as `shard`."""
    parts = []
    for shard, (segment, mel) in enumerate(zip(segments, mels, strict=True)):
        left = read_table(segment, ["recording", "start", "rms"])
        right = read_table(mel)
        if not left[["recording", "start"]].equals(right[["recording", "start"]]):
            raise AutobirdError(f"{mel} does not fit {segment}; delete it and run again")
        parts.append(pd.concat([left, right[["first_frame", "mel_mean", "mel_std"]]], axis=1).assign(shard=shard))
    return pd.concat(parts, ignore_index=True)


def build_index(
    recordings: pd.DataFrame, windows: pd.DataFrame, grouping: pd.DataFrame, settings: DatasetStageSettings
) -> pd.DataFrame:
    """Every window of every accepted recording with its split, sorted by recording and start.

    Raises:
        AutobirdError: an unknown split name, or less than two species or an empty split remain.
    """
    wrong = grouping[~grouping["split"].isin(["", *SPLITS])]
    if len(wrong):
        first = wrong.iloc[0]
        raise AutobirdError(
            f"the metadata gives {first['recording']} the split {first['split']!r}; use one of {', '.join(SPLITS)}"
        )
    quarantined = reasons(recordings)
    accepted = recordings[recordings["recording"].map(quarantined) == ""].sort_values("recording")
    keys = group_keys(accepted["recording"], grouping)
    decided = grouping.set_index("recording")["split"]
    table = accepted[["recording", "species"]].assign(group=accepted["recording"].map(keys))
    table["split"] = table["recording"].map(decided).fillna("")
    table["split"] = table["recording"].map(deal(table, settings))
    index = windows.merge(table, on="recording").sort_values(["recording", "start"], ignore_index=True)
    index["dropped"] = ""
    _drop(index, index["rms"] < settings.min_rms, f"RMS below {settings.min_rms:g}")
    _drop(
        index,
        index["mel_std"] < settings.min_mel_std,
        f"mel standard deviation below {settings.min_mel_std:g}",
    )
    kept = index[index["dropped"] == ""]
    rare = kept["species"].value_counts() < settings.min_windows
    _drop(
        index,
        index["species"].isin(rare.index[rare]),
        f"species with fewer than {settings.min_windows} windows",
    )
    trained = set(index.loc[(index["dropped"] == "") & (index["split"] == "train"), "species"])
    _drop(index, ~index["species"].isin(trained), "species without a window in training")
    _check(index)
    return index


def _drop(index: pd.DataFrame, rows: "pd.Series[bool]", why: str) -> None:
    index.loc[rows & (index["dropped"] == ""), "dropped"] = why


def _check(index: pd.DataFrame) -> None:
    kept = index[index["dropped"] == ""]
    if kept["species"].nunique() < 2:
        why = "; ".join(
            f"{n} windows: {reason}"
            for reason, n in index.loc[index["dropped"] != "", "dropped"].value_counts().items()
        )
        raise AutobirdError(
            f"{kept['species'].nunique()} species with windows to train on remain of {index['species'].nunique()} ({why}); two are needed. "
            "Add recordings, or lower features.min_rms, features.min_mel_std or dataset.min_windows"
        )
    for split in SPLITS:
        if not (kept["split"] == split).any():
            raise AutobirdError(
                f"the {split} split is empty: {kept['group'].nunique()} groups (recordist, day and place) are too few, or the metadata's "
                "split column leaves it out; add recordings or change dataset.seed"
            )


def normalisation(windows: pd.DataFrame) -> dict[str, float]:
    """Mean and standard deviation over all log-mel cells of `windows`, nats."""
    mean = float(windows["mel_mean"].mean())
    square = float((windows["mel_std"] ** 2 + windows["mel_mean"] ** 2).mean())
    return {"mean": mean, "std": float(np.sqrt(max(1e-12, square - mean**2)))}


def counts(recordings: pd.DataFrame, index: pd.DataFrame) -> dict[str, Any]:
    """Where every recording and window went; the recordings add up: all = used + filtered + quarantined."""
    kept = index[index["dropped"] == ""]
    used = kept["recording"].nunique()
    quarantined = int((reasons(recordings) != "").sum())
    return {
        "recordings": len(recordings),
        "recordings_used": used,
        "recordings_filtered": len(recordings) - quarantined - used,
        "recordings_quarantined": quarantined,
        "windows": len(index),
        "windows_used": len(kept),
        "windows_dropped": dict(sorted(index.loc[index["dropped"] != "", "dropped"].value_counts().items())),
        "splits": {
            s: {
                "recordings": int(kept.loc[kept["split"] == s, "recording"].nunique()),
                "windows": int((kept["split"] == s).sum()),
                "species": int(kept.loc[kept["split"] == s, "species"].nunique()),
            }
            for s in SPLITS
        },
    }


_LAST_SPLIT = ".split.csv"


def report_moves(state: Store, index: pd.DataFrame) -> None:
    """Log every recording that changed its split since the last run here, which `state` remembers."""
    now = index.drop_duplicates("recording").set_index("recording")["split"]
    with contextlib.suppress(FileNotFoundError):
        before = pd.read_csv(io.BytesIO(state.read(_LAST_SPLIT)), index_col="recording", dtype=str)["split"]
        both = now.index.intersection(before.index)
        moved = [name for name in both if now[name] != before[name]]
        for name in moved:
            log.warning("moved from %s to %s: %s", before[name], now[name], name)
        log.info("%d of %d known recordings changed their split", len(moved), len(both))
    state.write(_LAST_SPLIT, now.to_csv(lineterminator="\n").encode())


def main(argv: Sequence[str] | None = None) -> None:
    """Command line of the stage."""
    p = parser(__doc__)
    for name in ("recordings", "segments", "mels"):
        p.add_argument(f"--{name}", type=Path, nargs="+", required=True)
    p.add_argument("--grouping", type=Path, required=True)
    p.add_argument("--state", required=True, help="folder or URL that remembers the last split, not an output")
    for name in ("index", "labels", "normalisation", "leakage", "counts"):
        p.add_argument(f"--{name}", type=Path, required=True)
    args = p.parse_args(argv)
    settings = settings_of(DatasetStageSettings, args.settings)
    with stage("dataset", args, [args.index, args.labels, args.normalisation, args.leakage, args.counts]):
        recordings, grouping = read_tables(args.recordings), read_facts(args.grouping)
        index = build_index(recordings, windows_of(args.segments, args.mels), grouping, settings)
        kept = index[index["dropped"] == ""]
        write_table(args.index, index, INDEX)
        write_json(args.labels, sorted(kept["species"].unique()))
        write_json(args.normalisation, normalisation(kept[kept["split"] == "train"]))
        used = kept.drop_duplicates("recording").merge(recordings[["recording", "sound_sha256"]], on="recording")
        write_json(args.leakage, leakage(used, grouping))
        numbers = counts(recordings, index)
        write_json(args.counts, numbers)
        report_moves(store_of(args.state), index)
        log.info("%s", numbers)


if __name__ == "__main__":
    run(main)
