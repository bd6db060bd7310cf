"""Label sets of annotated recordings from their boxes: which species are present, absent or unknown in a window."""

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autobird.dataset.boxes import boxes_after_end, label_recordings, label_windows, usable_boxes
from autobird.dataset.settings import DatasetStageSettings
from autobird.sources.base import DUPLICATE, NEGATIVE_LABEL

X, Y = ["x"], ["y"]
NOTHING = ([], [], "absent")
ANYTHING = ([], [], "unknown")


def windows(*starts: float, duration: float = 60.0) -> pd.DataFrame:
    return pd.DataFrame({"recording": "a", "start": [round(s * 16000) for s in starts], "duration": duration})


def boxes(*rows: tuple[float, float, str], duration: float = 60.0) -> pd.DataFrame:
    """Return usable boxes from (start, end, label); labels in capitals stand for problems of the box."""
    table = pd.DataFrame([("a", *row) for row in rows], columns=["recording", "start", "end", "species"])
    problems = {"": "no label", "unknown": "no species"}
    table["problem"] = table["species"].map(lambda name: problems.get(name, name if name.isupper() else ""))
    table["species"] = table["species"].map(lambda name: name[:1].lower() if name.isupper() else name)
    return usable_boxes(table, pd.Series({"a": duration}), {"x", "y"})


def labels(
    starts: tuple[float, ...], *rows: tuple[float, float, str], duration: float = 60.0, **settings: object
) -> list[tuple[list[str], list[str], str]]:
    """Return the species that are present, those that are unknown and the default of each window."""
    found = label_windows(
        windows(*starts, duration=duration), boxes(*rows, duration=duration), DatasetStageSettings(**settings)
    )
    return list(found[["present", "unknown", "default"]].itertuples(index=False, name=None))


def test_a_window_has_all_species_whose_boxes_it_overlaps_enough() -> None:
    rows = ((1.0, 2.0, "x"), (3.0, 4.0, "y"), (9.8, 11.0, "x"), (16.0, 17.0, ""))
    assert labels((0, 5, 10, 15, 30), *rows) == [
        (["x", "y"], [], "absent"),
        ([], X, "absent"),  # a box reaches 0.2 s into it
        (X, [], "absent"),
        ANYTHING,  # a box without a species
        NOTHING,
    ]


def test_a_window_that_a_box_overlaps_too_little_may_hold_its_species() -> None:
    assert labels((0, 2.5, 5, 20), (4.7, 6.0, "x"), min_overlap=0.5) == [
        ([], X, "absent"), (X, [], "absent"), (X, [], "absent"), NOTHING,
    ]  # fmt: skip
    assert labels((0,), (4.7, 6.0, "x"), min_overlap=0.3) == [(X, [], "absent")]


def test_a_box_shorter_than_the_minimum_overlap_counts_if_it_is_within_the_window() -> None:
    assert labels((0, 2.4), (2.3, 2.5, "x")) == [(X, [], "absent"), ([], X, "absent")]


def test_with_the_centre_rule_the_centre_of_the_window_must_be_in_the_box() -> None:
    assert labels((0, 2.5, 5), (2.0, 3.0, "x"), centre=True) == [(X, [], "absent"), ([], X, "absent"), NOTHING]


def test_overlapping_boxes_of_one_species_label_a_window_once() -> None:
    assert labels((0,), (1, 3, "x"), (2, 4, "x"), (4.9, 9, "x")) == [(X, [], "absent")]


def test_a_species_that_is_present_is_not_unknown_because_of_another_of_its_boxes() -> None:
    assert labels((0,), (1, 2, "x"), (4.9, 6, "x"), (4.9, 6, "y")) == [(X, Y, "absent")]


@pytest.mark.parametrize("label", ["", "unknown"])
def test_a_window_that_a_box_without_a_species_touches_may_hold_any_species(label: str) -> None:
    result = labels((0, 5, 10), (1, 2, label), (6, 7, label), (7, 8, "x"))
    assert result == [ANYTHING, (X, [], "unknown"), NOTHING]


def test_a_box_of_unknown_time_may_be_in_any_window_of_its_recording() -> None:
    """A point in time has no length, and the times of a row can be ambiguous; `X` is such a box of species x."""
    assert labels((0, 5), (1, 1, "X"), (1, 2, "y")) == [(Y, X, "absent"), ([], X, "absent")]
    assert labels((0, 5), (1, 1, "X"), (1, 2, "x")) == [(X, [], "absent"), ([], X, "absent")]
    assert labels((0, 5), (1, 1, "ZERO")) == [ANYTHING, ANYTHING]  # its label z is no species


def test_a_duplicate_row_and_a_box_around_noise_tell_nothing() -> None:
    table = pd.DataFrame(
        [("a", 1.0, 2.0, "x", ""), ("a", 1.0, 2.0, "x", DUPLICATE), ("a", 3.0, 4.0, "noise", NEGATIVE_LABEL)],
        columns=["recording", "start", "end", "species", "problem"],
    )
    assert len(usable_boxes(table, pd.Series({"a": 9.0}), {"x"})) == 1


def test_boxes_beyond_the_end_of_the_recording_label_nothing() -> None:
    """Of a recording of 9 s, the last window is padded from 9 s to 12.5 s."""
    starts = (0, 2.5, 5, 7.5)
    assert labels(starts, (9.0, 12.0, "x"), (11.0, 12.0, ""), duration=9) == [NOTHING] * 4
    # Only 0.1 s of this box are in the recording.
    within = labels(starts, (8.9, 12.0, "x"), duration=9)
    assert within == [NOTHING, NOTHING, ([], X, "absent"), ([], X, "absent")]
    # The centre of the last window, 10 s, is in the padding.
    assert labels((7.5,), (8.0, 12.0, "x"), duration=9, centre=True) == [([], X, "absent")]


def test_boxes_without_another_problem_that_begin_after_the_end_are_counted() -> None:
    table = pd.DataFrame(
        [("a", 8.9, ""), ("a", 9.0, ""), ("a", 99.0, "zero length"), ("b", 99.0, "")], columns=["recording", "start", "problem"]
    )  # fmt: skip
    assert boxes_after_end(table, pd.Series({"a": 9.0})).tolist() == [False, True, False, False]


def test_recordings_without_boxes_hold_nothing() -> None:
    """An annotation table without rows says that nothing is in its recording."""
    assert labels((0, 5)) == [NOTHING, NOTHING]
    found = label_recordings(["a", "b"], boxes((1, 2, "x")))
    assert found.loc["b"].tolist() == list(NOTHING)


def test_the_labels_of_a_recording_come_from_its_boxes() -> None:
    """A short box may contain the centre of no window, and a box without a species may be of any species."""
    drawn = boxes((0.2, 1.5, "x"), (7.0, 9.0, "y"), (70.0, 71.0, "x"))
    found = label_windows(windows(0, 2.5, 5), drawn, DatasetStageSettings(centre=True))
    assert found["present"].tolist() == [[], [], Y]
    assert label_recordings(["a"], drawn).loc["a"].tolist() == [["x", "y"], [], "absent"]
    assert label_recordings(["a"], boxes((0.2, 1.5, "x"), (2, 3, ""))).loc["a"].tolist() == [X, [], "unknown"]
    assert label_recordings(["a"], boxes((0.2, 1.5, "x"), (2, 2, "Y"))).loc["a"].tolist() == [X, Y, "absent"]
    assert label_recordings(["a"], boxes((70, 71, "x"))).loc["a"].tolist() == list(NOTHING)


@given(
    st.lists(st.tuples(st.floats(0, 30), st.floats(0.01, 9), st.sampled_from(["x", "y", "", "X"])), max_size=8),
    st.floats(0.05, 5),
    st.booleans(),
)
def test_only_windows_that_no_box_can_touch_hold_nothing(
    rows: list[tuple[float, float, str]], overlap: float, centre: bool
) -> None:
    drawn = [(start, start + length, species) for start, length, species in rows]
    starts = (0, 2.5, 5, 7.5, 10, 30)
    found = labels(starts, *drawn, min_overlap=overlap, centre=centre)
    for start, (present, unknown, default) in zip(starts, found, strict=True):
        touching = {s for a, b, s in drawn if s == "X" or (a < start + 5 and b > start)}
        assert not set(present) & set(unknown)
        assert set(present) | set(unknown) == {s.lower() for s in touching} - {""}
        assert default == ("unknown" if "" in touching else "absent")
