"""The log in SQLite and in PostgreSQL: one specification for both, and what only one of them can do."""

import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from autobird.core.errors import AutobirdError
from autobird.drift.features import DRIFT_FEATURES
from autobird.serving.store.backend import Row, Unavailable
from autobird.serving.store.entries import MAX_DETECTIONS, Feedback, LogEntry
from autobird.serving.store.schema import FIRST
from autobird.serving.store.sqlite import SqliteBackend
from autobird.serving.store.store import Store, backend_of
from tests.postgres import Postgres, running_postgres
from tests.scripted_jobs import LONG, wait_until


def entry(species: str | None = "Parus major", request: str = "r", **values: Any) -> LogEntry:
    fixed: dict[str, Any] = {
        "bundle": "abc",
        "duration": 5.0,
        "probability": 0.9,
        "features": dict.fromkeys(DRIFT_FEATURES, 1.0),
    }
    return LogEntry(species=species, request=request, **(fixed | values))


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    with running_postgres() as cluster:
        yield cluster


@pytest.fixture(params=["sqlite", "postgres"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty log: a path, or the URL of a new database."""
    if request.param == "sqlite":
        return str(tmp_path / "a log?#%.sqlite")
    cluster: Postgres = request.getfixturevalue("postgres")
    return cluster.new_database("log")


@pytest.fixture
def opened() -> Iterator[Callable[..., Store]]:
    """Opens stores, which are closed at the end."""
    stores: list[Store] = []

    def open_store(place: str | Path, **options: Any) -> Store:
        stores.append(Store(backend_of(place), **options))
        return stores[-1]

    yield open_store
    for store in stores:
        store.close(0)


def execute(place: str, sql: str) -> None:
    """Run a statement as another program would."""
    if "://" in place:
        import psycopg

        with psycopg.connect(place, autocommit=True) as connection:
            connection.execute("SET search_path TO autobird")
            connection.execute(sql)
    else:
        with sqlite3.connect(place) as file:
            file.execute(sql)


class Lock:
    """Locks the log as another program would."""

    def __init__(self, place: str) -> None:
        if "://" in place:
            import psycopg

            self._connection: Any = psycopg.connect(place)
            self._connection.execute("LOCK TABLE autobird.predictions IN EXCLUSIVE MODE")
        else:
            self._connection = sqlite3.connect(place, isolation_level=None)
            self._connection.execute("BEGIN IMMEDIATE")

    def release(self) -> None:
        self._connection.rollback()
        self._connection.close()


def test_an_entry_is_read_as_it_was_written(place: str, opened: Callable[..., Store]) -> None:
    store = opened(place)
    detections = ((2.5, 7.5, "Corvus corone", 0.61), (0.0, 5.0, 'Parus "major" ä', 0.9))
    number = store.append(
        entry("Parus major", "r1", unknown_score=0.25, detections=detections, seconds={"decode": 0.01, "network": 0.5}),
        LONG,
    )
    [found] = store.page()
    assert found.pop("time").endswith("Z")
    assert found == {
        "id": number, "request": "r1", "role": "answer", "bundle": "abc", "duration": 5.0, "species": "Parus major", "probability": 0.9,
        "unknown_score": 0.25, "detection_count": 2, "seconds": {"decode": 0.01, "network": 0.5},
        "detections": [
            {"start": 0.0, "end": 5.0, "species": 'Parus "major" ä', "probability": 0.9},
            {"start": 2.5, "end": 7.5, "species": "Corvus corone", "probability": 0.61},
        ],
    }  # fmt: skip


def test_entries_are_paged_from_the_newest_and_selected_by_species_and_role(
    place: str, opened: Callable[..., Store]
) -> None:
    store = opened(place)
    numbers = [
        store.append(entry("a" if i % 2 else "b", f"r{i}", role="shadow" if i == 5 else "job"), LONG) for i in range(6)
    ]
    assert [found["request"] for found in store.page(limit=2)] == ["r5", "r4"]
    assert [found["request"] for found in store.page(before=numbers[4], limit=2)] == ["r3", "r2"]
    assert [found["request"] for found in store.page(species="a")] == ["r5", "r3", "r1"]
    assert [found["request"] for found in store.page(species="a", role="job", before=numbers[3])] == ["r1"]
    assert store.page(species="c") == []


def test_only_the_most_probable_detections_of_a_long_recording_are_kept(
    place: str, opened: Callable[..., Store]
) -> None:
    store = opened(place)
    detections = tuple((float(n), n + 5.0, "a", n / 1000) for n in range(MAX_DETECTIONS + 50))
    store.append(entry(detections=detections), LONG)
    [found] = store.page()
    assert found["detection_count"] == MAX_DETECTIONS + 50
    assert [d["start"] for d in found["detections"]] == [float(n) for n in range(50, MAX_DETECTIONS + 50)]


def test_feedback_is_kept_and_paged(place: str, opened: Callable[..., Store]) -> None:
    store = opened(place)
    store.append_feedback(Feedback("r1", None, 0.0, 5.0, "a", "yes"), LONG)
    second = store.append_feedback(Feedback("", 7, 5.0, 10.0, "a", "other", "b", "Ann\0 \ud800"), LONG)
    newest, oldest = store.feedback()
    assert newest.pop("time").endswith("Z")
    assert newest == {
        "id": second, "request": "", "prediction": 7, "start": 5.0, "end": 10.0, "species": "a", "decision": "other", "other_species": "b",
        "reviewer": "Ann ?",
    }  # fmt: skip
    assert store.feedback(before=second) == [oldest]


def test_threads_that_write_at_once_get_the_ids_of_their_own_rows(place: str, opened: Callable[..., Store]) -> None:
    store = opened(place)
    ids: dict[str, int | None] = {}

    def write(name: str) -> None:
        for n in range(20):
            ids[f"{name}{n}"] = store.append(entry(request=f"{name}{n}"), LONG)
            store.append_feedback(Feedback(name, None, 0.0, 1.0, "a", "no"), LONG)

    threads = [threading.Thread(target=write, args=(name,)) for name in "abcdef"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {found["request"]: found["id"] for found in store.page(limit=1000)} == ids
    assert len(store.feedback(limit=1000)) == 120
    assert store.state()[:3] == (240, 0, 0)


def test_a_lock_of_another_program_delays_one_answer_only_and_loses_no_entry(
    place: str, opened: Callable[..., Store]
) -> None:
    store = opened(place)
    lock = Lock(place)
    try:
        assert store.append(entry(request="r0"), 0.001) is None
        wait_until(lambda: store.state().error != "")
        # From now on nobody waits, however long they would.
        assert [store.append(entry(request=f"r{n}"), 1e6) for n in (1, 2)] == [None, None]
        assert store.state().waiting == 3
        assert store.page() == []
    finally:
        lock.release()
    wait_until(lambda: store.state().written == 3)
    assert [found["request"] for found in store.page()] == ["r2", "r1", "r0"]
    assert store.state().error == ""
    assert store.append(entry(request="r3"), LONG) is not None


def test_entries_that_find_no_place_and_those_that_remain_at_the_end_are_counted(
    place: str, opened: Callable[..., Store]
) -> None:
    lost: list[int] = []
    store = opened(place, capacity=2, on_lost=lost.append)
    lock = Lock(place)
    try:
        for _ in range(3):
            store.append(entry(), 0.001)
        assert lost == [1]
        store.close(0)
    finally:
        lock.release()
    assert store.state().waiting == 0
    assert sum(lost) == store.state().lost == 3 - len(opened(place).page())


def test_an_entry_that_the_database_refuses_costs_only_itself(place: str, opened: Callable[..., Store]) -> None:
    store = opened(place)
    lock = Lock(place)  # so that the three are written in one transaction
    bad = dict.fromkeys(DRIFT_FEATURES, 1.0) | {"level": float("nan")}
    entries = [entry(request="r0"), entry(request="r1", features=bad), entry(request="r2")]
    if "://" in place:  # PostgreSQL stores NaN
        entries[1] = entry(request="r1", unknown_score="not a number")
    for value in entries:
        store.append(value, 0.001)
    lock.release()
    wait_until(lambda: store.state().written == 2)
    assert [found["request"] for found in store.page()] == ["r2", "r0"]
    assert store.state().lost == 1


def test_old_predictions_are_removed_and_feedback_is_not(place: str, opened: Callable[..., Store]) -> None:
    store = opened(place)
    for n in range(5):
        store.append(entry(request=f"r{n}"), LONG)
    store.append_feedback(Feedback("r0", None, 0.0, 5.0, "a", "yes"), LONG)
    store.close()
    execute(place, "UPDATE predictions SET time = time - 864000 WHERE request IN ('r0', 'r2')")
    execute(place, "UPDATE feedback SET time = time - 864000")
    store = opened(place, keep_days=9.9)
    wait_until(lambda: store.state().pruned == 2)
    assert [found["request"] for found in store.page()] == ["r4", "r3", "r1"]
    assert len(store.feedback()) == 1
    assert len(opened(place, keep_days=10.1).page()) == 3


def test_a_log_of_a_newer_version_is_refused(place: str, opened: Callable[..., Store]) -> None:
    opened(place).close()
    execute(place, "UPDATE log_version SET version = 99" if "://" in place else "PRAGMA user_version = 99")
    with pytest.raises(
        AutobirdError, match=r"newer version of Autobird \(tables 99, this one has 2\); use that version"
    ):
        backend_of(place).open()


_WRITER = """
import sys
from autobird.drift.features import DRIFT_FEATURES
from autobird.serving.store.entries import LogEntry
from autobird.serving.store.store import Store, backend_of
import threading
store = Store(backend_of(sys.argv[1]))
def write(name):
    for n in range(100000):
        entry = LogEntry("abc", 5.0, None, None, dict.fromkeys(DRIFT_FEATURES, 1.0), f"{name}{n}")
        if store.append(entry) is not None:
            sys.stdout.write(f"{name}{n}\\n")
            sys.stdout.flush()
for name in "abcd":
    threading.Thread(target=write, args=(name,)).start()
"""


def test_a_kill_loses_no_entry_of_a_request_that_was_answered(place: str, opened: Callable[..., Store]) -> None:
    process = subprocess.Popen([sys.executable, "-c", _WRITER, place], stdout=subprocess.PIPE, text=True)
    assert process.stdout
    answered = [process.stdout.readline() for _ in range(300)]
    process.kill()
    answered += process.stdout.readlines()
    process.wait()
    whole = {line.strip() for line in answered if line.endswith("\n")}
    found = [row["request"] for row in opened(place).page(limit=1_000_000)]
    assert len(whole) >= 300
    assert whole <= set(found)
    assert len(found) == len(set(found))


def test_tables_that_are_dropped_and_files_that_are_deleted_are_created_again(
    place: str, opened: Callable[..., Store]
) -> None:
    recreated: list[int] = []
    store = opened(place, on_recreated=lambda: recreated.append(1))
    store.append(entry(request="r0"), LONG)
    if "://" in place:
        execute(place, "DROP TABLE predictions, feedback")
    else:
        Path(place).unlink()
    assert store.append(entry(request="r1"), LONG) == 1
    assert [found["request"] for found in store.page()] == ["r1"]
    assert recreated == [1]
    assert store.state()[:4] == (2, 0, 0, 1)


@pytest.mark.parametrize(
    "damage",
    [
        ["DROP TABLE predictions"],
        ["DROP TABLE feedback"],
        ["DROP TABLE predictions", "DROP TABLE feedback"],
        ["ALTER TABLE predictions DROP COLUMN seconds"],
    ],
)
def test_what_another_program_removes_from_the_log_is_created_again(
    place: str, opened: Callable[..., Store], damage: list[str]
) -> None:
    store = opened(place)
    store.append(entry(request="r0"), LONG)
    store.append_feedback(Feedback("r0", None, 0.0, 5.0, "a", "yes"), LONG)
    for statement in damage:
        execute(place, statement)
    assert store.append(entry(request="r1"), LONG) is not None
    assert store.append_feedback(Feedback("r1", None, 0.0, 5.0, "a", "yes"), LONG) is not None
    assert store.page()[0]["request"] == store.feedback()[0]["request"] == "r1"
    assert store.state() == (4, 0, 0, 1, 0, "")
    store.append(entry(request="r2"), LONG)
    assert store.state().recreated == 1


@pytest.mark.parametrize(("table", "column"), [("predictions", "duration"), ("feedback", "decision")])
def test_a_log_that_cannot_be_repaired_keeps_its_rows_waiting_and_says_the_remedy(
    tmp_path: Path, opened: Callable[..., Store], table: str, column: str, caplog: pytest.LogCaptureFixture
) -> None:
    place = str(tmp_path / "log.sqlite")
    lost: list[int] = []
    store = opened(place, on_lost=lost.append, capacity=2)
    execute(place, f"ALTER TABLE {table} DROP COLUMN {column}")
    if table == "feedback":
        assert store.append_feedback(Feedback("r0", None, 0.0, 5.0, "a", "yes"), 0.01) is None
    else:
        assert store.append(entry(), 0.01) is None
    wait_until(lambda: store.state().error != "")
    wait_until(lambda: "cannot be written" in caplog.text)
    assert f"has no column '{column}' in its table {table}" in store.state().error
    assert "give the path of a new file; 1 entries wait" in caplog.text
    store.append(entry(), 0)
    store.append(entry(), 0)
    assert (store.state().waiting, store.state().lost, lost) == (2, 1, [1])


def test_a_database_of_another_program_gets_no_tables_of_the_log(tmp_path: Path, opened: Callable[..., Store]) -> None:
    """It replaces the log while the server runs, perhaps with the same inode."""
    place = tmp_path / "log.sqlite"
    store = opened(place)
    store.append(entry(), LONG)
    for statement in ("DROP TABLE predictions", "CREATE TABLE birds (name)", "PRAGMA user_version = 0"):
        execute(str(place), statement)
    store.append(entry(), 0.01)
    wait_until(lambda: "is a database of another program; give the path of another file" in store.state().error)
    with sqlite3.connect(place) as file:
        assert file.execute("SELECT count(*) FROM sqlite_master WHERE name = 'predictions'").fetchone() == (0,)


def test_a_file_that_is_moved_keeps_its_entries_and_a_new_one_takes_the_next(
    tmp_path: Path, opened: Callable[..., Store]
) -> None:
    (tmp_path / "logs").mkdir()
    store = opened(tmp_path / "logs" / "log.sqlite")
    for n in range(10):
        store.append(entry(request=f"r{n}"), LONG)
    (tmp_path / "logs" / "log.sqlite").rename(tmp_path / "old.sqlite")
    store.append(entry(request="r10"), LONG)
    with sqlite3.connect(tmp_path / "old.sqlite") as old:
        assert old.execute("SELECT count(*), max(request) FROM predictions").fetchone() == (10, "r9")
    assert [found["request"] for found in store.page()] == ["r10"]
    (tmp_path / "logs").rename(tmp_path / "elsewhere")
    store.append(entry(request="r11"), LONG)
    assert [found["request"] for found in store.page()] == ["r11"]
    assert store.state().recreated == 2


def test_a_file_that_is_deleted_during_a_transaction_does_not_cost_its_entries(tmp_path: Path) -> None:
    path = tmp_path / "log.sqlite"
    backend = SqliteBackend(path)
    backend.open()
    row = Row("predictions", entry(request="r").values(), "key")
    backend.write([row])
    attempt, deleted = backend._attempt, []

    def delete_before_commit(rows: Any) -> Any:
        numbers = attempt(rows)
        if not deleted:
            deleted.append(path.unlink())
        return numbers

    backend._attempt = delete_before_commit  # type: ignore[method-assign]
    backend.write([row])
    backend.close()
    with sqlite3.connect(path) as connection:
        assert connection.execute("SELECT count(*) FROM predictions").fetchone() == (1,)


def test_two_servers_share_a_log(place: str, opened: Callable[..., Store]) -> None:
    one, two = opened(place), opened(place)
    assert [one.append(entry(), LONG), two.append(entry(), LONG), one.append(entry(), LONG)] == [1, 2, 3]
    if "://" not in place:
        Path(place).unlink()
        assert [one.append(entry(), LONG), two.append(entry(), LONG)] == [1, 2]
    assert one.page() == two.page()


def test_a_log_of_the_first_version_gets_the_new_columns(tmp_path: Path, opened: Callable[..., Store]) -> None:
    path = tmp_path / "old.sqlite"
    with sqlite3.connect(path) as connection:
        columns = ", ".join(f"{c.name} {c.kind.upper()}{' NOT NULL' if c.required else ''}" for c in FIRST)
        connection.execute(f"CREATE TABLE predictions (id INTEGER PRIMARY KEY, {columns})")
        values = entry("a").values()[: len(FIRST)]
        connection.execute(f"INSERT INTO predictions VALUES (1, {', '.join('?' * len(FIRST))})", values)
    store = opened(path)
    assert store.append(entry("b", "r2", duration=6.0), LONG) == 2
    new, old = store.page()
    assert (new["species"], new["request"], new["role"], new["detection_count"]) == ("b", "r2", "answer", 0)
    assert (old["species"], old["request"], old["role"], old["detection_count"]) == ("a", "", "answer", None)
    assert old["detections"] == []
    assert len(store.page(role="answer")) == 2
    assert store.features("abc", 10) == [(1.0,) * len(DRIFT_FEATURES)] * 2


@pytest.mark.skipif(
    not Path("/dev/full").exists(), reason="needs a file system of limited size or a limit of file sizes"
)
def test_a_full_disk_is_reported_at_the_start_in_one_line(tmp_path: Path) -> None:
    code = (
        "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); "
        "resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000)); "
        "from autobird.core.errors import AutobirdError\n"
        "from autobird.serving.store.store import backend_of\n"
        "try:\n    backend_of(sys.argv[1]).open()\nexcept AutobirdError as error:\n    print(error)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "log.sqlite")], capture_output=True, text=True, check=True
    )
    assert "log.sqlite cannot be used (" in done.stdout
    assert done.stdout.count("\n") == 1
    assert done.stderr == ""


def test_a_disk_that_is_full_for_a_while_delays_entries(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, opened: Callable[..., Store]
) -> None:
    store = opened(tmp_path / "log.sqlite")
    is_full = threading.Event()
    is_full.set()
    attempt = SqliteBackend._attempt

    def attempt_or_fail(self: SqliteBackend, rows: Any) -> Any:
        if is_full.is_set():
            raise Unavailable("database or disk is full")
        return attempt(self, rows)

    monkeypatch.setattr(SqliteBackend, "_attempt", attempt_or_fail)
    assert store.append(entry(), 0.001) is None
    wait_until(lambda: store.state().error == "database or disk is full")
    is_full.clear()
    wait_until(lambda: store.state().written == 1)


def test_a_fault_does_not_end_the_thread_that_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, opened: Callable[..., Store]
) -> None:
    store = opened(tmp_path / "log.sqlite")
    attempt, faults = SqliteBackend._attempt, [KeyError("a fault")]

    def attempt_or_fail(self: SqliteBackend, rows: Any) -> Any:
        if faults:
            raise faults.pop()
        return attempt(self, rows)

    monkeypatch.setattr(SqliteBackend, "_attempt", attempt_or_fail)
    store.append(entry(), 0.001)
    wait_until(lambda: store.state().written == 1)


def test_postgresql_that_restarts_delays_entries(postgres: Postgres, opened: Callable[..., Store]) -> None:
    url = postgres.new_database("restarted")
    store = opened(url)
    assert store.append(entry(request="r0"), LONG) == 1
    postgres.stop()
    try:
        assert store.append(entry(request="r1"), 0.001) is None
        wait_until(lambda: store.state().error != "")
        with pytest.raises(Unavailable):
            store.page()
    finally:
        postgres.start()
    wait_until(lambda: store.state().written == 2)
    assert [found["request"] for found in store.page()] == ["r1", "r0"]


def test_a_row_that_was_committed_before_the_connection_broke_is_not_written_twice(postgres: Postgres) -> None:
    backend = backend_of(postgres.new_database("twice"))
    backend.open()
    row, other = (Row("predictions", entry(request=name).values(), name) for name in ("one", "other"))
    assert backend.write([row]) == [1]
    numbers = backend.write([row, other])
    assert numbers[0] is None
    assert numbers[1] is not None
    with backend.snapshot() as query:
        assert list(query("SELECT request FROM predictions ORDER BY id", [])) == [("one",), ("other",)]
    backend.close()


def test_a_database_that_cannot_be_used_is_reported_in_one_line_without_the_password(
    postgres: Postgres, tmp_path: Path
) -> None:
    for url, message in (
        (f"postgresql://tester:secret@/missing?host={postgres.folder}", "postgresql://tester@/missing cannot be used .*does not exist.*; check"),
        (f"postgresql://nobody:secret@/postgres?host={postgres.folder}", "cannot be used .*role .nobody. does not exist"),
        (f"postgresql://tester:secret@/postgres?host={tmp_path}", "cannot be used .*No such file or directory"),
    ):  # fmt: skip
        with pytest.raises(AutobirdError, match=message) as error:
            backend_of(url).open()
        assert "\n" not in str(error.value)
        assert "secret" not in str(error.value)
    with pytest.raises(
        AutobirdError, match="URL that starts with 'mysql'://; give a path, sqlite:///PATH or postgresql"
    ):
        backend_of("mysql://host/log")


def test_the_tables_do_not_collide_with_those_of_other_programs(
    postgres: Postgres, opened: Callable[..., Store]
) -> None:
    import psycopg

    url = postgres.new_database("shared")
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE TABLE predictions (weather text)")
    assert opened(url).append(entry(), LONG) == 1
    with psycopg.connect(url) as connection:
        assert connection.execute("SELECT count(*) FROM public.predictions").fetchone() == (0,)


@pytest.mark.parametrize("url", ["u:secret@h:port/db", "u:secret%zz@h/db", "u:secret@[h/db"])
def test_a_url_that_is_not_valid_is_reported_without_the_password(url: str) -> None:
    pytest.importorskip("psycopg")
    with pytest.raises(AutobirdError, match="URL of the log is not valid") as error:
        backend_of(f"postgresql://{url}")
    assert "secret" not in str(error.value)


def test_a_sqlite_url_names_a_path() -> None:
    assert backend_of("sqlite:///a/log.sqlite").name == str(Path("a/log.sqlite"))
    assert backend_of("sqlite:////a/log.sqlite").name == str(Path("/a/log.sqlite"))
