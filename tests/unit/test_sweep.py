"""The file of a sweep, its trials and their ids, and successive halving."""

import hashlib
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from autobird.core.errors import AutobirdError
from autobird.sweep.definition import parse_definition, read_definition
from autobird.sweep.distributions import DRAWS, KEYS
from autobird.sweep.halving import folds_of_rungs, survivors
from autobird.sweep.trials import expand, trial_id

ROOT = Path(__file__).resolve().parents[2]


def sweep(parameters: dict[str, Any], method: str = "grid", **more: Any) -> dict[str, Any]:
    return {"method": method, "metric": {"name": "macro_f1", "goal": "maximize"}, "parameters": parameters, **more}


GRID = {
    "train.width": {"values": [8, 16]},
    "train.dropout": {"values": [0.0, 0.1, 0.2]},
    "train.roll": {"value": False},
}


def test_a_grid_has_all_combinations_in_the_order_of_the_file() -> None:
    trials = expand(parse_definition(sweep(GRID)), 0)
    assert [(t["train.width"], t["train.dropout"]) for t in trials] == [
        (8, 0.0), (8, 0.1), (8, 0.2), (16, 0.0), (16, 0.1), (16, 0.2),
    ]  # fmt: skip
    assert all(t["train.roll"] is False for t in trials)
    assert expand(parse_definition(sweep(GRID, run_cap=2)), 0) == trials[:2]


def test_ranges_of_numbers_are_grids_too() -> None:
    found = parse_definition(
        sweep(
            {
                "train.epochs": {"min": 2, "max": 4},
                "train.dropout": {"distribution": "q_uniform", "min": 0, "max": 0.3, "q": 0.1},
            }
        )
    )
    assert {t["train.epochs"] for t in expand(found, 0)} == {2, 3, 4}
    assert sorted({t["train.dropout"] for t in expand(found, 0)}) == [0.0, 0.1, 0.2, 0.3]


def test_nested_parameters_of_wandb_are_the_same_as_names_with_dots() -> None:
    nested = {"train": {"parameters": {name.removeprefix("train."): spec for name, spec in GRID.items()}}}
    assert parse_definition(sweep(nested)) == parse_definition(sweep(GRID))


RANDOM = {
    "train.learning_rate": {"distribution": "log_uniform_values", "min": 0.001, "max": 0.1},
    "train.width": {"values": [8, 16], "probabilities": [0.9, 0.1]},
}


@pytest.mark.parametrize("method", ["random", "bayes"])
def test_drawn_values_depend_on_the_seed_the_trial_and_the_parameter_alone(method: str) -> None:
    few = expand(parse_definition(sweep(RANDOM, method, run_cap=5)), 3)
    # More trials, and one more parameter: the values from before stay.
    more = {"train.dropout": {"min": 0.0, "max": 0.5}, **RANDOM}
    many = expand(parse_definition(sweep(more, method, run_cap=9)), 3)
    assert [{name: t[name] for name in RANDOM} for t in many[:5]] == few
    assert expand(parse_definition(sweep(RANDOM, method, run_cap=5)), 3) == few
    assert expand(parse_definition(sweep(RANDOM, method, run_cap=5)), 4) != few
    assert len({t["train.learning_rate"] for t in many}) == 9


def test_log_uniform_values_are_uniform_on_the_logarithmic_scale() -> None:
    trials = expand(parse_definition(sweep(RANDOM, "random", run_cap=400)), 0)
    rates = np.log10([t["train.learning_rate"] for t in trials])
    assert rates.min() >= -3
    assert rates.max() <= -1
    assert abs(np.median(rates) + 2) < 0.15
    assert 320 < Counter(t["train.width"] for t in trials)[8] < 390


@pytest.mark.parametrize(
    ("distribution", "spec", "low", "high"),
    [
        ("constant", {"value": 3}, 3, 3),
        ("categorical", {"values": [1, 2]}, 1, 2),
        ("categorical_w_probabilities", {"values": [1, 2], "probabilities": [0, 1]}, 2, 2),
        ("int_uniform", {"min": 1, "max": 3}, 1, 3),
        ("uniform", {"min": 0.5, "max": 0.6}, 0.5, 0.6),
        ("q_uniform", {"min": 1, "max": 9, "q": 2}, 0, 10),
        ("log_uniform", {"min": 0, "max": 1}, 1, np.e),
        ("log_uniform_values", {"min": 1, "max": 10}, 1, 10),
        ("q_log_uniform_values", {"min": 1, "max": 10}, 1, 10),
        ("inv_log_uniform_values", {"min": 1, "max": 10}, 1, 10),
        ("normal", {"mu": 5, "sigma": 0.01}, 4, 6),
        ("q_normal", {"mu": 5, "sigma": 0.01}, 5, 5),
        ("log_normal", {"mu": 0, "sigma": 0.01}, 0.9, 1.1),
    ],
)
def test_each_distribution_draws_within_its_bounds(
    distribution: str, spec: dict[str, Any], low: float, high: float
) -> None:
    assert set(DRAWS) == set(KEYS)
    rng = np.random.default_rng(0)
    values = [DRAWS[distribution](spec, rng) for _ in range(50)]
    assert all(low - 1e-9 <= v <= high + 1e-9 for v in values)
    # Numbers of Python, which JSON and YAML can hold.
    assert {type(v) for v in values} <= {int, float}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([], "it must have the keys method, metric and parameters"),
        (sweep(GRID, methods="x"), "methods: there is no such key; did you mean method?"),
        (sweep(GRID, "anneal"), "method: 'anneal' is none of grid, random, bayes"),
        (sweep(RANDOM, "random"), "method random needs the number of trials; add `run_cap: 20`"),
        (sweep(RANDOM, "random", run_cap=0), "run_cap: 0 is not a number of trials"),
        (sweep(RANDOM), "parameters.train.learning_rate: a grid needs the list of its values"),
        (sweep({}), "parameters: there are none"),
        (sweep({"train.width": 8}), "parameters.train.width: 8 must be keys such as"),
        (sweep({"train.width": {"vales": [8]}}), "parameters.train.width: give value, values, or min and max"),
        (sweep({"train.width": {"values": [8], "mix": 1}}), "parameters.train.width.mix: there is no such key; valid keys are"),
        (sweep({"train.width": {"values": 8}}), "parameters.train.width.values: 8 is not a list"),
        (sweep({"train.width": {"distribution": "normale", "mu": 1}}), "distribution: 'normale' is none of constant"),
        (sweep({"train.width": {"distribution": "uniform", "min": 1}}), "uniform needs the key max; add it"),
        (sweep({"train.width": {"min": 9, "max": 1}}), "min 9 is above max 1"),
        (sweep({"train.dropout": {"min": "1e-4", "max": 1}}), "'1e-4' is not a number (YAML reads 1e-4 as text"),
        (sweep({"train.width": {"values": [1, 2], "probabilities": [0.5, 0.6]}}), "one number per value, with a sum of 1"),
        (
            sweep({"train.width": {"distribution": "log_uniform_values", "min": 0, "max": 1}}, "random", run_cap=1),
            "min: 0 has no logarithm",
        ),
        (
            sweep({"train.batch_size": {"distribution": "log_uniform", "min": 16, "max": 1024}}, "random", run_cap=1),
            "max: 1024 is the natural logarithm of a value, which is too large",
        ),
        (sweep({"train.dropout": {"min": 0, "max": float("inf")}}, "random", run_cap=1), "max: inf is not finite"),
        ({**sweep(GRID), "metric": {"name": "loss", "goal": "minimize"}}, "metric.name: 'loss' is none of macro_f1"),
        ({**sweep(GRID), "metric": {"name": "cmap"}}, "metric.goal: None must be maximize"),
        ({**sweep(GRID), "metric": None}, "metric: None must have keys of its own"),
        ({"method": "grid", "parameters": GRID}, "metric: it is missing, and needs keys of its own; docs/sweep.md"),
    ],
)  # fmt: skip
def test_what_is_no_sweep_is_refused_with_the_key_and_the_remedy(content: Any, message: str) -> None:
    with pytest.raises(AutobirdError) as error:
        parse_definition(content)
    assert message in str(error.value)


def test_errors_name_the_file(tmp_path: Path) -> None:
    file = tmp_path / "sweep.yaml"
    with pytest.raises(
        AutobirdError, match=r"sweep.yaml does not exist; write the sweep there, or give its file as sweep.file"
    ):
        read_definition(file)
    file.write_text("method: [")
    with pytest.raises(AutobirdError, match=r"sweep.yaml cannot be read as YAML: .*line 1"):
        read_definition(file)
    file.write_text(yaml.safe_dump(sweep(GRID, name_="x")))
    with pytest.raises(AutobirdError, match=r"sweep.yaml: name_: there is no such key; did you mean name\?"):
        read_definition(file)


def test_the_example_is_a_valid_sweep() -> None:
    found = read_definition(ROOT / "config/sweep.yaml")
    assert len(expand(found, 0)) == found.run_cap


def test_the_id_of_a_trial_depends_on_its_own_values_alone() -> None:
    one = trial_id({"train.width": 8, "train.dropout": 0.1})
    assert one == trial_id({"train.dropout": 0.1, "train.width": 8})
    assert len({one, trial_id({"train.width": 8}), trial_id({"train.width": 9})}) == 3
    # The results of finished trials are found by their ids: they must not change between versions.
    assert trial_id({"train.width": 8}) == "trial-" + hashlib.sha256(b'{"train.width": 8}').hexdigest()[:10]
    with pytest.raises(ValueError, match="run itself"):
        trial_id({})


def test_the_folds_of_successive_halving_double_from_rung_to_rung() -> None:
    assert folds_of_rungs(5, None) == [[0, 1, 2, 3, 4]]
    assert folds_of_rungs(5, 0.5) == [[0], [0, 1], [0, 1, 2, 3], [0, 1, 2, 3, 4]]
    assert folds_of_rungs(3, 0.3) == [[0], [0, 1], [0, 1, 2]]


def test_the_best_trials_survive_and_the_settings_of_the_run_always() -> None:
    ranking = ["c", "a", "defaults", "d", "b"]
    assert survivors(ranking, "defaults", 0.5) == ["c", "a", "defaults"]
    assert survivors(ranking, "defaults", 0.25) == ["c", "defaults"]
    assert survivors(ranking, "defaults", 0.26) == ["c", "a", "defaults"]
    assert survivors(["defaults"], "defaults", 0.5) == ["defaults"]
