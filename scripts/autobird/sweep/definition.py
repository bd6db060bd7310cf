"""Read the file of a sweep, which is that of a W&B sweep."""

import difflib
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from autobird.core.errors import AutobirdError
from autobird.sweep.distributions import KEYS, LOGARITHMIC

METHODS = ("grid", "random", "bayes")

METRICS = {
    "macro_f1": "macro-F1 of the most probable species",
    "top1": "top-1 accuracy",
    "cmap": "cmAP (class-mean average precision)",
}
"""Metrics that trials can be compared by, per recording: those that need no threshold, which would be fitted to the same recordings."""

_WANDB_KEYS = {"program", "command", "name", "description", "project", "entity", "early_terminate"}
"""Keys of a W&B sweep that W&B alone uses."""

_KEYS = {"method", "metric", "parameters", "run_cap", *_WANDB_KEYS}

_NUMBERS = ("min", "max", "mu", "sigma", "q")

_LARGEST_LOGARITHM = 300
"""Of a value; that of the largest floating-point number is 709, and a normal distribution exceeds its mean."""


@dataclass(frozen=True)
class Parameter:
    """A setting that a sweep changes.

    Attributes:
        name: section and key, for example `train.width`.
        distribution: one of `DRAWS`.
        spec: the other keys of the parameter in the file.
    """

    name: str
    distribution: str
    spec: Mapping[str, Any]

    @property
    def is_logarithmic(self) -> bool:
        """Whether the logarithm of the value matters rather than the value."""
        return self.distribution in LOGARITHMIC


@dataclass(frozen=True)
class Definition:
    """A sweep, as its file defines it.

    Attributes:
        method: one of `METHODS`.
        metric: one of `METRICS`.
        parameters: in the order of the file.
        run_cap: largest number of trials; None: no limit, for a grid.
    """

    method: str
    metric: str
    parameters: tuple[Parameter, ...]
    run_cap: int | None


def read_definition(path: Path) -> Definition:
    """Read and check the file of a sweep.

    Raises:
        AutobirdError: the file does not exist or is not a valid sweep; the message names the file, the key and the remedy.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise AutobirdError(f"{path} does not exist; write the sweep there, or give its file as sweep.file") from error
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise AutobirdError(f"{path} cannot be read as YAML: {' '.join(str(error).split())}") from error
    try:
        return parse_definition(content)
    except AutobirdError as error:
        raise AutobirdError(f"{path}: {error}") from error


def parse_definition(content: Any) -> Definition:
    """Check the content of the file of a sweep.

    Raises:
        AutobirdError: it is not valid; the message does not name the file.
    """
    if not isinstance(content, Mapping):
        raise AutobirdError("it must have the keys method, metric and parameters; docs/sweep.md has an example")
    _check_keys(content, _KEYS, "")
    method = content.get("method")
    if method not in METHODS:
        raise AutobirdError(f"method: {method!r} is none of {', '.join(METHODS)}")
    run_cap = content.get("run_cap")
    if run_cap is not None and (type(run_cap) is not int or run_cap < 1):
        raise AutobirdError(f"run_cap: {run_cap!r} is not a number of trials; give an integer of at least 1")
    if method != "grid" and run_cap is None:
        raise AutobirdError(f"method {method} needs the number of trials; add `run_cap: 20`")
    parameters = tuple(_parameters(_mapping(content, "parameters"), ""))
    if not parameters:
        raise AutobirdError("parameters: there are none; give at least one, for example train.learning_rate")
    if method == "grid":
        for p in parameters:
            if p.distribution not in ("constant", "categorical", "int_uniform", "q_uniform"):
                raise AutobirdError(
                    f"parameters.{p.name}: a grid needs the list of its values, and {p.distribution} has none; give values, or use "
                    "method random"
                )
    return Definition(method, _metric(content), parameters, run_cap)


def _metric(content: Mapping[str, Any]) -> str:
    """Return the name of the metric, after a check of its keys."""
    metric = _mapping(content, "metric")
    _check_keys(metric, {"name", "goal", "target"}, "metric.")
    name = metric.get("name")
    if name not in METRICS:
        raise AutobirdError(f"metric.name: {name!r} is none of {', '.join(METRICS)}")
    # W&B minimises without a goal.
    if metric.get("goal") != "maximize":
        raise AutobirdError(f"metric.goal: {metric.get('goal')!r} must be maximize, as more of {name} is better")
    return str(name)


def _parameters(content: Mapping[str, Any], prefix: str) -> Iterator[Parameter]:
    """Yield the parameters of a mapping; W&B writes nested ones as `train: {parameters: {width: {...}}}`."""
    for key, spec in content.items():
        name = f"{prefix}{key}"
        if not isinstance(spec, Mapping):
            raise AutobirdError(
                f"parameters.{name}: {spec!r} must be keys such as `values: [...]` or `min:` and `max:`"
            )
        if "parameters" in spec:
            _check_keys(spec, {"parameters"}, f"parameters.{name}.")
            yield from _parameters(_mapping(spec, "parameters", f"parameters.{name}."), f"{name}.")
        else:
            yield _parameter(name, spec)


def _parameter(name: str, spec: Mapping[str, Any]) -> Parameter:
    place = f"parameters.{name}"
    for key in _NUMBERS:
        if key in spec and (isinstance(spec[key], bool) or not isinstance(spec[key], int | float)):
            raise AutobirdError(
                f"{place}.{key}: {spec[key]!r} is not a number (YAML reads 1e-4 as text; write 0.0001 or 1.0e-4)"
            )
        if key in spec and not math.isfinite(spec[key]):
            raise AutobirdError(f"{place}.{key}: {spec[key]} is not finite; give a number")
    distribution = spec.get("distribution") or _default_distribution(place, spec)
    if distribution not in KEYS:
        raise AutobirdError(f"{place}.distribution: {distribution!r} is none of {', '.join(KEYS)}")
    required, optional = KEYS[distribution]
    _check_keys(spec, {"distribution", *required, *optional}, f"{place}.")
    for key in sorted(required - set(spec)):
        raise AutobirdError(f"{place}: {distribution} needs the key {key}; add it")
    _check_values(place, distribution, spec)
    return Parameter(name, distribution, {key: value for key, value in spec.items() if key != "distribution"})


def _default_distribution(place: str, spec: Mapping[str, Any]) -> str:
    """Return the distribution of a parameter that names none, as W&B chooses it."""
    if "value" in spec:
        return "constant"
    if "values" in spec:
        return "categorical"
    if {"min", "max"} <= set(spec):
        return "int_uniform" if all(type(spec[key]) is int for key in ("min", "max")) else "uniform"
    raise AutobirdError(f"{place}: give value, values, or min and max")


def _check_values(place: str, distribution: str, spec: Mapping[str, Any]) -> None:
    """Check the values of the keys of a parameter."""
    if "values" in spec and (not isinstance(spec["values"], list) or not spec["values"]):
        raise AutobirdError(f"{place}.values: {spec['values']!r} is not a list of values")
    if "probabilities" in spec:
        given = spec["probabilities"]
        numbers = isinstance(given, list) and all(isinstance(p, int | float) and p >= 0 for p in given)
        if not numbers or len(given) != len(spec["values"]) or abs(sum(given) - 1) > 1e-6:
            raise AutobirdError(f"{place}.probabilities: {given!r} must be one number per value, with a sum of 1")
    if {"min", "max"} <= set(spec):
        if spec["min"] > spec["max"]:
            raise AutobirdError(f"{place}: min {spec['min']} is above max {spec['max']}; exchange them")
        if distribution.endswith("log_uniform_values") and spec["min"] <= 0:
            raise AutobirdError(f"{place}.min: {spec['min']} has no logarithm; give a number above 0, or use uniform")
        if distribution == "int_uniform" and not all(type(spec[key]) is int for key in ("min", "max")):
            raise AutobirdError(f"{place}: min and max of int_uniform must be integers; use uniform for other numbers")
    logarithm = {"log_uniform": "max", "log_normal": "mu"}.get(distribution, "")
    if spec.get(logarithm, 0) > _LARGEST_LOGARITHM:
        raise AutobirdError(
            f"{place}.{logarithm}: {spec[logarithm]} is the natural logarithm of a value, which is too large; give the logarithm, or use "
            "log_uniform_values with the values themselves"
        )
    for key in ("q", "sigma"):
        if key in spec and spec[key] <= 0:
            raise AutobirdError(f"{place}.{key}: {spec[key]} must be above 0")


def _mapping(content: Mapping[str, Any], key: str, prefix: str = "") -> Mapping[str, Any]:
    """Return the value of a key that must be a mapping."""
    value = content.get(key)
    if not isinstance(value, Mapping):
        found = f"{value!r} must have keys of its own" if key in content else "it is missing, and needs keys of its own"
        raise AutobirdError(f"{prefix}{key}: {found}; docs/sweep.md has an example")
    return value


def _check_keys(content: Mapping[str, Any], known: Iterable[str], prefix: str) -> None:
    """Check that a mapping has no other keys than the known ones."""
    known = sorted(known)
    for key in content:
        if key not in known:
            similar = difflib.get_close_matches(str(key), known, n=1)
            hint = f"did you mean {similar[0]}?" if similar else f"valid keys are {', '.join(known)}"
            raise AutobirdError(f"{prefix}{key}: there is no such key; {hint}")
