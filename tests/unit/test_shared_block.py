"""Memory that the front shares with a compute process: what is in it, and that it is gone with its processes."""

import os
import signal
import sys
from collections.abc import Callable
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest

from autobird.serving.compute.requests import Task
from autobird.serving.compute.shared_block import BLOCK, Lent, SharedBlock

SHARED_MEMORY = Path("/dev/shm")


@pytest.mark.parametrize("size", [0, 1, BLOCK - 1, BLOCK])
@pytest.mark.parametrize("kind", [bytes, memoryview])
def test_a_recording_is_lent(size: int, kind: Callable[[bytes], Any]) -> None:
    block, data = SharedBlock(), os.urandom(size)
    message = block.lend(Task(kind(data), "a.wav"))
    assert isinstance(message, Lent)
    assert (message.size, message.task.source, message.task.name) == (size, b"", "a.wav")
    task = block.opened(message)
    assert (bytes(task.source), task.name) == (data, "a.wav")
    assert task.source.readonly


def test_a_shorter_recording_shows_nothing_of_the_one_before() -> None:
    block = SharedBlock()
    block.lend(Task(b"x" * 1000))
    assert bytes(block.opened(block.lend(Task(b"ab"))).source) == b"ab"


def test_what_is_too_large_or_in_a_file_is_sent_as_it_is(tmp_path: Path) -> None:
    block, large = SharedBlock(), bytes(BLOCK + 1)
    assert block.lend(Task(memoryview(large))) == Task(large)
    assert block.lend(Task(tmp_path)) == Task(tmp_path)
    assert block.opened(Task(tmp_path)) == Task(tmp_path)
    assert block.opened("cancel") == "cancel"


def _sums(pipe: Any, block: SharedBlock) -> None:
    while True:
        task = block.opened(pipe.recv())
        pipe.send((len(task.source), sum(bytes(task.source[:1000]))))


def test_another_process_reads_what_was_lent_and_leaves_nothing_when_it_is_killed() -> None:
    context = get_context("spawn")
    before = set(SHARED_MEMORY.iterdir()) if SHARED_MEMORY.exists() else set()
    block, (ours, theirs) = SharedBlock(), context.Pipe()
    process = context.Process(target=_sums, args=(theirs, block), daemon=True)
    process.start()
    theirs.close()
    try:
        for size in (5, BLOCK, 3, 0, BLOCK + 5):
            data = os.urandom(size)
            ours.send(block.lend(Task(memoryview(data))))
            assert ours.recv() == (size, sum(data[:1000]))
    finally:
        process.kill()
        process.join(30)
    if sys.platform != "win32":
        assert process.exitcode == -signal.SIGKILL
    if SHARED_MEMORY.exists():
        assert {
            path for path in set(SHARED_MEMORY.iterdir()) - before if path.name.startswith(f"pym-{os.getpid()}-")
        } == set()
