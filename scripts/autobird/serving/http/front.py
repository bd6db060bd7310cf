"""The HTTP front: waitress with deadlines for whole requests, many open connections, and its own errors as problem details.

One thread reads and writes all connections and gives only complete requests to the threads that run the app, so that slow and idle
clients occupy no thread.
"""

import json
import logging
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from waitress.adjustments import Adjustments
from waitress.server import TcpWSGIServer
from waitress.task import ThreadedTaskDispatcher

from autobird.serving.http.channel import Channel
from autobird.serving.http.event_loop import EventLoop
from autobird.serving.http.limits import FrontLimits
from autobird.serving.http.request_parser import MAX_DECLARED, Overloaded, Refuse, TimedOut

__all__ = ["Front", "FrontLimits", "problem_details"]

Problem = Callable[[int, str, str], tuple[list[tuple[str, str]], bytes]]
"""Makes headers and body of an error response from status, title and detail."""

DEFAULT_BODY_BYTES = 64_000_000
"""Largest body where nothing else is said."""

_READ_BYTES = 1 << 17
"""Bytes read from a connection at a time where the length of the body is not known."""

_PIECE_BYTES = 1 << 18
"""Bytes of a body on disk that are read and written at a time."""

_MAX_ACCEPTED = 64
"""Connections that are accepted one after the other before others are looked after."""


def problem_details(status: int, title: str, detail: str) -> tuple[list[tuple[str, str]], bytes]:
    """Return headers and body of an error response in the format of RFC 9457."""
    body = json.dumps({"type": "about:blank", "title": title, "status": status, "detail": detail}).encode()
    headers = [
        ("Content-Type", "application/problem+json"),
        ("X-Content-Type-Options", "nosniff"),
        ("Cache-Control", "no-store"),
    ]
    return headers, body


class Front(TcpWSGIServer):  # type: ignore[misc]
    """The HTTP server.

    Args:
        app: WSGI application. `waitress.client_disconnected` in the environment says whether the client has gone.
        listener: a bound socket; it is closed with the front.
        limits: connections, threads and deadlines.
        body_bytes: largest body of a request with this path.
        problem: makes the answers for the front's own errors.
        on_error: called with the status of each of them.
        refuse: decides from the headers of a request with a body whether it is refused.
        folder: for bodies that are kept on disk; None: the system's folder of temporary files.
    """

    channel_class = Channel

    def __init__(
        self,
        app: Callable[..., Iterable[bytes]],
        listener: socket.socket,
        limits: FrontLimits,
        body_bytes: Callable[[str], int] = lambda _: DEFAULT_BODY_BYTES,
        problem: Problem = problem_details,
        on_error: Callable[[int], None] = lambda _: None,
        refuse: Refuse = lambda _method, _path, _headers: None,
        folder: Path | None = None,
    ) -> None:
        self.limits, self.body_bytes, self.problem, self.on_error = limits, body_bytes, problem, on_error
        self._stop_requested = threading.Event()
        self._next_check = 0.0
        self._served = threading.local()
        self.events = EventLoop()
        for name in ("waitress", "waitress.queue"):  # they report what clients do, not faults of the server
            logging.getLogger(name).setLevel(logging.ERROR)
        adjustments = Adjustments(
            sockets=[listener],
            threads=limits.threads,
            connection_limit=sys.maxsize,  # see handle_accept
            backlog=2048,
            recv_bytes=_READ_BYTES,
            max_request_header_size=32768,
            max_request_body_size=MAX_DECLARED,
            inbuf_overflow=limits.memory_bytes,
            outbuf_overflow=limits.memory_bytes,
            outbuf_high_watermark=1 << 40,  # a client that reads slowly must not hold a thread; answers go to disk
            channel_request_lookahead=1,  # needed to see that a client has gone while its request is computed
            log_socket_errors=False,
            clear_untrusted_proxy_headers=False,  # the app does not read them
        )
        adjustments.ident = ""  # no header Server
        adjustments.body_bytes, adjustments.refuse = body_bytes, refuse
        adjustments.body_folder, adjustments.body_piece = folder, bytearray(_PIECE_BYTES)
        dispatcher = ThreadedTaskDispatcher()
        dispatcher.set_thread_count(limits.threads)
        super().__init__(
            app,
            map={},
            _sock=listener,
            dispatcher=dispatcher,
            adj=adjustments,
            bind_socket=False,
            sockinfo=(listener.family, listener.type, listener.proto, listener.getsockname()),
        )
        for descriptor in self._map:
            self.events.watch(descriptor)

    def handle_accept(self) -> None:
        """Accept the connections that wait; beyond the limit, close the one that has waited longest for its client."""
        for _ in range(_MAX_ACCEPTED):
            before = len(self.active_channels)
            if before >= self.limits.connections and not self._close_longest_waiting():
                return
            super().handle_accept()
            if len(self.active_channels) == before:
                return

    def readable(self) -> bool:
        """Return whether connections are accepted."""
        return bool(self.accepting)

    @property
    def is_stopping(self) -> bool:
        """Whether `request_stop` was called."""
        return self._stop_requested.is_set()

    def request_stop(self) -> None:
        """Let `run` end when the requests in progress are answered; may be called in a signal handler."""
        self._stop_requested.set()
        self.pull_trigger()

    @contextmanager
    def served(self, channel: Channel) -> Iterator[None]:
        """Note that this thread answers a request of a connection, for `pull_trigger`."""
        self._served.channel = channel
        try:
            yield
        finally:
            self._served.channel = None

    def pull_trigger(self) -> None:
        """Wake the main thread, unless this is the end of a request after which it only has to wait for the next one."""
        channel = getattr(self._served, "channel", None)
        if channel is None or channel.needs_loop:
            super().pull_trigger()

    def run(self, grace: float = 30.0) -> None:
        """Serve until `request_stop`, and then at most `grace` seconds until the requests in progress are answered."""
        while not self._stop_requested.is_set():
            self._step()
        self.accepting = False
        self.events.forget(self._fileno)
        self._map.pop(self._fileno, None)
        self.socket.close()
        end = time.monotonic() + grace
        while time.monotonic() < end and any(c.requests or c.total_outbufs_len for c in self.active_channels.values()):
            self._step()
        for channel in list(self.active_channels.values()):
            channel.handle_close()
        self.task_dispatcher.shutdown(timeout=1)

    def _step(self) -> None:
        self.events.step(self._map)
        now = time.monotonic()
        if now >= self._next_check:
            self._next_check = now + 1
            for channel in list(self.active_channels.values()):
                if channel.has_expired(now, self.limits):
                    self._expire(channel, TimedOut("timed out"))
            self._bound_buffers()

    def _expire(self, channel: Channel, error: Any) -> None:
        channel.expire(error)
        if channel.connected:
            self.events.watch(channel._fileno)

    def _bound_buffers(self) -> None:
        """Refuse the largest bodies and unread answers if all together are too large for the disk."""
        channels = sorted(self.active_channels.values(), key=lambda channel: -channel.buffered)
        excess = sum(channel.buffered for channel in channels) - self.limits.buffered_bytes
        for channel in channels:
            if excess <= 0:
                return
            excess -= channel.buffered
            self._expire(channel, Overloaded("too many uploads"))

    def _close_longest_waiting(self) -> bool:
        """Close the connection that has waited longest for its client; return whether there was one."""
        now = time.monotonic()
        late = {"body": 1, "output": 1, "request": 0, "headers": 0, "refused": 0}
        waiting = [c for c in self.active_channels.values() if c.look_at_phase(now) in late]
        if not waiting:
            return False
        min(waiting, key=lambda c: (late[c.phase], c.waits_since)).handle_close()
        return True
