"""What becomes of mel power before a network sees it: its logarithm, PCEN, or a power of its magnitude.

Training, prediction and the server use these; all are numpy alone.
"""

from collections.abc import Callable
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from autobird.audio.settings import MelSettings

Floats = NDArray[np.float32]

POWER_FLOOR = 1e-6
"""Added to mel power before its logarithm (power of samples in -1..1)."""


class AmplitudeScaling(Protocol):
    """How mel power becomes the values of a front end.

    Attributes:
        silence: the value of a cell without any power.
    """

    silence: float

    def start(self) -> Callable[[Floats], Floats]:
        """What compresses a recording: called with its mel power from beginning to end, a block of frames at a time.

        It takes and returns arrays of shape (frames, mels), and may write into what it is given.
        """
        ...

    def power(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Mel power again, for what compares loudness and bandwidth (PCEN, which cannot be undone: the values)."""
        ...


class Log:
    """ln(power + 1e-6)."""

    silence = float(np.log(POWER_FLOOR))

    def start(self) -> Callable[[Floats], Floats]:
        """See `AmplitudeScaling`."""
        return _log

    def power(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """See `AmplitudeScaling`."""
        return np.exp(values)


def _log(power: Floats) -> Floats:
    power += np.float32(POWER_FLOOR)
    return np.log(power, out=power)


class Magnitude:
    """magnitude ** exponent, where magnitude is the root of power: a softer logarithm that has no floor."""

    silence = 0.0

    def __init__(self, exponent: float) -> None:
        self.exponent = exponent

    def start(self) -> Callable[[Floats], Floats]:
        """See `AmplitudeScaling`."""
        return lambda power: np.power(power, np.float32(self.exponent / 2), out=power)

    def power(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """See `AmplitudeScaling`."""
        return np.asarray(values ** (2 / self.exponent))


class Pcen:
    """Per-channel energy normalisation (Wang et al., ICASSP 2017): (E / (eps + M) ** gain + bias) ** power - bias ** power.

    E is mel power of samples in -32768..32767, and M follows it band by band: M[t] = (1 - s) M[t - 1] + s E[t], from
    M[-1] = E[0], with the s of a first-order low-pass of `time_constant` as librosa computes it. What lasts is divided
    out, what begins stands out; so a recording's level and hum do not matter.
    """

    silence = 0.0
    _SCALE = 32768.0**2
    _EPSILON = 1e-6

    def __init__(self, settings: MelSettings) -> None:
        self._settings = settings
        frames = settings.pcen_time_constant * settings.sample_rate / settings.hop_length
        self._smoothing = (np.sqrt(1 + 4 * frames**2) - 1) / (2 * frames**2)

    def start(self) -> Callable[[Floats], Floats]:
        """See `AmplitudeScaling`."""
        # Imported here: it takes as long as all else, and log-mel does not need it.
        from scipy.signal import lfilter

        s, state = self._settings, None
        step, keep = self._smoothing, 1 - self._smoothing

        def compress(power: Floats) -> Floats:
            nonlocal state
            energy = power.astype(np.float64) * self._SCALE
            if state is None:
                state = keep * energy[:1]
            level, state = lfilter([step], [1, -keep], energy, axis=0, zi=state)
            level += self._EPSILON
            value = (energy / level**s.pcen_gain + s.pcen_bias) ** s.pcen_power - s.pcen_bias**s.pcen_power
            return np.asarray(value, np.float32)

        return compress

    def power(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """See `AmplitudeScaling`."""
        return values


def scaling_of(settings: MelSettings) -> AmplitudeScaling:
    """The scaling that `settings.front_end` names."""
    if settings.front_end == "pcen":
        return Pcen(settings)
    if settings.front_end == "magnitude":
        return Magnitude(settings.magnitude_exponent)
    return Log()
