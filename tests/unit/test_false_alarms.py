"""False alarms: detections in recordings without any species, per hour of their sound; and thresholds that limit them."""

import numpy as np
import pandas as pd
import pytest
from scipy.special import logit
from sklearn.metrics import f1_score

from autobird.evaluation.bootstrap import Resamples
from autobird.evaluation.calibration import calibrate, calibrated_windows, expected_calibration_error, reliability_bins
from autobird.evaluation.evaluate import negatives_json, split_metrics
from autobird.evaluation.false_alarms import WindowSound, false_alarms
from autobird.evaluation.predictions import (
    SplitPredictions,
    predictions_of_split,
    quiet_negative_windows,
    windows_to_predict,
    with_sound,
)
from autobird.evaluation.settings import CalibrationSettings, EvaluationSettings
from autobird.predict.classification import Calibration
from tests.predictions import label_sets

LABELS = ["a", "b", "c"]


def rows(recording: str, present: list[str], logits: list[list[float]], **columns: object) -> pd.DataFrame:
    """Return predictions for the windows of a recording, 2.5 s apart, that is a group of its own."""
    count = len(logits)
    table = pd.DataFrame([label_sets(present, unknown=list(columns.pop("unknown", [])))] * count)  # type: ignore[call-overload]
    values = {
        "recording": recording, "group": recording, "split": "test", "start": np.arange(count) * 40_000, "number": np.arange(count),
        "seconds": 2.5, "logits": [np.array(row) for row in logits],
    }  # fmt: skip
    return table.assign(**values | columns)


def independent(threshold: float = 0.5) -> Calibration:
    return Calibration("independent", np.ones(3), np.zeros(3), np.full(3, threshold), "mean")


HIGH, LOW = [2.0, -2.0, -2.0], [-2.0, -2.0, -2.0]


def test_runs_of_windows_are_counted_in_recordings_without_species_alone_and_per_hour_of_their_sound() -> None:
    table = pd.concat(
        [
            rows("n1", [], [HIGH, HIGH, LOW, HIGH, [2.0, 2.0, -2.0]]),  # two detections of a, one of b
            rows("n2", [], [LOW] * 4),
            rows("n3", [], [HIGH, HIGH], number=[0, 2]),  # a quiet window lies between
            rows("bird", ["a"], [HIGH, [2.0, 2.0, 2.0]]),
            rows("perhaps", [], [HIGH] * 3, unknown=["a"]),
            rows("other", ["z"], [HIGH] * 3),
        ],
        ignore_index=True,
    )
    split = predictions_of_split(table, LABELS, "test", independent())
    found = false_alarms(split, WindowSound.of(table, "test"))
    assert found.recordings == 3
    assert found.counts.sum(axis=0).tolist() == [4, 1, 0]
    assert found.hours.sum() == pytest.approx(11 * 2.5 / 3600)
    per_hour = 5 / (11 * 2.5 / 3600)
    result = negatives_json(found, 0.95)
    assert result["per_hour"]["value"] == pytest.approx(per_hour)
    assert result["per_hour"]["low"] < per_hour < result["per_hour"]["high"]
    assert (result["recordings"], result["groups"], result["false_alarms"]) == (3, 3, 5)
    of_a = found.rate(0.95, 0)
    assert of_a is not None
    assert of_a[0] == pytest.approx(4 / 5 * per_hour)


def test_quiet_sound_of_recordings_without_species_is_counted_as_time() -> None:
    """30 s: three windows that are not quiet, one quiet window between them, and a recording in which all windows are quiet."""
    index = pd.concat(
        [
            pd.DataFrame([label_sets(present, unknown=unknown)]).assign(
                recording=name, group=group, start=start, quiet=quiet, recording_split=split
            )
            for name, group, present, unknown, split, windows in (
                ("bird", "g1", ["a"], [], "test", [(0, True)]),
                ("n1", "g2", [], [], "test", [(0, False), (40_000, True), (80_000, False)]),
                ("n2", "g2", [], [], "test", [(0, False)]),
                ("n3", "g3", [], [], "test", [(0, True), (40_000, True)]),
                ("perhaps", "g4", [], ["a"], "test", [(0, True)]),
                ("train", "g5", [], [], "train", [(0, True)]),
            )
            for start, quiet in windows
        ],
        ignore_index=True,
    )
    durations = pd.Series({"bird": 100.0, "n1": 10.0, "n2": 5.0, "n3": 15.0, "perhaps": 100.0, "train": 100.0})
    index = with_sound(index, durations, 16_000)
    heard = windows_to_predict(index, LABELS)
    heard = heard.assign(logits=[np.array(HIGH)] * len(heard))
    table = pd.concat([heard, quiet_negative_windows(index, LABELS).assign(logits=None)], ignore_index=True)
    split = predictions_of_split(table, LABELS, "test", independent())
    found = false_alarms(split, WindowSound.of(table, "test"))
    assert (found.hours * 3600).tolist() == pytest.approx([15, 15])  # by group
    result = negatives_json(found, 0.95)
    assert (result["recordings"], result["groups"], result["false_alarms"]) == (3, 2, 3)
    assert (result["hours"], result["quiet_hours"]) == (round(30 / 3600, 4), round(17.5 / 3600, 4))
    assert result["per_hour"]["value"] == pytest.approx(3 / (30 / 3600))


def test_without_recordings_that_hold_no_species_false_alarms_are_not_measured() -> None:
    table = rows("bird", ["a"], [HIGH])
    split = predictions_of_split(table, LABELS, "test", independent())
    found = negatives_json(false_alarms(split, WindowSound.of(table, "test")), 0.95)
    assert (found["recordings"], found["hours"], found["per_hour"]) == (0, 0, None)


def test_overlapping_windows_do_not_count_sound_twice_and_the_end_of_the_recording_counts() -> None:
    index = pd.DataFrame({"recording": ["a", "a", "a", "b"], "start": [0, 40_000, 80_000, 0]})
    found = with_sound(index, pd.Series({"a": 8.5, "b": 3.0}), 16_000)
    assert found["number"].tolist() == [0, 1, 2, 0]
    assert found["seconds"].tolist() == [2.5, 2.5, 3.5, 3.0]


def validation(negatives: int = 60, seed: int = 0) -> pd.DataFrame:
    """20 recordings of each of two species, and noise that sometimes sounds like them; three windows each."""
    rng = np.random.default_rng(seed)
    parts = [
        rows(f"{name}{i}", [name], [list(rng.normal(0, 1, 3) + np.where(np.eye(3)[s], 4, -4)) for _ in range(3)], split="validation")
        for s, name in enumerate("ab") for i in range(20)
    ]  # fmt: skip
    parts += [rows(f"n{i}", [], rng.normal(-3, 2.5, (3, 3)).tolist(), split="validation") for i in range(negatives)]
    return pd.concat(parts, ignore_index=True)


def settings(**changes: float) -> CalibrationSettings:
    return CalibrationSettings(resamples=100, **changes)  # type: ignore[arg-type]


def test_negatives_in_validation_raise_the_thresholds() -> None:
    without, with_negatives = (
        calibrate(table, LABELS, "independent", settings()) for table in (validation(0), validation())
    )
    # Negatives change the calibration, too, so the thresholds are compared as logits of the network.
    of_logits = [(logit(c.thresholds) - c.offset) / c.scale for c in (without.calibration, with_negatives.calibration)]
    assert (of_logits[1] > of_logits[0] + 1)[:2].all()
    assert without.false_alarms is None
    assert with_negatives.false_alarms is not None
    assert with_negatives.chosen.tolist() == [True, True, False]
    for fitted in (without, with_negatives):
        assert (fitted.low <= fitted.calibration.thresholds + 0.05)[:2].all()
        assert (fitted.low < fitted.high)[:2].any()


def test_a_wanted_number_of_false_alarms_is_kept_on_validation() -> None:
    table = validation()
    free = calibrate(table, LABELS, "independent", settings())
    assert free.false_alarms is not None
    wanted = free.false_alarms[0] / 4
    limited = calibrate(table, LABELS, "independent", settings(false_alarms_per_hour=wanted))
    assert limited.false_alarms is not None
    assert limited.false_alarms[0] <= wanted < free.false_alarms[0]
    assert limited.false_alarms_reached
    assert (limited.calibration.thresholds > free.calibration.thresholds).all()
    alike = calibrate(table, LABELS, "independent", settings(false_alarms_per_hour=10 * free.false_alarms[0]))
    assert alike.calibration.thresholds.tolist() == free.calibration.thresholds.tolist()
    nothing = calibrate(validation(0), LABELS, "independent", settings(false_alarms_per_hour=wanted))
    assert nothing.false_alarms_reached is False  # there is no sound to measure them


def test_a_wanted_precision_is_kept_on_validation_windows_and_recordings() -> None:
    table = validation(seed=3)
    fitted = calibrate(table, LABELS, "independent", settings(precision=0.97))
    split = predictions_of_split(table, LABELS, "validation", fitted.calibration)
    weights = {False: 1.0, True: 120 / 180}  # negatives count as much as the other windows
    for items, negative in (
        (split.windows, split.recordings.negative[split.windows.recording]),
        (split.recordings, split.recordings.negative),
    ):
        w = np.array([weights[bool(n)] for n in negative])
        for s in range(2):
            right, every = ((w * f).sum() for f in (items.detected[:, s] & items.present[:, s], items.detected[:, s]))
            assert right / every >= 0.97 - 1e-9
    assert fitted.reached[:2].all()


def test_independent_probabilities_are_calibrated_for_windows_with_and_without_species() -> None:
    """Logits that are three times too large; new windows of the same kind have probabilities that match their frequencies."""
    rng = np.random.default_rng(7)
    truth = rng.normal(-2, 2, (6000, 3))
    present = rng.random(truth.shape) < 1 / (1 + np.exp(-truth))
    table = pd.DataFrame(
        [label_sets([n for n, is_present in zip(LABELS, row, strict=True) if is_present]) for row in present]
    )
    table = table.assign(
        recording=[f"r{i:04d}" for i in range(6000)], start=0, number=0, seconds=5.0, split=["validation", "test"] * 3000,
        logits=list(3 * truth), negative=False,
    )  # fmt: skip
    table["group"] = table["recording"]
    fitted = calibrate(table, LABELS, "independent", settings()).calibration
    before = predictions_of_split(table, LABELS, "test", Calibration.none("independent", 3, "mean"))
    after = predictions_of_split(table, LABELS, "test", fitted)
    errors = [expected_calibration_error(*calibrated_windows(split)) for split in (before, after)]
    assert errors[1] < 0.04 < errors[0]

    def brier(split: SplitPredictions) -> float:
        return float(((split.windows.probabilities - split.windows.present) ** 2).mean())

    assert brier(after) < brier(before)
    items, weights = calibrated_windows(after)
    confidence, accuracy, weight = reliability_bins(items, weights)
    assert weight.sum() == pytest.approx(weights.sum())
    used = weight > 100
    assert np.abs(confidence - accuracy)[used].max() < 0.1


def test_negatives_enter_detection_metrics_but_no_metric_of_a_single_species() -> None:
    table = validation().assign(split="test")
    split = predictions_of_split(table, LABELS, "test", independent(0.9))
    found = split_metrics(split, split.resamples(100, 0), EvaluationSettings(resamples=100))
    assert (found["recordings"], found["recordings_of_one_species"], found["negative_recordings"]) == (100, 40, 60)
    single = split.recordings.subset(split.recordings.single_species >= 0)
    named = single.probabilities.argmax(axis=1)
    assert found["by_recording"]["macro_f1"]["value"] == pytest.approx(
        f1_score(single.single_species, named, average="macro"), abs=1e-6
    )
    items = split.windows
    precision = (items.detected & items.present).sum() / items.detected.sum()
    assert found["by_window"]["detection_precision"]["value"] == pytest.approx(precision, abs=1e-6)
    assert isinstance(split.resamples(100, 0), Resamples)


def test_without_validation_windows_the_logits_are_kept_and_all_thresholds_are_the_fallback() -> None:
    table = validation().assign(split="test")
    for outputs in ("independent", "softmax"):
        fitted = calibrate(table, LABELS, outputs, settings(false_alarms_per_hour=1.0))
        assert fitted.calibration.scale.tolist() == [1, 1, 1]
        assert fitted.calibration.thresholds.tolist() == [0.5] * 3
        assert (fitted.chosen.any(), fitted.false_alarms) == (False, None)


def test_one_species_and_negatives_are_a_detector() -> None:
    table = validation()
    table = table[table["recording"].str.contains("a|n")].assign(logits=lambda t: t["logits"].map(lambda z: z[:1]))
    fitted = calibrate(table, ["a"], "independent", settings(precision=0.9, false_alarms_per_hour=20.0))
    assert fitted.chosen.tolist() == [True]
    assert fitted.false_alarms is not None
    assert fitted.false_alarms[0] <= 20
    split = predictions_of_split(table, ["a"], "validation", fitted.calibration)
    found = split_metrics(split, split.resamples(100, 0), EvaluationSettings(resamples=100))
    assert found["by_recording"]["detection_recall"]["value"] > 0.5
    assert 0.8 < found["by_window"]["auroc"]["value"] <= 1
