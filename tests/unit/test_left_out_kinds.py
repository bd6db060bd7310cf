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
from autobird.evaluation.bootstrap import difference_interval
from autobird.evaluation.false_alarms import FalseAlarms
from autobird.evaluation.predictions import SplitPredictions, predictions_of_split
from autobird.evaluation.settings import IntervalSettings
from autobird.predict.classification import Calibration
from left_out_kinds import (
    KINDS,
    LEFT_OUT,
    METRICS,
    OF_RECORDINGS,
    OF_WINDOWS,
    RECIPES,
    SEEDS,
    TRAININGS,
    Measured,
    calibration_settings,
    error_of_trainings,
    fold_of,
    main,
    measured,
    part,
    path_of,
    recording_scores,
    resamples_of,
    scores,
    table_of,
    window_scores,
    with_species,
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
    of = dict(zip(OF_RECORDINGS, recording_scores(with_species(predicted()), np.ones((1, 3)))[0], strict=True))
    assert of["recall"] == pytest.approx(2 / 3)  # a in 1, b in 3; not a in 2
    assert of["precision"] == pytest.approx(2 / 3)  # a in 1, b in 3, and falsely a in 3; recording 4 has no species


def test_scores_of_a_row_of_weights_are_those_of_the_groups_with_a_weight() -> None:
    of = dict(zip(OF_RECORDINGS, recording_scores(with_species(predicted()), np.array([[1.0, 0, 2]]))[0], strict=True))
    assert of["recall"] == pytest.approx(1)
    assert of["precision"] == pytest.approx(3 / 5)  # 1 + 2 of 1 + 2 * 2
    weights = np.array([[1.0, 1, 1, 1], [1, 0, 1, 1], [1, 0, 2, 0]])
    f1 = window_scores(predicted(), weights)[:, list(OF_WINDOWS).index("F1 of windows")]
    # Of a, 1 is found, 1 missed, 2 false; 1 found, 2 false; 1 found, 2 false (twice that in 3). F1 of b: 1.
    np.testing.assert_allclose(f1, [(2 / 5 + 1) / 2, (2 / 4 + 1) / 2, (2 / 4 + 1) / 2])


def test_recordings_with_a_species_keep_their_windows_and_groups() -> None:
    rows = [("1", "g1", "", [HEARD, SILENT]), ("2", "g2", "a", [HEARD, SILENT]), ("3", "g3", "b", [SILENT, HEARD])]
    _, split = training_of([*rows, ("4", "g2", "b", [HEARD, HEARD])])
    kept = with_species(split)
    assert kept.names == ["2", "3", "4"]
    assert kept.group.tolist() == [0, 1, 0]
    assert kept.windows.recording.tolist() == kept.recordings.recording.tolist() == [0, 1, 2]
    present = [[True, False], [False, True], [False, True]]
    assert kept.windows.present.tolist() == kept.recordings.present.tolist() == present


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


def test_each_draw_has_the_species_of_all_trainings_whatever_the_order_of_their_labels() -> None:
    first = training_of([(f"{n}", f"g{n}", "ab"[n % 2], [HEARD, SILENT]) for n in range(10)])
    table = predictions([(f"{n}", f"g{n}", "bc"[n % 2], [HEARD, SILENT]) for n in range(10, 18)])
    table.attrs["labels"] = ["c", "b"]
    calibration = Calibration.none("independent", 2, "mean")
    second = table, predictions_of_split(table, ["c", "b"], "test", calibration)
    draws = resamples_of([first[1], second[1]], [first[0], table], IntervalSettings(resamples=100))
    species = {"a": [0, 2, 4, 6, 8], "b": [1, 3, 5, 7, 9, 10, 12, 14, 16], "c": [11, 13, 15, 17]}
    assert sorted(draws.resamples.stratum_sizes) == [4, 5, 9]
    for numbers in species.values():
        columns = [draws.names.index(f"g{n}") for n in numbers]
        np.testing.assert_allclose(draws.resamples.weights[:, columns].sum(axis=1), len(numbers))


RIGHT = [(f"{n}", f"g{n}", "ab"[n % 2], [HEARD, SILENT] if n % 2 == 0 else [SILENT, HEARD]) for n in range(8)]
WRONG = [(*row[:3], row[3][::-1]) if row[0] == "0" else row for row in RIGHT]
NEGATIVES = [(f"{n}", f"g{n}", "", [HEARD if n == 10 else SILENT, SILENT]) for n in range(10, 30)]


def test_the_mean_over_trainings_has_one_row_for_each_draw_and_no_spread_without_errors() -> None:
    spreads = []
    for rows in (RIGHT, WRONG):
        tables, splits = zip(*[training_of(rows), training_of(RIGHT)], strict=True)
        found, resamples = scores(splits, tables, IntervalSettings(resamples=100))
        assert set(found) == set(resamples) == set(METRICS)
        recall = found["recall"]
        assert recall.mean.shape == (len(resamples["recall"].weights),)
        spreads.append(recall.mean[1:101].std())
        # One of 8 recordings is wrong in one of two trainings.
        assert recall.mean[0] == pytest.approx(1 if rows is RIGHT else 15 / 16)
        assert recall.each == pytest.approx([1 if rows is RIGHT else 7 / 8, 1])
    assert spreads[0] == 0 < spreads[1]


def test_groups_without_a_species_are_drawn_for_the_metrics_of_windows_alone() -> None:
    rows = [*WRONG, ("8", "g8", "a", [HEARD, HEARD])]
    table, split = training_of([*rows, *NEGATIVES])
    found, resamples = scores([split], [table], IntervalSettings(resamples=100))
    assert {metric: of.groups for metric, of in resamples.items()} == dict.fromkeys(OF_RECORDINGS, 9) | dict.fromkeys(
        OF_WINDOWS, 29
    )
    alone, without = scores([training_of(rows)[1]], [training_of(rows)[0]], IntervalSettings(resamples=100))
    for metric in OF_RECORDINGS:
        expected = difference_interval(alone[metric].mean, without[metric], 0.95)
        assert difference_interval(found[metric].mean, resamples[metric], 0.95) == pytest.approx(expected)
    # Of a, 4 of 5 are found, and 1 detection is false, that in 10; of b, 4 of 4, and 2 are false.
    assert found["F1 of windows"].mean[0] == pytest.approx((8 / 10 + 8 / 10) / 2)
    assert found["recall"].mean[0] == pytest.approx(8 / 9)
    assert found["precision"].mean[0] == pytest.approx(8 / 10)


def test_the_error_by_training_is_that_of_the_differences_on_the_same_fold() -> None:
    fold = np.array([fold_of(*job) for job in TRAININGS])
    assert error_of_trainings(fold / 10) == pytest.approx(0)
    rng = np.random.default_rng(0)
    errors = [error_of_trainings(fold + rng.normal(0, 0.1, len(fold))) for _ in range(2000)]
    assert np.mean(np.square(errors)) == pytest.approx(0.1**2 / len(fold), rel=0.03)


def test_a_row_has_the_paired_difference_from_the_reference() -> None:
    config = load_config({"run": {"name": "x"}, "corpus": {"type": "folder", "root": "x"}})
    settings = calibration_settings(config)
    of = {}
    right, wrong = (training_of([*rows, *NEGATIVES]) for rows in (RIGHT, WRONG))
    mixed = [wrong, right] * (len(TRAININGS) // 2) + [wrong]
    for name, trainings in (("better", [right] * len(TRAININGS)), ("reference", mixed), ("as good", mixed)):
        tables, splits = zip(*trainings, strict=True)
        found, resamples = scores(splits, tables, settings)
        alarms = FalseAlarms(np.ones((2, 1)), np.ones(2), 0, 2)
        of[name] = Measured(
            {("test", metric): score for metric, score in found.items()},
            {("test", metric): drawn for metric, drawn in resamples.items()},
            dict.fromkeys(KINDS, alarms),
            3.0,
        )
    table = table_of(of, of["reference"], settings).set_index("")
    recall = table["test recall"]
    assert recall["reference"] == "0.935"  # one of 8 is wrong in 11 of 21 trainings
    assert recall["better"].startswith("1.000 (+0.065 [-")
    assert not recall["better"].endswith("; by training ± 0.000)")
    # As if the recipes differed in one group of 8 in two strata of 4: t of 6 degrees of freedom, times the root of 2 / 4 / 2**2 / 8.
    assert recall["as good"] == "0.935 (+0.000 [-0.306, +0.306]; by training ± 0.000)"
    assert table["times the reference's"].to_list()[1] == ""
    assert table["times the reference's"].to_list()[0].startswith("1.00 [")


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


def test_a_configuration_with_a_teacher_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "config.yaml"
    config.write_text("train: {teacher: birdnet-2.4}")
    monkeypatch.setattr("sys.argv", ["left_out_kinds.py", str(config), "--logits", str(tmp_path / "logits"), "--table"])
    with pytest.raises(SystemExit):
        main()
    assert "train.teacher is set, and this program trains without a teacher; remove it" in capsys.readouterr().err


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
