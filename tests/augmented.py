"""Augment a whole batch in one process, for tests."""

import numpy as np
from torch import Tensor

from autobird.audio.amplitude_scaling import AmplitudeScaling
from autobird.model.augment import Augmentation
from autobird.model.losses import Targets
from autobird.model.settings import TrainSettings


def augment(
    x: Tensor, targets: Targets, settings: TrainSettings, rng: np.random.Generator, scaling: AmplitudeScaling
) -> tuple[Tensor, Targets]:
    """Augment a whole batch; see `Augmentation`.

    Args:
        x: mel frames, shape (windows, 1, mels, frames), in the units of `scaling`.
        targets: of the windows.
        settings: probabilities and strengths of the augmentations, and the outputs.
        rng: generator of the training step.
        scaling: amplitude scaling of the front end.

    Returns:
        The augmented batch and its targets, with the shapes of the arguments.
    """
    windows, _, mels, frames = x.shape
    drawn = Augmentation.draw(windows, (mels, frames), settings, rng, scaling)
    return drawn.apply(x, targets, np.arange(windows), windows)
