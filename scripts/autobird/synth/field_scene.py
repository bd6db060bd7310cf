"""Synthesis of a field recording: several birds in bouts of songs, other species, weather, insects, traffic, and the boxes of the songs."""

from typing import NamedTuple

import numpy as np

from autobird.synth import sounds
from autobird.synth.acoustics import Samples, absorb, microphone, reverberate
from autobird.synth.field_birds import Bird, birds_of
from autobird.synth.field_plan import FieldPlan
from autobird.synth.voice import render_song

AUDIBLE_DB, CLEAR_DB = -10.0, 0.0
"""Signal-to-noise ratios of notes that decide about the box of a song. A song none of whose notes reaches the first is not in the
truth, because nobody could hear it or see it in a spectrogram. If at least half of its notes reach the second, its box has a label.
The boxes of all other songs are in the truth without a label."""

_GAIN = 0.35
"""Gain of the recorders: a bird at 10 m has about this peak."""

_NOISE = (0.012, 0.03)
"""Range of the root mean square of a site's background noise; a bird at 10 m has a peak of 1."""


class Song(NamedTuple):
    """A song in a recording, and its box.

    Attributes:
        species: name of the species.
        start: onset of its first note, seconds.
        end: offset of its last note, seconds.
        low: lowest frequency of its notes, Hz.
        high: highest frequency of its notes, Hz.
        snr: median of the signal-to-noise ratios of its notes, dB. That of a note is the ratio of its power to that of everything
            else in the recording, both within the duration of the note and between its lowest and highest frequency.
        best_snr: highest of these ratios, dB.
    """

    species: str
    start: float
    end: float
    low: float
    high: float
    snr: float
    best_snr: float

    @property
    def audible(self) -> bool:
        """Whether the song is in the truth."""
        return self.best_snr >= AUDIBLE_DB

    @property
    def clear(self) -> bool:
        """Whether its box has a label."""
        return self.snr >= CLEAR_DB


class _Note(NamedTuple):
    """A note of a song in the recording: first and last sample, lowest and highest frequency in Hz."""

    begin: int
    end: int
    low: float
    high: float


class _Sung(NamedTuple):
    """A song before its signal-to-noise ratio is known: species, first sample, samples, and its notes."""

    species: str
    begin: int
    samples: Samples
    notes: list[_Note]


def render_field(plan: FieldPlan) -> tuple[Samples, list[Song]]:
    """Return the samples of a field recording, shape (n,), full scale 1, and all songs in it, sorted by their start."""
    # The order of the draws is part of the recordings: another order gives other recordings.
    rng = np.random.default_rng([plan.seed, 8, plan.number])
    site_rng = np.random.default_rng([plan.seed, 9, plan.site])
    rate, n = plan.sample_rate, round(plan.duration * plan.sample_rate)
    if plan.fault == "silent":
        return np.zeros(n, np.float32), []
    songs: list[_Sung] = []
    scene = np.zeros(n, np.float32)
    for bird in birds_of(plan):
        songs += _sing(bird, scene, plan, rng)
    scene = reverberate(scene, rate, site_rng.uniform(0.3, 1.1), site_rng.uniform(0.02, 0.25), rng)
    scene += _noise(n, plan, site_rng, rng)
    silence = _gap(plan, rng)
    found = [song for sung in songs if (song := _measured(sung, scene, rate, silence)) is not None]
    out = np.clip(np.float32(_GAIN) * microphone(scene, rate, site_rng), -1, 1)
    out[silence] = 0
    return out, sorted(found, key=lambda song: (song.start, song.end, song.species))


def _sing(bird: Bird, scene: Samples, plan: FieldPlan, rng: np.random.Generator) -> list[_Sung]:
    """Add the songs of a bird to a scene, in bouts with pauses of up to a minute and more between them; return the songs."""
    rate = plan.sample_rate
    songs: list[_Sung] = []
    time = rng.uniform(0, min(50, plan.duration / 3))
    while time < plan.duration - 1:
        distance = bird.distance * np.exp(rng.normal(0, 0.15))
        for _ in range(int(rng.integers(2, 8))):
            notes, end = render_song(bird.grammar, 0.0, rate, rng)
            begin = round(time * rate)
            piece = np.zeros(round(end * rate) + 1)
            for note in notes:
                at = round(note.onset * rate)
                piece[at : at + len(note.samples)] += note.samples[: len(piece) - at]
            if time + end > plan.duration:
                return songs
            samples = absorb(piece, rate, distance) * np.float32(10.0 / distance)
            scene[begin : begin + len(samples)] += samples
            placed = [
                _Note(begin + round(v.onset * rate), begin + round(v.onset * rate) + len(v.samples), v.low, v.high)
                for v in notes
            ]
            songs.append(_Sung(bird.species, begin, samples, placed))
            time += end + bird.grammar.pause * np.exp(rng.normal(0, 0.4))
        time += rng.uniform(15, 90)
    return songs


def _noise(n: int, plan: FieldPlan, site_rng: np.random.Generator, rng: np.random.Generator) -> Samples:
    """Return the background noise of a site with the weather of the day, and the sounds of insects, roads and people."""
    rate = plan.sample_rate
    level = np.exp(site_rng.uniform(*np.log(_NOISE)))
    out = sounds.pink(n, rate, site_rng.uniform(0.3, 1.0), rng)
    day_rng = np.random.default_rng([plan.seed, 10, plan.day])
    windy, rainy, road = day_rng.random() < 0.5, day_rng.random() < 0.4, plan.site == 1
    lake = plan.site == 2
    chances: tuple[tuple[sounds.Sound, float], ...] = (
        (sounds.wind, 0.8 if windy else 0.2),
        (sounds.rain, 0.6 if rainy else 0.05),
        (sounds.insects, 0.6 if plan.is_evening else 0.15),
        (sounds.frogs, 0.8 if plan.is_evening and lake else 0.05),
        (sounds.traffic, 0.8 if road else 0.1),
        (sounds.aircraft, 0.15),
        (sounds.machine, 0.1),
        (sounds.speech, 0.1),
        (sounds.handling, 0.15),
    )
    for sound, chance in chances:
        present, loudness = rng.random() < chance, rng.normal(2, 5)
        if present:
            begin, end = _stretch(n, rng)
            fade = min(round(2.5 * rate), (end - begin) // 3)
            piece = sound(end - begin, rate, rng) * np.float32(10 ** (loudness / 20))
            ramp = np.linspace(0, 1, fade, dtype=np.float32)
            piece[:fade] *= ramp
            piece[len(piece) - fade :] *= ramp[::-1]
            out[begin:end] += piece
    return out * np.float32(level)


def _stretch(n: int, rng: np.random.Generator) -> tuple[int, int]:
    """Return the first and last sample of a sound: a third of the recording to all of it."""
    share = min(1.0, rng.uniform(0.33, 1.3))
    begin = round(n * rng.uniform(0, 1 - share))
    return begin, begin + round(n * share)


def _gap(plan: FieldPlan, rng: np.random.Generator) -> slice:
    """Return the samples of the digital silence, a tenth to a quarter of the recording; none without this fault."""
    if plan.fault != "gap":
        return slice(0, 0)
    begin = round(plan.sample_rate * plan.duration * rng.uniform(0.1, 0.7))
    return slice(begin, begin + round(plan.sample_rate * plan.duration * rng.uniform(0.1, 0.25)))


def _measured(sung: _Sung, scene: Samples, rate: int, silence: slice) -> Song | None:
    """Return a song with its signal-to-noise ratio; None if the digital silence covers all of its notes.

    Args:
        sung: the song.
        scene: the whole recording before the microphone.
        rate: sampling rate, Hz.
        silence: samples of the digital silence.
    """
    heard = [v for v in sung.notes if v.begin >= silence.stop or v.end <= silence.start]
    if not heard:
        return None
    rest = scene[sung.begin : sung.begin + len(sung.samples)] - sung.samples
    ratios = []
    for note in heard:
        part = slice(note.begin - sung.begin, note.end - sung.begin)
        frequency = np.fft.rfftfreq(len(sung.samples[part]), 1 / rate)
        band = (frequency >= 0.95 * note.low) & (frequency <= 1.05 * note.high)
        signal, noise = (np.sum(np.abs(np.fft.rfft(x[part])[band]) ** 2) for x in (sung.samples, rest))
        ratios.append(10 * np.log10((signal + 1e-12) / (noise + 1e-12)))
    return Song(
        sung.species,
        heard[0].begin / rate,
        max(v.end for v in heard) / rate,
        min(v.low for v in heard),
        max(v.high for v in heard),
        float(np.median(ratios)),
        float(np.max(ratios)),
    )
