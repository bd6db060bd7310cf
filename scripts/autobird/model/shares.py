"""The share of one process in a training step: its windows, its part of the loss, and the sums over all processes."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from autobird.audio.amplitude_scaling import AmplitudeScaling
from autobird.model.augment import Augmentation, Draws, augment
from autobird.model.data import WindowDataset
from autobird.model.distributed import Processes
from autobird.model.losses import Targets
from autobird.model.settings import TrainSettings
from autobird.model.teaching import Lesson, Teaching


class StepInputs(NamedTuple):
    """What a process needs for its share of a step, besides the weights.

    Attributes:
        located: the windows, and those that they are mixed with; see `WindowDataset.located`.
        present: species that are present in them; shape (windows, species), float32.
        known: cells that are known; shape (windows, species), bool.
        noise: their backgrounds; see `WindowDataset.located`; None: none.
        draws: random numbers of the augmentation.
    """

    located: Tensor
    present: Tensor
    known: Tensor
    noise: Tensor | None
    draws: Draws

    def on(self, device: torch.device) -> "StepInputs":
        """Return the inputs on a device; those on the CPU are not changed later."""
        located, present, known = (t.to(device, non_blocking=True) for t in self[:3])
        noise = None if self.noise is None else self.noise.to(device, non_blocking=True)
        return StepInputs(located, present, known, noise, self.draws.on(device))

    def tensors(self) -> list[Tensor]:
        """Return all tensors, in the same order for inputs of the same training."""
        return [t for t in (*self[:4], *self.draws) if t is not None]


def own_inputs(
    windows: WindowDataset,
    rows: NDArray[np.int64],
    own: slice,
    settings: TrainSettings,
    rng: np.random.Generator,
    every: bool = False,
) -> StepInputs:
    """Draw the random numbers of a step, and read the windows of a process.

    Only the windows of the process are read, those that they are mixed with, and their backgrounds.

    Args:
        windows: the training split.
        rows: windows of the step, of all processes.
        own: which of them the process computes.
        settings: of the augmentation.
        rng: generator of the step.
        every: read a background for each window, and not only for those to which one is added. If a process computes all windows of a step,
            the tensors then have the same shapes in all steps of as many windows, as a CUDA graph needs.
    """
    drawn = Augmentation.draw(len(rows), windows.window_shape, settings, rng, windows.scaling)
    places = np.arange(len(rows))[own]
    needed = drawn.rows_needed(places)
    shift = None if drawn.crop is None else windows.crop_shift(rows[needed], drawn.crop[needed])
    noise = None
    if drawn.background is not None and windows.backgrounds is not None:
        noisy = needed if every else needed[drawn.background.added[needed]]
        noise = windows.backgrounds.located(windows.backgrounds.chosen(drawn.background.choice[noisy]))
    draws = drawn.tensors(needed, len(places), every)
    return StepInputs(windows.located(rows[needed], shift), *windows.targets(rows[needed]), noise, draws)


def augmented(
    inputs: StepInputs, windows: WindowDataset, settings: TrainSettings, own: int
) -> tuple[Tensor, Targets, Tensor]:
    """Augment the windows of a step that a process computes.

    Args:
        inputs: on the device that trains.
        windows: the training split.
        settings: of the augmentation.
        own: number of windows that the process computes.

    Returns:
        The windows, their targets, and the species that were present in them before they were mixed.
    """
    noise = windows.backgrounds.read(inputs.noise) if windows.backgrounds and inputs.noise is not None else None
    x, targets = windows.read(inputs.located), Targets(inputs.present, inputs.known)
    x, targets = augment(x, targets, inputs.draws, settings.outputs, windows.scaling, noise)
    return x, targets, inputs.present[:own]


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
    # Not cropped and without backgrounds: the sounds are single windows, some of them with noise already.
    unmixed = settings.model_copy(update={"mix_probability": 0.0, "crop_seconds": 0.0, "background_probability": 0.0})
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


def add_up(parameters: Sequence[Tensor], numbers: Sequence[Tensor], processes: Processes) -> Tensor:
    """Replace the gradients of the parameters by their sums over all processes, and return the sums of `numbers`; shape (numbers,).

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
    return own
