"""Quarantine and the index of windows: reasons, filters, labels, and counts that add up."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from autobird.audio.mel_shards import MELS
from autobird.audio.segment import SEGMENTS
from autobird.core.errors import AutobirdError
from autobird.core.store import FolderStore
from autobird.core.tables import write_table
from autobird.core.wording import left_out_sentence
from autobird.corpus.check import check_quarantined_share
from autobird.corpus.quarantine import quarantine, quarantine_reasons
from autobird.corpus.schemas import PAIRS
from autobird.corpus.settings import CheckSettings
from autobird.dataset.counts import count_dataset, left_out_species
from autobird.dataset.dataset import report_moves
from autobird.dataset.index import normalisation, read_windows
from autobird.dataset.settings import DatasetStageSettings
from autobird.sources.policy import LICENCE_REFUSED
from tests.dataset_tables import NO_EXCLUSIONS, NO_METADATA, NO_PAIRS, build_index, many, recordings, tables_of, windows


def test_one_of_exact_duplicates_is_used_and_none_if_their_species_differ() -> None:
    table = recordings(
        ("b", "x", "s1", ""), ("a", "x", "s1", ""), ("c", "x", "s2", ""), ("d", "y", "s2", ""), ("e", "y", "s3", ""),
        ("f", "y", "", "text, not audio"),
    )  # fmt: skip
    reasons = quarantine_reasons(table, NO_EXCLUSIONS, NO_PAIRS)
    assert reasons["a"] == reasons["e"] == ""
    assert reasons["b"] == "the same audio as a, which is used"
    assert reasons["c"] == "the same audio as d, which has another species; remove the wrong one"
    assert reasons["d"] == "the same audio as c, which has another species; remove the wrong one"
    assert quarantine(table, NO_EXCLUSIONS, NO_PAIRS)["recording"].tolist() == ["b", "c", "d", "f"]


def test_counts_of_recordings_and_windows_add_up() -> None:
    table = recordings(*many("x", 30), *many("y", 30), ("z/0", "z", "z0", ""), ("bad", "x", "", "empty file (0 bytes)"))
    window_table = windows(table)
    window_table.loc[window_table["recording"] == "x/3", "rms"] = 0.001
    window_table.loc[window_table["recording"] == "x/4", "mel_std"] = 0.01
    index, labels = build_index(table, window_table, tables_of(table), DatasetStageSettings(min_windows=5))
    counts = count_dataset(table, index, labels, tables_of(table), DatasetStageSettings())
    recording_counts = [counts[f"recordings_{kind}"] for kind in ("used", "filtered", "quarantined")]
    assert recording_counts == [58, 3, 1]
    assert set(index.loc[index["quiet"], "recording"]) == {"x/3", "x/4"}
    assert sum(recording_counts) == counts["recordings"]
    assert counts["windows"] == len(window_table) == counts["windows_used"] + sum(counts["windows_dropped"].values())
    assert counts["windows_dropped"] == {
        "RMS below 0.005": 3, "mel standard deviation below 0.1": 3, "species with fewer than 5 windows": 3,
    }  # fmt: skip


def test_species_with_too_few_recordings_are_left_out_and_counted() -> None:
    table = recordings(*many("x", 30), *many("y", 8), *many("z", 8), ("w/0", "w", "w0", ""))
    window_table = windows(table)
    window_table.loc[window_table["recording"] == "z/3", "rms"] = (
        0.001  # a recording without a window counts for nothing
    )
    index, labels = build_index(
        table, window_table, tables_of(table), DatasetStageSettings(min_windows=5, min_recordings=8)
    )
    counts = count_dataset(
        table, index, labels, tables_of(table), DatasetStageSettings(min_windows=5, min_recordings=8)
    )
    assert counts["left_out"] == {
        "w": "3 windows, dataset.min_windows is 5", "z": "7 recordings, dataset.min_recordings is 8",
    }  # fmt: skip
    assert counts["windows_dropped"] == {
        "RMS below 0.005": 3, "species with fewer than 5 windows": 3, "species with fewer than 8 recordings": 21,
    }  # fmt: skip
    assert counts["unknown"] == {"recordings": 8, "windows": 24, "species": ["w", "z"]}
    assert [counts[f"recordings_{kind}"] for kind in ("used", "filtered", "quarantined")] == [38, 9, 0]
    assert set(index.loc[index["species"].isin(["w", "z"]), "split"]) == {"unknown"}


def test_species_that_are_not_trained_are_named_with_the_reason() -> None:
    rows = [
        *many("x", 30),
        *many("y", 30),
        *many("quiet", 4),
        ("bad", "broken", "", "empty file (0 bytes)"),
        ("n", "noise", "n0", ""),
    ]
    table = recordings(*rows)
    window_table = windows(table)
    window_table.loc[window_table["recording"].str.startswith("quiet"), "rms"] = 0.001
    settings = DatasetStageSettings(min_windows=5)
    negative = pd.DataFrame([("n", "negative", [])], columns=["recording", "kind", "uncertain"])
    tables = tables_of(table)._replace(labels=negative)
    index, labels = build_index(table, window_table, tables, settings)
    reasons = {"broken": "all recordings are quarantined", "quiet": "all windows are too quiet"}
    assert left_out_species(table, index, labels, tables, settings) == reasons
    assert left_out_species(table, index, ["x"], tables, settings) == reasons | {"y": "no window in training"}
    short = index.assign(recording_present=[["x", "short"]] * len(index))
    assert left_out_species(table, short, labels, tables, settings) == reasons | {
        "short": "its boxes are too short to label a window"
    }  # fmt: skip


def test_the_sentence_about_species_that_are_not_trained_names_only_some_of_many() -> None:
    reasons = {"a": "rare", "b": "quiet", "c": "rare"}
    assert left_out_sentence(reasons, 2) == (
        "3 species are not trained: a (rare); b (quiet); and 1 other, see counts.json"
    )
    assert left_out_sentence({"a": "rare"}) == "1 species is not trained: a (rare)"


def test_by_default_a_single_recording_is_enough() -> None:
    table = recordings(*many("x", 30), *many("y", 30), ("z/0", "z", "z0", ""))
    index, _ = build_index(table, windows(table, 5), tables_of(table), DatasetStageSettings(min_windows=5))
    assert "z" in set(index.loc[index["dropped"] == "", "species"])


def test_an_index_of_one_species_is_refused_with_the_settings_to_change() -> None:
    table = recordings(*many("x", 30), ("z/0", "z", "z0", ""))
    with pytest.raises(
        AutobirdError,
        match=r"1 species .* remain of 2 \(3 windows: species with fewer than 5 windows\); two are needed, or one and negatives "
        r".*dataset\.min_windows",
    ):
        build_index(table, windows(table), tables_of(table), DatasetStageSettings(min_windows=5))


def test_too_few_recordings_are_said_with_the_species_that_were_left_out() -> None:
    table = recordings(*many("x", 2), *many("y", 2), *many("z", 2))
    rows = windows(table, 5)
    rows = rows.drop(rows.index[rows["recording"] == "z/0"][:1])
    with pytest.raises(
        AutobirdError,
        match=r"^Too few recordings: 4 in 4 sessions; training, validation and test each need some\. Left out: z \(9 windows, "
        r"dataset\.min_windows is 10\)\. Add recordings$",
    ):
        build_index(table, rows, tables_of(table), DatasetStageSettings())
    with pytest.raises(AutobirdError, match=r"Left out: z \(1 recording, dataset\.min_recordings is 2\)\. Add"):
        build_index(
            table,
            windows(table, 10)[lambda w: w["recording"] != "z/0"],
            tables_of(table),
            DatasetStageSettings(min_recordings=2),
        )


@pytest.mark.parametrize(("fold", "split"), [(2, "validation"), (4, "test")])
def test_a_fold_without_groups_is_refused_with_the_setting_to_change(fold: int, split: str) -> None:
    """Three groups of each species fill three of five folds; a change of the seed would not help."""
    table = recordings(*many("x", 3), *many("y", 3))
    settings = DatasetStageSettings(min_windows=5, fold=fold)
    with pytest.raises(AutobirdError, match=rf"the {split} split is empty.*Fold {fold} of 5 .*lower dataset\.folds$"):
        build_index(table, windows(table), tables_of(table), settings)
    build_index(table, windows(table), tables_of(table), settings.model_copy(update={"folds": 3, "fold": 2}))


def test_an_unknown_split_name_is_refused() -> None:
    table = recordings(*many("x", 5), *many("y", 5))
    grouping = pd.DataFrame([("x/0", "", "", "", "training")], columns=NO_METADATA.columns)
    with pytest.raises(AutobirdError, match=r"x/0 the split 'training'; use one of train, validation, test"):
        build_index(table, windows(table), tables_of(table, grouping), DatasetStageSettings())


def test_the_check_fails_above_the_quarantined_share_and_names_the_file() -> None:
    def reasons(defective: int, excluded: int = 0) -> "pd.Series[str]":
        return pd.Series(["silent"] * defective + [LICENCE_REFUSED] * excluded, dtype=str)

    assert check_quarantined_share(10, reasons(2), Path("q.csv"), CheckSettings())["accepted"] == 8
    with pytest.raises(AutobirdError, match=r"3 of 10 .*max_quarantined_share 0\.2; read the reasons in q\.csv"):
        check_quarantined_share(10, reasons(3), Path("q.csv"), CheckSettings())
    with pytest.raises(AutobirdError, match="none of 10"):
        check_quarantined_share(10, reasons(10), Path("q.csv"), CheckSettings(max_quarantined_share=1))
    # Recordings that a policy excludes are not counted in the share.
    assert check_quarantined_share(10, reasons(1, 5), Path("q.csv"), CheckSettings()) == {
        "recordings": 10, "accepted": 4, "quarantined": 6, "refused_by_policy": 5, "not_audio": 0,
    }  # fmt: skip
    with pytest.raises(AutobirdError, match=r"2 of 5 recordings"):
        check_quarantined_share(10, reasons(2, 5), Path("q.csv"), CheckSettings())


def test_the_normalisation_is_that_of_all_mel_cells_of_some_windows() -> None:
    cells = np.random.default_rng(0).normal(-7, 2, (5, 157, 64))
    numbers = {
        "mel_mean": cells.mean(axis=(1, 2)),
        "mel_std": cells.std(axis=(1, 2)),
        "entry": np.array([0, 2, 2, 1, 0]),
    }
    used = cells[[0, 3, 4]]
    assert normalisation(numbers, np.array([True, True, False])) == pytest.approx(
        {"mean": used.mean(), "std": used.std()}
    )


def test_recordings_that_change_their_split_are_listed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    index = pd.DataFrame({"recording": ["a", "b"], "split": ["train", "test"]})
    report_moves(FolderStore(tmp_path), index)
    report_moves(FolderStore(tmp_path), index.assign(split=["test", "test"]))
    assert [r.getMessage() for r in caplog.records if r.levelname == "WARNING"] == ["moved from train to test: a"]


def test_near_duplicates_are_quarantined_only_if_their_species_differ() -> None:
    table = recordings(
        ("a", "x", "1", ""), ("b", "x", "2", ""), ("c", "y", "3", ""), ("d", "y", "4", "text, not audio")
    )
    pairs = pd.DataFrame([("a", "b"), ("b", "c"), ("a", "d")], columns=PAIRS[:2])
    reasons = quarantine_reasons(table, NO_EXCLUSIONS, pairs)
    assert reasons["a"] == ""
    assert "near-duplicate of c, which has another species" in reasons["b"]
    assert "near-duplicate of b, which has another species" in reasons["c"]


def test_excluded_recordings_are_found_by_id_and_checksum_and_do_not_count_as_duplicates() -> None:
    table = recordings(("a", "x", "1", ""), ("b", "y", "1", ""), ("c", "x", "2", ""), ("d", "y", "3", ""))
    exclusions = pd.DataFrame([("a", "its licence"), ("sha256:2", "taken down")], columns=["recording", "reason"])
    pairs = pd.DataFrame([("a", "d")], columns=PAIRS[:2])
    assert quarantine_reasons(table, exclusions, pairs).to_dict() == {
        "a": "its licence",
        "b": "",
        "c": "taken down",
        "d": "",
    }


def test_species_with_few_windows_get_the_split_unknown() -> None:
    """Windows that are not quiet count: w has exactly the required number, z has one fewer."""
    table = recordings(*many("x", 30), *many("y", 30), *many("w", 2), *many("z", 2))
    window_table = windows(table)
    window_table.loc[window_table.index[window_table["recording"] == "w/0"][:1], "rms"] = 0.0
    window_table.loc[window_table.index[window_table["recording"] == "z/0"][:2], "rms"] = 0.0
    index, labels = build_index(table, window_table, tables_of(table), DatasetStageSettings(min_windows=5))
    assert (index.loc[index["species"] == "w", "dropped"] == "").sum() == 5
    rare = index[index["species"] == "z"]
    assert set(rare["split"]) == {"unknown"}
    assert sorted(rare["dropped"]) == ["RMS below 0.005"] * 2 + ["species with fewer than 5 windows"] * 4
    assert count_dataset(table, index, labels, tables_of(table), DatasetStageSettings())["unknown"] == {
        "recordings": 2,
        "windows": 4,
        "species": ["z"],
    }


def test_a_species_without_training_recordings_because_of_the_metadata_is_left_out() -> None:
    table = recordings(*many("x", 30), *many("y", 30), *many("z", 3))
    grouping = pd.DataFrame([(f"z/{i}", "", "", "", "test") for i in range(3)], columns=NO_METADATA.columns)
    index, _ = build_index(table, windows(table), tables_of(table, grouping), DatasetStageSettings(min_windows=5))
    assert set(index.loc[index["species"] == "z", "dropped"]) == {"species without a window in training"}
    assert set(index.loc[index["species"] != "z", "dropped"]) == {""}


def test_window_tables_in_another_order_are_refused(tmp_path: Path) -> None:
    """The tables of segments and mel frames of a batch are joined row by row."""
    table = windows(recordings(*many("x", 2)))
    segments = table.assign(offset=0, samples=1)
    write_table(tmp_path / "s.parquet", segments, SEGMENTS)
    write_table(tmp_path / "same.parquet", table, MELS)
    write_table(tmp_path / "other.parquet", table[::-1], MELS)
    [joined] = read_windows([tmp_path / "s.parquet"], [tmp_path / "same.parquet"])
    assert joined["first_frame"].tolist() == table["first_frame"].tolist()
    with pytest.raises(AutobirdError, match=r"other\.parquet and .*s\.parquet do not have the same windows .*; delete"):
        list(read_windows([tmp_path / "s.parquet"], [tmp_path / "other.parquet"]))


def test_a_species_that_cannot_be_tested_is_reported() -> None:
    table = recordings(*many("x", 30), *many("y", 30), *many("z", 2))
    index, labels = build_index(table, windows(table), tables_of(table), DatasetStageSettings(min_windows=5))
    untestable = count_dataset(table, index, labels, tables_of(table), DatasetStageSettings())["untestable"]
    assert list(untestable) == ["z"]
    assert "no validation recordings: 2 independent groups (three are needed)" in untestable["z"]


def test_recordings_without_windows_in_use_are_not_counted_in_the_split_of_a_small_species() -> None:
    table = recordings(*many("x", 30), *many("y", 6))
    window_table = windows(table)
    window_table.loc[window_table["recording"].isin(["y/0", "y/1", "y/2"]), "rms"] = 0.0
    index, _ = build_index(table, window_table, tables_of(table), DatasetStageSettings(min_windows=5))
    used = index[(index["dropped"] == "") & (index["species"] == "y")]
    assert set(used["split"]) == {"train", "validation", "test"}


def test_the_quarantine_joins_reasons_by_recording_in_any_order_of_rows() -> None:
    table = recordings(("b", "x", "1", "silent"), ("a", "y", "2", ""), ("c", "x", "3", "too short"))
    expected = [("b", "x", "silent"), ("c", "x", "too short")]
    for rows in (table, table[::-1], table.set_index(pd.Index([7, 7, 7]))):
        assert list(quarantine(rows, NO_EXCLUSIONS, NO_PAIRS).itertuples(index=False, name=None)) == expected
