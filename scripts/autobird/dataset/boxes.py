"""Label sets of the windows and recordings of annotated recordings, from their bounding boxes."""

from collections.abc import Collection, Iterable
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from autobird.dataset.label_sets import ABSENT, UNKNOWN
from autobird.dataset.settings import DatasetStageSettings
from autobird.sources.base import DUPLICATE, NEGATIVE_LABEL, NO_LABEL, NO_NAME

OVERLAP_TOLERANCE = 1e-6
"""Seconds by which an overlap may be too short, because annotation programs round times."""


def boxes_after_end(boxes: pd.DataFrame, durations: "pd.Series[float]") -> "pd.Series[bool]":
    """Return which boxes without another problem begin after the end of their recording, and so label nothing.

    Args:
        boxes: columns recording, start (seconds), problem.
        durations: of the accepted recordings, seconds, indexed by recording. Those of quarantined recordings may be unknown.
    """
    duration = boxes["recording"].map(durations)
    return (boxes["problem"] == "") & (duration > 0) & (boxes["start"] >= duration)


def boxes_without_window(
    windows: pd.DataFrame, boxes: pd.DataFrame, settings: DatasetStageSettings
) -> NDArray[np.bool_]:
    """Return for each box whether it labels no window, for example because the recording ends soon after their beginning.

    Args:
        windows: columns recording, start (samples), duration (of the recording, seconds).
        boxes: columns recording, start, end (seconds).
        settings: the labelling rule, and the length of a window.
    """
    found = np.ones(len(boxes), bool)
    windows_of_recording = windows.groupby("recording").indices
    for recording, rows in boxes.groupby("recording").indices.items():
        if recording in windows_of_recording:
            of_recording = windows.iloc[windows_of_recording[recording]]
            found[rows] = ~_overlaps(of_recording, boxes.iloc[rows], settings).labels.any(axis=0)
    return found


def usable_boxes(boxes: pd.DataFrame, durations: "pd.Series[float]", labels: Collection[str]) -> pd.DataFrame:
    """Return what the boxes of annotated recordings tell about their windows.

    A box whose time in its recording is not known may be anywhere in it, so its species may be in all windows of the recording. A
    box that begins after the end of its recording tells nothing about it, and neither does one whose label says that it marks no
    species (`noise`).

    Args:
        boxes: columns recording, start, end (seconds), species, problem.
        durations: of the annotated recordings in use, seconds, indexed by recording.
        labels: names of all species. Every other text in the column species names none, for example `unknown`.

    Returns:
        columns recording, start, end, species ("" if it may be any) and placed (its time is known).
    """
    found = boxes[boxes["recording"].isin(durations.index) & ~boxes["problem"].isin([DUPLICATE, NEGATIVE_LABEL])]
    placed = found["problem"].isin(["", NO_LABEL, NO_NAME])
    species = found["species"].where(found["species"].isin(labels), "")
    found = found[["recording", "start", "end"]].assign(species=species, placed=placed)
    return found[~(placed & (found["start"] >= found["recording"].map(durations)))]


def label_windows(windows: pd.DataFrame, boxes: pd.DataFrame, settings: DatasetStageSettings) -> pd.DataFrame:
    """Return the label sets of the windows of annotated recordings.

    A species is present in a window if the window overlaps one of its boxes by `min_overlap` seconds, or completely if the box is
    shorter; with `centre`, if one of its boxes contains the window's centre. It is unknown in the other windows that its boxes
    touch. A window that a box without a species touches may hold any species. In all other windows the species is absent.

    Args:
        windows: columns recording, start (samples), duration (of the recording, seconds).
        boxes: result of `usable_boxes`.
        settings: the labelling rule, and the length of a window.

    Returns:
        columns present, unknown (sorted names) and default (`ABSENT` or `UNKNOWN`), with the index of `windows`.
    """
    nothing: list[str] = []
    sets = {name: np.empty(len(windows), object) for name in ("present", "unknown", "default")}
    for name, value in (("present", nothing), ("unknown", nothing), ("default", ABSENT)):
        sets[name].fill(value)
    boxes_of_recording = dict(iter(boxes.groupby("recording")))
    for recording, rows in windows.groupby("recording").indices.items():
        if recording in boxes_of_recording:
            found = _label_recording(windows.iloc[rows], boxes_of_recording[recording], settings)
            for name, values in zip(sets, found, strict=True):
                sets[name][rows] = values
    return pd.DataFrame(sets, windows.index)


def label_recordings(recordings: Iterable[str], boxes: pd.DataFrame) -> pd.DataFrame:
    """Return the label sets of whole annotated recordings, with the species of boxes too short to label a window.

    Args:
        recordings: annotated recordings.
        boxes: result of `usable_boxes`.

    Returns:
        columns present, unknown (sorted names) and default, indexed by recording.
    """
    names = pd.Index(list(recordings), name="recording")
    placed: dict[str, set[str]] = {name: set() for name in names}
    unplaced: dict[str, set[str]] = {name: set() for name in names}
    for recording, species, is_placed in boxes[["recording", "species", "placed"]].itertuples(index=False):
        (placed if is_placed and species else unplaced)[recording].add(species)
    return pd.DataFrame(
        {
            "present": [sorted(placed[name]) for name in names],
            "unknown": [sorted(unplaced[name] - placed[name] - {""}) for name in names],
            "default": [UNKNOWN if "" in unplaced[name] else ABSENT for name in names],
        },
        names,
    )


class _Overlaps(NamedTuple):
    """How windows and boxes of a recording overlap; both of shape (windows, boxes).

    Attributes:
        touches: the box and the window overlap at all.
        labels: the overlap is sufficient for the species of the box to be present in the window.
    """

    touches: NDArray[np.bool_]
    labels: NDArray[np.bool_]


def _overlaps(windows: pd.DataFrame, boxes: pd.DataFrame, settings: DatasetStageSettings) -> _Overlaps:
    window_start = windows["start"].to_numpy()[:, None] / settings.sample_rate
    duration = windows["duration"].to_numpy()[:, None]
    # The last window may be padded with silence, in which no box is.
    window_end = np.minimum(window_start + settings.window, duration)
    box_start, box_end = boxes["start"].to_numpy(), boxes["end"].to_numpy()
    overlap = np.minimum(window_end, box_end) - np.maximum(window_start, box_start)
    if settings.centre:
        centre = window_start + settings.window / 2
        sufficient = (box_start <= centre) & (centre < box_end) & (centre < duration)
    else:
        sufficient = overlap >= np.minimum(settings.min_overlap, box_end - box_start) - OVERLAP_TOLERANCE
    return _Overlaps(overlap > 0, sufficient)


def _label_recording(
    windows: pd.DataFrame, boxes: pd.DataFrame, settings: DatasetStageSettings
) -> tuple[NDArray[np.object_], NDArray[np.object_], NDArray[np.object_]]:
    """Return the columns present, unknown and default of the windows of one recording; see `label_windows`."""
    placed, unplaced = boxes[boxes["placed"]], set(boxes.loc[~boxes["placed"], "species"])
    overlaps = _overlaps(windows, placed, settings)
    of_species = placed["species"].to_numpy(object)
    names = sorted(set(boxes["species"]) - {""})
    present = np.zeros((len(windows), len(names)), bool)
    possible = present.copy()
    for column, name in enumerate(names):
        present[:, column] = overlaps.labels[:, of_species == name].any(axis=1)
        possible[:, column] = overlaps.touches[:, of_species == name].any(axis=1) | (name in unplaced)
    is_unknown = overlaps.touches[:, of_species == ""].any(axis=1) | ("" in unplaced)
    default = np.where(is_unknown, UNKNOWN, ABSENT).astype(object)
    return _lists(names, present), _lists(names, possible & ~present), default


def _lists(names: list[str], flags: NDArray[np.bool_]) -> NDArray[np.object_]:
    """Return the names of the columns that are set in each row of `flags`, as an array of lists."""
    lists = np.empty(len(flags), object)
    for row, columns in enumerate(flags):
        lists[row] = [names[column] for column in np.flatnonzero(columns)]
    return lists
