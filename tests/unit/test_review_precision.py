"""Precision, recall and thresholds from a sample of reviewed items, their intervals, and when a review may stop."""

import numpy as np
import pytest

from autobird.review.filters import PoolFilter
from autobird.review.pool import Pool
from autobird.review.precision import Precision
from autobird.review.queues import QueueOptions, make_queue
from autobird.review.sample import Sample
from autobird.review.stopping import remaining
from autobird.review.thresholds import choose_thresholds
from autobird.sources.review_table import Review
from tests.reviews import answers, make_pool, review

Truth = dict[tuple[str, float, str], bool]


def world(seed: int, windows: int = 1000, species: int = 3, correlation: float = 0.0) -> tuple[Pool, Truth]:
    """Return a pool and what is in it: a species is there with about the probability that the model says.

    Args:
        seed: of the generator.
        windows: number of windows; 25 are a recording, and each recording is a session.
        species: number of species.
        correlation: standard deviation of the shift of the logit that the windows of a session have in common.
    """
    rng = np.random.default_rng(seed)
    probabilities = rng.beta(0.4, 1.2, (windows, species)).clip(0.021, 0.999)
    pool = make_pool(probabilities, 25)
    shift = rng.normal(0, correlation, (len(pool.files), species))[pool.window_file] if correlation else 0.0
    chance = 1 / (1 + np.exp(-(np.log(probabilities / (1 - probabilities)) + shift - 0.5)))
    there = rng.random(chance.shape) < chance
    truth = {}
    for w, s in zip(pool.item_window, pool.item_species, strict=True):
        truth[pool.files[pool.window_file[w]].name, float(pool.window_start[w]), pool.labels[s]] = bool(there[w, s])
    return pool, truth


def true_precision(pool: Pool, truth: Truth, threshold: float, species: str | None = None) -> tuple[float, int]:
    """Return the precision at a threshold and the number of right items."""
    names = [pool.files[f].name for f in pool.window_file]
    found = [
        truth[names[w], float(pool.window_start[w]), pool.labels[s]]
        for w, s, p in zip(pool.item_window, pool.item_species, pool.item_probability, strict=True)
        if p >= threshold and species in (None, pool.labels[s])
    ]
    return float(np.mean(found)), sum(found)


def sample_of(pool: Pool, truth: Truth, count: int, seed: int = 0, kind: str = "stratified") -> Sample:
    items = make_queue(pool, {}, QueueOptions(kind, count, seed))  # type: ignore[arg-type]
    return Sample.of(pool, answers(items, truth))


def test_a_census_gives_the_exact_values() -> None:
    pool, truth = world(1, windows=200)
    precision = Precision(sample_of(pool, truth, 10_000))
    for threshold in (0.02, 0.3, 0.6):
        for species in (None, "Species b"):
            found = precision.above(threshold, species)
            value, right = true_precision(pool, truth, threshold, species)
            assert found.precision == pytest.approx((value, value, value))
            assert found.true.value == pytest.approx(right)
            assert found.recall.value == pytest.approx(right / true_precision(pool, truth, 0.0, species)[1])


def test_estimates_are_right_on_average_although_strata_are_drawn_with_different_probabilities() -> None:
    pool, truth = world(2)
    value, _ = true_precision(pool, truth, 0.4)
    found = [Precision(sample_of(pool, truth, 200, seed)).above(0.4).precision.value for seed in range(40)]
    assert np.mean(found) == pytest.approx(value, abs=0.02)


def coverage(correlation: float, kind: str, trials: int, count: int = 200, species: str | None = None) -> float:
    """Return how often 95 % intervals of the precision at 0.5 contain the true value."""
    inside = 0
    for trial in range(trials):
        pool, truth = world(trial, correlation=correlation)
        found = Precision(sample_of(pool, truth, count, trial, kind)).above(0.5, species).precision
        value, _ = true_precision(pool, truth, 0.5, species)
        inside += found.low <= value <= found.high
    return inside / trials


@pytest.mark.parametrize("kind", ["stratified", "random"])
@pytest.mark.parametrize("correlation", [0.0, 1.0])
def test_intervals_contain_the_true_value(kind: str, correlation: float) -> None:
    # With 30 trials, 0.83 is 3 standard errors below 0.95.
    assert coverage(correlation, kind, 30, count=120) >= 0.83


@pytest.mark.long
def test_coverage_of_the_intervals() -> None:
    """docs/review.md has the table that this prints."""
    cases = (
        (None, "stratified", 60),
        (None, "stratified", 200),
        (None, "random", 200),
        ("Species a", "stratified", 200),
    )
    for species, kind, count in cases:
        values = [coverage(correlation, kind, 150, count, species) for correlation in (0.0, 0.5, 1.0, 2.0)]
        print(species, kind, count, [f"{value:.3f}" for value in values], flush=True)
        # With 150 trials, 0.88 is four standard errors below 0.95.
        assert min(values) >= 0.88


def test_decisions_that_are_no_sample_do_not_count() -> None:
    pool, truth = world(3, windows=500)
    sampled = make_queue(pool, {}, QueueOptions(count=60))
    thresholds = dict.fromkeys(pool.labels, 0.5)
    active = [
        i for i in make_queue(pool, thresholds, QueueOptions("uncertain", 40)) if i.key not in {s.key for s in sampled}
    ]
    rows = [*answers(sampled, truth), *answers(active, truth)]
    with_active = Sample.of(pool, rows)
    assert len(with_active) == 60
    assert with_active.chosen == len(active)
    assert Precision(with_active).above(0.5) == Precision(Sample.of(pool, rows[:60])).above(0.5)


def test_decisions_of_another_model_or_filter_do_not_count() -> None:
    pool, truth = world(3, windows=500)
    rows = answers(make_queue(pool, {}, QueueOptions(count=60)), truth)
    assert len(Sample.of(pool, [r._replace(model="older") for r in rows])) == 0
    hill = PoolFilter(sites=("hill",))
    assert len(Sample.of(pool, rows, hill)) == 0
    of_hill = answers(make_queue(pool, {}, QueueOptions(count=60, filter=hill)), truth)
    sample = Sample.of(pool, of_hill, hill)
    assert len(sample) == 60
    assert len(sample.population_species) < len(pool.item_species)


def test_an_item_of_two_samples_is_in_both() -> None:
    pool, truth = world(3, windows=500)
    hill = PoolFilter(sites=("hill",))
    everywhere = make_queue(pool, {}, QueueOptions(count=60))
    at_hill = make_queue(pool, {}, QueueOptions(count=60, filter=hill))
    assert {i.key for i in everywhere} & {i.key for i in at_hill}
    rows = answers(everywhere, truth)
    both = [*rows, *answers(at_hill, truth, "Ben")]
    assert len(Sample.of(pool, both)) == 60
    assert len(Sample.of(pool, both, hill)) == 60
    assert Sample.of(pool, [*rows, *answers(everywhere[:1], truth, "Ben")]).reviewers == 2


def test_unsure_items_and_disagreement_are_counted_and_left_out() -> None:
    pool, truth = world(3, windows=500)
    items = make_queue(pool, {}, QueueOptions(count=10))
    rows: list[Review] = answers(items[:8], truth)
    rows.append(review("unsure", item=items[8]))
    rows += [review("yes", "Ann", item=items[9]), review("no", "Ben", item=items[9])]
    sample = Sample.of(pool, rows)
    assert (len(sample), sample.unknown, sample.disagree, sample.reviewers) == (8, 2, 1, 2)


def test_a_correlation_within_sessions_widens_the_interval() -> None:
    widths = {}
    for correlation in (0.0, 2.0):
        pools = [world(seed, windows=2000, correlation=correlation) for seed in (5, 6, 7)]
        found = [Precision(sample_of(*made, 300)).above(0.5).precision.half_width for made in pools]
        widths[correlation] = np.mean(found)
    assert widths[2.0] > 1.15 * widths[0.0]


def test_thresholds_for_a_wanted_precision_reach_it() -> None:
    pool, truth = world(6, windows=3000)
    chosen = choose_thresholds(Precision(sample_of(pool, truth, 900)), 0.8)
    assert [c.species for c in chosen] == list(pool.labels)
    for c in chosen:
        assert c.reached
        assert true_precision(pool, truth, c.threshold, c.species)[0] == pytest.approx(0.8, abs=0.1)
    careful = choose_thresholds(Precision(sample_of(pool, truth, 900)), 0.8, by_lower_bound=True)
    assert all(b.threshold > a.threshold for a, b in zip(chosen, careful, strict=True))


def test_a_precision_that_no_threshold_reaches_is_reported() -> None:
    pool, truth = world(7, windows=2000)
    wrong = dict.fromkeys(truth, False)
    chosen = choose_thresholds(Precision(sample_of(pool, wrong, 200)), 0.9)
    assert not any(c.reached for c in chosen)


def test_the_stopping_rule_says_what_remains_and_keeps_its_word() -> None:
    pool, truth = world(8, windows=3000)
    few = Precision(sample_of(pool, truth, 90))
    rule = remaining(few, 0.6, 0.05)
    assert rule.is_enough
    assert rule.half_width > 0.05
    assert rule.text.endswith(f"bring the precision at 0.6 to within 0.05 (now {rule.half_width:.2f})")
    rows = answers(make_queue(pool, {}, QueueOptions(count=90)), truth)
    seen = {r.key for r in rows}
    for (low, high), count in rule.more.items():
        options = QueueOptions("stratified", 10**6, seed=1)
        of_stratum = [
            i for i in make_queue(pool, {}, options) if low <= i.probability < high + (high == 1) and i.key not in seen
        ]
        order = np.random.default_rng(0).permutation(len(of_stratum))[:count]
        rows += answers([of_stratum[n] for n in order], truth)
    after = Precision(Sample.of(pool, rows)).above(0.6).precision
    assert after.half_width == pytest.approx(0.05, abs=0.015)
    assert remaining(Precision(sample_of(pool, truth, 10**6)), 0.6).more == {}


def test_nothing_is_said_about_scores_below_those_that_were_reviewed() -> None:
    pool, truth = world(9, windows=2000)
    high = PoolFilter(min_probability=0.5)
    right = dict.fromkeys(truth, True)
    items = make_queue(pool, {}, QueueOptions(count=300, filter=high))
    sample = Sample.of(pool, answers(items, right), high)
    assert sample.borders[0] == 0.5
    assert [c.threshold for c in choose_thresholds(Precision(sample), 0.9)] == [0.5, 0.5, 0.5]


@pytest.mark.parametrize("by_lower_bound", [False, True])
def test_a_threshold_that_is_said_to_reach_the_precision_does_in_the_sample(by_lower_bound: bool) -> None:
    found = []
    for seed in range(4):
        pool, truth = world(seed, windows=1500, species=4, correlation=0.8)
        found += choose_thresholds(Precision(sample_of(pool, truth, 200)), 0.8, by_lower_bound)
    values = [c.result.precision.low if by_lower_bound else c.result.precision.value for c in found]
    assert [c.reached for c in found] == [value >= 0.8 for value in values]
    # The average with the threshold of all species together can be too low for a species.
    assert by_lower_bound or len({c.reached for c in found}) == 2


def test_the_stopping_rule_says_that_there_is_nothing_to_review() -> None:
    pool, truth = world(8, windows=500)
    assert (
        remaining(Precision(sample_of(pool, truth, 60)), 1.0).text
        == "the precision at 1 is unknown, as there is no item with this score"
    )
