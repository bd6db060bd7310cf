"""The score "none of these species": how little a window resembles the species that a model knows, from its logits."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

from autobird.predict.classification import Calibration

Floats = NDArray[np.float64]


def _largest_probability(logits: Floats, calibration: Calibration) -> Floats:
    return np.asarray(-calibration.probabilities(logits).max(axis=1))


def _largest_logit(logits: Floats, _: Calibration) -> Floats:
    return np.asarray(-logits.max(axis=1))


def _energy(logits: Floats, calibration: Calibration) -> Floats:
    if calibration.is_independent:
        return np.asarray(-np.logaddexp(0, logits).sum(axis=1))
    return np.asarray(-logsumexp(logits, axis=1))


MEASURES: dict[str, Callable[[Floats, Calibration], Floats]] = {
    "largest_probability": _largest_probability,
    "largest_logit": _largest_logit,
    "energy": _energy,
}
"""How little windows resemble the known species; higher means less. `largest_probability` and `largest_logit`: the negative of these;
`energy`: minus the logarithm of the sum of the exponentials of the logits (Liu et al. 2020), and for independent outputs minus the sum of
the logarithms of 1 + exp(logit) (Wang et al. 2021). From logits of shape (windows, species); shape (windows,)."""

QUANTILES = 101
"""Number of quantiles of a measure that a bundle holds."""


@dataclass(frozen=True)
class UnknownScore:
    """A measure, and its quantiles in validation windows with a known species.

    Attributes:
        measure: key of `MEASURES`.
        quantiles: of the measure, from the lowest to the highest value, equally spaced; shape (`QUANTILES`,).
    """

    measure: str
    quantiles: Floats

    @classmethod
    def of(cls, measure: str, values: Floats) -> Self:
        """Return the score from the values of a measure in windows with a known species; at least one."""
        return cls(measure, np.asarray(np.quantile(values, np.linspace(0, 1, QUANTILES)), np.float64))

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """Return the score that `json` has written.

        Raises:
            KeyError: an entry is missing.
            ValueError: the measure is not known.
        """
        if content["measure"] not in MEASURES:
            raise ValueError(f"the measure is {content['measure']!r}")
        return cls(content["measure"], np.array(content["quantiles"], np.float64))

    def json(self) -> dict[str, Any]:
        """Return the score for a JSON file."""
        return {"measure": self.measure, "quantiles": self.quantiles.tolist()}

    def of_windows(self, logits: NDArray[np.floating], calibration: Calibration) -> Floats:
        """Return the score of windows: the share of validation windows with a known species that resemble the known species more.

        0.99 means that only 1 % of such windows resemble them as little. Shares between two quantiles are interpolated.

        Args:
            logits: of the network; shape (windows, species).
            calibration: of the network.
        """
        values = MEASURES[self.measure](np.asarray(logits, np.float64), calibration)
        return np.asarray(np.interp(values, self.quantiles, _shares(len(self.quantiles))), np.float64)


@cache
def _shares(count: int) -> Floats:
    return np.linspace(0, 1, count)
