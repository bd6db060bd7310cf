"""How far each window of an index can be shifted along its recording while its labels stay the same, for random crops in training."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from autobird.dataset.boxes import OVERLAP_TOLERANCE
from autobird.dataset.settings import DatasetStageSettings

Floats = NDArray[np.float64]

ANYWHERE = (0, int(np.iinfo(np.int64).max))
"""First and last start of a window that can be anywhere in its recording, samples."""

_OPEN = 1e-6
"""Seconds by which an interval without its ends is shorter than one with them; less than a sample."""


def label_limits(
    windows: pd.DataFrame, boxes: pd.DataFrame, settings: DatasetStageSettings
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the first and the last start between which the windows of annotated recordings have the same label set, samples.

    It is the label set that `label_windows` would give a window with that start: the species of every window between the two are the
    same, and so are the unknown ones.

    Args:
        windows: columns recording, start (samples), duration (of the recording, seconds).
        boxes: result of `usable_boxes`.
        settings: the labelling rule, and the length of a window.

    Returns:
        Two arrays of shape (windows,), `ANYWHERE` in recordings without boxes.
    """
    start = windows["start"].to_numpy(np.int64)
    earliest, latest = np.full(len(windows), ANYWHERE[0]), np.full(len(windows), ANYWHERE[1])
    boxes_of_recording = dict(iter(boxes.groupby("recording")))
    for recording, rows in windows.groupby("recording").indices.items():
        if recording in boxes_of_recording:
            duration = float(windows["duration"].iloc[rows[0]])
            seconds = start[rows] / settings.sample_rate
            low, high = _limits(seconds, duration, boxes_of_recording[recording], settings)
            # Strictly between the limits, at most one sample from them: at a limit itself, either label set can be the right one.
            low, high = (
                np.clip(limit * settings.sample_rate, -1, duration * settings.sample_rate + 1) for limit in (low, high)
            )
            earliest[rows] = np.minimum(np.floor(low).astype(np.int64) + 1, start[rows])
            latest[rows] = np.maximum(np.ceil(high).astype(np.int64) - 1, start[rows])
    return earliest, latest


def limit_to_audible(entries: pd.DataFrame, numbers: dict[str, NDArray[np.generic]]) -> None:
    """Limit the shift of each window to the neighbouring windows that are not quiet, in place.

    A shifted window then holds no sound that is only in quiet windows. A quiet window has no neighbours.

    Args:
        entries: columns recording, quiet, and the limits that the labels give: earliest, latest. Sorted by recording.
        numbers: of all windows (`window_entries.WindowNumbers`); gets the arrays earliest and latest.
    """
    entry, start = numbers["entry"], numbers["start"]
    recording = pd.factorize(entries["recording"])[0][entry]
    is_loud = ~entries["quiet"].to_numpy(bool)[entry]
    begins = np.ones(len(entry), bool)
    begins[1:] = (recording[1:] != recording[:-1]) | ~is_loud[1:] | ~is_loud[:-1]
    first = np.flatnonzero(begins)
    lengths = np.diff(first, append=len(entry))
    earliest, latest = (entries[name].to_numpy(np.int64)[entry] for name in ("earliest", "latest"))
    numbers["earliest"] = np.maximum(earliest, np.repeat(start[first], lengths))
    numbers["latest"] = np.minimum(latest, np.repeat(start[first + lengths - 1], lengths))


def _limits(
    start: Floats, duration: float, boxes: pd.DataFrame, settings: DatasetStageSettings
) -> tuple[Floats, Floats]:
    """Return the limits of the windows of one recording, seconds; see `label_limits`.

    Args:
        start: starts of the windows, seconds.
        duration: of the recording, seconds.
        boxes: of the recording.
        settings: the labelling rule, and the length of a window.
    """
    low, high = np.full(len(start), -np.inf), np.full(len(start), np.inf)
    placed, unplaced = boxes[boxes["placed"]], set(boxes.loc[~boxes["placed"], "species"])
    for name, rows in placed.groupby("species").indices.items():
        begin, drawn_end = (placed[column].to_numpy()[rows] for column in ("start", "end"))
        end = np.minimum(drawn_end, duration)
        intervals = []
        if name:
            intervals.append(_around(start, *_sufficient(begin, drawn_end, end, settings), join=2 * _OPEN))
        if name not in unplaced:
            intervals.append(_around(start, begin - settings.window + _OPEN, end - _OPEN))
        for before, after in intervals:
            low, high = np.maximum(low, before), np.minimum(high, after)
    return low, high


def _sufficient(begin: Floats, drawn_end: Floats, end: Floats, settings: DatasetStageSettings) -> tuple[Floats, Floats]:
    """Return first and last start of the windows that each box labels; see `boxes.label_windows`.

    Args:
        begin: starts of the boxes, seconds.
        drawn_end: their ends, seconds.
        end: their ends, or the end of the recording if it is earlier.
        settings: the labelling rule, and the length of a window.
    """
    if settings.centre:
        return begin - settings.window / 2, end - settings.window / 2 - _OPEN
    needed = np.minimum(settings.min_overlap, drawn_end - begin) - OVERLAP_TOLERANCE
    possible = (end - begin >= needed) & (settings.window >= needed)
    return (begin + needed - settings.window)[possible], (end - needed)[possible]


def _around(values: Floats, begin: Floats, end: Floats, join: float = 0.0) -> tuple[Floats, Floats]:
    """Return for each value the limits of the interval, or gap between intervals, that it is in.

    Args:
        values: shape (values,).
        begin: starts of the intervals, in any order; they may overlap.
        end: their ends.
        join: length up to which a gap between two intervals is none.

    Returns:
        Two arrays of shape (values,); a limit can be infinite.
    """
    valid = begin <= end
    order = np.argsort(begin[valid], kind="stable")
    begin, reached = begin[valid][order], np.maximum.accumulate(end[valid][order])
    is_first = np.append(True, begin[1:] > reached[:-1] + join)[: len(begin)]
    first = np.concatenate([[-np.inf], begin[is_first], [np.inf]])
    last = np.concatenate([[-np.inf], reached[np.append(is_first[1:], True)[: len(begin)]], [np.inf]])
    at = np.searchsorted(first, values, side="right") - 1
    inside = values <= last[at]
    return np.where(inside, first[at], last[at]), np.where(inside, last[at], first[at + 1])
