"""The recordings of a batch on several cores: what each leaves in a file goes into one array, in their order."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Protocol, TypeVar

from autobird.audio.npy import NpyWriter
from autobird.core.workers import Crash, run_each


class Task(Protocol):
    """What is to be done with one recording.

    Attributes:
        part: the file that takes its rows of the array.
        size: how long it will take, in any unit.
    """

    @property
    def part(self) -> Path:
        """See the class."""
        ...

    @property
    def size(self) -> int:
        """See the class."""
        ...


T = TypeVar("T", bound=Task)
R = TypeVar("R")


def work_through(
    function: Callable[[T], R], tasks: Sequence[T], workers: int, out: NpyWriter
) -> Iterator[tuple[int, R | Crash]]:
    """Run `function` on all tasks (see `run_each`), longest first, so that all workers end together.

    A task whose `part` does not exist afterwards, or that crashed, adds nothing to `out`.

    Yields:
        The number of a task and its result, as they are done.
    """
    order = list(range(len(tasks)))
    if workers > 1:
        order.sort(key=lambda n: -tasks[n].size)
    done, following = [False] * len(tasks), 0
    for at, result in run_each(function, [tasks[n] for n in order], workers):
        number = order[at]
        done[number] = True
        if isinstance(result, Crash):
            tasks[number].part.unlink(missing_ok=True)
        while following < len(tasks) and done[following]:
            part = tasks[following].part
            if part.exists():
                out.extend(part)
                part.unlink()
            following += 1
        yield number, result
