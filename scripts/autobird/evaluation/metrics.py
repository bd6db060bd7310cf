"""Metrics of single-label classification under many weightings at once, so that a bootstrap is one matrix product.

Every function takes weights of shape (resamples, n): row 0 of ones gives the estimate itself, the other rows how
often the bootstrap drew each item. All results have shape (resamples,), or (resamples, species) by species; NaN
where a metric is not defined.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Labels = NDArray[np.int64]

_CELLS = 1 << 22
"""Cells of one (resamples, n) block: 32 MB as float64, so that memory does not grow with resamples times items."""


def top_k(probabilities: Floats, truth: Labels, weights: Floats, k: int) -> Floats:
    """Share of items whose species is among the k most probable; ties count against the model."""
    own = probabilities[np.arange(len(truth)), truth]
    others = (probabilities >= own[:, None]).sum(axis=1) - 1
    return weights @ (others < k) / weights.sum(axis=1)


def log_loss(probabilities: Floats, truth: Labels, weights: Floats) -> Floats:
    """Mean cross-entropy, nats."""
    own = np.maximum(probabilities[np.arange(len(truth)), truth], 1e-12)
    return weights @ -np.log(own) / weights.sum(axis=1)


def f1_by_species(probabilities: Floats, truth: Labels, weights: Floats) -> Floats:
    """F1 of the most probable species, by species; NaN where the species does not occur."""
    species = probabilities.shape[1]
    is_true = np.eye(species)[truth]
    is_guess = np.eye(species)[probabilities.argmax(axis=1)]
    hits, true, guessed = weights @ (is_true * is_guess), weights @ is_true, weights @ is_guess
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(true > 0, 2 * hits / (true + guessed), np.nan)


def average_precision_by_species(probabilities: Floats, truth: Labels, weights: Floats) -> Floats:
    """Average precision by species (step-wise, equal scores counted together, as scikit-learn does)."""
    return _by_species(_average_precision, probabilities, truth, weights)


def auroc_by_species(probabilities: Floats, truth: Labels, weights: Floats) -> Floats:
    """Area under the ROC curve of each species against all others; equal scores count half."""
    return _by_species(_auroc, probabilities, truth, weights)


def macro(by_species: Floats) -> Floats:
    """Mean over the species for which a metric is defined."""
    defined = ~np.isnan(by_species)
    with np.errstate(invalid="ignore"):
        mean: Floats = np.where(defined, by_species, 0.0).sum(axis=1) / defined.sum(axis=1)
    return mean


def _by_species(
    metric: Callable[[Floats, Floats, NDArray[np.int64]], Floats],
    probabilities: Floats,
    truth: Labels,
    weights: Floats,
) -> Floats:
    out = np.full((len(weights), probabilities.shape[1]), np.nan)
    step = max(1, _CELLS // max(1, len(truth)))
    for species in range(probabilities.shape[1]):
        scores = probabilities[:, species]
        order = np.argsort(-scores, kind="stable")
        ends = np.flatnonzero(np.append(np.diff(scores[order]) != 0, True))
        positive = (truth[order] == species).astype(np.float64)
        if not positive.any():
            continue
        for first in range(0, len(weights), step):
            out[first : first + step, species] = metric(weights[first : first + step, order], positive, ends)
    return out


def _average_precision(weights: Floats, positive: Floats, ends: NDArray[np.int64]) -> Floats:
    hits = np.cumsum(weights * positive, axis=1)[:, ends]
    drawn = np.cumsum(weights, axis=1)[:, ends]
    gained = np.diff(hits, axis=1, prepend=0.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        precision = np.where(drawn > 0, hits / drawn, 0.0)
        total = hits[:, -1]
        return np.where(total > 0, (precision * gained).sum(axis=1) / total, np.nan)


def _auroc(weights: Floats, positive: Floats, ends: NDArray[np.int64]) -> Floats:
    hits = np.cumsum(weights * positive, axis=1)[:, ends]
    misses = np.cumsum(weights * (1 - positive), axis=1)[:, ends]
    pairs = hits[:, -1] * misses[:, -1]
    gained = np.diff(misses, axis=1, prepend=0.0)
    # Trapezoids: a negative is ranked below all hits before it and ties with those of its own score.
    area = (gained * (hits - np.diff(hits, axis=1, prepend=0.0) / 2)).sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(pairs > 0, area / pairs, np.nan)


def all_metrics(probabilities: Floats, truth: Labels, weights: Floats) -> dict[str, Floats]:
    """Every metric of the reports, each of shape (resamples,)."""
    return {
        "macro_f1": macro(f1_by_species(probabilities, truth, weights)),
        "top1": top_k(probabilities, truth, weights, 1),
        "top5": top_k(probabilities, truth, weights, 5),
        "cmap": macro(average_precision_by_species(probabilities, truth, weights)),
        "auroc": macro(auroc_by_species(probabilities, truth, weights)),
        "loss": log_loss(probabilities, truth, weights),
    }
