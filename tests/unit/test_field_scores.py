"""Scores on field recordings, with values that were worked out by hand.

Windows of 5 s begin every 2.5 s; a box must overlap them by 0.5 s; the tolerance is 0 unless a test says otherwise.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from autobird.evaluation.field_comparison import FieldComparison, compare
from autobird.evaluation.field_curves import curves_of
from autobird.evaluation.field_data import (
    BOXES,
    FieldPredictions,
    FieldTruth,
    boxes_of_labels,
    read_boxes,
    window_truth,
)
from autobird.evaluation.field_evaluate import false_alarms_table
from autobird.evaluation.field_events import false_alarms, hours_by_sound, match_events
from autobird.evaluation.field_scores import FieldScores
from autobird.evaluation.field_sites import MAX_SITES, sites_of
from autobird.evaluation.settings import FieldScoreSettings
from autobird.predict.classifier import Classifier, Prediction
from autobird.sources.base import DUPLICATE, NO_LABEL

LABELS = ("Parus major", "Turdus merula")
SETTINGS = FieldScoreSettings(tolerance=0, resamples=100)
Detected = dict[int, Sequence[int]]
"""Windows in which each species is detected."""


def predictions(
    durations: Sequence[float], detected: Sequence[Detected], quiet: Sequence[Sequence[int]] = ()
) -> FieldPredictions:
    """Predictions for recordings r0, r1, ...; the delivered detections are those of the classifier."""
    recording, start, end, flags, found = [], [], [], [], []
    for number, (duration, species) in enumerate(zip(durations, detected, strict=True)):
        starts = np.arange(0, max(duration - 2.5, 0.1), 2.5)
        here = np.zeros((len(starts), len(LABELS)), bool)
        for column, windows in species.items():
            here[list(windows), column] = True
        recording += [number] * len(starts)
        start += list(starts)
        end += list(np.minimum(starts + 5, duration))
        flags.append(here)
        found += [
            (number, d.start, d.end, LABELS.index(d.species), d.probability) for d in delivered(starts, here, duration)
        ]
    all_flags = np.concatenate(flags)
    is_quiet = np.zeros(len(start), bool)
    for number, windows in enumerate(quiet):
        is_quiet[np.flatnonzero(np.array(recording) == number)[list(windows)]] = True
    return FieldPredictions(
        LABELS,
        [f"r{n}.wav" for n in range(len(durations))],
        np.array(durations, float),
        np.array(recording, np.int64),
        np.array(start),
        np.array(end),
        is_quiet,
        np.where(all_flags, 0.9, 0.1).astype(np.float32),
        all_flags,
        pd.DataFrame(found, columns=["recording", "start", "end", "species", "probability"]).astype(
            {"recording": np.int64, "species": np.int64, "start": float, "end": float}
        ),
    )


def delivered(starts: np.ndarray, detected: np.ndarray, duration: float) -> list:
    """The detections of `Classifier.detections`, without a bundle."""

    class Bundle:
        class features:
            window = 5.0

    classifier = Classifier.__new__(Classifier)
    classifier.bundle = Bundle
    Bundle.labels = LABELS
    empty = np.zeros(0)
    return classifier.detections(
        Prediction(duration, starts, detected * 0.9, detected, empty, empty, empty, empty, empty, {})
    )


def boxes(*rows: tuple[str, float, float, str], problem: str = "") -> pd.DataFrame:
    return pd.DataFrame([[*map(str, row), NO_LABEL if not row[3] else problem] for row in rows], columns=BOXES)


def compared(
    p: FieldPredictions, truth: pd.DataFrame | FieldTruth, settings: FieldScoreSettings = SETTINGS, group=None
) -> tuple[FieldComparison, FieldScores]:
    found = truth if isinstance(truth, FieldTruth) else read_boxes(truth, p)
    sessions = np.arange(len(p.names)) if group is None else np.array(group)
    comparison = compare(p, found, sessions, 5.0, settings)
    return comparison, FieldScores(comparison, settings)


def test_windows_with_enough_overlap_have_the_species_and_those_with_less_are_not_known() -> None:
    p = predictions([20], [{}])
    truth = window_truth(read_boxes(boxes(("r0.wav", 4.7, 8, "Parus major")), p), p, 0.5, 0)
    # Windows 0-5 (overlap 0.3), 2.5-7.5, 5-10, 7.5-12.5 (exactly 0.5), 10-15, 12.5-17.5, 15-20.
    assert truth.present[:, 0].tolist() == [False, True, True, True, False, False, False]
    assert truth.known[:, 0].tolist() == [False, True, True, True, True, True, True]
    assert truth.known[:, 1].all()
    assert truth.empty.tolist() == [False, False, False, False, True, True, True]


def test_a_window_within_the_tolerance_of_a_box_is_not_known() -> None:
    p = predictions([20], [{}])
    found = read_boxes(boxes(("r0.wav", 5.1, 9.9, "Parus major")), p)
    assert window_truth(found, p, 0.5, 0).known[:, 0].tolist() == [True] * 7
    assert window_truth(found, p, 0.5, 0.2).known[:, 0].tolist() == [False, True, True, True, False, True, True]


def test_a_box_shorter_than_the_overlap_must_lie_inside_the_window() -> None:
    p = predictions([10], [{}])
    truth = window_truth(read_boxes(boxes(("r0.wav", 4.9, 5.1, "Parus major")), p), p, 0.5, 0)
    assert truth.present[:, 0].tolist() == [False, True, False]
    assert truth.known[:, 0].tolist() == [False, True, False]


def test_spellings_of_a_species_are_one_and_a_box_without_a_species_makes_all_unknown() -> None:
    p = predictions([20], [{}])
    rows = boxes(("r0.wav", 0, 3, "parus_major"), ("r0.wav", 16, 18, ""), ("r0.wav", 11, 11.5, "Corvus corax"))
    found = read_boxes(rows, p)
    truth = window_truth(found, p, 0.5, 0)
    assert truth.present[0].tolist() == [True, False]
    assert truth.known[5:].tolist() == [[False, False], [False, False]]
    assert found.unknown_species == {"Corvus corax": 1}
    assert truth.empty.tolist() == [False, False, True, True, True, False, False]
    assert truth.has_unknown_species.tolist() == [False, False, False, True, True, False, False]


def test_times_beyond_the_end_are_cut_off_and_counted() -> None:
    p = predictions([10], [{}])
    found = read_boxes(boxes(("r0.wav", 9, 14, "Parus major"), ("r0.wav", 10, 12, "Parus major")), p)
    assert found.boxes[["start", "end"]].to_numpy().tolist() == [[9, 10]]
    assert sorted(found.unused.values()) == [1, 1]


def test_the_species_of_a_box_without_a_known_time_may_be_anywhere_and_a_doubled_row_says_nothing() -> None:
    p = predictions([20, 20], [{0: [0], 1: [4]}, {0: [0]}])
    rows = pd.concat(
        [
            boxes(("r0.wav", 0, 0, "Parus major"), problem="zero length"),
            boxes(("r1.wav", 1, 2, "Parus major"), problem=DUPLICATE),
        ]
    )
    comparison, scores = compared(p, rows)
    assert not comparison.windows.known[:7, 0].any()
    assert comparison.windows.known[:, 1].all()
    assert comparison.windows.known[7:].all()
    assert comparison.detections["outcome"].tolist() == ["not decided", "wrong", "wrong"]
    assert (3600 * comparison.hours["no_species"]).tolist() == [0, 20]
    assert comparison.truth.unused == {DUPLICATE: 1, "zero length": 1}
    assert scores.false_alarms()["without_model_species"]["count"] == 1


def test_a_model_that_detects_exactly_the_windows_with_the_species_is_right_everywhere() -> None:
    rng = np.random.default_rng(1)
    starts = np.cumsum(rng.uniform(0.5, 30, 40))
    ends = starts + rng.uniform(0.05, 12, 40)
    rows = [("r0.wav", a, b, LABELS[i % 2]) for i, (a, b) in enumerate(zip(starts, ends, strict=True))]
    duration = float(ends.max() + 3)
    blank = predictions([duration], [{}])
    present = window_truth(read_boxes(boxes(*rows), blank), blank, 0.5, 0).present
    p = predictions([duration], [{s: np.flatnonzero(present[:, s]) for s in range(2)}])
    _, scores = compared(p, boxes(*rows))
    assert [scores.by_event()[name]["value"] for name in ("precision", "recall", "f1")] == [1, 1, 1]
    assert [scores.by_window()[f"detection_{name}"]["value"] for name in ("precision", "recall", "f1")] == [1, 1, 1]


def test_a_model_that_always_detects_a_species_finds_every_event_and_is_wrong() -> None:
    p = predictions([60], [{0: range(23)}])
    comparison, scores = compared(p, boxes(("r0.wav", 20, 21, "Parus major"), ("r0.wav", 50, 51, "Parus major")))
    assert comparison.events["outcome"].tolist() == ["found", "found"]
    assert comparison.detections["outcome"].tolist() == ["wrong"]
    assert scores.by_event()["f1"]["value"] == 0


def test_one_detection_finds_several_events_and_several_detections_are_right_about_one() -> None:
    # r0: one detection of 0-10 s over two short calls; r1: two detections (0-5, 10-15) within one long song.
    p = predictions([20, 20], [{0: [0, 1, 2]}, {0: [0, 4]}])
    rows = boxes(("r0.wav", 1, 2, "Parus major"), ("r0.wav", 7, 8, "Parus major"), ("r1.wav", 2, 14, "Parus major"))
    comparison, scores = compared(p, rows)
    assert comparison.detections["outcome"].tolist() == ["right"] * 3
    assert comparison.events["outcome"].tolist() == ["found"] * 3
    numbers = scores.by_event()
    assert (numbers["right"], numbers["found"], numbers["events"]) == (3, 3, 3)


@pytest.mark.parametrize(("windows", "outcome"), [(range(1, 8), "right"), (range(8), "wrong")])
def test_a_detection_is_right_if_half_of_it_is_within_reach_of_its_species(windows: range, outcome: str) -> None:
    """Windows from 5.5 to 15.5 s overlap a box of 10 to 11 s enough: 10 s of a detection of 20 s, or of 22.5 s."""
    p = predictions([40], [{0: windows}])
    comparison, _ = compared(p, boxes(("r0.wav", 10, 11, "Parus major")))
    assert comparison.detections["outcome"].tolist() == [outcome]


def test_detections_at_unnamed_boxes_or_at_the_edge_of_their_species_are_not_decided() -> None:
    p = predictions([30, 30], [{0: [0], 1: [8]}, {0: [0]}])
    rows = boxes(("r0.wav", 3, 4, ""), ("r1.wav", 4.8, 9, "Parus major"))
    comparison, scores = compared(p, rows)
    assert comparison.detections[["recording", "outcome"]].to_numpy().tolist() == [
        [0, "not decided"],
        [0, "wrong"],
        [1, "not decided"],
    ]
    assert scores.by_event()["not_decided"] == 2
    assert scores.by_event()["precision"]["value"] == 0


def test_overlapping_and_adjacent_boxes_of_one_species_are_one_event() -> None:
    p = predictions([30], [{0: [0, 1]}])
    rows = boxes(
        ("r0.wav", 1, 4, "Parus major"), ("r0.wav", 3, 5, "Parus major"), ("r0.wav", 5, 6, "Parus major"),
        ("r0.wav", 2, 3, "Turdus merula"), ("r0.wav", 20, 21, "Parus major"),
    )  # fmt: skip
    comparison, _ = compared(p, rows)
    assert comparison.events[["species", "start", "end", "boxes", "outcome"]].to_numpy().tolist() == [
        [0, 1, 6, 3, "found"],
        [1, 2, 3, 1, "missed"],
        [0, 20, 21, 1, "missed"],
    ]


def test_event_scores_by_hand() -> None:
    """4 events, 3 of them found; 4 decided detections, 3 of them right: precision 3/4, recall 3/4."""
    p = predictions([30, 30, 30], [{0: [0, 1], 1: [8]}, {1: [2]}, {0: [6]}])
    rows = boxes(
        ("r0.wav", 1, 4, "Parus major"), ("r1.wav", 6, 8, "Turdus merula"), ("r1.wav", 25, 28, "Parus major"),
        ("r2.wav", 16, 18, "Parus major"),
    )  # fmt: skip
    _, scores = compared(p, rows)
    found = scores.by_event()
    assert [found[name]["value"] for name in ("precision", "recall", "f1")] == [0.75, 0.75, 0.75]
    assert {name: found[name] for name in ("right", "wrong", "found", "missed")} == {
        "right": 3, "wrong": 1, "found": 3, "missed": 1,
    }  # fmt: skip
    # Parus major: 2 right, none wrong, 2 of 3 found: 0.8. Turdus merula: 1 right, 1 wrong, 1 of 1 found: 2/3.
    assert found["macro_f1"]["value"] == pytest.approx((0.8 + 2 / 3) / 2, abs=1e-6)
    species = scores.by_species()
    assert species["Parus major"]["by_event"]["recall"]["value"] == pytest.approx(2 / 3, abs=1e-6)
    assert species["Turdus merula"]["false_alarms"]["count"] == 1


def test_hours_and_false_alarms_by_kind_of_sound() -> None:
    # r0: 30 s, Parus at 0-3 (windows 0, 1 touch), another species at 20-21 (windows 7: 17.5-22.5, 8: 20-25, 6: 15-20 not).
    p = predictions([30, 15], [{0: [0, 1, 2, 3], 1: [8]}, {1: [0, 4]}], quiet=[[], [2]])
    rows = boxes(("r0.wav", 0, 3, "Parus major"), ("r0.wav", 20, 21, "Corvus corax"))
    comparison, scores = compared(p, rows)
    hours = {kind: (3600 * values).tolist() for kind, values in comparison.hours.items()}
    # r0 has windows 0 to 10 (25-30 s); the last one stands for 5 s. Quiet windows count.
    np.testing.assert_allclose(hours["all"], [30, 15])
    np.testing.assert_allclose(hours["unknown_species"], [5, 0])
    np.testing.assert_allclose(hours["no_species"], [20, 15])
    alarms = scores.false_alarms()
    assert {k: alarms[k]["count"] for k in ("overall", "without_model_species", "no_species", "unknown_species")} == {
        "overall": 3, "without_model_species": 4, "no_species": 3, "unknown_species": 1,
    }  # fmt: skip
    assert alarms["without_model_species"]["per_hour"]["value"] == pytest.approx(4 / (40 / 3600))
    assert comparison.alarms[["recording", "start", "end", "sound"]].to_numpy().tolist() == [
        [0, 5, 12.5, "no_species"],  # the end of the right detection of 0-12.5 s
        [0, 20, 25, "unknown_species"],
        [1, 0, 5, "no_species"],
        [1, 10, 15, "no_species"],
    ]


def test_false_alarms_are_given_by_site_and_not_by_dated_folder() -> None:
    names = [
        "north/Data/20230512/a.wav",
        "north/Data/20230513/b.wav",
        "rain/c.wav",
        "SM4A_20230512_040000.wav",
        "d.wav",
    ]
    assert sites_of(names) == ["north", "north", "rain", "SM4A", "unknown"]
    many = [f"area {n % 2}/point {n}/20230512/a.wav" for n in range(MAX_SITES + 1)]
    assert set(sites_of(many)) == {"area 0", "area 1"}
    p = replace(predictions([60, 30, 30], [{0: [0, 4]}, {0: [1]}, {}]), names=sorted(names)[2:])
    assert p.names == ["north/Data/20230512/a.wav", "north/Data/20230513/b.wav", "rain/c.wav"]
    alarms = compared(p, boxes_of_labels(pd.Series("", p.names), p))[1].false_alarms()
    assert {site: (rate["count"], rate["hours"]) for site, rate in alarms["by_site"].items()} == {
        "north": (3, 0.025),
        "rain": (0, round(30 / 3600, 4)),
    }
    assert false_alarms_table(alarms)["sound"].tolist()[4:] == ["site: north", "site: rain"]


def test_in_negatives_every_delivered_detection_is_a_false_alarm() -> None:
    p = predictions([60, 30], [{0: [0, 1, 4], 1: [2]}, {}])
    comparison, scores = compared(p, boxes_of_labels(pd.Series("", p.names), p))
    alarms = scores.false_alarms()
    assert alarms["overall"]["count"] == alarms["without_model_species"]["count"] == len(comparison.detections) == 3
    assert alarms["overall"]["per_hour"]["value"] == pytest.approx(3 / (90 / 3600))
    assert alarms["by_site"]["unknown"]["count"] == 3
    curve = curves_of(comparison)
    at = curve[(curve["species"] == "") & (curve["threshold"] == 0.89)]
    assert at["false_alarms_per_hour"].tolist() == pytest.approx([120.0])
    assert curve["precision"].isna().all()


def test_no_false_alarm_has_an_interval_above_zero() -> None:
    p = predictions([60, 30], [{}, {}])
    _, scores = compared(p, boxes_of_labels(pd.Series("", p.names), p))
    rate = scores.false_alarms()["overall"]["per_hour"]
    assert (rate["value"], rate["low"]) == (0, 0)
    assert rate["high"] == pytest.approx(-np.log(0.025) / (90 / 3600), rel=1e-6)


def test_average_precision_and_auroc_leave_out_windows_that_are_not_known() -> None:
    p = predictions([60, 60], [{0: [2, 3, 15]}, {0: [4]}])
    rng = np.random.default_rng(0)
    p = FieldPredictions(**{**vars(p), "probabilities": rng.random(p.detected.shape).astype(np.float32)})
    rows = boxes(("r0.wav", 4.8, 11.2, "Parus major"), ("r1.wav", 30, 41, "Parus major"), ("r0.wav", 50, 51, ""))
    comparison, scores = compared(p, rows)
    known, present = comparison.windows.known[:, 0], comparison.windows.present[:, 0]
    assert 0 < (~known).sum() < 10
    found = scores.by_window()
    expected = average_precision_score(present[known], p.probabilities[known, 0])
    assert found["cmap"]["value"] == pytest.approx(expected, abs=1e-6)
    assert found["auroc"]["value"] == pytest.approx(roc_auc_score(present[known], p.probabilities[known, 0]), abs=1e-6)


def test_labelled_recordings_are_one_box_each_and_their_background_is_not_known() -> None:
    p = predictions([10, 10, 10], [{0: [0], 1: [1]}, {1: [0]}, {1: [2]}])
    species = pd.Series(["Parus major", "Corvus corax", ""], p.names)
    truth = boxes_of_labels(species, p, {"r0.wav": ["Turdus merula"]})
    comparison, scores = compared(p, truth)
    assert comparison.windows.present[:3, 0].all()
    assert not comparison.windows.known[:3, 1].any()
    assert comparison.detections["outcome"].tolist() == ["right", "not decided", "wrong", "wrong"]
    alarms = scores.false_alarms()
    assert (alarms["unknown_species"]["count"], alarms["no_species"]["count"]) == (1, 1)
    assert scores.by_recording()["detection_recall"]["value"] == 1


def test_sessions_make_the_intervals() -> None:
    detected = [{0: [0]}, {0: [0]}, {}, {}] * 5
    p = predictions([20] * 20, detected)
    rows = boxes(*((name, 1, 3, "Parus major") for name in p.names))
    by_recording = compared(p, rows)[1].by_event()["recall"]
    by_session = compared(p, rows, group=np.arange(20) // 4)[1].by_event()["recall"]
    correlated = compared(p, rows, group=[n % 4 // 2 + 2 * (n // 10) for n in range(20)])[1].by_event()["recall"]
    assert by_recording["value"] == by_session["value"] == correlated["value"] == 0.5
    widths = [r["high"] - r["low"] for r in (by_recording, correlated)]
    assert widths[0] < 0.6 < widths[1]


def test_no_recordings_have_no_scores() -> None:
    p = predictions([10], [{}])
    nothing = FieldPredictions(
        LABELS, [], *(np.asarray(getattr(p, n))[:0] for n in ("duration", "recording", "start", "end", "quiet")),
        p.probabilities[:0], p.detected[:0], p.detections[:0],
    )  # fmt: skip
    comparison, scores = compared(nothing, boxes())
    assert scores.false_alarms()["overall"] == {"count": 0, "hours": 0.0, "sessions": 0, "per_hour": None}
    assert len(curves_of(comparison)) > 0


def test_detections_and_false_alarms_do_not_join_recordings() -> None:
    p = predictions([10, 10], [{0: [2]}, {0: [0]}])
    truth = window_truth(read_boxes(boxes(), p), p, 0.5, 0)
    assert len(false_alarms(p, truth)) == 2
    assert hours_by_sound(p, truth)["no_species"].sum() == pytest.approx(20 / 3600)
    detections, _ = match_events(p, read_boxes(boxes(), p), 5.0, 0.5, 0)
    assert detections["outcome"].tolist() == ["wrong", "wrong"]


def test_a_run_through_two_kinds_of_sound_counts_in_each_of_them_and_once_without_the_species() -> None:
    """A detection from 0 to 40 s, with a bird that the model does not know from 18 to 22 s in the middle."""
    p = predictions([40], [{0: range(15)}])
    _, scores = compared(p, boxes(("r0.wav", 18, 22, "Corvus corax")))
    alarms = scores.false_alarms()
    counts = [alarms[kind]["count"] for kind in ("without_model_species", "no_species", "unknown_species")]
    assert counts == [1, 2, 1]
