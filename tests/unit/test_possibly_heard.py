"""Test recordings that a backbone may have been trained on: which they are, and the scores without them."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from autobird.core.files import read_json, write_json
from autobird.core.tables import write_csv, write_table
from autobird.dataset.heard import HEARD, UNHEARD, UNKNOWN, mark_heard, xeno_canto_number
from autobird.evaluation import possibly_heard as stage
from autobird.evaluation.predictions import PREDICTIONS, predictions_of_split
from autobird.evaluation.settings import PossiblyHeardSettings
from autobird.predict.classification import Calibration
from tests.predictions import label_sets

LABELS = ["Parus major", "Sitta europaea"]
DETAILS = ["recording", "number", "page"]


@pytest.mark.parametrize(
    ("recording", "number", "page", "expected"),
    [
        ("a/b.wav", "XC123", "", 123),
        ("a/b.wav", "xc 123", "", 123),
        ("a/b.wav", "123", "", 123),
        ("a/b.wav", "123.0", "", 123),
        ("a/b.wav", "12.5", "", None),
        ("a/b.wav", "", "https://xeno-canto.org/694205", 694205),
        ("a/b.wav", "", "https://www.xeno-canto.org/XC55/download", 55),
        ("Parus_major/XC694204.mp3", "", "", 694204),
        ("XC42 - Great Tit - Parus major.mp3", "", "", 42),
        ("great_tit-xc_42.wav", "", "", 42),
        ("XC1/XC2.mp3", "XC3", "", 3),
        # No number of xeno-canto:
        ("XC12/dawn.wav", "", "", None),
        ("AXC12.wav", "", "", None),
        ("20240501_050000.wav", "", "", None),
        ("a.wav", "ML399952111", "https://macaulaylibrary.org/asset/399952111", None),
        ("XC123456789.wav", "", "", None),
    ],
)
def test_the_number_is_that_of_the_metadata_else_of_the_page_else_of_the_file_name(
    recording: str, number: str, page: str, expected: int | None
) -> None:
    assert xeno_canto_number(recording, number, page) == expected


def test_recordings_up_to_the_last_number_may_have_been_heard_and_those_without_a_number_are_never_unheard() -> None:
    details = pd.DataFrame([["b.wav", "XC11", ""], ["x.wav", "XC1", ""]], columns=DETAILS)
    marks = mark_heard(["XC10.mp3", "b.wav", "own.wav"], details, 10)
    assert marks.to_dict("list") == {
        "recording": ["XC10.mp3", "b.wav", "own.wav"],
        "number": ["XC10", "XC11", ""],
        "heard": [HEARD, UNHEARD, UNKNOWN],
    }
    assert set(mark_heard(["XC10.mp3", "b.wav"], details, None)["heard"]) == {UNKNOWN}


def predictions(recordings: list[str], wrong: set[str]) -> pd.DataFrame:
    """One window per recording; species alternate, and those in `wrong` are recognised as the other one."""
    rows = []
    for i, name in enumerate(recordings):
        named = i % 2 if name not in wrong else 1 - i % 2
        species = [LABELS[i % 2]]
        rows.append(
            {
                "recording": name, "group": name, "start": 0, "number": 0, "seconds": 5.0, "split": "test", **label_sets(species),
                "logits": 4.0 * np.eye(2, dtype=np.float32)[named],
            }
        )  # fmt: skip
    return pd.DataFrame(rows)


def result(recordings: list[str], wrong: set[str], **changes: Any) -> dict[str, Any]:
    settings = PossiblyHeardSettings.model_validate({"resamples": 100, **changes})
    last = stage.last_heard(settings)[0]
    calibration = Calibration.softmax(1.0, np.array([0.5, 0.5]), "mean")
    split = predictions_of_split(predictions(recordings, wrong), LABELS, "test", calibration)
    return stage.possibly_heard(split, mark_heard(split.names, pd.DataFrame(columns=DETAILS), last), settings)


OLD = [f"XC{n:06d}.mp3" for n in range(694204 - 39, 694205)]
NEW = [f"XC{n:06d}.mp3" for n in range(694205, 694205 + 30)]
OWN = [f"own{n:02d}.wav" for n in range(10)]


def test_scores_of_the_unheard_recordings_are_given_beside_those_of_all() -> None:
    found = result(OLD + NEW + OWN, wrong=set(NEW[:10]))
    assert [found[key] for key in ("test_recordings", "possibly_heard", "unheard", "unknown")] == [80, 40, 30, 10]
    scores = found["scores"]
    assert scores["possibly_heard"]["macro_f1"]["value"] == 1
    assert scores["unheard"]["recordings"] == 30
    assert scores["unheard"]["macro_f1"]["value"] == pytest.approx(2 / 3)
    assert scores["unheard"]["macro_f1"]["low"] < 2 / 3 < scores["unheard"]["macro_f1"]["high"]
    assert scores["unheard_or_unknown"]["recordings"] == 40
    assert "trained on 40 of the 80 test recordings" in found["summary"]
    assert "XC694204" in found["summary"]
    assert "Macro-F1 of the unheard recordings alone (30 recordings of 2 species): 0.667 [" in found["summary"]


def test_fewer_than_30_unheard_recordings_are_too_few_to_tell() -> None:
    found = result(OLD + NEW[:29], wrong=set())
    assert found["scores"]["unheard"] is None
    assert "Score of the unheard recordings alone: too few to tell (29, fewer than 30)." in found["summary"]
    assert "unknown recordings" not in found["summary"]


def test_a_backbone_whose_last_number_is_unknown_may_have_heard_every_recording() -> None:
    found = result(OLD, set(), name="perch-2")
    assert (found["heard_until"], found["unknown"]) == (None, 40)
    assert "is not known" in found["summary"]
    found = result(OLD, set(), name="perch-2", heard_until=694204 - 20)
    assert (found["possibly_heard"], found["unheard"]) == (20, 20)


def test_the_stage_reads_the_numbers_of_the_metadata(tmp_path: Path) -> None:
    write_table(tmp_path / "predictions.parquet", predictions(OWN, set()), PREDICTIONS)
    thresholds = {name: {"threshold": 0.5} for name in LABELS}
    write_json(
        tmp_path / "calibration.json",
        {"variant": "float", "temperature": 1.0, "aggregation": "mean", "thresholds": thresholds},
    )
    write_json(tmp_path / "labels.json", LABELS)
    write_csv(tmp_path / "details.csv", pd.DataFrame([[OWN[0], "XC700000", ""]], columns=DETAILS))
    names = {"predictions": ".parquet", "calibration": ".json", "labels": ".json", "details": ".csv", "output": ".json"}
    arguments = [x for name, end in names.items() for x in (f"--{name}", str(tmp_path / f"{name}{end}"))]
    stage.main([*arguments, "--table", str(tmp_path / "table.csv")])
    found = read_json(tmp_path / "output.json")
    assert found["unheard"] == 1
    assert "seed" not in found["summary"]
    assert (tmp_path / "table.csv").read_text().splitlines()[1] == f"{OWN[0]},XC700000,{UNHEARD}"


def test_the_result_of_folds_says_that_it_uses_the_first_seed(tmp_path: Path) -> None:
    thresholds = {name: {"threshold": 0.5} for name in LABELS}
    files: dict[str, list[str]] = {"predictions": [], "calibration": [], "labels": []}
    for fold, names in enumerate((OWN, OLD)):
        table = predictions(names, set())
        table["group"] = f"fold {fold} " + table["group"].astype(str)
        write_table(tmp_path / f"{fold}/predictions.parquet", table, PREDICTIONS)
        text = {"variant": "float", "temperature": 1.0, "aggregation": "mean", "thresholds": thresholds}
        write_json(tmp_path / f"{fold}/calibration.json", text)
        write_json(tmp_path / f"{fold}/labels.json", LABELS)
        for name, end in (("predictions", "parquet"), ("calibration", "json"), ("labels", "json")):
            files[name].append(str(tmp_path / f"{fold}/{name}.{end}"))
    write_csv(tmp_path / "details.csv", pd.DataFrame([], columns=DETAILS))
    outputs = {"details": "details.csv", "output": "output.json", "table": "table.csv"}
    stage.main(
        [*(x for name, paths in files.items() for x in (f"--{name}", *paths)), *(x for name, file in outputs.items() for x in (f"--{name}", str(tmp_path / file)))]
    )  # fmt: skip
    summary = read_json(tmp_path / "output.json")["summary"]
    assert summary.endswith(
        "the 2 folds of the cross-validation, each with the network of the first seed of `train.seeds`."
    )
