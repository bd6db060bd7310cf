"""Work for a backbone is counted in windows: turns in the embedding process, requests that may wait, and time limits."""

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from autobird.serving.compute import embeddings
from autobird.serving.compute.child_process import pause_after
from autobird.serving.compute.fair_queue import RECENT, SECONDS, TURNS, WAITING, WINDOWS, Block, FairQueue
from autobird.serving.compute.requests import QueueFull, ServedBundle, Task, TaskOptions
from autobird.serving.compute.task_queue import TaskQueue, Ticket
from autobird.serving.compute.time_limit import time_limit
from autobird.serving.compute.windows import backbone_windows, estimated_windows
from tests.api import sound


def served(window: float = 3.0, hop: float = 3.0, backbone: float | None = 3.0) -> ServedBundle:
    return ServedBundle(
        Path("b"), "b", "float", "0", ("a",), (0.5,), (), "softmax", {"window": window, "hop": hop},
        None if backbone is None else {"name": "b", "window": backbone}, (0.0, 24000.0),
    )  # fmt: skip


def block(number: float, windows: int, is_background: bool = False, gone: list[float] | None = None) -> Block:
    samples = np.full((windows, 1), number, np.float32)
    return Block(samples, 1, lambda: number in (gone or ()), is_background)


def order(queue: FairQueue, windows: int) -> list[float]:
    """Compute some windows, and return the numbers of their blocks."""
    found: list[float] = []

    def embed(samples: NDArray[np.float32]) -> NDArray[np.float32]:
        found.append(float(samples[0, 0]))
        return samples

    for _ in range(windows):
        queue.compute(embed)
    return found


def test_windows_of_several_blocks_take_turns_and_those_of_the_background_are_last() -> None:
    counts = [0.0] * 4
    queue = FairQueue(counts)
    background, long, short = block(3, 2, True), block(1, 4), block(2, 2)
    for one in (background, long, short):
        queue.put(one)
    assert counts[WAITING] == 8
    assert order(queue, 4) == [1, 2, 1, 2]
    assert short.done.is_set()
    assert not long.done.is_set()
    assert order(queue, 4) == [1, 1, 3, 3]
    assert all(one.done.is_set() and one.error is None for one in (background, long, short))
    np.testing.assert_array_equal(long.embeddings, np.ones((4, 1)))
    assert (counts[WINDOWS], counts[WAITING]) == (8, 0)
    assert counts[SECONDS] > 0
    assert counts[RECENT] > 0


def test_the_background_gets_a_turn_while_users_wait() -> None:
    queue = FairQueue([0.0] * 4)
    queue.put(block(2, 2, True))
    queue.put(block(1, 3 * TURNS))
    assert order(queue, 2 * TURNS + 2) == ([1] * TURNS + [2]) * 2


def test_windows_of_a_process_that_has_ended_are_dropped() -> None:
    counts, gone = [0.0] * 4, list[float]()
    queue = FairQueue(counts)
    ended = block(1, 4, gone=gone)
    queue.put(ended)
    queue.put(block(2, 2))
    assert order(queue, 1) == [1]
    gone.append(1)
    assert order(queue, 2) == [2, 2]
    queue.put(block(3, 1))
    assert order(queue, 1) == [3]
    assert ended.done.is_set()
    assert counts[WAITING] == 0


def test_an_error_ends_its_own_block_alone() -> None:
    counts = [0.0] * 4
    queue = FairQueue(counts)
    wrong, right, empty = block(1, 3), block(2, 1), block(3, 0)
    for one in (wrong, right, empty):
        queue.put(one)
    assert empty.done.is_set()

    def fail(_: NDArray[np.float32]) -> NDArray[np.float32]:
        raise ValueError("wrong")

    queue.compute(fail)
    assert isinstance(wrong.error, ValueError)
    assert wrong.done.is_set()
    assert order(queue, 1) == [2]
    assert counts[WAITING] == 0


@pytest.mark.parametrize(
    ("bundle", "seconds", "overlap", "windows"),
    [
        (served(), 9.0, None, 3),
        (served(), 9.1, None, 4),
        (served(), 0.5, None, 1),
        (served(), 30.0, 1.5, 20),  # a hop of 1.5 s
        (served(5.0, 2.5), 10.0, None, 8),  # two windows of the backbone in each
        (served(5.0, 2.5, 5.0), 10.0, None, 4),
        (served(backbone=None), 10.0, None, 0),
        (served(), 10.0, 3.0, 1),  # refused later
    ],
)
def test_windows_of_a_recording(bundle: ServedBundle, seconds: float, overlap: float | None, windows: int) -> None:
    assert backbone_windows(bundle, seconds, overlap) == windows


def test_windows_are_estimated_from_the_header_or_the_size(tmp_path: Path) -> None:
    flac = sound(9.0)
    (tmp_path / "a.flac").write_bytes(flac)
    for source in (flac, sound(9.0, form="WAV"), tmp_path / "a.flac"):
        assert estimated_windows(served(), Task(source)) == 3
    assert estimated_windows(served(), Task(bytes(16000 * 30))) == 10
    assert estimated_windows(served(), Task(bytes(16000 * 30), "", TaskOptions(max_seconds=6.0))) == 2
    assert estimated_windows(served(), Task(tmp_path / "missing")) == 1
    assert estimated_windows(served(backbone=None), Task(flac)) == 0


def test_the_time_limit_grows_with_the_windows() -> None:
    options = TaskOptions(max_seconds=600.0)
    plain, few = time_limit(served(backbone=None), options), time_limit(served(), options)
    assert plain == 120 + 600 * 0.02
    assert few == pytest.approx(plain + 200 * 0.3)
    overlapping = time_limit(served(), TaskOptions(max_seconds=600.0, overlap=2.7))
    assert overlapping == pytest.approx(plain + 2000 * 0.3, rel=0.01)
    assert time_limit(served(), options, sharing=4.0) == pytest.approx(plain + 4 * 200 * 0.3)
    assert time_limit(served(), options, sharing=0.5) == few
    assert time_limit(served(), options, "job") == pytest.approx(plain + 11 * 200 * 0.3)
    assert time_limit(served(), TaskOptions()) == 86_400


class Embedding:
    """An embedding process that takes 0.1 s for a window, and computes two at a time."""

    window_seconds, threads = 0.1, 2


class Process:
    """A compute process, with the windows of its task that are computed."""

    embedded = 0


def test_the_windows_of_waiting_requests_are_limited() -> None:
    queue, embedding, process = TaskQueue(64, 100, 2), Embedding(), Process()
    taken: list[Any] = [(None, process)]

    def check(windows: int) -> None:
        queue.check("interactive", embedding, windows)  # type: ignore[arg-type]

    check(1000)  # alone, a long recording may wait
    queue.add(Ticket(400), "interactive")
    queue.assign(lambda: taken.pop() if taken else None)
    check(1000)
    queue.add(Ticket(60), "interactive")
    check(40)
    with pytest.raises(
        QueueFull, match="need 60 windows of the backbone and this one about 41, and --queue-windows allows 100"
    ) as error:
        check(41)
    assert error.value.retry_after == (400 + 60) * 0.1 / 2
    process.embedded = 390
    with pytest.raises(QueueFull) as error:
        check(41)
    assert error.value.retry_after == (10 + 60) * 0.1 / 2 + 0.5
    assert queue.needed_windows == 70
    check(0)
    queue.check("job", embedding, 1000)  # type: ignore[arg-type]
    queue.add(Ticket(40), "interactive")
    with pytest.raises(QueueFull, match="need 100 windows of the backbone, and --queue-windows"):
        check(0)  # before its upload is parsed
    queue.has_ended(process)  # type: ignore[arg-type]
    assert queue.needed_windows == 100


def test_without_a_backbone_the_number_of_requests_is_limited() -> None:
    queue = TaskQueue(2, 1, 2)
    for _ in range(2):
        queue.check("interactive", None)
        queue.add(Ticket(), "interactive")
    with pytest.raises(QueueFull, match="2 requests wait, as many as --queue allows"):
        queue.check("interactive", None)


def test_a_process_that_fails_to_start_for_days_is_still_started_again() -> None:
    """Two thousand attempts, one each half minute, take 17 hours."""
    embedding = embeddings.Embedding({"name": "b"}, Path("b"), None, 1)
    for _ in range(2000):
        embedding._note_failure("the file is missing")
    embedding.close()
    assert embedding.error == "the file is missing"
    assert 0 < embedding._next_start - time.monotonic() <= 30
    assert [pause_after(failures) for failures in (1, 2, 5, 6, 2000)] == [1, 2, 16, 30, 30]
