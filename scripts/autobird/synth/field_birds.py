"""The birds that sing in a field recording: which species live at a site, how far from the recorder, and when they sing."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from autobird.synth.field_plan import FieldPlan
from autobird.synth.grammar import FIRST_BACKGROUND_SPECIES, Grammar, individual_grammar, species_grammar
from autobird.synth.plan import species_name

UNKNOWN_GENUS = "Fictospiza"
"""Genus of the species that sing in the field recordings only; the genus of the species of the corpus is Fictornis."""

OTHER_SPECIES = 60
"""Number of species besides those of the corpus. The first 40 of them are also in the background of the corpus."""

_OTHERS_PER_SITE, _OTHERS_SING = 3, 0.3
"""Number of other species at a site, and the probability that a bird of one sings in a recording."""

_OCCUPANCY, _MAX_SPECIES = 0.3, 1.5
"""Highest probability that a species lives at a site besides the two at which it always does, and highest mean number of such species
at a site."""

_SECOND_BIRD = 0.15
"""Probability that a second bird of a species lives at a site."""

_DISTANCES = (8.0, 90.0)
"""Range of the distance of a bird from the recorder, metres."""

_DAWN, _EVENING = (0.4, 0.4, 0.1), (0.25, 0.1, 0.4)
"""Probabilities that a bird sings in a recording, of species of three kinds: at any time, at dawn, in the evening."""


class Bird(NamedTuple):
    """A singing bird: name of its species, its song, and its distance from the recorder in metres."""

    species: str
    grammar: Grammar
    distance: float


def unknown_name(index: int) -> str:
    """Return the name of a species that is not in the corpus."""
    return species_name(index).replace("Fictornis", UNKNOWN_GENUS)


def occupied(seed: int, species: int, site: int) -> list[int]:
    """Return the indices of the species of the corpus that live at a site.

    Args:
        seed: seed of the corpus.
        species: number of species of the corpus.
        site: index of the recorder.
    """
    share = min(_OCCUPANCY, _MAX_SPECIES / species)
    draws = [np.random.default_rng([seed, 11, site, index]).random() for index in range(species)]
    homes = [(index % 4, (index + 1 + index // 4 % 3) % 4) for index in range(species)]
    return [index for index, draw in enumerate(draws) if site in homes[index] or draw < share]


def birds_of(plan: FieldPlan) -> Iterator[Bird]:
    """Yield the birds that sing in a recording. A site has the same birds in all of its recordings."""
    rng = np.random.default_rng([plan.seed, 12, plan.number])
    chances = _EVENING if plan.is_evening else _DAWN
    for index in occupied(plan.seed, plan.species, plan.site):
        for bird in _residents(plan, index, species_name(index)):
            if rng.random() < chances[index % 3]:
                yield bird
    others = np.random.default_rng([plan.seed, 13, plan.site]).choice(OTHER_SPECIES, _OTHERS_PER_SITE, replace=False)
    for other in others:
        for bird in _residents(plan, FIRST_BACKGROUND_SPECIES + int(other), unknown_name(int(other))):
            if rng.random() < _OTHERS_SING:
                yield bird


def _residents(plan: FieldPlan, index: int, name: str) -> Iterator[Bird]:
    """Yield the birds of a species at a site. None of them is in the corpus, whose individuals have other seeds."""
    rng = np.random.default_rng([plan.seed, 14, plan.site, index])
    for _ in range(1 + int(rng.random() < _SECOND_BIRD)):
        bird = individual_grammar(species_grammar(plan.seed, index), rng)
        yield Bird(name, bird, float(np.exp(rng.uniform(*np.log(_DISTANCES)))))
