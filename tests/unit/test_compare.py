"""Comparison of the variants of a model with the float32 model on the same recordings, and the input of the release gate."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import f1_score

from autobird.predict.classification import Calibration
from autobird.release.compare import Scored, candidate, compare_variants
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
    return found.assign(
        start=[n % 2 * 40_000 for n in range(len(rows))],
        number=[n % 2 for n in range(len(rows))],
        seconds=2.5,
        **sets,
        logits=logits,
    )


def compared(**guesses: list[int]) -> dict[str, dict[str, float]]:
    """Return the row of each variant."""
    calibration = Calibration.softmax(1.0, np.full(3, 0.5), "mean")
    variants = {name: Scored(table(found), calibration) for name, found in guesses.items()}
    rows = compare_variants(variants, LABELS, "test", CompareSettings(resamples=200))
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
    row = {
        "variant": "int8", "difference": -0.02, "difference_low": -0.05, "difference_high": 0.01, "agreement": 0.99,
        "recall_difference": 0.0, "recall_difference_low": -0.04, "recall_difference_high": 0.03,
        "false_alarm_ratio": 1.5, "false_alarm_ratio_low": 1.0, "false_alarm_ratio_high": 2.25,
    }  # fmt: skip
    found = candidate(row, (100, 8, 1000))
    assert found.f1_loss == (0.02, -0.01, 0.05)
    assert found.recall_loss == (0.0, -0.03, 0.04)
    assert found.false_alarm_ratio == (1.5, 1.0, 2.25)
    assert (found.agreement, found.multiply_adds, found.bits, found.size) == (0.99, 100, 8, 1000)
    unknown = candidate(row | {"difference_low": np.nan, "false_alarm_ratio": np.nan}, (1, 1, 1))
    assert unknown.f1_loss is unknown.false_alarm_ratio is None


def test_variants_that_detect_other_sets_of_species_do_not_agree_even_if_they_name_the_same_one() -> None:
    """With a threshold of 0.5 the float32 model detects the species that it names; the other one is too unsure to detect it."""
    unsure = table(TRUTH)
    unsure["logits"] = unsure["logits"].map(lambda logits: logits / 10)
    calibration = Calibration.softmax(1.0, np.full(3, 0.5), "mean")
    variants = {"float": Scored(table(TRUTH), calibration), "int8": Scored(unsure, calibration)}
    row = compare_variants(variants, LABELS, "test", CompareSettings(resamples=200))[1]
    assert (row["macro_f1"], row["agreement"], row["detection_recall"]) == (1, 0, 0)
    assert row["recall_difference"] == -1


def negatives(alarms: list[int]) -> pd.DataFrame:
    """Return predictions for one recording of four windows and group per number: in so many windows, apart, species 0 is detected."""
    rows = [
        {
            "recording": f"n{n}", "group": f"n{n}", "split": "test", "start": 80_000 * w, "number": 2 * w, "seconds": 3600.0,
            **label_sets([]), "logits": np.array([3.0, 0, 0]) if w < count else np.zeros(3),
        }
        for n, count in enumerate(alarms)
        for w in range(4)
    ]  # fmt: skip
    return pd.DataFrame(rows)


def test_false_alarms_are_compared_in_recordings_without_any_species() -> None:
    calibration = Calibration.softmax(1.0, np.full(3, 0.5), "mean")
    counts = {"float": [1, 2, 3, 4, 0] * 4, "same": [1, 2, 3, 4, 0] * 4, "worse": [2, 4, 4, 4, 1] * 4}
    variants = {
        name: Scored(pd.concat([table(TRUTH), negatives(alarms)], ignore_index=True), calibration)
        for name, alarms in counts.items()
    }
    rows = {row["variant"]: row for row in compare_variants(variants, LABELS, "test", CompareSettings(resamples=500))}
    assert rows["float"]["false_alarms_per_hour"] == pytest.approx(40 / 80)
    assert rows["float"]["false_alarms_per_hour_low"] < 0.5 < rows["float"]["false_alarms_per_hour_high"]
    assert [rows["float"][f"false_alarm_ratio{end}"] for end in ("", "_low", "_high")] == [1, 1, 1]
    assert rows["same"]["false_alarm_ratio"] == 1
    assert 1 < rows["same"]["false_alarm_ratio_high"] < 1.1
    assert rows["worse"]["false_alarm_ratio"] == pytest.approx(60.5 / 40.5)
    assert 1 < rows["worse"]["false_alarm_ratio_low"] < 60.5 / 40.5 < rows["worse"]["false_alarm_ratio_high"]
