"""Splits: groups stay whole, adding data moves nothing, small species have some of each split."""

import json
import string
from pathlib import Path
from typing import Any
from unittest import mock

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.axes import Axes

from autobird.corpus.data_figures import leakage_bars
from autobird.corpus.groups import clusters
from autobird.corpus.groups import group_keys as keys_of_groups
from autobird.corpus.leakage import leakage
from autobird.corpus.recorders import recorder_sessions
from autobird.corpus.schemas import PAIRS
from autobird.corpus.settings import SplitSettings
from autobird.corpus.split import SMALL
from autobird.corpus.split import deal as deal_groups
from autobird.release.card import shared_in_words

NO_PAIRS = pd.DataFrame(columns=PAIRS, dtype=str)


def deal(table: pd.DataFrame, options: SplitSettings) -> "pd.Series[str]":
    """The split of each recording."""
    return table.set_index("recording")["group"].map(deal_groups(table, options))


names = st.text(string.ascii_lowercase, min_size=1, max_size=6)


def recordings(species: str, groups: int, per_group: int = 2) -> pd.DataFrame:
    rows = [
        (f"{species}/{g}-{i}.wav", species, f"{species} group {g}", "") for g in range(groups) for i in range(per_group)
    ]
    return pd.DataFrame(rows, columns=["recording", "species", "group", "split"])


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(names, names, names), min_size=1, max_size=60), st.integers(0, 99), st.sampled_from([None, 0, 3])
)
def test_a_group_is_never_split_whatever_its_species(
    rows: list[tuple[str, str, str]], seed: int, fold: int | None
) -> None:
    table = pd.DataFrame(
        [(f"{s}/{n}{i}", s, g, "") for i, (n, s, g) in enumerate(rows)],
        columns=["recording", "species", "group", "split"],
    )
    splits = deal(table, SplitSettings(seed=seed, fold=fold))
    assert splits.index.tolist() == table["recording"].tolist()
    assert splits.isin(["train", "validation", "test"]).all()
    assert table.assign(split=splits.to_numpy()).groupby("group")["split"].nunique().max() == 1


@settings(max_examples=30, deadline=None)
@given(st.integers(SMALL, 60), st.integers(1, 20), st.integers(0, 99))
def test_adding_recordings_to_a_large_species_moves_no_other(groups: int, more: int, seed: int) -> None:
    options = SplitSettings(seed=seed)
    before = deal(recordings("a", groups), options)
    after = deal(recordings("a", groups + more), options)
    pd.testing.assert_series_equal(after[before.index], before)


@pytest.mark.parametrize(
    ("groups", "validation", "test"),
    [*((n, 0.1, 0.1) for n in range(3, SMALL)), *((n, 0.4, 0.5) for n in range(4, SMALL))],
)
def test_a_small_species_has_some_of_every_split(groups: int, validation: float, test: float) -> None:
    splits = deal(recordings("a", groups), SplitSettings(validation=validation, test=test))
    assert set(splits) == {"train", "validation", "test"}


def test_one_group_trains_and_two_train_and_test() -> None:
    assert set(deal(recordings("a", 1), SplitSettings())) == {"train"}
    assert set(deal(recordings("a", 2), SplitSettings())) == {"train", "test"}


def test_the_shares_are_met_over_many_groups() -> None:
    shares = deal(recordings("a", 4000, 1), SplitSettings(validation=0.1, test=0.2)).value_counts(normalize=True)
    assert shares["test"] == pytest.approx(0.2, abs=0.02)
    assert shares["validation"] == pytest.approx(0.1, abs=0.02)


@pytest.mark.parametrize("groups", [7, 40])
def test_another_seed_gives_another_split(groups: int) -> None:
    table = recordings("a", groups)
    splits = {tuple(deal(table, SplitSettings(seed=seed))) for seed in range(5)}
    assert len(splits) == 5


@pytest.mark.parametrize("groups", [7, 40])
def test_every_recording_is_tested_in_exactly_one_fold_and_validated_in_another(groups: int) -> None:
    table = pd.concat([recordings("a", groups), recordings("b", groups)])
    by_fold = pd.DataFrame({k: deal(table, SplitSettings(folds=5, fold=k)) for k in range(5)})
    assert ((by_fold == "test").sum(axis=1) == 1).all()
    assert ((by_fold == "validation").sum(axis=1) == 1).all()


def test_a_split_that_people_decided_wins_for_the_whole_group() -> None:
    table = recordings("a", 30)
    table.loc[table["group"] == "a group 7", "split"] = ["test", ""]
    assert (deal(table, SplitSettings())[table.loc[table["group"] == "a group 7", "recording"]] == "test").all()


@pytest.mark.parametrize("others", ["train", "validation", "test"])
def test_a_species_that_shares_groups_with_another_has_some_of_every_split_too(others: str) -> None:
    """Groups that a rarer species, or people, placed before count towards what a species has."""
    table = recordings("b", 5)
    table.loc[table["group"].isin(["b group 0", "b group 1"]), "split"] = others
    assert set(deal(table, SplitSettings())) == {"train", "validation", "test"}


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.lists(st.integers(0, 30), min_size=3, max_size=12, unique=True), min_size=1, max_size=6),
    st.integers(0, 9),
)
def test_species_with_three_groups_are_trained_on_and_mostly_tested_whatever_they_share(
    species: list[list[int]], seed: int
) -> None:
    rows = [(f"{s}/{g}", str(s), f"group {g}", "") for s, groups in enumerate(species) for g in groups]
    table = pd.DataFrame(rows, columns=["recording", "species", "group", "split"])
    where = deal_groups(table, SplitSettings(seed=seed))
    rarest = min(range(len(species)), key=lambda s: (len(species[s]), str(s)))
    assert {where[f"group {g}"] for g in species[rarest]} == {"train", "validation", "test"}


def group_keys(table: pd.DataFrame, grouping: pd.DataFrame, pairs: pd.DataFrame) -> "pd.Series[str]":
    return keys_of_groups(table, grouping, pairs, nights(table, grouping))


def nights(table: pd.DataFrame, grouping: pd.DataFrame) -> pd.DataFrame:
    """The sessions of recorders, of recordings without headers."""
    headers = {"location": "", "start": "", "duration": 60.0, "recorder": "", "recorded_at": "", "species": ""}
    return recorder_sessions(table.assign(**{k: v for k, v in headers.items() if k not in table}), grouping)


def sounds(**of: tuple[str, str]) -> pd.DataFrame:
    """Recordings with the sha256 of file and sound."""
    return pd.DataFrame(
        [(name, *hashes) for name, hashes in of.items()], columns=["recording", "file_sha256", "sound_sha256"]
    )


def sessions(*rows: tuple[str, str, str, str]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["recording", "recordist", "date", "place"]).assign(split="")


def pairs(*rows: tuple[str, str]) -> pd.DataFrame:
    return pd.DataFrame([(*r, "9", "0", "", "") for r in rows], columns=PAIRS)


def test_two_of_recordist_day_and_place_make_a_session() -> None:
    found = group_keys(
        sounds(a=("1", "1"), b=("2", "2"), c=("3", "3"), d=("4", "4"), e=("5", "5"), f=("6", "6"), g=("7", "7")),
        sessions(
            ("a", "Ann", "2021-05-01", "Wood"), ("b", "Ann", "2021-05-01", "Wood"), ("c", "Ann", "2021-05-01", ""),
            ("d", "Ann", "2021-05-01", ""), ("e", "Ann", "", ""), ("f", "Ann", "", ""),
        ),
        NO_PAIRS,
    )  # fmt: skip
    assert found["a"] == found["b"]
    assert found["c"] == found["d"]
    assert len({found[name] for name in "acefg"}) == 5


def test_a_recording_of_no_known_session_is_known_by_its_sound_so_that_another_name_moves_nothing() -> None:
    before = group_keys(sounds(a=("1", "s")), sessions(), NO_PAIRS)
    after = group_keys(sounds(renamed=("1", "s")), sessions(), NO_PAIRS)
    assert before["a"] == after["renamed"]


def test_near_duplicates_and_parts_of_one_file_stay_together_through_others_too() -> None:
    found = group_keys(
        sounds(a=("1", "1"), b=("2", "2"), c=("3", "3"), d=("4", "4"), e=("4", "5"), f=("6", "6")),
        sessions(("b", "Bob", "2021-01-01", "Fen"), ("f", "Bob", "2021-01-01", "Fen")),
        pairs(("a", "b"), ("b", "c"), ("f", "gone")),
    )
    assert found["a"] == found["b"] == found["c"] == found["f"]
    assert found["d"] == found["e"] != found["a"]


def test_what_joins_a_larger_group_takes_its_name() -> None:
    large = sessions(*[(name, "Bob", "2021-01-01", "Fen") for name in "abc"])
    table = sounds(a=("1", "1"), b=("2", "2"), c=("3", "3"))
    before = group_keys(table, large, NO_PAIRS)
    joined = pd.concat([table, sounds(x=("9", "9"))])
    after = group_keys(joined, large, pairs(("a", "x")))
    assert set(after) == set(before)


def test_clusters_hold_what_pairs_connect() -> None:
    found = clusters(pairs(("a", "b"), ("b", "c"), ("d", "e")))
    assert found["a"] == found["b"] == found["c"] != found["d"]
    assert clusters(NO_PAIRS).empty


def grouping_by(column: str, **values: str) -> pd.DataFrame:
    return sessions(*[(name, *(value if c == column else "" for c in ("recordist", "date", "place"))) for name, value in values.items()])  # fmt: skip


def test_a_recordist_is_the_same_in_upper_and_lower_case_and_a_day_however_it_is_written() -> None:
    found = group_keys(
        sounds(a=("1", "1"), b=("2", "2"), c=("3", "3"), d=("4", "4"), e=("5", "5"), f=("6", "6")),
        sessions(
            ("a", "J. Smith", "2023-05-25", ""), ("b", "j.  smith ", "25/05/2023", ""), ("c", "J. SMITH", "05/25/2023", ""),
            ("d", "J. Smith", "12/05/2023", ""), ("e", "J. Smith", "2023-05-12", ""), ("f", "J. Smith", "2023-12-05", ""),
        ),
        NO_PAIRS,
    )  # fmt: skip
    assert found["a"] == found["b"] == found["c"]
    assert len({found[name] for name in "adef"}) == 4


def test_a_date_without_a_day_is_not_known_but_tells_sessions_apart() -> None:
    found = group_keys(
        sounds(a=("1", "1"), b=("2", "2"), c=("3", "3"), d=("4", "4"), e=("5", "5")),
        sessions(
            ("a", "Ann", "2021-00-00", ""), ("b", "Ann", "2021-00-00", ""),
            ("c", "Ann", "2021-05-00", "Fen"), ("d", "Ann", "2021-05-00", "Fen"), ("e", "Ann", "2021-06-00", "Fen"),
        ),
        NO_PAIRS,
    )  # fmt: skip
    assert found["a"] != found["b"]
    assert found["c"] == found["d"] != found["e"]


def measured(
    table: pd.DataFrame, grouping: pd.DataFrame, of: "pd.Series[int] | None" = None, seed: int = 4
) -> dict[str, Any]:
    return leakage(table, grouping, nights(table, grouping), clusters(NO_PAIRS) if of is None else of, seed)


def test_leakage_is_measured_on_what_is_known_and_beside_a_random_split() -> None:
    table = pd.DataFrame(
        [("a", "x", "train"), ("b", "x", "test"), ("c", "y", "test"), ("d", "y", "test"), ("e", "y", "train"), ("f", "y", "validation")],
        columns=["recording", "species", "split"],
    )  # fmt: skip
    # f shares species, day, session or sound with b, c and d, but nobody trains on it.
    grouping = sessions(
        ("a", "Ann", "2021-05-01", "Fen"), ("b", "Ann", "2022-05-01", "Fen"), ("c", "ann ", "2021-05-01", "Fen"),
        ("f", "Ann", "2022-05-01", "Fen"),
    )  # fmt: skip
    found = measured(table, grouping, clusters(pairs(("a", "b"), ("c", "d"), ("d", "f"))))
    assert found["test_recordings"] == 3
    assert found["known"] == {
        "recordist": 2, "recordist_and_species": 2, "recordist_and_day": 2, "session": 2, "near_duplicate": 3,
    }  # fmt: skip
    assert found["this_split"] == {
        "recordist": 1.0, "recordist_and_species": 0.5, "recordist_and_day": 0.5, "session": 0.5, "near_duplicate": 0.3333,
    }  # fmt: skip
    random = found["random_split"]["recordist"]
    assert 0 < random["low"] <= random["mean"] <= random["high"] <= 1


def test_leakage_is_unknown_where_nothing_is_known_of_test_or_of_training_recordings() -> None:
    table = pd.DataFrame(
        [("a", "x", "train"), ("b", "x", "test"), ("c", "y", "test")], columns=["recording", "species", "split"]
    )
    for known in ({}, {"a": "Ann"}, {"b": "Ann", "c": "Ann"}):
        found = measured(table, grouping_by("recordist", **known))
        assert found["this_split"]["recordist"] is found["this_split"]["session"] is None
        assert found["known"]["recordist"] == len(known.keys() - {"a"})
    assert found["random_split"]["session"] is None
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_the_same_sound_is_unknown_where_nobody_searched_and_known_of_all_where_somebody_did() -> None:
    table = pd.DataFrame([("a", "x", "train"), ("b", "x", "test")], columns=["recording", "species", "split"])
    searched = measured(table, sessions())
    assert (searched["this_split"]["near_duplicate"], searched["known"]["near_duplicate"]) == (0.0, 1)
    unsearched = leakage(table, sessions(), nights(table, sessions()), None, 4)
    assert (unsearched["this_split"]["near_duplicate"], unsearched["known"]["near_duplicate"]) == (None, 0)
    assert unsearched["random_split"]["near_duplicate"] is None


def test_the_share_of_sessions_covers_the_nights_of_recorders_too_and_a_random_split_divides_them() -> None:
    names = [f"{s}/SM4A_202305{d:02d}_04{m:02d}00.wav" for d in range(1, 21) for s in "xy" for m in (0, 10)]
    table = pd.DataFrame({"recording": names, "species": [n[0] for n in names]})
    table["file_sha256"] = table["sound_sha256"] = names
    keys = group_keys(table, sessions(), NO_PAIRS)
    table["group"] = table["recording"].map(keys)
    assert table["group"].nunique() == 20
    table["split"] = deal(table.assign(split=""), SplitSettings()).to_numpy()
    found = measured(table, sessions())
    assert (found["this_split"]["session"], found["known"]["session"]) == (0.0, found["test_recordings"])
    assert found["random_split"]["session"]["low"] > 0.5
    assert found["this_split"]["recordist_and_day"] is None


def test_figure_and_card_say_unknown_and_never_zero_where_nothing_is_known(tmp_path: Path) -> None:
    table = pd.DataFrame(
        [("a", "x", "train"), ("b", "x", "test"), ("c", "y", "test")], columns=["recording", "species", "split"]
    )
    nothing = leakage(table, sessions(), nights(table, sessions()), None, 4)
    some = measured(table, grouping_by("recordist", a="Ann", b="Ann"))
    assert shared_in_words(nothing) == (
        "What the 2 test recordings share with training: a recordist unknown, recordist and species unknown, "
        "recordist and day unknown, a session unknown, the same sound unknown."
    )
    assert "a recordist 100% (of the 1 of which it is known), recordist and species 100%" in shared_in_words(some)
    assert "the same sound 0% (of the 2 of which it is known)" in shared_in_words(some)
    for number, found in enumerate((nothing, some)):
        with mock.patch.object(Axes, "text", autospec=True) as drawn:
            leakage_bars(tmp_path / f"{number}.png", found)
        said = [call.args[3] for call in drawn.call_args_list]
        assert len(said) == 10
        assert said.count("unknown") == (10, 4)[number]
        leakage_bars(tmp_path / f"{number}.png", found)
        assert (tmp_path / f"{number}.png").stat().st_size > 1000
