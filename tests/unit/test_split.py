"""Splits: groups stay whole, adding data moves nothing, small species have some of each split."""

import string

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autobird.corpus.settings import SplitSettings
from autobird.corpus.split import SMALL, deal, group_keys, leakage

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


@pytest.mark.parametrize("groups", range(3, SMALL))
def test_a_small_species_has_some_of_every_split(groups: int) -> None:
    splits = deal(recordings("a", groups), SplitSettings(validation=0.1, test=0.1))
    assert set(splits) == {"train", "validation", "test"}


def test_one_group_trains_and_two_train_and_test() -> None:
    assert set(deal(recordings("a", 1), SplitSettings())) == {"train"}
    assert set(deal(recordings("a", 2), SplitSettings())) == {"train", "test"}


def test_the_shares_are_met_over_many_groups() -> None:
    shares = deal(recordings("a", 4000, 1), SplitSettings(validation=0.1, test=0.2)).value_counts(normalize=True)
    assert shares["test"] == pytest.approx(0.2, abs=0.02)
    assert shares["validation"] == pytest.approx(0.1, abs=0.02)


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


def test_recordist_day_and_place_make_a_group_only_if_all_are_known() -> None:
    grouping = pd.DataFrame(
        [("a", "Ann", "2021-05-01", "Wood", ""), ("b", "Ann", "2021-05-01", "Wood", ""), ("c", "Ann", "", "Wood", "")],
        columns=["recording", "recordist", "date", "place", "split"],
    )
    keys = group_keys(pd.Series(["a", "b", "c", "d"]), grouping)
    assert keys["a"] == keys["b"]
    assert len({keys["a"], keys["c"], keys["d"]}) == 3


def test_leakage_is_measured_on_what_is_known() -> None:
    table = pd.DataFrame(
        [
            ("a", "x", "train", "g1", "s1"),
            ("b", "x", "test", "g2", "s2"),
            ("c", "y", "test", "g3", "s1"),
            ("d", "y", "test", "g4", "s4"),
        ],
        columns=["recording", "species", "split", "group", "sound_sha256"],
    )
    grouping = pd.DataFrame(
        [("a", "Ann", "2021", "", ""), ("b", "Ann", "2022", "", ""), ("c", "Ann", "2021", "", "")],
        columns=["recording", "recordist", "date", "place", "split"],
    )
    found = leakage(table, grouping)
    assert found["test_recordings"] == 3
    assert found["recordist_known"] == 2
    assert found["share_recordist"] == pytest.approx(2 / 3, abs=1e-4)
    assert found["share_recordist_and_species"] == pytest.approx(1 / 3, abs=1e-4)
    assert found["share_recordist_and_day"] == pytest.approx(1 / 3, abs=1e-4)
    assert found["share_sound"] == pytest.approx(1 / 3, abs=1e-4)
    assert found["share_group"] == 0
