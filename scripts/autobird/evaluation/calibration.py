"""Calibration and decision thresholds of a network, fitted on the validation split, and the calibration error."""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

from autobird.evaluation.bootstrap import Interval
from autobird.evaluation.false_alarms import WindowSound, false_alarms
from autobird.evaluation.metrics import Weighting, log_loss
from autobird.evaluation.predictions import Items, SplitPredictions, predictions_of_split
from autobird.evaluation.settings import CalibrationSettings
from autobird.evaluation.sigmoid_scaling import fit_pairs, window_weights
from autobird.evaluation.thresholds import (
    Level,
    Thresholds,
    highest_of_recordings,
    needed_shift,
    select_thresholds,
    shifted,
)
from autobird.predict.classification import Calibration, Outputs, softmax

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Ints = NDArray[np.int64]

BINS = 15
"""Number of bins of the expected calibration error (Guo et al. 2017)."""

PRECISIONS = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)
"""Precisions for which a bundle holds thresholds, so that users can choose one when they predict."""

_RESAMPLES = 100
"""Resamples of the groups for the intervals of the thresholds."""


@dataclass(frozen=True)
class FittedCalibration:
    """The calibration of a network, and how its thresholds were chosen.

    Attributes:
        calibration: the calibration.
        low: lower end of the interval of each threshold, over resampled validation groups; NaN with fewer than two groups; shape
            (species,).
        high: its upper end.
        chosen: whether the species has enough validation windows for a threshold of its own; shape (species,).
        reached: whether the wanted precision is reached on validation; True if none is wanted; shape (species,).
        false_alarms: false alarms per hour of validation sound without any species; None if there is no such sound.
        false_alarms_reached: whether they are at most as many as wanted; None if no number is wanted.
    """

    calibration: Calibration
    low: Floats
    high: Floats
    chosen: Flags
    reached: Flags
    false_alarms: Interval | None
    false_alarms_reached: bool | None


def calibrate(
    table: pd.DataFrame, labels: list[str], outputs: Outputs, settings: CalibrationSettings
) -> FittedCalibration:
    """Fit the calibration of a network to its predictions for the validation windows.

    Args:
        table: logits; columns of `PREDICTIONS`.
        labels: species in the order of the logits.
        outputs: what the outputs of the network mean.
        settings: aggregation, what the thresholds are chosen for, and the bootstrap.
    """
    # The calibration is fitted to single windows, the thresholds are chosen for the smoothed probabilities, which they decide about.
    scaled = replace(fit_calibration(table, labels, settings.aggregation, outputs), smoothing=settings.smoothing)
    split = predictions_of_split(table, labels, "validation", scaled)
    found = validation_thresholds(split, settings)
    values = found.values
    sound, target = WindowSound.of(table, "validation"), settings.false_alarms_per_hour
    if target is not None:
        negative = split.recordings.negative[split.windows.recording]
        windows, hours = split.windows.subset(negative), float(false_alarms(split, sound).hours.sum())
        shift, _ = needed_shift(
            values[0], windows.probabilities, windows.recording, sound.number[negative], target * hours
        )
        values = shifted(values, shift)
    calibration = replace(scaled, thresholds=values[0])
    alarms = false_alarms(predictions_of_split(table, labels, "validation", calibration), sound)
    rate = alarms.rate(settings.confidence)
    tail = (1 - settings.confidence) / 2
    low, high = (
        np.quantile(values[1:], [tail, 1 - tail], axis=0) if len(values) > 1 else np.full((2, len(labels)), np.nan)
    )
    return FittedCalibration(
        calibration,
        low,
        high,
        found.chosen,
        found.reached,
        rate,
        None if target is None else rate is not None and rate[0] <= target,
    )


def precision_thresholds(
    table: pd.DataFrame, labels: list[str], calibration: Calibration, settings: CalibrationSettings
) -> dict[str, list[float | None]]:
    """Return the thresholds of all species for each of `PRECISIONS`; None for a species that does not reach the precision.

    Args:
        table: logits; columns of `PREDICTIONS`.
        labels: species in the order of the logits.
        calibration: of the network; its thresholds are not used.
        settings: the bootstrap.
    """
    split = predictions_of_split(table, labels, "validation", calibration)
    out = {}
    for precision in PRECISIONS:
        found = validation_thresholds(split, settings.model_copy(update={"precision": precision}))
        pairs = zip(found.values[0], found.reached, strict=True)
        out[f"{precision:g}"] = [float(value) if reached else None for value, reached in pairs]
    return out


def validation_thresholds(split: SplitPredictions, settings: CalibrationSettings) -> Thresholds:
    """Return the thresholds of all species from predictions for the validation split; rows after the first are resamples of groups."""
    windows, recordings = split.windows, split.recordings
    draws = split.resamples(_RESAMPLES, settings.seed)
    rows = draws.weights[: 1 + draws.bootstrap_rows]
    highest = highest_of_recordings(windows.probabilities, windows.recording, len(recordings))
    levels = [
        Level(
            probabilities,
            items.present,
            items.known,
            items.weighted(window_weights(recordings.negative[items.recording])),
            draws.group_of_recording[items.recording],
            rows,
        )
        for probabilities, items in ((windows.probabilities, windows), (highest, recordings))
    ]
    return select_thresholds(levels, groups_of_species(split), settings.precision)


def groups_of_species(split: SplitPredictions) -> Ints:
    """Return the number of groups of recordings that contain each species; shape (species,).

    Of the species in a recording whose windows were reviewed, only those of its windows are known.
    """
    contains = np.zeros((split.group.max(initial=-1) + 1, split.recordings.present.shape[1]), bool)
    np.logical_or.at(contains, split.group, split.recordings.present)
    np.logical_or.at(contains, split.group[split.windows.recording], split.windows.present & split.windows.known)
    return np.asarray(contains.sum(axis=0), np.int64)


def fit_calibration(table: pd.DataFrame, labels: list[str], aggregation: str, outputs: Outputs) -> Calibration:
    """Return the calibration of the probabilities, without thresholds, from the validation windows.

    With softmax outputs it is a temperature, fitted on the windows of exactly one species; with independent outputs, a scale and an
    offset of each species (`fit_pairs`).

    Args:
        table: logits; columns of `PREDICTIONS` that `predictions_of_split` uses.
        labels: species in the order of the logits.
        aggregation: how the probabilities of a recording are computed; see `Calibration`.
        outputs: what the outputs of the network mean.
    """
    uncalibrated = Calibration.none(outputs, len(labels), aggregation)
    rows = table[table["split"] == "validation"]
    if not len(rows):
        return uncalibrated
    split, logits = predictions_of_split(rows, labels, "validation", uncalibrated), np.stack(rows["logits"].to_list())
    windows, single = split.windows, split.windows.single_species
    if uncalibrated.is_independent:
        weights = windows.weighted(window_weights(split.recordings.negative[windows.recording]))
        scale, offset = fit_pairs(logits, windows.present, windows.known, weights, groups_of_species(split))
        return replace(uncalibrated, scale=scale, offset=offset)
    if not (single >= 0).any():
        return uncalibrated
    temperature = fit_temperature(logits[single >= 0], single[single >= 0])
    return Calibration.softmax(temperature, uncalibrated.thresholds, uncalibrated.aggregation)


def fit_temperature(logits: NDArray[np.floating], truth: NDArray[np.int64]) -> float:
    """Return the divisor of the logits, between 0.1 and 10, that minimises the cross-entropy (Guo et al. 2017).

    Args:
        logits: shape (windows, species).
        truth: species of each window, as an index; shape (windows,).
    """
    equal_weights = Weighting(np.ones((1, 1)), np.zeros(len(truth), np.int64))

    def loss(log_temperature: float) -> float:
        return float(log_loss(softmax(logits / np.exp(log_temperature)), truth, equal_weights)[0])

    best = minimize_scalar(loss, bounds=(np.log(0.1), np.log(10.0)), method="bounded", options={"xatol": 1e-4})
    return round(float(np.exp(best.x)), 4)


def calibrated_windows(split: SplitPredictions) -> tuple[Items, Floats]:
    """Return the windows whose confidence is compared with their accuracy, and their weights, both as in `fit_calibration`.

    With softmax outputs these are the windows of exactly one species. With independent outputs, they are all windows of which it is known
    whether they contain the most probable species; windows of recordings without any species have the weights of `window_weights`.
    """
    windows = split.windows
    if not windows.is_independent:
        used = windows.single_species >= 0
        return windows.subset(used), np.ones(int(used.sum()))
    used = windows.known[np.arange(len(windows)), windows.probabilities.argmax(axis=1)]
    return windows.subset(used), windows.weighted(window_weights(split.recordings.negative[windows.recording]))[used]


def reliability_bins(items: Items, weights: Floats) -> tuple[Floats, Floats, Floats]:
    """Sort items into bins of equal width by confidence, the probability of the most probable species.

    Args:
        items: see `calibrated_windows`.
        weights: of the items; shape (items,).

    Returns:
        Mean confidence, accuracy (share of items that contain the most probable species) and total weight of each bin, each of shape
        (`BINS`,); mean and accuracy of an empty bin are NaN.
    """
    confidence = items.probabilities.max(axis=1)
    correct = items.present[np.arange(len(items)), items.probabilities.argmax(axis=1)]
    bin_of_item = np.minimum((confidence * BINS).astype(int), BINS - 1)
    weight = np.bincount(bin_of_item, weights, BINS).astype(np.float64)
    with np.errstate(invalid="ignore"):
        return (
            np.bincount(bin_of_item, weights * confidence, BINS) / weight,
            np.bincount(bin_of_item, weights * correct, BINS) / weight,
            weight,
        )


def expected_calibration_error(items: Items, weights: Floats) -> float:
    """Return the mean difference between confidence and accuracy over the bins, by their weight; arguments as for `reliability_bins`.

    There must be at least one item.
    """
    confidence, accuracy, weight = reliability_bins(items, weights)
    used = weight > 0
    return float(np.sum(np.abs(confidence - accuracy)[used] * weight[used]) / weight.sum())
