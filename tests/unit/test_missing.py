"""Placeholders for missing values, recognised by every reader of metadata; and dates in the forms that people write."""

import json
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autobird.corpus.schemas import PAIRS
from autobird.corpus.settings import CorpusSettings
from autobird.dataset.days import normalise_day
from autobird.dataset.groups import group_keys
from autobird.dataset.recorders import recorder_sessions
from autobird.sources import url, xeno_canto
from autobird.sources.base import RecordingMetadata
from autobird.sources.licences import UNKNOWN, family
from autobird.sources.lock import write_lock
from autobird.sources.missing import drop_placeholder
from autobird.sources.select import source_of
from tests.standins.xeno_canto import entry

PLACEHOLDERS = (
    "", " ", "\t", "NA", "na", "NaN", "nan", "NaT", "N/A", "n/a", "n.a.", "#N/A", "<NA>", "unknown", "Unknown", "UNKNOWN ", "(unknown)", "[unknown]",
    "unknown location", "Unknown recordist", "not known", "not recorded", "-", "--", "---", "–", "?", "??", "??:??", ".", "...", "_", "none", "None",
    "null", "NULL", "nil", "unspecified", "not available", "no data", "0000-00-00", "anonymous", "tbd",
)  # fmt: skip

VALUES = (
    "Ann", "Nan Wu", "Na Li", "Noname Creek", "None Such Wood", "Unknown Valley Reserve", "0", "-1.5", "12:30", "2021-00-00", "A", "CC0", "no",
    "Anonymous Bosch", "Nullarbor", "12", "0000000000", "不明な山", "Ñ",
)  # fmt: skip


@pytest.mark.parametrize("text", PLACEHOLDERS)
def test_a_placeholder_becomes_an_empty_text(text: str) -> None:
    assert drop_placeholder(text) == ""
    assert family(text) == UNKNOWN or text == "0000-00-00"


@pytest.mark.parametrize("text", VALUES)
def test_a_value_is_kept(text: str) -> None:
    assert drop_placeholder(f" {text} ") == text


@given(st.text(max_size=30))
def test_any_text_is_kept_or_becomes_empty(text: str) -> None:
    assert drop_placeholder(text) in ("", text.strip())


COLUMNS = {
    "recordist": "recordist", "date": "date", "time": "time", "place": "location", "latitude": "lat", "longitude": "lon", "licence": "licence",
    "quality": "quality", "split": "split", "number": "xc_id", "background": "background_species",
}  # fmt: skip


def metadata_of(settings: CorpusSettings, tmp: Path) -> list[RecordingMetadata]:
    return list(source_of(settings, tmp / "cache.sqlite").metadata())


@pytest.mark.parametrize("placeholder", ["NA", "nan", "Unknown", "--", "n/a", " null "])
@pytest.mark.parametrize("kind", ["folder", "table", "parquet", "annotations", "kaggle", "xeno_canto", "url"])
def test_every_reader_of_metadata_drops_placeholders(tmp_path: Path, kind: str, placeholder: str) -> None:
    root = tmp_path / "root"
    name = "Parus_major_sound/a.wav" if kind == "kaggle" else "Parus_major/a.wav"
    (root / name).parent.mkdir(parents=True)
    (root / name).write_bytes(b"x")
    row = {
        "file": name,
        "species": "Parus major",
        "remark": placeholder,
        **dict.fromkeys(COLUMNS.values(), placeholder),
    }
    pd.DataFrame([row]).to_csv(root / "SOURCES.csv", index=False)
    lock = tmp_path / "lock.jsonl"
    if kind == "table":
        settings = CorpusSettings(type="table", table=str(root / "SOURCES.csv"))
    elif kind == "parquet":
        pq.write_table(pa.Table.from_pylist([row]), tmp_path / "t.parquet")
        settings = CorpusSettings(type="table", table=str(tmp_path / "t.parquet"), root=str(root))
    elif kind == "xeno_canto":
        settings = CorpusSettings(type="xeno_canto", lock=str(lock), xeno_canto={"query": "grp:birds"})
        fields = dict.fromkeys(("rec", "date", "time", "loc", "lat", "lon", "lic", "q"), placeholder)
        write_lock(
            lock, xeno_canto.source_key(settings.xeno_canto), [entry("1", "Parus major", "a.wav", **fields)], "id"
        )
    elif kind == "url":
        settings = CorpusSettings(type="url", root="gs://bucket/birds", lock=str(lock))
        values = RecordingMetadata(name, **dict.fromkeys(COLUMNS, placeholder))._asdict()
        line = {
            "recording": name,
            "row": {"recording": name, "species": "Parus major", "content": "x"},
            "facts": values,
        }
        write_lock(lock, url.source_key("gs://bucket/birds"), [line], "recording")
    else:
        settings = CorpusSettings(type=kind, root=str(root))  # type: ignore[arg-type]
    (metadata,) = metadata_of(settings, tmp_path)
    columns = [c for c in COLUMNS if kind != "xeno_canto" or c not in ("number", "split", "background")]
    assert {c: getattr(metadata, c) for c in columns} == dict.fromkeys(columns, "")
    assert "remark" not in json.loads(metadata.extra or "{}")


def test_labels_and_file_names_may_be_placeholders_and_a_missing_interval_is_the_whole_file(tmp_path: Path) -> None:
    (tmp_path / "NA.wav").write_bytes(b"x")
    lines = [{"file": "NA.wav", "species": "None", "start": "NaN", "end": "nan", "sha256": "NA"}]
    pd.DataFrame(lines).to_csv(tmp_path / "t.csv", index=False)
    source = source_of(CorpusSettings(type="table", table=str(tmp_path / "t.csv")), tmp_path / "cache.sqlite")
    (recording,) = source.recordings()
    assert (recording.recording, recording.species) == ("NA.wav", "None")
    assert (recording.start, recording.end, recording.problem) == ("", "", "")


@pytest.mark.parametrize(("lat", "lon"), [("-999", "-999"), ("0", "0.0"), ("91", "5"), ("nan", "nan"), ("50", "NA")])
def test_missing_or_impossible_coordinates_give_no_place(tmp_path: Path, lat: str, lon: str) -> None:
    (tmp_path / "t.csv").write_text(f"file,species,lat,lon\na.wav,x,{lat},{lon}\n")
    (metadata,) = metadata_of(CorpusSettings(type="table", table=str(tmp_path / "t.csv")), tmp_path)
    assert metadata.place == ""


def test_recordings_without_recordist_and_place_do_not_form_a_session(tmp_path: Path) -> None:
    lines = "".join(
        f"{n}.wav,x,{placeholder},{placeholder},2021-05-01\n" for n, placeholder in enumerate(("NA", "NA", "unknown"))
    )
    (tmp_path / "t.csv").write_text(f"file,species,recordist,location,date\n{lines}")
    metadata = metadata_of(CorpusSettings(type="table", table=str(tmp_path / "t.csv")), tmp_path)
    grouping = pd.DataFrame(metadata)[["recording", "recordist", "date", "place", "split"]]
    table = grouping[["recording"]].assign(
        species="x", location="", start="", duration=1.0, recorder="", recorded_at="", file_sha256=list("abc"), sound_sha256=list("abc")
    )  # fmt: skip
    keys = group_keys(table, grouping, pd.DataFrame(columns=PAIRS, dtype=str), recorder_sessions(table, grouping))
    assert keys.nunique() == 3


@pytest.mark.parametrize(
    ("text", "day"),
    [
        ("2023-05-12", "2023-05-12"), ("2023/5/12", "2023-05-12"), ("2023.05.12", "2023-05-12"), ("20230512", "2023-05-12"),
        ("2023-05-12 00:00:00", "2023-05-12"), ("2023-05-12T04:00:00+02:00", "2023-05-12"), ("25/05/2023", "2023-05-25"),
        ("05/25/2023", "2023-05-25"), ("25.5.2023", "2023-05-25"), ("5/5/2023", "2023-05-05"), ("12/05/2023", "12/05/2023"),
        ("12 May 2023", "2023-05-12"), ("May 12, 2023", "2023-05-12"), ("12-MAY-2023", "2023-05-12"), ("Spring  2023", "spring 2023"),
        ("2021-00-00", ""), ("2021-05-00", ""), ("2021-05", ""), ("2021", ""), ("00/05/2021", ""), ("0000-00-00", ""), ("", ""),
        ("2021-13-40", "2021-13-40"), ("2021-??-??", ""),
    ],
)  # fmt: skip
def test_days_as_people_write_them(text: str, day: str) -> None:
    assert normalise_day(text) == day


@given(st.text(max_size=20))
def test_no_date_raises(text: str) -> None:
    normalise_day(text)
