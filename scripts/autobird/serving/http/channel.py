"""A connection of the HTTP front, with deadlines for whole requests and answers."""

import socket
import time
from contextlib import suppress
from typing import Any

from waitress.channel import HTTPChannel
from waitress.task import ErrorTask

from autobird.serving.http.limits import FrontLimits
from autobird.serving.http.request_parser import RequestParser, Surplus
from autobird.serving.http.task import AppTask
from autobird.serving.problems import upload_too_large

_PROBLEMS = {
    400: ("Bad request", "the request does not follow the HTTP standard (start line, header or chunks); send it again"),
    408: (
        "Request timed out",
        "the request did not arrive in time; send it again, over a faster connection or in parts",
    ),
    413: ("Upload too large", ""),
    431: ("Headers too large", "the headers of the request are too large; send fewer or shorter ones"),
    500: ("Internal error", "the request could not be processed; see the server's log"),
    503: ("Server busy", "too many large uploads arrive at the same time; try again later"),
    507: ("Disk full", "the disk of the server has no space for the upload; try again later"),
    501: ("Not implemented", "this Transfer-Encoding is not supported; send the body with Content-Length or in chunks"),
}
"""Title and detail of the errors that arise before the app."""

_MAX_WAITING = 16
"""Complete requests that a connection may have sent before their answers. Browsers and most programs send one at a time; without a bound,
a single read could hold thousands of requests, whose answers nobody reads."""


_MAX_DISCARDED = 256_000_000
"""Largest number of bytes that are read and discarded after a refused request: most clients read the answer only after they have sent
everything, and lose it if the connection is closed before."""

_REFUSED_SILENT_SECONDS = 10.0
"""Time that a client whose request was refused may send nothing before the connection is closed."""

_HEADER_BYTES = 1 << 14
"""Bytes read at a time before a request; what follows its headers is copied once more than the rest of the body."""

_READS = 4
"""Largest number of reads from one connection before others are looked after."""


class _ErrorTask(ErrorTask):  # type: ignore[misc]
    """Answers a request that never reaches the app, or for which the app failed."""

    def execute(self) -> None:
        error = self.request.error
        front = self.channel.server
        title, detail = getattr(error, "problem", _PROBLEMS.get(error.code, _PROBLEMS[400]))
        if error.code == 413:
            path = self.request.path or ""
            detail = upload_too_large(front.body_bytes(path), path)
        headers, body = front.problem(error.code, title, detail)
        headers = [*headers, *getattr(error, "headers", [])]
        if error.code in (503, 507):
            headers = [*headers, ("Retry-After", "10")]
        self.status = f"{error.code} {error.reason}"
        self.response_headers.extend(headers)
        self.request.headers.pop("CONNECTION", None)  # waitress would promise `keep-alive` to a client that asks for it
        self.set_close_on_finish()
        self.content_length = len(body)
        front.on_error(error.code)  # before the client can ask for the count
        self.write(b"" if getattr(self.request, "command", "") == "HEAD" else body)


class Channel(HTTPChannel):  # type: ignore[misc]
    """A connection, with deadlines for the whole request and the whole answer."""

    error_task_class, task_class = _ErrorTask, AppTask
    request: Any

    def __init__(self, *args: Any, **options: Any) -> None:
        self.waits_since = time.monotonic()
        """When the present phase began."""
        self._key: tuple[str, int, int] = ("", 0, 0)
        self._answers = 0
        self._has_ended = False
        self._is_refused = False
        """Whether a request was refused, so that what follows is discarded."""
        self._discarded = 0
        self._held: list[bytes] | None = None
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
        """What the connection waits for: `answer` (of the app), `output`, `body`, `headers` or `request`; `refused`: for its end."""
        if self.requests:
            return "answer"
        if self.total_outbufs_len:
            return "output"
        if self._is_refused:
            return "refused"
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
        if phase == "refused":
            return silent > _REFUSED_SILENT_SECONDS or waited > limits.body_seconds
        size = self.total_outbufs_len if phase == "output" else self.request.expected_bytes
        return silent > limits.silent_seconds or waited > limits.body_seconds + size / limits.body_rate

    def handle_read(self) -> None:
        """Read what has arrived. A client that has closed its sending side counts as gone, but still gets an answer that is ready."""
        request = self.request
        try:
            if request is not None and (room := request.room()) is not None:
                for _ in range(_READS):
                    if not (count := self.socket.recv_into(room)):
                        break
                    self.last_activity = time.time()
                    self._fill(request, count)
                    if count < len(room) or self.request is not request or (room := request.room()) is None:
                        return
                else:
                    return
                data = b""
            else:
                data = self.socket.recv(
                    _HEADER_BYTES if request is None and not self._is_refused else self.adj.recv_bytes
                )
        except BlockingIOError:
            return
        except OSError:
            self.handle_close()
            return
        if data:
            if request is None:  # empty lines before a request have no effect; each one would cost a parser
                data = data.lstrip(b"\r\n")
            if data:
                self.last_activity = time.time()
                self.received(data)
            if request is None and self.request is not None and self.request.headers_finished:
                self.handle_read()  # the body mostly arrives with the headers
            return
        with self.requests_lock:
            self._has_ended = True
            is_refused = not self.requests and self.request is not None
            if is_refused:
                self._refuse(self.request.ended())
        if is_refused:
            self.server.add_task(self)

    def received(self, data: bytes) -> bool:
        """Process what has arrived; after a refused request, discard it."""
        if not self._is_refused:
            return bool(super().received(data))
        self._discarded += len(data)
        if self._discarded > _MAX_DISCARDED and not self.requests and not self.total_outbufs_len:
            self.handle_close()
        return False

    def _fill(self, request: RequestParser, count: int) -> None:
        """Process bytes of a body that were read in place, as `received` does with others; give a complete request to the app."""
        with self.requests_lock:
            if self.will_close or self.close_when_flushed:
                return
            request.filled(count)
            if request.completed:
                self.sent_continue, self.request = False, None
                self.requests.append(request)
                if len(self.requests) == 1:
                    self.server.add_task(self)

    def handle_close(self) -> None:
        """Close the connection, and delete what has arrived of an incomplete request."""
        request = self.request
        super().handle_close()
        if request is not None:
            request.close()

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
        elif self._is_refused and self.close_when_flushed and not self.will_close:
            self._end_sending()
            return
        super().handle_write()

    def _end_sending(self) -> None:
        """Send the rest of the answer to a refused request, and its end; the connection stays open for what the client still sends.

        If it were closed now, the operating system would reset it, and the client could lose the answer.
        """
        self._flush_exception(self._flush_some)
        if self.will_close:
            self.handle_close()
        elif not self.total_outbufs_len:
            self.close_when_flushed = False
            with suppress(OSError):
                self.socket.shutdown(socket.SHUT_WR)

    def check_client_disconnected(self) -> bool:
        """Return whether the client has closed the connection; the app asks this."""
        return self._has_ended or not self.connected

    def service(self) -> None:
        """Answer one request; a thread of the app calls it."""
        self._answers += 1
        with self.server.served(self):
            super().service()

    @property
    def needs_loop(self) -> bool:
        """Whether the main thread has to look at the connection now, after a thread of the app has answered a request."""
        return bool(
            self.requests
            or self.total_outbufs_len
            or self.will_close
            or self.close_when_flushed
            or self._has_ended
            or not self.connected
        )

    def hold(self) -> None:
        """Keep what is written until `send_held`; a thread of the app calls both."""
        self._held = []

    def write_soon(self, data: Any) -> int:
        """Send, or keep."""
        if self._held is None:
            return int(super().write_soon(data))
        self._held.append(data)
        return len(data)

    def send_held(self) -> None:
        """Send what was kept."""
        held, self._held = self._held, None
        if held:
            super().write_soon(b"".join(held))

    def parser_class(self, adjustments: Any) -> RequestParser:
        """Return the parser of the next request; one that refuses it if too many wait already."""
        kind = Surplus if len(self.requests) >= _MAX_WAITING else RequestParser
        return kind(adjustments, self._discard_the_rest)

    def _discard_the_rest(self) -> None:
        self._is_refused = True

    @property
    def buffered(self) -> int:
        """Bytes of a body that is arriving, and of answers that the client has not read yet."""
        body = None if self.request is None else self.request.body_rcv
        return int(self.total_outbufs_len) + (0 if body is None else len(body))

    def expire(self, error: Any) -> None:
        """End the connection, with an answer if a request has begun; the main thread calls it."""
        with self.requests_lock:
            is_refused = not (self.request is None or self.total_outbufs_len or self.requests)
            if is_refused:
                self._refuse(error)
        if is_refused:
            self.server.add_task(self)
        else:
            # Not `will_close`, which waits until the client takes some of its answer.
            self.handle_close()

    def _refuse(self, error: Any) -> None:
        """Let a thread of the app answer the request that has begun with an error."""
        request, self.request = self.request, None
        request.error, request.completed = error, True
        self.requests.append(request)
