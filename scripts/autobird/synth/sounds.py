"""Synthesis of sounds that no bird makes: wind, rain, insects, traffic, speech, machines, handling, frogs, aircraft.

Every function of a sound returns `n` samples whose root mean square is 1.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from autobird.synth.acoustics import Samples, apply_gain, frequencies

Sound = Callable[[int, int, np.random.Generator], Samples]
"""Makes a sound from the number of samples, the sampling rate (Hz) and the source of its variation."""

_CURVE_RATE = 20.0
"""Points per second of the curves that change slowly: levels, frequencies of engines."""


def background_noise(n: int, rate: int, session_rng: np.random.Generator, rng: np.random.Generator) -> Samples:
    """Return background noise: coloured noise, and in some sessions gusts of wind or insects in a narrow band.

    Args:
        n: number of samples.
        rate: sampling rate, Hz.
        session_rng: source of levels and spectra, which a session shares.
        rng: source of the noise itself.
    """
    # The order of the draws from both generators is part of the corpus: another order gives other recordings.
    f = np.maximum(frequencies(n, rate), np.float32(20))
    exponent, wind, insects = session_rng.uniform(0.2, 1.1), session_rng.uniform(0, 1.6), session_rng.uniform(0, 1.2)
    insect_band, insect_width = session_rng.uniform(3800, 7200), session_rng.uniform(150, 600)
    chirp_rate = session_rng.uniform(6, 30)
    t = (np.arange(n) / rate).astype(np.float32)
    coloured = apply_gain(rng.standard_normal(n), (f / 1000) ** -exponent)
    out = coloured / np.std(coloured)
    if wind > 0.5:
        gusts = apply_gain(rng.standard_normal(n), (f / 100) ** -1.8)
        out = out + wind * gusts / np.std(gusts) * (
            1 + np.sin(2 * np.pi * rng.uniform(0.1, 0.4) * t + rng.uniform(0, 6))
        )
    if insects > 0.5:
        stridulation = apply_gain(rng.standard_normal(n), np.exp(-0.5 * ((f - insect_band) / insect_width) ** 2))
        pulses = 0.5 + 0.5 * np.sign(np.sin(2 * np.pi * chirp_rate * t + rng.uniform(0, 6)))
        out = out + insects * stridulation / np.std(stridulation) * pulses
    return out


def normalised(signal: NDArray[np.floating]) -> Samples:
    """Return a signal whose root mean square is 1; silence stays silence."""
    rms = np.sqrt(np.mean(np.square(signal, dtype=np.float64)))
    return np.asarray(signal / max(float(rms), 1e-9), np.float32)


def _curve(n: int, rate: int, seconds: float, rng: np.random.Generator) -> Samples:
    """Return a smooth random curve with mean 0 and standard deviation of about 1, which changes within `seconds`."""
    knots = rng.standard_normal(max(4, int(n / rate / seconds) + 4))
    at = np.arange(int(n / rate * _CURVE_RATE) + 2) / _CURVE_RATE / seconds
    # Between the knots the curve follows half a cosine, so that it has no corners.
    left = at.astype(int)
    weight = 0.5 - 0.5 * np.cos(np.pi * (at - left))
    coarse = knots[left] * (1 - weight) + knots[left + 1] * weight
    return np.interp(np.arange(n), np.arange(len(coarse)) * rate / _CURVE_RATE, coarse).astype(np.float32)


def _white(n: int, rng: np.random.Generator) -> Samples:
    return rng.standard_normal(n, np.float32)


def _band(n: int, rate: int, low: float, high: float, rng: np.random.Generator) -> Samples:
    """Return noise between two frequencies, with slopes of about an octave."""
    f = np.maximum(frequencies(n, rate), np.float32(1))
    return normalised(apply_gain(_white(n, rng), 1 / (1 + (low / f) ** 4) / (1 + (f / high) ** 4)))


def pink(n: int, rate: int, exponent: float, rng: np.random.Generator) -> Samples:
    """Return noise whose amplitude falls with the power `exponent` of the frequency."""
    f = np.maximum(frequencies(n, rate), np.float32(20))
    return normalised(apply_gain(_white(n, rng), (f / 1000) ** -exponent))


def wind(n: int, rate: int, rng: np.random.Generator) -> Samples:
    """Return gusts of wind at the microphone, and the rustle of leaves that follows them."""
    rumble = pink(n, rate, rng.uniform(1.3, 2.2), rng)
    leaves = _band(n, rate, rng.uniform(800, 2000), rng.uniform(4000, 9000), rng)
    gust = np.exp(rng.uniform(0.6, 1.2) * _curve(n, rate, rng.uniform(1.0, 3.0), rng))
    return normalised(rumble * gust + rng.uniform(0.02, 0.15) * leaves * gust**1.5)


def rain(n: int, rate: int, rng: np.random.Generator) -> Samples:
    """Return rain: the noise of many distant drops, and single drops on leaves and on the housing of the recorder."""
    f = np.maximum(frequencies(n, rate), np.float32(20))
    noise = normalised(apply_gain(_white(n, rng), (f / 1000) ** -rng.uniform(0.0, 0.6) / (1 + (150 / f) ** 2)))
    intensity = np.exp(0.35 * _curve(n, rate, rng.uniform(3, 8), rng))
    drops = np.zeros(n, np.float32)
    t = np.arange(round(0.025 * rate)) / rate
    grains = [
        (np.exp(-t / rng.uniform(0.001, 0.006)) * np.sin(2 * np.pi * rng.uniform(300, 5000) * t)).astype(np.float32)
        for _ in range(24)
    ]
    for at in rng.integers(0, max(1, n - len(t)), rng.poisson(rng.uniform(5, 90) * n / rate)):
        level = np.float32(np.exp(rng.normal(0.5, 0.9)))
        piece = drops[at : at + len(t)]
        piece += level * grains[int(rng.integers(24))][: len(piece)]
    return normalised(noise * intensity + rng.uniform(0.5, 3.0) * drops)


def insects(n: int, rate: int, rng: np.random.Generator) -> Samples:
    """Return crickets (pulses of a narrow band in chirps) or cicadas (a broader band whose level changes slowly)."""
    t = (np.arange(n) / rate).astype(np.float32)
    out = np.zeros(n, np.float32)
    for _ in range(int(rng.integers(1, 4))):
        centre = rng.uniform(2800, 7400)
        is_cicada = rng.random() < 0.35
        width = rng.uniform(500, 1500) if is_cicada else rng.uniform(40, 200)
        f = frequencies(n, rate)
        carrier = normalised(apply_gain(_white(n, rng), np.exp(-0.5 * ((f - centre) / width) ** 2)))
        level = np.exp(0.5 * _curve(n, rate, rng.uniform(2, 6), rng))
        if not is_cicada:
            pulses = np.maximum(0, np.sin(2 * np.pi * rng.uniform(18, 70) * t + rng.uniform(0, 6)))
            chirps = np.sin(2 * np.pi * rng.uniform(0.7, 4) * t + rng.uniform(0, 6)) > rng.uniform(-1.0, 0.4)
            level = level * pulses * chirps
        out += carrier * level * np.float32(rng.uniform(0.3, 1.0))
    return normalised(out)


def traffic(n: int, rate: int, rng: np.random.Generator) -> Samples:
    """Return vehicles that pass on a road, and the constant noise of a distant one."""
    t = (np.arange(n) / rate).astype(np.float32)
    out = np.float32(rng.uniform(0.15, 0.5)) * _band(n, rate, 40, rng.uniform(300, 700), rng)
    tyres = _band(n, rate, rng.uniform(200, 500), rng.uniform(900, 2500), rng)
    for _ in range(1 + int(rng.poisson(n / rate / 12))):
        centre, width = rng.uniform(0, n / rate), rng.uniform(1.0, 4.0)
        near = slice(max(0, round((centre - 5 * width) * rate)), min(n, round((centre + 5 * width) * rate)))
        place = (t[near] - np.float32(centre)) / np.float32(width)
        passing = np.maximum(0, (1 / (1 + place**2) ** 1.5 - 26**-1.5))  # 0 at both ends
        # The Doppler effect: the pitch of the engine falls while the vehicle passes.
        engine = _harmonics(rng.uniform(35, 110) * (1 - 0.05 * np.tanh(place)), rate, rng, 12, 1.2)
        out[near] += passing * (tyres[near] + np.float32(rng.uniform(0.3, 1.5)) * engine)
    return normalised(out)


def _harmonics(
    pitch: NDArray[np.floating], rate: int, rng: np.random.Generator, count: int, exponent: float
) -> Samples:
    """Return a harmonic sound.

    Args:
        pitch: fundamental frequency at each sample, Hz.
        rate: sampling rate, Hz.
        rng: source of the levels and phases.
        count: number of partials.
        exponent: the amplitude of partial k falls with `k ** -exponent`.
    """
    phase = (2 * np.pi * np.cumsum(pitch, dtype=np.float64) / rate + rng.uniform(0, 6)) % (2 * np.pi)
    previous, partial = np.zeros(len(pitch), np.float32), np.sin(phase).astype(np.float32)
    twice_cosine = 2 * np.cos(phase).astype(np.float32)
    out = np.zeros(len(pitch), np.float32)
    for k in range(1, count + 1):
        out += np.float32(k**-exponent * np.exp(rng.normal(0, 0.4))) * partial
        # sin((k + 1) x) = 2 cos(x) sin(k x) - sin((k - 1) x) takes a tenth of the time of a sine.
        previous, partial = partial, twice_cosine * partial - previous
    return normalised(out)


def speech(n: int, rate: int, rng: np.random.Generator) -> Samples:
    """Return speech-like sound: voiced syllables with moving formants, fricatives between them, and pauses."""
    out = np.zeros(n, np.float32)
    voice, time = rng.uniform(90, 240), rng.uniform(0, 0.5)
    while time < n / rate:
        m = round(rng.uniform(0.09, 0.28) * rate)
        position = np.arange(m) / m
        if rng.random() < 0.25:
            syllable = 0.3 * _band(m, rate, rng.uniform(2000, 4500), 7500, rng)
        else:
            pitch = voice * 2 ** (rng.normal(0, 0.12) + rng.normal(0, 0.2) * position)
            phase = 2 * np.pi * np.cumsum(pitch) / rate
            centres = [
                low + (high - low) * (rng.random() * (1 - position) + rng.random() * position)
                for low, high in ((280, 850), (800, 2400), (2300, 3300))
            ]
            syllable = np.zeros(m, np.float32)
            for k in range(1, int(4200 / voice)):
                gain = sum(
                    0.6**i * np.exp(-0.5 * ((k * pitch - c) / (90 + 40 * i)) ** 2) for i, c in enumerate(centres)
                )
                syllable += ((0.03 + gain) * np.sin(k * phase)).astype(np.float32)
        begin = round(time * rate)
        piece = out[begin : begin + m]
        piece += (syllable * np.sin(np.pi * position) ** 0.6)[: len(piece)].astype(np.float32)
        time += m / rate * rng.uniform(0.8, 1.1)
        if rng.random() < 0.15:
            time += rng.uniform(0.2, 1.2)
    return normalised(out)


def machine(n: int, rate: int, rng: np.random.Generator) -> Samples:
    """Return a machine: the hum of a transformer or fan, or an engine (generator, mower, chainsaw) that changes its speed."""
    is_engine = rng.random() < 0.6
    speed = rng.uniform(60, 170) if is_engine else rng.choice((50.0, 60.0, 100.0))
    change = 0.12 * _curve(n, rate, rng.uniform(1, 4), rng) if is_engine else np.zeros(n, np.float32)
    tone = _harmonics(speed * 2**change, rate, rng, 40 if is_engine else 10, rng.uniform(0.4, 1.2))
    load = np.exp((0.5 if is_engine else 0.05) * _curve(n, rate, rng.uniform(0.6, 3), rng))
    noise = _band(n, rate, rng.uniform(50, 300), rng.uniform(1000, 6000), rng)
    return normalised(load * (tone + np.float32(rng.uniform(0.1, 0.7)) * noise))


def handling(n: int, rate: int, rng: np.random.Generator) -> Samples:
    """Return knocks, clicks and rubbing at the recorder, over faint noise."""
    out = 0.03 * _white(n, rng)
    for _ in range(2 + int(rng.poisson(n / rate * rng.uniform(0.4, 2.0)))):
        m = min(n, round(np.exp(rng.uniform(np.log(0.004), np.log(0.5))) * rate))
        at, low = int(rng.integers(0, n - m + 1)), np.exp(rng.uniform(np.log(50), np.log(2500)))
        burst = _band(m, rate, low, low * rng.uniform(1.5, 8), rng) * np.exp(-rng.uniform(1, 6) * np.arange(m) / m)
        out[at : at + m] += (np.exp(rng.normal(0, 0.7)) * burst).astype(np.float32)
    return normalised(out)


def frogs(n: int, rate: int, rng: np.random.Generator) -> Samples:
    """Return frogs: croaks of a few pulses in a fixed band, repeated without pauses by several animals."""
    out = np.zeros(n, np.float32)
    for _ in range(int(rng.integers(2, 5))):
        pitch, pulse, count = rng.uniform(700, 2600), rng.uniform(0.008, 0.025), int(rng.integers(4, 14))
        t = np.arange(round(pulse * count * rate)) / rate
        croak = (
            np.sin(2 * np.pi * pitch * t)
            * np.sin(np.pi * (t / pulse % 1)) ** 2
            * np.abs(np.sin(np.pi * t / t[-1])) ** 0.5
        )
        level, time = np.exp(rng.normal(0, 0.5)), rng.uniform(0, 2)
        while time < n / rate:
            piece = out[round(time * rate) : round(time * rate) + len(t)]
            piece += (level * np.exp(rng.normal(0, 0.2)) * croak)[: len(piece)].astype(np.float32)
            time += t[-1] + rng.uniform(0.25, 0.9) + (rng.uniform(3, 10) if rng.random() < 0.08 else 0)
    return normalised(out)


def aircraft(n: int, rate: int, rng: np.random.Generator) -> Samples:
    """Return an aircraft that passes within a minute: low noise, and the tone of its propellers or turbines."""
    t = (np.arange(n) / rate).astype(np.float32)
    centre, width = rng.uniform(0, n / rate), rng.uniform(8, 25)
    passing = 1 / (1 + ((t - centre) / np.float32(width)) ** 2)
    pitch = rng.uniform(60, 400) * (1 - 0.18 * np.tanh((t - centre) / width))
    noise = _band(n, rate, 60, rng.uniform(500, 1500), rng)
    return normalised(passing * (noise + np.float32(rng.uniform(0.2, 0.8)) * _harmonics(pitch, rate, rng, 10, 1.3)))
