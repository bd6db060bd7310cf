"""Song grammars of the invented species, and their variation between individuals."""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

Kind = Literal["whistle", "trill", "buzz", "harmonics"]
KINDS: tuple[Kind, ...] = ("whistle", "trill", "buzz", "harmonics")

FIRST_BACKGROUND_SPECIES = 10_000
"""Species with this index or a higher one are never labels: they sing in the background."""


@dataclass(frozen=True)
class Syllable:
    """Parameters of a syllable.

    Attributes:
        kind: method of synthesis.
        frequency: centre of the frequency contour (of the fundamental, for `harmonics`), Hz.
        slope: rise of the contour over the syllable, octaves; negative if it falls.
        bend: height of the contour's middle above the straight line between its ends, octaves.
        duration: seconds.
        rate: elements per second of a trill, amplitude modulation of a buzz, vibrato of the other kinds, Hz.
        depth: peak deviation of the vibrato, octaves.
        attack: position of the loudest point, as a share of the duration.
        harmonics: number of partials, for `harmonics`.
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
    """The song of a species or an individual.

    Attributes:
        syllables: the repertoire.
        song: indices into `syllables` in order, each with its usual number of repeats.
        gap: mean time between two syllables, seconds.
        pause: mean time between two songs, seconds.
    """

    syllables: tuple[Syllable, ...]
    song: tuple[tuple[int, int], ...]
    gap: float
    pause: float


def _pair_grammar(seed: int, pair: int) -> Grammar:
    """Return the grammar from which both species of a pair are derived."""
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
    """Return the grammar of species `index`.

    Species come in pairs with the same frequencies, timbres and tempo. The second species of a pair sings the syllables of the
    first one reversed in time and in reverse order. Their mean spectra are therefore the same, and only a classifier that uses
    frequency contours and the order of syllables can distinguish them.
    """
    grammar = _pair_grammar(seed, index // 2)
    if index % 2 == 0:
        return grammar
    reversed_syllables = tuple(replace(s, slope=-s.slope, attack=1.0 - s.attack) for s in grammar.syllables)
    return replace(grammar, syllables=reversed_syllables, song=grammar.song[::-1])


def individual_grammar(grammar: Grammar, rng: np.random.Generator) -> Grammar:
    """Return the variant of one bird: frequencies, tempo and contours vary, and sometimes a syllable is left out."""
    pitch, tempo = np.exp(rng.normal(0, 0.085)), np.exp(rng.normal(0, 0.085))
    syllables = tuple(
        replace(
            s,
            frequency=s.frequency * pitch * np.exp(rng.normal(0, 0.045)),
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
