"""From logits to probabilities and detections: the evaluation, the release gate, the command line and the server use this.

For a window, the result is its calibrated probabilities, averaged with those of its neighbours, and the detected species: those whose
probability reaches their threshold. For a recording, it is the mean or the maximum of the probabilities of its windows, and all
species detected in at least one window. The caller leaves out quiet windows.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
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


_LONGEST_HOP = 4 / 3
"""Longest hop at which windows are smoothed, as a multiple of the hop that the thresholds were chosen for."""


@dataclass(frozen=True)
class Calibration:
    """Calibration, thresholds and aggregation of one network, chosen on the validation split.

    Attributes:
        outputs: what the outputs of the network mean.
        scale: factor of the logits of each species, above 0; with softmax, all are 1 / temperature; shape (species,).
        offset: added to the scaled logits of each species; with softmax, 0; shape (species,).
        thresholds: smallest probability at which a species is detected in a window; shape (species,).
        aggregation: how the probabilities of the windows are combined for a recording: `mean` or `max`.
        smoothing: weight of each of the two neighbours of a window in its probabilities (`smoothed`); 0: they have no part in them.
        distance: number of windows from a window to its neighbours.
    """

    outputs: Outputs
    scale: Floats
    offset: Floats
    thresholds: Floats
    aggregation: str
    smoothing: float = 0.0
    distance: int = 1

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
        smoothing = float(content.get("smoothing", 0))
        return cls(content["outputs"], scale, offset, thresholds, content["aggregation"], smoothing)

    def with_hop(self, of_bundle: float, hop: float) -> Self:
        """Return the calibration for windows with another hop: the neighbours of a window stay about as far away in time.

        With a much longer hop, windows are not smoothed: a short call that is in a single window would be averaged with windows that
        share no sound with it.

        Args:
            of_bundle: hop that the thresholds were chosen for, seconds.
            hop: the other hop, seconds.
        """
        if hop > _LONGEST_HOP * of_bundle:
            return replace(self, smoothing=0.0)
        return replace(self, distance=max(1, round(of_bundle / hop)))

    @property
    def is_independent(self) -> bool:
        """Whether each species has a probability by itself."""
        return self.outputs == "independent"

    def logits(self, logits: NDArray[np.floating]) -> Floats:
        """Return calibrated logits: `scale` * logits + `offset`, in double precision; shape (windows, species)."""
        return np.asarray(np.asarray(logits, np.float64) * self.scale + self.offset)

    def probabilities(self, logits: NDArray[np.floating]) -> Floats:
        """Return the calibrated probabilities of windows from the logits of the network, not smoothed; shape (windows, species)."""
        calibrated = self.logits(logits)
        return np.asarray(expit(calibrated)) if self.is_independent else softmax(calibrated)


@dataclass(frozen=True)
class Classification:
    """Probabilities and detections of some recordings and their windows.

    With softmax, rows of probabilities sum to 1; those of a recording without windows are zero.

    Attributes:
        window_probabilities: smoothed over neighbouring windows; shape (windows, species).
        window_detections: whether the probability of a species reaches its threshold; shape (windows, species).
        recording_probabilities: shape (recordings, species).
        recording_detections: whether a species is detected in at least one window; shape (recordings, species).
    """

    window_probabilities: Floats
    window_detections: Flags
    recording_probabilities: Floats
    recording_detections: Flags


def classify(
    logits: NDArray[np.floating], recording: Ints, recordings: int, calibration: Calibration, number: Ints
) -> Classification:
    """Return probabilities and detections of windows and recordings.

    Args:
        logits: logits of windows that are not quiet; shape (windows, species).
        recording: index of the recording of each window; shape (windows,).
        recordings: number of recordings.
        calibration: calibration of the network that computed the logits.
        number: number of each window in its recording (see `run_starts`); shape (windows,).
    """
    windows = smoothed(
        calibration.probabilities(logits), recording, number, calibration.smoothing, calibration.distance
    )
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
    before = np.zeros_like(detected)
    before[1:] = detected[:-1] & _follows(recording, number)[:, None]
    return np.asarray(detected & ~before)


def smoothed(probabilities: Floats, recording: Ints, number: Ints, weight: float, distance: int = 1) -> Floats:
    """Return the means of the probabilities of each window and its neighbours, the windows before and after it in its recording.

    A window has the weight that its neighbours leave, 1 - 2 `weight`. Where a neighbour is missing (at the ends of a recording, or
    because it is quiet), the other weights count in its place: a single window keeps its probabilities.

    Args:
        probabilities: shape (windows, species).
        recording: index of the recording of each window, as for `run_starts`; shape (windows,).
        number: number of each window in its recording, as for `run_starts`; shape (windows,).
        weight: weight of each neighbour, at most 1/3; 0: the probabilities are returned as they are.
        distance: number of windows from a window to its neighbours. If it is above 1, no window may be left out.
    """
    if not weight or len(probabilities) <= distance:
        return probabilities
    follows = _follows(recording, number, distance)[:, None]
    total, weights = (1 - 2 * weight) * probabilities, np.full((len(probabilities), 1), 1 - 2 * weight)
    total[distance:] += weight * np.where(follows, probabilities[:-distance], 0)
    total[:-distance] += weight * np.where(follows, probabilities[distance:], 0)
    weights[distance:] += weight * follows
    weights[:-distance] += weight * follows
    return np.asarray(total / weights)


def _follows(recording: Ints, number: Ints, distance: int = 1) -> Flags:
    """Return whether a window and the one `distance` rows before it have that distance in one recording; shape (windows - distance,)."""
    same = recording[distance:] == recording[:-distance]
    return np.asarray(same & (number[distance:] - number[:-distance] == distance))


def softmax(logits: NDArray[np.floating]) -> Floats:
    """Return the probabilities of each row of logits, computed in double precision."""
    z = np.asarray(logits, np.float64)
    e = np.exp(z - z.max(axis=1, keepdims=True, initial=-np.inf))
    return np.asarray(e / e.sum(axis=1, keepdims=True))
