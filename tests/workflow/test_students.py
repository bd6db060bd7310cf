"""Students: a run with a teacher, what runs again after a change, and a cross-validation with its references."""

import csv
import json
import re
from pathlib import Path

import pandas as pd
import pytest

from autobird.cluster.needs import NEEDS
from autobird.synth.folder import write_folder
from tests.backbones import write_onnx
from tests.workflow.conftest import FOLDER, Result, snakemake

BACKBONE = "backbone={name: small, file: small.onnx, sample_rate: 8000, window: 0.5, licence: CC BY-NC-SA 4.0}"
TRAIN = "teacher: small, teacher_windows: 240, teacher_batch: 8, width: 8, threads: 1, epochs: 2"
RELEASE = "prune_epochs: 1, calibration_windows: 16, latency_seconds: 0.01"

pytestmark = pytest.mark.long


def run(project: Path, *targets: str, train: str = "", release: str = "min_gain: -1", config: str = "") -> Result:
    write_onnx(project / "small.onnx")
    given = [FOLDER, BACKBONE, f"train={{{TRAIN}{train}}}", f"release={{{RELEASE}, {release}}}"]
    return snakemake(project, *targets, "--config", *given, *([config] if config else []))


def table(path: Path) -> pd.DataFrame:
    return pd.read_csv(path)


def test_a_student_is_released_with_the_licence_of_its_teacher_and_reruns_what_changed(folder: Path) -> None:
    write_folder(folder / "field", species=2, recordings=4, seed=1)
    (folder / "field/broken.wav").write_bytes(b"RIFF" + bytes(60))
    (folder / "field/notes.pdf").write_bytes(b"%PDF-1.4")
    first = run(folder, train=", unlabelled: field")
    assert first.code == 0, first.text
    assert {"teach", "unlabelled_manifest", "embed", "train_head", "train", "bundle"} <= first.rules
    assert "train.unlabelled: 9 recordings used; left out: 1 no audio" in first.text
    logs = "".join(path.read_text() for path in (folder / "results/logs/test/teach/small/unlabelled").glob("*.log"))
    assert "broken.wav: no training sounds are made of it" in logs

    release = folder / "results/test/release"
    comparison = table(release / "comparison.csv")
    assert {"float", "pruned", "int8", "pruned_int8", "teacher", "scratch"} == set(comparison["variant"])
    assert not comparison.loc[comparison["variant"].isin(["teacher", "scratch"]), "released"].any()
    # The teacher's cost includes its backbone; the student needs none.
    backbone = comparison.set_index("variant")["backbone_multiply_adds"]
    assert set(backbone.drop("teacher")) == {0}
    teacher = comparison[comparison["variant"] == "teacher"]
    assert (teacher["multiply_adds"] > teacher["backbone_multiply_adds"]).all()
    assert (teacher["backbone_multiply_adds"] > 0).all()
    card = (release / "bundle/MODEL_CARD.md").read_text()
    assert "## Teacher" in card
    assert "sounds made of 8 recordings without labels" in card
    assert "including that of the teacher small (CC BY-NC-SA 4.0)" in card
    bundle = json.loads((release / "bundle/bundle.json").read_text())
    assert bundle["backbone"] is None
    assert bundle["teacher"]["name"] == "small"
    assert bundle["training_data"]["teacher"] == "CC BY-NC-SA 4.0"

    assert run(folder, train=", unlabelled: field").rules == set()
    # A corrected licence of the teacher changes only what the bundle says of it.
    corrected = BACKBONE.replace("CC BY-NC-SA 4.0", "CC BY 4.0")
    plan = snakemake(
        folder, "-n", "--config", FOLDER, corrected, f"train={{{TRAIN}, unlabelled: field}}", f"release={{{RELEASE}, min_gain: -1}}"
    )  # fmt: skip
    assert plan.rules == {"bundle", "drift_current", "drift"}
    # Another setting of the training makes no sound again.
    faster = run(folder, train=", unlabelled: field, learning_rate: 0.002")
    assert faster.code == 0, faster.text
    assert not faster.rules & {"teach", "embed", "train_head"}
    assert "train" in faster.rules
    # A recording more makes the sounds of its batch again.
    with (folder / "results/features/test/corpus/manifest/0.csv").open(newline="") as file:
        name = next(csv.DictReader(file))["recording"]
    (folder / "my birds" / name).unlink()
    fewer = snakemake(
        folder, "-n", "--config", FOLDER, BACKBONE, f"train={{{TRAIN}, unlabelled: field}}", f"release={{{RELEASE}, min_gain: -1}}"
    )  # fmt: skip
    assert [job for job in fewer.jobs if job.startswith("teach")] == ["teach:0"] or "teach" in fewer.rules


def test_the_training_of_a_student_requests_the_time_of_its_teachers_windows_too(folder: Path) -> None:
    def minutes(teacher: str) -> int:
        write_onnx(folder / "small.onnx")
        train = f"train={{{teacher}batch_size: 16, width: 8, threads: 1, epochs: 10000}}"
        plan = snakemake(folder, "-n", "--config", FOLDER, BACKBONE, train)
        assert plan.code == 0, plan.text
        # A student's run also trains the network without a teacher, which needs less time.
        found = re.findall(r"rule train:.*?runtime=(\d+)", plan.text, re.DOTALL)
        return max(map(int, found)) - round(NEEDS["train"].minutes)

    # The windows of the teacher are three times as many as those of the labels.
    assert minutes("teacher: small, teacher_batch: 48, ") == pytest.approx(4 * minutes(""), rel=0.05)


def test_a_student_without_a_gain_is_not_released_and_the_run_says_so(folder: Path) -> None:
    result = run(folder, release="min_gain: 1.0")
    assert result.code != 0
    assert "no bundle is written: the network with a teacher (float)" in result.text
    assert "set release.min_gain to -1" in result.text
    release = folder / "results/test/release"
    assert json.loads((release / "released.json").read_text())["not_released"]
    assert not table(release / "comparison.csv")["released"].any()
    assert not (release / "bundle/MODEL_CARD.md").exists()
    assert (folder / "results/test/evaluation/metrics.json").exists()


def test_a_cross_validation_of_students_has_their_teachers_and_the_networks_without_one_as_references(
    folder: Path,
) -> None:
    result = run(folder, "crossval", train=", seeds: [9]", config="dataset={folds: 3, min_windows: 2}")
    assert result.code == 0, result.text
    found = json.loads((folder / "results/test/crossval/references.json").read_text())
    assert (found["scratch"]["a"]["seeds"], found["scratch"]["b"]["seeds"], found["teacher"]["a"]["seeds"]) == (1, 1, 1)
    assert found["scratch"]["recordings"] == found["teacher"]["recordings"] > 20
    rows = table(folder / "results/test/crossval/references.csv")
    assert set(rows["reference"]) == {"scratch", "teacher"}
    pooled = json.loads((folder / "results/test/crossval/crossval.json").read_text())
    student = rows[(rows["metric"] == "macro_f1") & (rows["reference"] == "scratch")].iloc[0]
    assert student["student_score"] == pytest.approx(pooled["by_recording"]["macro_f1"]["value"], abs=1e-3)
