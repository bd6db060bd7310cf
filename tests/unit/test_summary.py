"""`autobird summary`: recording effort, detection history, hours from sunrise; silent, failed and missing recordings are told apart."""

import csv
import datetime as dt
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autobird import cli
from autobird.core.files import csv_text
from autobird.core.sun import sunrise
from autobird.predict.columns import FILE_COLUMNS
from autobird.predict.effort import Calendar, SunriseHours, spread
from autobird.predict.origin import Place, time_zone
from autobird.predict.tables import RecordedFile

DETECTIONS = ["file", "start", "end", "species", "probability", "site", "recorder", "recorded_at", "date", "time"]


def run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as end:
        cli.main([str(a) for a in arguments])
    assert isinstance(end.value.code, int)
    return end.value.code


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def file_row(name: str, seconds: float | str, status: str, site: str, at: str) -> list[str]:
    values = {
        "file": name,
        "seconds": str(seconds),
        "status": status,
        "quiet_share": "1" if status == "quiet" else "0.25",
        "site": site,
        "recorded_at": at,
    }
    return [values.get(column, "") for column in FILE_COLUMNS]


@pytest.fixture
def survey(tmp_path: Path) -> Path:
    """Three sites over three days: north every day, once too quiet; south on one day, and without signal on another; east failed only."""
    files = [
        file_row("north/a", 1200, "detections", "north", "2023-05-12T23:50:00+02:00"),
        file_row("north/b", 3600, "quiet", "north", "2023-05-14T04:00:00+02:00"),
        file_row("south/a", 600, "detections", "south", "2023-05-12T04:30:00+02:00"),
        file_row("south/b", 600, "silent", "south", "2023-05-13T04:30:00+02:00"),
        file_row("east/a", "", "skipped", "east", "2023-05-14T04:00:00+02:00"),
        file_row("south/c", 60, "no detections", "south", ""),
    ]
    found = [
        ["north/a", "30", "35", "Parus major", "0.9", "north", "", "2023-05-12T23:50:00+02:00"],
        ["north/a", "700", "710", "Parus major", "0.6", "north", "", "2023-05-12T23:50:00+02:00"],
        ["south/a", "0", "5", "Strix aluco", "0.8", "south", "", "2023-05-12T04:30:00+02:00"],
    ]
    (tmp_path / "d.csv").write_text(csv_text([DETECTIONS, *([*row, "", ""] for row in found)]))
    (tmp_path / "d.files.csv").write_text(csv_text([list(FILE_COLUMNS), *files]))
    return tmp_path / "d.csv"


def test_the_note_on_recordings_without_a_site_names_the_remedy(
    survey: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for path in (survey, survey.with_name("d.files.csv")):
        path.write_text(path.read_text().replace(",north,", ",,"))
    assert run("summary", survey, "--output", tmp_path / "s") == 0
    assert "one site without a name; give autobird predict the folder above the sites, or --site recorder" in (
        "".join(capsys.readouterr())
    )


def test_the_history_is_1_where_detected_0_where_recorded_and_na_where_not(survey: Path, tmp_path: Path) -> None:
    assert run("summary", survey, "--output", tmp_path / "s") == 0
    assert (tmp_path / "s/history.csv").read_text().splitlines() == [
        "species,code,site,2023-05-12,2023-05-13,2023-05-14",
        "Parus major,,east,NA,NA,NA",
        "Parus major,,north,1,1,0",
        "Parus major,,south,0,NA,NA",
        "Strix aluco,,east,NA,NA,NA",
        "Strix aluco,,north,0,0,0",
        "Strix aluco,,south,1,NA,NA",
    ]


def test_effort_is_divided_at_full_hours_and_counts_silent_and_failed_recordings_apart(
    survey: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("summary", survey, "--output", tmp_path / "s") == 0
    assert [tuple(r.values()) for r in rows(tmp_path / "s/effort.csv")] == [
        ("east", "2023-05-14", "4", "0", "0", "0", "0", "0", "1"),
        ("north", "2023-05-12", "23", "1", "600", "150", "0", "0", "0"),
        ("north", "2023-05-13", "0", "0", "600", "150", "0", "0", "0"),
        ("north", "2023-05-14", "4", "1", "3600", "3600", "0", "0", "0"),
        ("south", "", "", "1", "60", "15", "0", "0", "0"),
        ("south", "2023-05-12", "4", "1", "600", "150", "0", "0", "0"),
        ("south", "2023-05-13", "4", "0", "0", "0", "1", "600", "0"),
    ]
    out = capsys.readouterr().out
    assert "4 recordings (1.5 h) of 3 sites on 3 days; 1 silent (0.2 h); 1 failed\n3 detections of 2 species\n" in out
    assert "note: recordings of unknown time, in no day, hour or history: 1\n" in out


def test_counts_have_a_0_for_every_species_and_hour_in_which_was_recorded(survey: Path, tmp_path: Path) -> None:
    assert run("summary", survey, "--output", tmp_path / "s") == 0
    counts = {
        (r["site"], r["day"], r["hour"], r["species"]): (r["detections"], r["seconds"], r["recorded_seconds"])
        for r in rows(tmp_path / "s/counts.csv")
    }
    assert counts["north", "2023-05-12", "23", "Parus major"] == ("1", "5", "600")
    assert counts["north", "2023-05-13", "0", "Parus major"] == ("1", "10", "600")
    assert counts["north", "2023-05-14", "4", "Parus major"] == ("0", "0", "3600")
    assert not [key for key in counts if key[0] == "east" or key[1:3] == ("2023-05-13", "4")]
    by_hour = {(r["species"], r["hour"]): tuple(r.values())[3:] for r in rows(tmp_path / "s/species_by_hour.csv")}
    assert by_hour["Parus major", "23"] == ("1", "600", "6.000")
    assert by_hour["Strix aluco", "4"] == ("1", "4200", "0.857")
    assert by_hour["Strix aluco", "12"] == ("NA", "0", "NA")
    assert (tmp_path / "s/species_by_hour.png").read_bytes().startswith(b"\x89PNG")
    species = {r["species"]: r for r in rows(tmp_path / "s/species.csv")}
    assert (species["Parus major"]["detections"], species["Parus major"]["days"]) == ("2", "2")


def test_a_night_can_be_one_day_and_times_can_be_in_another_zone(survey: Path, tmp_path: Path) -> None:
    assert run("summary", survey, "--output", tmp_path / "s", "--day-start", 12) == 0
    assert rows(tmp_path / "s/history.csv")[1] == {
        "species": "Parus major", "code": "", "site": "north", "2023-05-11": "NA", "2023-05-12": "1", "2023-05-13": "0",
    }  # fmt: skip
    assert run("summary", survey, "--output", tmp_path / "u", "--time-zone", "UTC") == 0
    hours = {r["hour"] for r in rows(tmp_path / "u/effort.csv") if r["site"] == "north"}
    assert hours == {"21", "22", "2"}


def test_a_detection_across_midnight_is_one_detection_on_both_days(survey: Path, tmp_path: Path) -> None:
    survey.write_text(survey.read_text().replace("north/a,700,710", "north/a,590,615"))
    assert run("summary", survey, "--output", tmp_path / "s") == 0
    north = [
        (r["day"], r["hour"], r["detections"], r["seconds"], r["max_probability"])
        for r in rows(tmp_path / "s/counts.csv")
        if (r["site"], r["species"]) == ("north", "Parus major")
    ]
    assert north == [
        ("2023-05-12", "23", "2", "15", "0.9000"),
        ("2023-05-13", "0", "0", "15", "0.6000"),
        ("2023-05-14", "4", "0", "0", ""),
    ]
    history = {
        r["site"]: list(r.values())[3:] for r in rows(tmp_path / "s/history.csv") if r["species"] == "Parus major"
    }
    assert history["north"] == ["1", "1", "0"]
    species = {r["species"]: r for r in rows(tmp_path / "s/species.csv")}["Parus major"]
    assert (species["detections"], species["days"], species["last_day"]) == ("2", "2", "2023-05-13")


def test_a_higher_probability_can_be_asked_for(
    survey: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("summary", survey, "--output", tmp_path / "s", "--min-probability", 0.85) == 0
    assert "note: --min-probability 0.85 leaves out 2 detections" in capsys.readouterr().out
    assert rows(tmp_path / "s/history.csv")[1]["2023-05-13"] == "0"
    assert [r["species"] for r in rows(tmp_path / "s/species.csv")] == ["Parus major"]


def test_a_probability_that_changes_nothing_or_is_none_is_said(
    survey: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("summary", survey, "--output", tmp_path / "s", "--min-probability", 0.01) == 0
    weakest = min(float(row["probability"]) for row in rows(survey))
    assert (
        f"--min-probability 0.01 leaves out nothing: no detection of the tables is below {weakest:g}"
        in capsys.readouterr().out
    )
    for bad in ("85", "nan", "-1"):
        for command in (("summary", survey), ("clips", survey, "--recordings", tmp_path)):
            assert run(*command, "--output", tmp_path / "s", "--min-probability", bad) == 2
            assert f"{bad} is not from 0 to 1" in capsys.readouterr().err


def test_hours_from_sunrise_need_a_place_and_the_offset_from_utc(
    survey: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Sunrise in Berlin on 2023-05-12 is at 05:15 and on 2023-05-14 at 05:12, local time."""
    assert run("summary", survey, "--output", tmp_path / "s", "--latitude", 52.52, "--longitude", 13.405) == 0
    found = {(r["species"], r["hours_from_sunrise"]): (r["detections"], float(r["recorded_seconds"])) for r in rows(tmp_path / "s/species_by_sunrise.csv")}  # fmt: skip
    assert found["Strix aluco", "-1"][0] == "1"
    assert found["Parus major", "-2"] == ("0", pytest.approx(12 * 60, abs=90))
    assert found["Parus major", "-1"] == ("0", pytest.approx(48 * 60 + 600, abs=90))
    assert "note: recordings without hours from sunrise: 1 (" in capsys.readouterr().out
    for place in (["--latitude", 52], ["--latitude", 91, "--longitude", 0]):
        assert run("summary", survey, "--output", tmp_path / "s", *place) == 2


@pytest.mark.parametrize(
    ("day", "latitude", "longitude", "expected"),
    [
        (dt.date(2023, 5, 12), 52.52, 13.405, "2023-05-12T03:15"),  # Berlin 05:15 CEST
        (dt.date(2023, 6, 21), -33.87, 151.21, "2023-06-20T21:00"),  # Sydney 07:00 AEST
        (dt.date(2023, 12, 21), 40.71, -74.01, "2023-12-21T12:17"),  # New York 07:17 EST
    ],
)
def test_sunrise_agrees_with_almanacs_within_a_minute(
    day: dt.date, latitude: float, longitude: float, expected: str
) -> None:
    found = sunrise(day, latitude, longitude)
    assert found is not None
    assert abs(found - dt.datetime.fromisoformat(expected + "+00:00")) <= dt.timedelta(seconds=90)


def test_the_sun_of_the_polar_day_does_not_rise() -> None:
    assert sunrise(dt.date(2023, 6, 21), 70, 20) is None
    assert sunrise(dt.date(2023, 12, 21), 70, 20) is None


@given(
    st.datetimes(dt.datetime(2023, 1, 1), dt.datetime(2023, 12, 31)),
    st.floats(0.5, 3e5),
    st.sampled_from([None, time_zone("Europe/Berlin"), time_zone("+05:45")]),
)
def test_the_parts_of_a_recording_add_up_to_its_length(
    start: dt.datetime, seconds: float, zone: dt.tzinfo | None
) -> None:
    file = RecordedFile("a", seconds, "detections", 0.0, Place("x", "", start.replace(tzinfo=zone)))
    parts = list(spread(file, Calendar()))
    assert sum(e.seconds for _, e in parts) == pytest.approx(seconds)
    assert all(e.seconds <= 3600 + 1e-3 for _, e in parts)
    assert sum(e.recordings for _, e in parts) == 1
    if zone is not None:
        sun = SunriseHours(52.5, 13.4)
        sun.add(file)
        assert sum(sun.seconds.values()) == pytest.approx(seconds)
        assert all(-9 <= hour <= 20 for hour in sun.seconds)


def test_the_hour_that_summer_time_repeats_has_the_effort_of_two() -> None:
    start = dt.datetime(2023, 10, 29, 0, 30, tzinfo=dt.UTC).astimezone(time_zone("Europe/Berlin"))
    file = RecordedFile("a", 7200.0, "detections", 0.0, Place("x", "", start))
    hours = [(cell.hour, effort.seconds) for cell, effort in spread(file, Calendar()) if effort.seconds]
    assert hours == [(2, 1800.0), (2, 3600.0), (3, 1800.0)]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.with_name("d.files.csv").unlink(), "its table of files {0}/d.files.csv does not exist, without which"),
        (lambda t: t.write_text("Start (s),End (s)\n0,1\n"), "d.csv has no column file, start, end, species, probability, site, recorded_at"),
        (lambda t: t.write_text(t.read_text().replace(",0.9,", ",high,")), "d.csv, row 1: could not convert string to float: 'high'"),
        (lambda t: t.write_text(t.read_text().replace("2023-05-12T23", "2023-25-12T23", 1)), "d.csv, row 1: month must be in 1..12"),
        (lambda t: t.unlink(), "d.csv cannot be read (No such file or directory)"),
        (lambda t: [x.unlink() for x in (t, t.with_name("d.files.csv"))], "d.csv cannot be read (No such file or directory)"),
        (lambda t: (t.parent / "s").write_text(""), "cannot be written"),
    ],
)  # fmt: skip
def test_tables_that_are_not_ours_are_errors_that_name_them(
    change: object, message: str, survey: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert callable(change)
    change(survey)
    assert run("summary", survey, "--output", tmp_path / "s") == 2
    assert message.format(tmp_path) in capsys.readouterr().err


def test_a_table_of_files_in_place_of_detections_is_an_error(
    survey: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("summary", survey.with_name("d.files.csv"), "--output", tmp_path / "s") == 2
    assert "d.files.csv is a table of files; give the table of detections" in capsys.readouterr().err


def test_a_recording_in_two_tables_is_an_error(
    survey: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("d.csv", "d.files.csv"):
        (tmp_path / name.replace("d.", "e.")).write_text((tmp_path / name).read_text())
    assert run("summary", survey, tmp_path / "e.csv", "--output", tmp_path / "s") == 2
    assert "both have north/a; give each recording once" in capsys.readouterr().err


def test_two_tables_of_one_run_are_an_error_and_not_counted_twice(
    survey: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "d.jsonl").write_text("")
    for tables in ((survey, tmp_path / "d.jsonl"), (survey, survey.parent / "." / survey.name)):
        assert run("summary", *tables, "--output", tmp_path / "s") == 2
        assert "hold the same detections; give one of them" in capsys.readouterr().err


def test_a_recording_that_was_classified_again_with_other_thresholds_counts_once(
    survey: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "e.csv").write_text(csv_text([DETECTIONS]))
    text = (tmp_path / "d.files.csv").read_text()
    (tmp_path / "e.files.csv").write_text(text.replace(",detections,", ",no detections,"))
    assert run("summary", survey, tmp_path / "e.csv", "--output", tmp_path / "s") == 2
    assert "both have north/a; give each recording once" in capsys.readouterr().err


def test_detections_without_recording_effort_are_an_error(
    survey: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "d.files.csv"
    path.write_text("".join(line for line in path.read_text().splitlines(keepends=True) if "south/a" not in line))
    assert run("summary", survey, "--output", tmp_path / "s") == 2
    assert "south/a is in no table of files" in capsys.readouterr().err


def test_times_without_offset_are_not_converted_and_counted_in_a_note(
    survey: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("d.csv", "d.files.csv"):
        path = tmp_path / name
        path.write_text(path.read_text().replace("2023-05-12T04:30:00+02:00", "2023-05-12T04:30:00"))
    assert run("summary", survey, "--output", tmp_path / "s", "--time-zone", "UTC") == 0
    assert "--time-zone does not change the times of 1 recording," in capsys.readouterr().out


def test_codes_of_a_table_are_in_all_tables_of_the_summary(survey: Path, tmp_path: Path) -> None:
    (tmp_path / "codes.csv").write_text("species,code\nParus major,GRETI\n")
    assert run("summary", survey, "--output", tmp_path / "s", "--codes", tmp_path / "codes.csv") == 0
    for name in ("species", "counts", "history", "species_by_hour"):
        assert {r["species"]: r["code"] for r in rows(tmp_path / f"s/{name}.csv")} == {"Parus major": "GRETI", "Strix aluco": ""}  # fmt: skip


def test_a_list_of_species_adds_those_that_were_not_detected_and_leaves_out_others(
    survey: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "list.txt").write_text("Bubo bubo\nStrix aluco\n")
    assert run("summary", survey, "--output", tmp_path / "s", "--species", tmp_path / "list.txt") == 0
    history = [list(r.values()) for r in rows(tmp_path / "s/history.csv")]
    assert history[:3] == [["Bubo bubo", "", "east", "NA", "NA", "NA"], ["Bubo bubo", "", "north", "0", "0", "0"], ["Bubo bubo", "", "south", "0", "NA", "NA"]]  # fmt: skip
    assert [r["species"] for r in rows(tmp_path / "s/species.csv")] == ["Bubo bubo", "Strix aluco"]
    assert rows(tmp_path / "s/species.csv")[0]["detections"] == "0"
    out = capsys.readouterr().out
    assert "list.txt without a detection: Bubo bubo\n" in out
    assert "list.txt: Parus major\n" in out
    (tmp_path / "list.txt").write_text("\ufeffParus major_Great Tit\nstrix_aluco\n", encoding="utf-8")
    assert run("summary", survey, "--output", tmp_path / "s", "--species", tmp_path / "list.txt") == 0
    found = {r["species"]: r["detections"] for r in rows(tmp_path / "s/species.csv")}
    assert found == {"Parus major": "2", "Strix aluco": "1"}
    assert run("summary", survey, "--output", tmp_path / "s", "--species", tmp_path / "none.txt") == 2
    assert "none.txt cannot be read" in capsys.readouterr().err


def test_a_survey_without_detections_has_its_effort(survey: Path, tmp_path: Path) -> None:
    survey.write_text(csv_text([DETECTIONS]))
    assert run("summary", survey, "--output", tmp_path / "s") == 0
    assert len(rows(tmp_path / "s/effort.csv")) == 7
    assert rows(tmp_path / "s/history.csv") == []
