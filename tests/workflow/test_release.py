"""The bundle, the predictions and the drift result of a run of the workflow."""

import csv
import hashlib
import json
import sqlite3
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from autobird.drift.features import DRIFT_FEATURES
from autobird.predict import Classifier
from autobird.predict.bundle import Bundle
from autobird.predict.bundle_files import FILES
from autobird.predict.columns import DETECTION_COLUMNS
from autobird.predict.threshold_overlay import write_overlay
from autobird.serving.store.entries import LogEntry
from autobird.serving.store.store import Store, backend_of
from autobird.synth.folder import write_folder
from tests.workflow.conftest import FOLDER, snakemake
from tests.workflow.delivered import answered_probabilities, assert_delivered


def test_the_bundle_contains_its_files_and_no_path_of_the_machine_or_the_corpus(finished_folder: Path) -> None:
    bundle = finished_folder / "results/test/release/bundle"
    assert {p.name for p in bundle.iterdir()} == set(FILES)
    for file in bundle.iterdir():
        assert str(finished_folder).encode() not in file.read_bytes()
        assert b"my birds" not in file.read_bytes()
    provenance = json.loads((bundle / "provenance.json").read_text())
    assert set(provenance) == {"inputs", "config", "code"}
    assert provenance["inputs"]["recordings"] == 27
    assert provenance["code"]["model.train"]


def test_the_bundle_gives_its_expected_probabilities(finished_folder: Path) -> None:
    bundle = finished_folder / "results/test/release/bundle"
    expected = json.loads((bundle / "expected.json").read_text())
    found = Classifier(bundle).predict(bundle / expected["clip"])
    np.testing.assert_allclose(found.probabilities, expected["probabilities"], atol=expected["tolerance"])


def test_prediction_and_evaluation_give_the_same_probabilities(finished_folder: Path) -> None:
    """Both use the same decoding, front end and graph, so windows and probabilities are those of predictions.parquet."""
    classifier = Classifier(finished_folder / "results/test/release/bundle")
    table = pd.read_parquet(finished_folder / "results/test/release/predictions.parquet")
    table = table[~table["split"].str.endswith("_quiet")]
    for name, rows in table.groupby("recording"):
        found = classifier.predict(finished_folder / "my birds" / str(name))
        np.testing.assert_array_equal(np.rint(found.starts[~found.quiet] * 16000).astype(int), rows["start"])
        expected = answered_probabilities(classifier.bundle.calibration, rows)
        np.testing.assert_allclose(found.probabilities[~found.quiet], expected, atol=1e-5)


def test_the_scores_of_the_evaluation_are_those_of_the_predictions(finished_folder: Path) -> None:
    root = finished_folder / "my birds"
    truth = {p.relative_to(root).as_posix(): {p.parent.name.replace("_", " ")} for p in root.glob("*/*")}
    assert_delivered(finished_folder / "results/test", root, truth)


@pytest.mark.long
def test_a_folder_of_the_test_recordings_has_the_drift_features_of_the_test_split(folder: Path) -> None:
    split = pd.read_csv(folder / "results/test/drift/current.csv", index_col="recording")
    for name in split.index:
        file = folder / "test split" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes((folder / "my birds" / name).read_bytes())
    result = snakemake(folder, "--config", FOLDER, "drift={current: test split}")
    assert result.code == 0, result.text
    found = pd.read_csv(folder / "results/test/drift/current.csv", index_col="recording")
    assert list(found.columns) == list(split.columns) == list(DRIFT_FEATURES)
    np.testing.assert_allclose(found.loc[split.index], split, atol=1e-3)


@pytest.mark.long
def test_a_repeated_release_gives_the_same_bytes(folder: Path) -> None:
    release = folder / "results/test/release"
    files = [
        p for p in [*release.iterdir(), *(release / "bundle").iterdir()] if p.is_file() and not p.name.endswith(".lock")
    ]
    repeatable = [p for p in files if p.name not in ("latency.json", "comparison.png")]
    before = {p: hashlib.sha256(p.read_bytes()).digest() for p in repeatable}
    for path in files:
        path.unlink()
    result = snakemake(folder, "--config", FOLDER)
    assert result.code == 0, result.text
    assert result.rules >= {"export", "prune", "quantize", "compare", "bundle"}
    assert {p: hashlib.sha256(p.read_bytes()).digest() for p in repeatable} == before


@pytest.mark.long
def test_a_folder_of_field_recordings_is_predicted_in_batches(folder: Path) -> None:
    write_folder(folder / "field work", species=2, recordings=3, seed=9)
    (folder / "field work" / "broken.mp3").write_text("no sound")
    options = ["predict", "--config", FOLDER, "predict={input: field work, batches: 3}"]
    result = snakemake(folder, *options)
    assert result.code == 0, result.text
    assert result.rules == {"predict_manifest", "predict_batch", "predict_merge", "predict"}
    out = folder / "results/test/predict/predict"
    with (out / "skipped.csv").open(newline="") as file:
        assert {r["file"]: r["reason"] for r in csv.DictReader(file)} == {"broken.mp3": "text, not audio"}
    assert "note: predict.input: 1 file is not audio (1 text), for example SOURCES.csv" in result.text
    with (out / "detections.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert rows == sorted(rows, key=lambda r: (r["file"], float(r["start"])))
    assert list(rows[0]) == [column.name for column in DETECTION_COLUMNS]
    with (out / "detections.files.csv").open(newline="") as file:
        files = {r["file"]: (r["status"], r["site"]) for r in csv.DictReader(file)}
    assert files.pop("broken.mp3") == ("skipped", "")
    assert len(files) == 6
    assert all(site == file.rpartition("/")[0] for file, (_, site) in files.items())
    assert "Nothing to be done" in snakemake(folder, *options).text
    bundle = Bundle.load(folder / "results/test/release/bundle")
    thresholds = write_overlay(bundle, {bundle.labels[0]: 0.0})
    changed = snakemake(folder, *options)
    assert changed.code == 0, changed.text
    assert changed.rules == {"predict_batch", "predict_merge", "predict"}
    with (out / "detections.csv").open(newline="") as file:
        of_first = [r["file"] for r in csv.DictReader(file) if r["species"] == bundle.labels[0]]
    assert set(of_first) == set(files)  # each of the recordings reaches a threshold of 0
    never = snakemake(folder, *options[:-1], "predict={input: field work, batches: 3, threshold: 1}")
    assert never.code == 0, never.text
    assert len((out / "detections.csv").read_text().splitlines()) == 1
    (folder / "list.txt").write_text(f"{bundle.labels[0]}\n")
    (folder / "codes.csv").write_text(f"species,code\n{bundle.labels[0]},first\n")
    listed = [*options[:-1], "predict={input: field work, batches: 3, species: list.txt, codes: codes.csv}"]
    assert snakemake(folder, *listed).code == 0
    with (out / "detections.csv").open(newline="") as file:
        assert {(r["species"], r["code"]) for r in csv.DictReader(file)} == {(bundle.labels[0], "first")}
    (folder / "codes.csv").write_text(f"species,code\n{bundle.labels[0]},another\n")
    again = snakemake(folder, *listed)
    assert again.rules == {"predict_batch", "predict_merge", "predict"}, again.text
    (folder / "codes.csv").unlink()
    missing = snakemake(folder, *listed)
    assert (missing.code, "error: predict.codes: codes.csv is not a file" in missing.text) == (1, True)
    thresholds.unlink()
    assert snakemake(folder, *options).code == 0
    with (out / "detections.csv").open(newline="") as file:
        assert list(csv.DictReader(file)) == rows
    write_folder(folder / "more", species=2, recordings=4, seed=9)
    new = next(p for p in (folder / "more").rglob("*-0003.*"))
    new.rename(folder / "field work" / new.name)
    again = snakemake(folder, *options)
    assert again.code == 0, again.text
    assert sum("rule predict_batch" in line for line in again.text.splitlines()) == 1
    named = [text for p in (out / "batches").glob("*.features.csv") for text in p.read_text().splitlines()]
    assert [line for line in named if line.startswith(f"{new.name},")]


def test_predicting_without_a_folder_names_the_missing_setting(folder: Path) -> None:
    result = snakemake(folder, "predict", "--config", FOLDER)
    assert result.code == 1
    assert "error: predict.input is not set; give a folder" in result.text
    result = snakemake(folder, "predict", "--config", FOLDER, "predict={input: nowhere}")
    assert "error: predict.input: nowhere is not a folder" in result.text


@pytest.mark.long
def test_drift_is_tested_on_a_folder_and_on_the_log_of_the_server(folder: Path) -> None:
    write_folder(folder / "field work", species=2, recordings=3, seed=9)
    result = snakemake(folder, "--config", FOLDER, "drift={current: field work}")
    assert result.code == 0, result.text
    assert result.rules == {"predict_manifest", "predict_batch", "drift_current", "drift"}
    assert json.loads((folder / "results/test/drift/drift.json").read_text())["recordings"] == 6
    description = json.loads((folder / "results/test/release/bundle/bundle.json").read_text())
    journal = Store(backend_of(folder / "log.sqlite"))
    for bundle, count in ((description["fingerprint"], 8), ("another", 3)):
        for level in range(count):
            features = dict.fromkeys(DRIFT_FEATURES, 0.0) | {"level": 40.0 + level}
            journal.append(LogEntry(bundle, 5.0, None, None, features))
    journal.close()
    result = snakemake(folder, "--config", FOLDER, "drift={current: log.sqlite}")
    assert result.code == 0, result.text
    assert result.rules == {"drift_current", "drift"}
    found = json.loads((folder / "results/test/drift/drift.json").read_text())
    assert found["drift"]
    assert found["recordings"] == 8
    assert found["summary"].endswith("at any time; left out: 3 of other bundles (another)")
    assert "Nothing to be done" in snakemake(folder, "--config", FOLDER, "drift={current: log.sqlite}").text
    with sqlite3.connect(folder / "log.sqlite") as connection:
        connection.execute("UPDATE predictions SET time = 86400 * (id + 365)")
    selected = "drift={current: log.sqlite, since: 1971-01-03, until: 1971-01-05 12:00:00}"
    result = snakemake(folder, "--config", FOLDER, selected)
    assert result.code == 0, result.text
    assert result.rules == {"drift_current", "drift"}
    found = json.loads((folder / "results/test/drift/drift.json").read_text())
    assert (found["recordings"], found["selection"]["outside"], found["selection"]["others"]) == (3, 5, {"another": 3})
    assert "Nothing to be done" in snakemake(folder, "--config", FOLDER, selected).text
    journal = Store(backend_of(folder / "log.sqlite"))
    assert journal.append(LogEntry(description["fingerprint"], 5.0, None, None, features), timeout=60) is not None
    journal.close()
    assert snakemake(folder, "--config", FOLDER, selected).rules == {"drift_current", "drift"}
    for drift, message in (
        ("{current: nothing.sqlite}", "drift.current: nothing.sqlite is neither a folder nor a file"),
        ("{current: field work, days: 3}", "drift.current: field work is a folder; set it to the log, or remove them"),
    ):
        result = snakemake(folder, "--config", FOLDER, f"drift={drift}")
        assert message in result.text
        assert result.code == 1
