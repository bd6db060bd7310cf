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
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from waitress.adjustments import Adjustments
from waitress.channel import HTTPChannel
from waitress.server import TcpWSGIServer
from waitress.task import ErrorTask, ThreadedTaskDispatcher

from autobird.serving.event_loop import EventLoop
from autobird.serving.request_parser import MAX_DRAINED, RequestParser, TimedOut

Problem = Callable[[int, str, str], tuple[list[tuple[str, str]], bytes]]
"""Makes headers and body of an error response from status, title and detail."""

DEFAULT_BODY_BYTES = 64_000_000
"""Largest body where nothing else is said."""

_MAX_ACCEPTED = 64
"""Connections that are accepted one after the other before others are looked after."""

_PROBLEMS = {
    400: ("Bad request", "the request does not follow the HTTP standard (start line, header or chunks); send it again"),
    408: (
        "Request timed out",
        "the request did not arrive in time; send it again, over a faster connection or in parts",
    ),
    413: ("Upload too large", ""),
    431: ("Headers too large", "the headers of the request are too large; send fewer or shorter ones"),
    500: ("Internal error", "the request could not be processed; see the server's log"),
    501: ("Not implemented", "this Transfer-Encoding is not supported; send the body with Content-Length or in chunks"),
}
"""Title and detail of the errors that arise before the app."""


@dataclass(frozen=True)
class FrontLimits:
    """Limits of the front.

    Attributes:
        connections: largest number of open connections; for a new one beyond it, the one that waits longest is closed.
        threads: threads that run the app; more than the largest number of requests that wait for an answer.
        header_seconds: time for the headers of a request, whatever arrives meanwhile.
        idle_seconds: time that a connection may stay open before a request.
        silent_seconds: time that a client may send nothing of a body that has begun, or read nothing of its answer.
        body_seconds: time for a body, whatever its length.
        body_rate: bytes a second; long bodies have more time than `body_seconds`, at this rate. Also for answers.
        memory_bytes: bodies and answers above this size are kept on disk while they arrive or leave.
    """

    connections: int = 1000
    threads: int = 80
    header_seconds: float = 20.0
    idle_seconds: float = 75.0
    silent_seconds: float = 75.0
    body_seconds: float = 300.0
    body_rate: float = 16_000.0
    memory_bytes: int = 1 << 19


def problem_details(status: int, title: str, detail: str) -> tuple[list[tuple[str, str]], bytes]:
    """Return headers and body of an error response in the format of RFC 9457."""
    body = json.dumps({"type": "about:blank", "title": title, "status": status, "detail": detail}).encode()
    headers = [
        ("Content-Type", "application/problem+json"),
        ("X-Content-Type-Options", "nosniff"),
        ("Cache-Control", "no-store"),
    ]
    return headers, body


class _ErrorTask(ErrorTask):  # type: ignore[misc]
    """Answers a request that never reaches the app, or for which the app failed."""

    def execute(self) -> None:
        error = self.request.error
        front: Front = self.channel.server
        title, detail = getattr(error, "problem", _PROBLEMS.get(error.code, _PROBLEMS[400]))
        if error.code == 413:
            megabytes = front.body_bytes(self.request.path or "") / 1e6
            detail = f"the upload is larger than {megabytes:.10g} MB; send a shorter or compressed recording"
        headers, body = front.problem(error.code, title, detail)
        self.status = f"{error.code} {error.reason}"
        self.response_headers.extend(headers)
        self.set_close_on_finish()
        self.content_length = len(body)
        self.write(body)
        front.on_error(error.code)


class _Channel(HTTPChannel):  # type: ignore[misc]
    """A connection, with deadlines for the whole request and the whole answer."""

    parser_class = RequestParser
    error_task_class = _ErrorTask
    request: Any

    def __init__(self, *args: Any, **options: Any) -> None:
        self.waits_since = time.monotonic()
        """When the present phase began."""
        self._key: tuple[str, int, int] = ("", 0, 0)
        self._answers = 0
        self._has_ended = False
        super().__init__(*args, **options)

    def add_channel(self, map: Any = None) -> None:
        """Register the connection."""
        super().add_channel(map)
        self.server.events.watch(self._fileno)

    def del_channel(self, map: Any = None) -> None:
        """Forget the connection."""
        self.server.events.forget(self._fileno)
        super().del_channel(map)

    @property
    def phase(self) -> str:
        """What the connection waits for: `answer` (of the app), `output`, `body`, `headers` or `request`."""
        if self.requests:
            return "answer"
        if self.total_outbufs_len:
            return "output"
        if self.request is None:
            return "request"
        return "body" if self.request.headers_finished else "headers"

    def look_at_phase(self, now: float) -> str:
        """Return the phase; if it is a new one, note that it began now."""
        phase = self.phase
        key = (phase, id(self.request), self._answers)
        if key != self._key:
            self._key, self.waits_since = key, now
        return phase

    def has_expired(self, now: float, limits: FrontLimits) -> bool:
        """Return whether the connection has used up the time of its present phase; called every second."""
        phase = self.look_at_phase(now)
        waited, silent = now - self.waits_since, time.time() - self.last_activity
        if phase == "answer":
            return False
        if phase == "request":
            return silent > limits.idle_seconds
        if phase == "headers":
            return waited > limits.header_seconds
        size = self.total_outbufs_len if phase == "output" else self.request.expected_bytes
        return silent > limits.silent_seconds or waited > limits.body_seconds + size / limits.body_rate

    def handle_read(self) -> None:
        """Read what has arrived. A client that has closed its sending side counts as gone, but still gets an answer that is ready."""
        try:
            data = self.socket.recv(self.adj.recv_bytes)
        except BlockingIOError:
            return
        except OSError:
            self.handle_close()
            return
        if data:
            self.last_activity = time.time()
            self.received(data)
            return
        with self.requests_lock:
            self._has_ended = True
            is_refused = not self.requests and self.request is not None
            if is_refused:
                self._refuse(self.request.ended())
        if is_refused:
            self.server.add_task(self)

    def readable(self) -> bool:
        """Return whether more may be read."""
        return not self._has_ended and super().readable()

    def writable(self) -> bool:
        """Return whether there is something to send, or the connection is to be closed."""
        return bool(super().writable() or (self._has_ended and not self.requests))

    def handle_write(self) -> None:
        """Send, and close the connection if nothing else can follow."""
        if self._has_ended and not self.requests:
            self.close_when_flushed = True
        super().handle_write()

    def check_client_disconnected(self) -> bool:
        """Return whether the client has closed the connection; the app asks this."""
        return self._has_ended or not self.connected

    def service(self) -> None:
        """Answer one request; a thread of the app calls it."""
        self._answers += 1
        super().service()

    def expire(self) -> None:
        """End the connection, with an answer if a request has begun; the main thread calls it."""
        with self.requests_lock:
            if self.request is None or self.total_outbufs_len or self.requests:
                self.will_close = True
                return
            self._refuse(TimedOut("timed out"))
        self.server.add_task(self)

    def _refuse(self, error: Any) -> None:
        """Let a thread of the app answer the request that has begun with an error."""
        request, self.request = self.request, None
        request.error, request.completed = error, True
        self.requests.append(request)


class Front(TcpWSGIServer):  # type: ignore[misc]
    """The HTTP server.

    Args:
        app: WSGI application. `waitress.client_disconnected` in the environment says whether the client has gone.
        listener: a bound socket; it is closed with the front.
        limits: connections, threads and deadlines.
        body_bytes: largest body of a request with this path.
        problem: makes the answers for the front's own errors.
        on_error: called with the status of each of them.
    """

    channel_class = _Channel

    def __init__(
        self,
        app: Callable[..., Iterable[bytes]],
        listener: socket.socket,
        limits: FrontLimits,
        body_bytes: Callable[[str], int] = lambda _: DEFAULT_BODY_BYTES,
        problem: Problem = problem_details,
        on_error: Callable[[int], None] = lambda _: None,
    ) -> None:
        self.limits, self.body_bytes, self.problem, self.on_error = limits, body_bytes, problem, on_error
        self._stop_requested = threading.Event()
        self._next_check = 0.0
        self.events = EventLoop()
        for name in ("waitress", "waitress.queue"):  # they report what clients do, not faults of the server
            logging.getLogger(name).setLevel(logging.ERROR)
        adjustments = Adjustments(
            sockets=[listener],
            threads=limits.threads,
            connection_limit=sys.maxsize,  # see handle_accept
            backlog=2048,
            max_request_header_size=32768,
            max_request_body_size=MAX_DRAINED,
            inbuf_overflow=limits.memory_bytes,
            outbuf_overflow=limits.memory_bytes,
            outbuf_high_watermark=1 << 40,  # a client that reads slowly must not hold a thread; answers go to disk
            channel_request_lookahead=1,  # needed to see that a client has gone while its request is computed
            log_socket_errors=False,
            clear_untrusted_proxy_headers=False,  # the app does not read them
        )
        adjustments.ident = ""  # no header Server
        adjustments.body_bytes = body_bytes
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
                    channel.expire()
                    self.events.watch(channel._fileno)

    def _close_longest_waiting(self) -> bool:
        """Close the connection that has waited longest for its client; return whether there was one."""
        now = time.monotonic()
        late = {"body": 1, "output": 1, "request": 0, "headers": 0}
        waiting = [c for c in self.active_channels.values() if c.look_at_phase(now) in late]
        if not waiting:
            return False
        min(waiting, key=lambda c: (late[c.phase], c.waits_since)).handle_close()
        return True
