"""Check that an index of windows can be trained and tested on, and explain why not."""

import pandas as pd

from autobird.core.errors import AutobirdError
from autobird.dataset.recording_tables import RecordingTables
from autobird.dataset.settings import DatasetSettings, SplitSettings
from autobird.sources.splits import SPLITS


def rare_reason(minimum: int, unit: str) -> str:
    """Return the reason for which the windows of a rare species are dropped; `unit`: what it has too few of."""
    return f"species with fewer than {minimum} {unit}"


def check_index(index: pd.DataFrame, tables: RecordingTables, settings: DatasetSettings) -> None:
    """Check that at least two species remain and that no split is empty.

    Args:
        index: the index.
        tables: near-duplicates and metadata of the recordings.
        settings: minimum numbers of a species, and how the recordings were assigned to splits.

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
            recordings = used.drop_duplicates("recording")
            left_out = _left_out(index, settings)
            if settings.fold is None and not _has_given_splits(tables) and _is_too_small(used):
                raise AutobirdError(
                    f"Too few recordings: {len(recordings)} in {recordings['group'].nunique()} sessions; training, validation and test "
                    f"each need some.{left_out} Add recordings"
                )
            raise AutobirdError(_empty_split_message(split, recordings, tables, settings) + left_out)


def _has_given_splits(tables: RecordingTables) -> bool:
    return bool((tables.grouping["split"] != "").any())


def _is_too_small(used: pd.DataFrame) -> bool:
    """Return whether a split is empty because of the number of recordings alone, not because some of them are one group.

    Each recording is then a group, and no species has one for each split.
    """
    pairs = used[["recording", "species", "group"]].drop_duplicates()
    is_alone = pairs["group"].nunique() == pairs["recording"].nunique()
    return is_alone and int(pairs.groupby("species")["group"].nunique().max()) < len(SPLITS)


def _left_out(index: pd.DataFrame, settings: DatasetSettings) -> str:
    """Return a sentence, after a space, about the species that are too rare to be trained; "" for none."""
    causes = []
    for species, rows in index.groupby("species", sort=True):
        for unit in ("windows", "recordings"):
            key = f"min_{unit}"
            minimum = getattr(settings, key)
            dropped = rows["dropped"] == rare_reason(minimum, unit)
            if dropped.any():
                count = int(dropped.sum()) if unit == "windows" else rows.loc[dropped, "recording"].nunique()
                causes.append(f"{species} ({count} {unit if count != 1 else unit[:-1]}, dataset.{key} is {minimum})")
    return f" Left out: {', '.join(causes)}." if causes else ""


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
    return cause + _empty_split_remedy(split, len(group_sizes), _has_given_splits(tables), settings)


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
