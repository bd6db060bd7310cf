"""Folders as cards, network storage and other programs leave them, through the workflow."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cases import write_case
from tests.conftest import copy_project
from tests.workflow.conftest import FOLDER, environment, snakemake

BIRDS = "corpus={type: folder, root: birds, near_duplicates: false}"
CHECKED, COUNTS = "results/features/test/corpus/checked.json", "results/test/dataset/counts.json"


@pytest.mark.long
def test_what_is_no_recording_is_counted_apart_and_adding_more_of_it_repeats_only_the_count(tmp_path: Path) -> None:
    project = copy_project(tmp_path / "project")
    birds = write_case("f04_droppings", project / "birds")
    result = snakemake(project, CHECKED, COUNTS, "--config", BIRDS)
    assert result.code == 0, result.text
    assert "note: 11 hidden and system files and folders were passed over, for example .Trash-1000" in result.text
    assert "note: 8 files are not audio (8 text), for example A/rec0.BirdNET.results.csv" in result.text
    checked, counts = (json.loads((project / name).read_text()) for name in (CHECKED, COUNTS))
    assert checked == {
        "recordings": 8,
        "accepted": 8,
        "quarantined": 0,
        "refused_by_policy": 0,
        "negatives": 0,
        "not_audio": 8,
    }
    assert (counts["recordings"], counts["recordings_used"]) == (8, 8)
    assert json.loads((project / "results/test/dataset/labels.json").read_text()) == ["A", "B"]

    (birds / "A" / "notes.txt").write_text("it rained\n")
    (birds / ".DS_Store").write_bytes(b"\0\0\0\1Bud1")
    again = snakemake(project, CHECKED, COUNTS, "--config", BIRDS)
    assert again.code == 0, again.text
    assert again.rules == {"manifest", "check_corpus"}
    assert again.batches("manifest") == {"not_audio"}
    assert json.loads((project / CHECKED).read_text())["not_audio"] == 9
    with (project / "results/features/test/corpus/manifest/not_audio.csv").open(newline="") as file:
        assert {row["file"]: row["kind"] for row in csv.DictReader(file)}["A/notes.txt"] == "text"

    # Notes are printed before a refusal.
    (birds / "SOURCES.csv").write_text("file,split\nA/rec0.wav,tets\nA\\rec1.wav,test\n")
    refused = snakemake(project, COUNTS, "--config", BIRDS)
    assert refused.code == 1
    lines = refused.text.splitlines()
    error = next(i for i, line in enumerate(lines) if line.startswith("error:"))
    assert lines[error].startswith(
        "error: the metadata give 1 recordings an unknown split: 'tets' (1, for example A/rec0.wav)"
    )
    assert sum(line.startswith("note:") for line in lines[:error]) == 3
    assert not refused.jobs


@pytest.mark.skipif(os.name == "nt", reason="creating links needs a privilege on Windows")
def test_links_and_names_that_are_not_utf8_are_predicted_by_both_commands(folder: Path) -> None:
    field = write_case("f05_link", folder / "field") / "card"
    write_case("f13_latin1", field)
    (field / "readme.txt").write_text("words")
    wanted = ["W\\xf6lfchen.wav", "b.wav", "first.wav", "more/second.wav"]

    result = snakemake(folder, "predict", "--config", FOLDER, "predict={input: field/card, batches: 2}")
    assert result.code == 0, result.text
    out = folder / "results/test/predict/predict"
    classified = [
        row["recording"]
        for table in sorted(out.glob("batches/*.features.csv"))
        for row in csv.DictReader(table.read_text(encoding="utf-8").splitlines())
    ]
    assert sorted(classified) == wanted
    assert (out / "skipped.csv").read_text() == "file,reason\n"
    assert "note: predict.input: 1 file is not audio (1 text), for example readme.txt" in result.text

    bundle = folder / "results/test/release/bundle"
    command = [
        sys.executable,
        "-m",
        "autobird.cli",
        "predict",
        str(bundle),
        "field/card",
        "--json",
        "--output",
        "found.json",
    ]
    # A terminal in another encoding must not cost the results.
    done = subprocess.run(
        command, cwd=folder, env=environment() | {"PYTHONPATH": "scripts", "PYTHONIOENCODING": "ascii"}, capture_output=True, text=True
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    files = json.loads((folder / "found.json").read_text(encoding="utf-8"))["files"]
    assert sorted(f["file"] for f in files) == [f"field/card/{name}" for name in wanted]
    assert not any("error" in f for f in files)
    assert "1 file is not audio" in done.stderr
