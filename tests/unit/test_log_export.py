"""`autobird log export`: from SQLite and PostgreSQL to parquet, CSV and SQLite."""

import csv
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pandas as pd
import pytest

from autobird import cli
from autobird.drift.names import DRIFT_FEATURES
from autobird.serving.log_reader import select_entries
from autobird.serving.log_state import log_state
from autobird.serving.store.entries import Feedback, LogEntry
from autobird.serving.store.store import Store, backend_of
from tests.postgres import Postgres, running_postgres
from tests.scripted_jobs import LONG

DAY = 86400.0


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    with running_postgres() as cluster:
        yield cluster


@pytest.fixture(params=["sqlite", "postgres"])
def place(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A log with an entry on each of the first five days of May 2026, and feedback."""
    if request.param == "postgres":
        cluster: Postgres = request.getfixturevalue("postgres")
        found = cluster.new_database("log")
    else:
        found = str(tmp_path / "log.sqlite")
    now = [1777593600.0 + 3600]  # 2026-05-01 01:00 UTC
    monkeypatch.setattr("autobird.serving.store.entries.time.time", lambda: now[0])
    store = Store(backend_of(found))
    for n in range(5):
        store.append(
            LogEntry(
                "abc",
                5.0,
                None if n == 0 else 'Grünfink, "männlich"',
                0.5,
                dict.fromkeys(DRIFT_FEATURES, float(n)),
                f"r{n}",
            ),
            LONG,
        )
        now[0] += DAY
    store.append_feedback(Feedback("r1", None, 0.0, 5.0, "a", "no"), LONG)
    store.close()
    return found


def run(*arguments: str) -> None:
    cli.main(["log", "export", *arguments])


def test_a_time_range_is_exported_to_parquet(place: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(place, "--output", str(tmp_path / "x.parquet"), "--since", "2026-05-02", "--until", "2026-05-04")
    assert capsys.readouterr().out == f"3 rows written to {tmp_path / 'x.parquet'}\n"
    table = pd.read_parquet(tmp_path / "x.parquet")
    assert table["time"].tolist() == [f"2026-05-0{day}T01:00:00.000Z" for day in (2, 3, 4)]
    assert table["id"].tolist() == [2, 3, 4]
    assert table["request"].tolist() == ["r1", "r2", "r3"]
    assert table["level"].tolist() == [1.0, 2.0, 3.0]
    assert table["detections"].tolist() == ["[]"] * 3
    assert table["unknown_score"].isna().all()


def test_a_log_is_exported_to_csv(place: str, tmp_path: Path) -> None:
    run(place, "--output", str(tmp_path / "x.csv"))
    with (tmp_path / "x.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["species"] for row in rows] == ["", *['Grünfink, "männlich"'] * 4]
    run(place, "--output", str(tmp_path / "f.csv"), "--table", "feedback")
    head, row = (tmp_path / "f.csv").read_text().splitlines()
    assert head == "id,time,request,prediction,start,end,species,decision,other_species,reviewer"
    assert row.endswith(",r1,,0.0,5.0,a,no,,")
    run(place, "--output", str(tmp_path / "f.parquet"), "--table", "feedback")
    assert list(pd.read_parquet(tmp_path / "f.parquet")) == head.split(",")


def test_texts_of_clients_are_no_formulas_in_spreadsheets(place: str, tmp_path: Path) -> None:
    store = Store(backend_of(place))
    store.append_feedback(Feedback("-1", None, -0.5, 5.0, "=HYPERLINK(1)", "no", "", "@SUM"), LONG)
    store.close()
    run(place, "--output", str(tmp_path / "f.csv"), "--table", "feedback")
    assert (tmp_path / "f.csv").read_text().splitlines()[-1].endswith(",'-1,,-0.5,5.0,'=HYPERLINK(1),no,,'@SUM")


def test_ids_are_kept_so_that_feedback_belongs_to_its_entry(place: str, tmp_path: Path) -> None:
    store = Store(backend_of(place))
    store.append_feedback(Feedback("", 4, 0.0, 5.0, "a", "no"), LONG)
    store.close()
    run(place, "--output", str(tmp_path / "copy.sqlite"), "--since", "2026-05-03")
    with closing(sqlite3.connect(tmp_path / "copy.sqlite")) as connection:
        found = connection.execute(
            "SELECT p.request FROM feedback f JOIN predictions p ON p.id = f.prediction WHERE f.prediction IS NOT NULL"
        )
        assert found.fetchall() == [("r3",)]


def test_a_log_that_is_exported_to_sqlite_can_be_tested_for_drift(place: str, tmp_path: Path) -> None:
    path = tmp_path / "copy.sqlite"
    run(place, "--output", str(path), "--until", "2026-05-03")
    selection = select_entries(path, "abc", since=1777593600.0 + DAY)
    assert [values[0] for _, values in selection.entries] == [1.0, 2.0]
    assert selection.outside == 1
    assert log_state(path).startswith("abc 3 3 ")
    assert sorted(p.name for p in tmp_path.iterdir() if "copy" in p.name) == ["copy.sqlite"]
    store = Store(backend_of(path))
    assert len(store.page()) == 3
    store.close()


def test_what_cannot_be_exported_is_reported_in_one_line(
    place: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "text").write_text("no database")
    sqlite3.connect(tmp_path / "other.sqlite").execute("CREATE TABLE photos (id INTEGER)").connection.close()
    for arguments, message in (
        ([place, "--output", "x.xlsx"], "the ending of the name must be one of .parquet, .csv, .sqlite"),
        ([place, "--output", "x.csv", "--since", "yesterday"], "'yesterday' is not a date or time"),
        ([str(tmp_path / "text"), "--output", "x.csv"], "text is not a log of the server"),
        (
            [str(tmp_path / "missing"), "--output", "x.csv"],
            "missing does not exist; give what `autobird serve --log` was given",
        ),
        ([str(tmp_path / "other.sqlite"), "--output", "x.parquet"], "no such table: predictions"),
        *([] if "://" in place else [([place, "--output", place], "is the log itself")]),
    ):
        with pytest.raises(SystemExit):
            run(*arguments)
        text = capsys.readouterr().err
        assert message in text
        assert text.count("\n") == 1
    assert not (tmp_path / "missing").exists()
