"""Synthesis of syllables and songs as samples."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter

from autobird.synth.grammar import Grammar, Syllable

Samples = NDArray[np.float64]

_MAX_FREQUENCY = 7600.0
"""Highest frequency of any syllable, Hz: below the Nyquist frequency of the lowest sampling rate in the corpus, 16 kHz."""


@dataclass(frozen=True)
class Note:
    """A rendered syllable: onset in seconds, samples, and the lowest and highest frequency in Hz."""

    onset: float
    samples: Samples
    low: float
    high: float


def render_syllable(s: Syllable, rate: int, rng: np.random.Generator) -> tuple[Samples, float, float]:
    """Return a rendition of a syllable, and the lowest and highest frequency of its contour in Hz.

    Args:
        s: the syllable.
        rate: sampling rate, Hz.
        rng: source of the variation between renditions.

    Returns:
        samples with a peak of about 1, low and high.
    """
    n = max(64, round(s.duration * np.exp(rng.normal(0, 0.05)) * rate))
    position = np.arange(n) / n  # in the syllable, from 0 to 1
    seconds = np.arange(n) / rate
    contour_position = position
    if s.kind == "trill":
        elements = max(2, round(s.rate * n / rate))
        contour_position = (position * elements) % 1.0
    octaves = s.slope * (contour_position - 0.5) + s.bend * (1 - 4 * (contour_position - 0.5) ** 2)
    octaves = octaves + rng.normal(0, 0.02)
    if s.kind != "trill" and s.kind != "buzz":
        octaves = octaves + s.depth * np.sin(2 * np.pi * s.rate * seconds + rng.uniform(0, 2 * np.pi))
    contour = np.minimum(s.frequency * 2.0**octaves, _MAX_FREQUENCY)
    phase = 2 * np.pi * np.cumsum(contour) / rate
    high = float(contour.max())
    if s.kind == "harmonics":
        out = np.zeros(n)
        for k in range(1, s.harmonics + 1):
            out += np.where(contour * k < _MAX_FREQUENCY, np.sin(k * phase), 0.0) / k
        high = min(_MAX_FREQUENCY, high * s.harmonics)
    elif s.kind == "buzz":
        # Pulses of a carrier whose phase is noisy, which gives a broad band instead of a line.
        phase_noise = lfilter([0.06], [1, -0.94], rng.standard_normal(n)) * 2.5
        out = np.sin(phase + phase_noise) * (0.5 + 0.5 * np.sin(2 * np.pi * s.rate * seconds)) ** 2
    else:
        out = np.sin(phase)
    if s.kind == "trill":
        out *= np.sin(np.pi * contour_position) ** 0.7
    rise = np.clip(position / max(0.05, s.attack), 0, 1)
    fall = np.clip((1 - position) / max(0.05, 1 - s.attack), 0, 1)
    return out * np.sin(0.5 * np.pi * rise) * np.sin(0.5 * np.pi * fall), float(contour.min()), high


def render_song(grammar: Grammar, start: float, rate: int, rng: np.random.Generator) -> tuple[list[Note], float]:
    """Return the notes of one song that starts at `start`, and the time at which it ends, both in seconds.

    Args:
        grammar: the grammar of the individual.
        start: seconds.
        rate: sampling rate, Hz.
        rng: source of the variation between songs.
    """
    notes, time = [], start
    for index, repeats in grammar.song:
        level = np.exp(rng.normal(0, 0.25))
        for _ in range(repeats):
            samples, low, high = render_syllable(grammar.syllables[index], rate, rng)
            notes.append(Note(time, samples * level, low, high))
            time += len(samples) / rate + grammar.gap * np.exp(rng.normal(0, 0.2))
    return notes, time
