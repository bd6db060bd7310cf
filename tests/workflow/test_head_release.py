"""The bundle of a run with a head on a backbone: what it contains, and what predicts with it."""

import csv
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from autobird.backbone.base import BackboneInfo
from autobird.drift.features import DRIFT_FEATURES
from autobird.predict import Classifier
from autobird.predict.bundle_files import FILES
from autobird.synth.folder import write_folder
from tests.conftest import copy_project, copy_run
from tests.heads import make_backbone
from tests.workflow.conftest import FOLDER, _finish, _once, snakemake
from tests.workflow.delivered import answered_probabilities

HEAD = (
    FOLDER,
    "train={architecture: head}",
    "backbone={name: tiny-backbone, file: networks/tiny.onnx, sample_rate: 32000, window: 1.0, licence: CC BY-NC-SA 4.0, source: a test}",
)
"""Configuration of a run with a head on a small network."""


@pytest.fixture(scope="session")
def finished_head(shared_tmp: Path) -> Path:
    """A finished run of a head. Shared by tests: copy it before you change it."""

    def make(project: Path) -> None:
        copy_project(project)
        write_folder(project / "my birds", species=3, recordings=9, seed=7)
        (project / "networks").mkdir()
        make_backbone(project / "networks/tiny.onnx")
        _finish(project, "--config", *HEAD)

    return _once(shared_tmp / "head", make)


@pytest.fixture
def head(finished_head: Path, tmp_path: Path) -> Path:
    """A copy of the finished run for one test."""
    return copy_run(finished_head, tmp_path / "a head")


def classifier_of(project: Path) -> Classifier:
    return Classifier(project / "results/test/release/bundle", backbone=project / "networks/tiny.onnx")


def test_the_bundle_names_the_backbone_and_does_not_contain_it(finished_head: Path) -> None:
    bundle = finished_head / "results/test/release/bundle"
    assert {p.name for p in bundle.iterdir()} == set(FILES)
    for file in bundle.iterdir():
        assert str(finished_head).encode() not in file.read_bytes()
        assert b"networks/tiny.onnx" not in file.read_bytes()
    description = json.loads((bundle / "bundle.json").read_text())
    info = make_backbone(finished_head / "networks/copy.onnx")
    # Its file has one input and one output, whose names the settings need not give.
    assert BackboneInfo.model_validate(description["backbone"]) == info.model_copy(update={"input": "", "output": ""})
    assert description["variant"] == "float"
    assert description["training_data"]["commercial_use"] is False
    assert "including that of the backbone tiny-backbone (CC BY-NC-SA 4.0)" in (bundle / "MODEL_CARD.md").read_text()
    provenance = json.loads((bundle / "provenance.json").read_text())
    assert provenance["inputs"]["backbone"] == info.sha256
    assert {"backbone.embed", "model.train_head"} <= set(provenance["code"])


def test_the_bundle_gives_its_expected_probabilities(finished_head: Path) -> None:
    bundle = finished_head / "results/test/release/bundle"
    expected = json.loads((bundle / "expected.json").read_text())
    found = classifier_of(finished_head).predict(bundle / expected["clip"])
    np.testing.assert_allclose(found.probabilities, expected["probabilities"], atol=0.001)


def test_prediction_and_evaluation_give_the_same_probabilities(finished_head: Path) -> None:
    """Both use the same decoding at both rates, embeddings and graph, so windows and probabilities are those of predictions.parquet."""
    classifier = classifier_of(finished_head)
    table = pd.read_parquet(finished_head / "results/test/release/predictions.parquet")
    table = table[~table["split"].str.endswith("_quiet")]
    assert table["recording"].nunique() > 5
    for name, rows in table.groupby("recording"):
        found = classifier.predict(finished_head / "my birds" / str(name))
        np.testing.assert_array_equal(np.rint(found.starts[~found.quiet] * 16000).astype(int), rows["start"])
        expected = answered_probabilities(classifier.bundle.calibration, rows)
        np.testing.assert_allclose(found.probabilities[~found.quiet], expected, atol=1e-5)


@pytest.mark.long
def test_a_folder_is_predicted_in_batches_and_tested_for_drift(head: Path) -> None:
    split = pd.read_csv(head / "results/test/drift/current.csv", index_col="recording")
    for name in split.index:
        file = head / "test split" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes((head / "my birds" / name).read_bytes())
    result = snakemake(
        head,
        "predict",
        "drift",
        "--config",
        *HEAD,
        "predict={input: test split, batches: 2}",
        "drift={current: test split}",
    )
    assert result.code == 0, result.text
    assert "train_head" not in result.rules
    assert "embed" not in result.rules
    found = pd.read_csv(head / "results/test/drift/current.csv", index_col="recording")
    assert list(found.columns) == list(DRIFT_FEATURES)
    np.testing.assert_allclose(found.loc[split.index], split, atol=1e-3)
    classifier = classifier_of(head)
    with (head / "results/test/predict/predict/detections.csv").open(newline="") as file:
        rows = [(r["file"], float(r["start"]), r["species"], r["probability"]) for r in csv.DictReader(file)]
    expected = [
        (str(name), d.start, d.species, f"{d.probability:.4f}")
        for name in sorted(split.index)
        for d in classifier.detections(classifier.predict(head / "test split" / str(name)))
    ]
    assert sorted(rows) == sorted(expected)


def test_a_licence_policy_without_the_licence_of_the_backbone_is_refused_before_any_job(head: Path) -> None:
    result = snakemake(
        head, "--config", "corpus={type: folder, root: my birds, licences: {train: [CC0, BY]}}", *HEAD[1:]
    )
    assert result.code == 1
    assert (
        "error: corpus.licences.train: [CC0, BY] does not allow CC BY-NC-SA 4.0, the licence of the backbone"
        in result.text
    )
    assert not result.jobs
