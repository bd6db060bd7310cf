"""Decision thresholds: the best F1 of windows, a wanted precision, and a wanted number of false alarms."""

import numpy as np
import pytest
from scipy.special import expit, logit

from autobird.evaluation.thresholds import (
    FALLBACK_THRESHOLD,
    POOLED_GROUPS,
    Level,
    highest_of_recordings,
    needed_shift,
    select_thresholds,
    shifted,
)
from autobird.predict.classification import run_starts

MANY = 10**9
"""So many groups that a species has its own best threshold."""


def level(
    p: np.ndarray, present: np.ndarray, known: np.ndarray | None = None, weights: np.ndarray | None = None
) -> Level:
    known = np.ones(p.shape, bool) if known is None else known
    return Level.of(p, present, known, np.ones(len(p)) if weights is None else weights)


def thresholds(levels: list[Level], precision: float | None = None, groups: int = MANY) -> np.ndarray:
    species = levels[0].probabilities.shape[1]
    return select_thresholds(levels, np.full(species, groups), precision).values[0]


def flags(truth: np.ndarray, species: int) -> np.ndarray:
    return np.eye(species, dtype=bool)[truth]


def test_thresholds_separate_windows_with_and_without_a_species() -> None:
    """Species 3 has exactly the required number of windows; species 2 has one fewer, and gets the threshold of all species."""
    truth = np.repeat([0, 1, 2, 3], [10, 13, 4, 5])
    p = np.where(flags(truth, 4), [0.7, 0.8, 0.9, 0.6], 0.1)
    found = select_thresholds([level(p, flags(truth, 4))], np.full(4, MANY))
    assert found.chosen.tolist() == [True, True, False, True]
    # Halfway between the probabilities; the threshold of all species separates all windows with their species from the others.
    assert found.values[0].tolist() == pytest.approx([0.4, 0.45, 0.35, 0.35])


def test_without_any_window_with_a_species_the_threshold_is_the_fallback() -> None:
    p, nothing = np.linspace(0, 1, 20)[:, None], np.zeros((20, 1), bool)
    assert thresholds([level(p, nothing)]) == [FALLBACK_THRESHOLD]
    found = select_thresholds([level(p, nothing)], np.zeros(1, int), 0.9)
    assert (found.chosen[0], found.reached[0]) == (False, False)


def test_cells_that_are_not_known_and_items_without_weight_have_no_part_in_a_threshold() -> None:
    p, present = np.array([[0.9]] * 6 + [[0.3]] * 6), np.array([[True]] * 6 + [[False]] * 6)
    expected = thresholds([level(p, present)])
    more, more_present = np.r_[p, [[0.89]] * 20], np.r_[present, [[False]] * 20]
    assert thresholds([level(more, more_present)]) != expected
    assert thresholds([level(more, more_present, known=(np.arange(32) < 12)[:, None])]) == expected
    without_weight = thresholds([level(more, more_present, weights=(np.arange(32) < 12).astype(float))])
    assert (p >= without_weight).tolist() == (p >= expected).tolist()


def test_a_threshold_lies_between_two_different_probabilities_and_is_not_rounded() -> None:
    close = np.array([1 - 1e-8] * 6 + [1 - 3e-8] * 6)[:, None]
    present = np.array([[True]] * 6 + [[False]] * 6)
    found = thresholds([level(close, present)])
    assert (close[:, 0] >= found).tolist() == [True] * 6 + [False] * 6
    tied = np.full((12, 1), 0.7)
    assert (tied >= thresholds([level(tied, present)])).all()  # a threshold cannot separate equal probabilities


def test_the_best_threshold_has_the_highest_f1_of_windows_whatever_the_recordings_prefer() -> None:
    """Ten recordings with the species have one loud and two quiet windows; ten without have windows at 0.5, 0.45 and 0.1.

    Windows prefer a threshold of 0.25 (F1 = 2 * 30 / (50 + 30) = 0.75 against 2 * 10 / (10 + 30) = 0.5 at 0.7), at which every
    recording detects the species (F1 = 2 * 10 / (20 + 10) = 0.667). At 0.7 all recordings are right, and the mean of both is higher.
    """
    window = np.array([0.9, 0.4, 0.4] * 10 + [0.5, 0.45, 0.1] * 10)[:, None]
    present = (np.arange(60) < 30)[:, None]
    windows = level(window, present)
    recordings = level(highest_of_recordings(window, np.arange(60) // 3, 20), present[::3])
    assert thresholds([recordings]) == pytest.approx([0.7])
    assert thresholds([windows, recordings]) == pytest.approx([0.25])
    assert thresholds([windows, recordings], groups=0) == pytest.approx([0.25])
    assert thresholds([windows, recordings], 0.9) == pytest.approx([0.7])


def test_few_groups_draw_a_threshold_to_that_of_all_species() -> None:
    truth = np.repeat([0, 1], 50)
    p = np.where(flags(truth, 2), [0.9, 0.6], [0.5, 0.1])
    own = np.array([0.7, 0.35])
    # At 0.75, all species together have F1 = 2 * 50 / (50 + 100); at 0.3 all 200 cells but 50 are right: 2 * 100 / (150 + 100).
    together = (0.6 + 0.5) / 2
    levels = [level(p, flags(truth, 2))]
    assert thresholds(levels) == pytest.approx(own)
    halfway = expit((logit(own) + logit(together)) / 2)
    assert thresholds(levels, groups=int(POOLED_GROUPS)) == pytest.approx(halfway)
    assert thresholds(levels, groups=0) == pytest.approx([together] * 2)


def test_a_wanted_precision_gives_the_lowest_threshold_that_has_it_on_every_level() -> None:
    # Sorted by probability: right, right, wrong, right, right, wrong, wrong, right.
    p = np.array([0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2])[:, None].repeat(2, axis=0)
    present = np.array([1, 1, 0, 1, 1, 0, 0, 1], bool)[:, None].repeat(2, axis=0)
    windows = level(p, present)
    assert thresholds([windows], 0.8) == pytest.approx([0.45])  # precision 4 / 5 from 0.5 on
    assert thresholds([windows], 0.9) == pytest.approx([0.75])
    assert thresholds([windows], 0.5) == pytest.approx([0.1])
    # Recordings: one of two with a window above 0.45 is wrong.
    recordings = level(np.array([[0.85], [0.75]]), np.array([[True], [False]]))
    assert thresholds([windows, recordings], 0.8) == pytest.approx([0.85 - 0.1])


def test_a_precision_that_cannot_be_reached_is_said_and_the_threshold_is_the_best_there_is() -> None:
    p = np.array([0.9, 0.8, 0.7, 0.6] * 5)[:, None]
    present = np.array([0, 1, 1, 0] * 5, bool)[:, None]
    found = select_thresholds([level(p, present)], np.array([9]), 0.9)
    assert not found.reached[0]
    assert found.values[0] == pytest.approx([0.65])  # precision 2 / 3 from 0.7 on
    assert select_thresholds([level(p, present)], np.array([9]), 0.6).reached[0]


def test_every_row_of_the_draws_has_the_threshold_of_the_groups_that_it_draws() -> None:
    rng = np.random.default_rng(0)
    p, present, group = rng.random((60, 2)).round(2), rng.random((60, 2)) < 0.4, np.arange(60) // 3
    draws = np.r_[np.ones((1, 20)), rng.integers(0, 3, (5, 20))]
    one = Level(p, present, np.ones(p.shape, bool), np.ones(60), group, draws)
    found = select_thresholds([one], np.full(2, MANY))
    for row, own in zip(draws, found.values, strict=True):
        repeated = np.repeat(np.arange(60), row[group].astype(int))
        drawn = thresholds([level(p[repeated], present[repeated])])
        # The next lower probability may be that of an item which was not drawn.
        for species in range(2):
            detected = p[repeated, species][:, None] >= [own[species], drawn[species]]
            assert (detected[:, 0] == detected[:, 1]).all()


# False alarms


def count(thresholds: np.ndarray, p: np.ndarray, recording: np.ndarray, number: np.ndarray) -> int:
    return int(run_starts(p >= thresholds, recording, number).sum())


def test_thresholds_rise_until_there_are_few_enough_detections_and_no_more_than_needed() -> None:
    rng = np.random.default_rng(1)
    recording = np.repeat(np.arange(40), 25)
    number = np.tile(np.delete(np.arange(30), [3, 9, 10, 20, 21]), 40)  # some windows are quiet
    p, start = expit(rng.normal(-3, 2, (1000, 3))), np.array([0.1, 0.3, 0.5])
    for allowed in (200, 60, 5, 0.5):
        shift, reached = needed_shift(start, p, recording, number, allowed)
        assert reached
        assert count(shifted(start, shift), p, recording, number) <= allowed
        assert shift == 0 or count(shifted(start, shift - 0.02), p, recording, number) > allowed
    assert needed_shift(start, p, recording, number, 10_000) == (0.0, True)
    assert shifted(start, 0.0) is start
    assert np.allclose(logit(shifted(start, 1.5)) - logit(start), 1.5)


def test_a_number_of_detections_that_no_threshold_gives_is_not_reached() -> None:
    p, recording, number = np.full((3, 1), 0.999), np.arange(3), np.zeros(3, int)
    assert needed_shift(np.array([0.5]), p, recording, number, -1.0)[1] is False
    shift, reached = needed_shift(np.array([0.5]), np.zeros((0, 1)), recording[:0], number[:0], 0.0)
    assert (shift, reached) == (0.0, True)  # there is no sound


def test_consecutive_windows_of_a_recording_are_one_detection_unless_a_window_between_is_missing() -> None:
    detected = np.array([1, 1, 0, 1, 1, 1], bool)[:, None]
    recording, number = np.array([0, 0, 0, 0, 1, 1]), np.array([0, 1, 2, 3, 4, 6])
    assert run_starts(detected, recording, number)[:, 0].tolist() == [True, False, False, True, True, True]
