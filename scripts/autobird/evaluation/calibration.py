"""How far probabilities can be believed: a temperature and thresholds, chosen on validation."""

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

from autobird.evaluation.metrics import log_loss
from autobird.evaluation.predictions import Predictions, softmax

Floats = NDArray[np.float64]

BINS = 15
"""Bins of the expected calibration error (Guo et al. 2017)."""

_ENOUGH = 5
"""Validation windows of a species, and of others, from which a threshold is worth choosing."""


def fit_temperature(probabilities: Floats, truth: NDArray[np.int64]) -> float:
    """The divisor of the logits with the lowest cross-entropy, between 0.1 and 10 (Guo et al. 2017)."""
    logits = np.log(np.maximum(probabilities, 1e-30))
    ones = np.ones((1, len(truth)))

    def loss(log_temperature: float) -> float:
        return float(log_loss(softmax(logits / np.exp(log_temperature)), truth, ones)[0])

    best = minimize_scalar(loss, bounds=(np.log(0.1), np.log(10.0)), method="bounded", options={"xatol": 1e-4})
    return round(float(np.exp(best.x)), 4)


def reliability(predictions: Predictions) -> tuple[Floats, Floats, NDArray[np.int64]]:
    """Mean confidence, accuracy and count in `BINS` equal bins of confidence; NaN in empty bins."""
    confidence = predictions.probabilities.max(axis=1)
    hit = predictions.probabilities.argmax(axis=1) == predictions.truth
    which = np.minimum((confidence * BINS).astype(int), BINS - 1)
    count = np.bincount(which, minlength=BINS)
    with np.errstate(invalid="ignore"):
        return np.bincount(which, confidence, BINS) / count, np.bincount(which, hit, BINS) / count, count


def expected_calibration_error(predictions: Predictions) -> float:
    """Mean gap between confidence and accuracy over the bins, weighted by their counts."""
    confidence, accuracy, count = reliability(predictions)
    used = count > 0
    return float(np.sum(np.abs(confidence - accuracy)[used] * count[used]) / count.sum())


def thresholds(validation: Predictions) -> list[float | None]:
    """For each species the probability with the best F1 on validation windows; None where they are too few."""
    out: list[float | None] = []
    for species in range(validation.probabilities.shape[1]):
        is_true = validation.truth == species
        if min(is_true.sum(), (~is_true).sum()) < _ENOUGH:
            out.append(None)
            continue
        scores = validation.probabilities[:, species]
        order = np.argsort(-scores, kind="stable")
        hits = np.cumsum(is_true[order])
        f1 = 2 * hits / (np.arange(1, len(hits) + 1) + is_true.sum())
        best = int(np.argmax(f1))
        following = scores[order[min(best + 1, len(order) - 1)]]
        # Halfway to the next score, so that rounding elsewhere changes nothing.
        out.append(round(float((scores[order[best]] + following) / 2), 6))
    return out
