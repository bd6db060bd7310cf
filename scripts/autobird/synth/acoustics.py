"""What happens to sound between the source and the file: absorption, reverberation and the microphone."""

import numpy as np
import scipy.fft
from numpy.typing import NDArray
from scipy.signal import oaconvolve

Samples = NDArray[np.float32]
"""Single precision: the Fourier transforms take half the time, and the result differs from double precision by -70 dB (measured)."""


def apply_gain(signal: NDArray[np.floating], gain: NDArray[np.floating]) -> Samples:
    """Multiply the spectrum of a signal by `gain`, given at the frequencies that `frequencies` returns."""
    n = scipy.fft.next_fast_len(len(signal), real=True)
    spectrum = scipy.fft.rfft(signal.astype(np.float32), n)
    spectrum *= gain.astype(np.float32, copy=False)
    return np.asarray(scipy.fft.irfft(spectrum, n)[: len(signal)], np.float32)


def frequencies(n: int, rate: int) -> Samples:
    """Return the frequencies of the spectrum that `apply_gain` computes for `n` samples, Hz."""
    return np.fft.rfftfreq(scipy.fft.next_fast_len(n, real=True), 1 / rate).astype(np.float32)


def absorb(signal: NDArray[np.float64], rate: int, distance: float) -> Samples:
    """Apply absorption by air and vegetation over `distance` metres: about 0.4 dB per kHz and 10 m."""
    khz = frequencies(len(signal), rate) / 1000
    return apply_gain(signal, np.exp(khz * np.float32(-0.04 * distance / 20 * np.log(10))))


def reverberate(signal: Samples, rate: int, seconds: float, level: float, rng: np.random.Generator) -> Samples:
    """Convolve with an impulse response: the direct sound, and noise that decays by 60 dB in `seconds`.

    Args:
        signal: samples.
        rate: sampling rate, Hz.
        seconds: reverberation time.
        level: root of the reverberation's energy, relative to the direct sound.
        rng: source of the noise.
    """
    n = round(seconds * rate)
    response = rng.standard_normal(n) * 10 ** (-3 * np.arange(n) / n)
    response *= level / np.sqrt(np.sum(response**2))
    response[0] += 1.0
    reverberated: Samples = oaconvolve(signal, response.astype(np.float32))[: len(signal)]
    return reverberated


def microphone(signal: Samples, rate: int, session_rng: np.random.Generator) -> Samples:
    """Apply the frequency response of the session's equipment: a high-pass, a spectral tilt and two broad resonances."""
    f = np.maximum(frequencies(len(signal), rate), np.float32(20))
    db = session_rng.normal(0, 2.5) * np.log2(f / 2000)
    for _ in range(2):
        db = db + session_rng.normal(0, 5) * np.exp(-0.5 * (np.log2(f / session_rng.uniform(800, 7000)) / 0.5) ** 2)
    corner = session_rng.uniform(60, 400)
    return apply_gain(signal, 10 ** (db / 20) * f / np.sqrt(f**2 + corner**2))
