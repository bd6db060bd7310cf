"""The table, the importance of the parameters, the figure and the best settings of a sweep."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from autobird.core.files import read_json, write_json
from autobird.sweep import report
from autobird.sweep.importance import importances, noise_share

PARAMETERS = ("train.learning_rate", "train.dropout", "train.loss")


def known_function(count: int, seed: int = 0) -> tuple[list[dict[str, Any]], np.ndarray]:
    """A score with its best value at a learning rate of 0.01, a small effect of the loss, and none of the dropout."""
    rng = np.random.default_rng(seed)
    values, scores = [], []
    for _ in range(count):
        rate, dropout = float(np.exp(rng.uniform(np.log(0.001), np.log(0.1)))), float(rng.uniform(0, 0.5))
        loss = ["bce", "focal"][rng.integers(2)]
        values.append(dict(zip(PARAMETERS, (rate, dropout, loss), strict=True)))
        scores.append(0.8 - 0.1 * (np.log10(rate) + 2) ** 2 - 0.03 * (loss == "focal") + rng.normal(0, 0.005))
    return values, np.array(scores)


def test_the_importance_of_a_known_function_is_found() -> None:
    values, scores = known_function(40)
    found = {one.parameter: one for one in importances(values, scores, ["train.learning_rate"])}
    assert list(found) == ["train.learning_rate", "train.loss", "train.dropout"]
    assert found["train.learning_rate"].share > 0.7
    assert found["train.learning_rate"].p < 0.001
    assert 0.03 < found["train.loss"].share < 0.3
    assert found["train.dropout"].share < 0.05
    assert found["train.dropout"].p > 0.05


def test_shares_of_a_full_grid_add_up_to_at_most_one() -> None:
    values = [{"a": a, "b": b, "c": "x"} for a in range(4) for b in (True, False)]
    scores = np.array([v["a"] + 2.0 * v["b"] for v in values])
    found = {one.parameter: one for one in importances(values, scores)}
    # Variances of the effects: 1.25 of a, 1 of b.
    assert found["a"].share == pytest.approx(1.25 / 2.25, abs=0.25)
    assert found["b"].share == pytest.approx(1 / 2.25, abs=0.1)
    assert found["c"].share is None


def test_a_parameter_without_effect_has_no_importance_on_average() -> None:
    rng = np.random.default_rng(1)
    found = [importances([{"a": float(v)} for v in rng.uniform(size=12)], rng.normal(size=12))[0] for _ in range(60)]
    assert np.mean([one.share for one in found]) < 0.12
    assert np.mean([one.p < 0.1 for one in found]) < 0.25


def test_too_few_trials_have_no_importance() -> None:
    assert importances([{"a": 1.0}, {"a": 2.0}], np.array([0.1, 0.2]))[0].share is None
    assert importances([{"a": 1.0}] * 4, np.full(4, 0.3))[0].p is None


def test_the_share_of_chance_is_half_the_variance_of_the_differences() -> None:
    scores = np.array([0.0, 0.2])
    assert noise_share([None, 0.1], scores) == pytest.approx(0.1**2 / 2 / 0.02)
    assert noise_share([0.0, 5.0], scores) == 1.0
    assert noise_share([None], scores) is None
    # Trials with equal predictions, as of a parameter without effect, have no chance either.
    assert noise_share([0.0, 0.0, 0.02], np.array([0.8, 0.8, 0.8, 0.9])) == pytest.approx(0.02**2 / 3 / 2 / 0.0025)


def rung(folds: int, rows: list[tuple[str, dict[str, Any], float, float]]) -> dict[str, Any]:
    trials = [
        {
            "id": name, "values": values, "seeds": [4], "folds": list(range(folds)), "by_seed": [score],
            "score": {"value": score, "low": score - 0.1, "high": score + 0.1},
            "difference": {"value": difference, "low": difference - 0.01, "high": difference + 0.01}, "standard_error": 0.005,
        }
        for name, values, score, difference in rows
    ]  # fmt: skip
    return {
        "metric": "macro_f1", "confidence": 0.95, "defaults": "defaults", "recordings": 40 * folds, "groups": 20,
        "trials": trials, "survivors": [],
    }  # fmt: skip


def run_stage(folder: Path, rungs: list[dict[str, Any]]) -> dict[str, Path]:
    files = {name: folder / name for name in ("table.csv", "importance.csv", "figure.png", "best.yaml", "result.json")}
    for i, content in enumerate(rungs):
        write_json(folder / f"rung{i + 1}.json", content)
    arguments = [text for name, path in files.items() for text in (f"--{name.split('.')[0]}", str(path))]
    report.main(
        ["--rungs", *(str(folder / f"rung{i + 1}.json") for i in range(len(rungs))),
         "--logarithmic", "train.learning_rate", *arguments]
    )  # fmt: skip
    return files


def test_the_report_ranks_trials_by_rung_and_score_and_writes_the_best_settings(tmp_path: Path) -> None:
    values, scores = known_function(18)
    order = np.argsort(-scores)
    rows = [(f"trial-{i}", values[i], float(scores[i]), float(scores[i] - 0.7)) for i in order]
    rows.insert(9, ("defaults", dict(zip(PARAMETERS, (0.003, 0.2, "bce"), strict=True)), 0.7, 0.0))
    # On two folds, the second trial is better than the first.
    second = [
        (rows[1][0], rows[1][1], 0.75, 0.06),
        (rows[0][0], rows[0][1], 0.72, 0.03),
        ("defaults", rows[9][1], 0.69, 0.0),
    ]
    files = run_stage(tmp_path, [rung(1, rows), rung(2, second)])
    table = pd.read_csv(files["table.csv"])
    assert list(table["trial"][:3]) == [rows[1][0], rows[0][0], "defaults"]
    assert list(table["folds"]) == [2] * 3 + [1] * 16
    assert table["rank"].tolist() == list(range(1, 20))
    assert table["trial"].is_unique
    assert np.all(np.diff(table["score"][3:]) <= 0)
    text = files["best.yaml"].read_text()
    assert yaml.safe_load(text) == {"train": {name.removeprefix("train."): v for name, v in rows[1][1].items()}}
    assert "# macro-F1 of the most probable species of 80 validation recordings: 0.750 [0.650, 0.850]." in text
    assert "+0.060 [+0.050, +0.070], more than chance at 95% confidence" in text
    result = read_json(files["result.json"])
    assert result["importance"][0]["parameter"] == "train.learning_rate"
    assert "With 19 trials, importances vary much by chance" in result["importance_summary"]
    assert files["figure.png"].stat().st_size > 20_000
    assert json.dumps(result)
    # The same trials give the same bytes.
    before = {name: path.read_bytes() for name, path in files.items()}
    assert {
        name: path.read_bytes() for name, path in run_stage(tmp_path, [rung(1, rows), rung(2, second)]).items()
    } == before


def test_the_printed_command_names_the_best_settings_after_the_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [("defaults", {"train.width": 16}, 0.7, 0.0), ("trial-a", {"train.width": 8}, 0.6, -0.1)]
    for run in ("marsh", "forest"):
        folder = tmp_path / "results" / run / "sweep"
        folder.mkdir(parents=True)
        run_stage(folder, [rung(1, rows)])
        assert f"best.yaml --config 'run={{name: {run}-best}}'\n" in capsys.readouterr().err


def test_without_a_better_trial_the_best_settings_are_those_of_the_run(tmp_path: Path) -> None:
    rows = [("defaults", {"train.width": 16}, 0.7, 0.0), ("trial-a", {"train.width": 8}, 0.6, -0.1)]
    files = run_stage(tmp_path, [rung(1, rows)])
    assert "No trial is better than the settings of the run." in files["best.yaml"].read_text()
    assert yaml.safe_load(files["best.yaml"].read_text()) == {"train": {"width": 16}}
