"""`snakemake sweep` and ensembles: the jobs that they need, what runs again after a change, and their outputs."""

import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pandas as pd
import pytest
import yaml

from autobird.core.files import read_json
from autobird.predict.bundle import Bundle
from autobird.predict.graph import Graph
from tests.workflow.conftest import Result, environment, result_of, snakemake

TRAINED = {"train", "export", "score"}
"""Rules that run for each training of a trial."""

FOLDS = "dataset={folds: 3, min_windows: 2}"


def write_sweep(project: Path, **parameters: list[float]) -> None:
    content = {
        "method": "grid",
        "metric": {"name": "cmap", "goal": "maximize"},
        "parameters": {f"train.{key}": {"values": values} for key, values in parameters.items()},
    }
    (project / "trials.yaml").write_text(yaml.safe_dump(content))


def sweep(project: Path, *options: str, settings: str = "", tracking: str = "none") -> Result:
    more = [f"run={{tracking: {tracking}}}", *([FOLDS] if "folds" in settings else [])]
    return snakemake(project, "sweep", *options, "--config", f"sweep={{file: trials.yaml{settings}}}", *more)


def members(result: Result, rule: str) -> set[str]:
    """The members for which a rule ran."""
    return {name.strip(",/").removeprefix("members/") for name in result.batches(rule)}


def test_a_sweep_trains_each_trial_on_the_split_of_the_run_and_uses_its_network(demo: Path) -> None:
    write_sweep(demo, dropout=[0.1, 0.2, 0.3])
    planned = sweep(demo, "-n")
    assert planned.code == 0, planned.text
    # The run is done, and 0.2 is its own value: two trainings, no dataset, and nothing is released.
    assert planned.rules == {*TRAINED, "sweep_rung", "sweep_report", "sweep"}
    trained = members(planned, "train")
    assert len(trained) == 2
    assert all(name.startswith("trial-") and name.endswith(".seed4") for name in trained)


@pytest.mark.long
def test_tracking_of_a_sweep_runs_its_rule_alone(demo: Path) -> None:
    write_sweep(demo, dropout=[0.1])
    assert sweep(demo).code == 0
    assert sweep(demo, "-n", tracking="offline").rules == {"track_sweep", "sweep"}
    done = sweep(demo, tracking="offline")
    assert done.code == 0, done.text
    assert read_json(demo / "results/test/sweep/tracked.json")["mode"] == "offline"
    assert sweep(demo, "-n").jobs == set()
    assert sweep(demo, "-n", tracking="online").rules == {"track_sweep", "sweep"}


AGENT = """
import os, sys
from wandb.wandb_agent import Agent

agent = Agent(None, None, sweep_id="s")
agent._sweep_command = ["${env}", sys.executable, "${program}", "--configfile", "config/test.yaml", "${args}"]
os.environ["WANDB_SWEEP_ID"] = "s"
arguments = {"train.dropout": {"value": 0.1}, "train.roll": {"value": False}}
agent._command_run({"program": "scripts/wandb_trial.py", "run_id": "first", "args": arguments})
[process] = agent._run_processes.values()
sys.exit(process.wait())
"""
"""An agent of W&B that starts one trial as it does after an answer of the server, but without a server."""


@pytest.mark.long
def test_an_agent_of_wandb_trains_a_trial_and_logs_its_scores(demo: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", AGENT],
        cwd=demo,
        env={**environment(), "WANDB_MODE": "offline"},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout
    # The run is done: its features and its dataset are used again.
    assert result_of(0, done.stdout).rules == TRAINED
    [log] = (demo / "wandb").glob("offline-run-*-first/*.wandb")
    content = log.read_bytes()
    for name in (b"macro_f1", b"top1", b"cmap", b"train.dropout"):
        assert name in content, name
    assert not (demo / "results/test/sweep").exists()
    # `snakemake sweep` has the same trial, and does not train it again.
    write_sweep(demo, dropout=[0.1], roll=[False])
    planned = sweep(demo, "-n")
    assert planned.rules == {"sweep_rung", "sweep_report", "sweep"}, planned.text


@pytest.mark.long
def test_another_trial_or_parameter_trains_nothing_else_again(demo: Path) -> None:
    write_sweep(demo, dropout=[0.1, 0.3])
    before = members(sweep(demo, "-n"), "train")
    write_sweep(demo, dropout=[0.1, 0.3, 0.4])
    assert before < members(sweep(demo, "-n"), "train")
    # A parameter of which one value is that of the run.
    write_sweep(demo, dropout=[0.1, 0.3], roll=[True, False])
    after = members(sweep(demo, "-n"), "train")
    assert before < after
    assert len(after) == 4
    # A changed value is another trial.
    write_sweep(demo, dropout=[0.1, 0.35])
    assert len(before & members(sweep(demo, "-n"), "train")) == 1


@pytest.mark.long
def test_with_halving_only_the_first_fold_is_planned_before_its_scores_are_known(demo: Path) -> None:
    write_sweep(demo, dropout=[0.1, 0.3])
    planned = sweep(demo, "-n", settings=", validate_on: folds, keep: 0.5")
    assert planned.code == 0, planned.text
    assert {name.split(".")[0] for name in members(planned, "train")} == {"fold0"}
    assert "fold0.seed4" in members(planned, "train")
    all_folds = sweep(demo, "-n", settings=", validate_on: folds")
    assert len(members(all_folds, "train")) == 9


@pytest.mark.parametrize(
    ("parameters", "settings", "message"),
    [
        ({"with": [8]}, "", "error: trials.yaml: parameters.train.with: there is no such key"),
        pytest.param(
            {"dropout": [i / 1000 for i in range(301)]},
            "",
            "301 trainings, and at most 300 are supported",
            marks=pytest.mark.long,
        ),
        pytest.param(
            {"dropout": [0.1]},
            ", keep: 0.5",
            "error: sweep.keep 0.5 trains the best trials on further folds",
            marks=pytest.mark.long,
        ),
    ],
)
def test_an_impossible_sweep_is_refused_before_any_job(
    demo: Path, parameters: dict[str, list[float]], settings: str, message: str
) -> None:
    write_sweep(demo, **parameters)
    result = sweep(demo, settings=settings)
    assert result.code != 0
    assert message in result.text
    assert result.jobs == set()
    # The main run does not need the file.
    assert snakemake(demo, "-n", "--config", f"sweep={{file: trials.yaml{settings}}}").code == 0


@pytest.mark.long
def test_successive_halving_trains_the_best_trials_on_further_folds_and_runs_only_what_a_change_needs(
    demo: Path,
) -> None:
    write_sweep(demo, dropout=[0.1, 0.2, 0.3])
    settings = ", validate_on: folds, keep: 0.5"
    done = sweep(demo, settings=settings)
    assert done.code == 0, done.text
    folder = demo / "results/test/sweep"
    rungs = [read_json(folder / f"rung{rung}.json") for rung in (1, 2, 3)]
    assert [len(rung["trials"]) for rung in rungs] == [3, 2, 2]
    for rung, following in pairwise(rungs):
        assert {trial["id"] for trial in following["trials"]} == set(rung["survivors"])
    # Test recordings of the run have no part in any score.
    index = pd.read_parquet(demo / "results/test/dataset/index.parquet")
    not_test = index.loc[(index["recording_split"] != "test") & ~index["quiet"], "recording"].nunique()
    assert rungs[2]["recordings"] <= not_test
    table = pd.read_csv(folder / "trials.csv")
    assert list(table["rung"]) == [3, 3, 1]
    assert table["train.dropout"].is_unique
    assert (folder / "sweep.png").stat().st_size > 10_000
    assert set(yaml.safe_load((folder / "best.yaml").read_text())["train"]) == {"dropout"}
    assert sweep(demo, settings=settings).jobs == set()
    # The trial with the settings of the run was trained as members of its cross-validation.
    crossval = snakemake(demo, "crossval", "-n", "--config", FOLDS, "train={seeds: [4]}")
    assert members(crossval, "train") == set()


@pytest.mark.long
def test_an_averaged_ensemble_is_released_as_one_graph(demo: Path) -> None:
    config = ("--config", "train={ensemble: average, seeds: [4, 5]}", FOLDS)
    done = snakemake(demo, *config)
    assert done.code == 0, done.text
    assert members(done, "train") == {"seed5"}
    results = demo / "results/test"
    result = read_json(results / "release/ensemble.json")
    assert result["networks"] == ["main", "seed5"]
    assert Bundle.load(results / "release/bundle").labels
    assert Graph(results / "release/bundle/model.onnx").species == 3
    card = (results / "release/bundle/MODEL_CARD.md").read_text()
    assert "The model is an ensemble: it holds 2 networks" in card
    # Without the ensemble, the network of the run is released again; nothing is trained.
    back = snakemake(demo, "-n")
    assert "train" not in back.rules
    assert {"export", "bundle"} <= back.rules


def test_a_distilled_network_learns_from_an_ensemble_of_its_own_split(demo: Path) -> None:
    planned = snakemake(demo, "crossval", "-n", "--config", "train={ensemble: distill, seeds: [4, 5]}", FOLDS)
    assert planned.code == 0, planned.text
    assert members(planned, "ensemble") == {f"fold{fold}.ensemble" for fold in range(3)}
    seeds = {f"fold{fold}.seed{seed}" for fold in range(3) for seed in (4, 5)}
    assert members(planned, "train") == seeds | {f"fold{fold}.distilled" for fold in range(3)}
    main = snakemake(demo, "-n", "--config", "train={ensemble: distill, seeds: [4, 5]}")
    assert members(main, "train") == {"seed4", "seed5"}
    assert main.text.count("rule train:") == 3  # these, and the network of the run
