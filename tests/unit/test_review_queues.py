"""Queues of a review: samples with known probabilities, the most informative items, filters."""

from collections import Counter

import numpy as np
import pytest

from autobird.core.errors import AutobirdError
from autobird.review.filters import PoolFilter
from autobird.review.queues import EDGES, QueueOptions, make_queue, shares
from tests.reviews import make_pool

RNG = np.random.default_rng(3)
PROBABILITIES = RNG.beta(0.5, 0.8, (400, 3))
POOL = make_pool(PROBABILITIES)
THRESHOLDS = {"Species a": 0.5, "Species b": 0.3, "Species c": 0.7}


def test_a_stratified_queue_has_equally_many_items_of_each_species_and_stratum() -> None:
    items = make_queue(POOL, THRESHOLDS, QueueOptions(count=90))
    counts = Counter((item.species, item.stratum) for item in items)
    assert len(items) == 90
    assert len(counts) == 3 * (len(EDGES) + 1)
    assert set(counts.values()) == {5}
    for item in items:
        low, high = map(float, item.stratum.removeprefix("score ").split("-"))
        assert low <= item.probability < high
        column = POOL.labels.index(item.species)
        members = ((PROBABILITIES[:, column] >= low) & (PROBABILITIES[:, column] < high)).sum()
        assert item.sampling_probability == pytest.approx(5 / members, rel=0.05)


def test_a_review_that_ends_early_has_seen_all_strata() -> None:
    first = make_queue(POOL, THRESHOLDS, QueueOptions(count=90))[:18]
    assert len({(item.species, item.stratum) for item in first}) == 18


def test_each_item_is_drawn_with_its_sampling_probability() -> None:
    drawn: Counter[str] = Counter()
    expected: dict[str, float] = {}
    seeds = 150
    for seed in range(seeds):
        for item in make_queue(POOL, THRESHOLDS, QueueOptions("random", 100, seed)):
            drawn[item.id] += 1
            expected[item.id] = item.sampling_probability or 0.0
    assert expected[next(iter(drawn))] == pytest.approx(100 / len(POOL.item_window))
    share = np.array([drawn[name] for name in drawn]) / seeds
    # Binomial numbers: the variance shows that no item is preferred.
    p = 100 / len(POOL.item_window)
    assert share.mean() == pytest.approx(p, rel=0.02)
    assert share.var() == pytest.approx(p * (1 - p) / seeds, rel=0.3)


def test_the_same_seed_gives_the_same_queue_and_a_larger_one_begins_with_it() -> None:
    small, large, other = (
        make_queue(POOL, THRESHOLDS, QueueOptions("random", count, seed)) for count, seed in ((50, 1), (80, 1), (50, 2))
    )
    assert [i.key for i in large[:50]] == [i.key for i in small]
    assert {i.key for i in other} != {i.key for i in small}


def test_uncertain_items_are_nearest_to_the_threshold_of_their_species_and_do_not_overlap() -> None:
    items = make_queue(POOL, THRESHOLDS, QueueOptions("uncertain", 30))
    distance = [
        abs(np.log(i.probability / (1 - i.probability)) - np.log(THRESHOLDS[i.species] / (1 - THRESHOLDS[i.species])))
        for i in items
    ]
    assert distance == sorted(distance)
    assert all(item.sampling_probability is None for item in items)


def test_unlike_items_are_detections_in_windows_with_the_highest_unknown_score() -> None:
    items = make_queue(POOL, THRESHOLDS, QueueOptions("unlike", 20))
    assert all(item.probability >= THRESHOLDS[item.species] for item in items)
    scores = [item.unknown_score for item in items]
    assert scores == sorted(scores, reverse=True)


def test_similar_items_follow_the_cosine_of_their_window() -> None:
    cosines = np.linspace(-1, 1, len(POOL.window_file))
    items = make_queue(POOL, THRESHOLDS, QueueOptions("similar", 5), cosines)
    assert items[0].file == POOL.files[-1].name
    assert [item.similarity for item in items] == sorted((item.similarity for item in items), reverse=True)
    with pytest.raises(AutobirdError, match="--clip"):
        make_queue(POOL, THRESHOLDS, QueueOptions("similar", 5))


def test_filters_by_site_hour_species_and_probability() -> None:
    chosen = PoolFilter(("Species b",), ("hill",), (3, 5), 0.2)
    items = make_queue(POOL, THRESHOLDS, QueueOptions(count=1000, filter=chosen))
    assert items
    assert {item.species for item in items} == {"Species b"}
    assert {item.site for item in items} == {"hill"}
    assert {item.recorded_at[11:13] for item in items} == {"04"}
    assert min(item.probability for item in items) >= 0.2
    assert {item.stratum.partition(" [")[2] for item in items} == {"site hill; hours 3-5]"}
    night = PoolFilter(hours=(19, 3))
    found = make_queue(POOL, THRESHOLDS, QueueOptions("random", 1000, filter=night))
    assert {item.recorded_at[11:13] for item in found} == {"20"}
    with pytest.raises(AutobirdError, match="the recordings have the sites hill, lake"):
        make_queue(POOL, THRESHOLDS, QueueOptions(filter=PoolFilter(sites=("moor",))))


def test_cells_with_too_few_items_leave_their_share_to_the_others() -> None:
    assert shares({(0, 0): 1, (0, 1): 10, (1, 0): 10}, 9) == {(0, 0): 1, (0, 1): 4, (1, 0): 4}
    assert shares({(0, 0): 1, (0, 1): 2}, 9) == {(0, 0): 1, (0, 1): 2}


def test_a_probability_that_equals_a_border_belongs_to_the_stratum_above_it() -> None:
    pool = make_pool(np.full((40, 2), 0.9))
    for chosen in (PoolFilter(), PoolFilter(min_probability=0.9)):
        items = make_queue(pool, THRESHOLDS, QueueOptions(count=100, filter=chosen))
        assert {item.stratum for item in items} == {"score 0.9-1"}
        assert len(items) == 80


def test_the_order_of_the_sites_does_not_change_the_filter() -> None:
    assert PoolFilter(sites=("lake", "hill")).text == PoolFilter(sites=("hill", "lake", "hill")).text
