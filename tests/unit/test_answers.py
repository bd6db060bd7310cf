"""Probabilities and detections from logits; the windows that are predicted; the species that are present in them."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.special

from autobird.core.errors import AutobirdError
from autobird.core.files import write_json
from autobird.core.tables import read_table, write_table
from autobird.dataset.schemas import INDEX
from autobird.evaluation.calibration import calibrate
from autobird.evaluation.metrics import Weighting, all_metrics
from autobird.evaluation.predictions import PREDICTIONS, predictions_of_split, windows_to_predict, with_numbers
from autobird.evaluation.settings import CalibrationSettings
from autobird.predict.classification import Calibration, classify, smoothed, softmax
from autobird.release import score
from tests.predictions import label_set, label_sets

LABELS = ["a", "b", "c"]


def logits_for(*rows: tuple[float, float, float]) -> np.ndarray:
    """Return logits that give the probabilities `rows` at a temperature of 1."""
    return np.log(np.array(rows))


def test_probabilities_of_windows_are_calibrated_before_averages_and_detections_are_computed() -> None:
    logits = logits_for((0.9, 0.05, 0.05), (0.1, 0.8, 0.1), (0.2, 0.2, 0.6))
    calibration = Calibration.softmax(2.0, np.array([0.6, 0.9, 0.4]), "mean")
    said = classify(logits, np.array([0, 0, 1]), 3, calibration, np.array([0, 1, 0]))
    windows = softmax(logits / 2)
    np.testing.assert_allclose(said.window_probabilities, windows)
    np.testing.assert_allclose(said.recording_probabilities, [windows[:2].mean(axis=0), windows[2], [0, 0, 0]])
    np.testing.assert_array_equal(said.window_detections, windows >= [0.6, 0.9, 0.4])
    assert said.window_detections.tolist() == [[True, False, False], [False, False, False], [False, False, True]]
    assert said.recording_detections.tolist() == [[True, False, False], [False, False, True], [False, False, False]]


def test_the_probabilities_of_a_recording_may_be_the_scaled_maximum_of_its_windows() -> None:
    logits = logits_for((0.9, 0.05, 0.05), (0.1, 0.8, 0.1))
    said = classify(logits, np.array([0, 0]), 1, Calibration.softmax(1.0, np.ones(3), "max"), np.arange(2))
    np.testing.assert_allclose(said.recording_probabilities, np.array([[0.9, 0.8, 0.1]]) / 1.8)


def test_probabilities_are_smoothed_over_neighbours_of_the_same_recording() -> None:
    p = np.array([[0.8], [0.0], [0.4], [1.0], [0.6], [0.2]])
    # The third window of recording 0 is quiet and left out; the last recording has a single window.
    recording, number = np.array([0, 0, 0, 1, 1, 2]), np.array([0, 1, 3, 0, 1, 0])
    expected = [[1.6 / 3], [0.8 / 3], [0.4], [2.6 / 3], [2.2 / 3], [0.2]]
    np.testing.assert_allclose(smoothed(p, recording, number, 0.25), expected)
    three = smoothed(np.array([[0.8], [0.0], [0.4]]), np.zeros(3, int), np.arange(3), 0.25)
    np.testing.assert_allclose(three, [[1.6 / 3], [0.3], [0.4 * 2 / 3]])
    assert smoothed(p, recording, number, 0) is p
    assert smoothed(p[:0], recording[:0], number[:0], 0.25).shape == (0, 1)


def test_with_another_hop_the_neighbours_of_a_window_stay_as_far_away() -> None:
    p, one = np.random.default_rng(0).random((9, 2)), np.zeros(9, int)
    half = smoothed(p, one, np.arange(9), 0.25, 2)
    np.testing.assert_allclose(half[::2], smoothed(p[::2], one[::2], np.arange(5), 0.25))
    assert smoothed(p[:2], one[:2], np.arange(2), 0.25, 2).tolist() == p[:2].tolist()
    calibration = replace(Calibration.none("independent", 2, "mean"), smoothing=0.25)
    found = {hop: calibration.with_hop(2.5, hop) for hop in (5.0, 3.0, 2.5, 1.25, 0.5)}
    assert {hop: (c.smoothing, c.distance) for hop, c in found.items()} == {
        5.0: (0.0, 1), 3.0: (0.25, 1), 2.5: (0.25, 1), 1.25: (0.25, 2), 0.5: (0.25, 5),
    }  # fmt: skip


def test_smoothed_softmax_probabilities_sum_to_one_and_decide_about_detections() -> None:
    logits = logits_for((0.9, 0.05, 0.05), (0.1, 0.8, 0.1), (0.9, 0.05, 0.05))
    calibration = replace(Calibration.softmax(1.0, np.full(3, 0.49), "mean"), smoothing=0.25)
    said = classify(logits, np.zeros(3, int), 1, calibration, np.arange(3))
    np.testing.assert_allclose(said.window_probabilities.sum(axis=1), 1)
    np.testing.assert_allclose(said.window_probabilities[1], [0.5, 0.425, 0.075])
    assert said.window_detections.tolist() == [[True, False, False]] * 3
    np.testing.assert_allclose(said.recording_probabilities[0], said.window_probabilities.mean(axis=0))


def test_the_smoothing_is_read_from_the_calibration_and_none_from_older_files() -> None:
    entry = {"threshold": 0.5, "scale": 1.0, "offset": 0.0}
    content = {"outputs": "independent", "aggregation": "mean", "thresholds": {"a": entry}}
    assert Calibration.from_json(content).smoothing == 0
    assert Calibration.from_json(content | {"smoothing": 0.25}).smoothing == 0.25


def index() -> pd.DataFrame:
    """Return an index of windows with the columns of `INDEX` that are used here.

    The recording `ann` is annotated. Three of its windows contain species a, one b, one both; one has species that are not all
    known, and one is quiet. The species of the recording `unnamed` are not all known either.
    """
    rows = [
        ("ann", "a", "", False, ["a"], True), ("ann", "a", "", False, ["a"], True), ("ann", "a", "", False, ["a"], True),
        ("ann", "b", "", False, ["b"], True), ("ann", "", "several", False, ["a", "b"], True),
        ("ann", "", "no box", False, [], False), ("ann", "", "no box", True, [], True),
        ("both", "", "several", False, ["a", "b"], True), ("nobody", "", "no box", False, [], True),
        ("one", "c", "", False, ["c"], True), ("one", "c", "RMS", True, ["c"], True),
        ("rare", "z", "species with fewer", False, ["z"], True), ("unnamed", "b", "", False, ["b"], True),
    ]  # fmt: skip
    columns = ["recording", "species", "dropped", "quiet", "present", "complete"]
    table = pd.DataFrame(rows, columns=columns).assign(**label_columns(rows, 4))
    split_of_recording = {"one": "validation", "rare": "test"}
    species = {"ann": ["a", "b"], "both": ["a", "b"], "nobody": [], "one": ["c"], "rare": ["z"], "unnamed": ["b"]}
    split = table["recording"].map(split_of_recording).fillna("test")
    return table.assign(
        recording_split=split,
        split=split.where(table["species"] != "z", "unknown"),
        group=table["recording"],
        start=np.arange(len(table)),
        negative=False,
        weight=1.0,
        **pd.DataFrame(
            [label_set(species[name], name != "unnamed", prefix="recording_") for name in table["recording"]]
        ),
    )


def label_columns(rows: list[tuple[Any, ...]], first: int, prefix: str = "") -> dict[str, Any]:
    """Return the columns of a label set from the fields `present` and `complete` of rows, which begin at number `first`."""
    return dict(pd.DataFrame([label_set(*row[first : first + 2], prefix=prefix) for row in rows]).items())


PREDICTED = ["ann"] * 6 + ["both", "nobody", "one", "unnamed"]


def test_all_windows_that_are_not_quiet_are_predicted_with_a_label_or_without() -> None:
    """This includes recordings without labelled windows and excludes recordings with only species that the model does not know."""
    windows = windows_to_predict(index(), LABELS)
    assert windows["recording"].tolist() == PREDICTED
    assert windows["split"].tolist() == ["test"] * 8 + ["validation", "test"]


def test_a_window_of_a_species_that_is_too_rare_is_predicted_in_the_split_of_its_recording() -> None:
    rows = pd.DataFrame({"recording": "r", "species": ["a", "z"], "quiet": False, "split": ["test", "unknown"]})
    rows = rows.assign(recording_split="test", recording_present=[["a", "z"]] * 2)
    assert windows_to_predict(rows, LABELS)["split"].tolist() == ["test", "test"]


def predictions(*probabilities: tuple[float, float, float]) -> pd.DataFrame:
    """Return the predicted windows of `index` with logits that give these probabilities."""
    return windows_to_predict(with_numbers(index()), LABELS).assign(logits=list(logits_for(*probabilities)))


A, B, C = (0.9, 0.05, 0.05), (0.05, 0.9, 0.05), (0.05, 0.05, 0.9)


def test_recordings_are_compared_with_the_set_of_their_species() -> None:
    table = predictions(A, A, A, B, A, C, A, B, C, B)
    split = predictions_of_split(table, LABELS, "test", Calibration.softmax(1.0, np.full(3, 0.5), "mean"))
    assert split.names == ["ann", "both", "nobody", "unnamed"]
    assert split.recordings.present.tolist() == [
        [True, True, False], [True, True, False], [False, False, False], [False, True, False],
    ]  # fmt: skip
    # The last recording has one species, but not all of its species are known.
    assert split.recordings.single_species.tolist() == [-1, -1, -1, -1]
    assert split.recordings.complete.tolist() == [True, True, True, False]
    assert split.recordings.detected.tolist() == [
        [True, True, True], [True, False, False], [False, True, False], [False, True, False],
    ]  # fmt: skip
    assert split.windows.single_species.tolist() == [0, 0, 0, 1, -1, -1, -1, -1, 1]
    assert split.windows.complete.tolist() == [True] * 5 + [False] + [True] * 3
    # The window without a label counts for the recording, as in `autobird predict`.
    assert split.recordings.probabilities[0, 2] == pytest.approx((5 * 0.05 + 0.9) / 6)
    found = all_metrics(split.recordings, Weighting(np.ones((1, 4)), np.arange(4)))
    assert np.isnan(found["macro_f1"].values[0])
    # Correct: a and b in the first, a in the second, b in the last, of which a and c are not known. False: c in the first, b in the
    # third. Missed: b in the second.
    assert found["detection_precision"].values[0] == pytest.approx(4 / 6)
    assert found["detection_recall"].values[0] == pytest.approx(4 / 5)


def test_the_temperature_is_fitted_on_validation_windows_of_one_species() -> None:
    rows = [("r", "g", "validation", ["a"], True), ("r", "g", "validation", [], False)] * 8
    table = pd.DataFrame([r[:3] for r in rows], columns=["recording", "group", "split"])
    table = table.assign(
        start=0, number=0, seconds=5.0, **label_columns(rows, 3), **label_columns([(["a"], True)] * 16, 0, "recording_")
    )
    table = table.assign(logits=list(logits_for(*[(0.6, 0.2, 0.2), (0.01, 0.98, 0.01)] * 8)))
    fitted = calibrate(table, LABELS, "softmax", CalibrationSettings(resamples=100))
    calibration = fitted.calibration
    # The windows of one species are always right, so the lowest temperature fits best.
    assert 1 / calibration.scale == pytest.approx(np.full(3, 0.1), abs=1e-3)
    # No species has five windows without it, so all have the threshold of all species together.
    assert fitted.chosen.tolist() == [False, False, False]
    assert len(set(calibration.thresholds)) == 1


def test_thresholds_are_chosen_on_calibrated_probabilities() -> None:
    """The model is right for eight of ten windows of each species, so the temperature is not 1 and both errors cost alike."""
    wrong = ([False] * 8 + [True] * 2) * 2
    truth = ["a"] * 10 + ["b"] * 10
    logits = [
        np.array([4.0, 0.0, 0.0] if (t == "a") != w else [0.0, 4.0, 0.0]) for t, w in zip(truth, wrong, strict=True)
    ]
    table = pd.DataFrame(
        {
            "recording": [f"r{i}" for i in range(20)],
            "group": "g",
            "split": "validation",
            "start": 0,
            "number": 0,
            "seconds": 5.0,
        }
    )
    table = table.assign(**pd.DataFrame([label_sets([t]) for t in truth]), logits=logits)
    fitted = calibrate(table, LABELS, "softmax", CalibrationSettings(resamples=100))
    calibration = fitted.calibration
    assert 1.5 < 1 / calibration.scale[0] < 3
    calibrated = scipy.special.softmax(np.array([4.0, 0.0, 0.0]) * calibration.scale)
    assert fitted.chosen.tolist() == [True, True, False]
    # Halfway between the calibrated probabilities of a window that is recognised as the species and of one that is not.
    np.testing.assert_allclose(calibration.thresholds, [calibrated[:2].mean()] * 3)


def test_a_recording_of_two_species_is_not_one_of_a_single_species() -> None:
    rows = [("r", "g", "test", ["a"], True)] + [("r", "g", "test", ["b"], True)] * 5
    table = pd.DataFrame([r[:3] for r in rows], columns=["recording", "group", "split"])
    table = table.assign(
        start=0,
        number=0,
        seconds=5.0,
        **label_columns(rows, 3),
        **label_columns([(["a", "b"], True)] * 6, 0, "recording_"),
    )
    table = table.assign(logits=list(logits_for(A, *[B] * 5)))
    split = predictions_of_split(table, LABELS, "test", Calibration.softmax(1.0, np.full(3, 0.5), "mean"))
    assert split.recordings.single_species.tolist() == [-1]
    found = all_metrics(split.recordings, Weighting(np.ones((1, 1)), np.zeros(1, np.int64)))
    assert found["detection_f1"].values[0] == 1


def test_logits_that_are_not_finite_are_an_error_of_stage_score_that_names_the_recording(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index_with_shards(tmp_path)
    arguments = score_arguments(tmp_path)
    monkeypatch.setattr(score, "Graph", lambda path: StubGraph(np.nan))
    with pytest.raises(
        AutobirdError,
        match=r"x\.onnx: the logits of 11 of the first 11 windows are NaN or infinite, first those of ann at sample 0",
    ):
        score.main(arguments)
    monkeypatch.setattr(score, "Graph", lambda path: StubGraph(1.0))
    score.main(arguments)
    table = read_table(tmp_path / "p.parquet")
    assert table["recording"].tolist() == [*PREDICTED, "rare"]
    # The logits are the row numbers, so each window was read from the right place in the shard.
    assert [row[0] for row in table["logits"]] == [0, 1, 2, 3, 4, 5, 7, 8, 9, 12, 11]
    # A recording of a species that the model does not know has a split of its own.
    assert table["split"].tolist()[-2:] == ["test", "test_others"]


def test_the_logits_of_stage_score_are_the_same_in_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    index_with_shards(tmp_path)
    monkeypatch.setattr(score, "Graph", lambda path: StubGraph(1.0))
    score.main(score_arguments(tmp_path))
    whole = (tmp_path / "p.parquet").read_bytes()
    monkeypatch.setattr(score, "_BLOCK", 4)
    score.main(score_arguments(tmp_path))
    assert (tmp_path / "p.parquet").read_bytes() == whole


def test_logits_of_the_last_block_that_are_not_finite_leave_no_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index_with_shards(tmp_path)
    shard = np.load(tmp_path / "0.npy")
    shard[11 * 4] = np.inf
    np.save(tmp_path / "0.npy", shard)
    monkeypatch.setattr(score, "_BLOCK", 4)
    monkeypatch.setattr(score, "Graph", lambda path: StubGraph(1.0))
    with pytest.raises(
        AutobirdError, match=r"the logits of 1 of the first 11 windows .* first those of rare at sample"
    ):
        score.main(score_arguments(tmp_path))
    assert not list(tmp_path.glob("*p.parquet*tmp"))
    assert not (tmp_path / "p.parquet").exists()


def test_a_split_without_windows_is_scored_as_an_empty_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    index_with_shards(tmp_path)
    trained = read_table(tmp_path / "index.parquet").assign(split="train", recording_split="train")
    write_table(tmp_path / "index.parquet", trained, INDEX)
    monkeypatch.setattr(score, "Graph", lambda path: StubGraph(1.0))
    score.main(score_arguments(tmp_path))
    table = read_table(tmp_path / "p.parquet")
    assert list(table) == PREDICTIONS.names
    assert table.empty


class StubGraph:
    """A stub of `Graph`: every logit of a window is the mean of its frames, times a factor."""

    species = 3
    is_head = False

    def __init__(self, factor: float) -> None:
        self.factor = factor

    def logits(self, windows: np.ndarray) -> np.ndarray:
        return np.repeat(self.factor * windows.astype(np.float32).mean(axis=(1, 2))[:, None], 3, axis=1)


def index_with_shards(folder: Path) -> None:
    """Write `index` and a shard in which all values of a window are its row number."""
    table = index().assign(
        shard=0,
        first_frame=np.arange(len(index())) * 4,
        row=np.arange(len(index())),
        rms=0.1,
        mel_std=1.0,
        weight=1.0,
        earliest=0,
        latest=0,
    )
    write_table(folder / "index.parquet", table, INDEX)
    np.save(folder / "0.npy", np.repeat(np.arange(len(table)), 4)[:, None].repeat(2, axis=1).astype(np.float16))
    write_json(folder / "model.json", {"frames": 4, "labels": LABELS, "features": {"sample_rate": 16000}})
    recordings = table["recording"].unique()
    pd.DataFrame({"recording": recordings, "duration": 5.0}).to_parquet(folder / "recordings.parquet")


def score_arguments(folder: Path) -> list[str]:
    return [
        "--variant", str(folder / "x.onnx"), "--model", str(folder / "model.json"), "--index", str(folder / "index.parquet"),
        "--shards", str(folder / "0.npy"), "--output", str(folder / "p.parquet"),
        "--recordings", str(folder / "recordings.parquet"),
    ]  # fmt: skip
