"""Amplitude scaling of mel power: logarithm, PCEN, or a power of the magnitude.

Training, prediction and the server use these functions. They need numpy, and PCEN also scipy.
"""

from collections.abc import Callable
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from autobird.audio.settings import MelSettings

Floats = NDArray[np.float32]

POWER_FLOOR = 1e-6
"""Added to mel power before its logarithm, to avoid log(0) (power of samples in -1..1)."""


class AmplitudeScaling(Protocol):
    """Converts mel power to the values that a front end stores, and back.

    Attributes:
        silence: the value for a power of 0.
    """

    silence: float

    def new_scaler(self) -> Callable[[Floats], Floats]:
        """Return a function that scales the mel power of one recording, from its start to its end in blocks of frames.

        The function takes and returns arrays of shape (frames, mels). It may overwrite its argument.
        """
        ...

    def power(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Invert the scaling, for measures of level and bandwidth; PCEN has no inverse and returns `values`."""
        ...


class Log:
    """ln(power + 1e-6)."""

    silence = float(np.log(POWER_FLOOR))

    def new_scaler(self) -> Callable[[Floats], Floats]:
        """See `AmplitudeScaling`."""
        return _log

    def power(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """See `AmplitudeScaling`."""
        return np.exp(values)


def _log(power: Floats) -> Floats:
    power += np.float32(POWER_FLOOR)
    return np.log(power, out=power)


class Magnitude:
    """magnitude ** exponent, where magnitude = sqrt(power). Reduces the dynamic range less than the logarithm."""

    silence = 0.0

    def __init__(self, exponent: float) -> None:
        self.exponent = exponent

    def new_scaler(self) -> Callable[[Floats], Floats]:
        """See `AmplitudeScaling`."""
        return lambda power: np.power(power, np.float32(self.exponent / 2), out=power)

    def power(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """See `AmplitudeScaling`."""
        return np.asarray(values ** (2 / self.exponent))


class Pcen:
    """Per-channel energy normalisation (Wang et al., ICASSP 2017): (E / (eps + M) ** gain + bias) ** power - bias ** power.

    E is mel power of samples in -32768..32767. M is E smoothed over time in each band: M[t] = (1 - s) M[t - 1] + s E[t],
    M[-1] = E[0], where s is the coefficient of a first-order low-pass filter of `time_constant`, computed as in librosa.
    Dividing by M removes stationary noise and the level of the recording, and emphasises onsets.
    """

    silence = 0.0
    _SCALE = 32768.0**2
    _EPSILON = 1e-6

    def __init__(self, settings: MelSettings) -> None:
        self._settings = settings
        frames = settings.pcen_time_constant * settings.sample_rate / settings.hop_length
        self._smoothing = (np.sqrt(1 + 4 * frames**2) - 1) / (2 * frames**2)

    def new_scaler(self) -> Callable[[Floats], Floats]:
        """See `AmplitudeScaling`."""
        # Imported here because scipy.signal takes as long to import as all other modules of the stage together.
        from scipy.signal import lfilter

        s, state = self._settings, None
        step, keep = self._smoothing, 1 - self._smoothing

        def scale(power: Floats) -> Floats:
            nonlocal state
            energy = power.astype(np.float64) * self._SCALE
            if state is None:
                state = keep * energy[:1]
            level, state = lfilter([step], [1, -keep], energy, axis=0, zi=state)
            level += self._EPSILON
            value = (energy / level**s.pcen_gain + s.pcen_bias) ** s.pcen_power - s.pcen_bias**s.pcen_power
            return np.asarray(value, np.float32)

        return scale

    def power(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """See `AmplitudeScaling`."""
        return values


def scaling_of(settings: MelSettings) -> AmplitudeScaling:
    """Return the scaling that `settings.front_end` names."""
    if settings.front_end == "pcen":
        return Pcen(settings)
    if settings.front_end == "magnitude":
        return Magnitude(settings.magnitude_exponent)
    return Log()
