"""From logits to probabilities and detections: the evaluation, the release gate, the command line and the server use this.

For a window, the result is its calibrated probabilities and the detected species: those whose probability reaches their
threshold. For a recording, it is the mean or the maximum of the probabilities of its windows, and all species detected in
at least one window. The caller leaves out quiet windows.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Ints = NDArray[np.int64]

Outputs = Literal["softmax", "independent"]
"""What the outputs of a network mean: probabilities that sum to 1, or the probability of each species by itself."""

OUTPUTS: tuple[Outputs, ...] = ("softmax", "independent")
"""All values of `Outputs`."""


def outputs_of(model: Mapping[str, Any]) -> Outputs:
    """Return what the outputs of a network mean, from its `model.json`; files of older versions do not say it (softmax)."""
    value: Outputs = model.get("outputs", "softmax")
    return value


@dataclass(frozen=True)
class Calibration:
    """Calibration, thresholds and aggregation of one network, chosen on the validation split.

    Attributes:
        outputs: what the outputs of the network mean.
        scale: factor of the logits of each species, above 0; with softmax, all are 1 / temperature; shape (species,).
        offset: added to the scaled logits of each species; with softmax, 0; shape (species,).
        thresholds: smallest probability at which a species is detected in a window; shape (species,).
        aggregation: how the probabilities of the windows are combined for a recording: `mean` or `max`.
    """

    outputs: Outputs
    scale: Floats
    offset: Floats
    thresholds: Floats
    aggregation: str

    @classmethod
    def softmax(cls, temperature: float, thresholds: Floats, aggregation: str) -> Self:
        """Return the calibration of a network with softmax outputs, whose logits are divided by a temperature."""
        count = len(thresholds)
        return cls("softmax", np.full(count, 1 / temperature), np.zeros(count), thresholds, aggregation)

    @classmethod
    def none(cls, outputs: Outputs, species: int, aggregation: str) -> Self:
        """Return the calibration that keeps the logits as they are; its thresholds are never reached."""
        return cls(outputs, np.ones(species), np.zeros(species), np.full(species, np.inf), aggregation)

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """Return the calibration that `calibration.json` holds, with the species in the order of the file, which is that of the logits.

        Files of older versions, with a temperature for all species, can be read.
        """
        species = content["thresholds"].values()
        thresholds = np.array([entry["threshold"] for entry in species], np.float64)
        if "temperature" in content:
            return cls.softmax(float(content["temperature"]), thresholds, content["aggregation"])
        scale, offset = (np.array([entry[key] for entry in species], np.float64) for key in ("scale", "offset"))
        return cls(content["outputs"], scale, offset, thresholds, content["aggregation"])

    @property
    def is_independent(self) -> bool:
        """Whether each species has a probability by itself."""
        return self.outputs == "independent"

    def logits(self, logits: NDArray[np.floating]) -> Floats:
        """Return calibrated logits: `scale` * logits + `offset`, in double precision; shape (windows, species)."""
        return np.asarray(np.asarray(logits, np.float64) * self.scale + self.offset)

    def probabilities(self, logits: NDArray[np.floating]) -> Floats:
        """Return the calibrated probabilities of windows from the logits of the network; shape (windows, species)."""
        calibrated = self.logits(logits)
        return np.asarray(expit(calibrated)) if self.is_independent else softmax(calibrated)


@dataclass(frozen=True)
class Classification:
    """Probabilities and detections of some recordings and their windows.

    With softmax, rows of probabilities sum to 1; those of a recording without windows are zero.

    Attributes:
        window_probabilities: shape (windows, species).
        window_detections: whether the probability of a species reaches its threshold; shape (windows, species).
        recording_probabilities: shape (recordings, species).
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
    windows = calibration.probabilities(logits)
    detected = windows >= calibration.thresholds
    total = np.zeros((recordings, windows.shape[1]))
    combine = np.add if calibration.aggregation == "mean" else np.maximum
    combine.at(total, recording, windows)
    if not calibration.is_independent:
        total /= np.maximum(total.sum(axis=1, keepdims=True), 1e-300)
    elif calibration.aggregation == "mean":
        total /= np.maximum(np.bincount(recording, minlength=recordings), 1)[:, None]
    anywhere = np.zeros(total.shape, bool)
    np.logical_or.at(anywhere, recording, detected)
    return Classification(windows, detected, total, anywhere)


def run_starts(detected: Flags, recording: Ints, number: Ints) -> Flags:
    """Return where the detections start: a species detected in consecutive windows of a recording is one detection.

    Args:
        detected: whether a species is detected in a window; shape (windows, species).
        recording: index of the recording of each window; the windows of a recording follow each other; shape (windows,).
        number: number of each window in its recording, increasing; windows that were left out (quiet ones) have numbers, too, and
            end a detection; shape (windows,).

    Returns:
        Whether a detection of the species starts in the window; shape (windows, species).
    """
    follows = np.zeros(len(detected), bool)
    follows[1:] = (np.diff(recording) == 0) & (np.diff(number) == 1)
    before = np.zeros_like(detected)
    before[1:] = detected[:-1] & follows[1:, None]
    return np.asarray(detected & ~before)


def softmax(logits: NDArray[np.floating]) -> Floats:
    """Return the probabilities of each row of logits, computed in double precision."""
    z = np.asarray(logits, np.float64)
    e = np.exp(z - z.max(axis=1, keepdims=True, initial=-np.inf))
    return np.asarray(e / e.sum(axis=1, keepdims=True))
