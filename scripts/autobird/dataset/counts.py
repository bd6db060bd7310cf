"""Count recordings and windows: used, filtered, quarantined, and per split."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from autobird.audio.settings import WindowSettings
from autobird.dataset.boxes import boxes_after_end, boxes_without_window
from autobird.dataset.index import UNKNOWN_SPLIT
from autobird.dataset.present import species_rows
from autobird.dataset.rarity import count_species, rare_reasons
from autobird.dataset.recording_tables import RecordingTables
from autobird.dataset.reviewed import decisions_of, decisions_without_window
from autobird.dataset.settings import DatasetStageSettings
from autobird.sources.base import NEGATIVE
from autobird.sources.splits import SPLITS

AFTER_END = "begins after the end of its recording"
"""Problem of a box, known only when the recordings are decoded."""

QUARANTINED = "its recording is quarantined"
"""Problem of a box, known when the corpus is checked."""

NO_WINDOW = "overlaps no window enough to label it"
"""Problem of a box: what the recording holds of it is too short. The species is in the labels of the recording, but the windows that the
box touches are not used."""


def count_dataset(
    recordings: pd.DataFrame,
    index: pd.DataFrame,
    labels: Sequence[str],
    tables: RecordingTables,
    settings: DatasetStageSettings,
) -> dict[str, Any]:
    """Return the content of `counts.json`. All recordings = used + filtered + quarantined.

    `splits` counts the windows with a species, and `negatives` the others in use; the key is left out if there are none. `left_out` names
    the species that are not trained, with the reason.

    Args:
        recordings: columns recording, species, duration (seconds).
        index: the entries of `build_index`.
        labels: the labels of `build_index`.
        tables: the quarantine and the boxes.
        settings: length and sampling rate of a window, how boxes label windows, and the minimum numbers.
    """
    used = index[index["dropped"] == ""]
    with_species = species_rows(used, labels)
    negatives = used[used["negative"]]
    used_recordings = used["recording"].nunique()
    quarantined = int(recordings["recording"].isin(tables.quarantined).sum())
    unknown = index[(index["split"] == UNKNOWN_SPLIT) & index["dropped"].str.startswith("species")]
    counts: dict[str, Any] = {
        "recordings": len(recordings),
        "recordings_used": used_recordings,
        "recordings_filtered": len(recordings) - quarantined - used_recordings,
        "recordings_quarantined": quarantined,
        "windows": int(index["windows"].sum()),
        "windows_used": int(used["windows"].sum()),
        "windows_dropped": {
            str(reason): int(count)
            for reason, count in index[index["dropped"] != ""].groupby("dropped")["windows"].sum().items()
        },
        "splits": {split: _count_split(with_species[with_species["split"] == split]) for split in SPLITS},
        "unknown": {
            "recordings": int(unknown["recording"].nunique()),
            "windows": int(unknown["windows"].sum()),
            "species": sorted(unknown["present"].explode().dropna().unique()),
        },
        "left_out": left_out_species(recordings, index, labels, tables, settings),
        "untestable": untestable_species(with_species),
        "splits_overridden": _count_overridden(overridden_splits(index, tables.grouping)),
    }
    if len(negatives):
        seconds = _seconds(negatives, recordings, settings)
        counts["negatives"] = {split: _count_negatives(negatives, seconds, split) for split in SPLITS}
    if len(tables.boxes):
        problems = box_problems(recordings, index, tables, settings)
        used = "used" + tables.boxes["decision"].map(lambda decision: f" (reviewed: {decision})" if decision else "")
        box_counts = problems.mask(problems == "", used).value_counts()
        counts["boxes"] = {str(problem): int(count) for problem, count in box_counts.sort_index().items()}
    return counts


def box_problems(
    recordings: pd.DataFrame, index: pd.DataFrame, tables: RecordingTables, settings: DatasetStageSettings
) -> "pd.Series[str]":
    """Return why each box of `tables.boxes` labels no window; "" if it labels one. See `count_dataset`."""
    boxes, durations = tables.boxes, durations_of(recordings, tables)
    problems = boxes["problem"].mask(boxes_after_end(boxes, durations), AFTER_END)
    problems = problems.mask((problems == "") & boxes["recording"].isin(tables.quarantined), QUARANTINED)
    annotated = index.loc[index["recording"].isin(boxes["recording"]), ["recording", "start"]]
    windows = annotated.assign(duration=annotated["recording"].map(durations))
    usable = (problems == "").to_numpy()
    unlabelling = np.zeros(len(boxes), bool)
    reviewed = usable & (boxes["decision"] != "").to_numpy()
    unlabelling[reviewed] = decisions_without_window(windows, decisions_of(boxes[reviewed]), settings)
    unlabelling[usable & ~reviewed] = boxes_without_window(windows, boxes[usable & ~reviewed], settings)
    return problems.mask(unlabelling, NO_WINDOW)


def durations_of(recordings: pd.DataFrame, tables: RecordingTables) -> "pd.Series[float]":
    """Return the durations of the accepted recordings, indexed by recording; those of quarantined ones may be unknown."""
    accepted = recordings[~recordings["recording"].isin(tables.quarantined)]
    return accepted.set_index("recording")["duration"]


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


def left_out_species(
    recordings: pd.DataFrame,
    index: pd.DataFrame,
    labels: Sequence[str],
    tables: RecordingTables,
    settings: DatasetStageSettings,
) -> dict[str, str]:
    """Return why species of the recordings are not trained, by species; sorted.

    Args:
        recordings: columns recording, species.
        index: the entries of `build_index`.
        labels: species that are trained.
        tables: the quarantine, and which recordings are negatives.
        settings: the minimum numbers.
    """
    counts = count_species(index)
    negatives = tables.labels.loc[tables.labels["kind"] == NEGATIVE, "recording"]
    of_species = recordings[recordings["species"].fillna("").ne("") & ~recordings["recording"].isin(negatives)]
    reasons: dict[str, str] = {}
    for reason, names in (
        ("all recordings are quarantined", of_species.loc[of_species["recording"].isin(tables.quarantined), "species"]),
        ("its boxes are too short to label a window", index["recording_present"].explode().dropna()),
        ("all windows are too quiet", index["present"].explode().dropna()),
        ("no window in training", counts.index),
    ):
        reasons |= dict.fromkeys(names, reason)
    reasons |= rare_reasons(counts, settings)
    return {species: reasons[species] for species in sorted({*reasons} - {*labels})}


def _count_overridden(overridden: pd.DataFrame) -> dict[str, int]:
    """Return the number of recordings per given and assigned split."""
    return dict(sorted((overridden["given"] + " -> " + overridden["assigned"]).value_counts().items()))


def _count_split(rows: pd.DataFrame) -> dict[str, int]:
    """Return the counts of a split from the rows of `species_rows`."""
    return {
        "recordings": int(rows["recording"].nunique()),
        "windows": int(rows.loc[~rows.index.duplicated(), "windows"].sum()),  # once, with any number of species
        "species": int(rows["species"].nunique()),
    }


def _count_negatives(negatives: pd.DataFrame, seconds: "pd.Series[float]", split: str) -> dict[str, float]:
    """Return the counts of the negatives of a split; see `_seconds`."""
    rows = negatives[negatives["split"] == split]
    return {
        "recordings": int(rows["recording"].nunique()),
        "windows": int(rows["windows"].sum()),
        "hours": round(float(seconds[rows.index].sum()) / 3600, 4),
    }


def _seconds(windows: pd.DataFrame, recordings: pd.DataFrame, settings: WindowSettings) -> "pd.Series[float]":
    """Return the seconds of sound of each window without those that the next window of `windows` repeats.

    Args:
        windows: columns recording, start (samples); sorted by both.
        recordings: columns recording, duration (seconds).
        settings: length and sampling rate of a window.
    """
    start = windows["start"] / settings.sample_rate
    end = np.minimum(start + settings.window, windows["recording"].map(recordings.set_index("recording")["duration"]))
    next_start = start.groupby(windows["recording"]).shift(-1)
    return np.fmin(end, next_start) - start


def untestable_species(used: pd.DataFrame) -> dict[str, str]:
    """Return the species without recordings in one of the splits, each with the reason.

    Args:
        used: columns species, split, group; see `species_rows`.
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
