"""Intervals of events per hour, over sessions."""

import numpy as np
import pytest
from scipy.stats import chi2

from autobird.evaluation.false_alarms_text import rate_text
from autobird.evaluation.rates import rate_interval


def test_independent_events_have_the_exact_interval_of_a_poisson_distribution() -> None:
    """Many sessions with the same number of events: no dispersion is above 1."""
    value, low, high = rate_interval(np.ones(1000), np.full(1000, 0.1), 0.95)
    assert value == pytest.approx(10.0)
    np.testing.assert_allclose([low, high], [chi2.ppf(0.025, 2000) / 200, chi2.ppf(0.975, 2002) / 200], rtol=1e-3)


def test_without_any_event_the_upper_bound_is_that_of_independent_events() -> None:
    value, low, high = rate_interval(np.zeros(5), np.full(5, 2.0), 0.95)
    assert (value, low) == (0.0, 0.0)
    assert high == pytest.approx(-np.log(0.025) / 10)


def test_events_of_a_single_session_give_a_wide_interval() -> None:
    spread = rate_interval(np.full(10, 4), np.ones(10), 0.95)
    in_one = rate_interval(np.array([40, *[0] * 9]), np.ones(10), 0.95)
    assert spread[0] == in_one[0] == 4.0
    assert in_one[1] < 0.2 < 2.5 < spread[1]
    assert spread[2] < 6 < 25 < in_one[2]


def test_one_session_has_no_interval_and_no_hours_have_no_rate() -> None:
    value, low, high = rate_interval(np.array([3, 0]), np.array([1.5, 0.0]), 0.95)
    assert value == 2.0
    assert np.isnan([low, high]).all()
    assert rate_interval(np.zeros(2), np.zeros(2), 0.95) is None


@pytest.mark.parametrize(
    ("sessions", "variation", "least"),
    [(3, 0, 0.95), (3, 1, 0.90), (5, 1, 0.91), (10, 0, 0.95), (10, 1, 0.92), (20, 1, 0.92), (40, 2, 0.90)],
)
@pytest.mark.parametrize("expected", [0.5, 3, 30])
def test_the_intervals_contain_the_true_rate(sessions: int, variation: float, least: float, expected: float) -> None:
    """95 % intervals in a simulation: the rates of sessions differ with this coefficient of variation (gamma)."""
    rng, trials, covered = np.random.default_rng(0), 500, 0
    for _ in range(trials):
        hours = rng.uniform(0.5, 1.5, sessions)
        relative = rng.gamma(1 / variation**2, variation**2, sessions) if variation else np.ones(sessions)
        counts = rng.poisson(relative * hours * expected / sessions)
        _, low, high = rate_interval(counts, hours, 0.95)
        covered += low <= expected / sessions <= high
    assert covered / trials >= least


def test_a_rate_in_a_text_has_no_exponent_and_an_unknown_interval_is_named() -> None:
    assert rate_text({"value": 1134.0, "low": 0.80, "high": 52_112.0}) == "1,130 [0.8, 52,100]"
    for unknown in (None, float("nan")):
        assert rate_text({"value": 12.345, "low": unknown, "high": unknown}) == "12.3 [interval unknown]"
