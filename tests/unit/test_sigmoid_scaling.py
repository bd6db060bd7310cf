"""Calibration of independent outputs: it finds known pairs, shrinks those of few groups, and does not depend on the number of negatives."""

import numpy as np
import pytest
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

from autobird.evaluation.sigmoid_scaling import fit_pairs, window_weights


def drawn(
    rng: np.random.Generator, windows: int, scale: np.ndarray, offset: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return logits and labels of windows for which sigmoid(scale * logit + offset) is the probability of each species."""
    z = rng.normal(-1, 2, (windows, len(scale)))
    return z, rng.random(z.shape) < expit(scale * z + offset)


def fit(
    z: np.ndarray, present: np.ndarray, groups: int | np.ndarray, **changes: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    known, weights = changes.get("known", np.ones(z.shape, bool)), changes.get("weights", np.ones(len(z)))
    return fit_pairs(z, present & known, known, weights, np.broadcast_to(groups, z.shape[1]))


def cross_entropy(z: np.ndarray, present: np.ndarray, scale: np.ndarray, offset: np.ndarray) -> float:
    p = np.where(present, expit(scale * z + offset), expit(-scale * z - offset))
    return float(-np.log(np.maximum(p, 1e-12)).mean())


SCALE, OFFSET = np.array([0.8, 1.0, 1.4, 1.2]), np.array([-0.8, 0.0, 0.6, -0.3])


def test_pairs_are_found_from_many_groups() -> None:
    z, present = drawn(np.random.default_rng(0), 40_000, SCALE, OFFSET)
    scale, offset = fit(z, present, 40_000)
    assert scale == pytest.approx(SCALE, abs=0.06)
    assert offset == pytest.approx(OFFSET, abs=0.08)


def test_the_pair_of_a_species_without_a_penalty_is_that_of_logistic_regression(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("SCALE_SPREAD", "SHIFT_SPREAD", "_COMMON_SPREAD"):
        monkeypatch.setattr(f"autobird.evaluation.sigmoid_scaling.{name}", 1e6)
    rng = np.random.default_rng(1)
    z, present = drawn(rng, 300, SCALE, OFFSET)
    weights, known = rng.uniform(0.2, 1, 300), rng.random(z.shape) < 0.8
    scale, offset = fit(z, present, 10**6, known=known, weights=weights)
    for s in range(4):
        k = known[:, s]
        one = LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000).fit(z[k, s, None], present[k, s], weights[k])
        assert (scale[s], offset[s]) == pytest.approx((one.coef_[0, 0], one.intercept_[0]), rel=1e-3)


def test_few_groups_get_the_common_pair_and_more_groups_one_of_their_own() -> None:
    z, present = drawn(np.random.default_rng(2), 5000, SCALE, OFFSET)
    spread = [[np.ptp(values) for values in fit(z, present, groups)] for groups in (1, 10, 100, 5000)]
    assert (np.diff(spread, axis=0) > 0).all()
    assert (spread[0] < 0.3 * np.array([np.ptp(SCALE), np.ptp(OFFSET)])).all()
    assert spread[-1] == pytest.approx([np.ptp(SCALE), np.ptp(OFFSET)], abs=0.15)


def test_a_species_of_which_nothing_is_known_has_the_common_pair() -> None:
    z, present = drawn(np.random.default_rng(3), 2000, SCALE, OFFSET)
    known = np.ones(z.shape, bool)
    known[:, 0] = False
    scale, offset = fit(z, present, np.array([0, 50, 50, 50]), known=known)
    assert SCALE[1:].min() < scale[0] < SCALE[1:].max()
    assert OFFSET[1:].min() < offset[0] < OFFSET[1:].max()
    nothing = fit(z, present, 0, known=np.zeros(z.shape, bool))
    assert (nothing[0].tolist(), nothing[1].tolist()) == ([1] * 4, [0] * 4)


def test_logits_that_separate_the_windows_perfectly_give_finite_pairs() -> None:
    present = np.array([[True, False]] * 5 + [[False, True]] * 5)
    z = np.where(present, 2.0, -2.0)
    scale, offset = fit(z, present, 5)
    assert (scale > 1).all()
    assert np.isfinite([scale, offset]).all()
    assert (scale < 20).all()


def test_a_network_whose_logits_are_wrong_for_a_species_keeps_a_scale_above_0() -> None:
    rng = np.random.default_rng(4)
    z, present = drawn(rng, 4000, SCALE, OFFSET)
    present[:, 2] = rng.random(4000) < expit(-2 * z[:, 2])
    assert (fit(z, present, 4000)[0] > 0).all()


def test_with_few_windows_the_penalised_pairs_predict_better_than_free_ones_and_than_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """30 simulated networks whose species differ; 30 windows, each a group of its own, and 5,000 new windows."""
    rng = np.random.default_rng(5)
    losses = np.zeros((30, 3))
    for trial in range(30):
        scale, offset = 1.5 * np.exp(rng.normal(0, 0.3, 4)), rng.normal(-1, 1, 4)
        z, present = drawn(rng, 30, scale, offset)
        new = drawn(rng, 5000, scale, offset)
        penalised = fit(z, present, present.sum(axis=0))
        with monkeypatch.context() as free:
            for name in ("SCALE_SPREAD", "SHIFT_SPREAD"):
                free.setattr(f"autobird.evaluation.sigmoid_scaling.{name}", 1e3)
            pairs = (penalised, fit(z, present, present.sum(axis=0)), (np.ones(4), np.zeros(4)))
        losses[trial] = [cross_entropy(*new, *pair) for pair in pairs]
    mean = losses.mean(axis=0)
    assert mean[0] < mean[1]
    assert mean[0] < mean[2]


def test_negatives_count_at_most_as_much_as_all_other_windows() -> None:
    assert window_weights(np.array([False] * 4 + [True] * 2)).tolist() == [1.0] * 6
    assert window_weights(np.array([False] * 2 + [True] * 8)).tolist() == [1.0] * 2 + [0.25] * 8
    assert window_weights(np.array([True] * 3)).tolist() == [1.0] * 3
    assert window_weights(np.zeros(0, bool)).tolist() == []
    # Ten times as many negatives do not change the probabilities.
    rng = np.random.default_rng(6)
    z, present = drawn(rng, 3000, SCALE, OFFSET)
    quiet = rng.normal(-4, 1, (3000, 4))
    found = []
    for copies in (1, 10):
        rows, labels = np.r_[z, np.tile(quiet, (copies, 1))], np.r_[present, np.zeros((3000 * copies, 4), bool)]
        found.append(fit(rows, labels, 100, weights=window_weights(np.arange(len(rows)) >= 3000)))
    np.testing.assert_allclose(found[0], found[1], atol=1e-4)
