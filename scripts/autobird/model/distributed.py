"""The processes that share a training: the rows of a batch that each of them computes, and sums over all of them.

All processes hold the same weights. Each computes the gradient of its share of every batch, and the sum of the gradients changes the
weights of all. torch's DistributedDataParallel is not used: the order of its sums depends on the order in which the gradients of the
first step are ready, so that a resumed training of more than two processes could end with other last digits.
"""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import torch
from torch import Tensor, distributed

from autobird.core.errors import AutobirdError


class ProcessLost(AutobirdError):
    """Another process of the training has ended; its own error is the cause."""


@dataclass(frozen=True)
class Processes:
    """This process among those that share a training. Without arguments: a training of one process.

    Attributes:
        rank: number of this process, from 0. The first one writes checkpoints, outputs and the log.
        size: number of the processes.
    """

    rank: int = 0
    size: int = 1

    def share(self, count: int) -> slice:
        """Return which of `count` rows this process computes. The shares of two processes differ by one row at most."""
        return slice(self.rank * count // self.size, (self.rank + 1) * count // self.size)

    def add(self, values: Tensor) -> None:
        """Replace `values` by their sum over all processes, in the same order of terms in every run.

        Raises:
            ProcessLost: another process has ended.
        """
        if self.size > 1:
            with _lost_processes():
                distributed.all_reduce(values)

    def gather(self, values: Tensor) -> Tensor:
        """Return the values of all processes, which have the same shape, stacked along a new first axis.

        Raises:
            ProcessLost: another process has ended.
        """
        if self.size == 1:
            return values[None]
        parts = [torch.empty_like(values) for _ in range(self.size)]
        with _lost_processes():
            distributed.all_gather(parts, values)
        return torch.stack(parts)

    def from_first(self, data: bytes | None) -> bytes | None:
        """Return the `data` of the first process.

        Raises:
            ProcessLost: another process has ended.
        """
        if self.size == 1:
            return data
        found = [data]
        with _lost_processes():
            distributed.broadcast_object_list(found)
        return found[0]


ALONE = Processes()
"""A training of one process."""


@contextmanager
def _lost_processes() -> Iterator[None]:
    """Report a failed exchange of data as a lost process, which is the reason unless there is an error in this package."""
    try:
        yield
    except RuntimeError as error:
        detail = re.sub(r"^\[.*?\] ", "", str(error).splitlines()[0]).partition(". ")[
            0
        ]  # without torch's file name and advice
        raise ProcessLost(f"another process of the training has ended ({detail})") from error


def is_started_by_torchrun() -> bool:
    """Return whether this process is one of those that torchrun has started."""
    return "TORCHELASTIC_RUN_ID" in os.environ and "RANK" in os.environ


def is_first_process() -> bool:
    """Return whether this process writes the log and the outputs: the first one, or one that is alone."""
    return not is_started_by_torchrun() or os.environ["RANK"] == "0"


def local_rank() -> int:
    """Return the number of this process among those of its machine, from 0; it uses the GPU with this number."""
    return int(os.environ.get("LOCAL_RANK", "0")) if is_started_by_torchrun() else 0


@contextmanager
def joined(device: torch.device, meeting: str = "env://") -> Iterator[Processes]:
    """Connect with the other processes that torchrun has started; a process that it has not started is alone.

    Args:
        device: device of this process. GPUs are connected by NCCL, CPUs by gloo.
        meeting: where the processes meet, as a URL; by default where the environment variables of torchrun say.
    """
    if not is_started_by_torchrun():
        yield ALONE
        return
    if device.type == "cuda":
        torch.cuda.set_device(device)
    with _lost_processes():
        distributed.init_process_group(
            "nccl" if device.type == "cuda" else "gloo",
            meeting,
            rank=int(os.environ["RANK"]),
            world_size=int(os.environ["WORLD_SIZE"]),
        )
    yield Processes(distributed.get_rank(), distributed.get_world_size())
    # Only after success: a process that failed must not wait for the others.
    with suppress(RuntimeError):
        distributed.destroy_process_group()
