"""Tracking of an evaluation: the same run as the training, scores, confusion matrix, table of the species, and the model as an artefact."""

import json
import sys
import types
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from autobird.core.files import read_json, write_json
from autobird.core.plots import figure, save
from autobird.release import track
from tests.predictions import predictions

LABELS = ["a", "b", "c"]


def without_login(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make W&B find no login and no settings; its files of the user would be in `folder`."""
    for name in ("WANDB_MODE", "WANDB_API_KEY", "WANDB_DATA_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(folder / "home"))
    monkeypatch.setenv("NETRC", str(folder / "netrc"))


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The files of a tiny run, in `tmp_path / "run"`, without a login to W&B."""
    without_login(tmp_path, monkeypatch)
    run = tmp_path / "run"
    (run / "model").mkdir(parents=True)
    table = predictions(
        [("r1", "g1", "a", [0.9, 0.05, 0.05]), ("r2", "g2", "a", [0.1, 0.8, 0.1]), ("r3", "g3", "c", [0.1, 0.1, 0.8])]
    )
    table.to_parquet(run / "predictions.parquet")
    thresholds = {name: {"scale": 1.0, "offset": 0.0, "threshold": 0.5} for name in LABELS}
    calibration = {"variant": "int8", "outputs": "independent", "aggregation": "mean", "thresholds": thresholds}
    write_json(run / "calibration.json", calibration)
    write_json(run / "labels.json", LABELS)
    write_json(run / "model/model.json", {"training_id": "0123456789abcdef", "train": {"epochs": 2}})
    (run / "model/weights.safetensors").write_bytes(b"weights")
    (run / "float.onnx").write_bytes(b"graph")
    write_json(run / "metrics.json", {})
    rows = [
        ("test", "recording", "macro_f1", 0.7, 0.5, 0.9),
        ("test", "negatives", "false_alarms_per_hour", 3.0, None, None),
    ]
    pd.DataFrame(rows, columns=["split", "level", "metric", "value", "low", "high"]).to_csv(
        run / "metrics.csv", index=False
    )
    pd.DataFrame({"species": LABELS, "f1": [0.5, None, 1.0]}).to_csv(run / "species.csv", index=False)
    pd.DataFrame({"epoch": [1, 2], "train_loss": [2.0, 1.0], "validation_loss": [None, 0.5]}).to_csv(
        run / "model/history.csv", index=False
    )
    fig, _ = figure(1, 1)
    save(fig, run / "confusion.png")
    return run


def main(run: Path, mode: str) -> dict[str, str]:
    """Run the stage; return what it writes."""
    inputs = {
        "metrics": "metrics.json", "table": "metrics.csv", "species": "species.csv", "confusion": "confusion.png",
        "predictions": "predictions.parquet", "calibration": "calibration.json", "labels": "labels.json", "graph": "float.onnx",
        "model": "model/model.json", "weights": "model/weights.safetensors", "history": "model/history.csv", "output": "evaluation/tracked.json",
    }  # fmt: skip
    arguments = [part for key, name in inputs.items() for part in (f"--{key}", str(run / name))]
    track.main(["--track", mode, "--group", "birds", *arguments])
    found: dict[str, str] = read_json(run / "evaluation/tracked.json")
    return found


def test_offline_the_files_of_wandb_hold_curves_scores_tables_and_the_model(files: Path) -> None:
    assert main(files, "offline") == {"mode": "offline", "run": "0123456789abcdef"}
    [folder] = (files / ".wandb/wandb").glob("offline-run-*-0123456789abcdef")
    [log] = folder.glob("*.wandb")
    content = log.read_bytes()
    for text in (
        b"train_loss",
        b"test/recording/macro_f1_low",
        b"confusion_matrix",
        b"birds-model",
        b"float.onnx",
        b"weights.safetensors",
    ):
        assert text in content, text
    tables = [json.loads(p.read_text())["data"] for p in (folder / "files/media/table").glob("*.json")]
    assert [["a", "a", 1], ["a", "b", 1], ["c", "c", 1]] in tables
    # Copies of the model stay below the run, not in the home folder.
    assert b"weights" in [p.read_bytes() for p in (files / ".wandb/artifacts").rglob("*") if p.is_file()]
    assert not list((files.parent / "home").rglob("artifacts/*"))


class FakeWandb:
    """A stand-in for W&B online, which has the run already (`resumed`) or not; it records what is logged."""

    Settings = staticmethod(lambda **_: None)
    Image = staticmethod(lambda path: ("image", Path(path).name))
    Table = staticmethod(lambda dataframe: ("table", dataframe.shape))

    def __init__(self, resumed: bool) -> None:
        self.resumed, self.summary = resumed, {}
        self.inits: list[dict[str, Any]] = []
        self.logged: list[tuple[int, set[str]]] = []
        self.artefacts: list[tuple[str, list[str]]] = []

    def login(self, prompt: bool) -> bool:
        return not prompt

    def init(self, **options: Any) -> "FakeWandb":
        self.inits.append(options)
        return self

    def log(self, values: dict[str, Any], step: int) -> None:
        self.logged.append((step, set(values)))

    def Artifact(self, name: str, **_: Any) -> Any:
        added: list[str] = []
        self.artefacts.append((name, added))
        return types.SimpleNamespace(add_file=lambda path, name: added.append(name))

    def log_artifact(self, artefact: Any) -> None:
        assert artefact

    def finish(self, exit_code: int) -> None:
        assert exit_code == 0


@pytest.mark.parametrize("resumed", [True, False])
def test_online_it_continues_the_run_of_the_training_after_its_last_epoch(
    resumed: bool, files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = FakeWandb(resumed)
    monkeypatch.setitem(sys.modules, "wandb", module)
    assert main(files, "online")["mode"] == "online"
    [init] = module.inits
    assert (init["id"], init["resume"], init["mode"], init["group"]) == ("0123456789abcdef", "allow", "online", "birds")
    assert init["config"] == {"epochs": 2}
    curves = [(1, {"epoch", "train_loss"}), (2, {"epoch", "train_loss", "validation_loss"})]
    # A training that was not tracked gets its learning curves now.
    assert module.logged == [*([] if resumed else curves), (3, {"confusion_matrix", "species", "confusion"})]
    assert module.summary["test/recording/macro_f1"] == 0.7
    assert "test/negatives/false_alarms_per_hour_low" not in module.summary
    [(name, added)] = module.artefacts
    assert name == "birds-model"
    assert {"weights.safetensors", "model.json", "float.onnx", "calibration.json"} <= set(added)


def test_curves_that_the_training_logged_offline_are_not_logged_again(
    files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = FakeWandb(False)
    monkeypatch.setitem(sys.modules, "wandb", module)
    (files / ".wandb/wandb/offline-run-20260101_000000-0123456789abcdef").mkdir(parents=True)
    main(files, "offline")
    assert [step for step, _ in module.logged] == [3]


def test_without_wandb_or_after_its_errors_the_stage_writes_its_output(
    files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(files, "none") == {"mode": "none", "run": "0123456789abcdef"}
    assert not (files / ".wandb").exists()
    monkeypatch.setitem(sys.modules, "wandb", None)
    assert main(files, "offline")["mode"] == "none"
    module = FakeWandb(False)
    monkeypatch.setattr(module, "log", lambda *_a, **_k: 1 / 0)
    monkeypatch.setitem(sys.modules, "wandb", module)
    assert main(files, "offline")["run"] == "0123456789abcdef"
    assert module.artefacts == []


def test_a_model_without_a_training_in_steps_has_a_run_of_its_own(tmp_path: Path) -> None:
    weights = tmp_path / "w"
    weights.write_bytes(b"1")
    first = track.run_id({}, weights)
    weights.write_bytes(b"2")
    assert len(first) == 16
    assert track.run_id({}, weights) != first
