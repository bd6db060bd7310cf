"""Build the index of windows: labels, filters, groups and splits."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from autobird.audio.windows import is_quiet
from autobird.core.errors import AutobirdError
from autobird.core.tables import read_table
from autobird.dataset.boxes import label_recordings, label_windows
from autobird.dataset.groups import group_keys
from autobird.dataset.index_checks import check_index, rare_reason
from autobird.dataset.recorders import NO_SESSIONS, recorder_sessions
from autobird.dataset.recording_tables import RecordingTables
from autobird.dataset.settings import DatasetStageSettings
from autobird.dataset.split import assign_splits, hash_position, split_at
from autobird.sources.splits import SPLITS

UNKNOWN_SPLIT = "unknown"
"""Split of species with too few windows or recordings to be trained: examples of species that the model does not know."""

UNTRAINED = "species without a window in training"
"""Reason of windows whose species has enough windows and recordings, but none of them in training."""


def read_windows(segments: Sequence[Path], mels: Sequence[Path]) -> pd.DataFrame:
    """Read the windows of all batches, with the number of the batch as `shard` and that of the row in its tables as `row`.

    Args:
        segments: tables of stage `segment`, in the order of the batches.
        mels: tables of stage `mel_shards`, in the same order. A table has one row per window, in the order of the
            segment table.

    Raises:
        AutobirdError: a pair of tables does not have the same windows in the same order.
    """
    batches = []
    for shard, (segment_file, mel_file) in enumerate(zip(segments, mels, strict=True)):
        segment_table = read_table(segment_file, ["recording", "start", "rms"])
        mel_table = read_table(mel_file)
        if not segment_table[["recording", "start"]].equals(mel_table[["recording", "start"]]):
            raise AutobirdError(
                f"{mel_file} and {segment_file} do not have the same windows in the same order; delete the first one and run again"
            )
        mel_columns = mel_table[["first_frame", "mel_mean", "mel_std"]]
        batches.append(
            pd.concat([segment_table, mel_columns], axis=1).assign(shard=shard, row=np.arange(len(segment_table)))
        )
    return pd.concat(batches, ignore_index=True)


def build_index(
    recordings: pd.DataFrame, windows: pd.DataFrame, tables: RecordingTables, settings: DatasetStageSettings
) -> pd.DataFrame:
    """Return all windows of all accepted recordings with label and split (`INDEX`), sorted by recording and start.

    Args:
        recordings: columns `recorders.COLUMNS`, file_sha256, sound_sha256.
        windows: result of `read_windows`.
        tables: further tables about the recordings.
        settings: of the stage.

    Raises:
        AutobirdError: the metadata contain an unknown split name; fewer than two species remain, or a split is empty.
    """
    accepted = recordings[~recordings["recording"].isin(tables.quarantined)].sort_values("recording")
    index = windows.merge(accepted[["recording", "species"]], on="recording")
    index = index.sort_values(["recording", "start"], ignore_index=True).assign(dropped="")
    index["quiet"] = is_quiet(index["rms"].to_numpy(), index["mel_std"].to_numpy(), settings)
    _add_labels(index, tables.boxes, settings)
    rare = _filter_windows(index, settings)
    _add_splits(index, accepted, tables, settings)
    index.loc[rare, "split"] = UNKNOWN_SPLIT
    trained = set(index.loc[(index["dropped"] == "") & (index["split"] == "train"), "species"])
    _drop(index, ~index["species"].isin(trained), UNTRAINED)
    check_index(index, tables, settings)
    return index


def sessions_of_recorders(
    accepted: pd.DataFrame, tables: RecordingTables, settings: DatasetStageSettings
) -> pd.DataFrame:
    """Return the recorder sessions of accepted recordings; without any session if `recorder_sessions` is false."""
    sessions = recorder_sessions(accepted, tables.grouping)
    return sessions if settings.recorder_sessions else sessions.assign(**NO_SESSIONS)


def _add_labels(index: pd.DataFrame, boxes: pd.DataFrame | None, settings: DatasetStageSettings) -> None:
    """Add the label columns of windows and recordings, in place."""
    if boxes is not None:
        window_labels = label_windows(index, boxes, settings)
        index[window_labels.columns] = window_labels
        recording_labels = label_recordings(index, boxes)
        index[recording_labels.columns] = recording_labels
    else:
        # The windows of a species share one list object, to save memory.
        index["present"] = index["species"].map({species: [species] for species in index["species"].unique()})
        index["recording_species"] = index["present"]
        index["complete"] = index["recording_complete"] = True


def _filter_windows(index: pd.DataFrame, settings: DatasetStageSettings) -> "pd.Series[bool]":
    """Drop windows that the filters exclude, in place; return which windows belong to species that are too rare to be trained."""
    _drop(index, index["rms"] < settings.min_rms, f"RMS below {settings.min_rms:g}")
    _drop(
        index, index["mel_std"] < settings.min_mel_std, f"mel standard deviation below {settings.min_mel_std:g}"
    )  # fmt: skip
    accepted = index.loc[index["dropped"] == "", ["species", "recording"]]
    windows_per_species = accepted["species"].value_counts()
    recordings_per_species = accepted.drop_duplicates()["species"].value_counts()
    rare = index["species"].isin(windows_per_species.index[windows_per_species < settings.min_windows])
    _drop(index, rare, rare_reason(settings.min_windows, "windows"))
    in_few = index["species"].isin(recordings_per_species.index[recordings_per_species < settings.min_recordings])
    _drop(index, in_few, rare_reason(settings.min_recordings, "recordings"))
    return rare | in_few


def _add_splits(
    index: pd.DataFrame, accepted: pd.DataFrame, tables: RecordingTables, settings: DatasetStageSettings
) -> None:
    """Add the columns group, split and recording_split, in place."""
    recorders = sessions_of_recorders(accepted, tables, settings)
    index["group"] = index["recording"].map(group_keys(accepted, tables.grouping, tables.pairs, recorders))
    metadata_split = _metadata_splits(tables.grouping)
    # Only recordings in use are assigned. Otherwise all test groups of a small species could be groups without a used window.
    used = index.loc[index["dropped"] == "", ["recording", "species", "group"]].drop_duplicates()
    assigned = assign_splits(used.assign(split=used["recording"].map(metadata_split).fillna("")), settings)
    unused_groups = set(index["group"]) - set(assigned)
    assigned |= {group: split_at(hash_position(group, settings.seed), settings) for group in unused_groups}
    index["split"] = index["recording_split"] = index["group"].map(assigned)


def _metadata_splits(grouping: pd.DataFrame) -> "pd.Series[str]":
    """Return the split that the metadata give for each recording, "" for none.

    Raises:
        AutobirdError: an unknown split name.
    """
    invalid = grouping[~grouping["split"].isin(["", *SPLITS])]
    if len(invalid):
        first = invalid.iloc[0]
        raise AutobirdError(
            f"the metadata give {first['recording']} the split {first['split']!r}; use one of {', '.join(SPLITS)}"
        )
    return grouping.drop_duplicates("recording").set_index("recording")["split"]


def _drop(index: pd.DataFrame, rows: "pd.Series[bool]", reason: str) -> None:
    """Mark windows as dropped, in place. The reason of a window that is already dropped is kept."""
    index.loc[rows & (index["dropped"] == ""), "dropped"] = reason


def normalisation(windows: pd.DataFrame) -> dict[str, float]:
    """Return mean and standard deviation over all mel cells of `windows`, in the units of the front end."""
    mean = float(windows["mel_mean"].mean())
    mean_square = float((windows["mel_std"] ** 2 + windows["mel_mean"] ** 2).mean())
    return {"mean": mean, "std": float(np.sqrt(max(1e-12, mean_square - mean**2)))}
