"""The share of one process in a training step: its windows, its part of the loss, and the sums over all processes."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from autobird.audio.amplitude_scaling import AmplitudeScaling
from autobird.model.augment import Augmentation
from autobird.model.data import WindowDataset
from autobird.model.distributed import Processes
from autobird.model.losses import Targets
from autobird.model.settings import TrainSettings
from autobird.model.teaching import Lesson, Teaching


def own_windows(
    windows: WindowDataset,
    rows: NDArray[np.int64],
    own: slice,
    settings: TrainSettings,
    rng: np.random.Generator,
    device: torch.device,
) -> tuple[Tensor, Targets, Tensor]:
    """Read and augment the windows of a step that a process computes.

    Only these are read, and those that they are mixed with.

    Args:
        windows: the training split.
        rows: windows of the step, of all processes.
        own: which of them the process computes.
        settings: of the augmentation.
        rng: generator of the step.
        device: where the tensors are placed.

    Returns:
        The windows, their targets, and the species that were present in them before they were mixed.
    """
    drawn = Augmentation.draw(len(rows), windows.window_shape, settings, rng, windows.scaling)
    places = np.arange(len(rows))[own]
    needed = drawn.rows_needed(places)
    tensors = (windows.take(rows[needed]), *windows.targets(rows[needed]))
    x, present, known = (t.to(device, non_blocking=True) for t in tensors)
    x, targets = drawn.apply(x, Targets(present, known), needed, len(places))
    return x, targets, present[: len(places)]


def own_sounds(
    teaching: Teaching, own: slice, settings: TrainSettings, rng: np.random.Generator, scaling: AmplitudeScaling
) -> tuple[Tensor, Lesson]:
    """Draw the training sounds of a step, and read and augment those that a process computes.

    Args:
        teaching: draws the sounds.
        own: which of the sounds of the step the process computes.
        settings: of the augmentation.
        rng: generator of the step.
        scaling: amplitude scaling of the front end.
    """
    places = np.arange(teaching.batch)[own]
    lesson = teaching.lesson(rng, places)
    # Not mixed: the teacher answered each sound as it is. The other changes are ones that its answer should not depend on.
    unmixed = settings.model_copy(update={"mix_probability": 0.0})
    answers = Targets(lesson.answers, torch.ones_like(lesson.answers, dtype=torch.bool))
    _, _, mels, frames = lesson.frames.shape
    drawn = Augmentation.draw(teaching.batch, (mels, frames), unmixed, rng, scaling)
    sounds, _ = drawn.apply(lesson.frames, answers, places, len(places))
    return sounds, lesson


def part_of_loss(mean: Tensor, share: float, outputs: Tensor) -> Tensor:
    """Return the part of a process in the mean loss of a batch, from the mean over its own share of the windows.

    Args:
        mean: mean loss of the windows that the process computes.
        share: share of the windows of the batch that the process computes, 0 to 1.
        outputs: of the network for its windows. Without windows, the part is 0, and its gradient, without values, is computed from
            the outputs, as all processes must exchange the gradients of the batch normalisation.
    """
    return mean * share if share else outputs.float().sum()


def add_up(parameters: Sequence[Tensor], numbers: Sequence[Tensor], processes: Processes) -> list[float]:
    """Replace the gradients of the parameters by their sums over all processes, and return the sums of `numbers`.

    All is exchanged at once: a network of some megabytes needs no overlap of computing and exchange.

    Args:
        parameters: parameters whose gradients were computed.
        numbers: scalars of this process.
        processes: processes that share the batch.
    """
    own = torch.stack([number.float() for number in numbers])
    if processes.size > 1:
        # A process without windows has not computed the gradients of all parameters.
        gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
        values = torch.cat([*(gradient.reshape(-1) for gradient in gradients), own])
        processes.add(values)
        *sums, own = values.split([*(p.numel() for p in parameters), len(own)])  # type: ignore[no-untyped-call]
        for p, gradient, total in zip(parameters, gradients, sums, strict=True):
            p.grad = gradient.copy_(total.view_as(gradient))
    return own.tolist()
