"""Check that an index of windows can be trained and tested on, and explain why not."""

import pandas as pd

from autobird.core.errors import AutobirdError
from autobird.dataset.recording_tables import RecordingTables
from autobird.dataset.settings import SplitSettings
from autobird.sources.splits import SPLITS


def check_index(index: pd.DataFrame, tables: RecordingTables, settings: SplitSettings) -> None:
    """Check that at least two species remain and that no split is empty.

    Args:
        index: the index.
        tables: near-duplicates and metadata of the recordings.
        settings: how the recordings were assigned to splits.

    Raises:
        AutobirdError: otherwise; with the cause and the remedy.
    """
    used = index[index["dropped"] == ""]
    if used["species"].nunique() < 2:
        drop_counts = index.loc[index["dropped"] != "", "dropped"].value_counts()
        causes = "; ".join(f"{count} windows: {reason}" for reason, count in drop_counts.items())
        raise AutobirdError(
            f"{used['species'].nunique()} species with windows to train on remain of {index['species'].nunique()} ({causes}); two are "
            "needed. Add recordings, or lower features.min_rms, features.min_mel_std, dataset.min_windows or dataset.min_recordings"
        )
    for split in SPLITS:
        if not (used["split"] == split).any():
            raise AutobirdError(_empty_split_message(split, used.drop_duplicates("recording"), tables, settings))


def _empty_split_message(split: str, used: pd.DataFrame, tables: RecordingTables, settings: SplitSettings) -> str:
    """Return the reason why a split has no recordings, and the remedy.

    Args:
        split: the empty split.
        used: columns recording, group; the recordings in use.
        tables: near-duplicates and metadata of the recordings.
        settings: how the recordings were assigned to splits.
    """
    group_sizes = used["group"].value_counts()
    largest_group = ", ".join(line for line in str(group_sizes.index[0]).splitlines() if line)
    if len(group_sizes) == 1:
        groups = f"all {len(used)} recordings in use are one group ({largest_group})"
    else:
        groups = (
            f"the {len(used)} recordings in use are {len(group_sizes)} groups; the largest ({largest_group}) has "
            f"{group_sizes.iloc[0]} recordings"
        )
    cause = (
        f"the {split} split is empty: {groups}. A group is the recordings of one session (recordist, day and place in the metadata, "
        "or one recorder in one night by file names and headers) and of the same audio. It is never divided, because a model "
        "tested on a session that it was trained on gets optimistic scores. "
    )
    near_duplicates = int(used["recording"].isin(tables.pairs[["recording", "other"]].to_numpy().ravel()).sum())
    if near_duplicates:
        cause += f"{near_duplicates} of the recordings have near-duplicates: see near_duplicates.csv. "
    return cause + _empty_split_remedy(split, len(group_sizes), (tables.grouping["split"] != "").any(), settings)


def _empty_split_remedy(split: str, groups: int, has_split_column: bool, settings: SplitSettings) -> str:
    if has_split_column:
        return f"Add {split} to the split column of the metadata, or leave that column out"
    if settings.fold is not None and groups >= len(SPLITS):
        cause = f"Fold {settings.fold} of {settings.folds} has too few groups: add recordings"
        return cause + (", or lower dataset.folds" if settings.folds > len(SPLITS) else ", or change dataset.seed")
    if groups >= len(SPLITS):
        return "Add recordings, or change dataset.seed"
    return (
        "Training, validation and test need at least one group each: add recordings of other nights, places or recorders. If the "
        "times in file names and headers are not recording times, set dataset.recorder_sessions to false"
    )
