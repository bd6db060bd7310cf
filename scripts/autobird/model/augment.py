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
from autobird.model.settings import TrainSettings

_NATS_PER_DB = math.log(10) / 10
"""Converts dB to the unit of log-mel, which is the natural logarithm of power."""

_MIN_POWER = 1e-12
"""Lower bound of the power, to avoid log(0)."""


def augment(
    x: Tensor, y: Tensor, settings: TrainSettings, rng: np.random.Generator, scaling: AmplitudeScaling
) -> tuple[Tensor, Tensor]:
    """Augment a batch.

    Args:
        x: mel frames, shape (windows, 1, mels, frames), in the units of `scaling`.
        y: targets, shape (windows, species); each row sums to 1.
        settings: probabilities and strengths of the augmentations.
        rng: generator of the training step; all random numbers are drawn from it on the CPU.
        scaling: amplitude scaling of the front end. Gain, equaliser and mixing are applied to the logarithm of power,
            where they have the effect that they have on audio. PCEN cannot be inverted, and it removes differences in
            gain and equaliser. Therefore PCEN values get no gain or equaliser, and they are mixed without conversion.

    Returns:
        The augmented batch and its targets, with the shapes of `x` and `y`.
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
        x, y = _mix(x, y, settings.mix_probability, rng, has_log_power)
    if isinstance(scaling, Magnitude):
        x = torch.exp(x * (scaling.exponent / 2))
    if settings.mask_probability:
        x = _mask(x, settings, rng, scaling.silence)
    return x, y


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


def _mix(x: Tensor, y: Tensor, probability: float, rng: np.random.Generator, log_power: bool) -> tuple[Tensor, Tensor]:
    """Mix windows with other windows of the batch, and their targets with the same weights.

    If `x` is the logarithm of power (`log_power`), the powers are added, as for two birds that sing at once; otherwise
    the values are added. Of all augmentations, mixing with soft targets helps small corpora most (between-class
    learning, Tokozume et al. 2018).
    """
    partner = torch.from_numpy(rng.permutation(len(x))).to(x.device)
    weight = np.where(rng.random(len(x)) < probability, rng.uniform(0.5, 1.0, len(x)), 1.0)
    w = _to_tensor(np.minimum(weight, 1 - 1e-7), x)
    a, b = w[:, None, None, None], 1 - w[:, None, None, None]
    mixed = torch.logaddexp(x + torch.log(a), x[partner] + torch.log1p(-a)) if log_power else a * x + b * x[partner]
    return mixed, w[:, None] * y + (1 - w)[:, None] * y[partner]


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
