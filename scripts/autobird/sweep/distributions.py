"""The distributions of a W&B sweep: how the value of a parameter is drawn, and the values of a grid."""

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

Value = Any
"""Value of a parameter, as in YAML: a number, text, a boolean or null."""

Draw = Callable[[Mapping[str, Any], np.random.Generator], Value]


def _quantised(value: float, spec: Mapping[str, Any]) -> float:
    """Return the multiple of `q` (default 1) that is nearest to a value."""
    q = spec.get("q", 1)
    multiple: float = round(value / q) * q
    # 3 * 0.1 is 0.30000000000000004: the digits beyond those of q are errors of the product.
    return round(multiple, 12)


def _uniform(spec: Mapping[str, Any], rng: np.random.Generator) -> float:
    return float(rng.uniform(spec["min"], spec["max"]))


def _log_uniform_values(spec: Mapping[str, Any], rng: np.random.Generator) -> float:
    return math.exp(rng.uniform(math.log(spec["min"]), math.log(spec["max"])))


def _inv_log_uniform_values(spec: Mapping[str, Any], rng: np.random.Generator) -> float:
    return 1 / math.exp(rng.uniform(math.log(1 / spec["max"]), math.log(1 / spec["min"])))


def _normal(spec: Mapping[str, Any], rng: np.random.Generator) -> float:
    return float(rng.normal(spec.get("mu", 0), spec.get("sigma", 1)))


def _categorical(spec: Mapping[str, Any], rng: np.random.Generator) -> Value:
    return spec["values"][rng.choice(len(spec["values"]), p=spec.get("probabilities"))]


DRAWS: dict[str, Draw] = {
    "constant": lambda spec, _: spec["value"],
    "categorical": _categorical,
    "categorical_w_probabilities": _categorical,
    "int_uniform": lambda spec, rng: int(rng.integers(spec["min"], spec["max"] + 1)),
    "uniform": _uniform,
    "q_uniform": lambda spec, rng: _quantised(_uniform(spec, rng), spec),
    "log_uniform": lambda spec, rng: math.exp(_uniform(spec, rng)),
    "log_uniform_values": _log_uniform_values,
    "q_log_uniform_values": lambda spec, rng: _quantised(_log_uniform_values(spec, rng), spec),
    "inv_log_uniform_values": _inv_log_uniform_values,
    "normal": _normal,
    "q_normal": lambda spec, rng: _quantised(_normal(spec, rng), spec),
    "log_normal": lambda spec, rng: math.exp(_normal(spec, rng)),
}
"""How each distribution of a W&B sweep draws a value. `log_uniform` is as in W&B: `min` and `max` are logarithms of the bounds."""

KEYS: dict[str, tuple[set[str], set[str]]] = {
    "constant": ({"value"}, set()),
    "categorical": ({"values"}, {"probabilities"}),
    "categorical_w_probabilities": ({"values", "probabilities"}, set()),
    "int_uniform": ({"min", "max"}, set()),
    "uniform": ({"min", "max"}, set()),
    "q_uniform": ({"min", "max"}, {"q"}),
    "log_uniform": ({"min", "max"}, set()),
    "log_uniform_values": ({"min", "max"}, set()),
    "q_log_uniform_values": ({"min", "max"}, {"q"}),
    "inv_log_uniform_values": ({"min", "max"}, set()),
    "normal": (set(), {"mu", "sigma"}),
    "q_normal": (set(), {"mu", "sigma", "q"}),
    "log_normal": (set(), {"mu", "sigma"}),
}
"""Keys that a parameter with each distribution must have, and those that it can have, besides `distribution`."""

LOGARITHMIC = ("log_uniform", "log_uniform_values", "q_log_uniform_values", "inv_log_uniform_values", "log_normal")
"""Distributions of a parameter whose logarithm matters; figures show it on a logarithmic axis."""


def grid_values(distribution: str, spec: Mapping[str, Any]) -> list[Value] | None:
    """Return all values of a parameter in a grid; None if its distribution has infinitely many."""
    if distribution == "constant":
        return [spec["value"]]
    if distribution.startswith("categorical"):
        return list(spec["values"])
    if distribution == "int_uniform":
        return list(range(spec["min"], spec["max"] + 1))
    if distribution == "q_uniform":
        q = spec.get("q", 1)
        count = math.floor((spec["max"] - spec["min"]) / q + 1e-9) + 1
        return [round(spec["min"] + i * q, 12) for i in range(count)]
    return None
