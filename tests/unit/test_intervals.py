"""Intervals resample groups within strata and cover the truth as often as they say, correlated sessions included."""

import numpy as np
import pytest
from numpy.typing import NDArray

from autobird.evaluation.bootstrap import (
    Resamples,
    difference_interval,
    positive_interval,
    resample_groups,
    share_interval,
)
from autobird.evaluation.metrics import f1_by_species, macro

DEMO = (9, 6, 5, 7, 3, 7, 7, 8, 3, 7)
"""Groups of each species in the demo's test split."""

SIZES = ([1, 2, 3], [38 / 62, 14 / 62, 10 / 62])
"""Recordings of a group there, and how frequent each size is."""


def draw(
    rng: np.random.Generator, groups: NDArray[np.int64], recall: NDArray[np.float64], correlation: float
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Truth, answer and group of the recordings of a split whose answers within a group depend on each other."""
    species = np.repeat(np.arange(len(groups)), groups)
    group = np.repeat(np.arange(len(species)), rng.choice(SIZES[0], len(species), p=SIZES[1]))
    truth = species[group]
    shared = rng.random(len(group)) < np.sqrt(correlation)
    hit = np.where(shared, rng.random(len(species))[group], rng.random(len(group))) < recall[truth]
    other = np.where(shared, rng.integers(1, 3, len(species))[group], rng.integers(1, 3, len(group)))
    return truth, np.where(hit, truth, (truth + other) % len(groups)), group


def coverage(groups: tuple[int, ...], correlation: float, trials: int) -> dict[str, float]:
    """How often the 95 % intervals of macro-F1, accuracy and each species' F1 hold their true values."""
    rng, number = np.random.default_rng(0), len(groups)
    recall = np.random.default_rng(5).uniform(0.7, 0.99, number)
    flags = np.eye(number, dtype=bool)
    truth, answer, _ = draw(rng, np.array(groups) * 2000, recall, correlation)
    one = np.ones((1, len(truth)))
    species_f1 = f1_by_species(flags[answer], flags[truth], one)[0]
    expected = {"macro_f1": species_f1.mean(), "accuracy": (truth == answer).mean()}
    found: dict[str, list[bool]] = {"macro_f1": [], "accuracy": [], "species_f1": []}
    for trial in range(trials):
        truth, answer, group = draw(rng, np.array(groups), recall, correlation)
        draws = resample_groups(group, flags[truth], 300, trial)
        f1 = f1_by_species(flags[answer], flags[truth], draws.weights)
        values = {"macro_f1": macro(f1), "accuracy": draws.weights @ (truth == answer) / draws.weights.sum(axis=1)}
        for name, value in values.items():
            _, low, high = share_interval(value, draws, 0.95)
            found[name].append(low <= expected[name] <= high)
        for s in range(number):
            _, low, high = share_interval(f1[:, s], draws, 0.95, groups[s])
            found["species_f1"].append(low <= species_f1[s] <= high)
    return {name: float(np.mean(hits)) for name, hits in found.items()}


@pytest.mark.parametrize("correlation", [0.0, 0.5, 1.0])
def test_intervals_cover_the_truth_for_the_demos_sessions(correlation: float) -> None:
    found = coverage(DEMO, correlation, 300)
    assert found["macro_f1"] >= 0.92
    assert found["accuracy"] >= 0.92
    assert found["species_f1"] >= 0.92


@pytest.mark.parametrize(("groups", "least"), [((3,) * 10, 0.92), ((2,) * 10, 0.90), ((1, 1, 2, 3, 4, 6), 0.90)])
def test_intervals_of_few_groups_are_wide_enough(groups: tuple[int, ...], least: float) -> None:
    found = coverage(groups, 0.5, 200)
    assert min(found.values()) >= least, found


def test_resampling_recordings_instead_of_groups_would_not_be_enough() -> None:
    """What the intervals were before: the simulation can tell the difference."""
    rng, covered = np.random.default_rng(0), 0
    recall = np.full(10, 0.85)
    for trial in range(200):
        truth, answer, _ = draw(rng, np.array(DEMO), recall, 1.0)
        draws = resample_groups(np.arange(len(truth)), np.eye(10, dtype=bool)[truth], 300, trial)
        value = draws.weights @ (truth == answer) / draws.weights.sum(axis=1)
        _, low, high = share_interval(value, draws, 0.95)
        covered += low <= 0.85 <= high
    assert covered / 200 < 0.90


def test_groups_are_drawn_whole_within_the_stratum_of_their_rarest_species() -> None:
    group = np.array([0, 0, 1, 2, 3, 3, 4, 5])
    species = [0, 0, 0, 0, 1, 1, 1, 2]  # species 2 has one group, which is pooled into the smaller stratum
    present = np.eye(3, dtype=bool)[species]
    present[0, 1] = True  # group 0 also holds species 1, which is as frequent as species 0: the first one counts
    draws = resample_groups(group, present, 200, 0)
    assert (draws.groups, draws.freedom) == (6, 4)
    assert (draws.weights[0] == 1).all()
    np.testing.assert_array_equal(draws.weights[:, 0], draws.weights[:, 1])
    np.testing.assert_array_equal(draws.weights[:, 4], draws.weights[:, 5])
    by_group = draws.weights[:, [0, 2, 3, 4, 6, 7]]
    np.testing.assert_allclose(by_group[1:, :3].sum(axis=1), 3)
    np.testing.assert_allclose(by_group[1:, 3:].sum(axis=1), 3)
    assert set(np.unique(by_group[1:])) == {0.0, 1.5, 3.0}
    assert by_group[1:].std() > 0


def test_the_resampled_variance_of_a_mean_is_the_unbiased_one() -> None:
    x = np.array([1.0, 4.0, 2.0, 8.0])
    draws = resample_groups(np.arange(4), np.ones((4, 1), bool), 20_000, 0)
    means = draws.weights[1:] @ x / draws.weights[1:].sum(axis=1)
    assert means.var() == pytest.approx(x.var(ddof=1) / 4, rel=0.05)


@pytest.mark.parametrize("species", [[0], [0, 0]])
def test_one_group_has_no_interval(species: list[int]) -> None:
    draws = resample_groups(np.zeros(len(species), np.int64), np.eye(1, dtype=bool)[species], 100, 0)
    assert draws.weights.shape == (1, len(species))
    value, low, high = share_interval(draws.weights @ np.full(len(species), 0.5), draws, 0.95)
    assert np.isnan([low, high]).all()
    assert value == pytest.approx(0.5 * len(species))


def test_two_species_of_one_group_each_are_resampled_together() -> None:
    draws = resample_groups(np.array([0, 1]), np.eye(2, dtype=bool), 100, 0)
    assert {tuple(row) for row in draws.weights[1:]} == {(2.0, 0.0), (0.0, 2.0)}


def resamples(groups: int, freedom: int) -> Resamples:
    return Resamples(np.ones((1, groups)), groups, freedom)


def test_a_species_that_is_always_right_has_the_interval_of_as_many_trials_as_groups() -> None:
    value, low, high = share_interval(np.ones(100), resamples(62, 52), 0.95, groups=3)
    assert (value, high) == (1, 1)
    assert low == pytest.approx(0.025 ** (1 / 3))  # Clopper and Pearson for 3 of 3
    _, low, high = share_interval(np.zeros(100), resamples(62, 52), 0.95, groups=3)
    assert (low, high) == pytest.approx((0, 1 - 0.025 ** (1 / 3)))


def test_intervals_stay_within_the_range_of_their_metric() -> None:
    rng = np.random.default_rng(0)
    values = np.append(0.98, rng.normal(0.98, 0.05, 500))
    value, low, high = share_interval(values, resamples(10, 5), 0.95)
    assert 0 < low < value < high < 1
    value, low, high = positive_interval(values, resamples(10, 1), 0.95)
    assert 0 < low < value < high
    _, low, high = difference_interval(np.append(0.0, rng.normal(0, 0.9, 500)), resamples(10, 5), 0.95)
    assert (low, high) == (-1, 1)


def test_a_difference_that_never_varies_is_as_uncertain_as_its_groups_are_few() -> None:
    value, low, high = difference_interval(np.zeros(100), resamples(4, 2), 0.95)
    assert value == 0
    assert high == -low == pytest.approx(1 - 0.025 ** (1 / 4))


def test_a_metric_that_is_not_defined_has_no_interval() -> None:
    for kind in (share_interval, positive_interval, difference_interval):
        assert kind(np.array([np.nan, 1.0]), resamples(4, 2), 0.9) is None
