"""The released model and the backbone's own species list, compared on the same test recordings."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from autobird import cli
from autobird.backbone.base import Backbone, BackboneInfo, Samples
from autobird.backbone.known import BackboneKey
from autobird.core.files import read_json, write_json
from autobird.core.tables import read_table, write_csv, write_table
from autobird.dataset.backbone_labels import match_labels
from autobird.dataset.heard import mark_heard
from autobird.dataset.schemas import INDEX
from autobird.evaluation import with_backbone as stage
from autobird.evaluation.predictions import PREDICTIONS, SplitPredictions, predictions_of_split
from autobird.evaluation.settings import WithBackboneSettings
from autobird.evaluation.with_backbone_text import format_with_backbone
from autobird.predict.classification import Calibration
from tests.predictions import label_sets

LABELS = ["Great Tit", "Parus_ater", "own sound"]
BACKBONE_LABELS = ("Gun_Gun", "Parus major_Great Tit", "Parus ater_Coal Tit", "Parus ater_Great Tit")


def test_labels_are_matched_by_scientific_or_common_name_whatever_case_and_underscores() -> None:
    assert match_labels(["great_tit", "PARUS ATER", "own sound", "gun"], BACKBONE_LABELS) == {0: 1, 1: 2, 3: 0}


def table(truth: list[int], named: list[int], first_number: int = 1, windows: int = 2) -> pd.DataFrame:
    """Windows of recordings of one species each; the model names the species `named` in all windows of a recording."""
    rows = []
    for i, (species, answer) in enumerate(zip(truth, named, strict=True)):
        name = f"XC{first_number + i:06d}.mp3"
        for window in range(windows):
            rows.append(
                {
                    "recording": name, "group": name, "start": 48000 * window, "number": window, "seconds": 3.0, "split": "test", **label_sets([LABELS[species]]),
                    "logits": 4 * np.eye(3, dtype=np.float32)[answer],
                }
            )  # fmt: skip
    return pd.DataFrame(rows)


CALIBRATION = Calibration.softmax(1.0, np.full(3, 0.5), "mean")


def predictions(rows: pd.DataFrame) -> SplitPredictions:
    return predictions_of_split(rows, LABELS, "test", CALIBRATION)


def compared(truth: list[int], model: list[int], backbone: list[int], first_number: int = 1, exact: bool = True) -> Any:
    """Compare a model with a backbone that knows the first two labels; its answer 2 means that it is sure of neither."""
    rows = table(truth, model, first_number)
    split = predictions(rows)
    confidence = np.repeat(np.array([[0.9, 0.1], [0.1, 0.9], [0.02, 0.01]])[backbone], 2, axis=0)
    confidence[1::2] *= 0.1  # the best window of a recording counts
    settings = WithBackboneSettings(resamples=200)
    marks = mark_heard(split.names, pd.DataFrame(columns=["recording", "number", "page"]), 694204)
    return stage.with_backbone(
        split, stage.backbone_predictions(split, confidence, [0, 1]), LABELS, {"Great Tit": "a", "Parus_ater": "b"}, marks,
        exact, settings,
    )  # fmt: skip


def test_the_confidence_of_a_recording_is_the_largest_of_its_windows_and_0_for_unknown_species() -> None:
    split = predictions(table([0, 2], [0, 2]))
    found = stage.backbone_predictions(
        split, np.array([[0.1, 0.2], [0.7, 0.1], [0.2, 0.24], [0.0, 0.1]]), [1, 0]
    ).recordings
    np.testing.assert_array_equal(found.probabilities, [[0.2, 0.7, 0], [0.24, 0.2, 0]])
    np.testing.assert_array_equal(found.detected, [[False, True, False], [False, False, False]])


def test_a_model_that_is_better_on_all_recordings_is_recommended() -> None:
    truth = [0, 1] * 40
    found = compared(truth, truth, [(t if i % 4 else 1 - t) for i, t in enumerate(truth)])
    values = found["scopes"]["all"]["metrics"]["macro_f1"]
    assert values["model"]["value"] == 1
    assert values["backbone"]["value"] == pytest.approx(0.75, abs=0.02)
    assert 0 < values["difference"]["low"] < values["difference"]["value"]
    assert found["answer"].startswith(
        "Use this model rather than BirdNET 2.4 unchanged: macro-F1 on the 80 test recordings is 1.000"
    )
    assert found["scopes"]["unheard"] is None
    assert "may have been trained on 80 of these 80 recordings, which favours it" in found["summary"]


def test_a_worse_model_is_not_recommended_and_an_equal_one_cannot_be_told() -> None:
    truth = [0, 1] * 40
    worse = [(t if i % 4 else 1 - t) for i, t in enumerate(truth)]
    assert compared(truth, worse, truth)["answer"].startswith("Use BirdNET 2.4 unchanged rather than this model")
    equal = compared(truth, truth, truth)["answer"]
    assert equal.startswith(
        "These recordings are too few to tell which is better: this model, or BirdNET 2.4 unchanged; macro-F1 on the 80 test recordings"
    )
    assert "detections" not in equal


def test_detections_that_are_worse_or_better_are_said_whatever_the_most_probable_species(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    truth = [0, 1] * 40
    # The threshold 0.001 detects all species in all recordings. The most probable species remain right.
    monkeypatch.setitem(globals(), "CALIBRATION", Calibration.softmax(1.0, np.full(3, 0.001), "mean"))
    found = compared(truth, truth, truth)["answer"]
    assert found.startswith(
        "These recordings are too few to tell which names the most probable species better: this model, or BirdNET 2.4 unchanged; "
    )
    assert re.search(
        r" The detections of this model are worse: precision lower by 0\.667 \[0\.\d+, 0\.\d+\]; macro-F1 lower by 0\.\d+",
        found,
    )
    assert "recall" not in found
    monkeypatch.setitem(globals(), "CALIBRATION", Calibration.softmax(1.0, np.full(3, 0.5), "mean"))
    unsure = compared(truth, truth, [2 if i % 2 else t for i, t in enumerate(truth)])["answer"]
    assert re.search(r" The detections of this model are better: recall higher by 0\.500 \[0\.\d+, 0\.\d+\]", unsure)


def test_the_answer_is_that_of_the_unheard_recordings_if_there_are_30() -> None:
    truth = [0, 1] * 40
    heard = 50  # the backbone is always right on these, and never on the others
    found = compared(truth, truth, [t if i < heard else 1 - t for i, t in enumerate(truth)], 694205 - heard)
    assert (found["possibly_heard"], found["unheard"]) == (50, 30)
    assert "on the 30 test recordings that it did not hear in its training" in found["answer"]
    assert found["scopes"]["unheard"]["metrics"]["macro_f1"]["backbone"]["value"] == 0
    assert found["scopes"]["all"]["metrics"]["macro_f1"]["backbone"]["value"] == pytest.approx(50 / 80, abs=0.01)


def test_species_that_the_backbone_does_not_know_are_listed_and_left_out_of_a_second_comparison() -> None:
    truth = [0, 1, 2] * 20
    found = compared(truth, truth, [t if t < 2 else 0 for t in truth])
    assert found["unknown_species"] == ["own sound"]
    assert found["answer"].startswith(
        "Use this model rather than BirdNET 2.4 unchanged, because BirdNET 2.4 does not know own sound: macro-F1 on the 60 test"
    )
    assert "on the species that both know, it is not clearly better (difference +0.000" in found["answer"]
    everything, known = found["scopes"]["all"], found["scopes"]["known_species"]
    assert everything["metrics"]["macro_f1"]["backbone"]["value"] < 0.7
    assert known["recordings"] == 40
    assert known["metrics"]["macro_f1"]["backbone"]["value"] == 1
    assert known["metrics"]["macro_f1"]["difference"]["value"] == 0
    equal = compared(truth, [0, 1, 0] * 20, [0, 1, 0] * 20)  # neither recognises it
    assert "BirdNET 2.4 does not know own sound: for these, this model is needed." in equal["summary"]


def test_one_species_that_both_know_is_no_comparison() -> None:
    truth = [0, 1, 2] * 20
    split = predictions(table(truth, truth))
    confidence = np.where(np.repeat(truth, 2) == 0, 0.9, 0.1)[:, None]
    marks = mark_heard(split.names, pd.DataFrame(columns=["recording", "number", "page"]), 694204)
    found = stage.with_backbone(
        split, stage.backbone_predictions(split, confidence, [0]), LABELS, {"Great Tit": "a"}, marks, True,
        WithBackboneSettings(resamples=200),
    )  # fmt: skip
    assert found["scopes"]["known_species"] is None
    assert "species that both know" not in found["summary"]


def test_detections_of_the_backbone_are_those_from_its_usual_threshold() -> None:
    truth = [0, 1] * 10
    metrics = compared(truth, truth, [2 if i % 2 else t for i, t in enumerate(truth)])["scopes"]["all"]["metrics"]
    assert metrics["detection_recall"]["backbone"]["value"] == 0.5
    assert metrics["detection_precision"]["backbone"]["value"] == 1


def test_windows_longer_than_those_of_the_backbone_are_mentioned() -> None:
    assert "the mean of the embeddings" in compared([0, 1] * 5, [0, 1] * 5, [0, 1] * 5, exact=False)["summary"]


class Logits(Backbone):
    """Embeddings of three values, which are its logits."""

    info = BackboneInfo(name="b", sha256="0" * 64, sample_rate=48000, window=3.0, width=3, licence="CC0", source="")
    labels = ("x_Great Tit", "Parus ater_y", "z_z")

    def embed(self, samples: Samples) -> np.ndarray:
        raise AssertionError

    def logits(self, embeddings: np.ndarray) -> np.ndarray:
        return embeddings.astype(np.float32)


def write_inputs(folder: Path, rows: pd.DataFrame) -> list[str]:
    """Write the inputs of the stage; the embeddings of the windows are in reverse order in two batches."""
    write_table(folder / "predictions.parquet", rows, PREDICTIONS)
    thresholds = {name: {"threshold": 0.5} for name in LABELS}
    write_json(
        folder / "calibration.json",
        {"variant": "float", "temperature": 1.0, "aggregation": "mean", "thresholds": thresholds},
    )
    write_json(folder / "labels.json", LABELS)
    write_csv(folder / "details.csv", pd.DataFrame(columns=["recording", "number", "page"]))
    species = [LABELS.index(s[0]) for s in rows["present"]]
    n = len(rows)
    index = rows.assign(
        species="", shard=[0 if i < n // 2 else 1 for i in range(n)], row=[n // 2 - 1 - i if i < n // 2 else n - 1 - i for i in range(n)],
        first_frame=0, rms=0.1, mel_std=1.0, dropped="", quiet=False, recording_split="test",
        earliest=0, latest=0,
    )  # fmt: skip
    write_table(folder / "index.parquet", index, INDEX)
    embeddings = 6 * np.eye(3)[species] - 3
    for batch, part in enumerate((embeddings[: n // 2], embeddings[n // 2 :])):
        np.save(folder / f"{batch}.npy", part[::-1].astype(np.float16))
    key = BackboneKey(name="birdnet-2.4", sha256="0" * 64, sample_rate=48000, window=3.0)
    names = {
        "predictions": ".parquet",
        "calibration": ".json",
        "labels": ".json",
        "index": ".parquet",
        "details": ".csv",
    }
    return [
        *(x for name, end in names.items() for x in (f"--{name}", str(folder / f"{name}{end}"))),
        "--embeddings", str(folder / "0.npy"), str(folder / "1.npy"), "--backbone", key.model_dump_json(),
        "--file", "--windows", json.dumps({"window": 3.0, "hop": 3.0}), "--settings", json.dumps({"resamples": 100}),
        "--output", str(folder / "output.json"), "--table", str(folder / "table.csv"),
    ]  # fmt: skip


def test_the_stage_reads_the_embeddings_of_the_windows_that_were_predicted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stage, "load_described", lambda *_: Logits())
    truth = [0, 1, 0, 1, 1]
    stage.main(write_inputs(tmp_path, table(truth, truth)))
    result = read_json(tmp_path / "output.json")
    assert result["species"] == {"Great Tit": "x_Great Tit", "Parus_ater": "Parus ater_y"}
    assert result["scopes"]["all"]["metrics"]["top1"]["backbone"]["value"] == 1
    columns = (tmp_path / "table.csv").read_text().splitlines()[0].split(",")
    assert columns[:8] == ["scope", "recordings", "groups", "metric", "model", "model_low", "model_high", "backbone"]


def test_the_test_recordings_of_several_folds_are_pooled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage, "load_described", lambda *_: Logits())
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    arguments = write_inputs(tmp_path / "a", table([0, 1, 0], [0, 1, 1], first_number=700000))
    write_inputs(tmp_path / "b", table([1, 0], [1, 0]))
    for n in range(2):  # the embeddings of the second fold are batches of the same arrays
        file = tmp_path / f"b/{n}.npy"
        arguments.insert(arguments.index("--backbone"), str(file))
    index = read_table(tmp_path / "b/index.parquet")
    write_table(tmp_path / "b/index.parquet", index.assign(shard=index["shard"] + 2), INDEX)
    for name in ("predictions", "calibration", "labels", "index"):
        at = arguments.index(f"--{name}") + 1
        arguments.insert(at + 1, arguments[at].replace("/a/", "/b/"))
    stage.main(arguments)
    result = read_json(tmp_path / "a/output.json")
    values = result["scopes"]["all"]
    assert "source: pooled over 2 folds, 5 recordings\n" in format_with_backbone("mine", result)
    assert (values["recordings"], result["unheard"], result["possibly_heard"]) == (5, 3, 2)
    assert values["metrics"]["top1"]["backbone"]["value"] == 1
    assert values["metrics"]["top1"]["model"]["value"] == 0.8
    assert "the 2 folds of the cross-validation, each with the network of the first seed" in result["summary"]


def test_the_command_prints_the_answer_and_each_comparison(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    truth = [0, 1, 2] * 20
    write_json(tmp_path / "evaluation/with_backbone.json", compared(truth, truth, [t if t < 2 else 0 for t in truth]))
    cli.main(["compare", str(tmp_path), "--with", "birdnet"])
    text = capsys.readouterr().out
    assert text.startswith("Use this model rather than BirdNET 2.4 unchanged")
    assert "\nsource: test split, 60 recordings\n" in text
    assert "all test recordings: 60 in 60 independent groups" in text
    assert "recordings of species that both know: 40 in 40" in text
    assert "species that birdnet-2.4 does not know: own sound" in text
    assert "too few to tell, fewer than 30 unheard" in text
    cli.main(["compare", str(tmp_path), "--with", "birdnet", "--json"])
    assert json.loads(capsys.readouterr().out)["backbone"] == "birdnet-2.4"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--with", "birdnet"], "snakemake with_backbone --configfile FILE"),
        ([], "needs either a second run or --with birdnet"),
        (["another", "--with", "birdnet"], "needs either a second run or --with birdnet"),
    ],
)
def test_a_comparison_that_is_missing_or_unclear_is_an_error_in_one_line(
    tmp_path: Path, options: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        cli.main(["compare", str(tmp_path), *options])
    assert message in capsys.readouterr().err


def test_a_run_without_test_recordings_cannot_be_compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage, "load_described", lambda *_: Logits())
    rows = table([0, 1], [0, 1]).assign(split="validation")
    stage.main(write_inputs(tmp_path, rows))
    assert "cannot be compared" in read_json(tmp_path / "output.json")["answer"]


def test_a_backbone_that_knows_none_of_the_species_cannot_take_the_place_of_the_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stage, "load_described", lambda *_: Logits())
    monkeypatch.setattr(Logits, "labels", ("z_z",))
    stage.main(write_inputs(tmp_path, table([0, 1], [0, 1])))
    result = read_json(tmp_path / "output.json")
    assert (
        result["summary"]
        == "BirdNET 2.4 knows none of the species of this run, so it cannot take the place of this model."
    )
    assert result["unknown_species"] == LABELS
    assert format_with_backbone("mine", result) == result["answer"]
