"""Tracking of a sweep: the scores of the trials, the tables and the figure in one run of W&B."""

import sys
from pathlib import Path

import pandas as pd
import pytest

from autobird.core.files import read_json, write_json
from autobird.core.plots import figure, save
from autobird.release import track_sweep
from tests.unit.test_track import FakeWandb, without_login

COLUMNS = ["rank", "trial", "train.width", "score", "score_low", "score_high"]


@pytest.fixture
def sweep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a sweep's outputs, without a login to W&B."""
    without_login(tmp_path, monkeypatch)
    folder = tmp_path / "run/sweep"
    folder.mkdir(parents=True)
    rows = [(1, "trial-0123456789", 8, 0.8, 0.7, 0.9), (2, "defaults", 16, 0.6, None, None)]
    pd.DataFrame(rows, columns=COLUMNS).to_csv(folder / "trials.csv", index=False)
    pd.DataFrame({"parameter": ["train.width"], "share": [0.5], "p": [0.1]}).to_csv(
        folder / "importance.csv", index=False
    )
    result = {"metric": "macro_f1", "trials": 2, "recordings": 5, "groups": 4, "confidence": 0.95, "best": {}}
    write_json(folder / "sweep.json", result)
    fig, _ = figure(1, 1)
    save(fig, folder / "sweep.png")
    return folder


def main(folder: Path, mode: str) -> dict[str, str]:
    """Run the stage; return what it writes."""
    files = {"table": "trials.csv", "importance": "importance.csv", "figure": "sweep.png", "result": "sweep.json"}
    arguments = [part for key, name in files.items() for part in (f"--{key}", str(folder / name))]
    track_sweep.main(["--track", mode, "--group", "birds", "--output", str(folder / "tracked.json"), *arguments])
    found: dict[str, str] = read_json(folder / "tracked.json")
    return found


def test_scores_tables_and_figure_are_logged_to_one_run_in_the_group_of_the_run(
    sweep: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = FakeWandb(False)
    monkeypatch.setitem(sys.modules, "wandb", module)
    found = main(sweep, "online")
    [init] = module.inits
    assert (init["id"], init["group"], init["mode"]) == (found["run"], "birds", "online")
    assert init["config"] == {"metric": "macro_f1", "trials": 2, "recordings": 5, "groups": 4, "confidence": 0.95}
    assert module.summary == {
        "trial-0123456789/macro_f1": 0.8,
        "trial-0123456789/macro_f1_low": 0.7,
        "trial-0123456789/macro_f1_high": 0.9,
        "defaults/macro_f1": 0.6,
    }
    assert module.logged == [(1, {"sweep", "trials", "importance"})]


def test_offline_the_files_of_wandb_are_beside_those_of_the_run(sweep: Path) -> None:
    found = main(sweep, "offline")
    assert found["mode"] == "offline"
    [folder] = (sweep.parent / ".wandb/wandb").glob(f"offline-run-*-{found['run']}")
    [log] = folder.glob("*.wandb")
    assert b"trial-0123456789/macro_f1_low" in log.read_bytes()
    assert list((folder / "files/media/images").glob("sweep*.png"))


def test_without_tracking_wandb_is_not_imported(sweep: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    monkeypatch.setattr("autobird.model.tracking.importlib.import_module", lambda name: pytest.fail(name))
    assert main(sweep, "none")["mode"] == "none"
    assert not (sweep.parent / ".wandb").exists()


def test_other_scores_or_another_run_are_another_run_of_wandb(sweep: Path) -> None:
    table = sweep / "trials.csv"
    first = track_sweep.run_id("birds", table)
    assert track_sweep.run_id("birds", table) == first
    assert track_sweep.run_id("mine", table) != first
    table.write_text(table.read_text().replace("0.8", "0.81"))
    assert track_sweep.run_id("birds", table) != first
