"""How far probabilities can be believed: a temperature and thresholds, chosen on validation."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

from autobird.evaluation.metrics import Weighting, log_loss
from autobird.evaluation.predictions import Items, split_of
from autobird.predict.classification import Calibration, softmax

Floats = NDArray[np.float64]

BINS = 15
"""Bins of the expected calibration error (Guo et al. 2017)."""

FALLBACK = 0.5
"""Threshold of a species with too few validation windows to choose one."""

_ENOUGH = 5
"""Validation windows of a species, and of others, from which a threshold is worth choosing."""


def calibrate(table: pd.DataFrame, labels: list[str], aggregation: str) -> tuple[Calibration, list[bool]]:
    """The calibration of a network, chosen on the validation windows of its predictions.

    Args:
        table: columns of `PREDICTIONS`.
        labels: species in the order of the logits.
        aggregation: how windows become a recording.

    Returns:
        the calibration, and of which species there was enough to choose a threshold.
    """
    none = Calibration(1.0, np.full(len(labels), np.inf), aggregation)
    windows = split_of(table, labels, "validation", none).windows
    one = windows.only >= 0
    logits = np.log(np.maximum(windows.probabilities[one], 1e-300))  # less a constant of each window
    temperature = fit_temperature(logits, windows.only[one]) if one.any() else none.temperature
    calibrated = Calibration(temperature, none.thresholds, aggregation)
    found = thresholds(split_of(table, labels, "validation", calibrated).windows)
    values = np.array([FALLBACK if t is None else t for t in found])
    return Calibration(temperature, values, aggregation), [t is not None for t in found]


def fit_temperature(logits: NDArray[np.floating], truth: NDArray[np.int64]) -> float:
    """The divisor of the logits with the lowest cross-entropy, between 0.1 and 10 (Guo et al. 2017)."""
    everything = Weighting(np.ones((1, 1)), np.zeros(len(truth), np.int64))

    def loss(log_temperature: float) -> float:
        return float(log_loss(softmax(logits / np.exp(log_temperature)), truth, everything)[0])

    best = minimize_scalar(loss, bounds=(np.log(0.1), np.log(10.0)), method="bounded", options={"xatol": 1e-4})
    return round(float(np.exp(best.x)), 4)


def reliability(items: Items) -> tuple[Floats, Floats, NDArray[np.int64]]:
    """Mean confidence, accuracy and count in `BINS` equal bins of confidence; NaN in empty bins.

    Args:
        items: each of exactly one species.
    """
    confidence = items.probabilities.max(axis=1)
    hit = items.probabilities.argmax(axis=1) == items.only
    which = np.minimum((confidence * BINS).astype(int), BINS - 1)
    count = np.bincount(which, minlength=BINS)
    with np.errstate(invalid="ignore"):
        return np.bincount(which, confidence, BINS) / count, np.bincount(which, hit, BINS) / count, count


def expected_calibration_error(items: Items) -> float:
    """Mean gap between confidence and accuracy over the bins, weighted by their counts."""
    confidence, accuracy, count = reliability(items)
    used = count > 0
    return float(np.sum(np.abs(confidence - accuracy)[used] * count[used]) / count.sum())


def thresholds(validation: Items) -> list[float | None]:
    """For each species the probability with the best F1 on validation windows; None where they are too few."""
    windows = validation.where(validation.complete)
    out: list[float | None] = []
    for species in range(windows.probabilities.shape[1]):
        is_true = windows.present[:, species]
        if min(is_true.sum(), (~is_true).sum()) < _ENOUGH:
            out.append(None)
            continue
        scores = windows.probabilities[:, species]
        order = np.argsort(-scores, kind="stable")
        hits = np.cumsum(is_true[order])
        f1 = 2 * hits / (np.arange(1, len(hits) + 1) + is_true.sum())
        # A threshold can only lie between two different scores.
        ends = np.flatnonzero(np.append(np.diff(scores[order]) != 0, True))
        best = int(ends[np.argmax(f1[ends])])
        following = scores[order[best + 1]] if best + 1 < len(order) else 0.0
        # Halfway to the next score, so that float noise on another machine changes nothing.
        out.append(float((scores[order[best]] + following) / 2))
    return out
