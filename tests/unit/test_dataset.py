"""From recordings and windows to the index: what is left out, and that the counts add up."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from autobird.audio.mel_shards import MELS
from autobird.audio.segment import SEGMENTS
from autobird.core.errors import AutobirdError
from autobird.core.store import FolderStore
from autobird.core.tables import write_table
from autobird.corpus.acceptance import reasons
from autobird.corpus.check_corpus import check
from autobird.corpus.dataset import Known, build_index, counts, normalisation, report_moves, windows_of
from autobird.corpus.policy import REFUSED
from autobird.corpus.quarantine import quarantine
from autobird.corpus.schemas import PAIRS, RECORDINGS
from autobird.corpus.settings import CheckSettings, DatasetStageSettings

NOBODY = pd.DataFrame(columns=["recording", "recordist", "date", "place", "split"], dtype=str)
NO_VERDICTS = pd.DataFrame(columns=["recording", "reason"], dtype=str)
NO_PAIRS = pd.DataFrame(columns=PAIRS, dtype=str)


def known(table: pd.DataFrame, grouping: pd.DataFrame = NOBODY, **more: pd.DataFrame) -> Known:
    """What is known besides the sound, with the quarantine that follows from the recordings."""
    why = reasons(table, NO_VERDICTS, NO_PAIRS)
    return Known(grouping, frozenset(why.index[why != ""]), **({"pairs": NO_PAIRS} | more))


def recordings(*rows: tuple[str, str, str, str]) -> pd.DataFrame:
    """Rows of (recording, species, sound, reason)."""
    table = pd.DataFrame(rows, columns=["recording", "species", "sound_sha256", "reason"])
    table["file_sha256"] = table["sound_sha256"]
    table["status"] = np.where(table["reason"] == "", "ok", "unusable")
    for name in RECORDINGS.names:
        if name not in table:
            table[name] = "" if RECORDINGS.field(name).type == "string" else 0.0
    return table[RECORDINGS.names]


def many(species: str, count: int) -> list[tuple[str, str, str, str]]:
    return [(f"{species}/{i}", species, f"{species}{i}", "") for i in range(count)]


def windows(table: pd.DataFrame, per_recording: int = 3, rms: float = 0.1) -> pd.DataFrame:
    ok = table.loc[table["status"] == "ok", "recording"].repeat(per_recording).reset_index(drop=True)
    n = len(ok)
    return pd.DataFrame(
        {
            "recording": ok, "start": np.tile(np.arange(per_recording) * 40_000, n // per_recording), "rms": np.float32(rms),
            "first_frame": np.arange(n) * 157, "mel_mean": -8.0, "mel_std": 1.5, "shard": 0,
        }
    )  # fmt: skip


def test_of_equal_sounds_one_is_used_and_under_two_labels_none() -> None:
    table = recordings(
        ("b", "x", "s1", ""), ("a", "x", "s1", ""), ("c", "x", "s2", ""), ("d", "y", "s2", ""), ("e", "y", "s3", ""),
        ("f", "y", "", "text, not sound"),
    )  # fmt: skip
    why = reasons(table, NO_VERDICTS, NO_PAIRS)
    assert why["a"] == why["e"] == ""
    assert why["b"] == "the same sound as a, which is used"
    assert "d under another species" in why["c"]
    assert "c under another species" in why["d"]
    assert quarantine(table, NO_VERDICTS, NO_PAIRS)["recording"].tolist() == ["b", "c", "d", "f"]


def test_recordings_and_windows_add_up() -> None:
    table = recordings(*many("x", 30), *many("y", 30), ("z/0", "z", "z0", ""), ("bad", "x", "", "empty file (0 bytes)"))
    found = windows(table)
    found.loc[found["recording"] == "x/3", "rms"] = 0.001
    found.loc[found["recording"] == "x/4", "mel_std"] = 0.01
    index = build_index(table, found, known(table), DatasetStageSettings(min_windows=5))
    numbers = counts(table, index, known(table))
    parts = [numbers[f"recordings_{p}"] for p in ("used", "filtered", "quarantined")]
    assert parts == [58, 3, 1]
    assert set(index.loc[index["quiet"], "recording"]) == {"x/3", "x/4"}
    assert sum(parts) == numbers["recordings"]
    assert numbers["windows"] == len(found) == numbers["windows_used"] + sum(numbers["windows_dropped"].values())
    assert numbers["windows_dropped"] == {
        "RMS below 0.005": 3, "mel standard deviation below 0.1": 3, "species with fewer than 5 windows": 3,
    }  # fmt: skip


def test_one_species_left_names_the_keys_that_help() -> None:
    table = recordings(*many("x", 30), ("z/0", "z", "z0", ""))
    with pytest.raises(AutobirdError, match=r"1 species .* remain of 2 .*dataset\.min_windows"):
        build_index(table, windows(table), known(table), DatasetStageSettings(min_windows=5))


def test_an_unknown_split_name_is_refused() -> None:
    table = recordings(*many("x", 5), *many("y", 5))
    grouping = pd.DataFrame([("x/0", "", "", "", "training")], columns=NOBODY.columns)
    with pytest.raises(AutobirdError, match=r"x/0 the split 'training'; use one of train, validation, test"):
        build_index(table, windows(table), known(table, grouping), DatasetStageSettings())


def test_the_check_fails_above_the_share_and_names_the_file() -> None:
    def reasons_(wrong: int, refused: int = 0) -> "pd.Series[str]":
        return pd.Series(["silent"] * wrong + [REFUSED] * refused, dtype=str)

    assert check(10, reasons_(2), Path("q.csv"), CheckSettings())["accepted"] == 8
    with pytest.raises(AutobirdError, match=r"3 of 10 .*max_quarantined_share 0\.2; read the reasons in q\.csv"):
        check(10, reasons_(3), Path("q.csv"), CheckSettings())
    with pytest.raises(AutobirdError, match="none of 10"):
        check(10, reasons_(10), Path("q.csv"), CheckSettings(max_quarantined_share=1))
    # What a policy refuses says nothing about the corpus.
    assert check(10, reasons_(1, 5), Path("q.csv"), CheckSettings()) == {
        "recordings": 10, "accepted": 4, "quarantined": 6, "refused_by_policy": 5,
    }  # fmt: skip
    with pytest.raises(AutobirdError, match=r"2 of 5 recordings"):
        check(10, reasons_(2, 5), Path("q.csv"), CheckSettings())


def test_the_normalisation_is_that_of_all_cells() -> None:
    cells = np.random.default_rng(0).normal(-7, 2, (5, 157, 64))
    table = pd.DataFrame({"mel_mean": cells.mean(axis=(1, 2)), "mel_std": cells.std(axis=(1, 2))})
    assert normalisation(table) == pytest.approx({"mean": cells.mean(), "std": cells.std()})


def test_recordings_that_change_their_split_are_listed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    index = pd.DataFrame({"recording": ["a", "b"], "split": ["train", "test"]})
    report_moves(FolderStore(tmp_path), index)
    report_moves(FolderStore(tmp_path), index.assign(split=["test", "test"]))
    assert [r.getMessage() for r in caplog.records if r.levelname == "WARNING"] == ["moved from train to test: a"]


def test_one_sound_under_two_labels_is_quarantined_twice_and_under_one_label_not_at_all() -> None:
    table = recordings(
        ("a", "x", "1", ""), ("b", "x", "2", ""), ("c", "y", "3", ""), ("d", "y", "4", "text, not sound")
    )
    pairs = pd.DataFrame([("a", "b"), ("b", "c"), ("a", "d")], columns=PAIRS[:2])
    why = reasons(table, NO_VERDICTS, pairs)
    assert why["a"] == ""
    assert "nearly the same sound as c under another species" in why["b"]
    assert "nearly the same sound as b under another species" in why["c"]


def test_what_is_forbidden_is_quarantined_by_name_and_by_content_and_accuses_nobody_else() -> None:
    table = recordings(("a", "x", "1", ""), ("b", "y", "1", ""), ("c", "x", "2", ""), ("d", "y", "3", ""))
    verdicts = pd.DataFrame([("a", "its licence"), ("sha256:2", "taken down")], columns=["recording", "reason"])
    pairs = pd.DataFrame([("a", "d")], columns=PAIRS[:2])
    assert reasons(table, verdicts, pairs).to_dict() == {"a": "its licence", "b": "", "c": "taken down", "d": ""}


def test_species_with_few_windows_are_kept_apart_as_examples_of_the_unknown() -> None:
    """Windows that are not quiet count: of w there are as many as are needed, of z one less."""
    table = recordings(*many("x", 30), *many("y", 30), *many("w", 2), *many("z", 2))
    found = windows(table)
    found.loc[found.index[found["recording"] == "w/0"][:1], "rms"] = 0.0
    found.loc[found.index[found["recording"] == "z/0"][:2], "rms"] = 0.0
    index = build_index(table, found, known(table), DatasetStageSettings(min_windows=5))
    assert (index.loc[index["species"] == "w", "dropped"] == "").sum() == 5
    apart = index[index["species"] == "z"]
    assert set(apart["split"]) == {"unknown"}
    assert sorted(apart["dropped"]) == ["RMS below 0.005"] * 2 + ["species with fewer than 5 windows"] * 4
    assert counts(table, index, known(table))["unknown"] == {"recordings": 2, "windows": 4, "species": ["z"]}


def test_a_species_that_people_keep_out_of_the_training_is_left_out() -> None:
    table = recordings(*many("x", 30), *many("y", 30), *many("z", 3))
    decided = pd.DataFrame([(f"z/{i}", "", "", "", "test") for i in range(3)], columns=NOBODY.columns)
    index = build_index(table, windows(table), known(table, decided), DatasetStageSettings(min_windows=5))
    assert set(index.loc[index["species"] == "z", "dropped"]) == {"species without a window in training"}
    assert set(index.loc[index["species"] != "z", "dropped"]) == {""}


def test_tables_of_windows_in_another_order_are_refused(tmp_path: Path) -> None:
    """Segments and mel frames of a batch are joined row by row."""
    table = windows(recordings(*many("x", 2)))
    segments = table.assign(offset=0, samples=1)
    for name, mels in (("same", table), ("other", table[::-1])):
        write_table(tmp_path / "s.parquet", segments, SEGMENTS)
        write_table(tmp_path / f"{name}.parquet", mels, MELS)
    joined = windows_of([tmp_path / "s.parquet"], [tmp_path / "same.parquet"])
    assert joined["first_frame"].tolist() == table["first_frame"].tolist()
    with pytest.raises(AutobirdError, match=r"other\.parquet does not fit .*s\.parquet; delete it and run again"):
        windows_of([tmp_path / "s.parquet"], [tmp_path / "other.parquet"])


def test_a_species_that_cannot_be_tested_is_reported() -> None:
    table = recordings(*many("x", 30), *many("y", 30), *many("z", 2))
    index = build_index(table, windows(table), known(table), DatasetStageSettings(min_windows=5))
    lacking = counts(table, index, known(table))["untestable"]
    assert list(lacking) == ["z"]
    assert "no validation recordings: 2 independent groups (three are needed)" in lacking["z"]


def test_recordings_whose_windows_were_all_filtered_take_no_place_in_a_small_species() -> None:
    table = recordings(*many("x", 30), *many("y", 6))
    found = windows(table)
    found.loc[found["recording"].isin(["y/0", "y/1", "y/2"]), "rms"] = 0.0
    index = build_index(table, found, known(table), DatasetStageSettings(min_windows=5))
    kept = index[(index["dropped"] == "") & (index["species"] == "y")]
    assert set(kept["split"]) == {"train", "validation", "test"}


def test_windows_of_annotated_recordings_take_their_labels_from_boxes() -> None:
    table = recordings(*((f"{i}", "", f"{i}", "") for i in range(40)))
    boxes = pd.DataFrame(
        [(str(i), 0.0, 4.0, "xy"[i % 2], "") for i in range(40)] + [("0", 9.0, 9.0, "x", "zero length")],
        columns=["recording", "start", "end", "species", "problem"],
    )
    facts = known(table, boxes=boxes)
    index = build_index(table, windows(table), facts, DatasetStageSettings(min_windows=5))
    kept = index[index["dropped"] == ""]
    assert set(kept["species"]) == {"x", "y"}
    numbers = counts(table, index, facts)
    assert numbers["boxes"] == {"used": 40, "zero length": 1}
    assert numbers["windows"] == numbers["windows_used"] + sum(numbers["windows_dropped"].values())
