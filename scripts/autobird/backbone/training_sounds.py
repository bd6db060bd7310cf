"""Training sounds for a student: random parts of recordings, played faster or slower, mixed, filtered and with added noise.

The teacher's answer to such a sound is computed, not assumed, so the sounds may differ from the recordings as much as they do
here (Beyer et al. 2022, "Knowledge distillation: a good teacher is patient and consistent").
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import scipy.fft
from numpy.typing import NDArray

Samples = NDArray[np.float32]

SPEED_PROBABILITY, MAX_SPEED = 0.5, 0.18
"""How often the speed is changed, which changes the pitch too, and the largest change as a logarithm: 16 % slower to 20 % faster. Of
all changes this one helps most."""

MIX_PROBABILITY, MIX_GAIN_DB = 0.5, (-12.0, 6.0)
"""How often a second sound is added, and its level relative to the first, dB."""

FILTER_PROBABILITY, FILTER_DB, FILTER_ORDERS = 0.5, 4.0, 5
"""How often the sound is filtered, and standard deviation and number of the cosines that make up the filter's curve, dB."""

NOISE_PROBABILITY, NOISE_SNR_DB = 0.4, (5.0, 35.0)
"""How often noise is added, white or pink, and the ratio of the sound to it, dB."""

_SILENCE = 1e-4
"""Added to levels that are divided by, full scale = 1."""


class Plan(NamedTuple):
    """What a training sound is made of.

    Attributes:
        recording: number of the recording.
        position: where the part begins, as a share of the possible positions.
        speed: factor of the speed.
        partner: number of the recording whose part is added; -1 for none.
        partner_position: as `position`.
        partner_gain: factor of its level relative to that of the first part.
        seed: of filter and noise.
    """

    recording: int
    position: float
    speed: float
    partner: int
    partner_position: float
    partner_gain: float
    seed: int


def plan_sounds(lengths: NDArray[np.int64], count: int, rng: np.random.Generator) -> list[Plan]:
    """Plan training sounds. A recording is drawn in proportion to the square root of its length.

    Args:
        lengths: samples of each recording, at least one recording; none is empty.
        count: number of sounds.
        rng: random numbers.
    """
    weights = np.sqrt(lengths.astype(np.float64))
    first, second = (rng.choice(len(lengths), count, p=weights / weights.sum()) for _ in range(2))
    position, partner_position = rng.random((2, count))
    changed = rng.random(count) < SPEED_PROBABILITY
    speed = np.exp(np.where(changed, rng.uniform(-MAX_SPEED, MAX_SPEED, count), 0.0))
    mixed = rng.random(count) < MIX_PROBABILITY
    gain = 10 ** (rng.uniform(*MIX_GAIN_DB, count) / 20)
    seeds = rng.integers(2**31, size=count)
    return [
        Plan(int(first[i]), position[i], speed[i], int(second[i]) if mixed[i] else -1, partner_position[i], gain[i], int(seeds[i]))
        for i in range(count)
    ]  # fmt: skip


def make_sound(plan: Plan, recording: Callable[[int], NDArray[np.int16]], length: int) -> Samples:
    """Return a training sound; shape (length,), full scale = 1.

    Args:
        plan: what it is made of.
        recording: returns the samples of a recording by its number.
        length: number of samples. A part of a shorter recording is padded with zeros.
    """
    sound = _part(recording(plan.recording), plan.position, length, plan.speed)
    if plan.partner >= 0:
        other = _part(recording(plan.partner), plan.partner_position, length, 1.0)
        sound = sound + other * np.float32(plan.partner_gain * (_rms(sound) + _SILENCE) / (_rms(other) + _SILENCE))
    rng = np.random.default_rng(plan.seed)
    if rng.random() < FILTER_PROBABILITY:
        sound = _filtered(sound, rng)
    if rng.random() < NOISE_PROBABILITY:
        sound = sound + _noise(length, rng) * np.float32(_rms(sound) * 10 ** (-rng.uniform(*NOISE_SNR_DB) / 20))
    return sound / np.float32(max(1.0, float(np.abs(sound).max())))


def _part(samples: NDArray[np.int16], position: float, length: int, speed: float) -> Samples:
    """Return a part of a recording at another speed, by linear interpolation."""
    span = math.ceil(length * speed) + 1
    start = int(position * max(0, len(samples) - span))
    taken = np.zeros(span, np.float32)
    found = samples[start : start + span]
    np.multiply(found, np.float32(1 / 32768), out=taken[: len(found)])
    if speed == 1.0:
        return taken[:length]
    return np.interp(np.arange(length) * speed, np.arange(span), taken).astype(np.float32)


def _rms(sound: Samples) -> float:
    return float(np.sqrt(np.mean(np.square(sound), dtype=np.float64)))


def _filtered(sound: Samples, rng: np.random.Generator) -> Samples:
    """Filter with a smooth random curve: cosines over the square root of the frequency, which widens low frequencies."""
    spectrum = scipy.fft.rfft(sound)
    frequency = np.sqrt(np.linspace(0, 1, len(spectrum)))
    curve = rng.normal(0, FILTER_DB, FILTER_ORDERS) @ np.cos(
        np.pi * np.arange(1, FILTER_ORDERS + 1)[:, None] * frequency
    )
    factor = (10 ** (curve / 20)).astype(np.float32)
    return np.asarray(scipy.fft.irfft(spectrum * factor, len(sound)), np.float32)


def _noise(length: int, rng: np.random.Generator) -> Samples:
    """Return white or pink noise with an RMS of 1."""
    noise = rng.standard_normal(length, np.float32)
    if rng.random() < 0.5:
        fall = np.sqrt(np.linspace(1e-3, 1, length // 2 + 1, dtype=np.float32))
        noise = np.asarray(scipy.fft.irfft(scipy.fft.rfft(noise) / fall, length), np.float32)
    return noise / np.float32(_rms(noise))
