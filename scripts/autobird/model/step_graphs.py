"""CUDA graphs of training steps: the GPU gets a few hundred small kernels with one call, so it does not wait for Python between them."""

import contextlib
import gc
from collections import Counter
from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from autobird.model.shares import StepInputs
from autobird.model.step_parts import GRAPH, step_part

EAGER_STEPS = 3
"""Steps of each shape that run without a graph first: libraries allocate their memory, and the optimizer its state."""


@contextlib.contextmanager
def _without_garbage_collection() -> Iterator[None]:
    """Collect garbage now, and none until the end: the graph of an earlier training cannot be freed while another one is recorded."""
    was_enabled = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


Shape = tuple[torch.Size, ...]


class _Recorded(NamedTuple):
    """A graph, the tensors from which it reads the inputs of a step, and the tensor to which it writes the result."""

    graph: torch.cuda.CUDAGraph
    inputs: StepInputs
    numbers: Tensor


class StepGraphs:
    """Runs steps, from the fourth of each shape on as CUDA graphs. Results are those of steps without graphs.

    Args:
        compute: computes a step from inputs on the GPU, without reading a value back; returns numbers that describe the step.
        device: the GPU.
    """

    def __init__(self, compute: Callable[[StepInputs], Tensor], device: torch.device) -> None:
        self.compute, self.device = compute, device
        self._recorded: dict[Shape, _Recorded] = {}
        self._eager: Counter[Shape] = Counter()

    def run(self, inputs: StepInputs) -> Tensor:
        """Compute a step, and return its numbers, which stay valid until the next step.

        Args:
            inputs: of the step, on the CPU.
        """
        shape = tuple(t.shape for t in inputs.tensors())
        if shape not in self._recorded:
            if self._eager[shape] < EAGER_STEPS:
                self._eager[shape] += 1
                return self.compute(inputs.on(self.device))
            self._recorded[shape] = self._record(inputs)
        return self._replay(self._recorded[shape], inputs)

    def _record(self, inputs: StepInputs) -> _Recorded:
        """Return the graph of a step; recording computes nothing."""
        held, graph = inputs.on(self.device), torch.cuda.CUDAGraph()
        with _without_garbage_collection(), torch.cuda.graph(graph):
            numbers = self.compute(held)
        return _Recorded(graph, held, numbers)

    @step_part(GRAPH)
    def _replay(self, recorded: _Recorded, inputs: StepInputs) -> Tensor:
        torch._foreach_copy_(recorded.inputs.tensors(), inputs.tensors(), non_blocking=True)
        recorded.graph.replay()
        return recorded.numbers
