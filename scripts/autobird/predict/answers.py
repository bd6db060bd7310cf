"""From logits to answers: the one path that evaluation, gate, command line and server share.

A window's answer is its calibrated probabilities, and the species whose probability reaches their threshold
(detections). A recording's answer is the mean or the maximum of its windows' probabilities, and every species detected
in one of its windows. Quiet windows are left out before.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Calibration:
    """What turns the logits of one network into answers; chosen on validation.

    Attributes:
        temperature: divisor of the logits.
        thresholds: probability from which a species is detected in a window; shape (species,).
        aggregation: how windows become a recording: `mean` or `max` of the probabilities.
    """

    temperature: float
    thresholds: Floats
    aggregation: str


@dataclass(frozen=True)
class Answers:
    """Answers about the windows of some recordings, and about the recordings.

    Attributes:
        windows: probabilities, rows sum to 1; shape (windows, species).
        detected: species that reach their threshold; shape (windows, species).
        recordings: probabilities, rows sum to 1; shape (recordings, species). All zero for a recording without windows.
        detected_in_recordings: species detected in a window of the recording; shape (recordings, species).
    """

    windows: Floats
    detected: Flags
    recordings: Floats
    detected_in_recordings: Flags


def answer(logits: NDArray[np.floating], recording: Ints, recordings: int, calibration: Calibration) -> Answers:
    """Everything that is said about some windows that are not quiet.

    Args:
        logits: shape (windows, species).
        recording: recording of each window, as an index; shape (windows,).
        recordings: number of recordings.
        calibration: of the network that gave the logits.
    """
    windows = softmax(np.asarray(logits, np.float64) / calibration.temperature)
    detected = windows >= calibration.thresholds
    total = np.zeros((recordings, windows.shape[1]))
    combine = np.add if calibration.aggregation == "mean" else np.maximum
    combine.at(total, recording, windows)
    total /= np.maximum(total.sum(axis=1, keepdims=True), 1e-300)
    anywhere = np.zeros(total.shape, bool)
    np.logical_or.at(anywhere, recording, detected)
    return Answers(windows, detected, total, anywhere)


def softmax(logits: NDArray[np.floating]) -> Floats:
    """Logits to probabilities, by row, in double precision."""
    z = np.asarray(logits, np.float64)
    e = np.exp(z - z.max(axis=1, keepdims=True, initial=-np.inf))
    return np.asarray(e / e.sum(axis=1, keepdims=True))
