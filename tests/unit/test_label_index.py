"""The index of a corpus of focal, negative and annotated recordings: label sets, rare species, negatives, splits and counts."""

import json
from pathlib import Path

import pandas as pd
import pytest

from autobird.core.errors import AutobirdError
from autobird.dataset.counts import count_dataset
from autobird.dataset.index import UNCERTAIN, UNTRAINED
from autobird.dataset.label_sets import LabelSets
from autobird.dataset.recording_tables import RecordingTables
from autobird.dataset.schemas import INDEX
from autobird.dataset.settings import DatasetStageSettings
from autobird.dataset.split import SMALL_SPECIES
from tests.dataset_tables import NO_METADATA, build_index, many, recordings, tables_of, windows

FIVE = DatasetStageSettings(min_windows=5)
Row = tuple[str, str, str, str]


def negatives(count: int, prefix: str = "noise") -> tuple[list[Row], pd.DataFrame]:
    """Return negative recordings and their table of labels."""
    rows = [(f"{prefix}/{i}", "", f"{prefix}{i}", "") for i in range(count)]
    table = pd.DataFrame([(name, "negative", []) for name, *_ in rows], columns=["recording", "kind", "uncertain"])
    return rows, table


def annotated(
    count: int, *boxes: tuple[float, float, str], prefix: str = "field"
) -> tuple[list[Row], pd.DataFrame, pd.DataFrame]:
    """Return annotated recordings with the same boxes in each, their table of labels, and the boxes."""
    names = [f"{prefix}/{i}" for i in range(count)]
    labels = pd.DataFrame([(name, "annotated", []) for name in names], columns=["recording", "kind", "uncertain"])
    drawn = pd.DataFrame(
        [(name, *box, "") for name in names for box in boxes],
        columns=["recording", "start", "end", "species", "problem"],
    )
    return [(name, "", name, "") for name in names], labels, drawn


def sets(index: pd.DataFrame, recording: str, prefix: str = "") -> list[tuple[list[str], list[str], str]]:
    """Return the label sets of the windows of a recording."""
    rows = index[index["recording"] == recording]
    return list(rows[[f"{prefix}present", f"{prefix}unknown", f"{prefix}default"]].itertuples(index=False, name=None))


def test_a_focal_recording_holds_its_species_and_perhaps_those_in_the_background() -> None:
    table = recordings(*many("Parus major", 30), *many("Pica pica", 30))
    background = ["pica_pica", "Parus major", "Great Bustard"]
    uncertain = pd.DataFrame({"recording": ["Parus major/0"], "kind": "", "uncertain": [background]})
    index, labels = build_index(table, windows(table), tables_of(table, labels=uncertain), FIVE)
    assert labels == ["Parus major", "Pica pica"]
    assert sets(index, "Parus major/0") == [(["Parus major"], ["Pica pica"], "absent")] * 3
    assert sets(index, "Parus major/0", "recording_") == [(["Parus major"], ["Pica pica"], "absent")] * 3
    assert sets(index, "Parus major/1") == [(["Parus major"], [], "absent")] * 3
    first = index[index["recording"] == "Parus major/0"]
    assert set(first["species"]) == {""}
    assert set(first["dropped"]) == {""}
    assert set(index.loc[index["recording"] == "Parus major/1", "species"]) == {"Parus major"}
    assert LabelSets.of(first, labels).known.tolist() == [[True, False]] * 3
    assert not index["negative"].any()


def test_a_negative_recording_holds_nothing_and_is_used() -> None:
    rows, of_negatives = negatives(4)
    table = recordings(*many("x", 30), *many("y", 30), *rows)
    index, labels = build_index(table, windows(table), tables_of(table, labels=of_negatives), FIVE)
    assert labels == ["x", "y"]
    noise = index[index["recording"].str.startswith("noise")]
    assert noise["negative"].all()
    assert set(noise["dropped"]) == set(noise["species"]) == {""}
    assert sets(index, "noise/0") == sets(index, "noise/0", "recording_") == [([], [], "absent")] * 3
    assert set(noise["split"]) == {"train", "validation", "test"}


def test_a_negative_recording_in_which_a_species_may_be_is_no_negative() -> None:
    rows, of_negatives = negatives(4)
    of_negatives.at[0, "uncertain"] = ["X"]
    table = recordings(*many("x", 30), *many("y", 30), *rows)
    index, _ = build_index(table, windows(table), tables_of(table, labels=of_negatives), FIVE)
    assert sets(index, "noise/0") == [([], ["x"], "absent")] * 3
    first = index[index["recording"] == "noise/0"]
    assert set(first["dropped"]) == {UNCERTAIN}
    assert not first["negative"].any()


def test_a_recording_without_species_that_is_not_said_to_be_negative_may_hold_any() -> None:
    table = recordings(*many("x", 30), *many("y", 30), ("a", "", "a", ""))
    index, _ = build_index(table, windows(table), tables_of(table), FIVE)
    assert sets(index, "a") == [([], [], "unknown")] * 3
    assert set(index.loc[index["recording"] == "a", "dropped"]) == {UNCERTAIN}


def test_a_corpus_can_hold_all_three_kinds_of_recordings() -> None:
    """The windows of an annotated recording begin at 0, 2.5 and 5 s: the boxes are in the first two; the third is a negative."""
    noise, of_negatives = negatives(4)
    field, of_field, boxes = annotated(4, (0.5, 1.5, "x"), (1.0, 4.0, "z"), (3.5, 4.5, "y"))
    table = recordings(*many("x", 30), *many("y", 30), *noise, *field)
    of_recordings = pd.concat([of_negatives, of_field])
    index, labels = build_index(table, windows(table), tables_of(table, boxes=boxes, labels=of_recordings), FIVE)
    assert sets(index, "field/0") == [(["x", "y", "z"], [], "absent"), (["y", "z"], [], "absent"), ([], [], "absent")]
    assert sets(index, "field/0", "recording_") == [(["x", "y", "z"], [], "absent")] * 3
    assert labels == ["x", "y", "z"]
    in_field = index[index["recording"].str.startswith("field")]
    assert set(in_field["dropped"]) == {""}
    assert in_field["negative"].tolist() == [False, False, True] * 4
    assert set(in_field["species"]) == {""}
    assert set(index.loc[index["recording"].str.startswith("x/"), "species"]) == {"x"}
    assert set(INDEX.names) <= set(index.columns)


def test_uncertain_species_of_an_annotated_recording_are_unknown_where_no_box_names_them() -> None:
    field, of_field, boxes = annotated(1, (0.5, 1.5, "x"))
    of_field.at[0, "uncertain"] = ["x", "y"]
    table = recordings(*many("x", 30), *many("y", 30), *field)
    index, _ = build_index(table, windows(table), tables_of(table, boxes=boxes, labels=of_field), FIVE)
    assert sets(index, "field/0") == [(["x"], ["y"], "absent"), ([], ["y"], "absent"), ([], ["y"], "absent")]
    assert sets(index, "field/0", "recording_") == [(["x"], ["y"], "absent")] * 3


def test_an_annotated_recording_without_boxes_is_negative() -> None:
    field, of_field, boxes = annotated(3)
    table = recordings(*many("x", 30), *many("y", 30), *field)
    index, _ = build_index(table, windows(table), tables_of(table, boxes=boxes, labels=of_field), FIVE)
    assert index.loc[index["recording"].str.startswith("field"), "negative"].all()


def test_a_window_of_a_trained_and_a_rare_species_is_used_and_one_of_rare_species_alone_is_not() -> None:
    """z is in six windows of two recordings, w in two of one: w has too few windows, z too few recordings."""
    shared, of_shared, in_shared = annotated(2, (0, 1, "x"), (0, 7.5, "z"), prefix="shared")
    alone, of_alone, in_alone = annotated(1, (0, 4, "w"), prefix="alone")
    table = recordings(*many("x", 30), *many("y", 30), *shared, *alone)
    tables = tables_of(table, boxes=pd.concat([in_shared, in_alone]), labels=pd.concat([of_shared, of_alone]))
    settings = DatasetStageSettings(min_windows=5, min_recordings=3)
    index, labels = build_index(table, windows(table), tables, settings)
    assert labels == ["x", "y"]
    assert index.loc[index["recording"] == "shared/0", "present"].tolist() == [["x", "z"], ["z"], ["z"]]
    few_recordings, few_windows = "species with fewer than 3 recordings", "species with fewer than 5 windows"
    assert index.loc[index["recording"] == "shared/0", "dropped"].tolist() == ["", few_recordings, few_recordings]
    assert index.loc[index["recording"] == "alone/0", "dropped"].tolist() == [few_windows, few_windows, ""]
    split = str(index.loc[index["recording"] == "shared/0", "recording_split"].iloc[0])
    assert index.loc[index["recording"] == "shared/0", "split"].tolist() == [split, "unknown", "unknown"]
    counts = count_dataset(table, index, labels, tables, settings)
    assert counts["unknown"] == {"recordings": 3, "windows": 6, "species": ["w", "z"]}
    assert counts["windows"] == counts["windows_used"] + sum(counts["windows_dropped"].values())


def test_a_rare_species_beside_a_trained_one_does_not_move_its_groups() -> None:
    splits = []
    for more in ((), ((0, 1, "w"),)):
        field, of_field, boxes = annotated(6, (0, 9, "x"), *more)
        table = recordings(*many("x", 30), *many("y", 30), *field)
        tables = tables_of(table, boxes=boxes, labels=of_field)
        index, _ = build_index(table, windows(table), tables, DatasetStageSettings(min_windows=10))
        splits.append(index["split"].tolist())
    assert splits[0] == splits[1]


def test_windows_of_two_rare_species_have_one_reason() -> None:
    """v has too few windows, w only too few recordings."""
    field, of_field, boxes = annotated(2, (0, 9, "w"), prefix="w")
    both, of_both, in_both = annotated(1, (0, 1, "v"), (0, 1, "w"), prefix="both")
    table = recordings(*many("x", 30), *many("y", 30), *field, *both)
    tables = tables_of(table, boxes=pd.concat([boxes, in_both]), labels=pd.concat([of_field, of_both]))
    index, _ = build_index(table, windows(table), tables, DatasetStageSettings(min_windows=5, min_recordings=4))
    first = index[(index["recording"] == "both/0") & (index["start"] == 0)].iloc[0]
    assert (first["present"], first["dropped"], first["split"]) == (
        ["v", "w"], "species with fewer than 4 recordings", "unknown",
    )  # fmt: skip


def test_a_species_whose_training_windows_are_all_shared_with_others_is_trained() -> None:
    field, of_field, boxes = annotated(30, (0, 5, "x"), (0, 5, "z"))
    table = recordings(*many("x", 30), *many("y", 30), *field)
    index, labels = build_index(table, windows(table), tables_of(table, boxes=boxes, labels=of_field), FIVE)
    assert labels == ["x", "y", "z"]
    assert "z" not in set(index["species"])


def test_a_window_of_an_untrained_species_is_dropped_unless_another_one_is_in_it() -> None:
    field, of_field, boxes = annotated(3, (0, 5, "z"), (0, 1, "x"))
    table = recordings(*many("x", 30), *many("y", 30), *field)
    grouping = pd.DataFrame([(f"field/{i}", "", "", "", "test") for i in range(3)], columns=NO_METADATA.columns)
    tables = tables_of(table, grouping, boxes=boxes, labels=of_field)
    index, labels = build_index(table, windows(table), tables, FIVE)
    assert labels == ["x", "y"]
    assert index.loc[index["recording"] == "field/0", "present"].tolist() == [["x", "z"], ["z"], []]
    assert index.loc[index["recording"] == "field/0", "dropped"].tolist() == ["", UNTRAINED, ""]


def test_one_species_and_negatives_are_a_data_set() -> None:
    rows, of_negatives = negatives(5)
    table = recordings(*many("x", 30), *rows)
    index, labels = build_index(table, windows(table), tables_of(table, labels=of_negatives), FIVE)
    assert labels == ["x"]
    assert set(index.loc[index["negative"], "split"]) == {"train", "validation", "test"}


def test_one_annotated_species_is_a_data_set_because_its_other_windows_are_negatives() -> None:
    field, of_field, boxes = annotated(30, (0, 2, "x"))
    table = recordings(*field)
    index, labels = build_index(table, windows(table), tables_of(table, boxes=boxes, labels=of_field), FIVE)
    assert labels == ["x"]
    assert index.loc[index["recording"] == "field/0", "negative"].tolist() == [False, True, True]


def test_negatives_alone_and_one_species_alone_are_refused() -> None:
    rows, of_negatives = negatives(9)
    table = recordings(*rows)
    message = r"^0 species with windows to train on remain of 0 \(27 windows: negatives, which hold no species\); two are needed, or"
    with pytest.raises(AutobirdError, match=message):
        build_index(table, windows(table), tables_of(table, labels=of_negatives), FIVE)
    table = recordings(*many("x", 30))
    with pytest.raises(AutobirdError, match=r"^1 species .* remain of 1 .*two are needed, or one and negatives"):
        build_index(table, windows(table), tables_of(table), FIVE)


def test_a_detector_needs_negatives_in_training_and_validation() -> None:
    rows, of_negatives = negatives(2)
    table = recordings(*many("x", 30), *rows)
    message = (
        r"^x is the only species, so training and validation need negatives, and the validation split has none: the 2 recordings with "
        r"negatives are 2 groups\. .*add recordings of other nights"
    )
    with pytest.raises(AutobirdError, match=message):
        build_index(table, windows(table), tables_of(table, labels=of_negatives), FIVE)


@pytest.mark.parametrize("count", [3, 9, SMALL_SPECIES, 60])
def test_negatives_are_in_every_split_and_do_not_move_a_species(count: int) -> None:
    rows, of_negatives = negatives(count)
    table = recordings(*many("x", 30), *many("y", 7))
    before, _ = build_index(table, windows(table), tables_of(table), FIVE)
    more = recordings(*many("x", 30), *many("y", 7), *rows)
    after, _ = build_index(more, windows(more), tables_of(more, labels=of_negatives), FIVE)
    splits = after.drop_duplicates("recording").set_index("recording")["split"]
    pd.testing.assert_series_equal(
        splits[before["recording"].unique()], before.drop_duplicates("recording").set_index("recording")["split"]
    )
    assert set(splits[splits.index.str.startswith("noise")]) == {"train", "validation", "test"}


def test_every_negative_group_is_tested_in_one_fold() -> None:
    rows, of_negatives = negatives(7)
    table = recordings(*many("x", 30), *many("y", 30), *rows)
    tested = []
    for fold in range(3):
        settings = DatasetStageSettings(min_windows=5, folds=3, fold=fold)
        index, _ = build_index(table, windows(table), tables_of(table, labels=of_negatives), settings)
        noise = index[index["negative"]]
        assert set(noise["split"]) == {"train", "validation", "test"}
        tested += list(noise.loc[noise["split"] == "test", "recording"].unique())
    assert sorted(tested) == sorted(name for name, *_ in rows)


def test_negatives_of_a_species_session_stay_with_it() -> None:
    rows, of_negatives = negatives(20)
    table = recordings(*many("x", 30), *many("y", 30), *rows)
    days = [(f"{kind}/{i}", "Ann", f"2021-05-{i + 1:02d}", "Fen", "") for kind in ("x", "noise") for i in range(20)]
    grouping = pd.DataFrame(days, columns=NO_METADATA.columns)
    index, _ = build_index(table, windows(table), tables_of(table, grouping, labels=of_negatives), FIVE)
    splits = index.drop_duplicates("recording").set_index("recording")["split"]
    assert [splits[f"x/{i}"] for i in range(20)] == [splits[f"noise/{i}"] for i in range(20)]


def test_a_split_in_the_metadata_applies_to_recordings_of_which_no_window_is_used() -> None:
    """The species of an annotated test set can all be rare; its recordings are nevertheless those of the test split."""
    field, of_field, boxes = annotated(3, (0, 9, "w"))
    table = recordings(*many("x", 30), *many("y", 30), *field)
    grouping = pd.DataFrame([(f"field/{i}", "", "", "", "test") for i in range(3)], columns=NO_METADATA.columns)
    tables = tables_of(table, grouping, boxes=boxes, labels=of_field)
    index, labels = build_index(table, windows(table), tables, DatasetStageSettings(min_windows=10))
    in_field = index[index["recording"].str.startswith("field")]
    assert set(in_field["recording_split"]) == {"test"}
    assert set(in_field["split"]) == {"unknown"}
    assert count_dataset(table, index, labels, tables, FIVE)["splits_overridden"] == {}


def test_negatives_are_counted_apart_from_species() -> None:
    """A negative recording of 9 s has three windows (0, 2.5 and 5 s, the last one padded) and 9 s of sound."""
    noise, of_negatives = negatives(5)
    field, of_field, boxes = annotated(5, (0, 3, "x"), (0, 1, "y"))
    table = recordings(*many("x", 30), *many("y", 30), *noise, *field).assign(duration=9.0)
    tables = tables_of(table, boxes=boxes, labels=pd.concat([of_negatives, of_field]))
    window_table = windows(table)
    window_table.loc[(window_table["recording"] == "noise/0") & (window_table["start"] == 40_000), "rms"] = 0.0
    index, labels = build_index(table, window_table, tables, FIVE)
    counts = count_dataset(table, index, labels, tables, FIVE)
    assert counts["recordings_used"] == 70
    assert sum(split["recordings"] for split in counts["splits"].values()) == 65
    assert {split["species"] for split in counts["splits"].values()} == {2}
    # Of each field recording, the window at 0 s has two species, that at 2.5 s one, and that at 5 s, with 4 s of sound, none.
    assert sum(split["windows"] for split in counts["splits"].values()) == 60 * 3 + 5 * 2
    found = counts["negatives"]
    assert sum(split["recordings"] for split in found.values()) == 10
    assert sum(split["windows"] for split in found.values()) == 14 + 5
    assert sum(split["hours"] for split in found.values()) == pytest.approx((5 * 9 + 5 * 4) / 3600, abs=2e-4)
    assert sorted(found) == ["test", "train", "validation"]
    assert counts["boxes"] == {"used": 10}


def test_a_corpus_without_negatives_or_boxes_does_not_count_them() -> None:
    table = recordings(*many("x", 30), *many("y", 30))
    index, labels = build_index(table, windows(table), tables_of(table), FIVE)
    assert not {"negatives", "boxes"} & count_dataset(table, index, labels, tables_of(table), FIVE).keys()


def test_the_tables_of_labels_and_boxes_are_read(tmp_path: Path) -> None:
    (tmp_path / "grouping.csv").write_text("recording,recordist,date,place,split\n")
    (tmp_path / "quarantine.csv").write_text("recording,species,reason\nc,,bad\n")
    (tmp_path / "pairs.csv").write_text("recording,other,votes,offset,species,other_species\n")
    (tmp_path / "boxes.csv").write_text(
        "recording,start,end,species,problem,decision,sampling_probability\na,1.5,2.0,x,,,\nb,0.0,5.0,x,,absent,0.125\n"
    )
    uncertain = json.dumps(["Pica pica", "Fiofío"], ensure_ascii=False).replace('"', '""')
    (tmp_path / "labels.csv").write_text(f'recording,kind,uncertain\na,annotated,[]\nb,negative,\nd,,"{uncertain}"\n')
    names = ("grouping", "quarantine", "pairs", "boxes", "labels")
    tables = RecordingTables.read(*(tmp_path / f"{name}.csv" for name in names))
    assert tables.boxes.to_numpy().tolist() == [
        ["a", 1.5, 2.0, "x", "", "", 0.0],
        ["b", 0.0, 5.0, "x", "", "absent", 0.125],
    ]
    assert tables.labels["kind"].tolist() == ["annotated", "negative", ""]
    assert tables.labels["uncertain"].tolist() == [[], [], ["Pica pica", "Fiofío"]]
    assert tables.quarantined == {"c"}
