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
from autobird.predict.classification import Calibration
from left_out_kinds import (
    KINDS,
    LEFT_OUT,
    RECIPES,
    SEEDS,
    TRAININGS,
    calibration_settings,
    difference,
    fold_of,
    measured,
    part,
    path_of,
    precision,
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
    assert scores(predicted())[-1] == pytest.approx(2 / 3)  # a in 1, b in 3; not a in 2
    assert precision(predicted()) == pytest.approx(
        2 / 3
    )  # a in 1, b in 3, and falsely a in 3; recording 4 has no species


def test_the_error_of_a_difference_is_that_over_the_means_of_the_folds() -> None:
    fold = np.array([fold_of(*training) for training in TRAININGS])
    values = np.where(fold == 0, 1.0, 0.0)
    assert difference(values, np.zeros(len(fold))) == "+0.200 ± 0.200"
    assert difference(values, values) == "+0.000 ± 0.000"


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
