"""Species as grammars of syllables, and individuals that vary them."""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

Kind = Literal["whistle", "trill", "buzz", "harmonics"]
KINDS: tuple[Kind, ...] = ("whistle", "trill", "buzz", "harmonics")

STRANGERS = 10_000
"""Grammars from this index on are never species of the corpus: the other birds in the background."""


@dataclass(frozen=True)
class Syllable:
    """One sound of a repertoire.

    Attributes:
        kind: how it is made.
        frequency: centre of its contour (fundamental of `harmonics`), Hz.
        slope: rise over the syllable, octaves (negative: it falls).
        bend: how far the middle lies above the straight line between the ends, octaves.
        duration: seconds.
        rate: elements per second of a trill, amplitude modulation of a buzz, vibrato else, Hz.
        depth: vibrato, octaves (peak).
        attack: share of the duration until the loudest point.
        harmonics: number of partials of `harmonics`.
    """

    kind: Kind
    frequency: float
    slope: float
    bend: float
    duration: float
    rate: float
    depth: float
    attack: float
    harmonics: int


@dataclass(frozen=True)
class Grammar:
    """What a species sings: syllables, the order of a song, and how often it comes.

    Attributes:
        syllables: the repertoire.
        song: indices into `syllables` in singing order, each with its usual number of repeats.
        gap: seconds between two syllables.
        pause: seconds between two songs.
    """

    syllables: tuple[Syllable, ...]
    song: tuple[tuple[int, int], ...]
    gap: float
    pause: float


def _ancestor(seed: int, pair: int) -> Grammar:
    rng = np.random.default_rng([seed, 1, pair])
    syllables = []
    for kind in rng.permutation(np.array(KINDS))[: rng.integers(3, 5)]:
        low, high = {"harmonics": (900, 1600), "buzz": (2400, 4800)}.get(kind, (2200, 5200))
        syllables.append(
            Syllable(
                kind=kind,
                frequency=float(np.exp(rng.uniform(np.log(low), np.log(high)))),
                slope=float(rng.choice([-1, 1]) * rng.uniform(0.25, 0.6)),
                bend=float(rng.uniform(-0.25, 0.25)),
                duration=float(rng.uniform(0.3, 0.6) if kind == "trill" else rng.uniform(0.14, 0.34)),
                rate=float({"trill": rng.uniform(14, 26), "buzz": rng.uniform(45, 110)}.get(kind, rng.uniform(5, 9))),
                depth=float(rng.uniform(0.0, 0.05)),
                attack=float(rng.uniform(0.15, 0.85)),
                harmonics=int(rng.integers(3, 7)),
            )
        )
    song = [(i, int(rng.integers(1, 4))) for i in range(len(syllables))]
    if rng.random() < 0.5:
        song.insert(int(rng.integers(1, len(song) + 1)), (int(rng.integers(len(syllables))), 1))
    return Grammar(tuple(syllables), tuple(song), float(rng.uniform(0.05, 0.14)), float(rng.uniform(1.0, 2.4)))


def species_grammar(seed: int, index: int) -> Grammar:
    """The grammar of species `index`.

    Species come in sister pairs that share register, timbre and tempo; the second sings the syllables of
    the first mirrored in time and in the opposite order. Their average spectra are the same, so only a
    classifier that hears contour and order tells them apart.
    """
    grammar = _ancestor(seed, index // 2)
    if index % 2 == 0:
        return grammar
    mirrored = tuple(replace(s, slope=-s.slope, attack=1.0 - s.attack) for s in grammar.syllables)
    return replace(grammar, syllables=mirrored, song=grammar.song[::-1])


def individual(grammar: Grammar, rng: np.random.Generator) -> Grammar:
    """One bird's version: its own register, tempo and contours, and now and then a syllable left out."""
    register, tempo = np.exp(rng.normal(0, 0.085)), np.exp(rng.normal(0, 0.085))
    syllables = tuple(
        replace(
            s,
            frequency=s.frequency * register * np.exp(rng.normal(0, 0.045)),
            slope=s.slope * np.exp(rng.normal(0, 0.2)),
            bend=s.bend + rng.normal(0, 0.055),
            duration=s.duration * tempo * np.exp(rng.normal(0, 0.08)),
            rate=s.rate / tempo * np.exp(rng.normal(0, 0.06)),
            depth=abs(s.depth + rng.normal(0, 0.012)),
        )
        for s in grammar.syllables
    )
    song = [(i, max(1, n + int(rng.integers(-1, 2)))) for i, n in grammar.song]
    if len(song) > 2 and rng.random() < 0.28:
        song.pop(int(rng.integers(len(song))))
    return replace(grammar, syllables=syllables, song=tuple(song), gap=grammar.gap * tempo, pause=grammar.pause * tempo)
