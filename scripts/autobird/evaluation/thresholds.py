"""Decision thresholds of species, from probabilities and labels of windows and recordings.

A species is detected in a recording if it is detected in at least one window, so a recording collects the false detections of all its
windows. The highest F1 is that of the windows; a wanted precision must be reached by windows and recordings.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Ints = NDArray[np.int64]

MIN_WINDOWS = 5
"""Smallest number of windows with the species, and of windows without it, for a threshold of its own."""

FALLBACK_THRESHOLD = 0.5
"""Threshold if no window contains any species."""

POOLED_GROUPS = 4.0
"""Weight of the threshold of all species together, in groups of recordings: a species with as many groups has a threshold halfway
between its own best one and that of all species (on the logit scale). docs/evaluation.md shows how it was chosen."""

_MARGIN = 1e-12
"""Probabilities and thresholds are kept this far from 0 and 1 where their logit is needed."""

_SHIFTS = np.arange(0, 40, 0.01)
"""Shifts of the thresholds on the logit scale that `needed_shift` tries."""


@dataclass(frozen=True)
class Level:
    """Probabilities and labels of items on one level: windows, or recordings.

    Attributes:
        probabilities: of a recording, the highest of its windows; shape (items, species).
        present: species that are present; shape (items, species).
        known: whether it is known if the species is present; other cells do not count; shape (items, species).
        weights: how much each item counts; shape (items,).
        group: group of each item, as an index; shape (items,).
        draws: how much the items of each group count besides. Row 0 gives the thresholds; the other rows, if any, are resamples, which
            give their intervals; shape (rows, groups).
    """

    probabilities: Floats
    present: Flags
    known: Flags
    weights: Floats
    group: Ints
    draws: Floats

    @classmethod
    def of(cls, probabilities: Floats, present: Flags, known: Flags, weights: Floats) -> Self:
        """Return a level without resamples; for the arguments see the class."""
        return cls(probabilities, present, known, weights, np.zeros(len(weights), np.int64), np.ones((1, 1)))

    def pooled(self) -> "Level":
        """Return the level with all cells as items of one species, and row 0 of the draws alone."""
        present, known = (flags.reshape(-1, 1) for flags in (self.present, self.known))
        weights = np.repeat(self.weights * self.draws[0, self.group], self.probabilities.shape[1])
        return Level.of(self.probabilities.reshape(-1, 1), present, known, weights)


@dataclass(frozen=True)
class Thresholds:
    """Thresholds of all species.

    Attributes:
        values: smallest probability at which a species is detected in a window, under each row of the draws; shape (rows, species).
        chosen: whether the species has enough windows for a threshold of its own; the others have that of all species; shape (species,).
        reached: whether the wanted precision is reached; True if none is wanted; shape (species,).
    """

    values: Floats
    chosen: Flags
    reached: Flags


def highest_of_recordings(probabilities: Floats, recording: Ints, recordings: int) -> Floats:
    """Return the highest probability of the windows of each recording; shape (recordings, species).

    Args:
        probabilities: shape (windows, species).
        recording: index of the recording of each window; shape (windows,).
        recordings: number of recordings.
    """
    out = np.zeros((recordings, probabilities.shape[1]))
    np.maximum.at(out, recording, probabilities)
    return out


def select_thresholds(levels: Sequence[Level], groups: Ints, precision: float | None = None) -> Thresholds:
    """Return the thresholds with the highest F1 of the windows, or the lowest ones with a wanted precision on every level.

    The best threshold of a species is averaged with that of all species together, which counts `POOLED_GROUPS` groups, because the best
    one of few groups is mostly chance. For a wanted precision, the higher one of the average and the species' own is used. If a
    precision cannot be reached, its own is the one with the highest precision.

    Args:
        levels: windows, and other levels, which count only for a wanted precision; the windows first.
        groups: number of independent groups of recordings that contain each species; shape (species,).
        precision: wanted precision; None: the highest F1.
    """
    windows = levels[0]
    cells = windows.known & (windows.weights > 0)[:, None]
    positives, negatives = (windows.present & cells).sum(axis=0), (~windows.present & cells).sum(axis=0)
    chosen = np.minimum(positives, negatives) >= MIN_WINDOWS
    together, reached_together = _select([level.pooled() for level in levels], 0, precision)
    values = np.full((len(windows.draws), len(chosen)), together[0])
    reached = np.full(len(chosen), reached_together)
    for species in np.flatnonzero(chosen):
        own, reached[species] = _select(levels, int(species), precision)
        share = groups[species] / (groups[species] + POOLED_GROUPS)
        averaged = expit(share * _logit(own) + (1 - share) * _logit(together))
        values[:, species] = averaged if precision is None else np.maximum(own, averaged)
    return Thresholds(values, chosen, reached)


def needed_shift(
    thresholds: Floats, probabilities: Floats, recording: Ints, number: Ints, allowed: float
) -> tuple[float, bool]:
    """Return by how much all thresholds must rise on the logit scale so that sound without any species gives few enough detections.

    The same shift for all species keeps their relation, which the labelled windows have determined.

    Args:
        thresholds: shape (species,).
        probabilities: of windows of recordings without any species; shape (windows, species).
        recording: index of the recording of each window; the windows of a recording follow each other; shape (windows,).
        number: number of each window in its recording, increasing; shape (windows,).
        allowed: largest number of detections (runs of consecutive windows of a recording) of all species together.

    Returns:
        The smallest shift, at least 0, from which on there are never more detections; and whether there is one: otherwise it is the
        largest that is tried.
    """
    margin = _logit(probabilities) - _logit(thresholds)
    follows = (np.diff(recording) == 0) & (np.diff(number) == 1)
    # At a shift, a detection starts in a window that reaches it and does not follow another one that does.
    reaching, continued = margin.ravel(), np.minimum(margin[1:], margin[:-1])[follows].ravel()
    too_many = np.flatnonzero(_at_least(reaching) - _at_least(continued) > allowed)
    first = int(too_many[-1]) + 1 if len(too_many) else 0
    return float(_SHIFTS[min(first, len(_SHIFTS) - 1)]), first < len(_SHIFTS)


def shifted(thresholds: Floats, shift: float) -> Floats:
    """Return thresholds that are raised by `shift` on the logit scale."""
    return np.asarray(expit(_logit(thresholds) + shift)) if shift else thresholds


def _at_least(margins: Floats) -> Ints:
    """Return how many margins reach each of `_SHIFTS`."""
    return np.asarray(len(margins) - np.searchsorted(np.sort(margins), _SHIFTS, side="left"), np.int64)


def _select(levels: Sequence[Level], species: int, precision: float | None) -> tuple[Floats, bool]:
    """Return the threshold of a species under each row of the draws, shape (rows,), and whether row 0 reaches the wanted precision.

    Without a window that contains the species, the threshold is `FALLBACK_THRESHOLD`, and the precision is not reached.
    """
    windows = levels[0]
    known = windows.known[:, species]
    with_species = known & windows.present[:, species] & (windows.weights > 0)
    if not with_species.any():
        return np.full(len(windows.draws), FALLBACK_THRESHOLD), precision is None
    # A lower threshold is better only if it finds another window with the species.
    candidates = np.unique(windows.probabilities[with_species, species])[::-1]
    # Halfway to the next probability of any window, so that rounding differences of another machine change no detection.
    every = np.append(0.0, np.unique(windows.probabilities[known, species]))
    halfway = (candidates + every[np.maximum(np.searchsorted(every, candidates) - 1, 0)]) / 2
    if precision is None:
        true, detected, positives = _counts(windows, species, candidates)
        return halfway[(2 * true / np.maximum(detected + positives, 1e-12)).argmax(axis=1)], True
    counts = [_counts(level, species, candidates) for level in levels]
    lowest = np.min([true / np.maximum(detected, 1e-12) for true, detected, _ in counts], axis=0)
    passing = lowest >= precision
    reached = passing.any(axis=1)
    last = passing.shape[1] - 1 - passing[:, ::-1].argmax(axis=1)
    return halfway[np.where(reached, last, lowest.argmax(axis=1))], bool(reached[0])


def _counts(level: Level, species: int, thresholds: Floats) -> tuple[Floats, Floats, Floats]:
    """Return weighted numbers of true detections and of detections at decreasing thresholds, shape (rows, thresholds), and of items
    with the species, shape (rows, 1).
    """
    used = np.flatnonzero(level.known[:, species])
    weights, group = level.weights[used], level.group[used]
    of_present = weights * level.present[used, species]
    # The first threshold that an item reaches.
    first = np.searchsorted(-thresholds, -level.probabilities[used, species], side="left")
    detected = first < len(thresholds)
    counts = []
    for w in (of_present, weights):
        by_group = np.zeros((level.draws.shape[1], len(thresholds)))
        np.add.at(by_group, (group[detected], first[detected]), w[detected])
        counts.append(np.cumsum(level.draws @ by_group, axis=1))
    positives = level.draws @ np.bincount(group, of_present, level.draws.shape[1])
    return counts[0], counts[1], positives[:, None]


def _logit(probabilities: Floats) -> Floats:
    return np.asarray(logit(np.clip(probabilities, _MARGIN, 1 - _MARGIN)))
