"""Count recordings and windows: used, filtered, quarantined, and per split."""

from typing import Any

import pandas as pd

from autobird.dataset.index import UNKNOWN_SPLIT
from autobird.dataset.recording_tables import RecordingTables
from autobird.sources.splits import SPLITS

AFTER_END = "begins after the end of its recording"
"""Problem of a box, known only when the recordings are decoded."""


def count_dataset(recordings: pd.DataFrame, index: pd.DataFrame, tables: RecordingTables) -> dict[str, Any]:
    """Return the content of `counts.json`. All recordings = used + filtered + quarantined.

    Args:
        recordings: columns recording, duration (seconds).
        index: result of `build_index`.
        tables: the quarantine and the boxes.
    """
    used = index[index["dropped"] == ""]
    used_recordings = used["recording"].nunique()
    quarantined = int(recordings["recording"].isin(tables.quarantined).sum())
    unknown = index[(index["split"] == UNKNOWN_SPLIT) & index["dropped"].str.startswith("species")]
    counts: dict[str, Any] = {
        "recordings": len(recordings),
        "recordings_used": used_recordings,
        "recordings_filtered": len(recordings) - quarantined - used_recordings,
        "recordings_quarantined": quarantined,
        "windows": len(index),
        "windows_used": len(used),
        "windows_dropped": dict(sorted(index.loc[index["dropped"] != "", "dropped"].value_counts().items())),
        "splits": {split: _count_split(used[used["split"] == split]) for split in SPLITS},
        "unknown": {
            "recordings": int(unknown["recording"].nunique()),
            "windows": len(unknown),
            "species": sorted(unknown["species"].unique()),
        },
        "untestable": untestable_species(used),
        "splits_overridden": _count_overridden(overridden_splits(index, tables.grouping)),
    }
    if tables.boxes is not None:
        problems = tables.boxes["problem"].mask(boxes_after_end(recordings, tables), AFTER_END)
        box_counts = problems.replace("", "used").value_counts()
        counts["boxes"] = {str(problem): int(count) for problem, count in box_counts.sort_index().items()}
    return counts


def boxes_after_end(recordings: pd.DataFrame, tables: RecordingTables) -> "pd.Series[bool]":
    """Return which boxes without another problem begin after the end of their recording, and so label nothing.

    Args:
        recordings: columns recording, duration (seconds).
        tables: the boxes, and the quarantine; the lengths of quarantined recordings may be unknown.
    """
    assert tables.boxes is not None
    accepted = recordings[~recordings["recording"].isin(tables.quarantined)]
    durations = tables.boxes["recording"].map(accepted.set_index("recording")["duration"])
    return (tables.boxes["problem"] == "") & (durations > 0) & (tables.boxes["start"] >= durations)


def overridden_splits(index: pd.DataFrame, grouping: pd.DataFrame) -> pd.DataFrame:
    """Return the recordings whose group has another split than the one that the metadata give them.

    Args:
        index: result of `build_index`.
        grouping: columns recording, split.

    Returns:
        columns recording, given, assigned, group; sorted by recording.
    """
    given = grouping.loc[grouping["split"] != "", ["recording", "split"]].rename(columns={"split": "given"})
    found = index.drop_duplicates("recording")[["recording", "recording_split", "group"]].merge(given, on="recording")
    found = found.rename(columns={"recording_split": "assigned"})
    found = found[found["given"] != found["assigned"]].sort_values("recording", ignore_index=True)
    return found[["recording", "given", "assigned", "group"]]


def _count_overridden(overridden: pd.DataFrame) -> dict[str, int]:
    """Return the number of recordings per given and assigned split."""
    return dict(sorted((overridden["given"] + " -> " + overridden["assigned"]).value_counts().items()))


def _count_split(windows: pd.DataFrame) -> dict[str, int]:
    return {
        "recordings": int(windows["recording"].nunique()),
        "windows": len(windows),
        "species": int(windows["species"].nunique()),
    }


def untestable_species(used: pd.DataFrame) -> dict[str, str]:
    """Return the species without recordings in one of the splits, each with the reason.

    Args:
        used: columns species, split, group; the windows in use.
    """
    groups = used.groupby(["species", "split"])["group"].nunique().unstack(fill_value=0)
    groups = groups.reindex(columns=list(SPLITS), fill_value=0)
    reasons = {}
    for species, groups_per_split in groups.iterrows():
        missing = [split for split in SPLITS if not groups_per_split[split]]
        if missing:
            count = groups_per_split.sum()
            cause = "three are needed" if count < len(SPLITS) else "by chance; try another dataset.seed"
            reasons[str(species)] = f"no {' and no '.join(missing)} recordings: {count} independent groups ({cause})"
    return reasons
