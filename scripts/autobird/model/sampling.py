"""Weights of training windows: how often networks draw a window, and how much it counts for a head."""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def sampling_probabilities(
    present: NDArray[np.bool_], recording: NDArray[np.int64], sampler: str, negative_share: float = 0.0
) -> Floats:
    """Return the probability with which each window is drawn; shape (windows,), sum 1.

    `uniform`: all windows have the same. `weighted`: all species have the same probability, and so have all windows of a
    species. `recordings`: all species have the same, within a species all recordings, and within a recording all windows.
    `balanced`: the probability of a species is proportional to the square root of its number of windows; within the species,
    that of a recording is proportional to the square root of its number of windows, and all windows of a recording have the
    same. In a recording of several species, the windows of each species count on their own; a window of several species has the
    sum of their shares.

    Negative windows, in which no species is present, are weighted like the windows of one species among themselves, and have
    `negative_share` of the probability together, except with `uniform`.

    Args:
        present: species of each window; shape (windows, species).
        recording: recording of each window, as an index; shape (windows,).
        sampler: see `TrainSettings.sampler`.
        negative_share: see `TrainSettings.negative_share`. Without negative windows, the others have all of the probability.
    """
    if sampler == "uniform":
        return np.full(len(present), 1 / max(1, len(present)))
    window, species = np.nonzero(present)
    positive = np.bincount(window, _shares(species, recording[window], sampler), len(present))
    negative = ~present.any(axis=1)
    if not negative.any():
        return np.asarray(positive, np.float64)
    of_negatives = _shares(np.zeros(int(negative.sum()), np.int64), recording[negative], sampler)
    share = negative_share if negative_share and not negative.all() else float(negative.all())
    probabilities = np.asarray((1 - share) * positive, np.float64)
    probabilities[negative] = share * of_negatives
    return probabilities


def one_hot(label: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return the species of windows of exactly one species as flags; shape (windows, highest label + 1)."""
    return np.asarray(np.eye(int(label.max(initial=-1)) + 1, dtype=bool)[label])


def _shares(species: NDArray[np.int64], recording: NDArray[np.int64], sampler: str) -> Floats:
    """Return the probabilities of pairs of a window and one of its species; shape (pairs,), sum 1.

    Args:
        species: species of each pair, as an index.
        recording: recording of the window of each pair, as an index.
        sampler: see `TrainSettings.sampler`.
    """
    if not len(species):
        return np.zeros(0)
    windows_per_species = np.bincount(species).astype(np.float64)
    # The number of windows that share both recording and species.
    _, pair, windows_of_pair = np.unique(
        recording * len(windows_per_species) + species, return_inverse=True, return_counts=True
    )
    alike = windows_of_pair[pair].astype(np.float64)
    if sampler == "weighted":
        weights = 1.0 / windows_per_species[species]
    elif sampler == "recordings":
        within_species = 1.0 / alike
        weights = within_species / np.bincount(species, within_species)[species]
    else:
        within_species = 1.0 / np.sqrt(alike)
        weights = within_species / np.bincount(species, within_species)[species] * np.sqrt(windows_per_species[species])
    normalised: Floats = weights / weights.sum()
    return normalised
