"""From logits to probabilities and detections: the evaluation, the release gate, the command line and the server use this.

For a window, the result is its calibrated probabilities and the detected species: those whose probability reaches their
threshold. For a recording, it is the mean or the maximum of the probabilities of its windows, and all species detected in
at least one window. The caller leaves out quiet windows.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Calibration:
    """Temperature, thresholds and aggregation of one network, chosen on the validation split.

    Attributes:
        temperature: divisor of the logits.
        thresholds: smallest probability at which a species is detected in a window; shape (species,).
        aggregation: how the probabilities of the windows are combined for a recording: `mean` or `max`.
    """

    temperature: float
    thresholds: Floats
    aggregation: str


@dataclass(frozen=True)
class Classification:
    """Probabilities and detections of some recordings and their windows.

    Attributes:
        window_probabilities: rows sum to 1; shape (windows, species).
        window_detections: whether the probability of a species reaches its threshold; shape (windows, species).
        recording_probabilities: rows sum to 1, or are zero for a recording without windows; shape (recordings, species).
        recording_detections: whether a species is detected in at least one window; shape (recordings, species).
    """

    window_probabilities: Floats
    window_detections: Flags
    recording_probabilities: Floats
    recording_detections: Flags


def classify(
    logits: NDArray[np.floating], recording: Ints, recordings: int, calibration: Calibration
) -> Classification:
    """Return probabilities and detections of windows and recordings.

    Args:
        logits: logits of windows that are not quiet; shape (windows, species).
        recording: index of the recording of each window; shape (windows,).
        recordings: number of recordings.
        calibration: calibration of the network that computed the logits.
    """
    windows = softmax(np.asarray(logits, np.float64) / calibration.temperature)
    detected = windows >= calibration.thresholds
    total = np.zeros((recordings, windows.shape[1]))
    combine = np.add if calibration.aggregation == "mean" else np.maximum
    combine.at(total, recording, windows)
    total /= np.maximum(total.sum(axis=1, keepdims=True), 1e-300)
    anywhere = np.zeros(total.shape, bool)
    np.logical_or.at(anywhere, recording, detected)
    return Classification(windows, detected, total, anywhere)


def softmax(logits: NDArray[np.floating]) -> Floats:
    """Return the probabilities of each row of logits, computed in double precision."""
    z = np.asarray(logits, np.float64)
    e = np.exp(z - z.max(axis=1, keepdims=True, initial=-np.inf))
    return np.asarray(e / e.sum(axis=1, keepdims=True))
