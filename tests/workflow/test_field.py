"""`evaluation.field` in a whole run: the bundle on recordings that were not trained on."""

import csv
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import soundfile

from tests.field_set import write_field_set, write_recording, write_table
from tests.workflow.conftest import FOLDER, snakemake

FIELD = "evaluation={field: {root: field set, batches: 2}}"
RESULTS = "results/test/field"


def metrics(project: Path) -> dict:
    return json.loads((project / RESULTS / "metrics.json").read_text())


@pytest.mark.long
def test_the_bundle_is_measured_on_annotated_recordings_that_are_not_in_the_corpus(folder: Path) -> None:
    root = folder / "field set"
    truth = write_field_set(root)
    # In the corpus: a copy under another name, and the same recording, quieter and in another format.
    first, second, *_ = sorted(
        p for p in (folder / "my birds").rglob("demo-*") if p.suffix in (".wav", ".flac", ".mp3")
    )
    (root / "leak").mkdir()
    shutil.copy(first, root / "leak" / f"copy{first.suffix}")
    samples, rate = soundfile.read(second)
    soundfile.write(root / "leak/quieter.wav", 0.5 * samples, rate)
    for file in sorted((root / "leak").iterdir()):
        write_table(file, [(0, 2, "Fictornis alba")])
    write_recording(root / "unknown.wav", 10, {}, 8)
    (root / "broken.wav").write_bytes(b"RIFF" + bytes(100))
    write_table(root / "broken.wav", [])

    result = snakemake(folder, "--config", FOLDER, FIELD)
    assert result.code == 0, result.text
    assert {"field_leakage", "field_evaluate", "candidate", "bundle"} <= result.rules
    assert not {"train", "recordings", "evaluate"} & result.rules

    found = metrics(folder)
    assert found["recordings"]["evaluated"] == len(truth)
    assert found["recordings"]["excluded"] == {"in the corpus": 2, "not annotated": 1, "not predicted": 1}
    reasons = {r["recording"]: r["reason"] for r in csv.DictReader((folder / RESULTS / "excluded.csv").open())}
    assert reasons[f"leak/copy{first.suffix}"].startswith("same file as ")
    assert reasons["leak/quieter.wav"].startswith("near-duplicate as ")
    assert found["sessions"] == 3
    assert found["hours"] == pytest.approx(160 / 3600, abs=1e-4)
    assert found["by_event"]["events"] == sum(map(len, truth.values()))
    assert found["shared_species"] == ["Fictornis alba", "Fictornis boreas", "Fictornis cantans"]

    assert_detections_are_those_of_the_bundle(folder, sorted(truth))
    card = (folder / "results/test/release/bundle/MODEL_CARD.md").read_text()
    assert f"{len(truth)} annotated recordings" in card
    scores = subprocess.run(
        [sys.executable, "-m", "autobird.cli", "scores", "results/test"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert "field recordings (docs/field.md):" in scores

    again = snakemake(folder, "--config", FOLDER, FIELD)
    assert (again.code, again.jobs) == (0, set()), again.text
    changed = snakemake(folder, "--config", FOLDER, FIELD.replace("batches: 2", "batches: 2, min_overlap: 1"))
    assert (changed.code, changed.rules) == (0, {"field_evaluate", "bundle", "drift_current", "drift"}), changed.text


def assert_detections_are_those_of_the_bundle(project: Path, recordings: list[str]) -> None:
    """The detections of the evaluation are the rows that `autobird predict` writes."""
    bundle, files = "results/test/release/bundle", [f"field set/{name}" for name in recordings]
    arguments = ["-m", "autobird.cli", "predict", bundle, *files, "--json", "--windows"]
    done = subprocess.run([sys.executable, *arguments], cwd=project, capture_output=True, text=True, check=True)
    expected = [
        (file["file"].removeprefix("field set/"), d["start"], d["end"], d["species"])
        for file in json.loads(done.stdout)["files"]
        for d in file["detections"]
    ]
    events = pd.read_csv(project / RESULTS / "events.csv")
    rows = events[events["kind"] == "detection"][["recording", "start", "end", "species"]]
    assert sorted(rows.itertuples(index=False, name=None)) == sorted(expected)
    assert expected


def test_negatives_give_false_alarms_alone_and_field_without_the_setting_is_refused(folder: Path) -> None:
    for number in range(3):
        write_recording(folder / f"noise/wind/{number}.wav", 12.0, {}, number)
    write_recording(folder / "noise/3.wav", 0.2, {}, 3)
    field = "evaluation={field: {type: negatives, root: noise, batches: 1}}"
    result = snakemake(folder, "field", "--config", FOLDER, field)
    assert result.code == 0, result.text
    found = metrics(folder)
    assert (found["by_window"], found["by_event"], found["by_recording"]) == (None, None, None)
    assert found["recordings"]["excluded"] == {"not predicted": 1}
    alarms = found["false_alarms"]
    assert alarms["no_species"]["hours"] == pytest.approx(36 / 3600, abs=1e-4)
    assert alarms["overall"] == alarms["no_species"] == alarms["by_site"]["wind"]
    assert alarms["unknown_species"]["per_hour"] is None
    refused = snakemake(folder, "field", "--config", FOLDER)
    assert refused.code != 0
    assert "error: evaluation.field is not set; give recordings" in refused.text


def test_the_demo_has_field_recordings_with_known_boxes(demo: Path) -> None:
    field = "evaluation={field: {type: demo, batches: 1, demo: {recordings: 4, seconds: 20}}}"
    result = snakemake(demo, "field", "--config", field)
    assert result.code == 0, result.text
    assert not {"train", "evaluate", "bundle"} & result.rules
    found = metrics(demo)
    boxes = pd.read_csv(demo / RESULTS / "truth/0.csv", keep_default_na=False)
    assert found["recordings"] == {
        "listed": 4, "evaluated": 4, "excluded": {}, "sessions_in_corpus": 0, "near_duplicates_searched": True,
    }  # fmt: skip
    assert found["boxes"]["used"] == len(boxes) > 0
    assert set(found["shared_species"]) | set(found["unknown_species"]) == set(boxes["species"]) - {""}
