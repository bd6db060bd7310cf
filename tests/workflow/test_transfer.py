"""Runs of a head: what reruns, and the ready configuration with BirdNET."""

import json
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from autobird.core.files import read_json
from autobird.synth.folder import write_folder
from tests.backbones import needs_birdnet, needs_litert
from tests.conftest import copy_project
from tests.workflow.conftest import Result, environment, result_of, snakemake
from tests.workflow.test_head_release import HEAD, finished_head, head  # noqa: F401 - fixtures

AFTER_HEAD = {
    "curves",
    "export",
    "score",
    "compare",
    "latency",
    "comparison_figure",
    "evaluate",
    "ranking_curves",
    "confusions",
    "weaknesses",
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


UNUSED = "note: train.epochs, train.width and train.threads have no effect, because train.architecture is head; of the section train"
"""The note about the keys of config/test.yaml that have no effect on a head."""


@pytest.mark.parametrize("target", ["all", "crossval"])
def test_given_settings_that_a_head_does_not_use_are_noted_once_per_run(finished_head: Path, target: str) -> None:  # noqa: F811
    result = snakemake(finished_head, target, "--dry-run", "--config", *HEAD)
    assert result.code == 0, result.text
    assert result.text.count("have no effect") == 1
    assert UNUSED in result.text


def test_a_job_that_reads_the_workflow_again_does_not_repeat_the_note(finished_head: Path) -> None:  # noqa: F811
    job = snakemake(finished_head, "results/test/model/curves.png", "--dry-run", "--mode", "remote", "--config", *HEAD)
    assert job.code == 0, job.text
    assert "have no effect" not in job.text


def test_a_student_whose_teacher_is_a_head_has_no_note_about_its_settings(finished_head: Path) -> None:  # noqa: F811
    result = snakemake(
        finished_head, "crossval", "--dry-run", "--config", HEAD[0], "train={teacher: tiny-backbone}", HEAD[2]
    )
    assert result.code == 0, result.text
    assert "train_head" in result.rules
    assert "have no effect" not in result.text


def test_the_sweep_for_networks_is_refused_for_a_head_before_any_job(finished_head: Path) -> None:  # noqa: F811
    result = snakemake(finished_head, "sweep", "--dry-run", "--config", *HEAD)
    assert result.code != 0
    assert "error: config/sweep.yaml: parameters.train.learning_rate: it has no effect on a trial with" in result.text
    assert result.jobs == set()


@pytest.mark.long
@pytest.mark.parametrize("setting", ["epochs: 3", "width: 12", "learning_rate: 0.001"])
def test_settings_that_a_head_does_not_use_rerun_nothing_but_the_bundle(
    finished_head: Path,  # noqa: F811
    setting: str,
) -> None:
    """The bundle records the whole configuration."""
    rules = planned(finished_head, f"train={{architecture: head, {setting}}}", HEAD[2])
    assert rules == {"bundle", "drift_current", "drift"}


def test_a_corrected_licence_or_source_of_the_backbone_reruns_only_the_bundle(finished_head: Path) -> None:  # noqa: F811
    for old, new in (("source: a test", "source: another page"), ("CC BY-NC-SA 4.0", "CC BY 4.0")):
        assert old in HEAD[2]
        assert planned(finished_head, HEAD[1], HEAD[2].replace(old, new)) == {"bundle", "drift_current", "drift"}


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
    assert list(history.columns) == ["weight_decay", "loss", "macro_f1", "temperature", "bias"]


@pytest.mark.long
def test_a_cross_validation_of_heads_pools_the_analyses_of_its_folds(head: Path) -> None:  # noqa: F811
    def crossval(*options: str, seeds: str = "[4]", analysis: str = "") -> Result:
        train, folds = f"train={{architecture: head, seeds: {seeds}}}", "dataset={folds: 3, min_windows: 2}"
        result = snakemake(
            head, "crossval", *options, "--config", HEAD[0], train, HEAD[2].replace("}", f"{analysis}}}"), folds
        )
        assert result.code == 0, result.text
        return result

    first = crossval()
    per_fold = {"dataset", "train_head", "export", "score", "compare", "evaluate"}
    details = {"pooled_ranking_curves", "pooled_confusions", "pooled_weaknesses"}
    assert first.rules - {"crossval"} == {
        *per_fold, "pool", "pooled_possibly_heard", "pooled_learning_curve", *details,
    }  # fmt: skip
    results = head / "results/test/crossval"
    scores, curve, heard = (
        read_json(results / f"{name}.json") for name in ("crossval", "learning_curve", "possibly_heard")
    )
    assert heard["test_recordings"] == scores["recordings"] == 27
    # All recordings, and the heads of the folds at the last point: the pooled score of the curve is that of the cross-validation.
    assert (curve["folds"], curve["test_recordings"]) == (3, 27)
    assert curve["curve"][-1]["macro_f1"]["value"] == pytest.approx(
        scores["by_recording"]["macro_f1"]["value"], abs=0.05
    )
    assert crossval().jobs == set()
    # Another seed: its heads and the pooled scores, not the analyses, which are those of the first seed.
    assert crossval("-n", seeds="[4, 5]").rules - {"crossval"} == {*per_fold - {"dataset"}, "pool"}
    assert crossval("-n", analysis=", heard_until: 5").rules - {"crossval"} == {"pooled_possibly_heard"}


@needs_birdnet
@needs_litert
def test_the_ready_configuration_runs_to_the_evaluation_of_a_head_on_birdnet(tmp_path: Path) -> None:
    project = copy_project(tmp_path / "transfer")
    write_folder(project / "my birds", species=3, recordings=9, seed=7)
    done = subprocess.run(
        [
            sys.executable, "-m", "snakemake", "--configfile", "config/transfer.yaml", "--cores", "2",
            "results/transfer/evaluation/metrics.json", "--config",
            "corpus={root: my birds, batches: 1}", "dataset={min_windows: 2}", "evaluation={resamples: 100}",
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
