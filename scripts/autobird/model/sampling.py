"""Weights of training windows: how often networks draw a window, and how much it counts for a head."""

import numpy as np
from numpy.typing import NDArray


def sampling_probabilities(label: NDArray[np.int64], recording: NDArray[np.int64], sampler: str) -> NDArray[np.float64]:
    """Return the probability with which each window is drawn; shape (windows,), sum 1.

    `uniform`: all windows have the same. `weighted`: all species have the same probability, and so have all windows of a
    species. `recordings`: all species have the same, within a species all recordings, and within a recording all windows.
    `balanced`: the probability of a species is proportional to the square root of its number of windows; within the species,
    that of a recording is proportional to the square root of its number of windows, and all windows of a recording have the
    same. In a recording of several species, the windows of each species count on their own.

    Args:
        label: species of each window, as an index; shape (windows,).
        recording: recording of each window, as an index; shape (windows,).
        sampler: see `TrainSettings.sampler`.
    """
    if sampler == "uniform":
        return np.full(len(label), 1 / max(1, len(label)))
    windows_per_species = np.bincount(label).astype(np.float64)
    # The number of windows that share both recording and species.
    _, pair, windows_of_pair = np.unique(
        recording * len(windows_per_species) + label, return_inverse=True, return_counts=True
    )
    alike = windows_of_pair[pair].astype(np.float64)
    if sampler == "weighted":
        weights = 1.0 / windows_per_species[label]
    elif sampler == "recordings":
        within_species = 1.0 / alike
        weights = within_species / np.bincount(label, within_species)[label]
    else:
        within_species = 1.0 / np.sqrt(alike)
        weights = within_species / np.bincount(label, within_species)[label] * np.sqrt(windows_per_species[label])
    normalised: NDArray[np.float64] = weights / weights.sum()
    return normalised
