"""A field recording: the bird at a distance, among wind, insects, other birds and silence."""

from dataclasses import dataclass

import numpy as np
import scipy.fft
from numpy.typing import NDArray
from scipy.signal import oaconvolve

from autobird.synth.grammar import STRANGERS, Grammar, individual, species_grammar
from autobird.synth.plan import Plan
from autobird.synth.voice import song


@dataclass(frozen=True)
class Event:
    """A note of the labelled species: onset and offset in seconds, band in Hz."""

    onset: float
    offset: float
    low: float
    high: float


_STRANGERS = 40
"""Kinds of other birds that live in the background."""


def render(plan: Plan) -> tuple[NDArray[np.float32], list[Event]]:
    """The samples of a recording, shape (n, channels), peak at most 0.9, and the truth about its notes."""
    rng = np.random.default_rng([plan.seed, 3, plan.species, plan.number])
    # What a session shares: the bird, the microphone, the weather.
    place = np.random.default_rng([plan.seed, 4, plan.species, plan.session])
    bird = individual(species_grammar(plan.seed, plan.species), place)
    n = round(plan.duration * plan.sample_rate)
    distance = np.exp(place.uniform(np.log(8), np.log(70)) + rng.normal(0, 0.25))
    voice, events = _sing(bird, plan, rng, n)
    voice = _air(voice, plan.sample_rate, distance) * (10.0 / distance)
    scene = voice
    for _ in range(int(rng.poisson(1.0))):
        other = individual(species_grammar(plan.seed, STRANGERS + int(place.integers(_STRANGERS))), rng)
        far = np.exp(rng.uniform(np.log(15), np.log(120)))
        stray, _unused = _sing(other, plan, rng, n, share=0.6)
        scene = scene + _air(stray, plan.sample_rate, far) * (10.0 / far)
    scene = _reverberate(scene, plan.sample_rate, place.uniform(0.2, 1.1), place.uniform(0.02, 0.3), rng)
    noise = _weather(n, plan.sample_rate, place, rng)
    loudness = np.sqrt(np.mean(scene**2)) + 1e-9
    snr = rng.normal(7.0, 6.0)
    mix = scene + noise * loudness * 10 ** (-snr / 20) / np.sqrt(np.mean(noise**2))
    mix = _microphone(mix, plan.sample_rate, place)
    channels = [mix]
    if plan.channels == 2:
        delay = int(rng.integers(0, plan.sample_rate // 2000))
        channels.append(np.roll(mix, delay) * rng.uniform(0.7, 1.0))
    out = np.stack(channels, axis=1)
    out *= 10 ** (rng.uniform(-16, -1) / 20) * 0.9 / max(1e-9, float(np.abs(out).max()))
    return out.astype(np.float32), events


def _sing(
    bird: Grammar, plan: Plan, rng: np.random.Generator, n: int, share: float = 1.0
) -> tuple[NDArray[np.float64], list[Event]]:
    """Songs with pauses over the recording; at least one begins in it."""
    out = np.zeros(n)
    events: list[Event] = []
    at = rng.uniform(0.1, max(0.2, min(1.8, plan.duration - 2.0)))
    while at < plan.duration - 0.3:
        if rng.random() < share or not events:
            notes, at = song(bird, at, plan.sample_rate, rng)
            for note in notes:
                begin = round(note.onset * plan.sample_rate)
                part = note.samples[: max(0, n - begin)]
                out[begin : begin + len(part)] += part
                if len(part):
                    end = min(plan.duration, note.onset + len(note.samples) / plan.sample_rate)
                    events.append(Event(note.onset, end, note.low, note.high))
        at += bird.pause * np.exp(rng.normal(0, 0.5))
        if rng.random() < 0.12:
            at += rng.uniform(2, 6)
    return out, events


Samples = NDArray[np.float32]
"""Single precision: transforms take half the time, and the sound differs from that in double precision by -70 dB (measured)."""


def _shape(signal: NDArray[np.floating], gain: NDArray[np.floating]) -> Samples:
    """Multiply the spectrum by `gain`, given at `_frequencies` of the signal."""
    n = scipy.fft.next_fast_len(len(signal), real=True)
    spectrum = scipy.fft.rfft(signal.astype(np.float32), n)
    spectrum *= gain.astype(np.float32, copy=False)
    return np.asarray(scipy.fft.irfft(spectrum, n)[: len(signal)], np.float32)


def _frequencies(n: int, rate: int) -> Samples:
    return np.fft.rfftfreq(scipy.fft.next_fast_len(n, real=True), 1 / rate).astype(np.float32)


def _air(signal: NDArray[np.float64], rate: int, distance: float) -> Samples:
    """Absorption by air and leaves: about 0.4 dB per kHz and 10 m, so far birds sound dull."""
    khz = _frequencies(len(signal), rate) / 1000
    return _shape(signal, np.exp(khz * np.float32(-0.04 * distance / 20 * np.log(10))))


def _reverberate(signal: Samples, rate: int, seconds: float, wet: float, rng: np.random.Generator) -> Samples:
    """Exponentially decaying noise as room response; -60 dB after `seconds`."""
    n = round(seconds * rate)
    tail = rng.standard_normal(n) * 10 ** (-3 * np.arange(n) / n)
    tail *= wet / np.sqrt(np.sum(tail**2))
    tail[0] += 1.0
    wet_signal: Samples = oaconvolve(signal, tail.astype(np.float32))[: len(signal)]
    return wet_signal


def _weather(n: int, rate: int, place: np.random.Generator, rng: np.random.Generator) -> Samples:
    """Background: a coloured floor, gusts of wind, insects that sing in a narrow band."""
    f = np.maximum(_frequencies(n, rate), np.float32(20))
    colour, wind, insects = place.uniform(0.2, 1.1), place.uniform(0, 1.6), place.uniform(0, 1.2)
    band, width, chirp = place.uniform(3800, 7200), place.uniform(150, 600), place.uniform(6, 30)
    t = (np.arange(n) / rate).astype(np.float32)
    floor = _shape(rng.standard_normal(n), (f / 1000) ** -colour)
    out = floor / np.std(floor)
    if wind > 0.5:
        gusts = _shape(rng.standard_normal(n), (f / 100) ** -1.8)
        out = out + wind * gusts / np.std(gusts) * (
            1 + np.sin(2 * np.pi * rng.uniform(0.1, 0.4) * t + rng.uniform(0, 6))
        )
    if insects > 0.5:
        stridulation = _shape(rng.standard_normal(n), np.exp(-0.5 * ((f - band) / width) ** 2))
        pulses = 0.5 + 0.5 * np.sign(np.sin(2 * np.pi * chirp * t + rng.uniform(0, 6)))
        out = out + insects * stridulation / np.std(stridulation) * pulses
    return out


def _microphone(signal: Samples, rate: int, place: np.random.Generator) -> Samples:
    """The session's equipment: a high-pass, a tilt and two broad resonances."""
    f = np.maximum(_frequencies(len(signal), rate), np.float32(20))
    db = place.normal(0, 2.5) * np.log2(f / 2000)
    for _ in range(2):
        db = db + place.normal(0, 5) * np.exp(-0.5 * (np.log2(f / place.uniform(800, 7000)) / 0.5) ** 2)
    corner = place.uniform(60, 400)
    return _shape(signal, 10 ** (db / 20) * f / np.sqrt(f**2 + corner**2))
