"""Windows that show a confusion of two species: a confused one, and typical ones of both."""

from typing import Any

import numpy as np
import pandas as pd

from autobird.audio.settings import MelSettings
from autobird.evaluation.metrics import most_probable
from autobird.evaluation.tested import TestedRecordings
from autobird.sources.licences import UNKNOWN as UNKNOWN_LICENCE

CATALOGUED = ("recording", "duration", "recordist", "licence", "licence_family", "page", "number")
"""Columns of the catalogue (`CATALOGUE`) that are needed."""

CONFUSED, TYPICAL_TRUE, TYPICAL_ANSWERED = "confused", "typical of the true species", "typical of the answered species"
ROLES = (TYPICAL_TRUE, CONFUSED, TYPICAL_ANSWERED)
"""The windows of a pair, in their order in the figure."""

_COLUMNS = [
    "pair", "role", "species", "recording", "start_seconds", "split", "probability_true", "probability_answered", "recordist",
    "licence", "page", "number", "shard", "first_frame",
]  # fmt: skip


def examples_of(
    tested: TestedRecordings, pairs: pd.DataFrame, index: pd.DataFrame, catalogue: pd.DataFrame, settings: MelSettings
) -> pd.DataFrame:
    """Return up to three windows of each pair of species that are confused.

    - `confused`: of the test recordings in which the pair is confused, the window with the highest probability of the answered species.
    - typical of a species: of the test windows with this species alone that are classified right, the one with the highest probability; if
      there is none, the training window of this species alone with the largest contrast (standard deviation of its mel frames). The
      column `split` says which.

    Windows that are padded with zeros at the end of a recording are taken only if there are no others.

    Args:
        tested: predictions for the test recordings.
        pairs: columns species, answered.
        index: index of windows (`INDEX`).
        catalogue: columns `CATALOGUED`.
        settings: the front end.

    Returns:
        One row per window: pair (from 1), role, species, recording, start_seconds, split, probability of the true and of the answered
        species (of training windows not known), recordist, licence, page, number, and where its mel frames are (shard, first_frame).
    """
    durations = catalogue.drop_duplicates("recording").set_index("recording")["duration"]
    windows = _tested_windows(tested, index)
    training = index[(index["split"] == "train") & (index["dropped"] == "") & ~index["quiet"]]
    windows, training = (_with_padding(table, durations, settings) for table in (windows, training))
    answered_recordings = _recording_answers(tested)
    rows: list[dict[str, Any]] = []
    for number, (true, answered) in enumerate(zip(pairs["species"], pairs["answered"], strict=True), 1):
        confused_recordings = answered_recordings[
            (answered_recordings["species"] == true) & (answered_recordings["answered"] == answered)
        ]["recording"]
        columns = {name: tested.labels.index(name) for name in (true, answered)}
        for role in ROLES:
            species = answered if role == TYPICAL_ANSWERED else true
            if role == CONFUSED:
                candidates = windows[windows["recording"].isin(confused_recordings)]
            else:
                candidates = windows[(windows["species"] == species) & (windows["answered"] == species)]
            shown = columns[answered] if role == CONFUSED else columns[species]
            found = _most_probable(candidates, tested, shown)
            if found is None:
                found = _training_window(training, species)
            if found is None:
                continue
            has_probability = "item" in found
            probabilities = {
                end: float(tested.split.windows.probabilities[int(found["item"]), columns[name]])
                if has_probability
                else np.nan
                for end, name in (("true", true), ("answered", answered))
            }
            rows.append(
                {
                    "pair": number,
                    "role": role,
                    "species": species,
                    "recording": found["recording"],
                    "start_seconds": found["start"] / settings.sample_rate,
                    "split": "test" if has_probability else "train",
                    **{f"probability_{end}": round(value, 4) for end, value in probabilities.items()},
                    "shard": found["shard"],
                    "first_frame": found["first_frame"],
                }
            )
    attribution = catalogue.drop_duplicates("recording")[["recording", "recordist", "licence", "page", "number"]]
    table = pd.DataFrame(rows, columns=[name for name in _COLUMNS if name not in attribution or name == "recording"])
    table = table.merge(attribution, on="recording", how="left")
    table["recordist"] = table["recordist"].fillna("").replace("", "unknown recordist")
    table["licence"] = table["licence"].fillna("").replace("", UNKNOWN_LICENCE)
    return table[_COLUMNS]


def _tested_windows(tested: TestedRecordings, index: pd.DataFrame) -> pd.DataFrame:
    """Return the test windows: recording, start, item (their position), species and answered ("" if not one species), shard, ..."""
    items, names = tested.split.windows, np.array([*tested.labels, ""], object)
    table = tested.windows.assign(
        item=np.arange(len(items)),
        species=names[items.only_species],
        answered=names[most_probable(items)] if len(items) else "",
    )
    where = index[["recording", "start", "shard", "first_frame", "mel_std"]]
    return table.merge(where, on=["recording", "start"], how="left", validate="many_to_one")


def _recording_answers(tested: TestedRecordings) -> pd.DataFrame:
    """Return the recordings: recording, species ("" if it is not one species), answered."""
    items, names = tested.split.recordings, np.array([*tested.labels, ""], object)
    answered = names[most_probable(items)] if len(items) else ""
    return pd.DataFrame({"recording": tested.split.names, "species": names[items.only_species], "answered": answered})


def _with_padding(windows: pd.DataFrame, durations: "pd.Series[float]", settings: MelSettings) -> pd.DataFrame:
    end = windows["start"] / settings.sample_rate + settings.window
    return windows.assign(padded=end > windows["recording"].map(durations))


def _most_probable(windows: pd.DataFrame, tested: TestedRecordings, species: int) -> "pd.Series[Any] | None":
    """Return the window with the highest probability of a species; None if there are no windows."""
    if not len(windows):
        return None
    probability = tested.split.windows.probabilities[windows["item"].to_numpy(), species]
    order = ["padded", "probability", "recording", "start"]
    ranked = windows.assign(probability=probability).sort_values(order, ascending=[True, False, True, True])
    return ranked.iloc[0]


def _training_window(training: pd.DataFrame, species: str) -> "pd.Series[Any] | None":
    """Return the training window of this species alone with the largest contrast; None if there is none."""
    windows = training[training["species"] == species]
    if not len(windows):
        return None
    return windows.sort_values(["padded", "mel_std", "recording", "start"], ascending=[True, False, True, True]).iloc[0]
