"""Named ranges around the parts of a training step, which the profiler measures; without a profiler they cost about a microsecond each."""

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from torch.profiler import record_function

P = ParamSpec("P")
R = TypeVar("R")

READING, AUGMENTATION, FORWARD, BACKWARD = "reading", "augmentation", "forward", "backward"
OPTIMIZER, AVERAGE, CHECKS, VALIDATION = "optimizer", "moving average", "checks", "validation"
GRAPH = "CUDA graph"

PARTS = (READING, AUGMENTATION, FORWARD, BACKWARD, OPTIMIZER, AVERAGE, GRAPH, CHECKS, VALIDATION)
"""The parts of a training, in the order in which they run. `validation` follows some epochs; the others are parts of each step. On a GPU, a
graph holds the parts from the augmentation to the moving average; then `CUDA graph` is the time that its start takes."""

_PREFIX = "autobird: "
"""Start of the names of the ranges in a trace, so that no operator of torch has the same name."""


def step_part(part: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Return a decorator that shows the calls of a function in a profile as a part of the training.

    Args:
        part: one of `PARTS`. A part inside of another one does not count for the outer one.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        @functools.wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> R:
            with record_function(_PREFIX + part):
                return function(*args, **kwargs)

        return call

    return decorate


def part_of_range(name: str) -> str | None:
    """Return the part whose range has this name in a profile; None for all other names."""
    return name.removeprefix(_PREFIX) if name.startswith(_PREFIX) else None
