"""Synthesis of a recording without any of the species of the corpus: noise of one main kind, or birds of other species."""

import numpy as np

from autobird.synth import sounds
from autobird.synth.acoustics import Samples, absorb, microphone, reverberate
from autobird.synth.grammar import FIRST_BACKGROUND_SPECIES, individual_grammar, species_grammar
from autobird.synth.plan import OTHER_BIRDS, NegativePlan
from autobird.synth.scene import BACKGROUND_SPECIES, finish, render_songs

_LEVEL_MEAN, _LEVEL_SD = 8.0, 7.0
"""Ratio of the main sound's power to that of the background noise in a recording: mean and standard deviation, dB."""

OTHER_BIRD_SPECIES = range(FIRST_BACKGROUND_SPECIES + 100, FIRST_BACKGROUND_SPECIES + 180)
"""Indices of the species of `OTHER_BIRDS`. None of them is in the background of the corpus or in its field recordings,
so that these measure false alarms in the sound of species that the model has never heard."""

_OTHER_BIRD_DISTANCES = (8.0, 70.0)
"""Range of their distance, metres: that of the birds in the recordings of species."""

_OTHER_BIRD_SNR_MEAN, _OTHER_BIRD_SNR_SD = 7.0, 6.0
"""Ratio of their power to the noise power in a recording, as in the recordings of species: mean and standard deviation, dB."""

_SOUNDS: dict[str, sounds.Sound] = {
    "wind": sounds.wind, "rain": sounds.rain, "insects": sounds.insects, "traffic": sounds.traffic, "speech": sounds.speech,
    "machine": sounds.machine, "handling": sounds.handling,
}  # fmt: skip
"""The functions of all sounds of negatives except birds."""


def render_negative(plan: NegativePlan) -> Samples:
    """Return the samples of a recording, shape (n, channels), peak at most 0.9."""
    if plan.sound == OTHER_BIRDS:
        return _render_other_birds(plan)
    # The order of the draws from both generators is part of the corpus: another order gives other recordings.
    rng = np.random.default_rng([plan.seed, 6, plan.number])
    # Shared by the recordings of a session: the surroundings, the weather, the microphone.
    session_rng = np.random.default_rng([plan.seed, 7, plan.session])
    n = round(plan.duration * plan.sample_rate)
    is_noise = plan.sound in _SOUNDS
    sound = _SOUNDS[plan.sound](n, plan.sample_rate, rng) if is_noise else _distant_birds(plan, n, rng, session_rng)
    sound = reverberate(sound, plan.sample_rate, session_rng.uniform(0.2, 1.1), session_rng.uniform(0.02, 0.3), rng)
    noise = sounds.normalised(sounds.background_noise(n, plan.sample_rate, session_rng, rng))
    level = np.float32(10 ** (rng.normal(_LEVEL_MEAN, _LEVEL_SD) / 20))
    mix = microphone(noise + level * sounds.normalised(sound), plan.sample_rate, session_rng)
    return finish(mix, plan, rng)


def _render_other_birds(plan: NegativePlan) -> Samples:
    """Return a recording of one to three birds of other species as near as those of the corpus; a session has one or two species."""
    rng = np.random.default_rng([plan.seed, 16, plan.number])
    session_rng = np.random.default_rng([plan.seed, 17, plan.session])
    n = round(plan.duration * plan.sample_rate)
    species = session_rng.choice(OTHER_BIRD_SPECIES, int(session_rng.integers(1, 3)), replace=False)
    scene = np.zeros(n, np.float32)
    for _ in range(int(rng.integers(1, 4))):
        bird = individual_grammar(species_grammar(plan.seed, int(rng.choice(species))), rng)
        distance = np.exp(rng.uniform(*np.log(_OTHER_BIRD_DISTANCES)))
        songs, _unused = render_songs(bird, plan, rng, n)
        scene += absorb(songs, plan.sample_rate, distance) * np.float32(10.0 / distance)
    scene = reverberate(scene, plan.sample_rate, session_rng.uniform(0.2, 1.1), session_rng.uniform(0.02, 0.3), rng)
    noise = sounds.normalised(sounds.background_noise(n, plan.sample_rate, session_rng, rng))
    level = np.float32(10 ** (rng.normal(_OTHER_BIRD_SNR_MEAN, _OTHER_BIRD_SNR_SD) / 20))
    mix = microphone(noise + level * sounds.normalised(scene), plan.sample_rate, session_rng)
    return finish(mix, plan, rng)


def _distant_birds(plan: NegativePlan, n: int, rng: np.random.Generator, session_rng: np.random.Generator) -> Samples:
    """Return the songs of one to three birds of species that are in the background of other recordings, too."""
    out = np.zeros(n, np.float32)
    for _ in range(int(rng.integers(1, 4))):
        species = FIRST_BACKGROUND_SPECIES + int(session_rng.integers(BACKGROUND_SPECIES))
        bird = individual_grammar(species_grammar(plan.seed, species), rng)
        distance = np.exp(rng.uniform(np.log(30), np.log(150)))
        songs, _unused = render_songs(bird, plan, rng, n, share=0.6)
        out += absorb(songs, plan.sample_rate, distance) * np.float32(10.0 / distance)
    return out
