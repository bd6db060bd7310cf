"""The program that leaves kinds of negatives out of the training."""

import argparse
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.conftest import ROOT

sys.path.insert(0, str(ROOT / "scripts"))

import left_out_kinds
from autobird.config import load_config
from autobird.evaluation.predictions import SplitPredictions, predictions_of_split
from autobird.evaluation.settings import IntervalSettings
from autobird.predict.classification import Calibration
from left_out_kinds import (
    KINDS,
    LEFT_OUT,
    METRICS,
    RECIPES,
    SEEDS,
    TRAININGS,
    calibration_settings,
    fold_of,
    mean_scores,
    measured,
    part,
    path_of,
    resamples_of,
    scores,
    without_kind,
)
from tests.predictions import predictions

HEARD, SILENT = float(np.exp(4)), float(np.exp(-4))
"""What `predictions` turns into the logits 4 and -4."""


def predicted() -> SplitPredictions:
    """Two recordings with a, one of which is found; one with b, in which both are; and one without a species, with a false alarm."""
    rows = [
        ("1", "g1", "a", [HEARD, SILENT]),
        ("2", "g2", "a", [SILENT, SILENT]),
        ("3", "g3", "b", [HEARD, HEARD]),
        ("4", "g4", "", [HEARD, SILENT]),
    ]
    calibration = replace(Calibration.none("independent", 2, "mean"), thresholds=np.full(2, 0.5))
    return predictions_of_split(predictions(rows), ["a", "b"], "test", calibration)


def test_recall_and_precision_count_pairs_of_recordings_with_a_species() -> None:
    of = dict(zip(METRICS, scores(predicted(), np.ones((1, 4)))[0], strict=True))
    assert of["recall"] == pytest.approx(2 / 3)  # a in 1, b in 3; not a in 2
    assert of["precision"] == pytest.approx(2 / 3)  # a in 1, b in 3, and falsely a in 3; recording 4 has no species


def test_scores_of_a_row_of_weights_are_those_of_the_groups_with_a_weight() -> None:
    of = dict(zip(METRICS, scores(predicted(), np.array([[1.0, 0, 2, 1]]))[0], strict=True))
    assert of["recall"] == pytest.approx(1)
    assert of["precision"] == pytest.approx(3 / 5)  # 1 + 2 of 1 + 2 * 2


def training_of(rows: list[tuple[str, str, str, list[float]]]) -> tuple[pd.DataFrame, SplitPredictions]:
    table = predictions(rows)
    table.attrs["labels"] = ["a", "b"]
    calibration = replace(Calibration.none("independent", 2, "mean"), thresholds=np.full(2, 0.5))
    return table, predictions_of_split(table, ["a", "b"], "test", calibration)


def test_a_group_has_the_same_weight_in_all_trainings_that_test_it() -> None:
    def rows(numbers: range) -> list[tuple[str, str, str, list[float]]]:
        return [(f"{n}", f"g{n // 2}", "ab"[n // 2 % 2], [HEARD, SILENT]) for n in numbers]

    settings = IntervalSettings(resamples=100)
    # The second training tests recordings of its own and, in another order, some of the first.
    trainings = [training_of(rows(range(8, 24))), training_of([*reversed(rows(range(16, 32)))])]
    tables, splits = zip(*trainings, strict=True)
    draws = resamples_of(splits, tables, settings)
    assert len(draws.names) == draws.resamples.groups == 12
    assert (draws.resamples.weights[1:101].std(axis=0) > 0).all()
    for table, split in trainings:
        weights = draws.weights(split, table)
        names = table.drop_duplicates("recording").set_index("recording")["group"]
        for name, code in zip(split.names, split.group, strict=True):
            expected = draws.resamples.weights[:, draws.names.index(names[name])]
            np.testing.assert_array_equal(weights[:, code], expected)


def test_the_mean_over_trainings_has_one_row_for_each_draw_and_no_spread_without_errors() -> None:
    right = [(f"{n}", f"g{n}", "ab"[n % 2], [HEARD, SILENT] if n % 2 == 0 else [SILENT, HEARD]) for n in range(8)]
    wrong = [(*row[:3], row[3][::-1]) if row[0] == "0" else row for row in right]
    settings = IntervalSettings(resamples=100)
    spreads = []
    for rows in (right, wrong):
        tables, splits = zip(*[training_of(rows), training_of(right)], strict=True)
        draws = resamples_of(splits, tables, settings)
        values = mean_scores(splits, tables, draws)
        assert values.shape == (len(draws.resamples.weights), len(METRICS))
        spreads.append(values[1:101, METRICS.index("recall")].std())
        # One of 8 recordings is wrong in one of two trainings.
        assert values[0, METRICS.index("recall")] == pytest.approx(1 if rows is right else 15 / 16)
    assert spreads[0] == 0 < spreads[1]


def test_logits_of_other_settings_are_refused_and_missing_ones_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    config = load_config({"run": {"name": "x"}, "corpus": {"type": "folder", "root": str(tmp_path)}})
    assert measured(config, tmp_path, "default", calibration_settings(config)) is None
    assert "default: 21 of 21 trainings are missing" in capsys.readouterr().out
    for training in TRAININGS:
        table = pd.DataFrame({"recording": ["1"]})
        table.attrs["key"] = "of another time"
        table.to_pickle(path_of(tmp_path, "default", *training))
    monkeypatch.setattr(left_out_kinds, "training_key", lambda *_: "of now")
    with pytest.raises(SystemExit, match="is of other settings or data"):
        measured(config, tmp_path, "default", calibration_settings(config))


def test_a_part_of_the_trainings_is_one_of_those_that_exist() -> None:
    assert part("1/2") == (1, 2)
    with pytest.raises(argparse.ArgumentTypeError, match="3/2: the first number must be 0 to 1"):
        part("3/2")


def test_recipes_have_files_of_their_own(tmp_path: Path) -> None:
    files = {path_of(tmp_path, recipe, *training) for recipe in RECIPES for training in TRAININGS}
    assert len(files) == len(RECIPES) * len(TRAININGS)


def test_a_kind_that_is_left_out_is_in_no_split_of_the_training() -> None:
    names = ["negatives/speech/a.ogg", "negatives/loops/b.ogg", "songs/speech/c.ogg"]
    index = pd.DataFrame({"recording": names, "split": "train", "recording_split": ["train", "train", "test"]})
    changed = without_kind(index, "speech")
    assert changed["split"].to_list() == [LEFT_OUT, "train", "train"]
    assert changed["recording_split"].to_list() == [LEFT_OUT, "train", "test"]
    assert index["split"].to_list() == ["train"] * 3
    with pytest.raises(SystemExit, match="no recording lies in negatives/esc10/rain/"):
        without_kind(index, "rain")


def test_a_kind_is_left_out_on_different_folds() -> None:
    folds = [fold_of(kind, seed) for kind in KINDS for seed in SEEDS]
    assert set(folds) == set(range(5))
    assert max(map(folds.count, set(folds))) - min(map(folds.count, set(folds))) <= 1
    assert all(len({fold_of(kind, seed) for seed in SEEDS}) == len(SEEDS) for kind in KINDS)
