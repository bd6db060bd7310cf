"""What the embedding process does: load a backbone once, and compute the windows that the compute processes send."""

import os
import threading
from contextlib import suppress
from multiprocessing import current_process
from multiprocessing.connection import Listener, answer_challenge, deliver_challenge
from pathlib import Path
from typing import NamedTuple

import numpy as np

from autobird.backbone.base import Backbone, BackboneInfo
from autobird.core.errors import AutobirdError
from autobird.predict.backbone import load_checked
from autobird.serving.compute.fair_queue import Block, FairQueue
from autobird.serving.compute.memory import memory_trimmer
from autobird.serving.compute.messages import EmbeddingReady, EmbeddingSettings, NotReady, Pipe

_BACKLOG = 128
"""Connections that may wait for `accept`: all compute processes connect at the same time when the embedding process is replaced."""

_LARGEST_BLOCK = 16
"""Largest number of windows of a block: 9 MB for BirdNET, in the compute process and here."""


class Hello(NamedTuple):
    """The first message to a compute process.

    Attributes:
        info: of the backbone.
        size: of its file, bytes.
        block: number of windows of a block at most.
    """

    info: BackboneInfo
    size: int
    block: int


class Fault(NamedTuple):
    """The answer for a block that could not be computed: the exception, and whether memory ran out."""

    error: str
    is_memory: bool


def serve_embeddings(pipe: Pipe, settings: EmbeddingSettings) -> None:
    """Compute the windows of all connections until the front closes the pipe or dies."""
    try:
        backbone = load_checked(BackboneInfo.model_validate(settings.info), settings.shown_folder, settings.file)
        listener = _listener(settings.address)
    except AutobirdError as error:
        pipe.send(NotReady(str(error)))
        return
    memory_trimmer()()  # loading needs 45 MB more than the loaded backbone
    queue = FairQueue(settings.counts)
    for _ in range(settings.threads):
        threading.Thread(target=_compute, args=(queue, backbone), daemon=True).start()
    # As many windows as its threads compute while the next block is made; a request alone keeps all threads busy.
    hello = Hello(backbone.info, backbone.size, min(_LARGEST_BLOCK, max(4, 2 * settings.threads)))
    threading.Thread(target=_accept, args=(listener, queue, hello), daemon=True).start()
    with suppress(EOFError, OSError):
        pipe.send(EmbeddingReady())
        pipe.recv()
    os._exit(0)  # at a normal end, Python would free what the threads use


def _listener(address: str) -> Listener:
    """Open the listener; a former process that was killed may have left its socket.

    Raises:
        AutobirdError: the system does not allow it.
    """
    with suppress(OSError):
        Path(address).unlink()
    try:
        return Listener(address, backlog=_BACKLOG)
    except OSError as error:
        raise AutobirdError(
            f"the embedding process cannot listen at {address} ({error.strerror or error}); set TMPDIR to a folder with a short path"
        ) from error


def _compute(queue: FairQueue, backbone: Backbone) -> None:
    while True:
        queue.compute(backbone.embed)


def _accept(listener: Listener, queue: FairQueue, hello: Hello) -> None:
    while True:
        with suppress(OSError):  # the client has gone
            pipe = listener.accept()
            threading.Thread(target=_serve, args=(pipe, queue, hello), daemon=True).start()


def _serve(pipe: Pipe, queue: FairQueue, hello: Hello) -> None:
    """Answer one block after the other of a compute process, until it closes the connection or ends."""
    key = bytes(current_process().authkey)
    with suppress(EOFError, OSError, ValueError), pipe:
        deliver_challenge(pipe, key)
        answer_challenge(pipe, key)
        is_background = pipe.recv()
        pipe.send(hello)
        while True:
            data = pipe.recv_bytes()
            samples = np.frombuffer(data, np.float32).reshape(-1, hello.info.window_samples)
            # It sends nothing while it waits: what arrives is the end of the connection.
            block = Block(samples, hello.info.width, lambda: _has_ended(pipe), is_background)
            queue.put(block)
            block.done.wait()
            if block.error:
                pipe.send(Fault(f"{type(block.error).__name__}: {block.error}", isinstance(block.error, MemoryError)))
            elif block.finished < len(samples):
                return
            else:
                pipe.send(block.embeddings)


def _has_ended(pipe: Pipe) -> bool:
    try:
        return pipe.poll(0)
    except OSError:
        return True
