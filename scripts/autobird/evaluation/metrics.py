"""Metrics of windows or recordings under many weightings of groups at once, so that a bootstrap is one matrix product.

All results have shape (rows,), one value for each row of weights, or (rows, species). A value is NaN where the metric is not
defined.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from autobird.evaluation.bootstrap import Resamples
from autobird.evaluation.predictions import Items

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Labels = NDArray[np.int64]

_MAX_CELLS = 1 << 22
"""Largest size of a (rows, items) array: 32 MB as float64, so that memory does not grow with rows times items."""


@dataclass(frozen=True)
class Weighting:
    """Weights of items, given by the group of each item.

    Attributes:
        weights: weights of the groups, shape (rows, groups); a row of ones gives the estimate itself.
        group: group of each item, as an index; shape (items,).
    """

    weights: Floats
    group: NDArray[np.integer]

    @classmethod
    def of(cls, resamples: Resamples, items: Items) -> "Weighting":
        """Return the weights of windows or recordings under all rows of `resamples`."""
        return cls(resamples.weights, resamples.group_of_recording[items.recording])

    def subset(self, mask: Flags) -> "Weighting":
        """Return the weights of the items where `mask`, of shape (items,), is true."""
        return Weighting(self.weights, self.group[mask])

    def weighted_sum(self, values: NDArray[np.generic]) -> Floats:
        """Return the weighted sum over the items.

        Args:
            values: shape (items,) or (items, species).

        Returns:
            Shape (rows,) or (rows, species).
        """
        x = np.asarray(values, np.float64)
        group_sums = np.zeros((self.weights.shape[1], *x.shape[1:]))
        np.add.at(group_sums, self.group, x)
        return self.weights @ group_sums

    def count_groups(self, mask: Flags) -> int:
        """Return the number of groups with an item where `mask` is true; shape (items,) or (items, species)."""
        return len(np.unique(self.group[mask if mask.ndim == 1 else mask.any(axis=1)]))


def ratio(numerator: Floats, denominator: NDArray[np.floating | np.integer]) -> Floats:
    """Return the quotient; NaN where the denominator is 0."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(denominator > 0, numerator / denominator, np.nan)


def top_k_accuracy(probabilities: Floats, truth: Labels, weighting: Weighting, k: int) -> Floats:
    """Return the share of items whose species is among the k most probable ones.

    If another species has the same probability as the true one, it counts as more probable.

    Args:
        probabilities: shape (items, species).
        truth: species of each item, as an index; shape (items,).
        weighting: weights of the items.
        k: number of species.
    """
    true_probability = probabilities[np.arange(len(truth)), truth]
    not_below = (probabilities >= true_probability[:, None]).sum(axis=1) - 1
    return ratio(weighting.weighted_sum(not_below < k), weighting.weighted_sum(np.ones(len(truth))))


def log_loss(probabilities: Floats, truth: Labels, weighting: Weighting) -> Floats:
    """Return the mean cross-entropy in nats; for the arguments see `top_k_accuracy`."""
    true_probability = np.maximum(probabilities[np.arange(len(truth)), truth], 1e-12)
    return ratio(weighting.weighted_sum(-np.log(true_probability)), weighting.weighted_sum(np.ones(len(truth))))


def binary_loss(probabilities: Floats, present: Flags, known: Flags, weighting: Weighting) -> Floats:
    """Return the mean binary cross-entropy per known cell in nats.

    Args:
        probabilities: shape (items, species).
        present: species of each item, shape (items, species).
        known: cells that count, shape (items, species).
        weighting: weights of the items.
    """
    right = np.maximum(np.where(present, probabilities, 1 - probabilities), 1e-12)
    return ratio(
        weighting.weighted_sum(np.where(known, -np.log(right), 0.0).sum(axis=1)),
        weighting.weighted_sum(known.sum(axis=1)),
    )


def f1_by_species(predicted: Flags, present: Flags, weighting: Weighting) -> Floats:
    """Return the F1 of each species; NaN if it is not present in any item.

    Args:
        predicted: species predicted for each item, without the cells that are not known, shape (items, species).
        present: species of each item, shape (items, species).
        weighting: weights of the items.
    """
    true_positives, positives, predictions = (
        weighting.weighted_sum(flags) for flags in (predicted & present, present, predicted)
    )
    return np.where(positives > 0, ratio(2 * true_positives, positives + predictions), np.nan)


def precision_by_species(predicted: Flags, present: Flags, weighting: Weighting) -> Floats:
    """Return the precision of each species; NaN if it is not predicted for any item. Arguments as for `f1_by_species`."""
    return ratio(weighting.weighted_sum(predicted & present), weighting.weighted_sum(predicted))


def recall_by_species(predicted: Flags, present: Flags, weighting: Weighting) -> Floats:
    """Return the recall of each species; NaN if it is not present in any item. Arguments as for `f1_by_species`."""
    return ratio(weighting.weighted_sum(predicted & present), weighting.weighted_sum(present))


def micro_average(predicted: Flags, present: Flags, weighting: Weighting) -> tuple[Floats, Floats, Floats]:
    """Return precision, recall and F1 over all species pooled, each of shape (rows,). Arguments as for `f1_by_species`."""
    true_positives, positives, predictions = (
        weighting.weighted_sum(flags.sum(axis=1)) for flags in (predicted & present, present, predicted)
    )
    return (
        ratio(true_positives, predictions),
        ratio(true_positives, positives),
        ratio(2 * true_positives, positives + predictions),
    )


def average_precision_by_species(probabilities: Floats, present: Flags, known: Flags, weighting: Weighting) -> Floats:
    """Return the average precision of each species, computed like scikit-learn's; equal probabilities share one threshold.

    Args:
        probabilities: shape (items, species).
        present: species of each item, shape (items, species).
        known: cells that count, shape (items, species).
        weighting: weights of the items.
    """
    return _ranking_metrics([_average_precision], probabilities, present, known, weighting)[0]


def auroc_by_species(probabilities: Floats, present: Flags, known: Flags, weighting: Weighting) -> Floats:
    """Return the area under the ROC curve of each species; for the arguments see `average_precision_by_species`."""
    return _ranking_metrics([_auroc], probabilities, present, known, weighting)[0]


def ranking_by_species(
    probabilities: Floats, present: Flags, known: Flags, weighting: Weighting
) -> tuple[Floats, Floats]:
    """Return average precision and AUROC of each species, in half the time of both functions; for the arguments see there."""
    both = _ranking_metrics([_average_precision, _auroc], probabilities, present, known, weighting)
    return both[0], both[1]


def macro_average(by_species: Floats) -> Floats:
    """Return the mean over the species for which a metric is defined."""
    defined = ~np.isnan(by_species)
    return ratio(np.where(defined, by_species, 0.0).sum(axis=1), defined.sum(axis=1))


def most_probable(items: Items) -> Labels:
    """Return the most probable species of each item, as an index, without those that may be present; shape (items,).

    If one species alone is known to be present (`Items.only_species`) and others have the same probability, the first of the others is
    taken: a network that cannot tell two species from each other is not right in half of their recordings by the order of their names.
    """
    probabilities, species = items.known_probabilities, items.only_species
    rows = np.flatnonzero(species >= 0)
    own = np.full(len(species), -np.inf)
    own[rows] = probabilities[rows, species[rows]]
    probabilities[rows, species[rows]] = -np.inf  # a new array
    return np.where(own > probabilities.max(axis=1), species, probabilities.argmax(axis=1)).astype(np.int64)


@dataclass(frozen=True)
class Metric:
    """A metric under each row of weights.

    Attributes:
        values: shape (rows,).
        groups: number of groups with an item that enters the metric; of a mean over the species that other items enter, too, those with a
            species: items without any would make the interval of a perfect score narrow, however few hold a species.
    """

    values: Floats
    groups: int


def macro_f1(items: Items, weighting: Weighting) -> Metric:
    """Return the macro-F1 of the most probable species, over the items of which one species alone is known to be present."""
    predicted, truth, single = predicted_and_true(items)
    f1 = f1_by_species(predicted, truth, weighting.subset(single))
    return Metric(macro_average(f1), weighting.count_groups(single))


def predicted_and_true(items: Items) -> tuple[Flags, Flags, Flags]:
    """Return the most probable and the true species of the items of which one species alone is known to be present.

    A species that may be present in an item is not counted there: it is neither right nor wrong to name it, so the most probable of
    the other species is taken.

    Returns:
        Both as flags, shape (such items, species), and which of the items they are, shape (items,).
    """
    species = items.only_species
    single, flags = species >= 0, np.eye(items.probabilities.shape[1], dtype=bool)
    return (
        flags[most_probable(items)[single]],
        flags[species[single]],
        single,
    )


def detection_macro_f1(items: Items, weighting: Weighting) -> Metric:
    """Return the macro-F1 of the detections, over the known cells."""
    f1 = f1_by_species(items.detected & items.known, items.present, weighting)
    return Metric(macro_average(f1), weighting.count_groups(items.present))


def top_k(items: Items, weighting: Weighting, k: int) -> Metric:
    """Return the share of the items of which one species alone is known to be present, whose species is among the k most probable ones."""
    single = items.only_species >= 0
    weights = weighting.subset(single)
    accuracy = top_k_accuracy(items.known_probabilities[single], items.only_species[single], weights, k)
    return Metric(accuracy, weighting.count_groups(single))


def detection_precision(items: Items, weighting: Weighting) -> Metric:
    """Return the precision of the detections, all species pooled."""
    detected = items.detected & items.known
    return Metric(micro_average(detected, items.present, weighting)[0], weighting.count_groups(detected))


def detection_recall(items: Items, weighting: Weighting) -> Metric:
    """Return the recall of the detections, all species pooled."""
    recall = micro_average(items.detected & items.known, items.present, weighting)[1]
    return Metric(recall, weighting.count_groups(items.present))


def loss(items: Items, weighting: Weighting) -> Metric:
    """Return the cross-entropy of the items of exactly one species, without uncertain ones; with independent outputs, the mean one of the
    known cells.
    """
    if items.is_independent:
        values = binary_loss(items.probabilities, items.present, items.known, weighting)
        return Metric(values, weighting.count_groups(items.known))
    single = items.single_species >= 0
    values = log_loss(items.probabilities[single], items.single_species[single], weighting.subset(single))
    return Metric(values, weighting.count_groups(single))


def all_metrics(items: Items, weighting: Weighting) -> dict[str, Metric]:
    """Return all metrics that are reported, by name.

    `macro_f1`, `top1` and `top5` evaluate how the species of an item are ranked, in items of which one species alone is known to be
    present; a species that may be present is left out of the ranking. `loss` uses those without any such species. `cmap` and `auroc`
    evaluate how the items are ranked by the probability of each species; the `detection_` metrics compare the detected
    species with those that are present. Both use, for each species, the items of which it is known whether they contain it.
    With independent outputs, `loss` is the mean binary cross-entropy of these cells. Of a single species, which is always the most
    probable one, `macro_f1`, `top1` and `top5` are not defined.
    """
    probabilities, present, known = items.probabilities, items.present, items.known
    detected = items.detected & known
    f1 = micro_average(detected, present, weighting)[2]
    average_precision, auroc = ranking_by_species(probabilities, present, known, weighting)
    with_species = weighting.count_groups(present)
    metrics = {
        "macro_f1": macro_f1(items, weighting),
        "top1": top_k(items, weighting, 1),
        "top5": top_k(items, weighting, 5),
        "cmap": Metric(macro_average(average_precision), with_species),
        "auroc": Metric(macro_average(auroc), with_species),
        "loss": loss(items, weighting),
        "detection_precision": detection_precision(items, weighting),
        "detection_recall": detection_recall(items, weighting),
        "detection_f1": Metric(f1, weighting.count_groups(detected | present)),
        "detection_macro_f1": detection_macro_f1(items, weighting),
    }
    if probabilities.shape[1] < 2:
        undefined = Metric(np.full(len(weighting.weights), np.nan), 0)
        metrics |= dict.fromkeys(("macro_f1", "top1", "top5"), undefined)
    return metrics


def _ranking_metrics(
    metrics: Sequence[Callable[[Floats, Floats, Floats, Floats], Floats]],
    probabilities: Floats,
    present: Flags,
    known: Flags,
    weighting: Weighting,
) -> Floats:
    """Return metrics of the ranking of the items by the probability of each species; shape (metrics, rows, species).

    Only runs of equal probabilities that hold an item with the species change such a metric. The weights of all items are therefore
    summed over these runs and over the gaps between them, which are few, before anything else is computed.

    Args:
        metrics: each computes a metric of one species from arrays of shape (rows, runs), of the runs that hold an item with the
            species, most probable first: weight of the items with the species in the run, weight of all items in the run, and weight
            of all items above it. A fourth argument, shape (rows,), is the weight of all items.
        probabilities: shape (items, species).
        present: species of each item, shape (items, species).
        known: cells that count, shape (items, species).
        weighting: weights of the items.
    """
    rows = len(weighting.weights)
    out = np.full((len(metrics), rows, probabilities.shape[1]), np.nan)
    step = max(1, _MAX_CELLS // max(1, len(present)))
    for species in np.flatnonzero(present.any(axis=0)):
        used = np.flatnonzero(known[:, species])
        order = used[np.argsort(-probabilities[used, species], kind="stable")]
        run = np.cumsum(np.append(0, np.diff(probabilities[order, species]) != 0))[: len(order)]
        positives = np.flatnonzero(present[order, species])
        if not len(positives):
            continue
        runs, first_positive = np.unique(run[positives], return_index=True)
        starts, ends = np.searchsorted(run, runs), np.searchsorted(run, runs, side="right")
        # Sums over [start, end) of each run and over the gap after it; a dummy item at the end closes the last gap.
        borders = np.stack([starts, ends], axis=1).ravel()
        empty_gap = np.append(starts[1:] == ends[:-1], False)
        group = np.append(weighting.group[order], 0)
        for first in range(0, rows, step):
            weights = weighting.weights[first : first + step]
            items = weights[:, group]
            items[:, -1] = 0
            in_parts = np.add.reduceat(items, borders, axis=1)
            in_parts[:, 1::2][:, empty_gap] = 0  # reduceat gives the next item for an empty gap
            in_runs, in_gaps = in_parts[:, ::2], in_parts[:, 1::2]
            before = items[:, : starts[0]].sum(axis=1)
            total = before + in_parts.sum(axis=1)
            above = np.cumsum(np.concatenate([before[:, None], (in_runs + in_gaps)[:, :-1]], axis=1), axis=1)
            with_species = np.add.reduceat(weights[:, weighting.group[order[positives]]], first_positive, axis=1)
            for n, metric in enumerate(metrics):
                out[n, first : first + step, species] = metric(with_species, in_runs, above, total)
    return out


def _average_precision(with_species: Floats, in_run: Floats, above: Floats, total: Floats) -> Floats:  # noqa: ARG001
    """Return the average precision; for the arguments see `_ranking_metrics`."""
    true_positives = np.cumsum(with_species, axis=1)
    precision = np.nan_to_num(ratio(true_positives, above + in_run))
    return ratio((precision * with_species).sum(axis=1), true_positives[:, -1])


def _auroc(with_species: Floats, in_run: Floats, above: Floats, total: Floats) -> Floats:
    """Return the area under the ROC curve by the trapezoidal rule; for the arguments see `_ranking_metrics`."""
    true_positives = np.cumsum(with_species, axis=1)
    negatives = in_run - with_species
    negatives_above = above - (true_positives - with_species)
    all_negatives = total - true_positives[:, -1]
    # A negative item counts half against positive items of the same probability.
    below = all_negatives[:, None] - negatives_above - negatives / 2
    return ratio((with_species * below).sum(axis=1), true_positives[:, -1] * all_negatives)
