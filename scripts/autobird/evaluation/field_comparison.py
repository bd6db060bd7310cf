"""Predictions and truth of field recordings, and how they agree: by window, by detection and by event."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from autobird.evaluation.bootstrap import Resamples, resample_groups
from autobird.evaluation.field_data import FieldPredictions, FieldTruth, WindowTruth, window_truth
from autobird.evaluation.field_events import false_alarms, hours_by_sound, match_events
from autobird.evaluation.settings import FieldScoreSettings

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class FieldComparison:
    """Predictions and truth of the field recordings, and how they agree.

    Attributes:
        predictions: the predictions.
        truth: the boxes, or the labels of recordings.
        windows: what the windows contain.
        detections: the delivered detections, with `outcome`.
        events: events with `outcome`.
        alarms: false alarms in sound without any of the model's species (`field_events.false_alarms`).
        hours: hours of each kind of sound in each recording.
        group: session of each recording, as an index; shape (recordings,).
        resamples: resamples of the sessions.
    """

    predictions: FieldPredictions
    truth: FieldTruth
    windows: WindowTruth
    detections: pd.DataFrame
    events: pd.DataFrame
    alarms: pd.DataFrame
    hours: dict[str, Floats]
    group: NDArray[np.int64]
    resamples: Resamples

    @property
    def sessions(self) -> int:
        """Number of independent sessions."""
        return len(np.unique(self.group))

    def per_session(self, recording: NDArray[np.integer], values: Floats | None = None) -> Floats:
        """Return the number of items, or the sum of their values, of each session; shape (sessions,)."""
        return np.bincount(self.resamples.group_of_recording[recording], values, self.sessions).astype(float)


def compare(
    predictions: FieldPredictions,
    truth: FieldTruth,
    group: NDArray[np.int64],
    window: float,
    settings: FieldScoreSettings,
) -> FieldComparison:
    """Compare the predictions with the truth.

    Args:
        predictions: the predictions.
        truth: the boxes.
        group: session of each recording; shape (recordings,).
        window: length of a window, seconds.
        settings: overlap, tolerance and intervals.
    """
    windows = window_truth(truth, predictions, settings.min_overlap, settings.tolerance)
    detections, events = match_events(predictions, truth, window, settings.min_overlap, settings.tolerance)
    alarms, hours = false_alarms(predictions, windows), hours_by_sound(predictions, windows)
    present = np.zeros((len(predictions.names), len(predictions.labels)), bool)
    named = truth.boxes[truth.boxes["species"] >= 0]
    present[named["recording"], named["species"]] = True
    resamples = resample_groups(group, present, settings.resamples, settings.seed)
    return FieldComparison(predictions, truth, windows, detections, events, alarms, hours, group, resamples)
