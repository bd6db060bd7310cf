"""The backbone as a compute process sees it: its windows are computed by the embedding process."""

import time
from collections.abc import Callable
from contextlib import suppress
from multiprocessing import AuthenticationError, current_process
from multiprocessing.connection import Client

import numpy as np
from numpy.typing import NDArray

from autobird.backbone.base import Backbone, Samples
from autobird.serving.compute.child_process import START_SECONDS
from autobird.serving.compute.embedding_process import Fault, Hello
from autobird.serving.compute.messages import EmbeddingAddress, Pipe

_ATTEMPTS = 2
"""How often a block is computed whose embedding process ends."""

_POLL_SECONDS = 0.1
"""How often `on_wait` is called."""

_CONNECT_SECONDS = 0.02
"""Pause between two attempts to connect to an embedding process that is being started."""


class EmbeddingLost(Exception):
    """The embedding process ended twice while it computed a block, or none could be started; the message says which."""


class RemoteBackbone(Backbone):
    """The backbone of the embedding process; used by one thread.

    If the embedding process ends, the block that it had is sent once more, to the one that takes its place.

    Args:
        address: of the embedding process, which may still be starting.

    Attributes:
        on_wait: called several times a second while embeddings are computed; after an exception the block is dropped.
        windows: number of windows that were computed.

    Raises:
        EmbeddingLost: there is none.
    """

    def __init__(self, address: EmbeddingAddress) -> None:
        self._address = address
        self._pipe: Pipe | None = None
        self.on_wait: Callable[[], None] = lambda: None
        self.windows = 0
        self._connected()

    def embed(self, samples: Samples) -> NDArray[np.float32]:
        """See `Backbone.embed`.

        Raises:
            EmbeddingLost: the embedding process ended twice.
            RuntimeError: the backbone raised an exception.
            MemoryError: the embedding process has not enough memory.
        """
        blocks = [self._block(samples[at : at + self.block]) for at in range(0, len(samples), self.block)]
        return np.concatenate([*blocks, np.empty((0, self.info.width), np.float32)])

    def _block(self, samples: Samples) -> NDArray[np.float32]:
        for _ in range(_ATTEMPTS):
            pipe = self._connected()
            try:
                pipe.send_bytes(np.ascontiguousarray(samples, np.float32).data.cast("B"))
                answer = self._answer(pipe)
            except (EOFError, OSError):
                self._close()
                continue
            if isinstance(answer, Fault):
                raise MemoryError(answer.error) if answer.is_memory else RuntimeError(answer.error)
            self.windows += len(answer)
            self.on_wait()
            return answer
        raise EmbeddingLost(
            "the embedding process ended twice while it computed the recording, perhaps because memory ran out"
        )

    def _answer(self, pipe: Pipe) -> NDArray[np.float32] | Fault:
        while not pipe.poll(_POLL_SECONDS):
            try:
                self.on_wait()
            except BaseException:
                self._close()  # the block is dropped
                raise
        answer: NDArray[np.float32] | Fault = pipe.recv()
        return answer

    def _connected(self) -> Pipe:
        deadline = time.monotonic() + START_SECONDS
        while self._pipe is None:
            try:
                # The embedding process may end at any time, also between these messages.
                pipe = Client(self._address.address, authkey=bytes(current_process().authkey))
                try:
                    pipe.send(self._address.is_background)
                    hello: Hello = pipe.recv()
                except BaseException:
                    pipe.close()
                    raise
            except (EOFError, OSError, AuthenticationError) as error:
                if time.monotonic() > deadline:
                    raise EmbeddingLost(f"the embedding process was not ready in {START_SECONDS:g} s") from error
                self.on_wait()
                time.sleep(_CONNECT_SECONDS)
                continue
            self._pipe = pipe
            self.info, self.size, self.block = hello
        return self._pipe

    def _close(self) -> None:
        if self._pipe is not None:
            with suppress(OSError):
                self._pipe.close()
            self._pipe = None
