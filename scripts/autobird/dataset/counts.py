"""Count recordings and windows: used, filtered, quarantined, and per split."""

from typing import Any

import pandas as pd

from autobird.dataset.index import UNKNOWN_SPLIT
from autobird.dataset.recording_tables import RecordingTables
from autobird.dataset.split import SPLITS


def count_dataset(recordings: pd.DataFrame, index: pd.DataFrame, tables: RecordingTables) -> dict[str, Any]:
    """Return the content of `counts.json`. All recordings = used + filtered + quarantined.

    Args:
        recordings: column recording.
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
    }
    if tables.boxes is not None:
        box_counts = tables.boxes["problem"].replace("", "used").value_counts()
        counts["boxes"] = {str(problem): int(count) for problem, count in box_counts.sort_index().items()}
    return counts


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
