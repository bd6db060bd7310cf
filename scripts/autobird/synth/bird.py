"""The bird that sings in a recording of the demo corpus: its song and its distance, without synthesis."""

from typing import Any, NamedTuple

import numpy as np

from autobird.synth.grammar import Grammar, individual_grammar, species_grammar
from autobird.synth.plan import Plan


class Bird(NamedTuple):
    """The bird of a recording: its song, its distance from the microphone in metres, and the generators for all further draws."""

    song: Grammar
    distance: Any
    rng: np.random.Generator
    session_rng: np.random.Generator


def draw_bird(plan: Plan) -> Bird:
    """Draw the bird of a recording. The order of the draws is part of the corpus: another order gives other recordings."""
    rng = np.random.default_rng([plan.seed, 3, plan.species, plan.number])
    # Shared by the recordings of a session: the bird, its surroundings, the weather, the microphone.
    session_rng = np.random.default_rng([plan.seed, 4, plan.species, plan.session])
    song = individual_grammar(species_grammar(plan.seed, plan.species), session_rng)
    # Not a Python float: in products with float32 samples, it makes the result float64.
    distance = np.exp(session_rng.uniform(np.log(8), np.log(70)) + rng.normal(0, 0.25))
    return Bird(song, distance, rng, session_rng)


def distance_of(plan: Plan) -> float:
    """Return the distance of the labelled bird from the microphone in metres, without synthesis."""
    return float(draw_bird(plan).distance)
