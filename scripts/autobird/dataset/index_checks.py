"""Check that an index of windows can be trained and tested on, and explain why not."""

from collections.abc import Sequence

import pandas as pd

from autobird.core.errors import AutobirdError
from autobird.core.wording import counted
from autobird.dataset.present import species_rows
from autobird.dataset.rarity import rare_reasons
from autobird.dataset.recording_tables import RecordingTables
from autobird.dataset.settings import DatasetSettings, SplitSettings
from autobird.sources.splits import SPLITS


def check_index(
    index: pd.DataFrame, labels: Sequence[str], counts: pd.DataFrame, tables: RecordingTables, settings: DatasetSettings
) -> None:
    """Check that there are two species, or one and negatives, and that no split is empty.

    Args:
        index: the index.
        labels: species that can be trained.
        counts: result of `count_species`.
        tables: near-duplicates and metadata of the recordings.
        settings: minimum numbers of a species, and how the recordings were assigned to splits.

    Raises:
        AutobirdError: otherwise; with the cause and the remedy.
    """
    in_use = index[index["dropped"] == ""]
    negatives = in_use[in_use["negative"]]
    if len(labels) + min(1, len(negatives)) < 2 or not labels:
        raise AutobirdError(_too_few_species_message(index, labels, negatives))
    used = species_rows(in_use[["recording", "group", "split", "present"]], labels)
    for split in SPLITS:
        if not (used["split"] == split).any():
            recordings = used.drop_duplicates("recording")
            left_out = _left_out(counts, settings)
            if settings.fold is None and not _has_given_splits(tables) and _is_too_small(used):
                raise AutobirdError(
                    f"Too few recordings: {len(recordings)} in {counted(recordings['group'].nunique(), 'session')}; training, "
                    f"validation and test "
                    f"each need some.{left_out} Add recordings"
                )
            raise AutobirdError(_empty_split_message(split, recordings, tables, settings) + left_out)
    if len(labels) == 1:
        _check_negatives_of_detector(labels[0], negatives, tables, settings)


def _too_few_species_message(index: pd.DataFrame, labels: Sequence[str], negatives: pd.DataFrame) -> str:
    """Return the reason why fewer than two species remain, and the remedy.

    Args:
        index: the index.
        labels: species that can be trained.
        negatives: rows of the index of the negative windows in use.
    """
    drop_counts = (
        index[index["dropped"] != ""].groupby("dropped")["windows"].sum().sort_values(ascending=False, kind="stable")
    )
    causes = [f"{counted(count, 'window')}: {reason}" for reason, count in drop_counts.items()]
    if len(negatives):
        windows = counted(negatives["windows"].sum(), "window")
        causes.append(f"{windows}: negatives, which hold no species")
    return (
        f"{len(labels)} species with windows to train on remain of {index['present'].explode().nunique()} ({'; '.join(causes)}); two are "
        "needed, or one and negatives (recordings, or windows of annotated recordings, without any species). Add recordings of species, or "
        "lower features.min_rms, features.min_mel_std, dataset.min_windows or dataset.min_recordings"
    )


def _check_negatives_of_detector(
    species: str, negatives: pd.DataFrame, tables: RecordingTables, settings: SplitSettings
) -> None:
    """Check that training and validation have negatives, without which a detector of one species cannot be fitted.

    Raises:
        AutobirdError: a split has none; with the remedy.
    """
    for split in ("train", "validation"):
        if (negatives["split"] == split).any():
            continue
        groups = negatives["group"].nunique()
        found = (
            f"{counted(negatives['recording'].nunique(), 'recording')} with negatives are {counted(groups, 'group')}"
        )
        raise AutobirdError(
            f"{species} is the only species, so training and validation need negatives, and the {split} split has none: the {found}. "
            "Recordings of one session are one group, which is never divided. "
            + _empty_split_remedy(split, groups, _has_given_splits(tables), settings)
        )


def _has_given_splits(tables: RecordingTables) -> bool:
    return bool((tables.grouping["split"] != "").any())


def _is_too_small(used: pd.DataFrame) -> bool:
    """Return whether a split is empty because of the number of recordings alone, not because some of them are one group.

    Each recording is then a group, and no species has one for each split.
    """
    pairs = used[["recording", "species", "group"]].drop_duplicates()
    is_alone = pairs["group"].nunique() == pairs["recording"].nunique()
    return is_alone and int(pairs.groupby("species")["group"].nunique().max()) < len(SPLITS)


def _left_out(counts: pd.DataFrame, settings: DatasetSettings) -> str:
    """Return a sentence, after a space, about the species that are too rare to be trained; "" for none."""
    causes = [f"{species} ({reason})" for species, reason in rare_reasons(counts, settings).items()]
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
        groups = f"all {counted(len(used), 'recording')} in use are one group ({largest_group})"
    else:
        groups = (
            f"the {counted(len(used), 'recording')} in use are {counted(len(group_sizes), 'group')}; the largest ({largest_group}) has "
            f"{counted(group_sizes.iloc[0], 'recording')}"
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
