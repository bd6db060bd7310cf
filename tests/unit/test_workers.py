"""Worker processes: results, crashes, kills, and that no process is left behind."""

import faulthandler
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from autobird.core.errors import AutobirdError
from autobird.core.workers import Crash, Killed, TimedOut, run_each

INFINITE = float("inf")


def square(x: int) -> int:
    return x * x


def crash_if_negative(x: int) -> int:
    """Kill the process with signal -x if x is negative."""
    if x < 0:
        faulthandler.disable()  # pytest's handler would print a traceback
        os.kill(os.getpid(), -x)
    return x


def fail(x: int) -> int:
    raise ValueError(f"no {x}")


def wait_if_zero(x: int) -> int:
    """Wait for ever if x is zero."""
    if not x:
        signal.pause()
    return x


def die_the_first_time(marker: Path) -> str:
    """Kill the process with SIGKILL if `marker` does not exist, or if it is a folder."""
    if marker.is_dir() or not marker.exists():
        if not marker.is_dir():
            marker.write_text("")
        os.kill(os.getpid(), signal.SIGKILL)
    return marker.name


def exit_early(x: int) -> int:
    """End the process without a signal if x is zero."""
    if not x:
        os._exit(3)
    return x


def no_process_left() -> bool:
    return not multiprocessing.active_children()


@pytest.mark.parametrize("workers", [1, 2, 4, 9])
@pytest.mark.parametrize("count", [0, 1, 7, 50])
def test_every_task_is_done_once(workers: int, count: int) -> None:
    found = list(run_each(square, range(count), workers))
    assert sorted(found) == [(n, n * n) for n in range(count)]
    assert no_process_left()


@pytest.mark.parametrize("workers", [1, 2, 3])
@pytest.mark.parametrize("fault", [signal.SIGSEGV, signal.SIGABRT])
def test_a_crash_fails_only_the_task_that_caused_it(workers: int, fault: signal.Signals) -> None:
    tasks = [1, -fault, 2, 3, -fault, -fault, 4]
    found = dict(run_each(crash_if_negative, tasks, workers))
    assert found == {n: Crash(fault.name) if t < 0 else t for n, t in enumerate(tasks)}
    assert no_process_left()


def test_a_kill_from_outside_is_an_error_of_the_run_and_not_of_the_task() -> None:
    """The kernel kills processes when memory runs out. Another run may succeed, so the task must not count as faulty."""
    with pytest.raises(
        AutobirdError, match=r"was killed by SIGKILL, perhaps because memory ran out; give the job more memory"
    ):
        list(run_each(crash_if_negative, [1, -signal.SIGKILL, 2], 2))
    assert no_process_left()


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_a_task_that_takes_too_long_is_ended_and_the_others_are_done(workers: int) -> None:
    tasks = [1, 0, 2, 0, 3]
    limits = [INFINITE if task else 0.1 + number / 100 for number, task in enumerate(tasks)]
    found = dict(run_each(wait_if_zero, tasks, workers, limits))
    assert found == {0: 1, 1: TimedOut("SIGKILL", 0.11), 2: 2, 3: TimedOut("SIGKILL", 0.13), 4: 3}
    assert no_process_left()


@pytest.mark.parametrize("workers", [1, 3])
def test_a_task_that_was_killed_from_outside_is_run_once_more_at_the_end(tmp_path: Path, workers: int) -> None:
    (tmp_path / "always").mkdir()
    (tmp_path / "never").write_text("")
    tasks = [tmp_path / name for name in ("always", "once", "never")]
    found = list(run_each(die_the_first_time, tasks, workers, retry_killed=True))
    assert found == [(2, "never"), (0, Killed("SIGKILL", "was killed by SIGKILL")), (1, "once")]
    assert no_process_left()


def test_a_process_that_ends_by_itself_is_named_with_its_status() -> None:
    found = dict(run_each(exit_early, [0, 1], 2, retry_killed=True))
    assert found == {0: Killed("", "ended with status 3"), 1: 1}
    with pytest.raises(AutobirdError, match="a worker process ended with status 3"):
        list(run_each(exit_early, [0, 1], 2))


def test_an_exception_of_the_function_is_raised_in_the_parent() -> None:
    with pytest.raises(ValueError, match="no 3"):
        list(run_each(fail, [3, 3, 3], 2))
    assert no_process_left()


def test_workers_stop_although_they_inherit_a_handler_of_sigterm() -> None:
    """W&B and pytest-xdist, for example, install such handlers."""
    before = signal.signal(signal.SIGTERM, lambda *_: None)
    try:
        with pytest.raises(ValueError, match="no 3"):
            list(run_each(fail, [3, 3, 3], 2))
    finally:
        signal.signal(signal.SIGTERM, before)
    assert no_process_left()


def test_workers_stop_when_the_caller_stops_iterating() -> None:
    for _ in run_each(square, range(100), 2):
        break
    assert no_process_left()


def test_workers_stop_when_their_parent_was_killed(tmp_path: Path) -> None:
    script = f"""
import os, sys, time
sys.path.insert(0, {str(Path(__file__).parents[2] / "scripts")!r})
from autobird.core.workers import run_each
def task(n):
    open({str(tmp_path)!r} + f"/{{n}}", "w").write(str(os.getpid()))
    if n > 2:
        time.sleep(0.3)
for number, _ in run_each(task, range(1000), 3):
    pass
"""
    process = subprocess.Popen([sys.executable, "-c", script])
    while len(list(tmp_path.iterdir())) < 6:
        time.sleep(0.05)
    process.kill()
    process.wait()
    pids = {int(text) for p in tmp_path.iterdir() if (text := p.read_text())}
    deadline = time.monotonic() + 20
    while any(Path(f"/proc/{pid}").exists() for pid in pids) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert [pid for pid in pids if Path(f"/proc/{pid}").exists()] == []
