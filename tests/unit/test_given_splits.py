"""Splits in metadata: usual synonyms are read, unknown names are refused before anything is decoded, overridden ones listed."""

import logging
from pathlib import Path

import pandas as pd
import pytest

from autobird.core.errors import AutobirdError
from autobird.dataset.counts import box_problems, count_dataset, overridden_splits
from autobird.dataset.dataset import report_boxes, report_overridden_splits
from autobird.dataset.recording_tables import RecordingTables
from autobird.dataset.settings import DatasetStageSettings
from autobird.sources.listing import Listing
from autobird.sources.select import source_of
from autobird.sources.settings import SourceSettings
from autobird.sources.splits import split_name

PAIRS = pd.DataFrame(columns=["recording", "other", "votes"])


@pytest.mark.parametrize(
    ("text", "split"),
    [
        ("train", "train"), ("Training", "train"), ("TRAIN ", "train"), ("val", "validation"), ("Valid", "validation"),
        ("validation", "validation"), ("Test", "test"), ("testing", "test"), ("", ""), (" ", ""), ("trian", None), ("dev", None), ("1", None),
    ],
)  # fmt: skip
def test_names_of_splits(text: str, split: str | None) -> None:
    assert split_name(text) == split


def listing(tmp: Path, kind: str, splits: dict[str, str]) -> Listing:
    root = tmp / "r"
    for name in ("A/a.wav", "A/b.wav", "B/c.wav", "B/d.wav"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(name.encode())
    lines = "".join(f"{f},{f[0]},{split}\n" for f, split in splits.items())
    (root / "SOURCES.csv").write_text("file,species,split\n" + lines)
    settings = SourceSettings(
        type=kind, root=str(root), table=str(root / "SOURCES.csv") if kind == "table" else None, batches=1
    )
    return Listing(source_of(settings, tmp / "c" / "x"), settings)


@pytest.mark.parametrize("kind", ["folder", "table"])
def test_a_misspelt_split_is_refused_when_the_source_is_listed(kind: str, tmp_path: Path) -> None:
    found = listing(tmp_path, kind, {"A/a.wav": "train", "A/b.wav": "tets", "B/c.wav": "tets", "B/d.wav": "vall"})
    message = r"3 recordings an unknown split: 'tets' \(2, for example A/b\.wav\), 'vall' \(1, for example B/d\.wav\); use train,"
    with pytest.raises(AutobirdError, match=message):
        found.check()


def test_synonyms_are_read_as_the_split_they_mean_with_a_note(tmp_path: Path) -> None:
    found = listing(tmp_path, "folder", {"A/a.wav": "train", "A/b.wav": "Training", "B/c.wav": "VAL", "B/d.wav": ""})
    found.check()
    assert found.given_splits == 3
    assert found.manifests.text("grouping").splitlines()[1:] == [
        "A/a.wav,,,,train", "A/b.wav,,,,train", "B/c.wav,,,,validation",
    ]  # fmt: skip
    assert found.notes == [
        "splits of 2 recordings have other names in the metadata, and are read: 'Training' as train (1), 'VAL' as validation (1)"
    ]


def index_of(splits: dict[str, str]) -> pd.DataFrame:
    rows = [
        {
            "recording": r, "start": s, "present": ["x"], "negative": False, "dropped": "", "split": split, "recording_split": split,
            "group": "Ann\nWood", "windows": 1, "quiet": False, "recording_present": ["x"],
        }
        for r, split in splits.items() for s in (0, 1)
    ]  # fmt: skip
    return pd.DataFrame(rows)


def test_recordings_that_their_group_puts_into_another_split_are_listed(
    caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    index = index_of({"a": "train", "b": "train", "c": "test", "d": "train"})
    grouping = pd.DataFrame(
        [("a", "train"), ("b", "test"), ("c", ""), ("d", "test"), ("gone", "test")], columns=["recording", "split"]
    )
    found = overridden_splits(index, grouping)
    assert found[["recording", "given", "assigned"]].to_numpy().tolist() == [
        ["b", "test", "train"],
        ["d", "test", "train"],
    ]
    tables = RecordingTables(grouping, frozenset(), PAIRS)
    recordings = pd.DataFrame({"recording": list("abcd"), "species": "x", "duration": 9.0})
    assert count_dataset(recordings, index, ["x"], tables, DatasetStageSettings())["splits_overridden"] == {
        "test -> train": 2
    }
    with caplog.at_level(logging.WARNING, "autobird"):
        report_overridden_splits(index, grouping)
    assert (
        "the metadata give b the split test, but its group is in train, as a group is never divided: Ann, Wood"
        in caplog.text
    )
    assert "2 recordings are not in the split that the metadata give" in capsys.readouterr().err


def test_boxes_that_label_no_window_are_counted(
    caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    boxes = pd.DataFrame(
        [("a", 0.0, 3.0, "x", ""), ("a", 8.9, 12.0, "x", ""), ("a", 9.0, 10.0, "x", ""), ("a", 99.0, 100.0, "x", "zero length"), ("b", 50.0, 51.0, "x", ""),
         ("c", 50.0, 51.0, "x", "")],
        columns=["recording", "start", "end", "species", "problem"],
    ).assign(decision="", sampling_probability=0.0)  # fmt: skip
    tables = RecordingTables(pd.DataFrame(columns=["recording", "split"]), frozenset({"c"}), PAIRS, boxes)
    recordings = pd.DataFrame({"recording": ["a", "b", "c"], "species": "x", "duration": [9.0, 9.0, 9.0]})
    index = index_of({"a": "train", "b": "test"})
    counts = count_dataset(recordings, index, ["x"], tables, DatasetStageSettings())["boxes"]
    assert counts == {
        "begins after the end of its recording": 2, "its recording is quarantined": 1, "overlaps no window enough to label it": 1,
        "used": 1, "zero length": 1,
    }  # fmt: skip
    with caplog.at_level(logging.WARNING, "autobird"):
        report_boxes(box_problems(recordings, index, tables, DatasetStageSettings()), boxes["recording"])
    assert "a: 1 annotated boxes or reviewed windows label no window of the data set" in caplog.text
    assert "a: 1 annotated boxes or reviewed windows begin after its end and are not used" in caplog.text
    assert "[dataset] 2 annotated boxes begin after the end of their recording" in capsys.readouterr().err
