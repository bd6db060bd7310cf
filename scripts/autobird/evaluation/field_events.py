"""Compare delivered detections with annotated boxes, event by event, and count false alarms."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from autobird.evaluation.field_data import (
    UNNAMED,
    FieldPredictions,
    FieldTruth,
    WindowTruth,
    needed_overlap,
)
from autobird.predict.classification import run_starts

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

RIGHT, WRONG, UNSURE = "right", "wrong", "not decided"
"""Outcomes of a detection. `not decided`: it touches a box that names no species, or touches a box of its species too little."""

FOUND, MISSED = "found", "missed"
"""Outcomes of an event."""

MIN_SHARE = 0.5
"""Smallest share of a detection that must be within reach of boxes of its species, as in the detection tolerance criterion of
Bilen et al. 2020 (PSDS), where a detection is right if at least this share of it intersects boxes."""

_TIME_TOLERANCE = 1e-6


def merged_events(boxes: pd.DataFrame) -> pd.DataFrame:
    """Return the events of boxes: overlapping or adjacent boxes of one species in a recording are one event.

    Args:
        boxes: `FieldTruth.boxes`, of the model's species; sorted by recording and start.

    Returns:
        columns recording, species, start, end, boxes (number of boxes).
    """
    rows: list[list[float]] = []
    for (recording, species), group in boxes.groupby(["recording", "species"]):
        start, end = group["start"].to_numpy(), group["end"].to_numpy()
        latest = np.maximum.accumulate(end)
        first = np.flatnonzero(np.append(True, start[1:] > latest[:-1]))
        last = np.append(first[1:], len(start)) - 1
        rows += [[recording, species, start[a], latest[b], b - a + 1] for a, b in zip(first, last, strict=True)]
    table = pd.DataFrame(rows, columns=["recording", "species", "start", "end", "boxes"])
    table = table.astype({"recording": np.int64, "species": np.int64, "boxes": np.int64, "start": float, "end": float})
    return table.sort_values(["recording", "start", "species"], ignore_index=True)


def match_events(
    predictions: FieldPredictions, truth: FieldTruth, window: float, min_overlap: float, tolerance: float
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Compare detections with events of the same species.

    Several events can be found by one detection, and several detections can be right about one event, because a detection consists
    of windows of several seconds, which cannot separate short calls:

    - An event is found if a detection of its species overlaps it by `min_overlap` seconds, or completely if it is shorter.
    - A detection is right if it overlaps an event of its species in the same way, and at least `MIN_SHARE` of it is within reach of
      such events. The reach of an event are all windows that overlap it enough: it begins a window before the event's start and
      ends a window after its end, less the overlap. A long detection with one short event is therefore wrong. A model that detects
      a species in exactly the windows that have it is right everywhere.
    - A detection that is not right is neither right nor wrong if it touches a box without a species name, if it touches an event
      of its species by less than the required overlap, or if its species may be in the background of the recording.

    Args:
        predictions: the detections.
        truth: the boxes.
        window: length of a window, seconds.
        min_overlap: required overlap, seconds.
        tolerance: seconds by which start and end of a box may be wrong.

    Returns:
        the detections with `outcome`, and the events with `outcome`.
    """
    events = merged_events(truth.boxes[truth.boxes["species"] >= 0])
    unnamed = truth.boxes[truth.boxes["species"] == UNNAMED]
    detections = predictions.detections.assign(outcome=WRONG)
    events = events.assign(outcome=MISSED)
    events_of = dict(iter(events.groupby(["recording", "species"])))
    unnamed_of = dict(iter(unnamed.groupby("recording")))
    outcome_of_detection = detections["outcome"].to_numpy(object)
    outcome_of_event = events["outcome"].to_numpy(object)
    for (recording, species), found in detections.groupby(["recording", "species"]):
        start, end = found["start"].to_numpy(), found["end"].to_numpy()
        outcome = np.full(len(found), UNSURE if truth.possible[recording, species] else WRONG, object)
        if recording in unnamed_of:
            boxes = unnamed_of[recording]
            outcome[
                _touching(start, end, boxes["start"].to_numpy(), boxes["end"].to_numpy(), tolerance).any(axis=1)
            ] = UNSURE
        if (recording, species) in events_of:
            own = events_of[recording, species]
            own_start, own_end = own["start"].to_numpy(), own["end"].to_numpy()
            needed = needed_overlap(own_start, own_end, min_overlap)
            enough = _overlap(start, end, own_start - tolerance, own_end + tolerance) >= needed
            reach = np.maximum(0.0, window - needed) + tolerance
            covered = _covered(start, end, own_start - reach, own_end + reach)
            is_right = enough.any(axis=1) & (covered >= MIN_SHARE * (end - start) - _TIME_TOLERANCE)
            touches = _touching(start, end, own_start, own_end, tolerance).any(axis=1)
            outcome[touches & ~enough.any(axis=1)] = UNSURE
            outcome[is_right] = RIGHT
            outcome_of_event[own.index[enough.any(axis=0)]] = FOUND
        outcome_of_detection[found.index] = outcome
    return detections.assign(outcome=outcome_of_detection), events.assign(outcome=outcome_of_event)


def _overlap(start: Floats, end: Floats, other_start: Floats, other_end: Floats) -> Floats:
    """Return the overlap of each interval with each other one, seconds; shape (intervals, others)."""
    return np.minimum(end[:, None], other_end) - np.maximum(start[:, None], other_start)


def _touching(start: Floats, end: Floats, other_start: Floats, other_end: Floats, tolerance: float) -> Flags:
    return _overlap(start, end, other_start - tolerance, other_end + tolerance) > 0


def _covered(start: Floats, end: Floats, other_start: Floats, other_end: Floats) -> Floats:
    """Return how many seconds of each interval the union of the others covers; the others are sorted by start and disjoint as events.

    Args:
        start: starts of the intervals; shape (intervals,).
        end: their ends.
        other_start: starts of the others, increasing. They may overlap.
        other_end: their ends, increasing.
    """
    # What an interval overlaps of its predecessor is cut off, so that nothing is counted twice.
    latest = np.maximum.accumulate(other_end)
    begin = np.maximum(other_start, np.append(-np.inf, latest[:-1]))
    return np.maximum(0.0, _overlap(start, end, begin, np.maximum(latest, begin))).sum(axis=1)


NO_SPECIES_SOUND, UNKNOWN_SOUND = "no_species", "unknown_species"
"""Kinds of sound without any of the model's species: no box touches its windows, or boxes of other species do."""

SOUND = (NO_SPECIES_SOUND, UNKNOWN_SOUND)


def hours_by_sound(predictions: FieldPredictions, truth: WindowTruth) -> dict[str, Floats]:
    """Return the hours of each kind of sound in each recording, each of shape (recordings,): `all`, and those in `SOUND`."""
    hours = predictions.hours
    masks = {"all": np.ones(len(hours), bool), **sound_masks(truth)}
    recordings = len(predictions.names)
    sums = {kind: np.bincount(predictions.recording[mask], hours[mask], recordings) for kind, mask in masks.items()}
    return {kind: np.asarray(total, np.float64) for kind, total in sums.items()}


def sound_masks(truth: WindowTruth) -> dict[str, NDArray[np.bool_]]:
    """Return which windows hold each kind of sound of `SOUND`; shape (windows,)."""
    other = truth.empty & truth.has_unknown_species
    return {NO_SPECIES_SOUND: truth.empty & ~other, UNKNOWN_SOUND: other}


def recordings_of_runs(predictions: FieldPredictions, mask: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return the recording of each run of consecutive windows, among those where `mask` is true, in which one species is detected.

    Args:
        predictions: the predictions.
        mask: shape (windows,).
    """
    runs = []
    for species in range(len(predictions.labels)):
        windows = np.flatnonzero(predictions.detected[:, species] & mask)
        runs.append(predictions.recording[windows[starts_of_runs(windows, predictions.recording)]])
    return np.concatenate(runs) if runs else np.zeros(0, np.int64)


def false_alarms(predictions: FieldPredictions, truth: WindowTruth) -> pd.DataFrame:
    """Return the false alarms in sound without any of the model's species.

    A false alarm is a run of consecutive windows without any of the model's species in which one species is detected. In recordings
    without boxes these are the delivered detections. Of a detection that begins or ends in such sound, the part there counts.

    Returns:
        columns recording, species (indices), start, end, sound (one of `SOUND`: `UNKNOWN_SOUND` if a part of it is of another species),
        sorted.
    """
    tables = []
    for species in range(len(predictions.labels)):
        windows = np.flatnonzero(predictions.detected[:, species] & truth.empty)
        first = starts_of_runs(windows, predictions.recording)
        if not len(first):
            continue
        last = np.append(first[1:], len(windows)) - 1
        other = np.logical_or.reduceat(truth.has_unknown_species[windows], first)
        tables.append(
            pd.DataFrame(
                {
                    "recording": predictions.recording[windows[first]],
                    "species": species,
                    "start": predictions.start[windows[first]],
                    "end": predictions.end[windows[last]],
                    "sound": np.where(other, UNKNOWN_SOUND, NO_SPECIES_SOUND),
                }
            )
        )
    columns = {"recording": np.int64, "species": np.int64, "start": float, "end": float, "sound": object}
    table = pd.concat(tables) if tables else pd.DataFrame(columns=list(columns))
    return table.astype(columns).sort_values(["recording", "start", "species"], ignore_index=True)


def starts_of_runs(windows: NDArray[np.intp], recording: NDArray[np.int64]) -> NDArray[np.intp]:
    """Return where detections (`classification.run_starts`) begin in the windows in which a species is detected, as positions in `windows`.

    Args:
        windows: windows in which a species is detected, as increasing indices.
        recording: recording of each window; shape (all windows,).
    """
    return np.flatnonzero(run_starts(np.ones((len(windows), 1), bool), recording[windows], windows))
