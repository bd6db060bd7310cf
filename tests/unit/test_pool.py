"""The pool of compute processes: order, limits, crashes, kills, time limits, clients that have gone, and changed bundles."""

import os
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from autobird.core.errors import AutobirdError
from autobird.core.files import write_json
from autobird.predict.bundle import bundle_manifest
from autobird.predict.overlay_path import overlay_path
from autobird.serving.compute import child_process, group, messages, processes
from autobird.serving.compute import pool as pool_module
from autobird.serving.compute.pool import InlinePool, PoolOptions, ProcessPool
from autobird.serving.compute.requests import ClientGone, QueueFull, Task, TaskAnswer, TaskOptions, TaskProblem
from autobird.serving.compute.shared_block import BLOCK, Lent, SharedBlock
from autobird.serving.compute.snapshot import Snapshot, signature
from tests.unit.test_predict import make_bundle

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the tests hold processes with named pipes")


class InProcess:
    """A content that calls a function in the compute process when it arrives there; its result is the recording."""

    def __init__(self, function: Callable[..., object], *arguments: object) -> None:
        self._call = (function, arguments)

    def __reduce__(self) -> Any:
        return self._call


def after_reading(pipe: str, data: bytes) -> bytes:
    """Wait until something is written to a named pipe."""
    Path(pipe).read_bytes()
    return data


def killed_once(mark: str, data: bytes) -> bytes:
    """End the process as the system does when memory runs out, the first time."""
    if not Path(mark).exists():
        Path(mark).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return data


def wait_until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.fixture(scope="module")
def song() -> bytes:
    file = BytesIO()
    soundfile.write(file, 0.1 * np.random.default_rng(0).standard_normal(7 * 16000), 16000, format="FLAC")
    return file.getvalue()


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_bundle(tmp_path_factory.mktemp("pool") / "bundle", (0.0, 1.0))


@pytest.fixture(scope="module")
def pool(bundle: Path) -> Iterator[ProcessPool]:
    """Two processes; two tasks may wait."""
    made = ProcessPool(bundle, PoolOptions(2, 2))
    made.wait_until_ready()
    yield made
    made.close(0)


@pytest.fixture
def idle(pool: ProcessPool) -> ProcessPool:
    """The pool with both processes idle."""
    wait_until(lambda: pool.state().processes == 2 and not pool.state().running)
    return pool


class Held:
    """A task that a process cannot finish before `release`."""

    def __init__(self, pool: ProcessPool, folder: Path, data: bytes) -> None:
        self._pipe = folder / f"held-{time.monotonic_ns()}"
        os.mkfifo(self._pipe)
        source: Any = InProcess(after_reading, str(self._pipe), data)
        running = pool.state().running
        self._thread = ThreadPoolExecutor(1)
        self.answer: Future[TaskAnswer | TaskProblem] = self._thread.submit(pool.submit, Task(source))
        wait_until(lambda: pool.state().running > running)

    def release(self) -> TaskAnswer | TaskProblem:
        self._pipe.write_bytes(b"go")
        answer = self.answer.result(60)
        self._thread.shutdown()
        return answer


def test_answers_are_those_of_the_calling_thread(idle: ProcessPool, bundle: Path, song: bytes, tmp_path: Path) -> None:
    (tmp_path / "song").write_bytes(song)
    expected = InlinePool(bundle).submit(Task(song, "a.flac", TaskOptions(spectrogram=True)))
    assert isinstance(expected, TaskAnswer)
    for source in (song, memoryview(song), tmp_path / "song"):
        answer = idle.submit(Task(source, "a.flac", TaskOptions(spectrogram=True)))
        assert isinstance(answer, TaskAnswer)
        assert answer.body["detections"] == expected.body["detections"]
        assert answer.body["windows"] == expected.body["windows"]
        assert answer.features == pytest.approx(expected.features)
        assert {"queue", "total"} <= set(answer.seconds)
    assert idle.bundle() == replace(InlinePool(bundle).bundle())


@pytest.mark.parametrize("size", [BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK])
def test_recordings_of_all_sizes_reach_a_process(idle: ProcessPool, bundle: Path, size: int) -> None:
    """In shared memory or through the pipe; a short one after a long one has nothing of it."""
    for frames in ((size - 44) // 2, 16000):
        file = BytesIO()
        samples = 0.1 * np.random.default_rng(frames).standard_normal(frames)
        soundfile.write(file, samples, 16000, format="WAV", subtype="PCM_16")
        data = file.getvalue() + bytes(max(0, size - len(file.getvalue())) if frames > 16000 else 0)
        expected, answer = InlinePool(bundle).submit(Task(data)), idle.submit(Task(memoryview(data)))
        assert isinstance(answer, TaskAnswer)
        assert isinstance(expected, TaskAnswer)
        assert (answer.body, answer.features) == (expected.body, expected.features)


def test_a_recording_in_shared_memory_is_lent_again_when_its_process_was_killed(
    idle: ProcessPool, song: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempts, lend = [], SharedBlock.lend

    def lend_and_kill(block: SharedBlock, task: Task) -> Any:
        message = lend(block, task)
        attempts.append(message)
        if len(attempts) == 1:
            (busy,) = idle._group.current.busy
            os.kill(busy.pid, signal.SIGKILL)
        return message

    monkeypatch.setattr(SharedBlock, "lend", lend_and_kill)
    answer = idle.submit(Task(memoryview(song), "a.flac"))
    assert isinstance(answer, TaskAnswer)
    assert [type(message) for message in attempts] == [Lent, Lent]
    assert answer.body["duration"] == 7


def test_problems_of_recordings_are_those_of_the_calling_thread(idle: ProcessPool, song: bytes) -> None:
    cases = {
        (b"text", TaskOptions()): (422, "text, not audio"),
        (song, TaskOptions(max_seconds=3)): (413, "longer than 3 s of decoded audio"),
        (song, TaskOptions(max_values=50_000)): (413, "50000 samples of all channels"),
        (song, TaskOptions(threshold=2)): (400, "threshold 2"),
    }
    for (data, options), (status, text) in cases.items():
        answer = idle.submit(Task(data, "", options))
        assert isinstance(answer, TaskProblem)
        assert (answer.status, text in answer.detail) == (status, True)


def test_the_processes_are_spawned() -> None:
    assert child_process.CONTEXT.get_start_method() == "spawn"


def test_a_crash_costs_only_its_own_task(idle: ProcessPool, song: bytes, tmp_path: Path) -> None:
    replaced = idle.state().replaced
    other = Held(idle, tmp_path, song)
    crash: Any = InProcess(os.abort)
    problem = idle.submit(Task(crash))
    assert problem == TaskProblem(
        422, "Damaged recording", "the recording is damaged in a way that stops the decoder; export or convert it again"
    )
    assert isinstance(other.release(), TaskAnswer)
    wait_until(lambda: idle.state().processes == 2)
    assert idle.state().replaced == replaced + 1
    assert isinstance(idle.submit(Task(song)), TaskAnswer)


def test_a_task_whose_process_was_killed_from_outside_is_computed_again_once(
    idle: ProcessPool, song: bytes, tmp_path: Path
) -> None:
    source: Any = InProcess(killed_once, str(tmp_path / "mark"), song)
    assert isinstance(idle.submit(Task(source)), TaskAnswer)
    wait_until(lambda: idle.state().processes == 2)
    always: Any = InProcess(signal.raise_signal, signal.SIGKILL)
    problem = idle.submit(Task(always))
    assert isinstance(problem, TaskProblem)
    assert (problem.status, problem.title) == (503, "Compute process killed")
    assert "was killed by SIGKILL, twice" in problem.detail


def test_idle_processes_that_die_are_replaced_and_cost_no_task(idle: ProcessPool, song: bytes) -> None:
    processes = list(idle._group.current.idle)
    for process in processes:
        os.kill(process.pid, signal.SIGKILL)
    wait_until(lambda: not any(process.is_alive() for process in processes))  # the system may take a while to end them
    assert isinstance(idle.submit(Task(song)), TaskAnswer)
    wait_until(lambda: idle.state().processes == 2)


def test_more_tasks_than_may_wait_are_refused(idle: ProcessPool, song: bytes, tmp_path: Path) -> None:
    held = [Held(idle, tmp_path, song) for _ in range(2)]
    with ThreadPoolExecutor(3) as threads:
        waiting = [threads.submit(idle.submit, Task(song)) for _ in range(2)]
        wait_until(lambda: idle.state().queued == 2)
        with pytest.raises(QueueFull, match="2 requests wait") as error:
            idle.submit(Task(song))
        assert 1 <= error.value.retry_after <= 60
        with pytest.raises(QueueFull):
            idle.raise_if_full()
        job = threads.submit(idle.submit, Task(song), priority="job")  # waits in a queue of its own
        wait_until(lambda: idle.state().queued == 3)
        for one in held:
            one.release()
        assert all(isinstance(future.result(60), TaskAnswer) for future in (*waiting, job))
    idle.raise_if_full()


def test_interactive_tasks_are_computed_before_those_of_jobs(idle: ProcessPool, song: bytes, tmp_path: Path) -> None:
    order: list[str] = []
    held = [Held(idle, tmp_path, song) for _ in range(2)]

    def submit(priority: Any) -> None:
        idle.submit(Task(song), priority=priority)
        order.append(priority)

    threads = []
    for number, priority in enumerate(("job", "interactive")):
        threads.append(threading.Thread(target=submit, args=(priority,)))
        threads[-1].start()
        wait_until(lambda number=number: idle.state().queued == number + 1)
    held[0].release()  # only one process is released, so that the order is that of its tasks
    for thread in threads:
        thread.join(60)
    held[1].release()
    assert order == ["interactive", "job"]


def test_a_waiting_task_whose_client_has_gone_is_not_computed(idle: ProcessPool, song: bytes, tmp_path: Path) -> None:
    held = [Held(idle, tmp_path, song) for _ in range(2)]
    mark = tmp_path / "computed"
    source: Any = InProcess(killed_once, str(mark), song)
    with pytest.raises(ClientGone):
        idle.submit(Task(source), lambda: True)
    for one in held:
        one.release()
    assert idle.state().queued == 0
    assert not mark.exists()


def test_a_running_task_whose_client_has_gone_is_stopped(idle: ProcessPool, song: bytes, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    source: Any = InProcess(after_reading, str(pipe), song)
    with pytest.raises(ClientGone):
        idle.submit(Task(source), lambda: idle.state().running > 0)
    wait_until(lambda: idle.state().processes == 2)


def test_a_decoder_stops_when_its_client_has_gone(idle: ProcessPool) -> None:
    """The process itself stops within a block of audio, and goes on to the next task."""
    long = BytesIO()
    soundfile.write(long, np.zeros(1200 * 48000, np.int16), 48000, format="FLAC")
    pids = {process.pid for process in idle._group.current.idle}
    with pytest.raises(ClientGone):
        idle.submit(Task(long.getvalue()), lambda: idle.state().running > 0)
    assert {process.pid for process in idle._group.current.idle} == pids


def test_a_task_that_takes_too_long_is_ended(bundle: Path, song: bytes, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    pool = ProcessPool(bundle, PoolOptions(1, seconds=0.0))
    try:
        pool.wait_until_ready()
        source: Any = InProcess(after_reading, str(tmp_path / "pipe"), song)
        problem = pool.submit(Task(source))
        assert isinstance(problem, TaskProblem)
        assert (problem.status, problem.title) == (422, "Recording takes too long")
        wait_until(lambda: pool.state().processes == 1)
    finally:
        pool.close(0)


def test_progress_is_reported(idle: ProcessPool) -> None:
    long = BytesIO()
    soundfile.write(long, np.zeros(3600 * 8000, np.int16), 8000, format="FLAC")
    seen: list[float] = []
    idle.submit(Task(long.getvalue()), priority="job", progress=seen.append)
    assert seen == sorted(seen)
    assert 0 < seen[0] <= 3600


def test_an_unexpected_error_is_logged_and_gives_no_details(
    idle: ProcessPool, caplog: pytest.LogCaptureFixture
) -> None:
    wrong: Any = 5
    assert idle.submit(Task(wrong)) == TaskProblem(
        500, "Internal error", "the request could not be processed; see the server's log"
    )
    assert "TypeError" in caplog.text


def test_a_pool_that_closes_refuses_waiting_tasks_and_deletes_its_copies(
    bundle: Path, song: bytes, tmp_path: Path
) -> None:
    pool = ProcessPool(bundle, PoolOptions(1))
    pool.wait_until_ready()
    copy = pool._group.current.snapshot.folder
    assert copy.is_dir()
    held = Held(pool, tmp_path, song)
    with ThreadPoolExecutor(2) as threads:
        waiting = threads.submit(pool.submit, Task(song))
        wait_until(lambda: pool.state().queued == 1)
        closed = threads.submit(pool.close, 60)
        with pytest.raises(QueueFull, match="stopping"):
            waiting.result(60)
        with pytest.raises(QueueFull, match="stopping"):
            pool.submit(Task(song), priority="job")
        assert isinstance(held.release(), TaskAnswer)
        closed.result(60)
    assert not copy.exists()


def test_a_bundle_that_cannot_be_used_is_reported_with_its_own_path(tmp_path: Path) -> None:
    for folder, message in ((tmp_path, "is not a bundle"), (make_bundle(tmp_path / "b"), "model.onnx was changed")):
        if folder != tmp_path:
            (folder / "model.onnx").write_bytes(b"x")
        pool = ProcessPool(folder, PoolOptions(1))
        with pytest.raises(AutobirdError, match=message) as error:
            pool.wait_until_ready()
        assert str(folder) in str(error.value)
        assert "autobird-bundle-" not in str(error.value)


def test_copies_of_servers_that_were_killed_are_deleted(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    (tmp_path / "autobird-bundle-killed").mkdir()
    os.utime(tmp_path / "autobird-bundle-killed", (0, 0))
    first = Snapshot(bundle)
    os.utime(first.folder.parent, (0, 0))
    second = Snapshot(bundle)
    assert sorted(tmp_path.iterdir()) == sorted([first.folder.parent, second.folder.parent])
    for snapshot in (first, second):
        snapshot.remove()
    assert list(tmp_path.iterdir()) == []


def rename(bundle: Path, name: str) -> None:
    """Give a bundle another name and fingerprint."""
    text = (bundle / "bundle.json").read_text()
    text = text.replace('"tiny"', f'"{name}"').replace("0123456789abcdef", f"{len(name):016d}")
    (bundle / "bundle.json").write_text(text)
    write_json(bundle / "manifest.json", bundle_manifest(bundle))


def test_a_changed_bundle_takes_over_without_a_failed_task_and_a_damaged_one_does_not(
    tmp_path: Path, song: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    make_bundle(tmp_path / "v1")
    shutil.copytree(tmp_path / "v1", tmp_path / "v2")
    rename(tmp_path / "v2", "second")
    link = tmp_path / "bundle"
    link.symlink_to(tmp_path / "v1")
    pool = ProcessPool(link, PoolOptions(2, 100))
    names: list[str] = []
    stop = threading.Event()

    def ask() -> None:
        while not stop.is_set():
            answer = pool.submit(Task(song))
            assert isinstance(answer, TaskAnswer)
            names.append(answer.body["model"]["name"])

    try:
        assert pool.wait_until_ready().name == "tiny"
        asking = ThreadPoolExecutor(1).submit(ask)
        (tmp_path / "new").symlink_to(tmp_path / "v2")
        (tmp_path / "new").replace(link)
        wait_until(lambda: names and names[-1] == "second")
        assert pool.bundle().fingerprint == f"{6:016d}"
        assert sorted(set(names)) == ["second", "tiny"]
        assert names == sorted(names, reverse=True)

        (tmp_path / "v2/model.onnx").write_bytes(b"damaged")
        wait_until(lambda: pool.state().swap_error)
        assert "model.onnx was changed after the bundle was made" in pool.state().swap_error
        assert str(link) in pool.state().swap_error
        assert pool.state().ready

        overlay_path(link).write_text(f"bundle,species,threshold\n{6:016d},Parus major,0.25\n")
        shutil.copyfile(tmp_path / "v1/model.onnx", tmp_path / "v2/model.onnx")
        wait_until(lambda: pool.bundle().thresholds[0] == 0.25)
        assert pool.state().swap_error == ""
        stop.set()
        asking.result(60)
        assert {"second"} == set(names[-1:])
        wait_until(lambda: not pool._group._retired)
    finally:
        stop.set()
        pool.close(0)


def test_a_process_that_is_replaced_loads_the_bundle_that_is_served_even_if_its_files_are_gone(
    tmp_path: Path, song: bytes
) -> None:
    bundle = make_bundle(tmp_path / "bundle")
    pool = ProcessPool(bundle, PoolOptions(1))
    try:
        pool.wait_until_ready()
        shutil.rmtree(bundle)
        crash: Any = InProcess(os.abort)
        pool.submit(Task(crash))
        assert isinstance(pool.submit(Task(song)), TaskAnswer)
        wait_until(lambda: "is not a bundle" in pool.state().swap_error)
    finally:
        pool.close(0)


def test_a_shadow_bundle_gets_the_same_recordings(bundle: Path, song: bytes, tmp_path: Path) -> None:
    shutil.copytree(bundle, tmp_path / "shadow")
    rename(tmp_path / "shadow", "shadow")
    pool = ProcessPool(bundle, PoolOptions(1, shadow=tmp_path / "shadow"))
    try:
        pool.wait_until_ready()
        found: list[TaskAnswer] = []
        (tmp_path / "upload").write_bytes(song)
        answers = [pool.submit(Task(source), on_shadow=found.append) for source in (song, tmp_path / "upload")]
        (tmp_path / "upload").unlink()
        wait_until(lambda: len(found) == 2)
        assert all(isinstance(answer, TaskAnswer) and answer.body["model"]["name"] == "tiny" for answer in answers)
        assert {answer.body["model"]["name"] for answer in found} == {"shadow"}
        assert [answer.body["species"] for answer in found] == [
            a.body["species"] for a in answers if isinstance(a, TaskAnswer)
        ]
        assert pool.state().shadow == f"{6:016d}"
        assert [path.name for path in tmp_path.iterdir()] == ["shadow"]
    finally:
        pool.close(0)


def test_a_fault_of_what_takes_the_answers_of_the_shadow_bundle_costs_one_answer(
    bundle: Path, song: bytes, tmp_path: Path
) -> None:
    pool = ProcessPool(bundle, PoolOptions(1, shadow=bundle))
    try:
        pool.wait_until_ready()
        found: list[TaskAnswer] = []

        def fail(_: TaskAnswer) -> None:
            raise ValueError

        pool.submit(Task(song), on_shadow=fail)
        pool.submit(Task(song), on_shadow=found.append)
        wait_until(lambda: found)
        assert pool.state().shadow_dropped == 1
    finally:
        pool.close(0)


def test_a_process_that_cannot_be_started_is_started_later(
    idle: ProcessPool, song: bytes, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    start, failures = group.ComputeProcess, [OSError(24, "Too many open files")]

    def fail_once(settings: messages.ProcessSettings) -> processes.ComputeProcess:
        if failures:
            raise failures.pop()
        return start(settings)

    monkeypatch.setattr(group, "ComputeProcess", fail_once)
    os.kill(idle._group.current.idle[0].pid, signal.SIGKILL)
    wait_until(lambda: not failures and idle.state().processes == 2)
    assert isinstance(idle.submit(Task(song)), TaskAnswer)
    assert "cannot be started (Too many open files)" in caplog.text


def test_a_fault_while_processes_are_looked_after_stops_nothing(
    idle: ProcessPool, song: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed = threading.Event()

    def fail(_: object) -> None:
        failed.set()
        raise RuntimeError("fault")

    monkeypatch.setattr(pool_module, "_FAULT_SECONDS", 0.01)
    monkeypatch.setattr(group.Group, "_watch", fail)
    assert failed.wait(60)
    os.kill(idle._group.current.idle[0].pid, signal.SIGKILL)
    replaced = idle.state().replaced
    wait_until(lambda: idle.state().replaced > replaced and idle.state().processes == 2)
    assert isinstance(idle.submit(Task(song)), TaskAnswer)


def test_links_that_lead_to_each_other_are_no_bundle(tmp_path: Path) -> None:
    loop = tmp_path / "bundle"
    loop.symlink_to(loop)
    assert signature(loop) == ()
    with pytest.raises(AutobirdError, match="cannot be copied"):
        Snapshot(loop)


def test_a_process_that_was_starting_when_the_bundle_changed_is_ended(bundle: Path) -> None:
    settings = messages.ProcessSettings(bundle, bundle)
    one = group.Group(bundle, settings, 1, threading.Lock())
    try:
        wait_until(lambda: one.tick() or one.current.ready)
        former, late = one.current, processes.ComputeProcess(settings)
        former.starting.append(late)
        one._retired, one.current = [former], group.Generation(Snapshot(bundle))
        one.tick()
        assert not late.is_alive()
        assert (one._retired, former.snapshot.folder.exists()) == ([], False)
    finally:
        one.close()


def test_the_state_of_a_pool_that_has_just_started_is_not_ready(bundle: Path) -> None:
    pool = ProcessPool(bundle, PoolOptions(1))
    try:
        assert not pool.state().ready  # a process takes longer to load the libraries
        pool.wait_until_ready()
        assert pool.state().ready
    finally:
        pool.close(0)
