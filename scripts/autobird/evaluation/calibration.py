"""Temperature scaling and decision thresholds, fitted on the validation split, and the calibration error."""

from dataclasses import replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

from autobird.evaluation.metrics import Weighting, log_loss
from autobird.evaluation.predictions import Items, predictions_of_split
from autobird.predict.classification import Calibration, Outputs, softmax

Floats = NDArray[np.float64]

BINS = 15
"""Number of bins of the expected calibration error (Guo et al. 2017)."""

FALLBACK_THRESHOLD = 0.5
"""Decision threshold of a species with too few validation windows to select one."""

_MIN_WINDOWS = 5
"""Smallest number of validation windows with the species, and of windows without it, for selecting its threshold."""


def calibrate(
    table: pd.DataFrame, labels: list[str], aggregation: str, outputs: Outputs
) -> tuple[Calibration, list[bool]]:
    """Fit the calibration of a network to its predictions for the validation windows.

    Args:
        table: logits; columns of `PREDICTIONS`.
        labels: species in the order of the logits.
        aggregation: how the probabilities of a recording are computed; see `Calibration`.
        outputs: what the outputs of the network mean.

    Returns:
        The calibration, and for each species whether its threshold was selected (otherwise it is `FALLBACK_THRESHOLD`).
    """
    scaled = fit_calibration(table, labels, aggregation, outputs)
    selected = select_thresholds(predictions_of_split(table, labels, "validation", scaled).windows)
    thresholds = np.array([FALLBACK_THRESHOLD if t is None else t for t in selected])
    return replace(scaled, thresholds=thresholds), [t is not None for t in selected]


def fit_calibration(table: pd.DataFrame, labels: list[str], aggregation: str, outputs: Outputs) -> Calibration:
    """Return the calibration of the probabilities, without thresholds; for the arguments see `calibrate`."""
    uncalibrated = Calibration.none(outputs, len(labels), aggregation)
    rows = table[table["split"] == "validation"]
    windows = predictions_of_split(rows, labels, "validation", uncalibrated).windows
    single = windows.single_species
    if uncalibrated.is_independent or not (single >= 0).any():
        return uncalibrated
    temperature = fit_temperature(np.stack(rows["logits"].to_list())[single >= 0], single[single >= 0])
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


def reliability_bins(items: Items) -> tuple[Floats, Floats, NDArray[np.int64]]:
    """Sort items into bins of equal width by confidence, the probability of the most probable species.

    Args:
        items: items of exactly one species.

    Returns:
        Mean confidence, accuracy and number of items of each bin, each of shape (`BINS`,); mean and accuracy of an empty bin are
        NaN.
    """
    confidence = items.probabilities.max(axis=1)
    correct = items.probabilities.argmax(axis=1) == items.single_species
    bin_of_item = np.minimum((confidence * BINS).astype(int), BINS - 1)
    count = np.bincount(bin_of_item, minlength=BINS)
    with np.errstate(invalid="ignore"):
        return (
            np.bincount(bin_of_item, confidence, BINS) / count,
            np.bincount(bin_of_item, correct, BINS) / count,
            count,
        )


def expected_calibration_error(items: Items) -> float:
    """Return the mean difference between confidence and accuracy over the bins, weighted by the number of items.

    Args:
        items: items of exactly one species, at least one.
    """
    confidence, accuracy, count = reliability_bins(items)
    used = count > 0
    return float(np.sum(np.abs(confidence - accuracy)[used] * count[used]) / count.sum())


def select_thresholds(validation: Items) -> list[float | None]:
    """Return the decision threshold with the highest F1 for each species; None for species with too few windows.

    Args:
        validation: validation windows. Of each species, the known cells are used.
    """
    selected: list[float | None] = []
    for species in range(validation.probabilities.shape[1]):
        known = validation.known[:, species]
        is_present, probabilities = validation.present[known, species], validation.probabilities[known, species]
        if min(is_present.sum(), (~is_present).sum()) < _MIN_WINDOWS:
            selected.append(None)
            continue
        order = np.argsort(-probabilities, kind="stable")
        true_positives = np.cumsum(is_present[order])
        f1 = 2 * true_positives / (np.arange(1, len(true_positives) + 1) + is_present.sum())
        # A threshold cannot separate equal probabilities, so only the last of them is a candidate.
        candidates = np.flatnonzero(np.append(np.diff(probabilities[order]) != 0, True))
        best = int(candidates[np.argmax(f1[candidates])])
        following = probabilities[order[best + 1]] if best + 1 < len(order) else 0.0
        # Halfway to the next probability, so that rounding differences of another machine change no detection.
        selected.append(float((probabilities[order[best]] + following) / 2))
    return selected
