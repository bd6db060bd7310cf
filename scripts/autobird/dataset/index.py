"""Build the index of windows: labels, filters, groups and splits."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from autobird.audio.windows import is_quiet
from autobird.core.errors import AutobirdError
from autobird.core.tables import read_table
from autobird.dataset.crop_limits import limit_to_audible
from autobird.dataset.drop_reasons import BETWEEN, TOO_QUIET
from autobird.dataset.index_checks import check_index
from autobird.dataset.present import has_species, holds_any, holds_only
from autobird.dataset.rarity import UNITS, count_species, minimum_of, rare_reason, rare_species
from autobird.dataset.recording_tables import RecordingTables
from autobird.dataset.reviewed import CHOSEN, is_reviewed, review_weights, without_chosen
from autobird.dataset.reviewed_groups import groups_with_reviewed
from autobird.dataset.settings import DatasetStageSettings
from autobird.dataset.split import NO_SPECIES, assign_splits, hash_position, split_at, splits_in_metadata
from autobird.dataset.window_entries import WindowNumbers, collect_windows
from autobird.dataset.window_labels import label_index
from autobird.sources.splits import SPLITS

UNKNOWN_SPLIT = "unknown"
"""Split of species with too few windows or recordings to be trained: examples of species that the model does not know."""

UNTRAINED = "species without a window in training"
"""Reason of windows in which no species can be trained, because those that have enough windows and recordings have none of them in
training."""

UNCERTAIN = "no species is certain to be in it"
"""Reason of windows in which species may be, but none is certain: a box does not overlap them enough, or it names no species."""


def read_windows(segments: Sequence[Path], mels: Sequence[Path]) -> Iterator[pd.DataFrame]:
    """Yield the windows of each batch, with the number of the batch as `shard` and that of the row in its tables as `row`.

    Args:
        segments: tables of stage `segment`, in the order of the batches.
        mels: tables of stage `mel_shards`, in the same order. A table has one row per window, in the order of the
            segment table.

    Raises:
        AutobirdError: a pair of tables does not have the same windows in the same order.
    """
    for shard, (segment_file, mel_file) in enumerate(zip(segments, mels, strict=True)):
        segment_table = read_table(segment_file, ["recording", "start", "rms"])
        mel_table = read_table(mel_file)
        if not segment_table[["recording", "start"]].equals(mel_table[["recording", "start"]]):
            raise AutobirdError(
                f"{mel_file} and {segment_file} do not have the same windows in the same order; delete the first one and run again"
            )
        mel_columns = mel_table[["first_frame", "mel_mean", "mel_std"]]
        yield pd.concat([segment_table, mel_columns], axis=1).assign(shard=shard, row=np.arange(len(segment_table)))


def build_index(
    recordings: pd.DataFrame, batches: Iterable[pd.DataFrame], tables: RecordingTables, settings: DatasetStageSettings
) -> tuple[pd.DataFrame, WindowNumbers, list[str]]:
    """Return the index and the labels of the data set.

    The index has an entry for one or several windows, see `window_entries`. `index_rows` makes one row per window of it.

    Args:
        recordings: columns `recorders.COLUMNS`, file_sha256, sound_sha256.
        batches: result of `read_windows`.
        tables: further tables about the recordings.
        settings: of the stage.

    Returns:
        The entries of all windows of all accepted recordings (columns of `INDEX`, and `windows`, their number), sorted by recording;
        the numbers of these windows; and the species that can be trained: they have enough windows and recordings, and at least one
        window in training. Sorted.

    Raises:
        AutobirdError: the metadata contain an unknown split name; too few species remain, or a split is empty.
    """
    accepted = recordings[~recordings["recording"].isin(tables.quarantined)].sort_values("recording")
    is_other = accepted["recording"].isin(tables.labels.loc[tables.labels["kind"] != "", "recording"])
    single = accepted.loc[is_other | accepted["recording"].isin(tables.boxes["recording"]), "recording"]
    index, numbers = collect_windows(batches, accepted["recording"].tolist(), set(single), settings)
    index["quiet"] = is_quiet(index["rms"].to_numpy(), index["mel_std"].to_numpy(), settings)
    index = index.join(label_index(index, accepted, tables, settings))
    limit_to_audible(index, numbers)
    counts = count_species(index)
    rare = rare_species(counts, settings)
    _drop_windows(index, rare, settings)
    _add_splits(index, accepted, tables, settings, rare)
    _drop(index, without_chosen(index), CHOSEN)
    index["weight"] = review_weights(index)
    index.loc[holds_only(index, rare), "split"] = UNKNOWN_SPLIT
    trained = set(index.loc[(index["dropped"] == "") & (index["split"] == "train"), "present"].explode().dropna())
    labels = sorted(trained - set(rare))
    _drop(index, has_species(index) & ~holds_any(index, labels), UNTRAINED)
    check_index(index, labels, counts, tables, settings)
    return index, numbers, labels


def _drop_windows(index: pd.DataFrame, rare: dict[str, str], settings: DatasetStageSettings) -> None:
    """Add the column dropped, in place: quiet windows, those without a certain label, and those whose species are all rare."""
    index["dropped"] = ""
    _drop(index, index["rms"] < settings.min_rms, f"{TOO_QUIET} {settings.min_rms:g}")
    _drop(
        index, index["mel_std"] < settings.min_mel_std, f"mel standard deviation below {settings.min_mel_std:g}"
    )  # fmt: skip
    is_known = index["negative"] | (index["absent"].map(len) > 0)
    _drop(index, ~has_species(index) & ~is_known, UNCERTAIN)
    for unit in UNITS:
        # After the first unit, species that have too few of it can be beside one that has too few of the second.
        species = [name for name, of_species in rare.items() if of_species == unit] if unit == UNITS[0] else rare
        _drop(index, holds_only(index, species), rare_reason(minimum_of(unit, settings), unit))


def _add_splits(
    index: pd.DataFrame,
    accepted: pd.DataFrame,
    tables: RecordingTables,
    settings: DatasetStageSettings,
    rare: Collection[str],
) -> None:
    """Add the columns group, split and recording_split, in place."""
    is_reviewed_row = index["recording"].isin(tables.labels.loc[is_reviewed(tables.labels), "recording"])
    groups, joined = groups_with_reviewed(accepted, tables, set(index.loc[is_reviewed_row, "recording"]), settings)
    index["group"] = index["recording"].map(groups)
    given = index["recording"].map(_metadata_splits(tables.grouping)).fillna("")
    # Only recordings in use are assigned. Otherwise all test groups of a small species could be groups without a used window.
    rows = index[["recording", "present", "group"]].assign(split=given)
    # Reviewed recordings have no part in it either: more reviews must not move other recordings, least of all those of the test split.
    # For the same reason, species that are only trained because they were found in reviews have none.
    rare = {*rare, *rare_species(count_species(index[~is_reviewed_row]), settings)}
    in_use = (index["dropped"] == "") & ~is_reviewed_row
    used = rows[in_use].explode("present").rename(columns={"present": "species"})
    used = used[~used["species"].isin(rare)].fillna({"species": NO_SPECIES}).drop_duplicates()
    unused = rows[~rows["group"].isin(used["group"])]
    assigned = {group: split_at(hash_position(group, settings.seed), settings) for group in unused["group"].unique()}
    assigned |= splits_in_metadata(unused) | assign_splits(used, settings)
    index["split"] = index["recording_split"] = index["group"].map(assigned)
    # Windows of a recording that is like recordings of several splits belong to none of these.
    between = [name for name, others in joined.items() if len({assigned[group] for group in others}) > 1]
    is_between = index["recording"].isin(between)
    _drop(index, is_between, BETWEEN)
    index.loc[is_between, ["split", "recording_split"]] = "train"


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


def normalisation(numbers: WindowNumbers, entries: NDArray[np.bool_]) -> dict[str, float]:
    """Return mean and standard deviation over all mel cells of some windows, in the units of the front end.

    The data set takes those of training windows with a species. Negatives are left out, so that the scale of the inputs does not
    depend on how many of them a user adds: hours of field noise would otherwise outweigh the species.

    Args:
        numbers: of all windows.
        entries: the entries whose windows are taken; shape (entries,).
    """
    rows = entries[numbers["entry"]]
    means, stds = (pd.Series(numbers[name][rows]) for name in ("mel_mean", "mel_std"))
    mean = float(means.mean())
    mean_square = float((stds**2 + means**2).mean())
    return {"mean": mean, "std": float(np.sqrt(max(1e-12, mean_square - mean**2)))}
