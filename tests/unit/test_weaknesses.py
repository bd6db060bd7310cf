"""Scores by stratum: which stratum an item has, differences within species, few groups, unknown values, many comparisons."""

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from autobird.evaluation import tested
from autobird.evaluation.evaluate import split_metrics
from autobird.evaluation.predictions import Items, SplitPredictions
from autobird.evaluation.settings import EvaluationSettings, IntervalSettings
from autobird.evaluation.strata import Factor, decibels, factors_of
from autobird.evaluation.stratum_scores import holm, recall_difference, stratum_scores
from autobird.evaluation.weaknesses import table_of, weaknesses

SETTINGS = IntervalSettings(resamples=200)


def split(species: list[int], detected: list[int], count: int = 2) -> SplitPredictions:
    """Return recordings, each a group of its own, of one species each (-1: none), which is detected or not."""
    n = len(species)
    present = np.array(species)[:, None] == np.arange(count)
    found = present & np.array(detected, bool)[:, None]
    p = np.where(found, 0.9, 0.1)
    items = Items(p, found, present, np.ones_like(present), np.zeros(n, bool), np.arange(n), is_independent=True)
    return SplitPredictions(items, items, [f"r{i}" for i in range(n)], np.arange(n))


def factor(stratum: list[int], names: str = "xy", compared: list[bool] | None = None) -> Factor:
    return Factor("place", "place", "recording", list(names), np.array(stratum), compared or [True] * len(names))


def as_tested(found: SplitPredictions) -> tested.TestedRecordings:
    windows = pd.DataFrame({"recording": found.names, "start": 0, "fold": 0})
    return tested.TestedRecordings(["a", "b"], found, windows)


def strata(result: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {stratum["stratum"]: stratum for stratum in result["factors"][0]["strata"]}


def test_items_have_the_strata_of_their_level_and_of_their_metadata() -> None:
    names = ["r0", "r1", "r2"]
    windows = pd.DataFrame({"recording": ["r0", "r0", "r1", "r2"], "rms": [0.1, 0.02, 0.004, 0.0]})
    catalogue = pd.DataFrame(
        {
            "recording": names, "recorder": ["243B", "", ""], "recorded_at": ["2023-05-01T05:10:00", "", ""],
            "duration": [4.0, 15.0, 70.0], "time": ["", "7:30 pm", "?"], "place": ["Fen", " ", "Fen"],
            "quality": ["A", "", "B"], "extra": ["", '{"distance": "20 m", "dvc": "Zoom H5"}', '{"distance_m": "far"}'],
        }
    )  # fmt: skip
    found = {f.name: f for f in factors_of(names, windows, catalogue)}
    of = {name: [[*f.strata, "unknown"][i] for i in f.stratum] for name, f in found.items()}
    # -20 dBFS belongs to the stratum that begins there; the recording has the mean power of its windows.
    assert of["window_level"] == ["-20 dBFS and above", "-40 to -30 dBFS", "-50 to -40 dBFS", "below -50 dBFS"]
    assert of["level"] == ["-30 to -20 dBFS", "-50 to -40 dBFS", "below -50 dBFS"]
    assert of["distance"] == ["unknown", "15 to 30 m", "unknown"]
    assert of["recorder"] == ["243B", "Zoom H5", "unknown"]
    assert of["time"] == ["4 to 8 h", "16 to 20 h", "unknown"]
    assert of["duration"] == ["below 5 s", "15 to 60 s", "60 s and above"]
    assert of["place"] == ["Fen", "unknown", "Fen"]
    assert of["quality"] == ["A", "unknown", "B"]
    assert found["window_level"].level == "window"


def test_metadata_that_say_unknown_are_unknown() -> None:
    names = [f"r{i}" for i in range(20)]
    catalogue = pd.DataFrame({"recording": names, "place": [" Fen\r\n wood", "unknown"] * 10, "quality": ["A", " Unknown "] * 10, "duration": 9.0}
                             | dict.fromkeys(("recorder", "recorded_at", "time"), "")).assign(
        extra=['{"dvc": "unknown", "device": "Zoom H5"}', ""] * 10)  # fmt: skip
    factors = factors_of(names, pd.DataFrame({"recording": names, "rms": 0.01}), catalogue)
    result = weaknesses(as_tested(split([0, 1] * 10, [1, 0] * 10)), factors, SETTINGS)
    for name, first in (("place", "Fen wood"), ("quality", "A"), ("recorder", "Zoom H5")):
        found = next(f for f in result["factors"] if f["factor"] == name)
        assert [(s["stratum"], s["items"]) for s in found["strata"]] == [(first, 10), ("unknown", 10)]
        assert found["unknown_items"] == 10


def test_the_summary_names_no_loss_if_no_class_that_is_compared_has_one() -> None:
    # Of the other places, each has too few groups to be compared.
    species, place = [0, 1] * 12, [0] * 12 + [1] * 4 + [2] * 4 + [3] * 4
    for detected, sentence in (
        ([1] * 22 + [0, 1], "No class that is compared has a lower recall than the others."),
        ([0] + [1] * 23, "The largest loss, which may be chance: place x"),
    ):
        found = weaknesses(as_tested(split(species, detected)), [factor(place, "xyzw")], SETTINGS)
        assert [s["difference"] is None for s in strata(found).values()] == [False, True, True, True]
        assert f"- {sentence}" in found["summary"]


def test_digital_silence_has_the_lowest_level() -> None:
    assert decibels(pd.Series([1.0, 0.1, 0.0])).tolist() == pytest.approx([0, -20, -100])


def test_of_many_places_the_rarest_ones_are_one_stratum_that_is_not_compared() -> None:
    names = [f"r{i}" for i in range(30)]
    places = [f"p{i % 15:02d}" for i in range(30)]
    catalogue = pd.DataFrame(
        {"recording": names, "place": places, "extra": "", "duration": 9.0}
        | dict.fromkeys(("recorder", "recorded_at", "time", "quality"), "")
    )
    windows = pd.DataFrame({"recording": names, "rms": 0.01})
    place = next(f for f in factors_of(names, windows, catalogue) if f.name == "place")
    assert place.strata == [*(f"p{i:02d}" for i in range(10)), "5 others"]
    assert place.compared == [True] * 10 + [False]
    assert not next(f for f in factors_of(names, windows, catalogue) if f.name == "recorder").is_known


def test_the_difference_is_within_species_so_that_a_stratum_of_hard_species_is_not_called_weak() -> None:
    # Of species 0, 3 in 4 are detected, of species 1 1 in 4, in both strata. Stratum x holds mostly species 0.
    species = [0] * 24 + [1] * 8 + [0] * 8 + [1] * 24
    detected = [1, 1, 1, 0] * 6 + [1, 0, 0, 0] * 2 + [1, 1, 1, 0] * 2 + [1, 0, 0, 0] * 6
    found = split(species, detected)
    inside = np.arange(64) < 32
    resamples = found.resamples(200, 0)
    scores = stratum_scores(found.recordings, inside, ~inside, resamples, SETTINGS)
    assert scores.recall is not None
    assert scores.difference is not None
    assert scores.recall["value"] == pytest.approx(20 / 32)
    assert scores.difference.interval[0] == pytest.approx(0)
    assert scores.difference.p == pytest.approx(1)
    # Mantel and Haenszel: weights 24 * 8 / 32 = 6 for both species; species 0 loses 1 of its 8 others.
    detected[32] = 0
    changed = split(species, detected)
    difference = recall_difference(changed.recordings, inside, ~inside, resamples, SETTINGS)
    assert difference is not None
    assert difference.interval[0] == pytest.approx((0.125 * 6 + 0 * 6) / 12)


def test_without_a_common_species_or_with_few_groups_nothing_is_compared() -> None:
    found = split([0] * 8 + [1] * 8, [1] * 16)
    inside = np.arange(16) < 8
    resamples = found.resamples(200, 0)
    assert recall_difference(found.recordings, inside, ~inside, resamples, SETTINGS) is None
    few = split([0] * 16, [1] * 16)
    assert (
        recall_difference(few.recordings, np.arange(16) < 4, np.arange(16) >= 4, few.resamples(200, 0), SETTINGS)
        is None
    )
    scores = stratum_scores(few.recordings, np.arange(16) < 4, np.arange(16) >= 4, few.resamples(200, 0), SETTINGS)
    assert (scores.items, scores.groups, scores.recall, scores.precision, scores.difference) == (4, 4, None, None, None)


def test_strata_that_are_always_right_and_sometimes_wrong_are_not_certainly_different() -> None:
    """The bootstrap of 6 groups that are all right has no variance; the interval must not say that they are certainly better."""
    found = split([0] * 36, [1] * 6 + [1, 1, 0] * 10)
    inside = np.arange(36) < 6
    difference = recall_difference(found.recordings, inside, ~inside, found.resamples(200, 0), SETTINGS)
    assert difference is not None
    assert difference.interval[0] == pytest.approx(1 / 3)
    assert difference.interval[1] < 0 < difference.interval[2]
    assert difference.p > 0.05


def test_a_stratum_of_all_recordings_has_the_intervals_of_the_metrics() -> None:
    """The model card shows both. Eight groups of four species: the standard error has fewer degrees of freedom than the 7 of one mean."""
    found = split([0, 0, 1, 1, 2, 2, 3, 3], [1, 0, 1, 1, 1, 1, 1, 1], count=4)
    # One species is detected where it is not present, so the precision is below 1, too.
    detected = found.recordings.detected.copy()
    detected[4, 0] = True
    found = replace(found, recordings=replace(found.recordings, detected=detected))
    found = replace(found, windows=found.recordings)
    resamples = found.resamples(SETTINGS.resamples, SETTINGS.seed)
    of_all = split_metrics(found, resamples, EvaluationSettings(resamples=SETTINGS.resamples))["by_recording"]
    everything = np.ones(8, bool)
    scores = stratum_scores(found.recordings, everything, ~everything, resamples, SETTINGS)
    assert scores.recall == of_all["detection_recall"]
    assert scores.precision == of_all["detection_precision"]
    assert scores.top1 == of_all["top1"]


def test_p_values_are_corrected_for_all_comparisons() -> None:
    assert holm([0.04, 0.01, 0.03]) == pytest.approx([0.06, 0.03, 0.06])
    assert holm([0.6, 0.7]) == [1.0, 1.0]
    assert holm([]) == []


def test_a_large_difference_is_certain_and_named_and_unknown_values_are_not_compared() -> None:
    n = 40
    found = split([0] * (2 * n + 4), [1] * n + [0] * n + [1, 1, 0, 0])
    result = weaknesses(as_tested(found), [factor([0] * n + [1] * n + [-1] * 4)], SETTINGS)
    rows = strata(result)
    assert (rows["x"]["certain"], rows["y"]["certain"], rows["unknown"]["certain"]) == (True, True, False)
    assert rows["y"]["difference"]["value"] == -1
    assert rows["unknown"]["too_few"]
    assert rows["unknown"]["difference"] is None
    assert result["factors"][0]["unknown_items"] == 4
    assert "- place y: recall 0.00 [0.00, 0.09], certainly lower than otherwise (-1.00 [-1.00, " in result["summary"]
    assert "- Not known of some: place (4 recordings)." in result["summary"]
    table = table_of(result).set_index("stratum")
    assert table.loc["x", ["items", "groups", "recall"]].tolist() == [40, 40, 1.0]


def test_without_a_difference_none_is_certain_and_the_summary_says_so() -> None:
    found = split([0] * 40, [1, 1, 1, 0] * 10)
    nothing = Factor("recorder", "recorder", "recording", [], np.full(40, -1), [])
    result = weaknesses(as_tested(found), [factor([i // 20 for i in range(40)]), nothing], SETTINGS)
    assert not any(stratum["certain"] for stratum in strata(result).values())
    assert "- No difference is certain. That does not show that there is none." in result["summary"]
    assert "- Not known of any test recording: recorder." in result["summary"]
    assert table_of(result)["stratum"].tolist() == ["x", "y", "unknown"]


def test_differences_between_strata_by_chance_are_rarely_called_certain() -> None:
    rng = np.random.default_rng(0)
    wrong = 0
    for _ in range(40):
        found = split(list(np.arange(60) % 2), list(rng.random(60) < 0.85))
        factors = [factor(list(rng.integers(0, k, 60)), "vwxyz"[:k]) for k in (3, 4, 5)]
        result = weaknesses(as_tested(found), factors, IntervalSettings(resamples=100))
        wrong += any(stratum["certain"] for f in result["factors"] for stratum in f["strata"])
    assert wrong <= 4
