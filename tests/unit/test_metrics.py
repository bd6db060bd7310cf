"""Metrics agree with scikit-learn, weighted and tied scores included, and intervals cover the truth."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, f1_score, log_loss, roc_auc_score, top_k_accuracy_score

from autobird.evaluation import metrics as m
from autobird.evaluation.bootstrap import interval, recording_weights
from autobird.evaluation.calibration import expected_calibration_error, fit_temperature, thresholds
from autobird.evaluation.predictions import Predictions, softmax


def sample(seed: int, n: int, species: int, decimals: int = 8) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, species, n)
    p = softmax(rng.normal(0, 1, (n, species)) + 1.5 * np.eye(species)[truth]).round(decimals)
    return p, truth


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.integers(8, 60), st.integers(2, 6), st.sampled_from([1, 2, 8]))
def test_every_metric_is_scikit_learns_on_a_weighted_sample_with_ties(
    seed: int, n: int, species: int, decimals: int
) -> None:
    p, truth = sample(seed, n, species, decimals)
    weights = np.random.default_rng(seed).integers(0, 4, (1, n)).astype(float)
    weights[0, :1] += 1
    w = weights[0]
    ap, auroc = (f(p, truth, weights)[0] for f in (m.average_precision_by_species, m.auroc_by_species))
    for i in range(species):
        y = truth == i
        if w[y].sum() == 0:
            assert np.isnan(ap[i])
            continue
        assert ap[i] == pytest.approx(average_precision_score(y, p[:, i], sample_weight=w))
        if w[~y].sum() == 0:
            assert np.isnan(auroc[i])
        else:
            assert auroc[i] == pytest.approx(roc_auc_score(y, p[:, i], sample_weight=w))
    occurring = [i for i in range(species) if w[truth == i].sum() > 0]
    expected = f1_score(truth, p.argmax(1), average="macro", labels=occurring, sample_weight=w, zero_division=0)
    assert m.macro(m.f1_by_species(p, truth, weights))[0] == pytest.approx(expected)


def test_top_k_and_loss_are_scikit_learns() -> None:
    p, truth = sample(1, 200, 8)
    ones = np.ones((1, 200))
    for k in (1, 3, 5):
        assert m.top_k(p, truth, ones, k)[0] == pytest.approx(top_k_accuracy_score(truth, p, k=k))
    assert m.log_loss(p, truth, ones)[0] == pytest.approx(log_loss(truth, p / p.sum(1, keepdims=True)), rel=1e-6)


def test_a_constant_guess_gains_nothing_from_ties() -> None:
    p, truth = np.full((50, 10), 0.1), np.arange(50) % 10
    ones = np.ones((1, 50))
    assert m.top_k(p, truth, ones, 5)[0] == 0
    np.testing.assert_allclose(m.auroc_by_species(p, truth, ones), 0.5)


def test_a_bootstrap_row_equals_the_metric_of_the_drawn_recordings() -> None:
    p, truth = sample(2, 90, 4)
    recording = np.arange(90) // 3
    weights = recording_weights(truth[::3], 20, 0)[:, recording]
    values = m.all_metrics(p, truth, weights)
    for b in (0, 1, 7, 20):
        rows = np.repeat(np.arange(90), weights[b].astype(int))
        again = m.all_metrics(p[rows], truth[rows], np.ones((1, len(rows))))
        for name in values:
            assert values[name][b] == pytest.approx(again[name][0]), name


def test_resampling_in_blocks_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    p, truth = sample(3, 60, 3)
    weights = recording_weights(truth, 50, 1)
    whole = m.average_precision_by_species(p, truth, weights)
    monkeypatch.setattr(m, "_CELLS", 200)
    np.testing.assert_array_equal(m.average_precision_by_species(p, truth, weights), whole)


def test_the_interval_covers_the_true_accuracy_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    covered = 0
    for trial in range(200):
        hit = rng.random(80) < 0.7
        weights = recording_weights(np.zeros(80, int), 300, trial)
        _, low, high = interval(weights @ hit / 80, 0.9)
        covered += low <= 0.7 <= high
    assert 0.83 <= covered / 200 <= 0.96


def test_a_metric_that_is_not_defined_has_no_interval() -> None:
    assert interval(np.array([np.nan, 1.0]), 0.9) is None


def test_the_temperature_undoes_overconfidence() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 1.5, (4000, 5))
    truth = np.array([rng.choice(5, p=row) for row in softmax(logits)])
    assert fit_temperature(softmax(3 * logits), truth) == pytest.approx(3, rel=0.1)
    names = [str(i) for i in range(4000)]
    sharp, true = (Predictions(softmax(k * logits), truth, np.arange(4000), names) for k in (3, 1))
    assert expected_calibration_error(true) < 0.04 < 0.1 < expected_calibration_error(sharp)


def test_thresholds_separate_what_can_be_separated_and_are_left_out_where_data_is_scarce() -> None:
    p = np.array([[0.9, 0.1]] * 10 + [[0.3, 0.7]] * 10 + [[0.2, 0.8]] * 3)
    items = Predictions(np.c_[p, np.zeros(23)], np.array([0] * 10 + [1] * 13), np.arange(23), [])
    found = thresholds(items)
    assert 0.3 < found[0] < 0.9
    assert 0.1 < found[1] <= 0.7
    assert found[2] is None


def test_every_resample_has_the_composition_of_the_split() -> None:
    species = np.array([0, 0, 0, 1, 2, 2])
    weights = recording_weights(species, 50, 0)
    assert (weights[0] == 1).all()
    for code, count in ((0, 3), (1, 1), (2, 2)):
        assert (weights[:, species == code].sum(axis=1) == count).all()
    assert len(np.unique(weights, axis=0)) > 10
