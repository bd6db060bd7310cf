"""Augmentation of batches of mel frames; all randomness comes from one generator per step, so that a resume repeats it."""

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from autobird.audio.amplitude_scaling import AmplitudeScaling, Log, Magnitude
from autobird.model.audio_transforms import functional
from autobird.model.settings import TrainSettings

_NATS_PER_DB = math.log(10) / 10
"""Log-mel is the natural logarithm of power."""

_LEAST = 1e-12
"""Power that takes the place of none where its logarithm is needed."""


def augment(
    x: Tensor, y: Tensor, settings: TrainSettings, rng: np.random.Generator, scaling: AmplitudeScaling
) -> tuple[Tensor, Tensor]:
    """Augment a batch.

    Args:
        x: frames, shape (windows, 1, mels, frames), in the units of `scaling`.
        y: targets, shape (windows, species), rows sum to 1.
        settings: how much of what.
        rng: the step's generator; everything random is drawn from it on the CPU.
        scaling: of the front end. Gain, equaliser and mixing are those of sound, so they act on the logarithm of
            power; PCEN, which cannot be undone, has divided out gain and equaliser, and is mixed as it is.

    Returns:
        The new batch and its targets, of the same shapes.
    """
    windows, _, mels, frames = x.shape
    if settings.roll:
        shift = torch.from_numpy(rng.integers(0, frames, windows)).to(x.device)
        columns = (torch.arange(frames, device=x.device) + shift[:, None]) % frames
        x = x.gather(3, columns[:, None, None, :].expand(-1, 1, mels, -1))
    acoustic = isinstance(scaling, Log | Magnitude)
    if isinstance(scaling, Magnitude):
        x = torch.log(x.clamp(min=_LEAST ** (scaling.exponent / 2))) * (2 / scaling.exponent)
    if acoustic and (settings.gain_db or settings.equaliser_db):
        x = x + _tensor(_tone(windows, mels, settings, rng), x)[:, None, :, None]
    if settings.mix_probability:
        x, y = _mix(x, y, settings.mix_probability, rng, acoustic)
    if isinstance(scaling, Magnitude):
        x = torch.exp(x * (scaling.exponent / 2))
    if settings.mask_probability:
        x = _mask(x, settings, rng, scaling.silence)
    return x, y


def _tensor(values: NDArray[np.float64], like: Tensor) -> Tensor:
    return torch.from_numpy(values.astype(np.float32)).to(like.device)


def _tone(windows: int, mels: int, settings: TrainSettings, rng: np.random.Generator) -> NDArray[np.float64]:
    """Gain and a smooth equaliser (four cosines over the bands), shape (windows, mels), nats."""
    orders = np.arange(1, 5)
    basis = np.cos(np.pi * orders[:, None] * (np.arange(mels) + 0.5) / mels)
    curve = (
        rng.normal(0, settings.equaliser_db / np.sqrt(len(orders) / 2), (windows, len(orders))) / orders**0.5 @ basis
    )
    gain = rng.uniform(-settings.gain_db, settings.gain_db, (windows, 1))
    tone: NDArray[np.float64] = (curve + gain) * _NATS_PER_DB
    return tone


def _mix(x: Tensor, y: Tensor, probability: float, rng: np.random.Generator, logarithms: bool) -> tuple[Tensor, Tensor]:
    """Add the powers (or else the values) of two windows, as two birds at once would, and share the label by their weights.

    Mixing with soft labels is what helps small corpora most (Tokozume et al. 2018, between-class learning).
    """
    partner = torch.from_numpy(rng.permutation(len(x))).to(x.device)
    weight = np.where(rng.random(len(x)) < probability, rng.uniform(0.5, 1.0, len(x)), 1.0)
    w = _tensor(np.minimum(weight, 1 - 1e-7), x)
    a, b = w[:, None, None, None], 1 - w[:, None, None, None]
    mixed = torch.logaddexp(x + torch.log(a), x[partner] + torch.log1p(-a)) if logarithms else a * x + b * x[partner]
    return mixed, w[:, None] * y + (1 - w)[:, None] * y[partner]


def _mask(x: Tensor, settings: TrainSettings, rng: np.random.Generator, silence: float) -> Tensor:
    """SpecAugment (Park et al. 2019) per window with torchaudio's masks, filled with silence.

    torchaudio draws from torch's generator, which is seeded from the step's and restored afterwards.
    """
    chosen = rng.random((2, len(x))) < settings.mask_probability
    state = torch.get_rng_state()
    torch.manual_seed(int(rng.integers(2**62)))
    for axis, (width, rows) in enumerate(zip((settings.mask_bands, settings.mask_frames), chosen, strict=True)):
        if width and rows.any():
            index = torch.from_numpy(np.flatnonzero(rows)).to(x.device)
            x = x.index_copy(0, index, functional.mask_along_axis_iid(x[index], width, silence, axis=2 + axis))
    torch.set_rng_state(state)
    return x
