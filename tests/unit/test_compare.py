"""Comparison of the variants of a model with the float32 model on the same recordings, and the input of the release gate."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import f1_score

from autobird.predict.classification import Calibration
from autobird.release.compare import candidate, compare_variants
from autobird.release.settings import CompareSettings
from tests.predictions import label_sets

LABELS = ["a", "b", "c"]
TRUTH = [0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2]


def table(guesses: list[int]) -> pd.DataFrame:
    """Return predictions for one recording of two windows per guess; each group has two recordings."""
    rows = [(f"r{n:02d}", f"g{n // 2}", "test", [LABELS[TRUTH[n]]]) for n in range(len(guesses)) for _ in range(2)]
    found = pd.DataFrame([row[:3] for row in rows], columns=["recording", "group", "split"])
    logits = [np.eye(3)[guess] * 3 for guess in guesses for _ in range(2)]
    sets = pd.DataFrame([label_sets(row[3]) for row in rows])
    return found.assign(start=[n % 2 * 40_000 for n in range(len(rows))], **sets, logits=logits)


def compared(**guesses: list[int]) -> dict[str, dict[str, float]]:
    """Return the row of each variant."""
    calibration = Calibration.softmax(1.0, np.full(3, 0.5), "mean")
    tables = {name: table(found) for name, found in guesses.items()}
    settings = CompareSettings(resamples=200)
    rows = compare_variants(tables, dict.fromkeys(tables, calibration), LABELS, "test", settings)
    assert [(row["variant"], row["split"]) for row in rows] == [(name, "test") for name in guesses]
    return {row["variant"]: row for row in rows}


def test_the_difference_from_the_float32_model_is_paired_and_negative_for_a_loss() -> None:
    first = [0, 0, 0, 1, 1, 1, 1, 1, 2, 2, 2, 2]
    worse = [0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 0, 2]
    rows = compared(float=first, int8=worse, same=first)
    scores = {name: f1_score(TRUTH, found, average="macro") for name, found in (("float", first), ("int8", worse))}
    int8, same = rows["int8"], rows["same"]
    assert (int8["recordings"], int8["groups"]) == (12, 6)
    assert int8["macro_f1"] == int8["detection_macro_f1"] == pytest.approx(scores["int8"])
    assert int8["difference"] == pytest.approx(scores["int8"] - scores["float"])
    assert int8["difference_low"] < int8["difference"] < int8["difference_high"]
    assert int8["agreement"] == pytest.approx(10 / 12)
    assert [rows["float"][f"difference{end}"] for end in ("", "_low", "_high")] == [0, 0, 0]
    # The difference of equal predictions is 0 in every resample, even if the score itself varies.
    perfect = compared(float=TRUTH, same=TRUTH)["same"]
    assert (same["difference"], same["agreement"]) == (0, 1)
    assert same["difference_high"] == pytest.approx(perfect["difference_high"])


def test_the_release_gate_gets_losses_instead_of_differences() -> None:
    row = {"variant": "int8", "difference": -0.02, "difference_low": -0.05, "difference_high": 0.01, "agreement": 0.99}
    found = candidate(row, (100, 8, 1000))
    assert (found.f1_loss, found.f1_loss_low, found.f1_loss_high) == (0.02, -0.01, 0.05)
    assert (found.agreement, found.multiply_adds, found.bits, found.size) == (0.99, 100, 8, 1000)
    unknown = candidate(row | dict.fromkeys(("difference", "difference_low", "difference_high"), np.nan), (1, 1, 1))
    assert unknown.f1_loss is unknown.f1_loss_low is unknown.f1_loss_high is None
