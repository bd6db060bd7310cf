"""The trials of a sweep as members of a run: configurations, folders, and what is shared with the run."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from autobird.core.errors import AutobirdError
from autobird.members import members_of, teacher_id
from autobird.sweep_members import DEFAULTS, Sweep, sweep_of
from tests.conftest import ROOT

HEAD = {"train": {"architecture": "head"}, "corpus": {"licences": {"train": ["BY-NC-SA"]}}}


def make(
    folder: Path, parameters: dict[str, Any], settings: dict[str, Any] | None = None, **raw: Any
) -> tuple[Sweep, dict[str, Any]]:
    file = folder / "sweep.yaml"
    content = {"method": "grid", "metric": {"name": "cmap", "goal": "maximize"}, "parameters": parameters}
    file.write_text(yaml.safe_dump(content))
    config = {"dataset": {"folds": 3}, "sweep": {"file": str(file), **(settings or {})}, **raw}
    return sweep_of(config, members_of(config)[""].config), config


def by_id(sweep: Sweep) -> dict[str, Any]:
    return {member.id: member for member in sweep.members()}


def test_a_trial_is_a_member_with_the_dataset_of_the_run(tmp_path: Path) -> None:
    sweep, _ = make(tmp_path, {"train.width": {"values": [8, 12]}})
    assert sweep.trials[0].id == DEFAULTS
    members = by_id(sweep)
    assert len(members) == 3
    widths = sorted((m.config.train.width, m.dataset) for m in members.values())
    assert widths == [(8, ""), (12, ""), (16, "")]
    # The trial with the settings of the run is the run itself.
    assert (
        members[""].config
        == members_of({"dataset": {"folds": 3}, "sweep": members[""].config.sweep.model_dump()})[""].config
    )
    assert all(name == "" or name.startswith("trial-") for name in members)


def test_on_folds_the_settings_of_the_run_are_members_of_its_cross_validation(tmp_path: Path) -> None:
    settings = {"validate_on": "folds", "train_seeds": [4, 5]}
    sweep, config = make(tmp_path, {"train.width": {"values": [8, 16]}}, settings)
    # 16 is the width of the run: no trial of its own.
    assert [trial.values["train.width"] for trial in sweep.trials] == [16, 8]
    of_run = {m.id: m for m in members_of(config).values()}
    for fold, seed, name in sweep.trainings(DEFAULTS, 1):
        assert name == f"fold{fold}.seed{seed}"
        assert of_run[name] == by_id(sweep)[name]
    trial = sweep.trials[1].id
    member = by_id(sweep)[f"fold2.{trial}.seed5"]
    assert (member.dataset, member.config.dataset.fold, member.config.train.seed) == ("fold2", 2, 5)
    assert teacher_id(member.id) == "fold2.teacher"
    assert teacher_id(f"{trial}.seed4") == "teacher"


def test_more_trials_and_parameters_with_the_value_of_the_run_keep_the_ids(tmp_path: Path) -> None:
    one, _ = make(tmp_path, {"train.width": {"values": [8]}})
    two, _ = make(tmp_path, {"train.dropout": {"values": [0.2, 0.3]}, "train.width": {"values": [8, 12]}})
    assert set(by_id(one)) < set(by_id(two))


def test_equal_values_are_one_trial_however_they_are_written(tmp_path: Path) -> None:
    sweep, _ = make(tmp_path, {"train.learning_rate": {"values": [0.01, "1e-2", 1.0e-2]}})
    assert len(sweep.trials) == 2


def test_a_value_brings_the_defaults_that_depend_on_it(tmp_path: Path) -> None:
    sweep, _ = make(tmp_path, {"train.architecture": {"value": "cnn_transformer"}})
    assert sorted(member.config.train.batch_size for member in sweep.members()) == [16, 32]


def test_the_example_for_a_head_in_the_documentation_is_a_sweep_of_a_head(tmp_path: Path) -> None:
    page = (ROOT / "docs/sweep.md").read_text(encoding="utf-8")
    example = page.split("### A head\n")[1].split("```\n")[1]
    (tmp_path / "head.yaml").write_text(example)
    config = {**HEAD, "sweep": {"file": str(tmp_path / "head.yaml")}}
    sweep = sweep_of(config, members_of(config)[""].config)
    assert len(sweep.trials) == 12
    assert {m.config.train.architecture for m in sweep.members()} == {"head"}
    assert sorted({m.config.train.backbone_prior for m in sweep.members()}) == [0, 0.5, 1]


def test_a_trial_of_a_head_that_is_another_network_has_parameters_of_that_network(tmp_path: Path) -> None:
    sweep, _ = make(tmp_path, {"train.architecture": {"value": "resnet"}, "train.width": {"values": [8, 12]}}, **HEAD)
    assert sorted(m.config.train.width for m in sweep.members() if m.id) == [8, 12]


def test_halving_trains_on_the_folds_of_the_rung(tmp_path: Path) -> None:
    sweep, _ = make(tmp_path, {"train.width": {"values": [8]}}, {"validate_on": "folds", "keep": 0.5})
    trial = sweep.trials[1].id
    assert [fold for fold, _, _ in sweep.trainings(trial, 1)] == [0]
    assert [fold for fold, _, _ in sweep.trainings(trial, 3)] == [0, 1, 2]
    assert (sweep.most_trainings, len(by_id(sweep))) == (2, 6)


@pytest.mark.parametrize(
    ("settings", "most"),
    [
        ({}, 11),
        ({"validate_on": "folds"}, 55),
        # Folds 0; 1; 2 and 3; 4. Trials: 11; 10; 10, on two folds; 10.
        ({"validate_on": "folds", "keep": 0.9}, 20),
        ({"validate_on": "folds", "keep": 0.3, "train_seeds": [4, 5]}, 22),
    ],
)
def test_the_most_trainings_that_are_ready_at_once_are_those_of_a_rung(
    settings: dict[str, Any], most: int, tmp_path: Path
) -> None:
    widths = list(range(20, 30))
    sweep, _ = make(tmp_path, {"train.width": {"values": widths}}, settings, dataset={"folds": 5})
    assert sweep.most_trainings == most


@pytest.mark.parametrize(
    ("parameters", "settings", "raw", "message"),
    [
        ({"train.with": {"value": 8}}, {}, {}, "parameters.train.with: there is no such key of the section train"),
        ({"features.mels": {"value": 64}}, {}, {}, "a sweep changes settings of the section train alone"),
        ({"train.seed": {"value": 8}}, {}, {}, "trials cannot differ in it: sweep.train_seeds gives the seeds"),
        # The rule `train` requests cores, GPUs and machines for the processes of the run, whatever the member.
        ({"train.devices": {"value": 2}}, {}, {}, "requested for the devices of the run"),
        ({"train.nodes": {"value": 2}}, {}, {}, "requested for the nodes of the run"),
        ({"train.width": {"value": 1}}, {}, {}, "a trial is not valid: train.width: 1 is not valid"),
        ({"train.architecture": {"value": "head"}}, {}, {}, "needs a backbone, and the run has none"),
        ({"train.width": {"value": 8}}, {"train_seeds": [4, 5, 4]}, {}, "sweep: train_seeds [4, 5, 4] contain a seed twice"),
        ({"train.width": {"value": 8}}, {"keep": 0.5}, {}, "set sweep.validate_on to folds, or remove sweep.keep"),
        (
            {"train.outputs": {"value": "softmax"}}, {},
            {"train": {"teacher": "birdnet-2.4"}, "corpus": {"licences": {"train": ["BY-NC-SA"]}}},
            "the teacher has the same",
        ),
        (
            {"train.hidden": {"values": [0, 8]}, "train.width": {"values": [8, 12]}}, {}, HEAD,
            "parameters.train.width: it has no effect on a trial with train.architecture head; remove it, or replace it by a parameter of a "
            "head: train.outputs, train.loss, train.negative_share, train.hidden, train.backbone_prior, train.weight_decay, "
            "train.label_smoothing, train.sampler",
        ),
        ({"train.epochs": {"value": 60}}, {}, HEAD, "parameters.train.epochs: it has no effect"),
        (
            {"train.architecture": {"values": ["resnet", "head"]}, "train.width": {"values": [8, 12]}}, {}, HEAD,
            "parameters.train.width: it has no effect on a trial with train.architecture head",
        ),
    ],
)  # fmt: skip
def test_what_trials_cannot_differ_in_is_refused(
    tmp_path: Path, parameters: dict[str, Any], settings: dict[str, Any], raw: dict[str, Any], message: str
) -> None:
    with pytest.raises(AutobirdError) as error:
        make(tmp_path, parameters, settings, **raw)
    assert message in str(error.value)
    assert str(tmp_path) in str(error.value) or "sweep.keep" in message or "train_seeds [" in message


def test_a_skipped_trial_is_left_out_and_the_others_stay_the_same(tmp_path: Path) -> None:
    parameters = {"train.width": {"values": [8, 12, 20]}}
    sweep, _ = make(tmp_path, parameters)
    failed = sweep.trials[2].id
    without, _ = make(tmp_path, parameters, {"skip": [failed]})
    kept = [*sweep.trials[:2], sweep.trials[3]]
    assert [(trial.id, trial.values) for trial in without.trials] == [(trial.id, trial.values) for trial in kept]
    assert set(by_id(without)) == {name for name in by_id(sweep) if failed not in name}
    for name in ("trial-0123456789", DEFAULTS):
        with pytest.raises(
            AutobirdError, match=rf"sweep\.skip: {name} is no trial of .* are .*{failed}.*; remove it"
        ) as error:
            make(tmp_path, parameters, {"skip": [name]})
        assert f"are {DEFAULTS}" not in str(error.value)


def test_the_sweep_is_no_setting_of_a_bundle() -> None:
    one, two = (members_of({"sweep": {"random_seed": seed}})[""].config for seed in (0, 1))
    assert one.provenance() == two.provenance()
