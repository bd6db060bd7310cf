"""Find repetitions of the same recording in the log, which the drift test counts once."""

from collections.abc import Sequence

from autobird.drift.names import DRIFT_FEATURES

_MEL_STD = DRIFT_FEATURES.index("mel_std")

_CONSTANT = 1e-6
"""Standard deviation of mel values up to which a recording is digital silence."""


class Distinct:
    """Recognises recordings that came before by their length and their drift features.

    The log keeps neither sound nor names, and a bundle gives the same features for the same sound. Different sounds differ in some of the
    many digits. Digital silence is the exception: recordings of a broken microphone are alike, and each of them counts.
    """

    def __init__(self) -> None:
        self._seen: set[tuple[float, ...]] = set()

    def is_new(self, duration: float, features: Sequence[float]) -> bool:
        """Return whether a recording did not come before.

        Args:
            duration: length, seconds.
            features: drift features (`DRIFT_FEATURES`).
        """
        key = (duration, *features)
        if features[_MEL_STD] <= _CONSTANT:
            return True
        is_new = key not in self._seen
        self._seen.add(key)
        return is_new
