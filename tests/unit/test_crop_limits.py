"""How far windows can be shifted: within neighbouring windows that are not quiet, and while their labels stay the same."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autobird.dataset.boxes import label_windows
from autobird.dataset.crop_limits import ANYWHERE, label_limits, limit_to_audible
from autobird.dataset.settings import DatasetStageSettings
from tests.dataset_tables import build_index, many, recordings, tables_of, windows
from tests.unit.test_boxes import boxes
from tests.unit.test_boxes import windows as windows_at
from tests.unit.test_label_index import FIVE, annotated

RATE, HOP = 16000, 40_000
CENTRE = DatasetStageSettings(centre=True)


def limits(
    *rows: tuple[float, float, str], start: float, duration: float = 60.0, rule: DatasetStageSettings = FIVE
) -> tuple[float, float]:
    """Return the limits of one window, seconds."""
    earliest, latest = label_limits(windows_at(start, duration=duration), boxes(*rows, duration=duration), rule)
    return earliest[0] / RATE, latest[0] / RATE


def test_a_window_with_a_species_is_shifted_while_one_of_its_boxes_overlaps_it_enough() -> None:
    assert limits((10, 11, "x"), start=8) == pytest.approx((5.5, 10.5), abs=1e-3)
    # The next box of the species follows soon enough, so that there is always one of them in the window.
    assert limits((10, 11, "x"), (13, 14, "x"), start=8) == pytest.approx((5.5, 13.5), abs=1e-3)
    assert limits((10, 11, "x"), (13, 14, "y"), start=8.8) == pytest.approx((8.5, 10.5), abs=1e-3)
    assert limits((10, 11, "x"), start=8, rule=CENTRE) == pytest.approx((7.5, 8.5), abs=1e-3)
    assert limits((10, 11, "x"), (11, 12, "x"), start=8, rule=CENTRE) == pytest.approx((7.5, 9.5), abs=1e-3)


def test_a_negative_window_is_shifted_while_no_box_touches_it() -> None:
    assert limits((10, 11, "x"), (30, 31, ""), start=15) == pytest.approx((11, 25), abs=1e-3)
    assert limits((10, 11, "x"), start=2) == pytest.approx((0, 5), abs=1e-3)
    # One that ends where the box begins is not shifted towards it.
    assert limits((10, 11, "x"), start=5) == pytest.approx((0, 5), abs=1e-3)


def test_a_window_that_a_box_of_the_species_touches_too_little_is_shifted_while_it_does() -> None:
    assert limits((10, 11, "x"), start=5.2) == pytest.approx((5, 5.5), abs=1e-3)


def test_without_boxes_a_window_can_be_anywhere() -> None:
    earliest, latest = label_limits(windows_at(0, 2.5), boxes().iloc[:0], FIVE)
    assert set(zip(earliest, latest, strict=True)) == {ANYWHERE}


GRID = st.integers(0, 79).map(lambda n: n / 4)
BOX = st.tuples(GRID, GRID, st.sampled_from(["x", "y", ""])).map(lambda b: (min(b[:2]), max(b[:2]) + 0.25, b[2]))


@settings(max_examples=60, deadline=None)
@given(st.lists(BOX, min_size=1, max_size=6), st.sampled_from([FIVE, CENTRE, DatasetStageSettings(min_overlap=3)]))
def test_between_the_limits_the_labels_are_the_same_and_beyond_them_they_differ(
    drawn: list[tuple[float, float, str]], rule: DatasetStageSettings
) -> None:
    duration, starts = 18.0, (0.0, 2.5, 5.0, 7.5, 10.0, 12.5, 15.0)
    table, drawn_boxes = windows_at(*starts, duration=duration), boxes(*drawn, duration=duration)
    earliest, latest = label_limits(table, drawn_boxes, rule)

    def label_sets(samples: np.ndarray) -> list[tuple[list[str], list[str], str]]:
        found = windows_at(*(samples / RATE), duration=duration)
        return list(label_windows(found, drawn_boxes, rule).itertuples(index=False, name=None))

    own = label_sets(table["start"].to_numpy())
    for at, start in enumerate(table["start"]):
        last = min(int(latest[at]), int(duration * RATE))
        assert 0 <= earliest[at] <= start <= latest[at]
        inside = np.unique(np.linspace(earliest[at], last, 25).astype(int))
        assert label_sets(inside) == [own[at]] * len(inside)
        # A limit is at most one sample inside of the true one, and labels can differ for a single sample.
        for outside in (np.arange(earliest[at] - 2, earliest[at]), np.arange(last + 1, last + 3)):
            if outside[0] > 0 and outside[-1] < duration * RATE:
                assert set(map(str, label_sets(outside))) != {str(own[at])}


def test_a_window_is_not_shifted_over_quiet_windows_or_out_of_its_recording() -> None:
    entries = pd.DataFrame(
        {"recording": ["a", "a", "b"], "quiet": [False, True, False], "earliest": 0, "latest": ANYWHERE[1]}
    )
    entry = np.array([0, 0, 1, 0, 0, 0, 2, 2])
    numbers = {"entry": entry, "start": np.array([*(np.arange(6) * HOP), 0, HOP])}
    limit_to_audible(entries, numbers)
    assert (numbers["earliest"] / HOP).tolist() == [0, 0, 2, 3, 3, 3, 0, 0]
    assert (numbers["latest"] / HOP).tolist() == [1, 1, 2, 5, 5, 5, 1, 1]


def test_the_index_has_the_limits_of_focal_annotated_and_reviewed_windows() -> None:
    rows, of_recordings, drawn = annotated(8, (1.0, 2.0, "x"))
    reviewed = [("reviews/0", "", "reviews", "")]
    of_recordings = pd.concat(
        [of_recordings, pd.DataFrame({"recording": ["reviews/0"], "kind": "reviewed", "uncertain": [[]]})]
    )
    drawn = drawn.assign(decision="", sampling_probability=0.0)
    decision = ("reviews/0", 2.5, 7.5, "x", "", "present", 0.0)
    drawn.loc[len(drawn)] = dict(
        zip(
            ("recording", "start", "end", "species", "problem", "decision", "sampling_probability"),
            decision,
            strict=True,
        )
    )
    table = recordings(*many("x", 30), *many("y", 30), *rows, *reviewed)
    table["duration"] = 10.0
    audio = windows(table)
    quiet = (audio["recording"] == "y/0") & (audio["start"] == HOP)
    audio.loc[quiet, "rms"] = 0.0
    index, _ = build_index(table, audio, tables_of(table, boxes=drawn, labels=of_recordings), FIVE)
    found = index.set_index(["recording", "start"])[["earliest", "latest"]] / HOP

    def of(recording: str) -> list[tuple[float, float]]:
        return [tuple(row) for row in found.loc[recording].to_numpy().round(3)]

    assert of("x/0") == [(0, 2), (0, 2), (0, 2)]
    assert of("y/0") == [(0, 0), (1, 1), (2, 2)]  # the middle one is quiet
    assert of("field/0") == [(0, 0.6), (0.8, 2), (0.8, 2)]  # the box is in the first one, up to a start at 1.5 s
    assert of("reviews/0") == [(0, 0), (1, 1), (2, 2)]
