"""Recorder sessions: recordings of one recorder in one night form a group, other recorders and nights do not."""

import datetime as dt
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autobird.core.errors import AutobirdError
from autobird.corpus.schemas import PAIRS
from autobird.dataset.groups import group_keys
from autobird.dataset.recorders import recorder_sessions
from autobird.dataset.reviewed_groups import sessions_of_recorders
from autobird.dataset.settings import DatasetStageSettings
from autobird.sources.folder import FolderSource
from tests.conftest import ROOT
from tests.dataset_tables import build_index, recordings, tables_of, windows

NO_PAIRS = pd.DataFrame(columns=PAIRS, dtype=str)
CASES = ROOT.parent / "shared" / "cases"


def table(*files: str, seconds: float = 60.0, **more: list[str]) -> pd.DataFrame:
    """Return recordings in folders of their species, each with different audio."""
    out = pd.DataFrame({"recording": files, "species": [f.split("/")[0].replace("_", " ") for f in files]})
    out["file_sha256"] = out["sound_sha256"] = out["recording"]
    defaults = dict.fromkeys(("location", "start", "recorder", "recorded_at"), "")
    return out.assign(duration=seconds, **{**defaults, **more})


def grouping(rows: pd.DataFrame, **columns: list[str]) -> pd.DataFrame:
    return rows[["recording"]].assign(**{"recordist": "", "date": "", "place": "", "split": "", **columns})


def groups(rows: pd.DataFrame, **columns: list[str]) -> list[str]:
    """Return the group of each recording."""
    metadata = grouping(rows, **columns)
    return group_keys(rows, metadata, NO_PAIRS, recorder_sessions(rows, metadata)).tolist()


def same_group(*files: str, **columns: object) -> bool:
    return len(set(groups(table(*files, **columns)))) == 1  # type: ignore[arg-type]


def test_one_recorder_in_one_night_is_one_session_across_species_folders() -> None:
    names = [f"{s}/SM4A_20230512_04{k}{'05'[s == 'B']}00.wav" for s in "AB" for k in range(6)]
    assert set(groups(table(*names))) == {"recorder sm4a\nnight of 2023-05-11/12"}
    assert same_group("A/SM4A_20230511_220000.wav", "B/SM4A_20230512_040000.wav")
    assert same_group("Parus_major/SM4A_20230511_220000.wav", "Corvus_corone/SM4A_A_20230512_040000_000.wav")


@pytest.mark.parametrize(
    "negative",
    ["noise/SM4A_20230512_041000.wav", "No_Bird/2023/SM4A_20230512_041000.wav", "background noise_SM4A_20230512_041000.wav", "SM4A_20230512_041000.wav"],
)  # fmt: skip
def test_a_negative_is_of_the_session_of_its_recorder_although_it_lies_in_a_folder_of_its_own(negative: str) -> None:
    names = ("noise", "no bird", "background", "background noise")
    rows = table("Parus_major/SM4A_20230512_040000.wav", negative)
    rows.loc[1, "species"] = ""
    assert recorder_sessions(rows, grouping(rows), names)["session"].nunique() == 1
    # A folder that is named neither after a species nor after negatives is one of another recorder.
    rows.loc[1, "recording"] = f"pond/{negative}"
    assert recorder_sessions(rows, grouping(rows), names)["session"].nunique() == 2


def test_the_names_of_negatives_are_those_of_the_settings() -> None:
    rows = table("Parus_major/SM4A_20230512_040000.wav", "stille/SM4A_20230512_041000.wav").assign(
        status="ok", reason=""
    )
    rows["species"] = ["Parus major", ""]
    tables = tables_of(rows.assign(reason=""), grouping(rows))
    found = [
        sessions_of_recorders(rows, tables, DatasetStageSettings(negative_names=names))["session"].nunique()
        for names in (("stille",), ("noise",))
    ]
    assert found == [1, 2]


def test_other_nights_and_other_recorders_are_other_sessions() -> None:
    assert not same_group("A/SM4A_20230512_040000.wav", "A/SM4A_20230513_040000.wav")
    assert not same_group("A/SM4A_20230512_040000.wav", "B/SM4B_20230512_040000.wav")
    assert not same_group("A/XC1.mp3", "A/XC2.mp3")
    assert not same_group("A/20230512.wav", "B/20230512.wav")


def test_recorders_with_the_same_prefix_are_distinguished_by_folders_or_metadata() -> None:
    assert not same_group("A/site 1/SM4_20230512_040000.wav", "A/site 2/SM4_20230512_040000.wav")
    assert same_group("A/site 1/SM4_20230512_040000.wav", "B/Site 1/SM4_20230512_041000.wav")
    rows = table("A/SM4_20230512_040000.wav", "B/SM4_20230512_040500.wav", "B/SM4_20230512_041000.wav")
    one, other, third = groups(rows, place=["Fen", "Wood", "fen "])
    assert one == third != other
    one, other, third = groups(rows, recordist=["Ann", "Bob", "ANN"])
    assert one == third != other


def test_a_recording_of_an_unidentified_recorder_joins_the_recorders_of_the_same_name() -> None:
    rows = table("A/SM4_20230512_040000.wav", "B/SM4_20230512_040500.wav", "B/SM4_20230512_041000.wav")
    assert len(set(groups(rows, place=["Fen", "Wood", ""]))) == 1
    rows["recorder"] = ["S4A1", "S4A2", ""]
    assert len(set(groups(rows))) == 1
    rows["recorder"] = ["S4A1", "S4A2", "S4A2"]
    assert len(set(groups(rows))) == 2


def test_files_without_prefix_and_folder_belong_to_one_unnamed_recorder() -> None:
    assert same_group("Parus_major/20230512_040000.WAV", "Corvus_corone/20230512_041000.WAV")
    assert same_group("Parus_major/5E1F2A30.WAV", "Corvus_corone/5E1F2B5C.WAV")
    assert not same_group("Parus_major/20230512_040000.WAV", "Corvus_corone/20240512_041000.WAV")


def test_dates_and_species_are_not_part_of_the_name_of_a_recorder() -> None:
    assert same_group("A/20230511/20230511_235500.WAV", "B/20230512/20230512_000000.WAV")
    assert same_group("A/2023-05/2023-05-11/SM4_20230511_235500.WAV", "B/2023/SM4_20230512_000000.WAV")
    assert same_group("Parus_major/Parus_major_20230512_040000.wav", "Corvus_corone/Corvus corone 20230512 041000.wav")
    assert same_group("Parus_major/Parus_major_SM4_20230512_040000.wav", "Corvus_corone/SM4_20230512_041000.wav")
    assert same_group("Parus_major_sound/20230512_040000.wav", "A/20230512_041000.wav")


def test_the_serial_number_in_the_header_identifies_the_recorder() -> None:
    rows = table("A/x/1.wav", "B/y/2.wav", "B/y/3.wav", "B/y/4.wav")
    rows["recorder"] = ["24F3", "24f3", "24F4", "24F3"]
    rows["recorded_at"] = ["2023-05-12T04:00:00+02:00", "2023-05-12T04:10:00", "2023-05-12T04:10:00", ""]
    one, two, other, without_time = groups(rows)
    assert one == two
    assert len({one, other, without_time}) == 3
    assert without_time == "sound B/y/4.wav"


def test_the_time_is_that_of_the_header_if_the_file_name_has_none() -> None:
    rows = table("A/1.wav", "B/2.wav", "B/20230514_040000.wav")
    rows["recorded_at"] = ["2023-05-12T04:00:00", "2023-05-12T04:10:00", "2023-05-12T04:20:00"]
    one, two, other = groups(rows)
    assert one == two != other


def test_a_time_that_contradicts_the_metadata_is_ignored() -> None:
    rows = table("A/SM4_20230512_040000.wav", "B/SM4_20230512_041000.wav", "B/SM4_20230511_230000.wav")
    one, two, three = groups(rows, date=["2023-05-11", "2019-07-01", ""])
    assert one == three != two
    rows["recorded_at"] = "2019-07-01T04:00:00"
    assert recorder_sessions(rows, grouping(rows, date=["", "2019-07-01", ""]))["day"].tolist() == ["2023-05-12", "2019-07-01", "2023-05-11"]  # fmt: skip


def test_a_recording_joins_its_session_in_the_metadata_and_its_recorder_session() -> None:
    rows = table("A/SM4_20230512_040000.wav", "B/SM4_20230512_041000.wav", "A/XC1.mp3", "A/XC2.mp3")
    recordist, day = ["Ann", "Ann", "Ann", "Ann"], ["2023-05-12", "2023-05-12", "2023-05-12", "2023-05-13"]
    one, two, three, four = groups(rows, recordist=recordist, date=day)
    assert one == two == three == "Ann\n2023-05-12\n" != four


def test_times_are_read_from_urls_and_archive_members_and_intervals_add_their_start() -> None:
    files = [
        "https://x.example/site/SM4_20230512_040000.wav?key=1",
        "zip://Birds/site/SM4_20230512_040500.wav",
        "site\\SM4_20230512_041000.wav",
    ]
    rows = table("A/1", "B/2", "B/3", location=files)
    assert recorder_sessions(rows, grouping(rows))["session"].nunique() == 1
    rows = table("p#0-5", "q#46800-46805", location=["SM4_20230512_040000.wav"] * 2, start=["0", "46800"], seconds=5.0)
    rows["file_sha256"] = ["1", "2"]
    first, later = recorder_sessions(rows, grouping(rows))["session"]
    assert (first, later) == ("recorder sm4\nnight of 2023-05-11/12", "recorder sm4\nnight of 2023-05-12/13")


def series(begin: str, hours: float, step: int = 30, prefix: str = "A/SM4_") -> list[str]:
    start = dt.datetime.fromisoformat(begin)
    times = [start + dt.timedelta(minutes=step * k) for k in range(round(60 * hours / step) + 1)]
    return [f"{prefix}{t:%Y%m%d_%H%M%S}.wav" for t in times]


def test_a_series_around_noon_is_one_session_and_a_long_series_is_divided_at_each_noon() -> None:
    assert same_group(*series("2023-05-12T09:00:00", 6))
    assert not same_group("A/SM4_20230512_110000.wav", "A/SM4_20230512_130000.wav")
    # The gap is measured from the end of the previous recording.
    assert same_group("A/SM4_20230512_110000.wav", "A/SM4_20230512_130000.wav", seconds=3700)
    # A recording of four hours continues after the end of a shorter one that starts later.
    rows = table(*(f"A/SM4_20230512_{time}.wav" for time in ("090000", "093000", "133000")))
    assert len(set(groups(rows))) == 2
    assert len(set(groups(rows.assign(duration=[4 * 3600.0, 60.0, 60.0])))) == 1
    weeks = groups(table(*series("2023-05-12T09:00:00", 24 * 14)))
    assert len(set(weeks)) == 15
    # Separate series around each noon do not join the days.
    noons = [n for d in range(10, 20) for n in series(f"2023-05-{d}T11:00:00", 2)]
    assert len(set(groups(table(*noons)))) == 10


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from("AB"), st.sampled_from("xy"), st.integers(0, 7 * 24 * 4)), min_size=2, max_size=30, unique=True),
    st.integers(0, 29),
)  # fmt: skip
def test_a_night_is_never_divided_and_an_added_recording_only_moves_those_of_its_recorder(
    files: list[tuple[str, str, int]], removed: int
) -> None:
    def name(species: str, site: str, quarter: int) -> str:
        return f"{species}/{site}_{dt.datetime(2023, 5, 12) + dt.timedelta(minutes=15 * quarter):%Y%m%d_%H%M%S}.wav"

    rows = table(*[name(*f) for f in files])
    after = dict(zip(rows["recording"], groups(rows), strict=True))
    without_one = rows.drop(index=removed % len(rows))
    before = dict(zip(without_one["recording"], groups(without_one), strict=True))
    added = (set(after) - set(before)).pop()
    for recording, key in before.items():
        # An added recording can extend a series and thereby move its beginning, but only of the same recorder.
        if after[recording] != key:
            assert recording.split("/")[1][0] == added.split("/")[1][0]
    # Recordings of one recorder on one day with hours less than one apart are in one group, whatever their species.
    for one in after:
        for other in after:
            (site, day, time), (site2, day2, time2) = (n.split("/")[1][:-4].split("_") for n in (one, other))
            if site == site2 and day == day2 and abs(int(time[:2]) - int(time2[:2])) < 1:
                assert after[one] == after[other]


def test_a_corpus_of_one_recorder_and_night_is_refused_with_cause_and_remedy(tmp_path: Path) -> None:
    if not CASES.is_dir():
        pytest.skip(f"the project's shared cases are not at {CASES}")
    subprocess.run([sys.executable, "-B", str(CASES / "f02_one_recorder.py"), str(tmp_path)], check=True)
    listed = FolderSource(tmp_path, tmp_path.parent / "cache.sqlite").recordings()
    rows = recordings(*((r.recording, r.species, r.content, "") for r in listed))
    assert len(rows) == 12
    with pytest.raises(AutobirdError) as raised:
        build_index(rows, windows(rows), tables_of(rows), DatasetStageSettings(min_windows=2))
    text = str(raised.value)
    group = "recorder sm4a, night of 2023-05-11/12"
    assert text.startswith(f"the validation split is empty: all 12 recordings in use are one group ({group})")
    assert "add recordings of other nights, places or recorders" in text
    assert "set dataset.recorder_sessions to false" in text
    index, _ = build_index(
        rows, windows(rows), tables_of(rows), DatasetStageSettings(min_windows=2, recorder_sessions=False)
    )
    assert index["group"].nunique() == 12


def test_near_duplicates_are_named_as_a_cause_of_an_empty_split() -> None:
    rows = recordings(*((f"{s}/{i}", s, f"{s}{i}", "") for s in "xy" for i in range(3)))
    pairs = pd.DataFrame([("x/0", o) for o in ("x/1", "x/2", "y/0", "y/1")], columns=PAIRS[:2])
    tables = tables_of(rows, pairs=pairs)
    with pytest.raises(
        AutobirdError,
        match=r"6 recordings in use are 2 groups; the largest .* has 5 recordings.* 5 of the recordings have near-duplicates",
    ):
        build_index(rows, windows(rows), tables._replace(quarantined=frozenset()), DatasetStageSettings(min_windows=2))


def test_a_split_column_without_one_of_the_splits_is_named_as_the_cause() -> None:
    rows = recordings(*((f"{s}/{i}", s, f"{s}{i}", "") for s in "xy" for i in range(5)))
    metadata = grouping(rows, split=["train", "test", "train", "test", "train"] * 2)
    with pytest.raises(AutobirdError, match=r"10 groups.*Add validation to the split column of the metadata"):
        build_index(rows, windows(rows), tables_of(rows, metadata), DatasetStageSettings(min_windows=2))
