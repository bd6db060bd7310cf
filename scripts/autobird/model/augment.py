"""Augmentation of batches of mel frames.

All random numbers come from one generator per training step, so a resumed training repeats them exactly.
"""

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from autobird.audio.amplitude_scaling import AmplitudeScaling, Log, Magnitude
from autobird.model.audio_transforms import functional
from autobird.model.losses import Targets
from autobird.model.settings import TrainSettings
from autobird.model.step_parts import AUGMENTATION, step_part

_NATS_PER_DB = math.log(10) / 10
"""Converts dB to the unit of log-mel, which is the natural logarithm of power."""

_MIN_POWER = 1e-12
"""Lower bound of the power, to avoid log(0)."""

AUDIBLE_NATS = 5 * _NATS_PER_DB
"""How much less power than the other part of a mixture a part may have so that its species count as present, 5 dB. docs/training-field.md
shows how it was chosen."""


@step_part(AUGMENTATION)
def augment(
    x: Tensor, targets: Targets, settings: TrainSettings, rng: np.random.Generator, scaling: AmplitudeScaling
) -> tuple[Tensor, Targets]:
    """Augment a batch.

    Args:
        x: mel frames, shape (windows, 1, mels, frames), in the units of `scaling`.
        targets: of the windows.
        settings: probabilities and strengths of the augmentations, and the outputs, which decide how targets are mixed.
        rng: generator of the training step; all random numbers are drawn from it on the CPU.
        scaling: amplitude scaling of the front end. Gain, equaliser and mixing are applied to the logarithm of power,
            where they have the effect that they have on audio. PCEN cannot be inverted, and it removes differences in
            gain and equaliser. Therefore PCEN values get no gain or equaliser, and they are mixed without conversion.

    Returns:
        The augmented batch and its targets, with the shapes of the arguments.
    """
    windows, _, mels, frames = x.shape
    if settings.roll:
        shift = torch.from_numpy(rng.integers(0, frames, windows)).to(x.device)
        columns = (torch.arange(frames, device=x.device) + shift[:, None]) % frames
        x = x.gather(3, columns[:, None, None, :].expand(-1, 1, mels, -1))
    has_log_power = isinstance(scaling, Log | Magnitude)
    if isinstance(scaling, Magnitude):
        x = torch.log(x.clamp(min=_MIN_POWER ** (scaling.exponent / 2))) * (2 / scaling.exponent)
    if has_log_power and (settings.gain_db or settings.equaliser_db):
        x = x + _to_tensor(_gain_and_equaliser(windows, mels, settings, rng), x)[:, None, :, None]
    if settings.mix_probability:
        x, targets = _mix(x, targets, settings, rng, has_log_power)
    if isinstance(scaling, Magnitude):
        x = torch.exp(x * (scaling.exponent / 2))
    if settings.mask_probability:
        x = _mask(x, settings, rng, scaling.silence)
    return x, targets


def _to_tensor(values: NDArray[np.float64], like: Tensor) -> Tensor:
    """Return `values` as a float32 tensor on the device of `like`."""
    return torch.from_numpy(values.astype(np.float32)).to(like.device)


def _gain_and_equaliser(
    windows: int, mels: int, settings: TrainSettings, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Draw a gain and a smooth equaliser curve (four cosines over the mel bands) for each window.

    Returns:
        Sum of both in nats, shape (windows, mels).
    """
    orders = np.arange(1, 5)
    basis = np.cos(np.pi * orders[:, None] * (np.arange(mels) + 0.5) / mels)
    curve = (
        rng.normal(0, settings.equaliser_db / np.sqrt(len(orders) / 2), (windows, len(orders))) / orders**0.5 @ basis
    )
    gain = rng.uniform(-settings.gain_db, settings.gain_db, (windows, 1))
    nats: NDArray[np.float64] = (curve + gain) * _NATS_PER_DB
    return nats


def _mix(
    x: Tensor, targets: Targets, settings: TrainSettings, rng: np.random.Generator, log_power: bool
) -> tuple[Tensor, Targets]:
    """Mix windows with other windows of the batch, and their targets.

    If `x` is the logarithm of power (`log_power`), the powers are added, as for two birds that sing at once; otherwise
    the values are added. Of all augmentations, mixing helps small corpora most (between-class learning, Tokozume et al. 2018).

    The targets of softmax outputs are mixed with the weights of the parts, so that they still sum to 1. Those of independent
    outputs are unions; see `_union`.
    """
    partner = torch.from_numpy(rng.permutation(len(x))).to(x.device)
    weight = np.where(rng.random(len(x)) < settings.mix_probability, rng.uniform(0.5, 1.0, len(x)), 1.0)
    w = _to_tensor(np.minimum(weight, 1 - 1e-7), x)
    other = Targets(targets.present[partner], targets.known[partner])
    a, b = w[:, None, None, None], 1 - w[:, None, None, None]
    mixed = torch.logaddexp(x + torch.log(a), x[partner] + torch.log1p(-a)) if log_power else a * x + b * x[partner]
    if settings.outputs == "softmax":
        return mixed, targets._replace(present=w[:, None] * targets.present + (1 - w)[:, None] * other.present)
    level = torch.logsumexp(x.flatten(1), 1) if log_power else torch.log(x.flatten(1).sum(1).clamp(min=_MIN_POWER))
    difference = level[partner] + torch.log1p(-w) - level - torch.log(w)
    return mixed, _union(targets, other, difference, torch.from_numpy(weight < 1).to(x.device))


def _union(own: Targets, other: Targets, difference: Tensor, mixed: Tensor) -> Targets:
    """Return the targets of mixtures: what is present in one of the parts is present, unless that part is too quiet beside the other.

    A species is known if it is present, or if it is known in all parts that are loud enough. A negative window in a mixture is
    background noise: it takes no species away unless it drowns them.

    Args:
        own: targets of the first parts.
        other: targets of the second parts.
        difference: level of the second part minus that of the first, nats of power; shape (windows,).
        mixed: which windows are mixtures. The others keep their own targets; shape (windows,), bool.
    """
    own_counts = (~mixed | (difference <= AUDIBLE_NATS))[:, None]
    other_counts = (mixed & (difference >= -AUDIBLE_NATS))[:, None]
    present = torch.maximum(own_counts * own.present, other_counts * other.present)
    known = (own.known | ~own_counts) & (other.known | ~other_counts) | (present > 0)
    return Targets(present, known)


def _mask(x: Tensor, settings: TrainSettings, rng: np.random.Generator, silence: float) -> Tensor:
    """Mask mel bands and frames of each window with silence (SpecAugment, Park et al. 2019).

    torchaudio's masks draw from torch's global generator. It is seeded from `rng` here, and its state is restored.
    """
    masked = rng.random((2, len(x))) < settings.mask_probability
    state = torch.get_rng_state()
    torch.manual_seed(int(rng.integers(2**62)))
    for axis, (width, windows) in enumerate(zip((settings.mask_bands, settings.mask_frames), masked, strict=True)):
        if width and windows.any():
            index = torch.from_numpy(np.flatnonzero(windows)).to(x.device)
            x = x.index_copy(0, index, functional.mask_along_axis_iid(x[index], width, silence, axis=2 + axis))
    torch.set_rng_state(state)
    return x
