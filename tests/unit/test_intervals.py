"""Intervals resample groups within strata and cover the truth as often as they say, correlated sessions included."""

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from autobird.evaluation.bootstrap import (
    Resamples,
    bounded_interval,
    difference_interval,
    positive_interval,
    resample_groups,
)
from autobird.evaluation.metrics import (
    Weighting,
    f1_by_species,
    macro,
    pooled,
    precision_by_species,
)

DEMO = (9, 6, 5, 7, 3, 7, 7, 8, 3, 7)
"""Groups of each species in the demo's test split."""

LONG_TAIL = (2, 2, 2, 2, 2, 40, 40, 40)
"""Most of the variance comes from the species of two groups."""

SIZES = ([1, 2, 3], [38 / 62, 14 / 62, 10 / 62])
"""Recordings of a group there, and how frequent each size is."""

Ints = NDArray[np.int64]


def draw(
    rng: np.random.Generator, groups: Sequence[int], recall: NDArray[np.float64], correlation: float
) -> tuple[Ints, Ints, Ints]:
    """Truth, answer and group of the recordings of a split whose answers within a group depend on each other."""
    species = np.repeat(np.arange(len(groups)), groups)
    group = np.repeat(np.arange(len(species)), rng.choice(SIZES[0], len(species), p=SIZES[1]))
    truth = species[group]
    shared = rng.random(len(group)) < np.sqrt(correlation)
    hit = np.where(shared, rng.random(len(species))[group], rng.random(len(group))) < recall[truth]
    other = np.where(shared, rng.integers(1, 3, len(species))[group], rng.integers(1, 3, len(group)))
    return truth, np.where(hit, truth, (truth + other) % len(groups)), group


def coverage(groups: Sequence[int], correlation: float, trials: int, resamples: int = 300) -> dict[str, float]:
    """How often the 95 % intervals of macro-F1, accuracy, and F1 and precision of a species hold their true values."""
    rng, number = np.random.default_rng(0), len(groups)
    recall = np.random.default_rng(5).uniform(0.7, 0.99, number)
    flags = np.eye(number, dtype=bool)
    truth, answer, _ = draw(rng, [2000 * n for n in groups], recall, correlation)
    everything = Weighting(np.ones((1, 1)), np.zeros(len(truth), np.int64))
    species_f1 = f1_by_species(flags[answer], flags[truth], everything)[0]
    precision = precision_by_species(flags[answer], flags[truth], everything)[0]
    true = {"macro_f1": species_f1.mean(), "accuracy": (truth == answer).mean()}
    found: dict[str, list[bool]] = {name: [] for name in ("macro_f1", "accuracy", "species_f1", "species_precision")}
    for trial in range(trials):
        truth, answer, group = draw(rng, groups, recall, correlation)
        draws = resample_groups(group, flags[truth], resamples, trial)
        weighting = Weighting(draws.weights, draws.group)
        f1 = f1_by_species(flags[answer], flags[truth], weighting)
        hits, count = weighting.total(truth == answer), weighting.total(np.ones(len(truth)))
        for name, value in {"macro_f1": macro(f1), "accuracy": hits / count}.items():
            _, low, high = bounded_interval(value, draws, 0.95, draws.groups)
            found[name].append(low <= true[name] <= high)
        said = precision_by_species(flags[answer], flags[truth], weighting)
        for name, values, expected, about in (
            ("species_f1", f1, species_f1, (answer[:, None] == range(number)) | flags[truth]),
            ("species_precision", said, precision, answer[:, None] == range(number)),
        ):
            for s in range(number):
                count = weighting.groups(about[:, s])
                interval = bounded_interval(values[:, s], draws, 0.95, count, max(1.0, count - 1.0))
                if interval is not None:
                    found[name].append(interval[1] <= expected[s] <= interval[2])
    return {name: float(np.mean(hits)) for name, hits in found.items()}


@pytest.mark.parametrize("correlation", [0.0, 0.5, 1.0])
def test_intervals_cover_the_truth_for_the_demos_sessions(correlation: float) -> None:
    found = coverage(DEMO, correlation, 300)
    assert min(found.values()) >= 0.92, found


@pytest.mark.parametrize(
    ("groups", "correlation", "least"),
    [
        ((3,) * 10, 0.5, 0.92),
        ((2,) * 10, 0.5, 0.90),
        ((1, 1, 2, 3, 4, 6), 0.5, 0.90),
        (LONG_TAIL, 0.5, 0.86),
        (LONG_TAIL, 1.0, 0.84),
        ((1, 1, 1, 60, 60), 0.5, 0.90),
    ],
)
def test_intervals_of_few_or_unequal_groups_are_wide_enough(
    groups: Sequence[int], correlation: float, least: float
) -> None:
    found = coverage(groups, correlation, 200)
    assert min(found.values()) >= least, found


def test_resampling_recordings_instead_of_groups_would_not_be_enough() -> None:
    """The simulation can tell the difference: 0.77 of these percentile intervals hold the truth."""
    rng, covered = np.random.default_rng(0), 0
    for trial in range(200):
        truth, answer, _ = draw(rng, DEMO, np.full(10, 0.85), 1.0)
        draws = resample_groups(np.arange(len(truth)), np.eye(10, dtype=bool)[truth], 300, trial)
        value = draws.weights @ (truth == answer) / draws.weights.sum(axis=1)
        _, low, high = bounded_interval(value, draws, 0.95, draws.groups)
        covered += low <= 0.85 <= high
    assert covered / 200 < 0.90


def test_detections_of_several_species_in_a_recording_are_covered() -> None:
    """Recordings hold one to three species; what is detected in a session depends on the session."""
    rng = np.random.default_rng(1)

    def split(groups: int) -> tuple[NDArray[np.bool_], NDArray[np.bool_], Ints]:
        group = np.repeat(np.arange(groups), rng.integers(1, 4, groups))
        present = rng.random((len(group), 6)) < 0.25
        good = rng.beta(4, 1, groups)[group, None]
        detected = np.where(present, rng.random(present.shape) < good, rng.random(present.shape) < 0.1 * (1 - good))
        return present, detected, group

    present, detected, _ = split(100_000)
    everything = Weighting(np.ones((1, 1)), np.zeros(len(present), np.int64))
    expected = [v[0] for v in pooled(detected, present, everything)]
    expected.append(macro(f1_by_species(detected, present, everything))[0])
    hits = np.zeros(4)
    for trial in range(200):
        present, detected, group = split(40)
        draws = resample_groups(group, present, 300, trial)
        weighting = Weighting(draws.weights, draws.group)
        values = [*pooled(detected, present, weighting), macro(f1_by_species(detected, present, weighting))]
        for i, value in enumerate(values):
            _, low, high = bounded_interval(value, draws, 0.95, draws.groups)
            hits[i] += low <= expected[i] <= high
    assert (hits / 200).min() >= 0.90, hits / 200


@pytest.mark.parametrize(("groups", "altered"), [(DEMO, 0.02), (DEMO, 0.1), ((6,) * 10, 0.02), (LONG_TAIL, 0.02)])
def test_the_upper_end_of_a_paired_loss_is_rarely_too_low(groups: Sequence[int], altered: float) -> None:
    """What the gate relies on: a variant gives other answers in a few recordings, mostly worse ones."""
    rng, number = np.random.default_rng(2), len(groups)
    flags, recall = np.eye(number, dtype=bool), np.full(number, 0.85)

    def difference(truth: Ints, answer: Ints, weighting: Weighting) -> NDArray[np.float64]:
        other = np.where(rng.random(len(truth)) < altered, rng.integers(0, number, len(truth)), answer)
        before, after = (macro(f1_by_species(flags[a], flags[truth], weighting)) for a in (answer, other))
        return before - after

    truth, answer, _ = draw(rng, [2000 * n for n in groups], recall, 0.5)
    loss = difference(truth, answer, Weighting(np.ones((1, 1)), np.zeros(len(truth), np.int64)))[0]
    missed = 0
    for trial in range(300):
        truth, answer, group = draw(rng, groups, recall, 0.5)
        draws = resample_groups(group, flags[truth], 300, trial)
        found = difference_interval(difference(truth, answer, Weighting(draws.weights, draws.group)), draws, 0.95)
        missed += loss > found[2]
    assert missed / 300 <= 0.05, missed / 300


def test_groups_are_drawn_whole_within_the_stratum_of_their_rarest_species() -> None:
    group = np.array([10, 10, 11, 12, 13, 13, 14, 15])
    species = [0, 0, 0, 0, 1, 1, 1, 2]  # species 2 has one group, which is pooled into the smaller stratum
    draws = resample_groups(group, np.eye(3, dtype=bool)[species], 200, 0)
    assert draws.groups == 6
    assert draws.group.tolist() == [0, 0, 1, 2, 3, 3, 4, 5]
    assert sorted(draws.strata) == [3, 3]
    assert (draws.weights[0] == 1).all()
    drawn = draws.weights[1:201]
    np.testing.assert_allclose(drawn[:, :3].sum(axis=1), 3)
    np.testing.assert_allclose(drawn[:, 3:].sum(axis=1), 3)
    assert set(np.unique(drawn)) == {0.0, 1.5, 3.0}
    left_out = draws.weights[201:]
    assert (left_out == 0).sum(axis=1).tolist() == [1] * 6
    np.testing.assert_allclose(left_out[0], [0, 1.5, 1.5, 1, 1, 1])
    assert draws.blocks.tolist() == [0, 0, 0, 1, 1, 1]


def test_a_group_of_several_species_belongs_to_the_rarest() -> None:
    present = np.array([[1, 0, 0], [1, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0], [0, 0, 0], [0, 0, 0]], bool)
    draws = resample_groups(np.arange(7), present, 50, 0)
    assert sorted(draws.strata) == [2, 2, 3]  # the last two hold nothing
    np.testing.assert_allclose(draws.weights[1:51, [3, 4]].sum(axis=1), 2)
    np.testing.assert_allclose(draws.weights[1:51, [5, 6]].sum(axis=1), 2)


def test_the_resampled_variance_of_a_mean_is_the_unbiased_one() -> None:
    x = np.array([1.0, 4.0, 2.0, 8.0])
    draws = resample_groups(np.arange(4), np.ones((4, 1), bool), 20_000, 0)
    means = draws.weights[1:20_001] @ x / 4
    assert means.var() == pytest.approx(x.var(ddof=1) / 4, rel=0.05)


@pytest.mark.parametrize("species", [[0], [0, 0]])
def test_one_group_has_no_interval(species: list[int]) -> None:
    draws = resample_groups(np.zeros(len(species), np.int64), np.eye(1, dtype=bool)[species], 100, 0)
    assert draws.weights.shape == (1, 1)
    for kind in (lambda v: bounded_interval(v, draws, 0.95, 1), lambda v: difference_interval(v, draws, 0.95)):
        value, low, high = kind(np.array([0.5]))
        assert np.isnan([low, high]).all()
        assert value == 0.5


def test_two_species_of_one_group_each_are_resampled_together() -> None:
    draws = resample_groups(np.array([0, 1]), np.eye(2, dtype=bool), 100, 0)
    assert {tuple(row) for row in draws.weights[1:101]} == {(2.0, 0.0), (0.0, 2.0)}


def resamples(strata: Sequence[int]) -> Resamples:
    """Resamples of which only the numbers of groups matter: 100 draws, nothing left out."""
    count = sum(strata)
    return Resamples(np.ones((101, count)), np.arange(count), 100, np.zeros(0, np.intp), np.array(strata))


def test_a_metric_that_never_varies_has_the_interval_of_as_many_trials_as_groups_that_it_is_about() -> None:
    value, low, high = bounded_interval(np.ones(101), resamples([6] * 10), 0.95, groups=3)
    assert (value, high) == (1, 1)
    assert low == pytest.approx(0.025 ** (1 / 3))  # Clopper and Pearson for 3 of 3
    _, low, high = bounded_interval(np.zeros(101), resamples([6] * 10), 0.95, groups=20)
    assert (low, high) == pytest.approx((0, 1 - 0.025 ** (1 / 20)))
    assert np.isnan(positive_interval(np.full(101, 0.7), resamples([2, 2]), 0.95)[1:]).all()


def test_intervals_stay_within_the_range_of_their_metric() -> None:
    rng = np.random.default_rng(0)
    values = np.append(0.98, rng.normal(0.98, 0.05, 100))
    value, low, high = bounded_interval(values, resamples([5, 5]), 0.95, 10)
    assert 0 < low < value < high < 1
    value, low, high = positive_interval(values, resamples([1]), 0.95)
    assert 0 < low < value < high
    _, low, high = difference_interval(np.append(0.0, rng.normal(0, 0.9, 100)), resamples([5, 5]), 0.95)
    assert (low, high) == (-1, 1)


def test_equal_answers_are_less_certain_the_fewer_groups_there_are() -> None:
    few, many = (difference_interval(np.zeros(101), resamples(s), 0.95) for s in ([2, 2], [9] * 9))
    assert few[0] == many[0] == 0
    assert 0 < many[2] < 0.03 < few[2]
    one_more = np.append(0.0, np.where(np.arange(100) % 2, 0.01, -0.01))
    assert difference_interval(one_more, resamples([9] * 9), 0.95)[2] > many[2]


def test_degrees_of_freedom_follow_the_strata_that_bring_the_variance() -> None:
    """Two groups that differ among hundreds that do not: the variance has one degree of freedom."""
    group = np.arange(202)
    present = np.eye(2, dtype=bool)[[0] * 2 + [1] * 200]
    draws = resample_groups(group, present, 500, 0)
    x = np.zeros(202)
    x[0] = 1.0
    _, low, high = bounded_interval(0.5 + (draws.weights @ x - 1) / 10, draws, 0.95, 202)
    assert low < 0.2
    assert high > 0.8


def test_a_metric_that_is_not_defined_has_no_interval() -> None:
    values = np.full(101, np.nan)
    assert bounded_interval(values, resamples([4]), 0.9, 4) is None
    assert positive_interval(values, resamples([4]), 0.9) is None
    assert difference_interval(values, resamples([4]), 0.9) is None
