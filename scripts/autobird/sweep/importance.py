"""How much each parameter of a sweep explains of the differences between its trials."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autobird.core.wording import counted

Floats = NDArray[np.float64]

_PERMUTATIONS = 2000
"""Number of permutations behind a p-value; the smallest one is then 1 / 2001."""

_SEED = 0


@dataclass(frozen=True)
class Importance:
    """The importance of a parameter.

    Attributes:
        parameter: its name.
        share: share of the variance of the scores that the parameter explains by itself, adjusted for the number of fitted
            coefficients, so that a parameter without any effect has 0 on average; cut at 0. None: it has one value, or there are too few
            trials.
        p: p-value of a permutation test: the probability of at least this share if the parameter had no effect. None as for `share`.
    """

    parameter: str
    share: float | None
    p: float | None


def importances(
    values: Sequence[Mapping[str, Any]], scores: Floats, logarithmic: Collection[str] = ()
) -> list[Importance]:
    """Return the importance of each parameter, the most important first.

    This is the main effect of an analysis of variance. With few trials, a random forest or a functional ANOVA (Hutter et al. 2014)
    would fit the scores of single trials, and has no test against chance. A numeric parameter of more than three values has a
    linear and a quadratic term, as there are often too few trials for more, and a best value in the middle must count; other parameters
    have the mean score of each value. Effects of several parameters together (interactions) are part of no share.

    Args:
        values: value of each parameter of each trial.
        scores: score of each trial; shape (trials,).
        logarithmic: names of the parameters whose logarithm matters.
    """
    found = []
    for name in values[0] if values else ():
        design = _design([trial[name] for trial in values], name in logarithmic)
        found.append(_importance(name, design, scores))
    return sorted(found, key=lambda one: -(one.share if one.share is not None else -1))


def noise_share(standard_errors: Sequence[float | None], scores: Floats) -> float | None:
    """Return about what share of the variance of the scores comes from the choice of the validation recordings.

    Args:
        standard_errors: standard error of the difference of each other trial from the settings of the run; None where it is not known. The
            square of it is twice the variance of the part of a score that trials do not have in common, 0 for equal predictions.
        scores: score of each trial; shape (trials,).

    Returns:
        At most 1; None if it is not known.
    """
    known = [error for error in standard_errors if error is not None]
    variance = float(scores.var(ddof=1)) if len(scores) > 1 else 0.0
    if not known or not variance:
        return None
    return min(1.0, float(np.mean(np.square(known))) / 2 / variance)


def why_unknown(scores: Floats) -> str:
    """Return why the importance of no parameter is known, as the end of a sentence; `scores` as for `importances`."""
    if len(scores) > 1 and np.ptp(scores) == 0:
        return "all trials have the same score"
    return f"{counted(len(scores), 'trial is', 'trials are')} too few for the number of values of the parameters"


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _design(values: Sequence[Any], logarithmic: bool) -> Floats:
    """Return the regressors of a parameter, without the constant; shape (trials, coefficients)."""
    distinct = sorted(set(values), key=lambda v: (str(type(v)), v)) if all(map(_is_number, values)) else None
    if distinct is not None and len(distinct) > 3:
        x = np.array(values, np.float64)
        if logarithmic and x.min() > 0:
            x = np.log(x)
        z = (x - x.mean()) / x.std()
        return np.column_stack([z, z**2])
    keys = np.array([repr(value) for value in values])
    levels = np.unique(keys)
    return np.asarray(keys[:, None] == levels[None, 1:], np.float64)


def _importance(name: str, design: Floats, scores: Floats) -> Importance:
    count, coefficients = len(scores), design.shape[1]
    if design.size == 0 or count - coefficients - 1 < 1 or np.ptp(scores) == 0:
        return Importance(name, None, None)
    # Orthonormal columns: the explained sum of squares is that of the projections.
    basis, _ = np.linalg.qr(design - design.mean(axis=0))
    centred = scores - scores.mean()
    total = float(centred @ centred)
    explained = float(((basis.T @ centred) ** 2).sum()) / total
    rng = np.random.default_rng(_SEED)
    permuted = np.stack([rng.permutation(centred) for _ in range(_PERMUTATIONS)], axis=1)
    by_chance = ((basis.T @ permuted) ** 2).sum(axis=0) / total
    p = (1 + int((by_chance >= explained - 1e-12).sum())) / (1 + _PERMUTATIONS)
    adjusted = 1 - (1 - explained) * (count - 1) / (count - coefficients - 1)
    return Importance(name, max(0.0, adjusted), p)
