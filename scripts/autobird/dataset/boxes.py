"""Labels of windows from the bounding boxes of annotated recordings."""

from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from autobird.dataset.settings import DatasetStageSettings
from autobird.sources.base import NO_LABEL, NO_NAME

NO_BOX = "no box overlaps it enough"
SEVERAL = "boxes of several species overlap it"

_TIME_TOLERANCE = 1e-6
"""Seconds by which an overlap may be too short, because annotation programs round times."""


def label_windows(windows: pd.DataFrame, boxes: pd.DataFrame, settings: DatasetStageSettings) -> pd.DataFrame:
    """Return the labels of the windows of annotated recordings.

    A window gets the label of a box that it overlaps by `min_overlap` seconds, or completely if the box is shorter;
    with `centre`, the label of a box that contains the window's centre. Windows that no box touches are background.

    Args:
        windows: columns recording, start (samples).
        boxes: columns recording, start, end (seconds), species, problem.
        settings: the labelling rule, and the length of a window.

    Returns:
        columns species ("" for a window without a label), dropped (why a window has no label, else ""), present (all
        species whose boxes give the window a label) and complete (every box that touches the window gives it a label
        and names a species), with the index of `windows`.
    """
    labels = pd.DataFrame({"species": settings.background or "", "dropped": "", "complete": True}, index=windows.index)
    background_label = [settings.background] if settings.background else []
    labels["present"] = pd.Series([background_label] * len(labels), labels.index, dtype=object)
    if settings.background is None:
        labels["dropped"] = NO_BOX
    # A box without a species name gives no label, but the windows that it touches are not background.
    usable_boxes = boxes[boxes["problem"].isin(["", NO_LABEL, NO_NAME])]
    usable_boxes = usable_boxes.assign(species=usable_boxes["species"].where(usable_boxes["problem"] == "", ""))
    boxes_of_recording = dict(iter(usable_boxes.groupby("recording")))
    for recording, windows_of_recording in windows.groupby("recording"):
        if recording in boxes_of_recording:
            _label_recording(labels, windows_of_recording, boxes_of_recording[recording], settings)
    return labels


def label_recordings(windows: pd.DataFrame, boxes: pd.DataFrame) -> pd.DataFrame:
    """Return the species of whole annotated recordings, including those of boxes too short to label a window.

    Args:
        windows: columns recording, present (from `label_windows`).
        boxes: columns recording, species, problem.

    Returns:
        columns recording_species (sorted names, including the label of background) and recording_complete (every box
        names a species), with the index of `windows`.
    """
    species_of: dict[str, set[str]] = {name: set() for name in windows["recording"].unique()}
    for recording, present in zip(windows["recording"], windows["present"], strict=True):
        species_of[recording].update(present)
    for recording, species in boxes.loc[boxes["problem"] == "", ["recording", "species"]].itertuples(index=False):
        species_of.get(recording, set()).add(species)
    incomplete = set(boxes.loc[boxes["problem"].isin([NO_LABEL, NO_NAME]), "recording"])
    sorted_species = {recording: sorted(species) for recording, species in species_of.items()}
    return pd.DataFrame(
        {
            "recording_species": windows["recording"].map(sorted_species),
            "recording_complete": ~windows["recording"].isin(incomplete),
        }
    )


class _Overlaps(NamedTuple):
    """How windows and boxes of a recording overlap; both of shape (windows, boxes).

    Attributes:
        touches: the box and the window overlap at all.
        labels: the overlap is sufficient for the box to label the window.
    """

    touches: NDArray[np.bool_]
    labels: NDArray[np.bool_]


def _overlaps(windows: pd.DataFrame, boxes: pd.DataFrame, settings: DatasetStageSettings) -> _Overlaps:
    window_start = windows["start"].to_numpy()[:, None] / settings.sample_rate
    window_end = window_start + settings.window
    box_start, box_end = boxes["start"].to_numpy(), boxes["end"].to_numpy()
    overlap = np.minimum(window_end, box_end) - np.maximum(window_start, box_start)
    if settings.centre:
        centre = window_start + settings.window / 2
        sufficient = (box_start <= centre) & (centre < box_end)
    else:
        sufficient = overlap >= np.minimum(settings.min_overlap, box_end - box_start) - _TIME_TOLERANCE
    return _Overlaps(overlap > 0, sufficient)


def _label_recording(
    labels: pd.DataFrame, windows: pd.DataFrame, boxes: pd.DataFrame, settings: DatasetStageSettings
) -> None:
    """Fill in the labels of the windows of one recording, in place."""
    overlaps = _overlaps(windows, boxes, settings)
    box_species = boxes["species"].to_numpy(object)
    names = sorted(set(box_species) - {""})
    # One more column, always false, so that argmax works without species.
    present = np.zeros((len(windows), len(names) + 1), bool)
    for column, name in enumerate(names):
        present[:, column] = overlaps.labels[:, box_species == name].any(axis=1)
    labels_with_species = overlaps.labels & (box_species != "")
    labels.loc[windows.index, "complete"] = ~(overlaps.touches & ~labels_with_species).any(axis=1)

    count = present.sum(axis=1)
    touched = overlaps.touches.any(axis=1)
    annotated = (count > 0) | touched
    rows = windows.index[annotated]
    species = np.where(count == 1, np.asarray([*names, ""], object)[present.argmax(axis=1)], "")
    dropped = np.select([count == 1, count > 1], ["", SEVERAL], NO_BOX)
    names_present = [
        [name for name, is_present in zip(names, row, strict=True) if is_present] for row in present[annotated, :-1]
    ]
    labels.loc[rows, "present"] = pd.Series(names_present, rows, dtype=object)
    labels.loc[rows, "species"] = species[annotated]
    labels.loc[rows, "dropped"] = dropped[annotated]
