"""How well sound of species that the model does not know is told from sound of species that it knows."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from autobird.dataset.label_sets import LabelSets
from autobird.evaluation.bootstrap import Interval, bounded_interval, resample_groups
from autobird.evaluation.metrics import Weighting, auroc_by_species
from autobird.evaluation.predictions import OTHERS_SPLITS, predictions_of_split
from autobird.evaluation.settings import IntervalSettings
from autobird.predict.classification import Calibration
from autobird.predict.unknown import MEASURES, UnknownScore

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Ints = NDArray[np.int64]

RECALL = 0.95
"""Share of the windows of unknown species that a threshold finds, at which the share of false alarms is measured."""

_MAX_LEFT_OUT = 4000
"""Most windows that are used if species are left out; of more, every second, third, ... is."""

_MIN_WINDOWS = 20
"""Fewest windows of unknown species from which the measure is chosen; with fewer, species are left out instead."""


@dataclass(frozen=True)
class WindowLogits:
    """Logits of windows.

    Attributes:
        logits: shape (windows, species).
        group: group of each window, any values; shape (windows,).
    """

    logits: Floats
    group: NDArray[Any]


def windows_of(table: pd.DataFrame, labels: list[str], split: str) -> dict[str, WindowLogits]:
    """Return the windows of a split by what they hold: `known` species, `unknown` species, or `none` (negative recordings).

    Windows of which that is not known are left out.

    Args:
        table: logits; columns of `PREDICTIONS`.
        labels: species in the order of the logits.
        split: `validation` or `test`.
    """
    rows = table[table["split"] == split]
    found = predictions_of_split(rows, labels, split, Calibration.none("softmax", len(labels), "mean"))
    known = found.windows.present.any(axis=1)
    none = found.recordings.negative[found.windows.recording]
    others = table[table["split"] == OTHERS_SPLITS[split]]
    # A recording of an unknown species may have a known one in the background.
    others = others[(others["present"].map(len) > 0) & LabelSets.of(others, labels).complete]
    return {
        name: WindowLogits(
            np.stack(part["logits"].to_list()).astype(np.float64) if len(part) else np.zeros((0, len(labels))),
            part["group"].to_numpy(),
        )
        for name, part in (("known", rows[known]), ("unknown", others), ("none", rows[none]))
    }


def choose_score(table: pd.DataFrame, labels: list[str], calibration: Calibration) -> UnknownScore | None:
    """Return the score with the highest AUROC on validation windows of unknown species against those of known ones.

    With few windows of unknown species, each known species is left out in turn: its logits are ignored, and its windows count as
    those of an unknown species. That is optimistic, because the other outputs were trained with its recordings.

    Args:
        table: logits; columns of `PREDICTIONS`.
        labels: species in the order of the logits.
        calibration: of the network.

    Returns:
        None if no validation window holds a known species.
    """
    windows = windows_of(table, labels, "validation")
    known, unknown = windows["known"].logits, windows["unknown"].logits
    if not len(known):
        return None
    if len(unknown) >= _MIN_WINDOWS:
        scores = {m: _auroc(f(unknown, calibration), f(known, calibration)) for m, f in MEASURES.items()}
    else:
        scores = leave_species_out(table, labels, calibration)
    # Of equal ones, the first: the simplest.
    best = max(MEASURES, key=lambda measure: np.nan_to_num(scores[measure], nan=0.0))
    return UnknownScore.of(best, MEASURES[best](known, calibration))


def leave_species_out(
    table: pd.DataFrame, labels: list[str], calibration: Calibration, split: str = "validation"
) -> dict[str, float]:
    """Return the AUROC of each measure if each species is left out in turn (`choose_score`), the mean over the species.

    NaN if no species has windows, or with fewer than two species.
    """
    rows = table[table["split"] == split]
    rows = rows[:: -(-len(rows) // _MAX_LEFT_OUT) or 1]
    found = predictions_of_split(rows, labels, split, Calibration.none("softmax", len(labels), "mean"))
    logits = np.stack(rows["logits"].to_list()).astype(np.float64) if len(rows) else np.zeros((0, len(labels)))
    values: dict[str, list[float]] = {measure: [] for measure in MEASURES}
    for species in range(len(labels) if len(labels) > 1 else 0):
        kept = np.arange(len(labels)) != species
        without = Calibration(
            calibration.outputs, calibration.scale[kept], calibration.offset[kept], calibration.thresholds[kept], "mean"
        )
        of_species = found.windows.present[:, species]
        others, may_hold_others = (
            found.windows.present[:, kept].any(axis=1),
            ~found.windows.known[:, kept].all(axis=1),
        )
        left_out, known = of_species & ~others & ~may_hold_others, others & ~of_species
        if not left_out.any() or not known.any():
            continue
        for measure, function in MEASURES.items():
            score = function(logits[:, kept], without)
            values[measure].append(_auroc(score[left_out], score[known]))
    return {measure: float(np.mean(found)) if found else np.nan for measure, found in values.items()}


@dataclass(frozen=True)
class Separation:
    """How well a measure tells windows of one kind from windows with known species.

    Attributes:
        auroc: area under the ROC curve.
        false_positive_rate: share of windows with known species above the threshold that finds `RECALL` of the others.
    """

    auroc: Interval | None
    false_positive_rate: Interval | None


def separation(
    others: WindowLogits, known: WindowLogits, measure: str, calibration: Calibration, settings: IntervalSettings
) -> Separation | None:
    """Return how well a measure tells windows from those with known species; None if there are none of either.

    Args:
        others: windows of unknown species, or of none.
        known: windows with known species.
        measure: key of `MEASURES`.
        calibration: of the network.
        settings: bootstrap and confidence level.
    """
    if not len(others.logits) or not len(known.logits):
        return None
    score = np.concatenate([MEASURES[measure](part.logits, calibration) for part in (others, known)])
    is_other = np.arange(len(score)) < len(others.logits)
    names, group = np.unique(np.concatenate([others.group, known.group]).astype(str), return_inverse=True)
    holds = np.zeros((len(names), 2), bool)
    holds[group, (~is_other).astype(int)] = True
    resamples = resample_groups(np.arange(len(names)), holds, settings.resamples, settings.seed)
    weighting = Weighting(resamples.weights, group)
    groups = min(weighting.count_groups(is_other), weighting.count_groups(~is_other))
    auroc = auroc_by_species(score[:, None], is_other[:, None], np.ones((len(score), 1), bool), weighting)[:, 0]
    return Separation(
        *(
            bounded_interval(values, resamples, settings.confidence, groups)
            for values in (auroc, _false_positive_rate(score, is_other, weighting))
        )
    )


def _false_positive_rate(score: Floats, is_positive: Flags, weighting: Weighting) -> Floats:
    """Return the share of negatives above the highest threshold that finds `RECALL` of the positives; shape (rows,)."""
    order = np.argsort(-score, kind="stable")
    ends = np.flatnonzero(np.append(np.diff(score[order]) != 0, True))
    out = np.full(len(weighting.weights), np.nan)
    for row, weights in enumerate(weighting.weights):
        w = weights[weighting.group[order]]
        found, false = np.cumsum(w * is_positive[order])[ends], np.cumsum(w * ~is_positive[order])[ends]
        if found[-1] > 0 and false[-1] > 0:
            at = int(np.argmax(found >= RECALL * found[-1] - 1e-9))
            out[row] = false[at] / false[-1]
    return out


def _auroc(positive: Floats, negative: Floats) -> float:
    score = np.concatenate([positive, negative])[:, None]
    is_positive = (np.arange(len(score)) < len(positive))[:, None]
    equal = Weighting(np.ones((1, 1)), np.zeros(len(score), np.int64))
    return float(auroc_by_species(score, is_positive, np.ones(score.shape, bool), equal)[0, 0])
