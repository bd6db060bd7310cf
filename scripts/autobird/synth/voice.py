"""Syllables and songs as samples."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter

from autobird.synth.grammar import Grammar, Syllable

Samples = NDArray[np.float64]

_TOP = 7600.0
"""Highest frequency that a syllable holds, Hz: below half the lowest sampling rate of the corpus."""


@dataclass(frozen=True)
class Note:
    """A sung syllable: samples from `onset`, and the band it fills."""

    onset: float
    samples: Samples
    low: float
    high: float


def syllable(s: Syllable, rate: int, rng: np.random.Generator) -> tuple[Samples, float, float]:
    """One rendition at `rate` Hz, peak about 1, with the lowest and highest frequency of its contour, Hz."""
    n = max(64, round(s.duration * np.exp(rng.normal(0, 0.05)) * rate))
    x = np.arange(n) / n
    seconds = np.arange(n) / rate
    place = x
    if s.kind == "trill":
        elements = max(2, round(s.rate * n / rate))
        place = (x * elements) % 1.0
    octaves = s.slope * (place - 0.5) + s.bend * (1 - 4 * (place - 0.5) ** 2) + rng.normal(0, 0.02)
    if s.kind != "trill" and s.kind != "buzz":
        octaves = octaves + s.depth * np.sin(2 * np.pi * s.rate * seconds + rng.uniform(0, 2 * np.pi))
    contour = np.minimum(s.frequency * 2.0**octaves, _TOP)
    phase = 2 * np.pi * np.cumsum(contour) / rate
    top = float(contour.max())
    if s.kind == "harmonics":
        out = np.zeros(n)
        for k in range(1, s.harmonics + 1):
            out += np.where(contour * k < _TOP, np.sin(k * phase), 0.0) / k
        top = min(_TOP, top * s.harmonics)
    elif s.kind == "buzz":
        # A carrier with a fast pulse train and a little noise on its phase: a rough band instead of a line.
        roughness = lfilter([0.06], [1, -0.94], rng.standard_normal(n)) * 2.5
        out = np.sin(phase + roughness) * (0.5 + 0.5 * np.sin(2 * np.pi * s.rate * seconds)) ** 2
    else:
        out = np.sin(phase)
    if s.kind == "trill":
        out *= np.sin(np.pi * place) ** 0.7
    rise = np.clip(x / max(0.05, s.attack), 0, 1)
    fall = np.clip((1 - x) / max(0.05, 1 - s.attack), 0, 1)
    return out * np.sin(0.5 * np.pi * rise) * np.sin(0.5 * np.pi * fall), float(contour.min()), top


def song(grammar: Grammar, start: float, rate: int, rng: np.random.Generator) -> tuple[list[Note], float]:
    """One song from `start` seconds on: its notes, and when it ends."""
    notes, at = [], start
    for index, repeats in grammar.song:
        level = np.exp(rng.normal(0, 0.25))
        for _ in range(repeats):
            samples, low, high = syllable(grammar.syllables[index], rate, rng)
            notes.append(Note(at, samples * level, low, high))
            at += len(samples) / rate + grammar.gap * np.exp(rng.normal(0, 0.2))
    return notes, at
