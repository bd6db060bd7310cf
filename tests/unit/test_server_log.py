"""The server's log: several processes that start on one new file, files that cannot be used, and the entries for the drift test."""

import json
import multiprocessing
import os
import sqlite3
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from autobird.config import load_config
from autobird.core.errors import AutobirdError
from autobird.drift.features import DRIFT_FEATURES
from autobird.drift.report import summarise_drift
from autobird.drift.settings import DriftTestSettings, LogRangeSettings
from autobird.drift.time_range import end_of, start_of, utc_text
from autobird.serving import export_log
from autobird.serving.export_log import selection_text
from autobird.serving.log_reader import select_entries
from autobird.serving.log_state import log_state
from autobird.serving.store import sqlite as sqlite_module
from autobird.serving.store.entries import LogEntry
from autobird.serving.store.sqlite import SqliteBackend
from autobird.serving.store.store import Store
from tests.scripted_jobs import LONG
from tests.unit.test_drift import references_and_current

MAY = datetime(2026, 5, 1, 6, 30, tzinfo=UTC).timestamp()
"""Time of the first entry of `write_log`, seconds since 1970 UTC."""

DAY = 86400.0


def open_log(path: Path) -> Store:
    return Store(SqliteBackend(path))


def entry(bundle: str, level: float) -> LogEntry:
    return LogEntry(bundle, 5.0, None, None, dict.fromkeys(DRIFT_FEATURES, level))


def write_log(path: Path, bundles: Sequence[str]) -> Path:
    """A log with one entry a day, from `MAY` on; the level of an entry is its number, from 0."""
    log = open_log(path)
    for level, bundle in enumerate(bundles):
        log.append(entry(bundle, float(level)))
    log.close()
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE predictions SET time = ? + ? * (id - 1)", [MAY, DAY])
    return path


def _create_and_append(path: Path, barrier: Any, entries: int) -> None:
    """Process of the test below."""
    barrier.wait()
    log = open_log(path)
    for level in range(entries):
        log.append(entry("abc", float(level)), 60)


def test_processes_that_start_together_on_a_new_log_all_write_their_entries(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork" if os.name == "posix" else "spawn")
    count, entries = 8, 5
    for attempt in range(10):
        path, barrier = tmp_path / f"{attempt}.sqlite", context.Barrier(count)
        processes = [context.Process(target=_create_and_append, args=(path, barrier, entries)) for _ in range(count)]
        for process in processes:
            process.start()
        for process in processes:
            process.join(60)
        assert [process.exitcode for process in processes] == [0] * count
        with sqlite3.connect(path) as connection:
            assert connection.execute("SELECT count(*) FROM predictions").fetchone() == (count * entries,)
            assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_a_process_that_starts_waits_for_one_that_is_creating_the_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = sqlite3.connect(tmp_path / "log.sqlite", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")  # SQLite then refuses the switch to a write-ahead log at once
    pauses: list[float] = []

    def finish(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 3:
            other.execute("COMMIT")

    monkeypatch.setattr(sqlite_module.time, "sleep", finish)
    log = open_log(tmp_path / "log.sqlite")
    assert len(pauses) == 3
    log.append(entry("abc", 1.0))
    assert len(select_entries(tmp_path / "log.sqlite", "abc").entries) == 1


def test_a_log_that_cannot_be_used_is_reported_with_a_remedy(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "text").write_text("not a database, but long enough to be one. " * 100)
    open_log(tmp_path / "damaged.sqlite").append(entry("abc", 1.0))
    data = (tmp_path / "damaged.sqlite").read_bytes()
    (tmp_path / "damaged.sqlite").write_bytes(data[:100] + b"\xff" * (len(data) - 100))
    for name, message in (
        ("folder", "the log .*folder is a folder; give the path of a new file"),
        ("text", "the log .*text cannot be used .*not a database.*; give the path"),
        ("text/log.sqlite", "the log .*log.sqlite cannot be used .*; give the path"),
        ("damaged.sqlite", "the log .*damaged.sqlite cannot be used .*; give the path"),
    ):
        with pytest.raises(AutobirdError, match=message) as error:
            open_log(tmp_path / name)
        assert "\n" not in str(error.value)


def test_a_log_that_may_not_be_written_is_reported_at_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_log(tmp_path / "log.sqlite", ["abc"])
    connect = sqlite3.connect
    monkeypatch.setattr(
        sqlite3, "connect", lambda file, timeout, **_: connect(f"file:{file}?mode=ro", timeout, uri=True)
    )
    with pytest.raises(AutobirdError, match=r"cannot be used \(attempt to write a readonly database\); give the path"):
        open_log(path)


def test_a_database_of_another_program_is_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "photos.sqlite"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE photos (id INTEGER)")
    before = path.read_bytes()
    with pytest.raises(AutobirdError, match="is a database of another program; give the path of another file"):
        open_log(path)
    assert path.read_bytes() == before
    with sqlite3.connect(tmp_path / "old.sqlite") as connection:
        connection.execute("CREATE TABLE predictions (id INTEGER PRIMARY KEY, time REAL, bundle TEXT)")
    with pytest.raises(
        AutobirdError, match=r"has no column '.*' in its table predictions: another version of Autobird wrote it"
    ):
        open_log(tmp_path / "old.sqlite")


def export(tmp_path: Path, settings: dict[str, Any]) -> tuple[list[str], dict[str, Any]]:
    """Run the stage on `log.sqlite` for bundle `new`; return the names of the used entries and the description."""
    (tmp_path / "bundle.json").write_text('{"fingerprint": "new"}')
    export_log.main(
        ["--settings", json.dumps(settings), "--database", str(tmp_path / "log.sqlite"), "--description", str(tmp_path / "bundle.json"),
         "--output", str(tmp_path / "c.csv"), "--selection", str(tmp_path / "s.json")]
    )  # fmt: skip
    table = pd.read_csv(tmp_path / "c.csv")
    assert [f"request {level + 1:.0f}" for level in table["level"]] == table["recording"].tolist()
    return table["recording"].tolist(), json.loads((tmp_path / "s.json").read_text())


@pytest.mark.parametrize(
    ("settings", "used", "outside"),
    [
        ({}, [3, 5, 6, 7], 0),
        ({"since": "2026-05-05"}, [5, 6, 7], 1),
        ({"since": "2026-05-05T06:30"}, [5, 6, 7], 1),
        ({"since": "2026-05-05T06:30:01Z"}, [6, 7], 2),
        ({"since": "2026-05-05T08:30:00+02:00"}, [5, 6, 7], 1),
        ({"until": "2026-05-05"}, [3, 5], 2),
        ({"until": "2026-05-05T06:30"}, [3], 3),
        ({"since": "2026-05-05", "until": "2026-05-06"}, [5, 6], 2),
        ({"days": 1}, [6, 7], 2),
        ({"days": 0.5}, [7], 3),
    ],
)
def test_the_entries_of_one_bundle_in_a_time_range_are_exported(
    tmp_path: Path, settings: dict[str, Any], used: list[int], outside: int
) -> None:
    write_log(tmp_path / "log.sqlite", ["old", "old", "new", "older", "new", "new", "new", "old"])
    names, selection = export(tmp_path, settings)
    assert names == [f"request {number}" for number in used]
    assert selection["used"] == len(used)
    assert selection["outside"] == outside
    assert selection["others"] == {"old": 3, "older": 1}


def test_entries_of_a_shadow_bundle_are_not_tested(tmp_path: Path) -> None:
    store = Store(SqliteBackend(tmp_path / "log.sqlite"))
    for role in ("answer", "shadow", "job"):
        store.append(LogEntry("abc", 5.0, None, None, dict.fromkeys(DRIFT_FEATURES, 0.0), "r", role), LONG)  # type: ignore[arg-type]
    store.close()
    selection = select_entries(tmp_path / "log.sqlite", "abc", days=1)
    assert [number for number, _ in selection.entries] == [1, 3]
    assert (selection.outside, selection.others) == (0, {})


def test_the_summary_of_the_drift_test_says_which_entries_of_the_log_were_used(tmp_path: Path) -> None:
    write_log(tmp_path / "log.sqlite", ["old", "old", "new", "older", "new", "new", "new", "old"])
    _, selection = export(tmp_path, {"since": "2026-05-05", "until": "2026-05-06"})
    references, current = references_and_current(0.0)
    result = summarise_drift(references, current, DriftTestSettings(resamples=100), selection)
    assert result["summary"].endswith(
        "; 2 entries of the server's log, classified by bundle new from 2026-05-05 00:00 UTC on and before 2026-05-07 00:00 UTC; "
        "left out: 2 of this bundle at other times, 4 of other bundles (old, older)"
    )
    assert result["selection"] == selection
    assert "\n" not in result["summary"]
    _, selection = export(tmp_path, {})
    assert selection["text"].startswith(
        "4 entries of the server's log, classified by bundle new at any time; left out: 4 of other"
    )


def test_a_log_without_entries_of_the_bundle_or_the_range_is_reported(tmp_path: Path) -> None:
    write_log(tmp_path / "log.sqlite", ["old", "old"])
    with pytest.raises(
        AutobirdError, match=r"0 entries .* bundle new .*left out: 2 of other bundles \(old\); serve the bundle"
    ):
        export(tmp_path, {})
    write_log(tmp_path / "log.sqlite", ["new"])
    with pytest.raises(
        AutobirdError,
        match=r"left out: 1 of this bundle at other times, 2 of other bundles \(old\); .*change drift\.since",
    ):
        export(tmp_path, {"since": "2027-01-01"})
    (tmp_path / "log.sqlite").unlink()
    open_log(tmp_path / "log.sqlite")
    with pytest.raises(AutobirdError, match=r"0 entries .*left out: none"):
        export(tmp_path, {"days": 3})
    (tmp_path / "log.sqlite").write_text("not a database")
    with pytest.raises(AutobirdError, match="is not a log of the server"):
        export(tmp_path, {})


def test_a_recording_that_was_sent_several_times_counts_once(tmp_path: Path) -> None:
    """Digital silence, as of a broken microphone, is always the same, and counts each time."""
    log = open_log(tmp_path / "log.sqlite")
    for level, length, mel_std in ((1, 5, 1), (2, 5, 1), (1, 5, 1), (1, 6, 1), (1, 5, 1), (-180, 5, 0), (-180, 5, 0)):
        features = dict.fromkeys(DRIFT_FEATURES, 1.0) | {"level": float(level), "mel_std": float(mel_std)}
        log.append(LogEntry("new", float(length), None, None, features), 60)
    selection = select_entries(tmp_path / "log.sqlite", "new")
    assert [number for number, _ in selection.entries] == [1, 2, 4, 6, 7]
    assert (selection.repeated, selection.outside) == (2, 0)
    assert "left out: 2 of recordings that were classified before" in selection_text(selection)
    level = DRIFT_FEATURES.index("level")
    assert [features[level] for features in log.features("new", 10)] == [-180, -180, 1, 1, 2]
    assert [features[level] for features in log.features("new", 4)] == [-180, -180, 1, 1]
    log.close()


def test_the_state_of_a_log_changes_with_each_entry_also_beside_a_writer(tmp_path: Path) -> None:
    path = tmp_path / "a log?#%.sqlite"
    log, states = open_log(path), {log_state(path)}
    for number, bundle in enumerate(("abc", "abc", "def")):
        log.append(entry(bundle, float(number)))
        states.add(log_state(path))
    assert len(states) == 4  # although SQLite has not yet written the entries to the main file
    assert log_state(path) == log_state(path)
    assert len(select_entries(path, "abc").entries) == 2
    log.close()
    (tmp_path / "text").write_text("not a database")
    assert log_state(tmp_path / "text").startswith("not a log")
    assert not (tmp_path / "missing").exists()
    assert log_state(tmp_path / "missing").startswith("not a log")
    assert not (tmp_path / "missing").exists()


def test_dates_and_times_are_in_utc_unless_they_have_an_offset() -> None:
    assert start_of("2026-05-01") == end_of("2026-04-30")
    assert start_of("2026-05-01T02:00+02:00") == start_of("2026-05-01")
    assert start_of("2026-05-01 06:30") == end_of("2026-05-01T06:30Z") == MAY
    assert utc_text(MAY) == "2026-05-01 06:30 UTC"
    assert utc_text(MAY + 5) == "2026-05-01 06:30:05 UTC"


@pytest.mark.parametrize(
    ("drift", "message"),
    [
        ({"current": "log", "since": "yesterday"}, "drift.since: 'yesterday' is not a date or time after 1970; give for example"),
        ({"current": "log", "until": "2026-02-30"}, "drift.until: '2026-02-30' is not a date or time"),
        ({"current": "log", "since": "0001-01-01"}, "drift.since: '0001-01-01' is not a date or time after 1970"),
        ({"current": "log", "until": "9999-12-31"}, "drift.until: '9999-12-31' is not a date or time"),
        ({"current": "log", "since": 20260501}, "drift.since: 20260501 is not valid"),
        ({"current": "log", "days": 0}, "drift.days: 0 is not valid"),
        ({"current": "log", "days": 3, "since": "2026-05-01"}, "drift: `days` cannot be combined with `since` or `until`"),
        ({"current": "log", "since": "2026-05-02", "until": "2026-05-01"}, "drift: `since` .* is not before `until`"),
        ({"days": 3}, "drift: `since`, `until` and `days` select entries of the server's log, but `current` is `test`"),
    ],
)  # fmt: skip
def test_invalid_ranges_are_reported_in_one_line(drift: dict[str, Any], message: str) -> None:
    with pytest.raises(AutobirdError, match=message) as error:
        load_config({"drift": drift})
    assert "\n" not in str(error.value)


def test_dates_that_yaml_has_parsed_are_accepted() -> None:
    import yaml

    raw = yaml.safe_load("{current: log, since: 2026-05-01, until: 2026-05-01 08:30:00+02:00}")
    config = load_config({"drift": raw})
    assert (config.drift.since, config.drift.until) == ("2026-05-01", "2026-05-01T08:30:00+02:00")
    text = config.settings_json(LogRangeSettings, "drift")
    assert LogRangeSettings.model_validate(json.loads(text)).since == "2026-05-01"
