"""Keep the messages that audio decoders write to standard error short: the first ones, and then only their number.

libmpg123, the mp3 decoder in libsndfile, writes some lines for each damaged frame, and a file can have a hundred thousand.
It cannot be told to be silent through libsndfile. Its lines come from C code, so that they are only found in file descriptor 2.
"""

import atexit
import os
import re
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress

KEPT = 10
"""Number of messages that are kept."""

_MESSAGE = re.compile(rb"(?:Note|Warning): |\[[^\]\s]*\.c:|\[\S+ @ 0x|.{0,60}mpg123|libsndfile")
"""Start of a message of libmpg123 (`Note: Trying to resync...`, `[src/libmpg123/parse.c:...`), FFmpeg (`[aac @ 0x55...`) or
libsndfile. All other lines pass."""

_MAX_LINE = 4096
"""A line is judged by its first bytes, and a longer one is passed on in parts."""

_read_ends: set[int] = set()
"""Read ends of the pipes in this process."""


def _close_read_ends() -> None:
    for descriptor in _read_ends:
        os.close(descriptor)
    _read_ends.clear()


# A forked process has no thread that reads the pipe. With the read end open it would wait for itself after its parent's death.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_close_read_ends)


class _Filter(threading.Thread):
    """Copies lines from a pipe to `target` until the pipe is closed, or `stop` is called; leaves out further messages."""

    def __init__(self, source: int, target: int) -> None:
        super().__init__(name="decoder messages", daemon=True)
        self._source, self._target = source, target
        self._messages, self._told = 0, KEPT

    def run(self) -> None:
        rest = b""
        while block := os.read(self._source, 1 << 16):
            lines = (rest + block).split(b"\n")
            rest = lines.pop()
            self._write([line + b"\n" for line in lines])
            if len(rest) > _MAX_LINE:
                self._write([rest])
                rest = b""
        self._write([rest])
        if self._messages > KEPT:
            self._write([b"%d messages of audio decoders in all\n" % self._messages])

    def _write(self, lines: list[bytes]) -> None:
        kept = []
        for line in lines:
            if _MESSAGE.match(line):
                self._messages += 1
                if self._messages >= 10 * self._told:
                    self._told *= 10
                    kept.append(b"%d messages of audio decoders so far, most of them left out\n" % self._messages)
                if self._messages > KEPT:
                    continue
            kept.append(line)
        data = b"".join(kept)
        with suppress(OSError):  # a full disk must not stop the reader, as all writers would wait
            while data:
                data = data[os.write(self._target, data) :]


@contextmanager
def short_decoder_messages(target: int | None = None) -> Iterator[None]:
    """Send standard error (file descriptor 2, also of processes forked meanwhile) to `target`, with few messages of decoders.

    This costs nothing per block of audio. Messages of all threads and of forked processes are counted together.

    Args:
        target: descriptor to write to; None for the present standard error.
    """
    sys.stderr.flush()
    saved = os.dup(2)
    source, write_end = os.pipe()
    _read_ends.add(source)
    thread = _Filter(source, saved if target is None else target)
    thread.start()
    os.dup2(write_end, 2)
    os.close(write_end)
    try:
        yield
    finally:
        sys.stderr.flush()
        os.dup2(saved, 2)
        # The pipe is closed when all processes that were forked have ended; a worker that outlives its pool is not waited for.
        thread.join(timeout=5)
        if not thread.is_alive():
            _read_ends.discard(source)
            os.close(source)
            os.close(saved)


def shorten_decoder_messages() -> None:
    """Do as `short_decoder_messages` from now on until the process ends, for example in a worker of the server."""
    stack = ExitStack()
    stack.enter_context(short_decoder_messages())
    atexit.register(stack.close)
