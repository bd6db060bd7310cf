"""The trials of a sweep: the values of its parameters that are tried, and their ids."""

import hashlib
import itertools
import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from autobird.sweep.definition import Definition
from autobird.sweep.distributions import DRAWS, grid_values

Values = dict[str, Any]
"""The value of each parameter of a trial, by its name, for example `train.width`."""


def expand(definition: Definition, seed: int) -> list[Values]:
    """Return the values of the trials of a sweep, in order.

    A grid has all combinations, the last parameter changing fastest; otherwise the values are drawn. A drawn value depends only on
    the seed, the number of the trial and the name of the parameter, so that neither more trials nor another parameter change it.
    For method `bayes`, W&B chooses each trial by the scores of those before; here, where the trials run at the same time, it is a
    random search.

    Args:
        definition: the sweep.
        seed: seed of the drawn values.
    """
    parameters = definition.parameters
    if definition.method == "grid":
        values = [grid_values(p.distribution, p.spec) or [] for p in parameters]
        names = [p.name for p in parameters]
        found = [dict(zip(names, combination, strict=True)) for combination in itertools.product(*values)]
        return found[: definition.run_cap]
    return [
        {p.name: DRAWS[p.distribution](p.spec, _generator(seed, number, p.name)) for p in parameters}
        for number in range(definition.run_cap or 0)
    ]


def _generator(seed: int, number: int, name: str) -> np.random.Generator:
    """Return the generator of one value."""
    return np.random.default_rng([seed, number, *hashlib.sha256(name.encode()).digest()[:8]])


def trial_id(changed: Mapping[str, Any]) -> str:
    """Return the id of a trial: a hash of the values that differ from the settings of the run.

    It does not depend on the other trials, nor on parameters that have the value of the run: other trials are never trained again
    because the sweep got more of either.

    Args:
        changed: the values, by the name of the parameter.

    Raises:
        ValueError: there are none; such a trial is the run itself.
    """
    if not changed:
        raise ValueError("a trial without other values is the run itself")
    return "trial-" + hashlib.sha256(json.dumps(changed, sort_keys=True).encode()).hexdigest()[:10]
