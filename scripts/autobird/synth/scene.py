"""Synthesis of a field recording: a bird at a distance, with background birds, reverberation, noise and a microphone."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from autobird.synth.acoustics import Samples, absorb, microphone, reverberate
from autobird.synth.bird import draw_bird
from autobird.synth.grammar import FIRST_BACKGROUND_SPECIES, Grammar, individual_grammar, species_grammar
from autobird.synth.plan import Plan, RecordingPlan
from autobird.synth.sounds import background_noise
from autobird.synth.voice import render_song

BACKGROUND_SPECIES = 40
"""Number of species that sing in the background."""

_SNR_MEAN, _SNR_SD = 7.0, 6.0
"""Ratio of the birds' power to the noise power in a recording: mean and standard deviation, dB."""


@dataclass(frozen=True)
class SungNote:
    """A note of the labelled species: onset and offset in seconds, lowest and highest frequency in Hz."""

    onset: float
    offset: float
    low: float
    high: float


def render(plan: Plan) -> tuple[Samples, list[SungNote]]:
    """Return the samples of a recording, shape (n, channels), peak at most 0.9, and the notes of the labelled species."""
    bird, distance, rng, session_rng = draw_bird(plan)
    n = round(plan.duration * plan.sample_rate)
    songs, notes = render_songs(bird, plan, rng, n)
    scene = absorb(songs, plan.sample_rate, distance) * (10.0 / distance)
    for _ in range(int(rng.poisson(1.0))):
        species = FIRST_BACKGROUND_SPECIES + int(session_rng.integers(BACKGROUND_SPECIES))
        other_bird = individual_grammar(species_grammar(plan.seed, species), rng)
        other_distance = np.exp(rng.uniform(np.log(15), np.log(120)))
        songs, _unused = render_songs(other_bird, plan, rng, n, share=0.6)
        scene = scene + absorb(songs, plan.sample_rate, other_distance) * (10.0 / other_distance)
    scene = reverberate(scene, plan.sample_rate, session_rng.uniform(0.2, 1.1), session_rng.uniform(0.02, 0.3), rng)
    noise = background_noise(n, plan.sample_rate, session_rng, rng)
    signal_rms = np.sqrt(np.mean(scene**2)) + 1e-9
    snr = rng.normal(_SNR_MEAN, _SNR_SD)
    mix = scene + noise * signal_rms * 10 ** (-snr / 20) / np.sqrt(np.mean(noise**2))
    mix = microphone(mix, plan.sample_rate, session_rng)
    return finish(mix, plan, rng), notes


def finish(mix: Samples, plan: RecordingPlan, rng: np.random.Generator) -> Samples:
    """Return a scene with the number of channels and a random level, shape (n, channels), peak at most 0.9."""
    channels = [mix]
    if plan.channels == 2:
        delay = int(rng.integers(0, plan.sample_rate // 2000))
        channels.append(np.roll(mix, delay) * rng.uniform(0.7, 1.0))
    out = np.stack(channels, axis=1)
    out *= 10 ** (rng.uniform(-16, -1) / 20) * 0.9 / max(1e-9, float(np.abs(out).max()))
    return out.astype(np.float32)


def render_songs(
    bird: Grammar, plan: RecordingPlan, rng: np.random.Generator, n: int, share: float = 1.0
) -> tuple[NDArray[np.float64], list[SungNote]]:
    """Return `n` samples of songs with pauses between them, and their notes. At least one song begins in them.

    Args:
        bird: grammar of the individual.
        plan: duration and sampling rate.
        rng: source of the variation between songs.
        n: number of samples.
        share: probability that a song after the first one is sung.
    """
    out = np.zeros(n)
    sung: list[SungNote] = []
    time = rng.uniform(0.1, max(0.2, min(1.8, plan.duration - 2.0)))
    while time < plan.duration - 0.3:
        if rng.random() < share or not sung:
            notes, time = render_song(bird, time, plan.sample_rate, rng)
            for note in notes:
                begin = round(note.onset * plan.sample_rate)
                samples = note.samples[: max(0, n - begin)]
                out[begin : begin + len(samples)] += samples
                if len(samples):
                    offset = min(plan.duration, note.onset + len(note.samples) / plan.sample_rate)
                    sung.append(SungNote(note.onset, offset, note.low, note.high))
        time += bird.pause * np.exp(rng.normal(0, 0.5))
        if rng.random() < 0.12:
            time += rng.uniform(2, 6)
    return out, sung
