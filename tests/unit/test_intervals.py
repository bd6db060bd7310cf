"""Confidence intervals resample groups within strata, and their coverage is measured in simulations with correlated sessions."""

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import beta

from autobird.evaluation.bootstrap import (
    Resamples,
    bounded_interval,
    difference_interval,
    positive_interval,
    ratio_interval,
    resample_groups,
)
from autobird.evaluation.interval_json import metric_interval
from autobird.evaluation.metrics import (
    Weighting,
    all_metrics,
    f1_by_species,
    macro_average,
    micro_average,
    precision_by_species,
)
from autobird.evaluation.predictions import Items

DEMO_GROUPS = (9, 6, 5, 7, 3, 7, 7, 8, 3, 7)
"""Number of groups of each species in the test split of the demo."""

LONG_TAIL = (2, 2, 2, 2, 2, 40, 40, 40)
"""Numbers of groups for which most of the variance comes from the species with two groups."""

GROUP_SIZES = ([1, 2, 3], [38 / 62, 14 / 62, 10 / 62])
"""Numbers of recordings per group in the test split of the demo, and the frequency of each."""

Ints = NDArray[np.int64]


def draw(
    rng: np.random.Generator, groups: Sequence[int], recall: NDArray[np.float64], correlation: float
) -> tuple[Ints, Ints, Ints]:
    """Simulate the predictions for a split in which the predictions within a group are correlated.

    Args:
        rng: random generator.
        groups: number of groups of each species.
        recall: recall of each species; shape (species,).
        correlation: correlation within a group, 0 to 1.

    Returns:
        True species, predicted species and group of each recording, as indices; each of shape (recordings,).
    """
    species = np.repeat(np.arange(len(groups)), groups)
    group = np.repeat(np.arange(len(species)), rng.choice(GROUP_SIZES[0], len(species), p=GROUP_SIZES[1]))
    truth = species[group]
    shared = rng.random(len(group)) < np.sqrt(correlation)
    correct = np.where(shared, rng.random(len(species))[group], rng.random(len(group))) < recall[truth]
    other = np.where(shared, rng.integers(1, 3, len(species))[group], rng.integers(1, 3, len(group)))
    return truth, np.where(correct, truth, (truth + other) % len(groups)), group


def coverage(
    groups: Sequence[int],
    correlation: float,
    trials: int,
    resamples: int = 300,
    recalls: tuple[float, float] = (0.7, 0.99),
) -> dict[str, float]:
    """Return how often the 95 % intervals of macro-F1, accuracy, and F1 and precision of one species contain the true value."""
    rng, species = np.random.default_rng(0), len(groups)
    recall = np.random.default_rng(5).uniform(*recalls, species)
    flags = np.eye(species, dtype=bool)
    truth, predicted, _ = draw(rng, [2000 * n for n in groups], recall, correlation)
    equal_weights = Weighting(np.ones((1, 1)), np.zeros(len(truth), np.int64))
    true_f1 = f1_by_species(flags[predicted], flags[truth], equal_weights)[0]
    true_precision = precision_by_species(flags[predicted], flags[truth], equal_weights)[0]
    true_value = {"macro_f1": true_f1.mean(), "accuracy": (truth == predicted).mean()}
    covered: dict[str, list[bool]] = {name: [] for name in ("macro_f1", "accuracy", "species_f1", "species_precision")}
    for trial in range(trials):
        truth, predicted, group = draw(rng, groups, recall, correlation)
        draws = resample_groups(group, flags[truth], resamples, trial)
        weighting = Weighting(draws.weights, draws.group_of_recording)
        f1 = f1_by_species(flags[predicted], flags[truth], weighting)
        accuracy = weighting.weighted_sum(truth == predicted) / weighting.weighted_sum(np.ones(len(truth)))
        for name, value in {"macro_f1": macro_average(f1), "accuracy": accuracy}.items():
            _, low, high = bounded_interval(value, draws, 0.95, draws.groups)
            covered[name].append(low <= true_value[name] <= high)
        precision = precision_by_species(flags[predicted], flags[truth], weighting)
        for name, values, expected, relevant in (
            ("species_f1", f1, true_f1, (predicted[:, None] == range(species)) | flags[truth]),
            ("species_precision", precision, true_precision, predicted[:, None] == range(species)),
        ):
            for s in range(species):
                count = weighting.count_groups(relevant[:, s])
                interval = bounded_interval(values[:, s], draws, 0.95, count, max(1.0, count - 1.0))
                if interval is not None:
                    covered[name].append(interval[1] <= expected[s] <= interval[2])
    return {name: float(np.mean(flags)) for name, flags in covered.items()}


@pytest.mark.parametrize("correlation", [0.0, 0.5, 1.0])
def test_intervals_contain_the_true_value_for_groups_as_in_the_demo(correlation: float) -> None:
    found = coverage(DEMO_GROUPS, correlation, 300)
    assert min(found.values()) >= 0.92, found


@pytest.mark.parametrize(
    ("groups", "correlation", "min_coverage"),
    [
        ((3,) * 10, 0.5, 0.92),
        ((2,) * 10, 0.5, 0.90),
        ((1, 1, 2, 3, 4, 6), 0.5, 0.90),
        (LONG_TAIL, 0.5, 0.86),
        (LONG_TAIL, 1.0, 0.84),
        ((1, 1, 1, 60, 60), 0.5, 0.90),
    ],
)
def test_intervals_contain_the_true_value_for_few_or_unequal_groups(
    groups: Sequence[int], correlation: float, min_coverage: float
) -> None:
    found = coverage(groups, correlation, 200)
    assert min(found.values()) >= min_coverage, found


@pytest.mark.parametrize("groups", [DEMO_GROUPS, (3,) * 10])
@pytest.mark.parametrize("correlation", [0.0, 1.0])
def test_intervals_of_scores_near_one_contain_the_true_value(groups: Sequence[int], correlation: float) -> None:
    found = coverage(groups, correlation, 100, recalls=(0.95, 0.99))
    assert min(found.values()) >= 0.92, found


def test_a_single_error_among_many_groups_does_not_make_the_interval_reach_zero() -> None:
    truth = np.repeat(np.arange(10), 3)
    predicted = truth.copy()
    predicted[0] = 1
    flags = np.eye(10, dtype=bool)
    draws = resample_groups(np.arange(30), flags[truth], 1000, 0)
    f1 = macro_average(
        f1_by_species(flags[predicted], flags[truth], Weighting(draws.weights, draws.group_of_recording))
    )
    value, low, high = bounded_interval(f1, draws, 0.95, 30)
    assert value == pytest.approx(0.9657, abs=1e-4)
    assert 0.6 < low < 0.8
    assert high > 0.99


def test_resampling_recordings_instead_of_groups_gives_intervals_that_are_too_narrow() -> None:
    """The simulation detects intervals that are too narrow: 82 % of these contain the true value."""
    rng, covered = np.random.default_rng(0), 0
    for trial in range(200):
        truth, predicted, _ = draw(rng, DEMO_GROUPS, np.full(10, 0.85), 1.0)
        draws = resample_groups(np.arange(len(truth)), np.eye(10, dtype=bool)[truth], 300, trial)
        value = draws.weights @ (truth == predicted) / draws.weights.sum(axis=1)
        _, low, high = bounded_interval(value, draws, 0.95, draws.groups)
        covered += low <= 0.85 <= high
    assert covered / 200 < 0.90


def test_intervals_of_detection_metrics_contain_the_true_value_for_recordings_of_several_species() -> None:
    """Each species is present with probability 0.25; the rates of detections and false detections depend on the session."""
    rng = np.random.default_rng(1)

    def split(groups: int) -> tuple[NDArray[np.bool_], NDArray[np.bool_], Ints]:
        group = np.repeat(np.arange(groups), rng.integers(1, 4, groups))
        present = rng.random((len(group), 6)) < 0.25
        recall = rng.beta(4, 1, groups)[group, None]
        detected = np.where(present, rng.random(present.shape) < recall, rng.random(present.shape) < 0.1 * (1 - recall))
        return present, detected, group

    present, detected, _ = split(100_000)
    equal_weights = Weighting(np.ones((1, 1)), np.zeros(len(present), np.int64))
    expected = [v[0] for v in micro_average(detected, present, equal_weights)]
    expected.append(macro_average(f1_by_species(detected, present, equal_weights))[0])
    covered = np.zeros(4)
    for trial in range(200):
        present, detected, group = split(40)
        draws = resample_groups(group, present, 300, trial)
        weighting = Weighting(draws.weights, draws.group_of_recording)
        values = [
            *micro_average(detected, present, weighting),
            macro_average(f1_by_species(detected, present, weighting)),
        ]
        for i, value in enumerate(values):
            _, low, high = bounded_interval(value, draws, 0.95, draws.groups)
            covered[i] += low <= expected[i] <= high
    assert (covered / 200).min() >= 0.90, covered / 200


@pytest.mark.parametrize(
    ("groups", "share_changed"), [(DEMO_GROUPS, 0.02), (DEMO_GROUPS, 0.1), ((6,) * 10, 0.02), (LONG_TAIL, 0.02)]
)
def test_the_upper_bound_of_a_paired_loss_is_below_the_true_loss_in_at_most_five_percent(
    groups: Sequence[int], share_changed: float
) -> None:
    """The release gate relies on this. A variant predicts other species in a few recordings, most of them wrong."""
    rng, species = np.random.default_rng(2), len(groups)
    flags, recall = np.eye(species, dtype=bool), np.full(species, 0.85)

    def loss_of_variant(truth: Ints, predicted: Ints, weighting: Weighting) -> NDArray[np.float64]:
        """Return the loss of macro-F1 when the predictions for a random share of the recordings are replaced at random."""
        changed = np.where(rng.random(len(truth)) < share_changed, rng.integers(0, species, len(truth)), predicted)
        before, after = (macro_average(f1_by_species(flags[p], flags[truth], weighting)) for p in (predicted, changed))
        return before - after

    truth, predicted, _ = draw(rng, [2000 * n for n in groups], recall, 0.5)
    true_loss = loss_of_variant(truth, predicted, Weighting(np.ones((1, 1)), np.zeros(len(truth), np.int64)))[0]
    too_low = 0
    for trial in range(300):
        truth, predicted, group = draw(rng, groups, recall, 0.5)
        draws = resample_groups(group, flags[truth], 300, trial)
        loss = loss_of_variant(truth, predicted, Weighting(draws.weights, draws.group_of_recording))
        too_low += true_loss > difference_interval(loss, draws, 0.95)[2]
    assert too_low / 300 <= 0.05, too_low / 300


def test_whole_groups_are_drawn_within_the_stratum_of_their_rarest_species() -> None:
    group = np.array([10, 10, 11, 12, 13, 13, 14, 15])
    species = [0, 0, 0, 0, 1, 1, 1, 2]  # species 2 has one group, which is added to the smaller stratum
    draws = resample_groups(group, np.eye(3, dtype=bool)[species], 200, 0)
    assert draws.groups == 6
    assert draws.group_of_recording.tolist() == [0, 0, 1, 2, 3, 3, 4, 5]
    assert sorted(draws.stratum_sizes) == [3, 3]
    assert (draws.weights[0] == 1).all()
    bootstrap = draws.weights[1:201]
    np.testing.assert_allclose(bootstrap[:, :3].sum(axis=1), 3)
    np.testing.assert_allclose(bootstrap[:, 3:].sum(axis=1), 3)
    assert set(np.unique(bootstrap)) == {0.0, 1.5, 3.0}
    jackknife = draws.weights[201:]
    assert (jackknife == 0).sum(axis=1).tolist() == [1] * 6
    np.testing.assert_allclose(jackknife[0], [0, 1.5, 1.5, 1, 1, 1])
    assert draws.jackknife_stratum.tolist() == [0, 0, 0, 1, 1, 1]


def test_a_group_of_several_species_is_in_the_stratum_of_the_rarest() -> None:
    present = np.array([[1, 0, 0], [1, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0], [0, 0, 0], [0, 0, 0]], bool)
    draws = resample_groups(np.arange(7), present, 50, 0)
    assert sorted(draws.stratum_sizes) == [2, 2, 3]  # the last two groups have no species
    np.testing.assert_allclose(draws.weights[1:51, [3, 4]].sum(axis=1), 2)
    np.testing.assert_allclose(draws.weights[1:51, [5, 6]].sum(axis=1), 2)


def test_the_bootstrap_variance_of_a_mean_equals_the_unbiased_estimate() -> None:
    x = np.array([1.0, 4.0, 2.0, 8.0])
    draws = resample_groups(np.arange(4), np.ones((4, 1), bool), 20_000, 0)
    means = draws.weights[1:20_001] @ x / 4
    assert means.var() == pytest.approx(x.var(ddof=1) / 4, rel=0.05)


@pytest.mark.parametrize("species", [[0], [0, 0]])
def test_a_single_group_has_no_interval(species: list[int]) -> None:
    draws = resample_groups(np.zeros(len(species), np.int64), np.eye(1, dtype=bool)[species], 100, 0)
    assert draws.weights.shape == (1, 1)
    for interval_of in (lambda v: bounded_interval(v, draws, 0.95, 1), lambda v: difference_interval(v, draws, 0.95)):
        value, low, high = interval_of(np.array([0.5]))
        assert np.isnan([low, high]).all()
        assert value == 0.5


def test_strata_of_one_group_are_merged() -> None:
    draws = resample_groups(np.array([0, 1]), np.eye(2, dtype=bool), 100, 0)
    assert {tuple(row) for row in draws.weights[1:101]} == {(2.0, 0.0), (0.0, 2.0)}


def resamples(strata: Sequence[int]) -> Resamples:
    """Return resamples with 100 bootstrap rows, no jackknife rows and all weights 1; only the numbers of groups matter."""
    count = sum(strata)
    return Resamples(np.ones((101, count)), np.arange(count), 100, np.zeros(0, np.intp), np.array(strata))


def test_a_constant_metric_has_the_clopper_pearson_interval_with_one_trial_per_relevant_group() -> None:
    value, low, high = bounded_interval(np.ones(101), resamples([6] * 10), 0.95, groups=3)
    assert (value, high) == (1, 1)
    assert low == pytest.approx(0.025 ** (1 / 3))  # Clopper and Pearson for 3 of 3
    _, low, high = bounded_interval(np.zeros(101), resamples([6] * 10), 0.95, groups=20)
    assert (low, high) == pytest.approx((0, 1 - 0.025 ** (1 / 20)))
    assert np.isnan(positive_interval(np.full(101, 0.7), resamples([2, 2]), 0.95)[1:]).all()


def test_a_metric_of_a_single_relevant_group_has_the_interval_of_one_trial() -> None:
    """Its resamples vary only with the other groups, as for the AUROC of a species in one group."""
    values = np.append(0.9, np.random.default_rng(0).normal(0.9, 0.01, 100))
    low, high = (beta(0.9, 1.1).ppf(0.025), beta(1.9, 0.1).ppf(0.975))
    assert bounded_interval(values, resamples([20, 20]), 0.95, 1) == pytest.approx((0.9, low, high))
    assert np.ptp(bounded_interval(values, resamples([20, 20]), 0.95, 20)) < 0.1


def test_intervals_stay_within_the_range_of_their_metric() -> None:
    rng = np.random.default_rng(0)
    values = np.append(0.98, rng.normal(0.98, 0.05, 100))
    value, low, high = bounded_interval(values, resamples([5, 5]), 0.95, 10)
    assert 0 < low < value < high < 1
    value, low, high = positive_interval(values, resamples([1]), 0.95)
    assert 0 < low < value < high
    _, low, high = difference_interval(np.append(0.0, rng.normal(0, 0.9, 100)), resamples([5, 5]), 0.95)
    assert (low, high) == (-1, 1)


@pytest.mark.parametrize(("groups", "known"), [(6, True), (2, False)])
def test_an_interval_that_reaches_beyond_100_times_its_estimate_is_unknown(groups: int, known: bool) -> None:
    """With two groups and one degree of freedom, Student's t is 12.7."""
    draws = resample_groups(np.arange(groups), np.ones((groups, 1), bool), 500, 0)
    values = draws.weights @ np.linspace(0.4, 1.6, groups) / groups
    intervals = [positive_interval(values, draws, 0.95), ratio_interval(values, np.ones(len(values)), draws, 0.95)]
    for value, *bounds in intervals:
        assert value == pytest.approx(1)
        assert np.isfinite(bounds).all() == known


def test_the_interval_of_equal_predictions_is_wider_for_fewer_groups() -> None:
    few, many = (difference_interval(np.zeros(101), resamples(s), 0.95) for s in ([2, 2], [9] * 9))
    assert few[0] == many[0] == 0
    assert 0 < many[2] < 0.03 < few[2]
    varying = np.append(0.0, np.where(np.arange(100) % 2, 0.01, -0.01))
    assert difference_interval(varying, resamples([9] * 9), 0.95)[2] > many[2]


def test_degrees_of_freedom_depend_on_the_strata_with_most_of_the_variance() -> None:
    """All variance comes from two of 202 groups, so it has one degree of freedom."""
    group = np.arange(202)
    present = np.eye(2, dtype=bool)[[0] * 2 + [1] * 200]
    draws = resample_groups(group, present, 500, 0)
    x = np.zeros(202)
    x[0] = 1.0
    _, low, high = bounded_interval(0.5 + (draws.weights @ x - 1) / 10, draws, 0.95, 202)
    assert low < 0.2
    assert high > 0.8


def test_an_undefined_metric_has_no_interval() -> None:
    values = np.full(101, np.nan)
    assert bounded_interval(values, resamples([4]), 0.9, 4) is None
    assert positive_interval(values, resamples([4]), 0.9) is None
    assert difference_interval(values, resamples([4]), 0.9) is None


def test_recordings_without_a_species_do_not_make_the_interval_of_a_perfect_score_narrower() -> None:
    bounds = []
    for negatives in (0, 300):
        present = np.concatenate([np.repeat(np.eye(2, dtype=bool), 4, axis=0), np.zeros((negatives, 2), bool)])
        probabilities = np.where(present, 0.9, 0.1)
        n = len(present)
        items = Items(
            probabilities, present, present, np.ones_like(present), np.zeros(n, bool), np.arange(n), is_independent=True
        )
        draws = resample_groups(np.arange(n), present, 100, 0)
        metrics = all_metrics(items, Weighting.of(draws, items))
        bounds.append(
            [metric_interval(name, metrics[name], draws, 0.95) for name in ("cmap", "auroc", "detection_macro_f1")]
        )
    assert bounds[0] == bounds[1]
    assert bounds[0] == [{"value": 1.0, "low": pytest.approx(0.025 ** (1 / 8), abs=1e-6), "high": 1.0}] * 3


def test_recordings_without_a_species_do_not_make_the_intervals_of_means_over_species_narrower() -> None:
    species = np.repeat(np.eye(3, dtype=bool), (4, 5, 9), axis=0)
    negatives = np.zeros((60, 3), bool)
    alone = resample_groups(np.arange(18), species, 200, 0)
    together = resample_groups(np.arange(78), np.concatenate([species, negatives]), 200, 0)
    assert together.groups == 78
    assert together.effective_groups == alone.effective_groups == pytest.approx(9 / (1 / 4 + 1 / 5 + 1 / 9))
    assert (
        together.variance_of_one_group == alone.variance_of_one_group == pytest.approx((1 / 4 + 1 / 5 + 1 / 9) / 9 / 18)
    )
    # Two networks whose answers are the same: the interval is that of one more group that differs.
    without, with_negatives = (difference_interval(np.zeros(len(of.weights)), of, 0.95) for of in (alone, together))
    assert without is not None
    assert with_negatives is not None
    # More degrees of freedom narrow it by Student's t alone.
    assert with_negatives[2] == pytest.approx(without[2], rel=0.1)


def test_without_any_species_all_strata_count() -> None:
    negatives = resample_groups(np.arange(12), np.zeros((12, 3), bool), 100, 0)
    assert negatives.effective_groups == 12
