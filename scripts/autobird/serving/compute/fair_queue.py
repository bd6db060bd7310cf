"""The windows that wait in an embedding process: computed in turn for all compute processes, those of waiting users first."""

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from autobird.backbone.base import Samples

TURNS = 10
"""Windows of waiting users before one of the background, which would otherwise never be computed while users wait: about the share of
the processor that processes with `BACKGROUND_NICENESS` get."""

_SMOOTHING = 0.05
"""Weight of a window in the mean time of the last windows."""


class Counts(Protocol):
    """What an embedding process has done, as the front reads it: four numbers in shared memory, see `EmbeddingCounts`."""

    def __setitem__(self, index: int, value: float, /) -> None: ...

    def __getitem__(self, index: int, /) -> float: ...


WINDOWS, SECONDS, WAITING, RECENT = range(4)
"""Places in `Counts`: windows computed, seconds that they took, windows that wait, and the mean seconds of the last windows."""


class Block:
    """Some windows of one compute process, which waits for their embeddings; it has no other block meanwhile.

    Args:
        samples: shape (windows, samples).
        width: values of an embedding.
        is_gone: whether the compute process does not wait any more.
        is_background: whether the windows of users who wait are computed first.

    Attributes:
        embeddings: shape (windows, width); complete when `done` is set and there is no `error`.
        error: exception of a window; None: none.
        done: set when no further window of it is computed.
    """

    def __init__(self, samples: Samples, width: int, is_gone: Callable[[], bool], is_background: bool = False) -> None:
        self.samples, self.is_gone, self.is_background = samples, is_gone, is_background
        self.embeddings: NDArray[np.float32] = np.empty((len(samples), width), np.float32)
        self.error: Exception | None = None
        self.done = threading.Event()
        self.taken = self.finished = 0


class FairQueue:
    """Blocks of windows that wait; used by many threads.

    Each turn is one window of one block, so that a long recording does not hold up a short one. The windows of a block whose compute
    process has ended are dropped.

    Args:
        counts: kept up to date.
    """

    def __init__(self, counts: Counts) -> None:
        self._counts = counts
        self._changed = threading.Condition()
        self._users: deque[Block] = deque()
        self._background: deque[Block] = deque()
        self._turns = 0
        """Turns of users since the last one of the background."""

    def put(self, block: Block) -> None:
        """Add a block."""
        if not len(block.samples):
            block.done.set()
            return
        with self._changed:
            (self._background if block.is_background else self._users).append(block)
            self._counts[WAITING] += len(block.samples)
            self._changed.notify(len(block.samples))

    def compute(self, embed: Callable[[Samples], NDArray[np.float32]]) -> None:
        """Wait for the next window, and compute it.

        Args:
            embed: `Backbone.embed`; its exceptions become those of the block.
        """
        block, row = self._take()
        start = time.perf_counter()
        error: Exception | None = None
        try:
            block.embeddings[row] = embed(block.samples[row : row + 1])[0]
        except Exception as raised:
            error = raised
        seconds = time.perf_counter() - start
        with self._changed:
            block.finished += 1
            if error:
                block.error = error
                self._drop(block)
            c = self._counts
            c[RECENT] = c[RECENT] + _SMOOTHING * (seconds - c[RECENT]) if c[RECENT] else seconds
            c[SECONDS] += seconds
            c[WINDOWS] += 1
            if block.finished == block.taken and (block.error or block.taken == len(block.samples)):
                block.done.set()

    def _take(self) -> tuple[Block, int]:
        """Wait for a window; return its block, and its row in it."""
        with self._changed:
            while True:
                is_background = not self._users or (bool(self._background) and self._turns >= TURNS)
                blocks = self._background if is_background else self._users
                if not blocks:
                    self._changed.wait()
                    continue
                block = blocks[0]
                if block.is_gone():
                    self._drop(block)
                    block.done.set()
                    continue
                self._turns = 0 if is_background else self._turns + 1
                blocks.popleft()
                row = block.taken
                block.taken += 1
                self._counts[WAITING] -= 1
                if block.taken < len(block.samples):
                    blocks.append(block)
                return block, row

    def _drop(self, block: Block) -> None:
        """Compute no further window of a block; the lock is held."""
        blocks = self._background if block.is_background else self._users
        if block in blocks:
            blocks.remove(block)
            self._counts[WAITING] -= len(block.samples) - block.taken
