"""The program of W&B agents: values from arguments, their checks, the scores of a trial, and the run of the agent."""

import sys
from argparse import Namespace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from wandb.sdk.launch.sweeps.utils import create_sweep_command_args

from autobird.config import load_config
from autobird.core.errors import AutobirdError
from autobird.core.files import write_json
from autobird.core.tables import write_table
from autobird.evaluation.predictions import PREDICTIONS
from autobird.evaluation.settings import EvaluationSettings
from autobird.sweep.definition import METRICS, read_definition
from autobird.sweep.scores import Training, TrialFiles, trial_scores
from tests.conftest import ROOT
from tests.predictions import predictions

sys.path.insert(0, str(ROOT / "scripts"))

import wandb_trial


def test_the_default_sweep_starts_the_program() -> None:
    read_definition(ROOT / "config/sweep.yaml")
    assert "program: scripts/wandb_trial.py" in (ROOT / "config/sweep.yaml").read_text()


VALUES = {
    "train.learning_rate": 1e-05,
    "train.width": 12,
    "train.roll": False,
    "train.loss": "focal",
    "train.mix_probability": None,
    "train.channels": [8, 16],
}


def test_the_values_that_wandb_writes_as_arguments_are_read_back_with_their_types() -> None:
    passed = create_sweep_command_args({"args": {name: {"value": value} for name, value in VALUES.items()}})["args"]
    assert passed[0] == "--train.learning_rate=1e-05"
    found = wandb_trial.read_values(passed)
    assert found == VALUES
    assert [type(value) for value in found.values()] == [type(value) for value in VALUES.values()]


def test_nested_parameters_are_names_with_dots() -> None:
    [passed] = create_sweep_command_args({"args": {"train": {"value": {"width": 12, "loss": "bce"}}}})["args"]
    assert wandb_trial.read_values([passed]) == {"train.width": 12, "train.loss": "bce"}


@pytest.mark.parametrize("arguments", [["--train.roll"], ["train.width=8"], ["--train.width", "8"], []])
def test_arguments_that_are_no_values_are_refused_with_the_remedy(arguments: list[str]) -> None:
    with pytest.raises(AutobirdError, match=r"use \$\{args\} in the command of the sweep"):
        wandb_trial.read_values(arguments)


def test_the_configuration_is_that_of_snakemake_with_the_same_options(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    (tmp_path / "mine.yaml").write_text("run: {name: mine}\ntrain: {width: 8}\n")
    raw = wandb_trial.read_run(["config/test.yaml", str(tmp_path / "mine.yaml")], ["train={epochs: 3}"])
    config = load_config(raw)
    assert (config.run.name, config.run.tracking) == ("mine", "none")
    assert (config.train.width, config.train.epochs, config.dataset.min_windows) == (8, 3, 2)
    for files, settings in ((["missing.yaml"], []), ([], ["train"])):
        with pytest.raises(AutobirdError, match="check --configfile and --config"):
            wandb_trial.read_run(files, settings)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("train.dropout", 7, "a trial is not valid: train.dropout: 7 is not valid: input should be less than 1"),
        ("train.with", 8, "parameters.train.with: there is no such key of the section train"),
        ("features.hop", 1, "parameters.features.hop: a sweep changes settings of the section train alone"),
        ("train.seed", 1, "parameters.train.seed: trials cannot differ in it: sweep.train_seeds gives the seeds"),
        ("width", 8, "parameters.width: a sweep changes settings of the section train alone"),
    ],
)
def test_values_are_checked_like_those_of_snakemake_sweep(
    name: str, value: object, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(AutobirdError) as error:
        wandb_trial.write_trial({}, {name: value})
    assert str(error.value).startswith(message)


def files_of(raw: dict[str, Any], values: dict[str, Any]) -> tuple[str, list[tuple[int, int, str, str]], set[str]]:
    sweep, _ = wandb_trial.write_trial(raw, values)
    trial, networks = wandb_trial.trial_files(sweep, raw)
    folder = f"results/{load_config(raw).run.name}/"
    trainings = [(t.fold, t.seed, str(t.predictions), str(t.labels)) for t in trial.trainings]
    assert all(path.startswith(folder) for _, _, *paths in trainings for path in paths)
    short = [(f, s, p.removeprefix(folder), labels.removeprefix(folder)) for f, s, p, labels in trainings]
    return trial.id, short, {str(path).removeprefix(folder) for path in networks}


def test_a_trial_has_the_files_of_the_same_trial_of_snakemake_sweep(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    settings = {"file": "other.yaml", "skip": ["trial-1"]}
    name, [training], networks = files_of({"sweep": settings}, {"train.width": 8})
    seed = load_config({}).train.seed
    member = f"members/{name}.seed{seed}"
    assert training == (0, seed, f"{member}/release/scores/float.parquet", "dataset/labels.json")
    assert networks == {f"{member}/model/weights.safetensors", f"{member}/model/model.json"}


def test_on_folds_a_trial_is_trained_on_all_of_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    raw = {"dataset": {"folds": 3}, "sweep": {"validate_on": "folds", "keep": 0.5, "train_seeds": [4, 5]}}
    name, trainings, _ = files_of(raw, {"train.width": 8})
    assert [(fold, seed) for fold, seed, *_ in trainings] == [(f, s) for f in range(3) for s in (4, 5)]
    assert trainings[3][2:] == (
        f"members/fold1.{name}.seed5/release/scores/float.parquet",
        "members/fold1/dataset/labels.json",
    )


def test_the_values_of_the_run_are_the_run_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    main = load_config({}).train
    name, [training], _ = files_of({}, {"train.width": main.width})
    assert (name, training[2]) == ("defaults", "release/scores/float.parquet")
    ensemble = {"train": {"ensemble": "average", "seeds": [main.seed, main.seed + 1]}}
    _, [training], _ = files_of(ensemble, {"train.width": main.width})
    assert training[2] == "release/scores/network.parquet"


def scored(folder: Path, species: list[str], excluded: bool = False) -> tuple[TrialFiles, Path]:
    """A trial with two seeds, of which the second is wrong more often, and the index of the run."""
    write_json(folder / "labels.json", species)
    trainings = []
    for seed, wrong in ((4, 2), (5, 5)):
        rows = []
        for i in range(12):
            right = [1.0] if len(species) == 1 else [0.8, 0.2][:: 1 if i % 2 == 0 else -1]
            rows.append((f"r{i}", f"g{i}", species[i % len(species)], right[::-1] if i < wrong else right))
        path = folder / f"{seed}.parquet"
        write_table(path, predictions(rows, "validation", windows=2), PREDICTIONS)
        trainings.append(Training(0, seed, path, folder / "labels.json"))
    index = folder / "index.parquet"
    split = "test" if excluded else "validation"
    pd.DataFrame({"recording": [f"r{i}" for i in range(12)], "recording_split": split}).to_parquet(index)
    return TrialFiles("trial", {}, "independent", trainings), index


def test_the_scores_are_those_of_snakemake_sweep(tmp_path: Path) -> None:
    trial, index = scored(tmp_path, ["A", "B"])
    settings = EvaluationSettings(resamples=100)
    found = wandb_trial.scores(trial, index, settings)
    assert set(found) == {"macro_f1", "top1", "cmap"} == set(METRICS)
    for metric, value in found.items():
        [expected] = trial_scores([trial], metric, frozenset(), settings)["trials"]
        assert value == pytest.approx(expected["score"]["value"], abs=1e-6)
    assert found["top1"] == pytest.approx((10 / 12 + 7 / 12) / 2)


def test_a_metric_that_is_not_defined_is_not_logged(tmp_path: Path) -> None:
    trial, index = scored(tmp_path, ["A"])
    found = wandb_trial.scores(trial, index, EvaluationSettings(resamples=100))
    assert "macro_f1" not in found
    assert "top1" not in found


def test_without_validation_recordings_there_is_no_score(tmp_path: Path) -> None:
    trial, index = scored(tmp_path, ["A", "B"], excluded=True)
    with pytest.raises(AutobirdError, match="no validation recording is left"):
        wandb_trial.scores(trial, index, EvaluationSettings(resamples=100))


def test_trainings_do_not_log_to_the_run_of_the_agent(monkeypatch: pytest.MonkeyPatch) -> None:
    of_agent = {"WANDB_SWEEP_ID", "WANDB_RUN_ID", "WANDB_SWEEP_PARAM_PATH", "WANDB_DIR"}
    for name in (*of_agent, "WANDB_MODE"):
        monkeypatch.setenv(name, "x")
    found = wandb_trial.workflow_environment()
    assert found["WANDB_MODE"] == "x"
    assert not of_agent & set(found)


class FakeWandb:
    """A stand-in for W&B that records what becomes of the run."""

    def __init__(self) -> None:
        self.codes: list[int] = []

    def init(self) -> "FakeWandb":
        return self

    def finish(self, exit_code: int) -> None:
        self.codes.append(exit_code)


def start(monkeypatch: pytest.MonkeyPatch, sweep: str | None, *arguments: str, fails: bool = False) -> list[int]:
    """Start the program with a stand-in for W&B and for the trial; return how the run ended."""
    module, started = FakeWandb(), []

    def run_trial(args: Namespace, values: dict[str, Any], log: Any) -> None:
        assert log is module
        started.append((args.configfile, args.config, args.snakemake, values))
        if fails:
            raise AutobirdError("no")

    monkeypatch.setitem(sys.modules, "wandb", module)
    monkeypatch.setattr(wandb_trial, "run_trial", run_trial)
    monkeypatch.setattr(wandb_trial.signal, "signal", lambda *_: None)
    monkeypatch.delenv("WANDB_SWEEP_ID", raising=False)
    if sweep:
        monkeypatch.setenv("WANDB_SWEEP_ID", sweep)
    try:
        wandb_trial.main(arguments)
    finally:
        start.seen = (started, module.codes)  # type: ignore[attr-defined]
    return module.codes


def test_options_of_snakemake_are_not_values(monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = ("--configfile", "a.yaml", "b.yaml", "--config", "run={name: x}", "--snakemake=--cores 2")
    assert start(monkeypatch, "s", *arguments, "--train.width=8") == [0]
    started, _ = start.seen  # type: ignore[attr-defined]
    assert started == [(["a.yaml", "b.yaml"], ["run={name: x}"], "--cores 2", {"train.width": 8})]


def test_a_failed_trial_is_a_failed_run(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SystemExit, match="error: no"):
        start(monkeypatch, "s", "--train.width=8", fails=True)
    assert start.seen[1] == [1]  # type: ignore[attr-defined]


def test_without_an_agent_nothing_is_started_or_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SystemExit, match="error: `wandb agent` starts this program"):
        start(monkeypatch, None, "--train.width=8")
    assert start.seen == ([], [])  # type: ignore[attr-defined]
