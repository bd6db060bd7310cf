"""The field recordings of `evaluation.field`: how they are listed, which are excluded, and their sessions."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from autobird.config import load_config
from autobird.core.errors import AutobirdError
from autobird.core.files import write_json
from autobird.evaluation.field_evaluate import excluded_recordings, sessions_of, with_label_problems
from autobird.evaluation.field_leakage import LEAKAGE, SAME_FILE, SAME_SOUND, same_content, same_session
from autobird.evaluation.field_predict import problem_of
from autobird.evaluation.field_settings import source_settings
from autobird.evaluation.field_summary import field_lines
from autobird.sources.field_set import FieldSet
from autobird.sources.policy import NO_SPECIES
from tests.field_set import write_recording, write_table


def field_set(tmp_path: Path, **settings: Any) -> FieldSet:
    config = load_config({"evaluation": {"field": {"root": str(tmp_path / "set"), "batches": 1, **settings}}})
    field = config.evaluation.field
    return FieldSet(source_settings(field, config.corpus), field.type == "negatives", tmp_path / "cache.sqlite")


def rows_of(found: FieldSet, table: str) -> list[list[str]]:
    return [line.split(",") for line in found.listing.manifests.text(table).splitlines()[1:]]


def test_recordings_without_a_table_are_not_annotated_and_an_empty_table_means_that_nothing_was_heard(
    tmp_path: Path,
) -> None:
    for name in ("a.wav", "b.wav", "c.wav"):
        write_recording(tmp_path / "set" / name, 1.0, {}, 0)
    write_table(tmp_path / "set" / "a.wav", [(0.1, 0.5, "Parus major")])
    write_table(tmp_path / "set" / "b.wav", [])
    found = field_set(tmp_path)
    problems = {row[0]: row[3] for row in rows_of(found, "0")}
    assert (problems["a.wav"], problems["b.wav"]) == ("", "")
    assert problems["c.wav"].startswith("not annotated")
    assert rows_of(found, "boxes") == [["a.wav", "0.1", "0.5", "Parus major", "", "", ""]]


def test_negatives_are_recordings_at_any_depth_without_a_species(tmp_path: Path) -> None:
    for name in ("a.wav", "rain/b.wav", "rain/2024/c.wav"):
        write_recording(tmp_path / "set" / name, 1.0, {}, 0)
    found = field_set(tmp_path, type="negatives")
    assert [[row[0], row[1], row[3]] for row in rows_of(found, "0")] == [
        ["a.wav", "", ""],
        ["rain/2024/c.wav", "", ""],
        ["rain/b.wav", "", ""],
    ]


@pytest.mark.parametrize("kind", ["annotations", "folder", "negatives"])
def test_a_missing_folder_is_named_with_its_setting(tmp_path: Path, kind: str) -> None:
    with pytest.raises(
        AutobirdError, match=r"evaluation\.field\.root: .*set is not a folder; give a folder of recordings"
    ):
        field_set(tmp_path, type=kind)


def test_an_empty_folder_and_a_table_of_urls_are_refused(tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    with pytest.raises(AutobirdError, match=r"evaluation\.field: there are no recordings"):
        field_set(tmp_path, type="negatives")
    table = tmp_path / "urls.csv"
    table.write_text("url,species\nhttps://example.org/a.wav,Parus major\n")
    with pytest.raises(AutobirdError, match=r"evaluation\.field\.table: .* lists URLs; download"):
        field_set(tmp_path, type="table", table=str(table))


def test_settings_of_the_field_set_do_not_change_the_provenance_of_a_bundle() -> None:
    plain, field = load_config({}), load_config({"evaluation": {"field": {"root": "/home/me/field"}}})
    assert plain.provenance() == field.provenance()


def test_excluded_recordings_have_their_first_reason() -> None:
    manifest = pd.DataFrame(
        [["a", ""], ["b", "not annotated; add its table"], ["c", ""], ["d", "cannot be read"], ["e", ""]],
        columns=["recording", "problem"],
    )
    leakage = pd.DataFrame(
        [["a", "x", "near-duplicate", 9], ["a", "x", "same file", 0], ["e", "y", "same session", 0]], columns=LEAKAGE
    )
    answers = pd.DataFrame(
        [["a", ""], ["b", "not annotated"], ["c", "too short"], ["d", "cannot be read"], ["e", ""]],
        columns=["recording", "reason"],
    )
    assert excluded_recordings(manifest, answers, leakage).to_numpy().tolist() == [
        ["a", "in the corpus", "same file as x"],
        ["b", "not annotated", "not annotated; add its table"],
        ["c", "not predicted", "too short"],
        ["d", "cannot be used", "cannot be read"],
    ]


def test_a_label_that_is_no_species_is_a_problem_unless_the_recording_is_a_negative() -> None:
    manifest = pd.DataFrame([["a", ""], ["b", ""], ["c", ""]], columns=["recording", "problem"])
    exclusions = pd.DataFrame([["a", NO_SPECIES], ["b", NO_SPECIES], ["c", "licence"]], columns=["recording", "reason"])
    labels = pd.DataFrame([["b", "negative"]], columns=["recording", "kind"])
    problems = with_label_problems(manifest, "folder", exclusions, labels)["problem"].tolist()
    assert problems == [NO_SPECIES, "", ""]
    assert with_label_problems(manifest, "negatives", exclusions, None)["problem"].tolist() == ["", "", ""]


def test_a_part_of_a_file_cannot_be_predicted() -> None:
    row = {"problem": "", "start": "3", "end": ""}
    assert problem_of(row).startswith("is a part of its file")
    assert problem_of(row | {"start": ""}) == ""


def recordings(*rows: tuple[str, str, str]) -> pd.DataFrame:
    """Rows of `RECORDINGS`: id, checksum of the file, checksum of the sound."""
    table = pd.DataFrame(rows, columns=["recording", "file_sha256", "sound_sha256"])
    return table.assign(species="", location="", start="", end="", duration=60.0, recorder="", recorded_at="")


def test_the_same_file_and_the_same_sound_are_found_and_unknown_checksums_match_nothing() -> None:
    field = recordings(("f1", "A", "1"), ("f2", "B", "2"), ("f3", "", ""))
    corpus = recordings(("c1", "A", "9"), ("c2", "C", "2"), ("c3", "", ""))
    assert same_content(field, corpus, "file_sha256", SAME_FILE).to_numpy().tolist() == [["f1", "c1", "same file", 0]]
    assert same_content(field, corpus, "sound_sha256", SAME_SOUND).to_numpy().tolist() == [
        ["f2", "c2", "same audio", 0]
    ]


def test_a_session_that_is_also_in_the_corpus_is_found_by_recorder_and_night_or_by_metadata() -> None:
    field = recordings(("A_20240501_230000.wav", "1", "1"), ("B_20240501_230000.wav", "2", "2"), ("x.wav", "3", "3"))
    corpus = recordings(("A_20240502_030000.wav", "4", "4"), ("y.wav", "5", "5"))
    nothing = pd.DataFrame(columns=["recording", "recordist", "date", "place", "split"])
    grouping = pd.DataFrame([["x.wav", "Ann", "2020-01-01", "Wood"]], columns=nothing.columns[:4]).assign(split="")
    of_corpus = grouping.assign(recording="y.wav", recordist="ann")
    found = same_session(field, grouping, corpus, of_corpus)
    assert found[["recording", "other"]].to_numpy().tolist() == [
        ["x.wav", "y.wav"],
        ["A_20240501_230000.wav", "A_20240502_030000.wav"],
    ]
    assert same_session(field, nothing, corpus, nothing)["recording"].tolist() == ["A_20240501_230000.wav"]


def test_sessions_are_nights_of_a_recorder_even_if_the_metadata_give_the_day() -> None:
    names = [
        "A_20240501_040000.wav",
        "A_20240501_230000.wav",
        "A_20240502_040000.wav",
        "B_20240502_040000.wav",
        "x.wav",
    ]
    table = recordings(*((name, name, name) for name in names))
    days = ["2024-05-01", "2024-05-01", "2024-05-02", "2024-05-02", "2024-05-02"]
    grouping = pd.DataFrame({"recording": names, "recordist": "", "date": days, "place": "Wood", "split": ""})
    pairs = pd.DataFrame(columns=["recording", "other"])
    group = sessions_of(names, table, grouping, pairs, use_recorders=True)
    assert len(set(group)) == 4
    assert group[1] == group[2]
    by_day = sessions_of(names, table, grouping, pairs, use_recorders=False)
    assert [len(set(by_day)), by_day[0] == by_day[1], by_day[2] == by_day[4]] == [2, True, True]


def test_a_folder_of_negatives_does_not_make_another_recorder() -> None:
    names = ["A_20240501_230000.wav", "noise/A_20240502_030000.wav"]
    first, second = (recordings((name, name, name)) for name in names)
    nothing = pd.DataFrame(columns=["recording", "recordist", "date", "place", "split"])
    for negative_names, found in (((), []), (("noise",), [names[0]])):
        assert same_session(first, nothing, second, nothing, negative_names)["recording"].tolist() == found
        both, pairs = pd.concat([first, second], ignore_index=True), pd.DataFrame(columns=["recording", "other"])
        group = sessions_of(names, both, nothing, pairs, True, negative_names)
        assert (group[0] == group[1]) == bool(found)


def test_recordings_that_were_not_decoded_are_sessions_of_their_own() -> None:
    table = recordings(("x.wav", "1", ""), ("y.wav", "2", ""))
    nothing = pd.DataFrame(columns=["recording", "recordist", "date", "place", "split"])
    group = sessions_of(["x.wav", "y.wav"], table, nothing, pd.DataFrame(columns=["recording", "other"]), True)
    np.testing.assert_array_equal(np.sort(group), [0, 1])


def test_a_run_without_field_recordings_has_no_lines_about_them(tmp_path: Path) -> None:
    assert field_lines(tmp_path / "field" / "metrics.json", tmp_path / "bundle.json") == []


def test_scores_of_an_earlier_bundle_are_not_shown_as_those_of_this_one(tmp_path: Path) -> None:
    metrics, bundle = tmp_path / "metrics.json", tmp_path / "bundle.json"
    write_json(metrics, {"bundle": {"fingerprint": "a"}})
    write_json(bundle, {"fingerprint": "b"})
    assert field_lines(metrics, bundle) == [
        "field recordings: the scores are those of an earlier bundle; measure this one with `snakemake field`"
    ]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, "demo"),
        ({"type": "auto"}, "demo"),
        ({"type": "auto", "root": "/my/survey"}, "annotations"),
        ({"type": "auto", "table": "/my/table.csv"}, "table"),
        ({"type": "negatives", "root": "/my/noise"}, "negatives"),
        ({"type": "demo", "root": "/my/survey"}, "demo"),
    ],
)
def test_a_folder_given_in_addition_to_the_settings_of_the_demo_is_evaluated(
    given: dict[str, str], expected: str
) -> None:
    field = load_config({"evaluation": {"field": given}}).evaluation.field
    assert field is not None
    assert field.type == expected
