"""The scores of the trials of a sweep: validation recordings alone, paired differences, and stage `sweep_rung`."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from autobird.core.errors import AutobirdError
from autobird.core.files import read_json, write_json
from autobird.core.tables import write_table
from autobird.evaluation.predictions import PREDICTIONS
from autobird.evaluation.settings import EvaluationSettings
from autobird.sweep import rung
from autobird.sweep.scores import Training, TrialFiles, trial_scores, validation_rows
from tests.predictions import predictions

SETTINGS = EvaluationSettings(resamples=200)
LABELS = ["A", "B"]


def table(wrong: int, first: int = 0, split: str = "validation", count: int = 12) -> pd.DataFrame:
    """Recordings of two species, of which the first `wrong` are recognised as the other one."""
    rows = []
    for i in range(count):
        species = LABELS[i % 2]
        right = [0.8, 0.2] if species == "A" else [0.2, 0.8]
        name = f"r{first + i:03d}"
        rows.append((name, f"g{first + i}", species, right[::-1] if i < wrong else right))
    return predictions(rows, split, windows=2)


def trial(folder: Path, name: str, tables: dict[tuple[int, int], pd.DataFrame]) -> TrialFiles:
    labels = folder / "labels.json"
    write_json(labels, LABELS)
    trainings = []
    for (fold, seed), rows in tables.items():
        path = folder / f"{name}.{fold}.{seed}.parquet"
        write_table(path, rows, PREDICTIONS)
        trainings.append(Training(fold, seed, path, labels))
    return TrialFiles(name, {"train.width": 8}, "softmax", trainings)


def test_only_validation_recordings_that_the_run_does_not_test_have_a_part_in_the_score(tmp_path: Path) -> None:
    rows = pd.concat([table(0), table(6, 100, "test"), table(6, 200, "validation_others"), table(12, 300)])
    excluded = frozenset(f"r{300 + i}" for i in range(12))
    used = validation_rows(rows, excluded)
    assert sorted(set(used["recording"])) == [f"r{i:03d}" for i in range(12)]
    result = trial_scores([trial(tmp_path, "defaults", {(0, 4): rows})], "macro_f1", excluded, SETTINGS)
    # All test recordings of the fold and of the run are wrong here, and the score is still 1.
    assert result["recordings"] == 12
    assert result["trials"][0]["score"]["value"] == 1.0


def test_the_difference_from_the_settings_of_the_run_is_paired(tmp_path: Path) -> None:
    result = trial_scores(
        [
            trial(tmp_path, "defaults", {(0, 4): table(4)}),
            trial(tmp_path, "same", {(0, 4): table(4)}),
            trial(tmp_path, "better", {(0, 4): table(0)}),
            trial(tmp_path, "worse", {(0, 4): table(8)}),
        ],
        "macro_f1", frozenset(), SETTINGS,
    )  # fmt: skip
    assert [row["id"] for row in result["trials"]] == ["better", "defaults", "same", "worse"]
    by_id = {row["id"]: row for row in result["trials"]}
    assert by_id["defaults"]["difference"] == {"value": 0.0, "low": 0.0, "high": 0.0}
    # Equal predictions have no sampling error; the interval of a score alone is far wider.
    assert by_id["same"]["standard_error"] == 0.0
    assert by_id["better"]["difference"]["value"] == pytest.approx(1 / 3)
    for name in ("better", "worse"):
        difference = by_id[name]["difference"]
        assert difference["low"] < difference["value"] < difference["high"]
    score = by_id["better"]["score"]
    assert score["low"] < score["value"] == 1.0


def test_folds_are_pooled_and_seeds_averaged(tmp_path: Path) -> None:
    files = {(0, 4): table(0), (1, 4): table(6, 50), (0, 5): table(12), (1, 5): table(12, 50)}
    result = trial_scores([trial(tmp_path, "defaults", files)], "macro_f1", frozenset(), SETTINGS)
    row = result["trials"][0]
    assert (result["recordings"], result["groups"], row["seeds"], row["folds"]) == (24, 24, [4, 5], [0, 1])
    assert row["by_seed"] == [0.75, 0.0]
    assert row["score"]["value"] == pytest.approx(0.375)


def test_trials_on_other_recordings_cannot_be_compared(tmp_path: Path) -> None:
    trials = [trial(tmp_path, "defaults", {(0, 4): table(0)}), trial(tmp_path, "trial-x", {(0, 4): table(0, 50)})]
    with pytest.raises(AutobirdError, match="trial-x is not validated on the same recordings"):
        trial_scores(trials, "macro_f1", frozenset(), SETTINGS)
    excluded = frozenset(f"r{i:03d}" for i in range(12))
    with pytest.raises(AutobirdError, match="no validation recording is left"):
        trial_scores(trials[:1], "macro_f1", excluded, SETTINGS)


@pytest.mark.parametrize(
    ("metric", "remedy"),
    [
        ("cmap", "none of them contains a species; use more recordings"),
        ("top1", "set metric.name of the sweep to cmap"),
    ],
)
def test_a_metric_that_is_not_defined_is_an_error_with_a_remedy(tmp_path: Path, metric: str, remedy: str) -> None:
    negatives = predictions([(f"n{i}", f"g{i}", "", [0.2, 0.1]) for i in range(4)], "validation")
    with pytest.raises(AutobirdError, match=rf"{metric} is not defined on the validation recordings.*{remedy}"):
        trial_scores([trial(tmp_path, "defaults", {(0, 4): negatives})], metric, frozenset(), SETTINGS)


def test_the_stage_writes_the_scores_and_the_trials_of_the_next_rung(tmp_path: Path) -> None:
    wrong = {"defaults": 4, "trial-a": 0, "trial-b": 2, "trial-c": 6, "trial-d": 1}
    files = [trial(tmp_path, name, {(0, 4): table(n)}).trainings[0] for name, n in wrong.items()]
    description = [
        {"id": n, "values": {"train.width": i}, "outputs": "softmax", "trainings": [[None, 4]]}
        for i, n in enumerate(wrong)
    ]
    index = pd.DataFrame({"recording": ["r000", "r900"], "recording_split": ["test", "test"]})
    index.to_parquet(tmp_path / "index.parquet")
    rung.main(
        ["--settings", SETTINGS.model_dump_json(), "--trials", json.dumps(description), "--metric", "cmap", "--keep", "0.5",
         "--predictions", *(str(f.predictions) for f in files), "--labels", *(str(f.labels) for f in files),
         "--index", str(tmp_path / "index.parquet"), "--output", str(tmp_path / "rung1.json")]
    )  # fmt: skip
    result = read_json(tmp_path / "rung1.json")
    assert result["recordings"] == 11
    assert result["survivors"] == ["trial-a", "trial-d", "defaults"]
    assert [row["id"] for row in result["trials"]] == ["trial-a", "trial-d", "trial-b", "defaults", "trial-c"]
    assert np.all(np.diff([row["score"]["value"] for row in result["trials"]]) <= 0)
