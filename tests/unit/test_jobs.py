"""Jobs: their order, progress, cancelling, and what remains of them after a kill; with a computation that the tests control."""

import json
import sqlite3
import subprocess
import sys
import tracemalloc
import wave
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from autobird.core.errors import AutobirdError
from autobird.serving.compute.messages import Failed
from autobird.serving.compute.requests import ClientGone, QueueFull, Task, TaskAnswer, TaskOptions, TaskProblem
from autobird.serving.jobs import compute
from autobird.serving.jobs.compute import JobProcess
from autobird.serving.jobs.folder import JobFolder
from autobird.serving.jobs.job import Job, JobLimits
from autobird.serving.jobs.length import declared_seconds
from autobird.serving.jobs.queue import Jobs, TooManyJobs
from autobird.serving.settings import ServeSettings
from autobird.serving.spool import Spool
from autobird.serving.state import opened_state
from autobird.serving.store.sqlite import SqliteBackend
from autobird.serving.store.store import Store
from tests.scripted_jobs import LONG, Scripted, add, answer, wait_until
from tests.unit.test_predict import make_bundle


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Callable[..., Jobs]]:
    """Opens the jobs in a folder; they are closed at the end."""
    found: list[Jobs] = []

    def open_jobs(compute: Any, **options: Any) -> Jobs:
        found.append(Jobs(tmp_path, compute, **options))
        return found[-1]

    yield open_jobs
    for jobs in found:
        jobs.close()


def state(jobs: Jobs, number: str) -> str:
    shown = jobs.shown(number)
    return shown["state"] if shown else "removed"


def files(folder: Path) -> list[str]:
    return sorted(str(p.relative_to(folder / "jobs")) for p in (folder / "jobs").rglob("*") if p.name != "lock")


def test_a_job_is_computed_and_its_result_is_kept_without_the_upload(
    tmp_path: Path, opened: Callable[..., Jobs]
) -> None:
    compute = Scripted()
    jobs = opened(compute)
    number = add(jobs, threshold=0.3, species=("a",))
    wait_until(lambda: state(jobs, number) == "done")
    shown, found = jobs.shown(number), jobs.result(number)
    assert shown
    assert (shown["file"], shown["progress"], shown["duration"], shown["detections"]) == ("dawn.wav", 1.0, 3600.0, 1)
    assert found
    assert found["answer"] == answer("dawn.wav").body
    assert found["band"] == [50.0, 7000.0]
    assert compute.tasks[0].options == TaskOptions(threshold=0.3, species=("a",))
    wait_until(lambda: files(tmp_path) == [number, f"{number}/job.json", f"{number}/result.json"])


def test_jobs_are_computed_in_the_order_of_arrival_and_say_how_far_they_are(opened: Callable[..., Jobs]) -> None:
    compute = Scripted(waits=True)
    jobs = opened(compute)
    first, second, third = (add(jobs, name) for name in ("1", "2", "3"))
    assert compute.started.acquire(timeout=LONG)
    compute.outcomes.put(12.5)
    wait_until(lambda: jobs.listed()[2]["decoded_seconds"] == 12.5)
    assert [(j["id"], j["state"], j["position"]) for j in jobs.listed()] == [
        (third, "queued", 2), (second, "queued", 1), (first, "running", None),
    ]  # fmt: skip
    compute.outcomes.put(TaskProblem(422, "Not a usable recording", "it is a text"))
    compute.outcomes.put(ValueError("a fault"))
    compute.outcomes.put(answer())
    wait_until(lambda: state(jobs, third) == "done")
    assert [task.name for task in compute.tasks] == ["1", "2", "3"]
    problems = [(shown or {})["problem"] for shown in map(jobs.shown, (first, second, third))]
    assert problems[0] == {"status": 422, "title": "Not a usable recording", "detail": "it is a text"}
    assert problems[1]["status"] == 500
    assert "a fault" not in problems[1]["detail"]
    assert problems[2] is None
    assert jobs.result(first) is None


def test_the_progress_is_the_share_of_the_length_in_the_header(tmp_path: Path, opened: Callable[..., Jobs]) -> None:
    compute = Scripted(waits=True)
    jobs = opened(compute)
    with jobs.new() as new:
        soundfile.write(new.folder / "x.wav", np.zeros(80_000, np.int16), 8000)
        number = new.store("x.wav", new.folder / "x.wav", TaskOptions()).id
    assert compute.started.acquire(timeout=LONG)
    for decoded, share in ((2.5, 0.25), (12.0, 0.999)):
        compute.outcomes.put(decoded)
        wait_until(lambda decoded=decoded: (jobs.shown(number) or {})["decoded_seconds"] == decoded)  # type: ignore[misc]
        assert (jobs.shown(number) or {})["progress"] == share


def test_a_waiting_or_running_or_finished_job_is_removed_with_its_files(
    tmp_path: Path, opened: Callable[..., Jobs]
) -> None:
    compute = Scripted(waits=True)
    jobs = opened(compute)
    running, waiting = add(jobs), add(jobs)
    assert compute.started.acquire(timeout=LONG)
    assert jobs.remove(waiting)
    assert waiting not in files(tmp_path)
    assert jobs.remove(running)
    assert not jobs.remove(running)
    assert jobs.listed() == []
    wait_until(lambda: files(tmp_path) == [])
    last = add(jobs)
    compute.outcomes.put(answer())
    wait_until(lambda: state(jobs, last) == "done")
    assert len(compute.tasks) == 2
    assert jobs.remove(last)
    wait_until(lambda: files(tmp_path) == [])


def test_jobs_go_on_after_a_restart_and_a_stop_is_no_attempt(tmp_path: Path) -> None:
    for _ in range(5):
        compute = Scripted(waits=True)
        jobs = Jobs(tmp_path, compute)
        if not jobs.listed():
            numbers = [add(jobs, name) for name in ("1", "2")]
        assert compute.started.acquire(timeout=LONG)
        jobs.close()
    jobs = Jobs(tmp_path, Scripted())
    wait_until(lambda: [j["state"] for j in jobs.listed()] == ["done", "done"])
    jobs.close()
    jobs = Jobs(tmp_path, Scripted(waits=True))
    assert [j["id"] for j in jobs.listed()] == numbers[::-1]
    assert jobs.result(numbers[0])
    jobs.close()


_SERVER = """
import sys, time
from pathlib import Path
from tests.scripted_jobs import Scripted, add
from autobird.serving.jobs.queue import Jobs
from autobird.serving.compute.requests import TaskOptions
compute = Scripted(waits=True)
jobs = Jobs(Path(sys.argv[1]), compute)
if not jobs.listed():
    add(jobs, "1"); add(jobs, "2")
compute.started.acquire()
with jobs.new() as new:
    (new.folder / "half").write_bytes(b"half of an upload")
    print("running", flush=True)
    time.sleep(600)
"""


def kill_while_running(folder: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", _SERVER, str(folder)], stdout=subprocess.PIPE, text=True)
    assert process.stdout
    assert process.stdout.readline() == "running\n"
    process.kill()
    process.wait()
    process.stdout.close()


def test_jobs_go_on_after_a_kill_but_one_that_is_killed_each_time_fails(
    tmp_path: Path, opened: Callable[..., Jobs]
) -> None:
    kill_while_running(tmp_path)
    kill_while_running(tmp_path)
    assert any(name.startswith(".new-") for name in files(tmp_path))
    kill_while_running(tmp_path)
    jobs = opened(Scripted())
    wait_until(lambda: [j["state"] for j in jobs.listed()] == ["done", "failed"])
    assert "3 times" in jobs.listed()[1]["problem"]["detail"]
    wait_until(lambda: [name for name in files(tmp_path) if "upload" in name or name.startswith(".")] == [])


def test_a_job_that_was_computed_before_the_kill_is_logged_once_and_not_computed_again(
    tmp_path: Path, opened: Callable[..., Jobs]
) -> None:
    store = Store(SqliteBackend(tmp_path / "log.sqlite"))
    jobs = Jobs(tmp_path, Scripted(), store=store)
    logged, unlogged = add(jobs, "1"), add(jobs, "2")
    wait_until(lambda: [j["state"] for j in jobs.listed()] == ["done", "done"])
    jobs.close()
    for number in (logged, unlogged):  # as if the server was killed before it stored the new state
        path = tmp_path / "jobs" / number / "job.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {"state": "running", "finished": None}))
    store.close()
    with sqlite3.connect(tmp_path / "log.sqlite") as connection:
        connection.execute("DELETE FROM predictions WHERE request = ?", [unlogged])
    store, compute = Store(SqliteBackend(tmp_path / "log.sqlite")), Scripted()
    jobs = opened(compute, store=store)
    assert [j["state"] for j in jobs.listed()] == ["done", "done"]
    assert compute.tasks == []
    assert sorted((row["request"], row["role"]) for row in store.page()) == sorted([(logged, "job"), (unlogged, "job")])
    store.close()


def test_the_number_of_jobs_is_bounded_and_fetched_results_make_room(
    tmp_path: Path, opened: Callable[..., Jobs]
) -> None:
    jobs = opened(Scripted(), limits=JobLimits(max_jobs=2))
    first, second = add(jobs, "1"), add(jobs, "2")
    wait_until(lambda: [j["state"] for j in jobs.listed()] == ["done", "done"])
    with pytest.raises(TooManyJobs, match="there are 2 jobs, as many as allowed") as error:
        add(jobs, "3")
    assert error.value.status == 503
    assert jobs.result(second)
    third = add(jobs, "3")
    assert [j["id"] for j in jobs.listed()] == [third, first]


def test_uploads_that_are_not_complete_count_as_jobs(opened: Callable[..., Jobs]) -> None:
    jobs = opened(Scripted(waits=True), limits=JobLimits(max_jobs=2))
    with jobs.new(), jobs.new(), pytest.raises(TooManyJobs), jobs.new():
        pass
    add(jobs)


def test_no_upload_begins_on_a_full_disk(opened: Callable[..., Jobs]) -> None:
    jobs = opened(Scripted(), limits=JobLimits(min_free_bytes=2**62))
    with pytest.raises(TooManyJobs, match="MB left") as error:
        add(jobs)
    assert error.value.status == 507


def test_finished_jobs_are_removed_after_some_days(tmp_path: Path) -> None:
    now = [1e9]
    jobs = Jobs(tmp_path, Scripted(), clock=lambda: now[0])
    number = add(jobs)
    wait_until(lambda: state(jobs, number) == "done")
    jobs.close()
    now[0] += 6.9 * 86400
    jobs = Jobs(tmp_path, Scripted(), clock=lambda: now[0])
    add(jobs)
    wait_until(lambda: [j["state"] for j in jobs.listed()] == ["done", "done"])
    jobs.close()
    now[0] += 0.2 * 86400
    jobs = Jobs(tmp_path, Scripted(), clock=lambda: now[0])
    wait_until(lambda: number not in [j["id"] for j in jobs.listed()])
    assert len(jobs.listed()) == 1
    jobs.close()


def test_a_bundle_that_cannot_be_loaded_now_lets_jobs_wait(opened: Callable[..., Jobs]) -> None:
    compute = Scripted(waits=True)
    jobs = opened(compute)
    number = add(jobs)
    compute.outcomes.put(QueueFull("the bundle is being copied", 0))
    compute.outcomes.put(answer())
    wait_until(lambda: state(jobs, number) == "done")
    assert len(compute.tasks) == 2


def test_two_servers_do_not_use_one_folder(tmp_path: Path, opened: Callable[..., Jobs]) -> None:
    opened(Scripted())
    with pytest.raises(AutobirdError, match="is used by another server; give each server a folder of its own"):
        Jobs(tmp_path, Scripted())
    (tmp_path / "file").write_text("")
    with pytest.raises(AutobirdError, match=r"--state .*file cannot be used \(.*\); give the path of a folder"):
        Jobs(tmp_path / "file", Scripted())


def test_what_a_killed_server_left_is_removed(tmp_path: Path, opened: Callable[..., Jobs]) -> None:
    spool = Spool(tmp_path)
    spool.write(bytes(2_000_000))
    assert [p.parent for p in [spool.source()] if isinstance(p, Path)] == [tmp_path]
    (tmp_path / "notes.txt").write_text("of the user")
    opened(Scripted())
    assert sorted(p.name for p in tmp_path.iterdir()) == ["jobs", "notes.txt"]


def test_the_log_and_the_jobs_of_a_server_follow_its_options_and_are_closed_at_the_end(tmp_path: Path) -> None:
    with opened_state(tmp_path / "bundle", ServeSettings()) as nothing:
        assert nothing == (None, None)
    settings = ServeSettings(
        log=str(tmp_path / "log.sqlite"), state=str(tmp_path / "state"), keep_days=30, max_job_megabytes=5, max_job_seconds=7200,
        max_jobs=9, job_days=2,
    )  # fmt: skip
    for _ in range(2):
        with opened_state(tmp_path / "bundle", settings) as (store, jobs):
            assert store
            assert store.page() == []
            assert jobs
            assert jobs.limits == JobLimits(5_000_000, 7200.0, 12 * settings.max_values, 9, 2.0)
    with (
        pytest.raises(AutobirdError, match=r"the log .* is a folder"),
        opened_state(tmp_path, settings.model_copy(update={"log": str(tmp_path)})),
    ):
        raise AssertionError("it was opened")


def test_a_damaged_job_does_not_stop_the_server(tmp_path: Path) -> None:
    (tmp_path / "jobs" / ("0" * 32)).mkdir(parents=True)
    (tmp_path / "jobs" / ("1" * 32)).mkdir(parents=True)
    (tmp_path / "jobs" / ("1" * 32) / "job.json").write_text('{"format": 99}')
    (tmp_path / "jobs" / "notes").mkdir()
    jobs = Jobs(tmp_path, Scripted())
    assert jobs.listed() == []
    jobs.close()
    assert files(tmp_path) == ["notes"]


@pytest.mark.parametrize("kind", ["wav", "flac", "rf64", "odd chunks", "text", "empty"])
def test_the_length_in_headers(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "x"
    samples = np.zeros((16_000, 2), np.int16)
    if kind in ("wav", "flac", "rf64"):
        soundfile.write(path, samples, 8000, format=kind.upper())
    elif kind == "odd chunks":
        with wave.open(str(path), "wb") as file:
            file.setparams((2, 2, 8000, 0, "NONE", ""))
            file.writeframes(samples.tobytes())
        data = path.read_bytes()
        path.write_bytes(data[:12] + b"LIST\x03\0\0\0abc\0" + data[12:])
    else:
        path.write_bytes(b"RIFF text" * (kind == "text"))
    assert declared_seconds(path) == (2.0 if kind not in ("text", "empty") else None)


def test_a_wrong_length_in_a_header_is_not_read_into_memory(tmp_path: Path) -> None:
    path = tmp_path / "x"
    with path.open("wb") as file:
        file.write(b"RIFF\xff\xff\xff\xffWAVEfmt \xff\xff\xff\xff")
        file.truncate(200_000_000)
    tracemalloc.start()
    try:
        assert declared_seconds(path) is None
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


def test_a_job_that_cannot_be_read_for_a_moment_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = JobFolder(tmp_path)
    job = Job("1" * 32, "a.wav", 1, 0.0)
    (tmp_path / "jobs" / f".new-{job.id}").mkdir()
    folder.add(job, b"x")

    def fail(*_: object, **__: object) -> str:
        raise OSError(24, "Too many open files")

    with monkeypatch.context() as patched:
        patched.setattr(Path, "read_text", fail)
        assert list(folder.load()) == []
    assert list(folder.load()) == [job]
    folder.close()


def test_a_job_waits_if_its_process_cannot_be_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: object) -> None:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(compute, "ComputeProcess", fail)
    process = JobProcess(make_bundle(tmp_path / "bundle", (0.0, 1.0)))
    with pytest.raises(QueueFull, match="cannot be started"):
        process.submit(Task(b"x"))


def test_an_unexpected_error_in_a_job_is_logged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    process = JobProcess(make_bundle(tmp_path / "bundle", (0.0, 1.0)))
    monkeypatch.setattr(compute.ComputeProcess, "run", lambda *_: Failed("the trace"))
    try:
        found = process.submit(Task(b"x"))
    finally:
        process.idle()
    assert isinstance(found, TaskProblem)
    assert (found.status, "the trace" in caplog.text, "trace" in found.detail) == (500, True, False)


def test_the_process_of_jobs_computes_stops_when_a_job_is_removed_and_ends_without_jobs(tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path / "bundle", (0.0, 1.0))
    rng = np.random.default_rng(0)
    soundfile.write(tmp_path / "short.wav", 0.1 * rng.standard_normal(16_000 * 20), 16_000)
    process = JobProcess(bundle)
    seen: list[float] = []
    found = process.submit(Task(tmp_path / "short.wav", "short.wav"), progress=seen.append)
    assert isinstance(found, TaskAnswer)
    assert found.body["duration"] == 20.0
    assert process.bundle().fingerprint == "0123456789abcdef"
    started = process._process
    assert started
    with pytest.raises(ClientGone):
        process.submit(Task(tmp_path / "short.wav", "short.wav"), is_gone=lambda: True)
    (tmp_path / "text.wav").write_text("no audio")
    assert isinstance(process.submit(Task(tmp_path / "text.wav", "text.wav")), TaskProblem)
    process.idle()
    assert not started.is_alive()
    (bundle / "model.onnx").write_bytes(b"damaged")
    with pytest.raises(QueueFull):
        process.submit(Task(tmp_path / "short.wav", "short.wav"))
