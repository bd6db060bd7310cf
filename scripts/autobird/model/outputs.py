"""Whether a kind of outputs fits the species and the windows of a data set."""

import logging
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from autobird.core.errors import AutobirdError

log = logging.getLogger("autobird")


def check_outputs(outputs: str, labels: Sequence[str]) -> None:
    """Refuse softmax outputs of a single species, which would be detected with a probability of 1 in every sound.

    Args:
        outputs: `TrainSettings.outputs`.
        labels: species.

    Raises:
        AutobirdError: otherwise.
    """
    if outputs == "softmax" and len(labels) < 2:
        raise AutobirdError(
            f"train.outputs: softmax needs two species, and the data set has {', '.join(labels) or 'none'} alone, which would be detected "
            "in every sound; set train.outputs to independent, or add another species"
        )


def check_windows(windows: int, split: str, other_remedy: str = "") -> None:
    """Refuse a split without windows, which only softmax outputs can have (`check_index`): they need windows of exactly one species.

    Args:
        windows: number of windows of the split.
        split: its name.
        other_remedy: what helps besides independent outputs, with a comma before it.

    Raises:
        AutobirdError: there are none.
    """
    if not windows:
        raise AutobirdError(
            f"train.outputs: softmax needs windows of exactly one species, and the {split} split has none; set train.outputs to "
            f"independent{other_remedy}"
        )


def warn_of_species_without_windows(present: NDArray[np.bool_], labels: Sequence[str]) -> None:
    """Log which species no training window holds: with softmax outputs, those that are never alone in a window.

    Args:
        present: species of the training windows; shape (windows, species).
        labels: species.
    """
    missing = [labels[species] for species in np.flatnonzero(~present.any(axis=0)).tolist()]
    if missing:
        log.warning(
            "no training window holds %s as its only species, so the network cannot learn it with softmax outputs; set train.outputs to "
            "independent, or add recordings",
            ", ".join(missing),
        )
