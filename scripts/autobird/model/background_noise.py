"""Augmentation with background noise: sound without the species of a window is added to it, at a random signal-to-noise ratio."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from autobird.audio.amplitude_scaling import AmplitudeScaling, Log, Magnitude
from autobird.model.settings import TrainSettings

NATS_PER_DB = math.log(10) / 10
"""Converts dB to the unit of log-mel, which is the natural logarithm of power."""

MIN_POWER = 1e-12
"""Lower bound of the power, to avoid log(0)."""

_ROUNDING = 0.01
"""Nats above the logarithm of the floor of log-mel up to which a value can be the floor itself, rounded to float16."""

_NO_POWER = -80.0
"""Logarithm of a power that changes no sum: far below both floors, and finite, because infinities would give NaN."""


@dataclass(frozen=True)
class BackgroundNoise:
    """The random numbers of the backgrounds of a batch.

    Attributes:
        added: whether a background is added to each window; shape (windows,), bool.
        choice: two numbers from 0 to 1 for each window, which choose the recording and the window of the background; shape (windows, 2).
        ratio: signal-to-noise ratio of each window, nats of power; shape (windows,).
    """

    added: NDArray[np.bool_]
    choice: NDArray[np.float64]
    ratio: NDArray[np.float64]

    @classmethod
    def draw(cls, windows: int, settings: TrainSettings, rng: np.random.Generator) -> "BackgroundNoise":
        """Draw the random numbers of a batch of `windows` windows."""
        added = rng.random(windows) < settings.background_probability
        choice = rng.random((windows, 2))
        return cls(added, choice, rng.uniform(*settings.background_snr_db, windows) * NATS_PER_DB)


def add_background(
    x: Tensor, noise: Tensor, rows: Tensor, ratio: Tensor, added: Tensor | None, scaling: AmplitudeScaling
) -> Tensor:
    """Return windows with backgrounds.

    Powers are added, as for sounds that are heard at once; the background is amplified or attenuated as a whole. The floor of log-mel
    is not part of it. A background without any power is not amplified. PCEN has no inverse, so its values are added, and the sum of
    the values stands for the power.

    Args:
        x: windows, shape (windows, 1, mels, frames): logarithm of power, but with PCEN its values.
        noise: backgrounds, shape (backgrounds, 1, mels, frames), in the same unit.
        rows: place of the window of each background; shape (backgrounds,).
        ratio: signal-to-noise ratio of each, nats of power; shape (backgrounds,).
        added: which backgrounds are added; shape (backgrounds,), bool; None: all.
        scaling: amplitude scaling of the front end, which tells the unit.
    """
    if not len(rows):
        return x
    signal, ratio = x[rows], ratio[:, None, None, None]
    if isinstance(scaling, Log | Magnitude):
        floor = scaling.silence if isinstance(scaling, Log) else math.log(MIN_POWER)
        noise = _without_floor(noise, floor)
        level = _total(noise)
        gain = torch.where(level > floor, _total(signal) - ratio - level, 0.0)
        sound = torch.logaddexp(signal, noise + gain)
    else:
        of_signal, of_noise = (values.sum((1, 2, 3), keepdim=True).clamp(min=MIN_POWER) for values in (signal, noise))
        sound = signal + noise * torch.exp(-ratio) * of_signal / of_noise
    if added is not None:
        sound = torch.where(added[:, None, None, None], sound, signal)
    return x.index_copy(0, rows, sound)


def _total(x: Tensor) -> Tensor:
    """Return the logarithm of the power of each window, from those of its cells; shape (windows, 1, 1, 1)."""
    return torch.logsumexp(x.flatten(1), 1)[:, None, None, None]


def _without_floor(x: Tensor, floor: float) -> Tensor:
    """Return the logarithm of the power without the floor that was added to it: ln(exp(x) - exp(floor))."""
    above = x - floor
    return torch.where(above > _ROUNDING, x + torch.log1p(-torch.exp(-above.clamp(min=_ROUNDING))), _NO_POWER)
