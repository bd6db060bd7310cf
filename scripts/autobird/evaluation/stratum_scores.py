"""Scores of strata of test items, and their differences from the other strata within the same species."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from autobird.core import quantiles
from autobird.evaluation.bootstrap import Interval, Resamples
from autobird.evaluation.interval_json import IntervalJson, metric_interval
from autobird.evaluation.metrics import Metric, Weighting, detection_precision, detection_recall, ratio, top_k
from autobird.evaluation.predictions import Items
from autobird.evaluation.settings import IntervalSettings

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

MIN_GROUPS = 5
"""Fewest groups with a species in a stratum, and outside it, for scores and a comparison. With fewer, intervals cover almost every value
and the bootstrap underestimates the variance."""


@dataclass(frozen=True)
class Difference:
    """Recall of the detections in a stratum minus that in the other known strata, within the same species.

    Attributes:
        interval: estimate and bounds, not corrected for multiple comparisons.
        p: two-sided p-value, not corrected.
    """

    interval: Interval
    p: float


@dataclass(frozen=True)
class StratumScores:
    """Scores of the items of a stratum; None if they are not defined or the groups are too few.

    Attributes:
        items: number of items.
        groups: number of groups with such an item.
        groups_with_species: number of groups in which one of the model's species is present.
        recall: of the detections: share of the present species that are detected.
        precision: of the detections.
        top1: share of the items of one species of which the most probable species is the right one.
        difference: of the recall; None if it cannot be compared.
    """

    items: int
    groups: int
    groups_with_species: int
    recall: IntervalJson
    precision: IntervalJson
    top1: IntervalJson
    difference: Difference | None


def stratum_scores(
    items: Items, inside: Flags, others: Flags, resamples: Resamples, settings: IntervalSettings
) -> StratumScores:
    """Return the scores of a stratum, with the intervals of `metric_interval` as in metrics.json.

    Args:
        items: all test recordings or all test windows.
        inside: items of the stratum; shape (items,).
        others: items that it is compared with; none if it is not compared; shape (items,).
        resamples: resamples of the groups.
        settings: confidence level.
    """
    part, weighting = items.subset(inside), Weighting.of(resamples, items).subset(inside)
    groups, with_species = len(np.unique(weighting.group)), weighting.count_groups(part.present)
    if with_species < MIN_GROUPS:
        return StratumScores(len(part), groups, with_species, None, None, None, None)

    def interval(name: str, metric: Metric) -> IntervalJson:
        return metric_interval(name, metric, resamples, settings.confidence)

    # Of a single species, which is always the most probable one, top-1 is not defined.
    is_ranked = items.probabilities.shape[1] > 1
    return StratumScores(
        len(part),
        groups,
        with_species,
        interval("detection_recall", detection_recall(part, weighting)),
        interval("detection_precision", detection_precision(part, weighting)),
        interval("top1", top_k(part, weighting, 1)) if is_ranked else None,
        recall_difference(items, inside, others, resamples, settings),
    )


def recall_difference(
    items: Items, inside: Flags, others: Flags, resamples: Resamples, settings: IntervalSettings
) -> Difference | None:
    """Return the recall of the detections of some items minus that of others, within the same species.

    Strata contain different species, and some species are easier than others. The difference is therefore the mean of the species'
    differences with the weights of Mantel and Haenszel (for proportions: Greenland and Robins 1985); a species that only one
    side contains does not count. Both sides are evaluated under the same resamples of groups, so a session with recordings on both
    sides is taken into account as such.

    The variance of the bootstrap is too small for few groups, and 0 if all of their recordings are right. It is therefore at least
    that of two independent proportions of as many trials as there are groups on each side, with one success and one failure
    added to each (Agresti and Caffo 2000). The degrees of freedom are those of the side with fewer groups.

    Args:
        items: all test items.
        inside: the items of the stratum; shape (items,).
        others: the items that they are compared with; shape (items,).
        resamples: resamples of the groups.
        settings: confidence level.

    Returns:
        None if one side has fewer than `MIN_GROUPS` groups with a species that the other side contains, too.
    """
    weighting = Weighting.of(resamples, items)
    common = items.present[inside].any(axis=0) & items.present[others].any(axis=0)
    if not common.any():
        return None
    sides = []
    for side in (inside, others):
        present, hit = items.present[side][:, common], (items.detected & items.present)[side][:, common]
        weights = weighting.subset(side)
        sides.append((weights.weighted_sum(present), weights.weighted_sum(hit), weights.count_groups(present)))
    (n1, found1, groups1), (n0, found0, groups0) = sides
    if min(groups1, groups0) < MIN_GROUPS:
        return None
    both = n1 + n0
    safe = np.where(both > 0, both, 1)
    difference = ratio(((found1 * n0 - found0 * n1) / safe).sum(axis=1), (n1 * n0 / safe).sum(axis=1))
    bootstrap = difference[1 : 1 + resamples.bootstrap_rows]
    bootstrap = bootstrap[~np.isnan(bootstrap)]
    if len(bootstrap) < 2:
        return None
    floor = 0.0
    for n, found, groups in sides:
        share = (found[0].sum() / n[0].sum() * groups + 1) / (groups + 2)
        floor += share * (1 - share) / (groups + 2)
    error = float(np.sqrt(max(float(bootstrap.var(ddof=1)), floor)))
    freedom = min(groups1, groups0) - 1
    value = float(difference[0])
    half_width = quantiles.student((1 + settings.confidence) / 2, freedom) * error
    p = 2 * quantiles.student_tail(abs(value) / error, freedom)
    return Difference((value, max(-1.0, value - half_width), min(1.0, value + half_width)), p)


def holm(p_values: list[float]) -> list[float]:
    """Return p-values that are corrected for multiple comparisons (Holm 1979), in their order."""
    adjusted = np.zeros(len(p_values))
    largest = 0.0
    for rank, n in enumerate(np.argsort(p_values, kind="stable")):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[n]))
        adjusted[n] = largest
    return adjusted.tolist()
