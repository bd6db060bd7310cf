"""One path from logits to answers: calibrated windows, recordings, detections; and what they are compared with."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.special

from autobird.core.errors import AutobirdError
from autobird.core.files import write_json
from autobird.core.tables import read_table, write_table
from autobird.corpus.schemas import INDEX
from autobird.evaluation.calibration import calibrate
from autobird.evaluation.metrics import Weighting, all_metrics
from autobird.evaluation.predictions import scored_windows, split_of
from autobird.predict.answers import Calibration, answer, softmax
from autobird.release import score

LABELS = ["a", "b", "c"]


def logits_for(*rows: tuple[float, float, float]) -> np.ndarray:
    """Logits whose probabilities at temperature 1 are `rows`."""
    return np.log(np.array(rows))


def test_windows_are_calibrated_before_they_are_averaged_and_compared_with_thresholds() -> None:
    logits = logits_for((0.9, 0.05, 0.05), (0.1, 0.8, 0.1), (0.2, 0.2, 0.6))
    said = answer(logits, np.array([0, 0, 1]), 3, Calibration(2.0, np.array([0.6, 0.9, 0.4]), "mean"))
    windows = softmax(logits / 2)
    np.testing.assert_allclose(said.windows, windows)
    np.testing.assert_allclose(said.recordings, [windows[:2].mean(axis=0), windows[2], [0, 0, 0]])
    np.testing.assert_array_equal(said.detected, windows >= [0.6, 0.9, 0.4])
    assert said.detected.tolist() == [[True, False, False], [False, False, False], [False, False, True]]
    assert said.detected_in_recordings.tolist() == [[True, False, False], [False, False, True], [False, False, False]]


def test_the_largest_probability_may_stand_for_the_recording() -> None:
    logits = logits_for((0.9, 0.05, 0.05), (0.1, 0.8, 0.1))
    said = answer(logits, np.array([0, 0]), 1, Calibration(1.0, np.ones(3), "max"))
    np.testing.assert_allclose(said.recordings, np.array([[0.9, 0.8, 0.1]]) / 1.8)


def index() -> pd.DataFrame:
    """An annotated recording (windows A A A B, one of both, one touched, one quiet) and others, as `INDEX`."""
    rows = [
        ("ann", "a", "", False, ["a"], True), ("ann", "a", "", False, ["a"], True), ("ann", "a", "", False, ["a"], True),
        ("ann", "b", "", False, ["b"], True), ("ann", "", "several", False, ["a", "b"], True),
        ("ann", "", "no box", False, [], False), ("ann", "", "no box", True, [], True),
        ("both", "", "several", False, ["a", "b"], True), ("nobody", "", "no box", False, [], True),
        ("one", "c", "", False, ["c"], True), ("one", "c", "RMS", True, ["c"], True),
        ("rare", "z", "species with fewer", False, ["z"], True), ("unnamed", "b", "", False, ["b"], True),
    ]  # fmt: skip
    table = pd.DataFrame(rows, columns=["recording", "species", "dropped", "quiet", "present", "complete"])
    where = {"one": "validation", "rare": "test"}
    truth = {"ann": ["a", "b"], "both": ["a", "b"], "nobody": [], "one": ["c"], "rare": ["z"], "unnamed": ["b"]}
    split = table["recording"].map(where).fillna("test")
    return table.assign(
        recording_split=split,
        split=split.where(table["species"] != "z", "unknown"),
        group=table["recording"],
        start=np.arange(len(table)),
        recording_species=table["recording"].map(truth),
        recording_complete=table["recording"] != "unnamed",
    )


SCORED = ["ann"] * 6 + ["both", "nobody", "one", "unnamed"]


def test_every_window_that_is_not_quiet_is_scored_labelled_or_not() -> None:
    """Recordings without any window to train on are tested too; those of unknown species alone are not."""
    found = scored_windows(index(), LABELS)
    assert found["recording"].tolist() == SCORED
    assert found["split"].tolist() == ["test"] * 8 + ["validation", "test"]


def test_a_window_of_a_species_that_is_too_rare_is_scored_in_the_split_of_its_recording() -> None:
    rows = pd.DataFrame({"recording": "r", "species": ["a", "z"], "quiet": False, "split": ["test", "unknown"]})
    rows = rows.assign(recording_split="test", recording_species=[["a", "z"]] * 2)
    assert scored_windows(rows, LABELS)["split"].tolist() == ["test", "test"]


def predictions(*probabilities: tuple[float, float, float]) -> pd.DataFrame:
    """The scored windows of `index` with the logits of these probabilities."""
    return scored_windows(index(), LABELS).assign(logits=list(logits_for(*probabilities)))


A, B, C = (0.9, 0.05, 0.05), (0.05, 0.9, 0.05), (0.05, 0.05, 0.9)


def test_the_truth_of_a_recording_is_the_set_of_its_species() -> None:
    table = predictions(A, A, A, B, A, C, A, B, C, B)
    split = split_of(table, LABELS, "test", Calibration(1.0, np.full(3, 0.5), "mean"))
    assert split.names == ["ann", "both", "nobody", "unnamed"]
    assert split.recordings.present.tolist() == [
        [True, True, False], [True, True, False], [False, False, False], [False, True, False],
    ]  # fmt: skip
    assert split.recordings.only.tolist() == [-1, -1, -1, -1]  # somebody marked an unnamed sound in the last one
    assert split.recordings.complete.tolist() == [True, True, True, False]
    assert split.recordings.detected.tolist() == [
        [True, True, True], [True, False, False], [False, True, False], [False, True, False],
    ]  # fmt: skip
    assert split.windows.only.tolist() == [0, 0, 0, 1, -1, -1, -1, -1, 1]
    assert split.windows.complete.tolist() == [True] * 5 + [False] + [True] * 3
    # The unlabelled window takes part in the answer, as it does in the product.
    assert split.recordings.probabilities[0, 2] == pytest.approx((5 * 0.05 + 0.9) / 6)
    found = all_metrics(split.recordings, Weighting(np.ones((1, 4)), np.arange(4)))
    assert np.isnan(found["macro_f1"].values[0])
    # Right: a and b in the first, a in the second. False: c in the first, b where nobody sings. Missed: b in the second.
    assert found["detection_precision"].values[0] == pytest.approx(3 / 5)
    assert found["detection_recall"].values[0] == pytest.approx(3 / 4)


def test_calibration_comes_from_validation_windows_of_one_species() -> None:
    rows = [("r", "g", "validation", ["a"], True), ("r", "g", "validation", [], False)] * 8
    table = pd.DataFrame(rows, columns=["recording", "group", "split", "present", "complete"])
    table = table.assign(recording_species=[["a"]] * 16, recording_complete=True)
    table = table.assign(logits=list(logits_for(*[(0.6, 0.2, 0.2), (0.01, 0.98, 0.01)] * 8)))
    found, chosen = calibrate(table, LABELS, "mean")
    assert found.temperature == pytest.approx(0.1, abs=1e-3)  # always right: as sure as it may get
    assert chosen == [False, False, False]
    assert found.thresholds.tolist() == [0.5, 0.5, 0.5]


def test_thresholds_are_chosen_on_calibrated_probabilities() -> None:
    """Eight of ten windows of each species are named rightly, so that the temperature is not 1 and both errors cost alike."""
    wrong = ([False] * 8 + [True] * 2) * 2
    truth = ["a"] * 10 + ["b"] * 10
    logits = [
        np.array([4.0, 0.0, 0.0] if (t == "a") != w else [0.0, 4.0, 0.0]) for t, w in zip(truth, wrong, strict=True)
    ]
    table = pd.DataFrame(
        {"recording": [f"r{i}" for i in range(20)], "group": "g", "split": "validation", "complete": True}
    )
    present = [[t] for t in truth]
    table = table.assign(present=present, recording_species=present, recording_complete=True, logits=logits)
    found, chosen = calibrate(table, LABELS, "mean")
    assert 1.5 < found.temperature < 3
    calibrated = scipy.special.softmax(np.array([4.0, 0.0, 0.0]) / found.temperature)
    assert chosen == [True, True, False]
    np.testing.assert_allclose(found.thresholds, [calibrated[:2].mean()] * 2 + [0.5])


def test_a_recording_with_a_class_of_background_is_not_one_of_a_single_species() -> None:
    """Its most probable label may rightly be the background, which the windows' mean cannot tell."""
    rows = [("r", "g", "test", ["a"], True)] + [("r", "g", "test", ["b"], True)] * 5
    table = pd.DataFrame(rows, columns=["recording", "group", "split", "present", "complete"])
    table = table.assign(
        recording_species=[["a", "b"]] * 6, recording_complete=True, logits=list(logits_for(A, *[B] * 5))
    )
    split = split_of(table, LABELS, "test", Calibration(1.0, np.full(3, 0.5), "mean"))
    assert split.recordings.only.tolist() == [-1]
    found = all_metrics(split.recordings, Weighting(np.ones((1, 1)), np.zeros(1, np.int64)))
    assert found["detection_f1"].values[0] == 1


def test_logits_that_are_not_finite_stop_the_scoring_with_the_recording(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index_with_shards(tmp_path)
    arguments = score_arguments(tmp_path)
    monkeypatch.setattr(score, "Graph", lambda path: StandIn(np.nan))
    with pytest.raises(
        AutobirdError, match=r"x\.onnx: the logits of 10 windows are NaN or infinite, first those of ann at sample 0"
    ):
        score.main(arguments)
    monkeypatch.setattr(score, "Graph", lambda path: StandIn(1.0))
    score.main(arguments)
    table = read_table(tmp_path / "p.parquet")
    assert table["recording"].tolist() == SCORED
    # Each window is read from its place in its shard.
    assert [row[0] for row in table["logits"]] == [0, 1, 2, 3, 4, 5, 7, 8, 9, 12]


class StandIn:
    """A graph whose first logit is the mean of the window, times a factor."""

    species = 3

    def __init__(self, factor: float) -> None:
        self.factor = factor

    def logits(self, windows: np.ndarray) -> np.ndarray:
        return np.repeat(self.factor * windows.astype(np.float32).mean(axis=(1, 2))[:, None], 3, axis=1)


def index_with_shards(folder: Path) -> None:
    """`index` as a file, and a shard in which each window holds its number."""
    table = index().assign(shard=0, first_frame=np.arange(len(index())) * 4, rms=0.1, mel_std=1.0)
    write_table(folder / "index.parquet", table, INDEX)
    np.save(folder / "0.npy", np.repeat(np.arange(len(table)), 4)[:, None].repeat(2, axis=1).astype(np.float16))
    write_json(folder / "model.json", {"frames": 4, "labels": LABELS})


def score_arguments(folder: Path) -> list[str]:
    return [
        "--variant", str(folder / "x.onnx"), "--model", str(folder / "model.json"), "--index", str(folder / "index.parquet"),
        "--shards", str(folder / "0.npy"), "--output", str(folder / "p.parquet"),
    ]  # fmt: skip
