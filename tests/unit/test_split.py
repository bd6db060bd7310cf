"""Groups, splits and leakage: groups are not divided, added recordings move no others, small species are in every split."""

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

from autobird.corpus.schemas import PAIRS
from autobird.dataset.dataset import negative_recordings
from autobird.dataset.figures import leakage_bars
from autobird.dataset.groups import group_keys, near_duplicate_clusters
from autobird.dataset.leakage import measure_leakage
from autobird.dataset.recorders import recorder_sessions
from autobird.dataset.settings import SplitSettings
from autobird.dataset.split import NO_SPECIES, SMALL_SPECIES, assign_splits
from autobird.release.card import leakage_sentence

NO_PAIRS = pd.DataFrame(columns=PAIRS, dtype=str)


def split_of(table: pd.DataFrame, options: SplitSettings) -> "pd.Series[str]":
    """Return the split of each recording."""
    return table.set_index("recording")["group"].map(assign_splits(table, options))


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
def test_a_group_is_never_divided(rows: list[tuple[str, str, str]], seed: int, fold: int | None) -> None:
    table = pd.DataFrame(
        [(f"{s}/{n}{i}", s, g, "") for i, (n, s, g) in enumerate(rows)],
        columns=["recording", "species", "group", "split"],
    )
    splits = split_of(table, SplitSettings(seed=seed, fold=fold))
    assert splits.index.tolist() == table["recording"].tolist()
    assert splits.isin(["train", "validation", "test"]).all()
    assert table.assign(split=splits.to_numpy()).groupby("group")["split"].nunique().max() == 1


@settings(max_examples=30, deadline=None)
@given(st.integers(SMALL_SPECIES, 60), st.integers(1, 20), st.integers(0, 99))
def test_adding_recordings_to_a_large_species_moves_no_other(groups: int, more: int, seed: int) -> None:
    options = SplitSettings(seed=seed)
    before = split_of(recordings("a", groups), options)
    after = split_of(recordings("a", groups + more), options)
    pd.testing.assert_series_equal(after[before.index], before)


@pytest.mark.parametrize(("validation", "test"), [(0.1, 0.1), (0.4, 0.5), (0.1, 0.8), (0.8, 0.1)])
@pytest.mark.parametrize("groups", range(3, SMALL_SPECIES))
def test_a_small_species_is_in_every_split(groups: int, validation: float, test: float) -> None:
    splits = split_of(recordings("a", groups), SplitSettings(validation=validation, test=test))
    assert set(splits) == {"train", "validation", "test"}


def test_one_group_is_for_training_and_two_are_for_training_and_test() -> None:
    assert set(split_of(recordings("a", 1), SplitSettings())) == {"train"}
    assert set(split_of(recordings("a", 2), SplitSettings())) == {"train", "test"}


def test_the_shares_of_many_groups_are_those_of_the_settings() -> None:
    shares = split_of(recordings("a", 4000, 1), SplitSettings(validation=0.1, test=0.2)).value_counts(normalize=True)
    assert shares["test"] == pytest.approx(0.2, abs=0.02)
    assert shares["validation"] == pytest.approx(0.1, abs=0.02)


@pytest.mark.parametrize("groups", [7, 40])
def test_another_seed_gives_another_split(groups: int) -> None:
    table = recordings("a", groups)
    splits = {tuple(split_of(table, SplitSettings(seed=seed))) for seed in range(5)}
    assert len(splits) == 5


@pytest.mark.parametrize("groups", [7, 40])
def test_every_recording_is_tested_in_one_fold_and_used_for_validation_in_another(groups: int) -> None:
    table = pd.concat([recordings("a", groups), recordings("b", groups)])
    by_fold = pd.DataFrame({k: split_of(table, SplitSettings(folds=5, fold=k)) for k in range(5)})
    assert ((by_fold == "test").sum(axis=1) == 1).all()
    assert ((by_fold == "validation").sum(axis=1) == 1).all()


def test_groups_of_negatives_alone_are_in_every_split_and_others_go_with_their_species() -> None:
    species = recordings("a", 40)
    alone = recordings("noise", 5).assign(species=NO_SPECIES)
    beside = species[species["group"].isin([f"a group {n}" for n in range(10)])].assign(species=NO_SPECIES)
    splits = assign_splits(pd.concat([species, beside, alone]), SplitSettings())
    expected = assign_splits(species, SplitSettings())
    assert {group: splits[group] for group in expected} == expected
    assert {splits[group] for group in alone["group"]} == {"train", "validation", "test"}


def test_a_split_in_the_metadata_applies_to_the_whole_group() -> None:
    table = recordings("a", 30)
    table.loc[table["group"] == "a group 7", "split"] = ["test", ""]
    assert (split_of(table, SplitSettings())[table.loc[table["group"] == "a group 7", "recording"]] == "test").all()


@pytest.mark.parametrize("others", ["train", "validation", "test"])
def test_a_species_with_groups_that_are_already_assigned_is_in_every_split(others: str) -> None:
    """Groups assigned by the metadata, or with a rarer species, count towards the splits of a species."""
    table = recordings("b", 5)
    table.loc[table["group"].isin(["b group 0", "b group 1"]), "split"] = others
    assert set(split_of(table, SplitSettings())) == {"train", "validation", "test"}


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.lists(st.integers(0, 30), min_size=3, max_size=12, unique=True), min_size=1, max_size=6),
    st.integers(0, 9),
)
def test_the_rarest_species_is_in_every_split_if_species_share_groups(species: list[list[int]], seed: int) -> None:
    rows = [(f"{s}/{g}", str(s), f"group {g}", "") for s, groups in enumerate(species) for g in groups]
    table = pd.DataFrame(rows, columns=["recording", "species", "group", "split"])
    split_of_group = assign_splits(table, SplitSettings(seed=seed))
    rarest = min(range(len(species)), key=lambda s: (len(species[s]), str(s)))
    assert {split_of_group[f"group {g}"] for g in species[rarest]} == {"train", "validation", "test"}


def group_of(table: pd.DataFrame, grouping: pd.DataFrame, pairs: pd.DataFrame) -> "pd.Series[str]":
    """Return the group of each recording."""
    return group_keys(table, grouping, pairs, recorders_of(table, grouping))


def recorders_of(table: pd.DataFrame, grouping: pd.DataFrame) -> pd.DataFrame:
    """Return the recorder sessions of recordings without headers."""
    headers = {"location": "", "start": "", "duration": 60.0, "recorder": "", "recorded_at": "", "species": ""}
    return recorder_sessions(table.assign(**{k: v for k, v in headers.items() if k not in table}), grouping)


def checksums(**of_recording: tuple[str, str]) -> pd.DataFrame:
    """Return recordings with the checksums of file and audio."""
    return pd.DataFrame(
        [(name, *hashes) for name, hashes in of_recording.items()], columns=["recording", "file_sha256", "sound_sha256"]
    )


def sessions(*rows: tuple[str, str, str, str]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["recording", "recordist", "date", "place"]).assign(split="")


def pairs(*rows: tuple[str, str]) -> pd.DataFrame:
    return pd.DataFrame([(*r, "9", "0", "", "") for r in rows], columns=PAIRS)


def test_two_of_recordist_day_and_place_identify_a_session() -> None:
    found = group_of(
        checksums(a=("1", "1"), b=("2", "2"), c=("3", "3"), d=("4", "4"), e=("5", "5"), f=("6", "6"), g=("7", "7")),
        sessions(
            ("a", "Ann", "2021-05-01", "Wood"), ("b", "Ann", "2021-05-01", "Wood"), ("c", "Ann", "2021-05-01", ""),
            ("d", "Ann", "2021-05-01", ""), ("e", "Ann", "", ""), ("f", "Ann", "", ""),
        ),
        NO_PAIRS,
    )  # fmt: skip
    assert found["a"] == found["b"]
    assert found["c"] == found["d"]
    assert len({found[name] for name in "acefg"}) == 5


def test_the_group_of_a_recording_without_session_does_not_depend_on_its_name() -> None:
    before = group_of(checksums(a=("1", "s")), sessions(), NO_PAIRS)
    after = group_of(checksums(renamed=("1", "s")), sessions(), NO_PAIRS)
    assert before["a"] == after["renamed"]


def test_near_duplicates_and_intervals_of_one_file_are_connected_components() -> None:
    found = group_of(
        checksums(a=("1", "1"), b=("2", "2"), c=("3", "3"), d=("4", "4"), e=("4", "5"), f=("6", "6")),
        sessions(("b", "Bob", "2021-01-01", "Fen"), ("f", "Bob", "2021-01-01", "Fen")),
        pairs(("a", "b"), ("b", "c"), ("f", "gone")),
    )
    assert found["a"] == found["b"] == found["c"] == found["f"]
    assert found["d"] == found["e"] != found["a"]


def test_a_recording_added_to_a_larger_group_gets_its_key() -> None:
    large = sessions(*[(name, "Bob", "2021-01-01", "Fen") for name in "abc"])
    table = checksums(a=("1", "1"), b=("2", "2"), c=("3", "3"))
    before = group_of(table, large, NO_PAIRS)
    joined = pd.concat([table, checksums(x=("9", "9"))])
    after = group_of(joined, large, pairs(("a", "x")))
    assert set(after) == set(before)


def test_clusters_are_the_connected_components_of_the_pairs() -> None:
    found = near_duplicate_clusters(pairs(("a", "b"), ("b", "c"), ("d", "e")))
    assert found["a"] == found["b"] == found["c"] != found["d"]
    assert near_duplicate_clusters(NO_PAIRS).empty


def grouping_by(column: str, **values: str) -> pd.DataFrame:
    return sessions(*[(name, *(value if c == column else "" for c in ("recordist", "date", "place"))) for name, value in values.items()])  # fmt: skip


def test_case_of_recordists_and_format_of_dates_are_ignored() -> None:
    found = group_of(
        checksums(a=("1", "1"), b=("2", "2"), c=("3", "3"), d=("4", "4"), e=("5", "5"), f=("6", "6")),
        sessions(
            ("a", "J. Smith", "2023-05-25", ""), ("b", "j.  smith ", "25/05/2023", ""), ("c", "J. SMITH", "05/25/2023", ""),
            ("d", "J. Smith", "12/05/2023", ""), ("e", "J. Smith", "2023-05-12", ""), ("f", "J. Smith", "2023-12-05", ""),
        ),
        NO_PAIRS,
    )  # fmt: skip
    assert found["a"] == found["b"] == found["c"]
    assert len({found[name] for name in "adef"}) == 4


def test_an_incomplete_date_is_unknown_but_separates_sessions() -> None:
    found = group_of(
        checksums(a=("1", "1"), b=("2", "2"), c=("3", "3"), d=("4", "4"), e=("5", "5")),
        sessions(
            ("a", "Ann", "2021-00-00", ""), ("b", "Ann", "2021-00-00", ""),
            ("c", "Ann", "2021-05-00", "Fen"), ("d", "Ann", "2021-05-00", "Fen"), ("e", "Ann", "2021-06-00", "Fen"),
        ),
        NO_PAIRS,
    )  # fmt: skip
    assert found["a"] != found["b"]
    assert found["c"] == found["d"] != found["e"]


def leakage_of(table: pd.DataFrame, grouping: pd.DataFrame, clusters: "pd.Series[int] | None" = None) -> dict[str, Any]:
    if clusters is None:
        clusters = near_duplicate_clusters(NO_PAIRS)
    return measure_leakage(listed(table), grouping, recorders_of(table, grouping), clusters, 4)


def listed(table: pd.DataFrame) -> pd.DataFrame:
    """Return recordings with the species as a list of one."""
    return table.assign(species=[[name] for name in table["species"]])


def test_shares_are_those_of_the_recordings_with_known_values_and_compared_with_random_splits() -> None:
    table = pd.DataFrame(
        [("a", "x", "train"), ("b", "x", "test"), ("c", "y", "test"), ("d", "y", "test"), ("e", "y", "train"), ("f", "y", "validation")],
        columns=["recording", "species", "split"],
    )  # fmt: skip
    # f has the recordist, day, session or audio of b, c or d, but is not a training recording.
    grouping = sessions(
        ("a", "Ann", "2021-05-01", "Fen"), ("b", "Ann", "2022-05-01", "Fen"), ("c", "ann ", "2021-05-01", "Fen"),
        ("f", "Ann", "2022-05-01", "Fen"),
    )  # fmt: skip
    found = leakage_of(table, grouping, near_duplicate_clusters(pairs(("a", "b"), ("c", "d"), ("d", "f"))))
    assert found["test_recordings"] == 3
    assert found["known"] == {
        "recordist": 2, "recordist_and_species": 2, "recordist_and_day": 2, "session": 2, "near_duplicate": 3,
    }  # fmt: skip
    assert found["this_split"] == {
        "recordist": 1.0, "recordist_and_species": 0.5, "recordist_and_day": 0.5, "session": 0.5, "near_duplicate": 0.3333,
    }  # fmt: skip
    random = found["random_split"]["recordist"]
    assert 0 < random["low"] <= random["mean"] <= random["high"] <= 1


def test_leakage_is_unknown_without_known_values_of_test_or_training_recordings() -> None:
    table = pd.DataFrame(
        [("a", "x", "train"), ("b", "x", "test"), ("c", "y", "test")], columns=["recording", "species", "split"]
    )
    for recordists in ({}, {"a": "Ann"}, {"b": "Ann", "c": "Ann"}):
        found = leakage_of(table, grouping_by("recordist", **recordists))
        assert found["this_split"]["recordist"] is found["this_split"]["session"] is None
        assert found["known"]["recordist"] == len(recordists.keys() - {"a"})
    assert found["random_split"]["session"] is None
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_near_duplicates_are_unknown_without_a_search_and_known_of_all_recordings_with_one() -> None:
    table = pd.DataFrame([("a", "x", "train"), ("b", "x", "test")], columns=["recording", "species", "split"])
    searched = leakage_of(table, sessions())
    assert (searched["this_split"]["near_duplicate"], searched["known"]["near_duplicate"]) == (0.0, 1)
    unsearched = measure_leakage(listed(table), sessions(), recorders_of(table, sessions()), None, 4)
    assert (unsearched["this_split"]["near_duplicate"], unsearched["known"]["near_duplicate"]) == (None, 0)
    assert unsearched["random_split"]["near_duplicate"] is None


def test_the_share_of_sessions_includes_recorder_sessions() -> None:
    names = [f"{s}/SM4A_202305{d:02d}_04{m:02d}00.wav" for d in range(1, 21) for s in "xy" for m in (0, 10)]
    table = pd.DataFrame({"recording": names, "species": [n[0] for n in names]})
    table["file_sha256"] = table["sound_sha256"] = names
    keys = group_of(table, sessions(), NO_PAIRS)
    table["group"] = table["recording"].map(keys)
    assert table["group"].nunique() == 20
    table["split"] = split_of(table.assign(split=""), SplitSettings()).to_numpy()
    found = leakage_of(table, sessions())
    assert (found["this_split"]["session"], found["known"]["session"]) == (0.0, found["test_recordings"])
    assert found["random_split"]["session"]["low"] > 0.5
    assert found["this_split"]["recordist_and_day"] is None


def test_a_session_of_metadata_is_no_session_of_a_recorder() -> None:
    """Both are numbered from 0."""
    table = pd.DataFrame(
        [("a", "x", "train"), ("SM4A_20230501_040000.wav", "x", "test")], columns=["recording", "species", "split"]
    )
    found = leakage_of(table, sessions(("a", "Ann", "2021-05-01", "Fen")))
    assert (found["this_split"]["session"], found["known"]["session"]) == (0.0, 1)


def test_a_test_recording_shares_recordist_and_species_if_one_of_its_species_does() -> None:
    table = pd.DataFrame(
        [("a", ["x"], "train"), ("b", ["x", "y"], "test"), ("c", ["y", "z"], "test"), ("d", ["y"], "train")],
        columns=["recording", "species", "split"],
    )
    grouping = grouping_by("recordist", a="Ann", b="Ann", c="Ann", d="Ben")
    found = measure_leakage(table, grouping, recorders_of(table.assign(species=""), grouping), None, 4)
    assert found["this_split"]["recordist_and_species"] == 0.5


def test_figure_and_model_card_show_unknown_shares_as_unknown(tmp_path: Path) -> None:
    table = pd.DataFrame(
        [("a", "x", "train"), ("b", "x", "test"), ("c", "y", "test")], columns=["recording", "species", "split"]
    )
    unknown = measure_leakage(listed(table), sessions(), recorders_of(table, sessions()), None, 4)
    some = leakage_of(table, grouping_by("recordist", a="Ann", b="Ann"))
    assert leakage_sentence(unknown) == (
        "Overlap of the 2 test recordings with the training recordings: same recordist: unknown; same recordist and species: unknown; "
        "same recordist and day: unknown; same session: unknown; same audio: unknown."
    )
    assert leakage_sentence(unknown | {"negatives": unknown}).startswith(
        "Overlap of the 2 test recordings with a species with the"
    )
    sentence = leakage_sentence(some)
    assert "same recordist: 100% of the 1 for which it is known; same recordist and species: 100%" in sentence
    assert "same audio: 0% of the 2 for which it is known" in sentence
    for number, found in enumerate((unknown, some)):
        with mock.patch.object(Axes, "text", autospec=True) as drawn:
            leakage_bars(tmp_path / f"{number}.png", found)
        texts = [call.args[3] for call in drawn.call_args_list]
        assert len(texts) == 10
        assert texts.count("unknown") == (10, 4)[number]
        leakage_bars(tmp_path / f"{number}.png", found)
        assert (tmp_path / f"{number}.png").stat().st_size > 1000


def test_groups_join_the_sessions_of_recorders_by_recording_in_any_order_of_rows() -> None:
    names = [f"x/SM4A_202305{day:02d}_040000.wav" for day in range(10, 16)]
    table = checksums(**{name: (name, name) for name in names})
    recorders = recorders_of(table, sessions())
    expected = group_keys(table, sessions(), NO_PAIRS, recorders)
    assert expected.nunique() == 6
    pd.testing.assert_series_equal(group_keys(table, sessions(), NO_PAIRS, recorders[::-1]), expected)
    some = table[2:4]
    pd.testing.assert_series_equal(group_keys(some, sessions(), NO_PAIRS, recorders), expected[some["recording"]])


def test_negatives_share_sessions_but_no_species_and_their_recordings_are_those_without_any() -> None:
    used = pd.DataFrame(
        [("a", "train", True), ("b", "test", True), ("b", "test", True), ("c", "test", True), ("d", "train", False), ("e", "train", True)],
        columns=["recording", "split", "negative"],
    )  # fmt: skip
    table = negative_recordings(used, pd.Series(["d", "e"]))
    assert table["recording"].tolist() == ["a", "b", "c"]
    grouping = pd.DataFrame([("a", "Ann"), ("b", "ann"), ("c", "Bob")], columns=["recording", "recordist"])
    grouping = grouping.assign(date=["2023-05-12", "2023-05-12", ""], place="", split="")
    found = measure_leakage(table, grouping, recorders_of(table.assign(species=""), grouping), None, 4)
    assert found["test_recordings"] == 2
    assert found["this_split"]["recordist"] == 0.5
    assert found["this_split"]["recordist_and_day"] == 1.0
    assert found["known"]["recordist_and_species"] == 0
    assert found["this_split"]["recordist_and_species"] is None
