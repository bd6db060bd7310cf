"""Stage `dataset`: which windows are learnt from, which are tested, and why the others are left out."""

import contextlib
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from autobird.audio.windows import is_quiet
from autobird.core.errors import AutobirdError
from autobird.core.files import write_json
from autobird.core.stage import log, parser, run, settings_of, stage
from autobird.core.store import Store, open_store
from autobird.core.tables import read_table, read_tables, read_text_csv, write_table
from autobird.dataset.boxes import label_windows, recording_truth
from autobird.dataset.groups import clusters, group_keys
from autobird.dataset.leakage import leakage
from autobird.dataset.recorders import COLUMNS, NO_SESSIONS, recorder_sessions
from autobird.dataset.schemas import INDEX
from autobird.dataset.settings import DatasetStageSettings
from autobird.dataset.split import SPLITS, by_position, deal, position

UNKNOWN_SPLIT = "unknown"
"""Split of windows of species with too few of them: examples of what the model does not know."""


class Known(NamedTuple):
    """What is known about the recordings besides their sound.

    Attributes:
        grouping: recording, recordist, date, place, split.
        quarantined: recordings that are left out.
        pairs: near-duplicates (`PAIRS`).
        boxes: recording, start, end (seconds), species, problem; None where recordings have one label.
    """

    grouping: pd.DataFrame
    quarantined: frozenset[str]
    pairs: pd.DataFrame
    boxes: pd.DataFrame | None = None

    @classmethod
    def read(cls, grouping: Path, quarantine: Path, pairs: Path, boxes: Path | None) -> "Known":
        """From the files of the stages before."""
        quarantined = frozenset(read_text_csv(quarantine)["recording"])
        table = None
        if boxes is not None:
            table = read_text_csv(boxes).astype({"start": float, "end": float})
        return cls(read_text_csv(grouping), quarantined, read_text_csv(pairs), table)


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
    recordings: pd.DataFrame, windows: pd.DataFrame, known: Known, settings: DatasetStageSettings
) -> pd.DataFrame:
    """Every window of every accepted recording with its split, sorted by recording and start.

    Raises:
        AutobirdError: an unknown split name, or less than two species or an empty split remain.
    """
    accepted = recordings[~recordings["recording"].isin(known.quarantined)].sort_values("recording")
    index = windows.merge(accepted[["recording", "species"]], on="recording")
    index = index.sort_values(["recording", "start"], ignore_index=True).assign(dropped="")
    index["quiet"] = is_quiet(index["rms"].to_numpy(), index["mel_std"].to_numpy(), settings)
    if known.boxes is not None:
        labelled = label_windows(index, known.boxes, settings)
        index[labelled.columns] = labelled
        truth = recording_truth(index, known.boxes)
        index[truth.columns] = truth
    else:
        # One list a species, shared by its windows.
        index["present"] = index["species"].map({s: [s] for s in index["species"].unique()})
        index["recording_species"] = index["present"]
        index["complete"] = index["recording_complete"] = True
    _drop(index, index["rms"] < settings.min_rms, f"RMS below {settings.min_rms:g}")
    _drop(
        index,
        index["mel_std"] < settings.min_mel_std,
        f"mel standard deviation below {settings.min_mel_std:g}",
    )
    kept = index[index["dropped"] == ""]
    rare = kept["species"].value_counts() < settings.min_windows
    unknown = index["species"].isin(rare.index[rare])
    _drop(index, unknown, f"species with fewer than {settings.min_windows} windows")

    recorders = recorders_of(accepted, known, settings)
    index["group"] = index["recording"].map(group_keys(accepted, known.grouping, known.pairs, recorders))
    decided = _decided(known.grouping)
    kept = index.loc[index["dropped"] == "", ["recording", "species", "group"]].drop_duplicates()
    # Only what is kept deals, so that a small species is not tested on windows that were filtered out.
    where = deal(kept.assign(split=kept["recording"].map(decided).fillna("")), settings)
    others = {g: by_position(position(g, settings.seed), settings) for g in set(index["group"]) - set(where)}
    index["split"] = index["recording_split"] = index["group"].map(where | others)
    index.loc[unknown, "split"] = UNKNOWN_SPLIT
    trained = set(index.loc[(index["dropped"] == "") & (index["split"] == "train"), "species"])
    _drop(index, ~index["species"].isin(trained), "species without a window in training")
    _check(index, known)
    return index


def recorders_of(accepted: pd.DataFrame, known: Known, settings: DatasetStageSettings) -> pd.DataFrame:
    """The sessions of recorders (`recorder_sessions`) of accepted recordings, none of them where that is switched off."""
    sessions = recorder_sessions(accepted, known.grouping)
    return sessions if settings.recorder_sessions else sessions.assign(**NO_SESSIONS)


def _decided(grouping: pd.DataFrame) -> "pd.Series[str]":
    wrong = grouping[~grouping["split"].isin(["", *SPLITS])]
    if len(wrong):
        first = wrong.iloc[0]
        raise AutobirdError(
            f"the metadata gives {first['recording']} the split {first['split']!r}; use one of {', '.join(SPLITS)}"
        )
    return grouping.drop_duplicates("recording").set_index("recording")["split"]


def _drop(index: pd.DataFrame, rows: "pd.Series[bool]", why: str) -> None:
    index.loc[rows & (index["dropped"] == ""), "dropped"] = why


def _check(index: pd.DataFrame, known: Known) -> None:
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
            raise AutobirdError(_empty(split, kept.drop_duplicates("recording"), known))


def _empty(split: str, used: pd.DataFrame, known: Known) -> str:
    """Why a split has no recordings, and what to do.

    Args:
        split: its name.
        used: columns recording and group of the recordings in use.
        known: what is known about them.
    """
    sizes = used["group"].value_counts()
    alike = int(used["recording"].isin(known.pairs[["recording", "other"]].to_numpy().ravel()).sum())
    largest = ", ".join(line for line in str(sizes.index[0]).splitlines() if line)
    if len(sizes) == 1:
        what = f"all {len(used)} recordings in use are one group ({largest})"
    else:
        what = (
            f"the {len(used)} recordings in use are {len(sizes)} groups; the largest ({largest}) holds {sizes.iloc[0]}"
        )
    why = (
        f"the {split} split is empty: {what}. A group is never divided, as a model that is tested on a session it learnt from looks "
        "better than it is: it holds the recordings of one session (recordist, day and place in the metadata, or one recorder's night "
        "by file names and headers) and those of one sound. "
    )
    if alike:
        why += f"{alike} of the recordings hold the sound of another one: see near_duplicates.csv. "
    if (known.grouping["split"] != "").any():
        return f"{why}Add {split} to the split column of the metadata, or leave that column out"
    if len(sizes) >= len(SPLITS):
        return f"{why}Add recordings, or change dataset.seed"
    return (
        f"{why}Train, validation and test need one group each: add recordings of other nights, places or recorders. Where the times in "
        "file names and headers are not those of the recordings, set dataset.recorder_sessions to false"
    )


def normalisation(windows: pd.DataFrame) -> dict[str, float]:
    """Mean and standard deviation over all log-mel cells of `windows`, nats."""
    mean = float(windows["mel_mean"].mean())
    square = float((windows["mel_std"] ** 2 + windows["mel_mean"] ** 2).mean())
    return {"mean": mean, "std": float(np.sqrt(max(1e-12, square - mean**2)))}


def counts(recordings: pd.DataFrame, index: pd.DataFrame, known: Known) -> dict[str, Any]:
    """Where every recording and window went; the recordings add up: all = used + filtered + quarantined."""
    kept = index[index["dropped"] == ""]
    used = kept["recording"].nunique()
    quarantined = int(recordings["recording"].isin(known.quarantined).sum())
    unknown = index[(index["split"] == UNKNOWN_SPLIT) & index["dropped"].str.startswith("species")]
    out: dict[str, Any] = {
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
        "unknown": {
            "recordings": int(unknown["recording"].nunique()),
            "windows": len(unknown),
            "species": sorted(unknown["species"].unique()),
        },
        "untestable": untestable(kept),
    }
    if known.boxes is not None:
        said = known.boxes["problem"].replace("", "used").value_counts()
        out["boxes"] = {str(why): int(n) for why, n in said.sort_index().items()}
    return out


def untestable(kept: pd.DataFrame) -> dict[str, str]:
    """Species that lack test or validation recordings, each with the reason."""
    groups = kept.groupby(["species", "split"])["group"].nunique().unstack(fill_value=0)
    groups = groups.reindex(columns=list(SPLITS), fill_value=0)
    found = {}
    for species, row in groups.iterrows():
        lacking = [s for s in SPLITS if not row[s]]
        if lacking:
            why = "three are needed" if row.sum() < len(SPLITS) else "they were dealt so; try another dataset.seed"
            found[str(species)] = f"no {' and no '.join(lacking)} recordings: {row.sum()} independent groups ({why})"
    return found


_LAST_SPLIT = ".split.csv"


def report_moves(state: Store, index: pd.DataFrame) -> None:
    """Log every recording that changed its split since the last run here, which `state` remembers."""
    dealt = index[index["split"] != UNKNOWN_SPLIT]
    now = dealt.drop_duplicates("recording").set_index("recording")["split"]
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
    for name in ("grouping", "quarantine", "near_duplicates"):
        p.add_argument(f"--{name.replace('_', '-')}", type=Path, required=True)
    p.add_argument("--boxes", type=Path, nargs="?", help="boxes of annotated recordings")
    p.add_argument("--state", required=True, help="folder or URL that remembers the last split, not an output")
    for name in ("index", "labels", "normalisation", "leakage", "counts"):
        p.add_argument(f"--{name}", type=Path, required=True)
    args = p.parse_args(argv)
    settings = settings_of(DatasetStageSettings, args.settings)
    with stage("dataset", args, [args.index, args.labels, args.normalisation, args.leakage, args.counts]):
        recordings = read_tables(args.recordings, [*COLUMNS, "file_sha256", "sound_sha256"])
        known = Known.read(args.grouping, args.quarantine, args.near_duplicates, args.boxes)
        index = build_index(recordings, windows_of(args.segments, args.mels), known, settings)
        kept = index[index["dropped"] == ""]
        write_table(args.index, index, INDEX)
        write_json(args.labels, sorted(kept["species"].unique()))
        write_json(args.normalisation, normalisation(kept[kept["split"] == "train"]))
        used = kept.drop_duplicates("recording")
        accepted = recordings[~recordings["recording"].isin(known.quarantined)]
        same = clusters(known.pairs) if settings.near_duplicates else None
        found = leakage(used, known.grouping, recorders_of(accepted, known, settings), same, settings.seed)
        write_json(args.leakage, found)
        numbers = counts(recordings, index, known)
        write_json(args.counts, numbers)
        report_moves(open_store(args.state), index)
        for species, why in numbers["untestable"].items():
            log.warning("%s: %s", species, why)
        log.info("%s", numbers)


if __name__ == "__main__":
    run(main)
