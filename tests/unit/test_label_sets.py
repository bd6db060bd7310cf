"""Label sets as arrays."""

import numpy as np
import pandas as pd

from autobird.dataset.label_sets import LabelSets

LABELS = ["Anser anser", "Parus major", "Pica pica"]


def _table(*rows: tuple[list[str], list[str], list[str], str]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["present", "absent", "unknown", "default"])


def test_cells_that_are_present_absent_and_unknown() -> None:
    sets = LabelSets.of(
        _table(
            (["Pica pica"], [], [], "absent"),
            (["Pica pica"], [], ["Anser anser"], "absent"),
            ([], [], [], "absent"),
            ([], ["Parus major"], [], "unknown"),
            (["Anser anser", "Pica pica", "Corvus corax"], [], [], "absent"),
            (["Parus major"], [], [], "unknown"),
        ),
        LABELS,
    )
    assert sets.present.tolist() == [
        [False, False, True],
        [False, False, True],
        [False, False, False],
        [False, False, False],
        [True, False, True],
        [False, True, False],
    ]
    assert sets.known.tolist() == [
        [True, True, True],
        [False, True, True],
        [True, True, True],
        [False, True, False],
        [True, True, True],
        [False, True, False],
    ]
    assert sets.complete.tolist() == [True, False, True, False, True, False]
    assert sets.single.tolist() == [2, -1, -1, -1, -1, -1]


def test_present_wins_over_unknown_and_unknown_over_absent() -> None:
    sets = LabelSets.of(_table((["Pica pica"], ["Anser anser"], ["Pica pica", "Anser anser"], "absent")), LABELS)
    assert sets.present.tolist() == [[False, False, True]]
    assert sets.known.tolist() == [[False, True, True]]


def test_prefix_selects_the_sets_of_recordings_and_lists_may_be_arrays() -> None:
    table = _table((["Pica pica"], [], [], "absent")).add_prefix("recording_")
    table["recording_present"] = [np.array(["Anser anser"], object)]
    assert LabelSets.of(table, LABELS, "recording_").present.tolist() == [[True, False, False]]


def test_tables_without_rows_and_without_labels() -> None:
    assert LabelSets.of(_table(), LABELS).present.shape == (0, 3)
    assert LabelSets.of(_table((["Pica pica"], [], [], "absent")), []).single.tolist() == [-1]
