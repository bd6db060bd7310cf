"""Metrics under many weightings at once, so that a bootstrap is one matrix product.

Every function takes weights of shape (resamples, n): row 0 of ones gives the estimate itself, the other rows the weight
of each item in a resample. All results have shape (resamples,), or (resamples, species) by species; NaN where a
metric is not defined.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from autobird.evaluation.predictions import Items

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Labels = NDArray[np.int64]

_CELLS = 1 << 22
"""Cells of one (resamples, n) block: 32 MB as float64, so that memory does not grow with resamples times items."""


def top_k(probabilities: Floats, truth: Labels, weights: Floats, k: int) -> Floats:
    """Share of items whose species is among the k most probable; ties count against the model."""
    own = probabilities[np.arange(len(truth)), truth]
    others = (probabilities >= own[:, None]).sum(axis=1) - 1
    return _ratio(weights @ (others < k), weights.sum(axis=1))


def log_loss(probabilities: Floats, truth: Labels, weights: Floats) -> Floats:
    """Mean cross-entropy, nats."""
    own = np.maximum(probabilities[np.arange(len(truth)), truth], 1e-12)
    return _ratio(weights @ -np.log(own), weights.sum(axis=1))


def f1_by_species(guessed: Flags, present: Flags, weights: Floats) -> Floats:
    """F1 by species of what is guessed against what is there; NaN where the species does not occur.

    Args:
        guessed: shape (n, species).
        present: shape (n, species).
        weights: shape (resamples, n).
    """
    hits, true, said = weights @ (guessed & present), weights @ present, weights @ guessed
    return np.where(true > 0, _ratio(2 * hits, true + said), np.nan)


def precision_by_species(guessed: Flags, present: Flags, weights: Floats) -> Floats:
    """Share of the guesses that are right, by species; NaN where it is never guessed."""
    return _ratio(weights @ (guessed & present), weights @ guessed)


def recall_by_species(guessed: Flags, present: Flags, weights: Floats) -> Floats:
    """Share of the items with the species in which it is guessed; NaN where it does not occur."""
    return _ratio(weights @ (guessed & present), weights @ present)


def pooled(guessed: Flags, present: Flags, weights: Floats) -> tuple[Floats, Floats, Floats]:
    """Precision, recall and F1 over all species together (micro-averages); each of shape (resamples,)."""
    hits, true, said = (weights @ flags.sum(axis=1) for flags in (guessed & present, present, guessed))
    return _ratio(hits, said), _ratio(hits, true), _ratio(2 * hits, true + said)


def average_precision_by_species(probabilities: Floats, present: Flags, weights: Floats) -> Floats:
    """Average precision by species (step-wise, equal scores counted together, as scikit-learn does)."""
    return _by_species(_average_precision, probabilities, present, weights)


def auroc_by_species(probabilities: Floats, present: Flags, weights: Floats) -> Floats:
    """Area under the ROC curve of each species, of items with it against those without; equal scores count half."""
    return _by_species(_auroc, probabilities, present, weights)


def macro(by_species: Floats) -> Floats:
    """Mean over the species for which a metric is defined."""
    defined = ~np.isnan(by_species)
    return _ratio(np.where(defined, by_species, 0.0).sum(axis=1), defined.sum(axis=1))


def most_probable(probabilities: Floats) -> Flags:
    """The most probable species of each item, as flags; shape (n, species)."""
    return np.asarray(np.eye(probabilities.shape[1], dtype=bool)[probabilities.argmax(axis=1)])


def all_metrics(items: Items, weights: Floats) -> dict[str, Floats]:
    """Every metric of the reports, each of shape (resamples,).

    `macro_f1`, `top1`, `top5` and `loss` are about the most probable species, over items of exactly one species;
    `cmap` and `auroc` rank all items whose species are completely known, and the `detection_` metrics compare the
    species above their thresholds with those that sing there, over the same items.

    Args:
        items: windows or recordings.
        weights: of the items; shape (resamples, items).
    """
    one = items.only >= 0
    single, w = items.where(one), weights[:, one]
    p, truth = single.probabilities, single.only
    known, v = items.where(items.complete), weights[:, items.complete]
    precision, recall, f1 = pooled(known.detected, known.present, v)
    return {
        "macro_f1": macro(f1_by_species(most_probable(p), np.eye(p.shape[1], dtype=bool)[truth], w)),
        "top1": top_k(p, truth, w, 1),
        "top5": top_k(p, truth, w, 5),
        "cmap": macro(average_precision_by_species(known.probabilities, known.present, v)),
        "auroc": macro(auroc_by_species(known.probabilities, known.present, v)),
        "loss": log_loss(p, truth, w),
        "detection_precision": precision,
        "detection_recall": recall,
        "detection_f1": f1,
        "detection_macro_f1": macro(f1_by_species(known.detected, known.present, v)),
    }


def _ratio(above: Floats, below: NDArray[np.floating | np.integer]) -> Floats:
    """A quotient, NaN where the divisor is 0."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(below > 0, above / below, np.nan)


def _by_species(
    metric: Callable[[Floats, Floats, NDArray[np.int64]], Floats],
    probabilities: Floats,
    present: Flags,
    weights: Floats,
) -> Floats:
    out = np.full((len(weights), probabilities.shape[1]), np.nan)
    step = max(1, _CELLS // max(1, len(present)))
    for species in range(probabilities.shape[1]):
        scores = probabilities[:, species]
        order = np.argsort(-scores, kind="stable")
        ends = np.flatnonzero(np.append(np.diff(scores[order]) != 0, True))
        positive = present[order, species].astype(np.float64)
        if not positive.any():
            continue
        for first in range(0, len(weights), step):
            out[first : first + step, species] = metric(weights[first : first + step, order], positive, ends)
    return out


def _average_precision(weights: Floats, positive: Floats, ends: NDArray[np.int64]) -> Floats:
    hits = np.cumsum(weights * positive, axis=1)[:, ends]
    drawn = np.cumsum(weights, axis=1)[:, ends]
    gained = np.diff(hits, axis=1, prepend=0.0)
    precision = np.nan_to_num(_ratio(hits, drawn))
    return _ratio((precision * gained).sum(axis=1), hits[:, -1])


def _auroc(weights: Floats, positive: Floats, ends: NDArray[np.int64]) -> Floats:
    hits = np.cumsum(weights * positive, axis=1)[:, ends]
    misses = np.cumsum(weights * (1 - positive), axis=1)[:, ends]
    gained = np.diff(misses, axis=1, prepend=0.0)
    # Trapezoids: a negative is ranked below all hits before it and ties with those of its own score.
    area = (gained * (hits - np.diff(hits, axis=1, prepend=0.0) / 2)).sum(axis=1)
    return _ratio(area, hits[:, -1] * misses[:, -1])
