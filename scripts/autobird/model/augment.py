"""Augmentation of batches of mel frames.

All random numbers come from one generator per training step, so a resumed training repeats them exactly. They are drawn for the
whole batch, and each process applies those of its own windows, so they do not depend on the number of processes.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from autobird.audio.amplitude_scaling import AmplitudeScaling, Log, Magnitude
from autobird.model.audio_transforms import functional
from autobird.model.background_noise import MIN_POWER, NATS_PER_DB, BackgroundNoise, add_background
from autobird.model.losses import Targets
from autobird.model.settings import TrainSettings
from autobird.model.step_parts import AUGMENTATION, step_part

AUDIBLE_NATS = 5 * NATS_PER_DB
"""How much less power than the other part of a mixture a part may have so that its species count as present, 5 dB. docs/training-field.md
shows how it was chosen."""

_SMALLEST_SHARE = 1e-7
"""Share of the other window in a window that is not mixed, 69 dB below its level. It is heard where the other window is that much
louder, as in digital silence. Scores without it are not shown to differ (docs/training-data.md)."""

_LARGEST_MASK = 0.5
"""Largest share of the bands, or of the frames, of a window that is masked: a window without sound would keep the species of its target."""


@dataclass(frozen=True)
class Augmentation:
    """The random numbers of a batch: all of them are drawn before the batch is divided among processes.

    Attributes:
        settings: probabilities and strengths of the augmentations, and the outputs, which decide how targets are mixed.
        scaling: amplitude scaling of the front end. Gain, equaliser and mixing are applied to the logarithm of power,
            where they have the effect that they have on audio. PCEN cannot be inverted, and it removes differences in
            gain and equaliser. Therefore PCEN values get no gain or equaliser, and they are mixed without conversion.
        shift: number of frames by which each window is shifted; shape (windows,); None: none.
        nats: change of the logarithm of power of each band; shape (windows, mels); None: none.
        partner: window that each window is mixed with; shape (windows,); None: none.
        weight: weight of each window in its mixture, 1 if it is not mixed; shape (windows,).
        silent: masked bands, shape (windows, 1, mels, 1), and masked frames, shape (windows, 1, 1, frames); None: none.
        crop: number from 0 to 1 that chooses where each window starts, among the starts that its dataset allows; shape (windows,);
            None: where the index says.
        background: which windows get a background, and which one; None: none.
    """

    settings: TrainSettings
    scaling: AmplitudeScaling
    shift: NDArray[np.int64] | None = None
    nats: NDArray[np.float64] | None = None
    partner: NDArray[np.int64] | None = None
    weight: NDArray[np.float64] | None = None
    silent: tuple[Tensor, Tensor] | None = None
    crop: NDArray[np.float64] | None = None
    background: BackgroundNoise | None = None

    @classmethod
    @step_part(AUGMENTATION)
    def draw(
        cls,
        windows: int,
        shape: tuple[int, int],
        settings: TrainSettings,
        rng: np.random.Generator,
        scaling: AmplitudeScaling,
    ) -> "Augmentation":
        """Draw the random numbers of a batch.

        Args:
            windows: number of windows of the whole batch.
            shape: mels and frames of a window.
            settings: probabilities and strengths of the augmentations, and the outputs.
            rng: generator of the training step; all random numbers are drawn from it on the CPU.
            scaling: amplitude scaling of the front end.
        """
        mels, frames = shape
        shift = nats = partner = weight = silent = None
        if settings.roll:
            shift = rng.integers(0, frames, windows)
        if isinstance(scaling, Log | Magnitude) and (settings.gain_db or settings.equaliser_db):
            nats = _gain_and_equaliser(windows, mels, settings, rng)
        if settings.mix_probability:
            partner = rng.permutation(windows)
            weight = np.where(rng.random(windows) < settings.mix_probability, rng.uniform(0.5, 1.0, windows), 1.0)
        if settings.mask_probability:
            silent = _masks(windows, mels, frames, settings, rng)
        # The last ones, so that switching them on changes none of the other augmentations of the step.
        crop = rng.random(windows) if settings.crop_seconds else None
        background = BackgroundNoise.draw(windows, settings, rng) if settings.background_probability else None
        return cls(settings, scaling, shift, nats, partner, weight, silent, crop, background)

    def rows_needed(self, own: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the windows that are needed to augment the windows `own`: these, then those that they are mixed with."""
        if self.partner is None or len(own) == len(self.partner):
            return own
        return np.concatenate([own, np.setdiff1d(self.partner[own], own)])

    def tensors(self, needed: NDArray[np.int64], own: int, every: bool = False) -> "Draws":
        """Return the random numbers of some windows as tensors on the CPU.

        Args:
            needed: windows of the batch (`rows_needed`).
            own: how many of them, the first ones, are augmented.
            every: whether `apply` gets a background for each window of `needed`, and not only for those to which one is added.
        """
        shift = nats = partner = weight = mixed = bands = columns = rows = ratio = added = None
        if self.shift is not None:
            shift = torch.from_numpy(self.shift[needed])
        if self.nats is not None:
            nats = torch.from_numpy(self.nats[needed].astype(np.float32))
        if self.partner is not None and self.weight is not None:
            place = np.empty(len(self.partner), np.int64)  # of each needed window among them
            place[needed] = np.arange(len(needed))
            partner = torch.from_numpy(place[self.partner[needed[:own]]])
            of_own = self.weight[needed[:own]]
            weight = torch.from_numpy(np.minimum(of_own, 1 - _SMALLEST_SHARE).astype(np.float32))
            mixed = torch.from_numpy(of_own < 1)
        if self.silent is not None:
            places = torch.from_numpy(needed[:own])
            bands, columns = (mask[places] for mask in self.silent)
        if self.background is not None:
            found = self.background.added[needed]
            chosen = np.arange(len(needed)) if every else np.flatnonzero(found)
            rows = torch.from_numpy(chosen)
            ratio = torch.from_numpy(self.background.ratio[needed[chosen]].astype(np.float32))
            added = torch.from_numpy(found) if every else None
        return Draws(shift, nats, partner, weight, mixed, bands, columns, rows, ratio, added)

    def apply(
        self, x: Tensor, targets: Targets, needed: NDArray[np.int64], own: int, noise: Tensor | None = None
    ) -> tuple[Tensor, Targets]:
        """Augment the first `own` of some windows.

        Args:
            x: mel frames of the windows, shape (windows, 1, mels, frames), in the units of `scaling`.
            targets: of the windows.
            needed: which windows of the batch they are (`rows_needed`).
            own: number of windows to augment.
            noise: backgrounds of the windows of `x` that get one (`BackgroundNoise.added`), in the units of `scaling`; None: none.

        Returns:
            The augmented windows and their targets; shapes (own, 1, mels, frames) and (own, species).
        """
        draws = self.tensors(needed, own).on(x.device)
        return augment(x, targets, draws, self.settings.outputs, self.scaling, noise)


class Draws(NamedTuple):
    """The random numbers of `Augmentation` for some windows, the first `own` of which are augmented; None: no such change.

    Attributes:
        shift: number of frames by which each window is shifted; shape (windows,).
        nats: change of the logarithm of power of each band; shape (windows, mels), float32.
        partner: place of the window that each window is mixed with; shape (own,).
        weight: weight of each window in its mixture, `1 - _SMALLEST_SHARE` if it is not mixed; shape (own,), float32.
        mixed: whether each window is mixed; shape (own,), bool.
        bands: masked bands; shape (own, 1, mels, 1), bool.
        columns: masked frames; shape (own, 1, 1, frames), bool.
        noisy: places of the windows for which there is a background; shape (backgrounds,).
        ratio: their signal-to-noise ratios, nats of power; shape (backgrounds,), float32.
        added: which of these windows keep the background; shape (backgrounds,), bool; None: all.
    """

    shift: Tensor | None
    nats: Tensor | None
    partner: Tensor | None
    weight: Tensor | None
    mixed: Tensor | None
    bands: Tensor | None
    columns: Tensor | None
    noisy: Tensor | None
    ratio: Tensor | None
    added: Tensor | None

    def on(self, device: torch.device) -> "Draws":
        """Return the numbers on a device."""
        return Draws(*(None if values is None else values.to(device, non_blocking=True) for values in self))


@step_part(AUGMENTATION)
def augment(
    x: Tensor, targets: Targets, draws: Draws, outputs: str, scaling: AmplitudeScaling, noise: Tensor | None
) -> tuple[Tensor, Targets]:
    """Augment the first windows of `x`. Which operations run depends on no value of a tensor, so a CUDA graph can hold them.

    Args:
        x: mel frames of the windows, shape (windows, 1, mels, frames), in the units of `scaling`.
        targets: of the windows.
        draws: random numbers, on the device of `x`.
        outputs: see `TrainSettings.outputs`.
        scaling: amplitude scaling of the front end.
        noise: backgrounds of the windows `Draws.noisy`, in the units of `scaling`; None: none.

    Returns:
        The augmented windows and their targets.
    """
    mels, frames = x.shape[2:]
    if draws.shift is not None:
        columns = (torch.arange(frames, device=x.device) + draws.shift[:, None]) % frames
        x = x.gather(3, columns[:, None, None, :].expand(-1, 1, mels, -1))
    if isinstance(scaling, Magnitude):
        x = _log_power(x, scaling)
        noise = None if noise is None else _log_power(noise, scaling)
    if draws.nats is not None:
        x = x + draws.nats[:, None, :, None]
    if draws.noisy is not None and draws.ratio is not None and noise is not None:
        x = add_background(x, noise, draws.noisy, draws.ratio, draws.added, scaling)
    if draws.partner is not None and draws.weight is not None and draws.mixed is not None:
        has_log_power = isinstance(scaling, Log | Magnitude)
        x, targets = _mix(x, targets, draws.partner, draws.weight, draws.mixed, outputs, has_log_power)
    if isinstance(scaling, Magnitude):
        x = torch.exp(x * (scaling.exponent / 2))
    if draws.bands is not None and draws.columns is not None:
        x = x.masked_fill(draws.bands | draws.columns, scaling.silence)
    return x, targets


def _log_power(x: Tensor, scaling: Magnitude) -> Tensor:
    """Return the logarithm of the power of magnitudes."""
    return torch.log(x.clamp(min=MIN_POWER ** (scaling.exponent / 2))) * (2 / scaling.exponent)


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
    nats: NDArray[np.float64] = (curve + gain) * NATS_PER_DB
    return nats


def _mix(
    x: Tensor, targets: Targets, partner: Tensor, w: Tensor, mixed: Tensor, outputs: str, log_power: bool
) -> tuple[Tensor, Targets]:
    """Mix the first windows of `x` with other windows of the batch, and their targets.

    If `x` is the logarithm of power (`log_power`), the powers are added, as for two birds that sing at once; otherwise
    the values are added. Of all augmentations, mixing helps small corpora most (between-class learning, Tokozume et al. 2018).

    The targets of softmax outputs are mixed with the weights of the parts, so that they still sum to 1. Those of independent
    outputs are unions; see `_union`.

    Args:
        x: mel frames, shape (windows, 1, mels, frames).
        targets: of the windows.
        partner: places in `x` of the windows that the first ones are mixed with.
        w: weights of the first windows in their mixtures, below 1.
        mixed: which of the first windows are mixed.
        outputs: see `TrainSettings.outputs`.
        log_power: whether `x` is the logarithm of power.
    """
    y, own = x[: len(partner)], Targets(*(values[: len(partner)] for values in targets))
    other = Targets(targets.present[partner], targets.known[partner])
    a, b = w[:, None, None, None], 1 - w[:, None, None, None]
    sound = torch.logaddexp(y + torch.log(a), x[partner] + torch.log1p(-a)) if log_power else a * y + b * x[partner]
    if outputs == "softmax":
        return sound, own._replace(present=w[:, None] * own.present + (1 - w)[:, None] * other.present)
    level = torch.logsumexp(x.flatten(1), 1) if log_power else torch.log(x.flatten(1).sum(1).clamp(min=MIN_POWER))
    difference = level[partner] + torch.log1p(-w) - level[: len(partner)] - torch.log(w)
    return sound, _union(own, other, difference, mixed)


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


def _masks(
    windows: int, mels: int, frames: int, settings: TrainSettings, rng: np.random.Generator
) -> tuple[Tensor, Tensor]:
    """Draw the mel bands and frames of each window that are masked with silence (SpecAugment, Park et al. 2019).

    torchaudio's masks draw from torch's global generator. It is seeded from `rng` here, and its state is restored.

    Returns:
        Masked bands, shape (windows, 1, mels, 1), and masked frames, shape (windows, 1, 1, frames), bool.
    """
    masked = rng.random((2, windows)) < settings.mask_probability
    state = torch.get_rng_state()
    torch.default_generator.manual_seed(int(rng.integers(2**62)))  # the one of the CPU alone
    bands, columns = torch.zeros(windows, 1, mels, 1), torch.zeros(windows, 1, 1, frames)
    for axis, (mask, width) in enumerate(((bands, settings.mask_bands), (columns, settings.mask_frames))):
        if width and masked[axis].any():
            index = torch.from_numpy(np.flatnonzero(masked[axis]))
            mask[index] = functional.mask_along_axis_iid(mask[index], width, 1.0, 2 + axis, _LARGEST_MASK)
    torch.set_rng_state(state)
    return bands > 0, columns > 0
