"""Process the recordings of a batch on several cores, and join their arrays in the order of the recordings."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Protocol, TypeVar

from autobird.audio.npy import NpyWriter
from autobird.core.workers import Crash, run_each


class BatchJob(Protocol):
    """The work on one recording.

    Attributes:
        part: the temporary file for the recording's rows of the array.
        size: expected duration of the work, in any unit.
    """

    @property
    def part(self) -> Path:
        """See the class."""
        ...

    @property
    def size(self) -> int:
        """See the class."""
        ...


J = TypeVar("J", bound=BatchJob)
R = TypeVar("R")


def process_batch(
    function: Callable[[J], R], jobs: Sequence[J], workers: int, out: NpyWriter
) -> Iterator[tuple[int, R | Crash]]:
    """Run `function` on all jobs (see `run_each`) and append their parts to `out`, in the order of `jobs`.

    The largest jobs start first, so that the workers finish at about the same time. A job that crashed or that left no
    file at `part` adds nothing to `out`.

    Yields:
        The index of a job and its result, in the order of completion.
    """
    order = list(range(len(jobs)))
    if workers > 1:
        order.sort(key=lambda n: -jobs[n].size)
    done, following = [False] * len(jobs), 0
    for at, result in run_each(function, [jobs[n] for n in order], workers):
        number = order[at]
        done[number] = True
        if isinstance(result, Crash):
            jobs[number].part.unlink(missing_ok=True)
        while following < len(jobs) and done[following]:
            part = jobs[following].part
            if part.exists():
                out.append_file(part)
                part.unlink()
            following += 1
        yield number, result
