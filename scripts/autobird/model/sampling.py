"""Weights of training windows: how often networks draw a window, and how much it counts for a head."""

import numpy as np
from numpy.typing import NDArray


def sampling_probabilities(label: NDArray[np.int64], recording: NDArray[np.int64], sampler: str) -> NDArray[np.float64]:
    """Return the probability with which each window is drawn; shape (windows,), sum 1.

    `uniform`: all windows have the same. `weighted`: all species have the same probability, and so have all windows of a
    species. `recordings`: all species have the same, within a species all recordings, and within a recording all windows.
    `balanced`: the probability of a species is proportional to the square root of its number of windows; within the species,
    that of a recording is proportional to the square root of its number of windows, and all windows of a recording have the
    same.

    Args:
        label: species of each window, as an index; shape (windows,).
        recording: recording of each window, as an index; shape (windows,).
        sampler: see `TrainSettings.sampler`.
    """
    if sampler == "uniform":
        return np.full(len(label), 1 / max(1, len(label)))
    windows_per_species = np.bincount(label).astype(np.float64)
    windows_per_recording = np.bincount(recording).astype(np.float64)
    if sampler == "weighted":
        weights = 1.0 / windows_per_species[label]
    elif sampler == "recordings":
        within_species = 1.0 / windows_per_recording[recording]
        weights = within_species / np.bincount(label, within_species)[label]
    else:
        within_species = 1.0 / np.sqrt(windows_per_recording[recording])
        weights = within_species / np.bincount(label, within_species)[label] * np.sqrt(windows_per_species[label])
    normalised: NDArray[np.float64] = weights / weights.sum()
    return normalised
