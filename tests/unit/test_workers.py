"""Tasks on several processes: results, crashes, kills, and what is left of the processes."""

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
from autobird.core.workers import Crash, run_each


def square(x: int) -> int:
    return x * x


def unlucky(x: int) -> int:
    """Negative numbers end the process with that signal."""
    if x < 0:
        faulthandler.disable()  # pytest's would print what is known
        os.kill(os.getpid(), -x)
    return x


def wrong(x: int) -> int:
    raise ValueError(f"no {x}")


def none_left() -> bool:
    return not multiprocessing.active_children()


@pytest.mark.parametrize("workers", [1, 2, 4, 9])
@pytest.mark.parametrize("count", [0, 1, 7, 50])
def test_every_task_is_done_once(workers: int, count: int) -> None:
    found = list(run_each(square, range(count), workers))
    assert sorted(found) == [(n, n * n) for n in range(count)]
    assert none_left()


@pytest.mark.parametrize("workers", [1, 2, 3])
@pytest.mark.parametrize("fault", [signal.SIGSEGV, signal.SIGABRT])
def test_a_crash_costs_the_task_that_caused_it(workers: int, fault: signal.Signals) -> None:
    tasks = [1, -fault, 2, 3, -fault, -fault, 4]
    found = dict(run_each(unlucky, tasks, workers))
    assert found == {n: Crash(fault.name) if t < 0 else t for n, t in enumerate(tasks)}
    assert none_left()


def test_a_kill_from_outside_is_no_fault_of_the_task() -> None:
    """The kernel kills for want of memory: another run may succeed, so nothing must be made of it."""
    with pytest.raises(AutobirdError, match=r"killed by SIGKILL, perhaps for want of memory; give the job more"):
        list(run_each(unlucky, [1, -signal.SIGKILL, 2], 2))
    assert none_left()


def test_an_exception_is_raised_here() -> None:
    with pytest.raises(ValueError, match="no 3"):
        list(run_each(wrong, [3, 3, 3], 2))
    assert none_left()


def test_workers_end_whatever_handlers_their_parent_has() -> None:
    """They inherit them: one that takes SIGTERM, as W&B and pytest's helpers set, must not keep them alive."""
    before = signal.signal(signal.SIGTERM, lambda *_: None)
    try:
        with pytest.raises(ValueError, match="no 3"):
            list(run_each(wrong, [3, 3, 3], 2))
    finally:
        signal.signal(signal.SIGTERM, before)
    assert none_left()


def test_workers_end_when_nobody_wants_more() -> None:
    for _ in run_each(square, range(100), 2):
        break
    assert none_left()


def test_workers_end_with_a_parent_that_was_killed(tmp_path: Path) -> None:
    """And keep its locks until then, as they are copies of it."""
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
