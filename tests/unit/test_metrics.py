"""Metrics agree with scikit-learn, also for weighted items, ties and several species per item; calibration and thresholds."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import (
    average_precision_score,
    f1_score,
    log_loss,
    precision_recall_fscore_support,
    roc_auc_score,
    top_k_accuracy_score,
)

from autobird.evaluation import metrics as m
from autobird.evaluation.calibration import expected_calibration_error, fit_temperature
from autobird.evaluation.predictions import Items
from autobird.predict.classification import softmax


def sample(seed: int, n: int, species: int, decimals: int = 8) -> tuple[np.ndarray, np.ndarray]:
    """Return random probabilities, shape (n, species), that favour the true species, and the true species, shape (n,)."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, species, n)
    p = softmax(rng.normal(0, 1, (n, species)) + 1.5 * np.eye(species)[truth]).round(decimals)
    return p, truth


def flags(truth: np.ndarray, species: int) -> np.ndarray:
    return np.eye(species, dtype=bool)[truth]


def one_group_per_item(weights: np.ndarray) -> m.Weighting:
    """Return a weighting in which each item is a group."""
    return m.Weighting(weights, np.arange(weights.shape[1]))


def items(p: np.ndarray, present: np.ndarray, detected: np.ndarray | None = None) -> Items:
    """Return items whose species are all known, by default with detections at a probability of 0.5."""
    detected = p >= 0.5 if detected is None else detected
    return Items(p, detected, present, np.ones(p.shape, bool), np.zeros(len(p), bool), np.arange(len(p)))


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.integers(8, 60), st.integers(2, 6), st.sampled_from([1, 2, 8]), st.floats(0, 0.5))
def test_metrics_equal_those_of_scikit_learn_for_weighted_items_with_several_species_and_ties(
    seed: int, n: int, species: int, decimals: int, share_added: float
) -> None:
    p, truth = sample(seed, n, species, decimals)
    rng = np.random.default_rng(seed)
    present = flags(truth, species) | (rng.random((n, species)) < share_added)
    weights = rng.integers(0, 4, (1, n)).astype(float)
    weights[0, :1] += 1
    weighting, w = one_group_per_item(weights), weights[0]
    known = np.ones(p.shape, bool)
    ap, auroc = (f(p, present, known, weighting)[0] for f in (m.average_precision_by_species, m.auroc_by_species))
    for i in range(species):
        y = present[:, i]
        if w[y].sum() == 0:
            assert np.isnan(ap[i])
            continue
        assert ap[i] == pytest.approx(average_precision_score(y, p[:, i], sample_weight=w))
        if w[~y].sum() == 0:
            assert np.isnan(auroc[i])
        else:
            assert auroc[i] == pytest.approx(roc_auc_score(y, p[:, i], sample_weight=w))
    occurring = [i for i in range(species) if w[present[:, i]].sum() > 0]
    detected = p > 0.3
    expected = f1_score(present, detected, average=None, sample_weight=w, zero_division=0)
    assert m.macro_average(m.f1_by_species(detected, present, weighting))[0] == pytest.approx(
        expected[occurring].mean()
    )
    micro = [x[0] for x in m.micro_average(detected, present, weighting)]
    expected_micro = precision_recall_fscore_support(
        present, detected, average="micro", sample_weight=w, zero_division=np.nan
    )
    np.testing.assert_allclose(micro, expected_micro[:3], atol=1e-12)
    precision, recall, _, _ = precision_recall_fscore_support(present, detected, sample_weight=w, zero_division=np.nan)
    np.testing.assert_allclose(m.precision_by_species(detected, present, weighting)[0], precision, atol=1e-12)
    np.testing.assert_allclose(m.recall_by_species(detected, present, weighting)[0], recall, atol=1e-12)


def test_top1_and_macro_f1_use_items_of_one_species_and_detection_metrics_use_all_items() -> None:
    p = np.array([[0.6, 0.3, 0.1], [0.2, 0.7, 0.1], [0.45, 0.45, 0.1], [0.1, 0.1, 0.8]])
    present = np.array([[1, 0, 0], [0, 1, 0], [1, 1, 0], [1, 0, 0]], bool)
    found = {
        name: v.values[0]
        for name, v in m.all_metrics(items(p, present, p >= 0.4), one_group_per_item(np.ones((1, 4)))).items()
    }
    assert found["top1"] == pytest.approx(2 / 3)  # the third item has two species
    assert found["macro_f1"] == pytest.approx((2 * 1 / (1 + 2) + 1) / 2)
    assert found["detection_precision"] == pytest.approx(4 / 5)
    assert found["detection_recall"] == pytest.approx(4 / 5)
    assert found["detection_f1"] == pytest.approx(4 / 5)
    assert found["detection_macro_f1"] == pytest.approx((4 / 5 + 1) / 2)  # species 2 is not present
    assert found["auroc"] == pytest.approx((2 / 3 + 1) / 2)


def test_detection_metrics_exclude_cells_that_are_not_known() -> None:
    p, present = np.array([[0.9, 0.1], [0.9, 0.1]]), np.array([[1, 0], [0, 0]], bool)
    complete = items(p, present)
    found = m.all_metrics(complete, one_group_per_item(np.ones((1, 2))))
    assert found["detection_precision"].values[0] == 0.5
    incomplete = replace(complete, known=np.array([[True, True], [False, True]]))
    assert m.all_metrics(incomplete, one_group_per_item(np.ones((1, 2))))["detection_precision"].values[0] == 1


def test_without_items_of_one_species_there_is_no_macro_f1() -> None:
    p, present = np.full((3, 2), 0.5), np.ones((3, 2), bool)
    found = m.all_metrics(items(p, present), one_group_per_item(np.ones((1, 3))))
    assert np.isnan([found[name].values[0] for name in ("macro_f1", "top1", "top5", "loss")]).all()
    assert found["detection_recall"].values[0] == 1


def test_top_k_accuracy_and_log_loss_equal_those_of_scikit_learn() -> None:
    p, truth = sample(1, 200, 8)
    ones = one_group_per_item(np.ones((1, 200)))
    for k in (1, 3, 5):
        assert m.top_k_accuracy(p, truth, ones, k)[0] == pytest.approx(top_k_accuracy_score(truth, p, k=k))
    assert m.log_loss(p, truth, ones)[0] == pytest.approx(log_loss(truth, p / p.sum(1, keepdims=True)), rel=1e-6)


def test_all_metrics_equal_those_of_scikit_learn_for_the_items_that_enter_each() -> None:
    """Every third item has a second species. Of every fifth item, it is not known whether it contains the species 0 and 3."""
    p, truth = sample(4, 240, 8)
    present, n = flags(truth, 8), np.arange(240)
    present[n[::3], (truth[::3] + 1) % 8] = True
    known = np.ones(p.shape, bool)
    known[::5, [0, 3]] = False
    present &= known
    found = m.all_metrics(
        Items(p, p >= 0.3, present, known, np.zeros(240, bool), n), one_group_per_item(np.ones((1, 240)))
    )
    one = present.sum(axis=1) == 1
    ranked, only = np.where(known, p, 0.0)[one], present[one].argmax(axis=1)
    certain = known.all(axis=1) & one
    precision, recall, f1, _ = precision_recall_fscore_support(present[known], (p >= 0.3)[known], average="binary")
    # The rows of each species that count, and no others.
    rows = [np.flatnonzero(known[:, s]) for s in range(8)]

    def mean(score: Any, values: np.ndarray) -> float:
        return float(np.mean([score(present[r, s], values[r, s]) for s, r in enumerate(rows)]))

    expected = {
        "macro_f1": f1_score(only, ranked.argmax(axis=1), average="macro"),
        "top1": top_k_accuracy_score(only, ranked, k=1),
        "top5": top_k_accuracy_score(only, ranked, k=5),
        "cmap": mean(average_precision_score, p),
        "auroc": mean(roc_auc_score, p),
        "loss": log_loss(truth[certain], p[certain] / p[certain].sum(axis=1, keepdims=True)),
        "detection_precision": precision,
        "detection_recall": recall,
        "detection_f1": f1,
        "detection_macro_f1": mean(f1_score, p >= 0.3),
    }
    assert {name: metric.values[0] for name, metric in found.items()} == pytest.approx(expected, rel=1e-6)


def test_the_loss_of_independent_outputs_is_the_mean_binary_cross_entropy_of_the_known_cells() -> None:
    rng = np.random.default_rng(2)
    p, present, known = rng.uniform(0.01, 0.99, (40, 3)), rng.random((40, 3)) < 0.3, rng.random((40, 3)) < 0.8
    independent = replace(items(p, present & known), known=known, is_independent=True)
    found = m.all_metrics(independent, one_group_per_item(np.ones((1, 40))))["loss"]
    assert found.values[0] == pytest.approx(log_loss((present & known)[known], p[known]))


def test_an_item_with_a_species_that_is_not_among_the_labels_is_neither_one_of_a_single_species_nor_negative() -> None:
    present = np.array([[1, 0], [0, 0], [1, 0], [0, 0]], bool)
    found = replace(items(np.full((4, 2), 0.5), present), others=np.array([False, False, True, True]))
    assert found.single_species.tolist() == [0, -1, -1, -1]
    assert found.negative.tolist() == [False, True, False, False]


def test_an_uncertain_species_is_left_out_of_its_own_counts_and_not_the_recording_of_those_of_others() -> None:
    """Five recordings; d may be in the background of the second and the third, and of the fourth only a is known."""
    p = np.array([[6, 1, 1, 2], [3, 1, 1, 5], [1, 4, 2, 3], [3, 4, 2, 1], [1, 2, 1, 6]]) / 10
    truth = np.array([0, 0, 0, 0, 3])
    known = np.ones(p.shape, bool)
    known[1:3, 3] = False
    known[3, 1:] = False
    found = replace(items(p, flags(truth, 4)), known=known)
    assert found.single_species.tolist() == [0, -1, -1, -1, 3]
    assert found.only_species.tolist() == [0, 0, 0, -1, 3]
    metrics = m.all_metrics(found, one_group_per_item(np.ones((1, 5))))
    # Of a: the second is right, because d is not counted there, and the third is missed. All predictions of d are right.
    assert metrics["macro_f1"].values[0] == pytest.approx((4 / 5 + 1) / 2)
    assert metrics["macro_f1"].groups == 4
    assert metrics["top1"].values[0] == pytest.approx(3 / 4)
    predicted, true, used = m.predicted_and_true(found)
    assert (predicted.argmax(axis=1).tolist(), true.argmax(axis=1).tolist()) == ([0, 0, 1, 3], [0, 0, 0, 3])
    assert used.tolist() == [True, True, True, False, True]


def test_ties_give_a_constant_prediction_no_advantage() -> None:
    p, truth = np.full((50, 10), 0.1), np.arange(50) % 10
    ones = one_group_per_item(np.ones((1, 50)))
    assert m.top_k_accuracy(p, truth, ones, 5)[0] == 0
    np.testing.assert_allclose(m.auroc_by_species(p, flags(truth, 10), np.ones(p.shape, bool), ones), 0.5)
    found = m.all_metrics(items(p, flags(truth, 10)), ones)
    assert [found[name].values[0] for name in ("top1", "macro_f1")] == [0, 0]


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 6))
def test_top1_is_the_share_of_the_recordings_whose_species_is_the_most_probable_one_with_ties(
    seed: int, species: int
) -> None:
    p, truth = sample(seed, 40, species, decimals=1)
    found = items(p, flags(truth, species))
    predicted, true, _ = m.predicted_and_true(found)
    assert (predicted.sum(axis=1) == 1).all()
    # A wrong answer has the highest probability of all, too.
    assert (p[predicted] == p.max(axis=1)).all()
    top1 = m.all_metrics(found, one_group_per_item(np.ones((1, 40))))["top1"].values[0]
    assert (predicted & true).sum() == pytest.approx(40 * top1)


def test_a_bootstrap_row_equals_the_metric_of_the_drawn_recordings() -> None:
    p, truth = sample(2, 90, 4)
    group = np.arange(90) // 3
    weights = np.random.default_rng(0).integers(0, 3, (20, 30)).astype(float)
    drawn = items(p, flags(truth, 4))
    values = m.all_metrics(drawn, m.Weighting(weights, group))
    for b in (0, 1, 7, 19):
        rows = np.repeat(np.arange(90), weights[b, group].astype(int))
        again = m.all_metrics(items(p[rows], flags(truth, 4)[rows]), one_group_per_item(np.ones((1, len(rows)))))
        for name in values:
            assert values[name].values[b] == pytest.approx(again[name].values[0]), name


def test_each_metric_has_the_number_of_groups_that_enter_it() -> None:
    p = np.array([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8], [0.3, 0.7]])
    present = np.array([[1, 0], [1, 1], [0, 1], [0, 0]], bool)
    found = m.all_metrics(items(p, present, p > 0.65), m.Weighting(np.ones((1, 3)), np.array([0, 1, 1, 2])))
    assert found["macro_f1"].groups == 2  # the third group has no species, and one recording of the second has two
    assert [found[name].groups for name in ("cmap", "auroc", "detection_macro_f1")] == [2, 2, 2]
    assert found["detection_precision"].groups == 3
    assert found["detection_recall"].groups == 2


def test_metrics_do_not_depend_on_the_size_of_the_blocks_of_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    p, truth = sample(3, 60, 3)
    present = flags(truth, 3)
    weighting = one_group_per_item(np.random.default_rng(1).integers(0, 3, (50, 60)).astype(float))
    arguments = (p, present, np.ones(p.shape, bool), weighting)
    in_one_block = m.average_precision_by_species(*arguments)
    monkeypatch.setattr(m, "_MAX_CELLS", 200)
    np.testing.assert_array_equal(m.average_precision_by_species(*arguments), in_one_block)


def test_temperature_scaling_corrects_overconfidence() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 1.5, (4000, 5))
    truth = np.array([rng.choice(5, p=row) for row in softmax(logits)])
    assert fit_temperature(3 * logits, truth) == pytest.approx(3, rel=0.1)
    overconfident, calibrated = (items(softmax(k * logits), flags(truth, 5)) for k in (3, 1))
    ones = np.ones(4000)
    assert expected_calibration_error(calibrated, ones) < 0.04 < 0.1 < expected_calibration_error(overconfident, ones)


def test_the_calibration_error_weights_each_bin_by_its_number_of_items() -> None:
    p = np.array([[0.9, 0.1], [0.9, 0.1], [0.1, 0.9], [0.6, 0.4]])
    one = items(p, flags(np.array([0, 0, 0, 0]), 2))
    assert expected_calibration_error(one, np.ones(4)) == pytest.approx((3 * abs(0.9 - 2 / 3) + 1 * abs(0.6 - 1)) / 4)
    weighted = expected_calibration_error(one, np.array([1.0, 0.5, 0.5, 2.0]))
    assert weighted == pytest.approx((2 * abs(0.9 - 0.75) + 2 * abs(0.6 - 1)) / 4)


def test_of_a_single_species_the_scores_of_the_most_probable_one_are_not_defined() -> None:
    """It is always the most probable one, so they would be 1 for every network."""
    rng = np.random.default_rng(4)
    found = m.all_metrics(
        replace(items(rng.random((20, 1)), rng.random((20, 1)) < 0.5), is_independent=True),
        one_group_per_item(np.ones((1, 20))),
    )
    undefined = {name for name, metric in found.items() if np.isnan(metric.values[0])}
    assert undefined == {"macro_f1", "top1", "top5"}
