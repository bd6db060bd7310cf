"""Metrics under many weightings of groups at once, so that a bootstrap is one matrix product.

All results have shape (rows,), one value a row of weights, or (rows, species) by species; NaN where a metric is not defined.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from autobird.evaluation.bootstrap import Resamples
from autobird.evaluation.predictions import Items

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Labels = NDArray[np.int64]

_CELLS = 1 << 22
"""Cells of one (rows, items) block: 32 MB as float64, so that memory does not grow with rows times items."""


@dataclass(frozen=True)
class Weighting:
    """Weights of items by their group.

    Attributes:
        weights: shape (rows, groups); row 0 of ones gives the estimate itself.
        group: group of each item, as an index; shape (items,).
    """

    weights: Floats
    group: NDArray[np.integer]

    @classmethod
    def of(cls, draws: Resamples, items: Items) -> "Weighting":
        """The weights of some windows or recordings."""
        return cls(draws.weights, draws.group[items.recording])

    def where(self, chosen: Flags) -> "Weighting":
        """Of some of the items."""
        return Weighting(self.weights, self.group[chosen])

    def total(self, values: NDArray[np.generic]) -> Floats:
        """Weighted sum over the items.

        Args:
            values: shape (items,) or (items, species).

        Returns:
            shape (rows,) or (rows, species).
        """
        x = np.asarray(values, np.float64)
        by_group = np.zeros((self.weights.shape[1], *x.shape[1:]))
        np.add.at(by_group, self.group, x)
        return self.weights @ by_group

    def groups(self, flags: Flags) -> int:
        """Number of groups with an item that has a flag; `flags` of shape (items,) or (items, species)."""
        return len(np.unique(self.group[flags if flags.ndim == 1 else flags.any(axis=1)]))


def top_k(probabilities: Floats, truth: Labels, weighting: Weighting, k: int) -> Floats:
    """Share of items whose species is among the k most probable; ties count against the model."""
    own = probabilities[np.arange(len(truth)), truth]
    others = (probabilities >= own[:, None]).sum(axis=1) - 1
    return _ratio(weighting.total(others < k), weighting.total(np.ones(len(truth))))


def log_loss(probabilities: Floats, truth: Labels, weighting: Weighting) -> Floats:
    """Mean cross-entropy, nats."""
    own = np.maximum(probabilities[np.arange(len(truth)), truth], 1e-12)
    return _ratio(weighting.total(-np.log(own)), weighting.total(np.ones(len(truth))))


def f1_by_species(guessed: Flags, present: Flags, weighting: Weighting) -> Floats:
    """F1 by species of what is guessed against what is there; NaN where the species does not occur.

    Args:
        guessed: shape (items, species).
        present: shape (items, species).
        weighting: of the items.
    """
    hits, true, said = (weighting.total(flags) for flags in (guessed & present, present, guessed))
    return np.where(true > 0, _ratio(2 * hits, true + said), np.nan)


def precision_by_species(guessed: Flags, present: Flags, weighting: Weighting) -> Floats:
    """Share of the guesses that are right, by species; NaN where it is never guessed."""
    return _ratio(weighting.total(guessed & present), weighting.total(guessed))


def recall_by_species(guessed: Flags, present: Flags, weighting: Weighting) -> Floats:
    """Share of the items with the species in which it is guessed; NaN where it does not occur."""
    return _ratio(weighting.total(guessed & present), weighting.total(present))


def pooled(guessed: Flags, present: Flags, weighting: Weighting) -> tuple[Floats, Floats, Floats]:
    """Precision, recall and F1 over all species together (micro-averages); each of shape (rows,)."""
    hits, true, said = (weighting.total(flags.sum(axis=1)) for flags in (guessed & present, present, guessed))
    return _ratio(hits, said), _ratio(hits, true), _ratio(2 * hits, true + said)


def average_precision_by_species(probabilities: Floats, present: Flags, weighting: Weighting) -> Floats:
    """Average precision by species (step-wise, equal scores counted together, as scikit-learn does)."""
    return _by_species(_average_precision, probabilities, present, weighting)


def auroc_by_species(probabilities: Floats, present: Flags, weighting: Weighting) -> Floats:
    """Area under the ROC curve of each species, of items with it against those without; equal scores count half."""
    return _by_species(_auroc, probabilities, present, weighting)


def macro(by_species: Floats) -> Floats:
    """Mean over the species for which a metric is defined."""
    defined = ~np.isnan(by_species)
    return _ratio(np.where(defined, by_species, 0.0).sum(axis=1), defined.sum(axis=1))


def most_probable(probabilities: Floats) -> Flags:
    """The most probable species of each item, as flags; shape (items, species)."""
    return np.asarray(np.eye(probabilities.shape[1], dtype=bool)[probabilities.argmax(axis=1)])


@dataclass(frozen=True)
class Metric:
    """A metric under each row of weights.

    Attributes:
        values: shape (rows,).
        groups: number of groups that it is about.
    """

    values: Floats
    groups: int


def macro_f1(items: Items, weighting: Weighting) -> Metric:
    """Macro-F1 of the most probable species, over items of exactly one species."""
    one = items.only >= 0
    guess = most_probable(items.probabilities[one])
    truth = np.eye(guess.shape[1], dtype=bool)[items.only[one]]
    return Metric(macro(f1_by_species(guess, truth, weighting.where(one))), weighting.groups(one))


def detection_macro_f1(items: Items, weighting: Weighting) -> Metric:
    """Macro-F1 of the detections, over items whose species are all known."""
    known = items.complete
    values = f1_by_species(items.detected[known], items.present[known], weighting.where(known))
    return Metric(macro(values), weighting.groups(known))


def all_metrics(items: Items, weighting: Weighting) -> dict[str, Metric]:
    """Every metric of the reports.

    `macro_f1`, `top1`, `top5` and `loss` are about the most probable species, over items of exactly one species;
    `cmap` and `auroc` rank all items whose species are all known, and the `detection_` metrics compare the
    species above their thresholds with those that sing there, over the same items.
    """
    one, known = items.only >= 0, items.complete
    w, v = weighting.where(one), weighting.where(known)
    p, truth = items.probabilities[one], items.only[one]
    q, detected, present = items.probabilities[known], items.detected[known], items.present[known]
    precision, recall, f1 = pooled(detected, present, v)
    singles, all_known = w.groups(np.ones(len(truth), bool)), v.groups(np.ones(len(q), bool))
    return {
        "macro_f1": macro_f1(items, weighting),
        "top1": Metric(top_k(p, truth, w, 1), singles),
        "top5": Metric(top_k(p, truth, w, 5), singles),
        "cmap": Metric(macro(average_precision_by_species(q, present, v)), all_known),
        "auroc": Metric(macro(auroc_by_species(q, present, v)), all_known),
        "loss": Metric(log_loss(p, truth, w), singles),
        "detection_precision": Metric(precision, v.groups(detected)),
        "detection_recall": Metric(recall, v.groups(present)),
        "detection_f1": Metric(f1, v.groups(detected | present)),
        "detection_macro_f1": detection_macro_f1(items, weighting),
    }


def _ratio(above: Floats, below: NDArray[np.floating | np.integer]) -> Floats:
    """A quotient, NaN where the divisor is 0."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(below > 0, above / below, np.nan)


def _by_species(
    metric: Callable[[Floats, Floats, NDArray[np.int64]], Floats],
    probabilities: Floats,
    present: Flags,
    weighting: Weighting,
) -> Floats:
    rows = len(weighting.weights)
    out = np.full((rows, probabilities.shape[1]), np.nan)
    step = max(1, _CELLS // max(1, len(present)))
    for species in np.flatnonzero(present.any(axis=0)):
        scores = probabilities[:, species]
        order = np.argsort(-scores, kind="stable")
        ends = np.flatnonzero(np.append(np.diff(scores[order]) != 0, True))
        positive = present[order, species].astype(np.float64)
        group = weighting.group[order]
        for first in range(0, rows, step):
            out[first : first + step, species] = metric(weighting.weights[first : first + step, group], positive, ends)
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
