"""Label sets of the windows of reviewed recordings, and how much they count in the validation."""

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from autobird.dataset.label_sets import UNKNOWN
from autobird.dataset.settings import DatasetStageSettings
from autobird.sources.base import PRESENT, REVIEWED

CHOSEN = "reviewed, but not chosen at random"
"""Reason of windows outside of training that were reviewed because of their score: they would bias what is measured on them."""

_TIME_TOLERANCE = 0.01
"""Seconds by which the times of a reviewed window may differ from those of a window of the data set."""

_LISTS = ["present", "absent"]


def is_reviewed(recordings: pd.DataFrame) -> "pd.Series[bool]":
    """Return which recordings are reviewed ones; `recordings`: column kind."""
    return recordings["kind"] == REVIEWED


def decisions_of(boxes: pd.DataFrame) -> pd.DataFrame:
    """Return the decisions about species among boxes: columns recording, start, end (seconds), species, is_present, sampling (0: not at
    random).
    """
    found = boxes[(boxes["decision"] != "") & (boxes["problem"] == "")]
    columns = found[["recording", "start", "end", "species"]]
    return columns.assign(is_present=found["decision"] == PRESENT, sampling=found["sampling_probability"])


def label_reviewed_windows(
    windows: pd.DataFrame, decisions: pd.DataFrame, settings: DatasetStageSettings
) -> pd.DataFrame:
    """Return the label sets of the windows of reviewed recordings.

    A species that a reviewer heard in a window is present in every window of the data set that holds that one completely; a species that he
    did not hear is absent from every window within it. With windows of the same length and hop, these are the same window. All else is
    unknown.

    Args:
        windows: columns recording, start (samples), duration (of the recording, seconds).
        decisions: result of `decisions_of`.
        settings: the length of a window.

    Returns:
        columns present, absent, chosen (names of the species whose decision is about a window that was not chosen at random), default and
        sampling (lowest sampling probability of the other decisions; NaN without one), with the index of `windows`.
    """
    sets = {name: np.empty(len(windows), object) for name in (*_LISTS, "chosen")}
    for values in sets.values():
        for row in range(len(values)):
            values[row] = []
    sampling = np.full(len(windows), np.nan)
    start, end = _times(windows, settings)
    of_recording = windows.groupby("recording").indices
    for decision in decisions.sort_values(["recording", "start", "species"]).itertuples():
        rows = of_recording.get(decision.recording)
        if rows is None:
            continue
        for row in rows[_is_about(decision, start[rows], end[rows])]:
            sets["present" if decision.is_present else "absent"][row].append(decision.species)
            if decision.sampling > 0:
                sampling[row] = np.fmin(sampling[row], decision.sampling)
            else:
                sets["chosen"][row].append(decision.species)
    for row in range(len(windows)):
        # Several decisions about windows of another length can contradict each other.
        both = set(sets["present"][row]) & set(sets["absent"][row])
        for name in _LISTS:
            sets[name][row] = sorted(set(sets[name][row]) - both)
    return pd.DataFrame({**sets, "default": UNKNOWN, "sampling": sampling}, windows.index)


def decisions_without_window(
    windows: pd.DataFrame, decisions: pd.DataFrame, settings: DatasetStageSettings
) -> NDArray[np.bool_]:
    """Return for each decision whether it labels no window, because the windows have another length or other starts.

    The arguments are those of `label_reviewed_windows`.
    """
    start, end = _times(windows, settings)
    of_recording = windows.groupby("recording").indices
    none = np.empty(0, np.intp)
    return np.array(
        [
            not _is_about(decision, start[rows], end[rows]).any()
            for decision in decisions.itertuples()
            for rows in [of_recording.get(decision.recording, none)]
        ],
        bool,
    )


def _times(windows: pd.DataFrame, settings: DatasetStageSettings) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return start and end of the windows, seconds."""
    start = windows["start"].to_numpy() / settings.sample_rate
    return start, np.minimum(start + settings.window, windows["duration"].to_numpy())


def _is_about(decision: Any, start: NDArray[np.float64], end: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return which windows a decision labels, see `label_reviewed_windows`; shape (windows,)."""
    sign = 1 if decision.is_present else -1
    return np.asarray(
        (sign * (decision.start - start) >= -_TIME_TOLERANCE) & (sign * (end - decision.end) >= -_TIME_TOLERANCE)
    )


def without_chosen(index: pd.DataFrame) -> "pd.Series[bool]":
    """Remove decisions about windows that were not chosen at random outside of training, in place; return the windows that lose all.

    Args:
        index: columns present, absent, split, chosen.
    """
    lost = pd.Series(False, index.index)
    for row in index.index[(index["chosen"].map(len) > 0) & (index["split"] != "train")]:
        chosen = set(index.at[row, "chosen"])
        for name in _LISTS:
            index.at[row, name] = [species for species in index.at[row, name] if species not in chosen]
        lost[row] = not index.at[row, "present"] and not index.at[row, "absent"]
    return lost


def review_weights(index: pd.DataFrame) -> "pd.Series[float]":
    """Return how much each window counts in calibration and thresholds; 1 for windows that are not reviewed.

    A reviewed window that was chosen with a small probability stands for many others. The weights of the reviewed windows of a split have
    the mean 1, so that their number decides how much they count beside the other windows.

    Args:
        index: columns split, sampling (NaN: not reviewed, or not chosen at random).
    """
    weights = (1 / index["sampling"]).groupby(index["split"]).transform(lambda w: w / w.mean())
    return weights.fillna(1.0)
