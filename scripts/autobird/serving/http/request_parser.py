"""Parse HTTP requests with waitress, with bounds on the parts that it keeps in memory without one."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from http import HTTPStatus
from typing import Any, Protocol

from waitress.parser import HTTPRequestParser, ParsingError
from waitress.receiver import ChunkedReceiver
from waitress.utilities import BadRequest, Error, RequestEntityTooLarge

from autobird.serving.http.body import Body
from autobird.serving.http.task import LazyInput

MAX_DECLARED = 1 << 40
"""Bodies that declare more bytes are refused by waitress itself."""

_PIECE = 2048
"""Bytes of a chunked body that are parsed at a time: the parser copies the rest for each chunk."""

_MAX_CHUNK_LINE = 1024
"""Largest line with the length of a chunk, bytes."""

_MAX_TRAILER = 8192
"""Largest trailer of a chunked body, bytes."""

_FREE_LINES, _BYTES_PER_LINE = 10_000, 100
"""A chunked body may have this many line ends, and one more for each of so many bytes. Clients send chunks of some kB; chunks of a
byte would take a second of computing time for each 4 MB."""


class Refusal(Protocol):
    """Why a request is refused: HTTP status, title and detail of the answer, and its further headers."""

    status: int
    title: str
    headers: dict[str, str]

    @property
    def detail(self) -> str:
        """What is wrong, and the remedy."""
        ...


Refuse = Callable[[str, str, Mapping[str, str]], Refusal | None]
"""Decides from method, path and headers (names in upper case, with `_` for `-`) whether a request is refused."""


class Refused(Error):  # type: ignore[misc]
    """A request that is refused because of its headers.

    Attributes:
        problem: title and detail of the answer.
        headers: further headers of the answer.
    """

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.detail)
        self.code, self.reason = refusal.status, HTTPStatus(refusal.status).phrase
        self.problem, self.headers = (refusal.title, refusal.detail), list(refusal.headers.items())


class TimedOut(Error):  # type: ignore[misc]
    """A request that did not arrive completely in time."""

    code = 408
    reason = "Request Timeout"


class Overloaded(Error):  # type: ignore[misc]
    """A request for whose body there is no space."""

    code = 503
    reason = "Service Unavailable"


class DiskFull(Error):  # type: ignore[misc]
    """A request whose body cannot be stored."""

    code = 507
    reason = "Insufficient Storage"


class Incomplete(BadRequest):  # type: ignore[misc]
    """A request that ended before its end.

    Attributes:
        problem: title and detail of the answer.
    """

    def __init__(self, title: str, detail: str) -> None:
        super().__init__(detail)
        self.problem = (title, detail)


def _broken() -> Incomplete:
    return Incomplete(
        "Broken upload",
        "the body of the request is damaged or incomplete (invalid chunks, or the connection was closed); send the recording "
        "again, with Content-Length or with correct chunks",
    )


class _BoundedChunkedReceiver(ChunkedReceiver):  # type: ignore[misc]
    """Receives a chunked body; lines, trailer and the number of chunks are bounded."""

    error: Any
    _lines = 0
    _bytes = 0

    def received(self, data: bytes) -> int:
        """Process the next bytes; return how many were used."""
        used = 0
        while used < len(data) and not self.completed and not self.error:
            piece = data[used : used + _PIECE]
            count = int(super().received(piece))
            used += count
            self._lines += piece.count(b"\n")
            self._bytes += len(piece)
            if len(self.control_line) > _MAX_CHUNK_LINE or len(self.trailer) > _MAX_TRAILER:
                self.error = BadRequest("Chunk header or trailer too long")
            elif self._lines > _FREE_LINES + self._bytes / _BYTES_PER_LINE:
                self.error = BadRequest("Too many small chunks")
        return len(data) if self.error else used


class RequestParser(HTTPRequestParser):  # type: ignore[misc]
    """Parses one request.

    A request that is refused is complete at once, so that it can be answered; what follows belongs to its body or cannot be understood.

    Args:
        adjustments: those of waitress; `body_bytes` gives the largest body for a path, and `refuse` is a `Refuse`.
        on_refused: called when the request is refused.
    """

    body_rcv: Any
    error: Any
    completed: bool
    expect_continue: bool
    path = ""
    _limit = 0

    def __init__(self, adjustments: Any, on_refused: Callable[[], object] = lambda: None) -> None:
        super().__init__(adjustments)
        self._on_refused = on_refused

    @property
    def expected_bytes(self) -> int:
        """Length of the body that the client declared; the largest one for a body in chunks."""
        return int(self.content_length) or self._limit

    def parse_header(self, header_plus: bytes) -> None:
        """Parse the start line and the headers.

        Raises:
            ParsingError: it is not clear where the body ends. A proxy in front of the server could see another end, and take an answer
                for that to another request.
        """
        try:
            super().parse_header(header_plus)
        except ValueError:  # Content-Length has more digits than Python converts
            self.error = RequestEntityTooLarge("too large")
            return
        if "TRANSFER_ENCODING" in self.headers:  # waitress removes it from requests of HTTP/1.1
            raise ParsingError("Transfer-Encoding with another version than HTTP/1.1")
        if self.chunked and "CONTENT_LENGTH" in self.headers:
            raise ParsingError("Transfer-Encoding and Content-Length")
        self._limit = self.adj.body_bytes(self.path)
        if not self.chunked and not self.content_length:
            # After the answer 100, waitress would wait for a body, and take the next request for a part of this one.
            self.expect_continue = False
            return
        path = f"/{self.path.lstrip('/')}"  # as waitress gives it to the app
        if refusal := self.adj.refuse(self.command, path, self.headers):
            self.error = Refused(refusal)
        elif self.content_length > self._limit:
            self.error = RequestEntityTooLarge("too large")
        elif self.chunked:
            self.body_rcv = _BoundedChunkedReceiver(self.body_rcv.buf)
        else:
            a = self.adj
            self.body_rcv = Body(self.content_length, a.body_folder, a.inbuf_overflow, a.body_piece)

    def room(self) -> memoryview | None:
        """Return the memory into which the next bytes of the body are to be read; None: call `received` with what was read."""
        return self.body_rcv.room() if isinstance(self.body_rcv, Body) and not self.completed else None

    def filled(self, count: int) -> None:
        """Process the first bytes of `room`."""
        try:
            self.body_rcv.filled(count)
        except OSError:
            self.error = DiskFull("disk full")
            self._end_refused()
            return
        self.body_bytes_received += count
        self.completed = self.body_rcv.completed

    def ended(self) -> Incomplete:
        """Return the error for a client that closed its sending side now."""
        if self.headers_finished and not self.chunked:
            return Incomplete(
                "Incomplete upload",
                f"the body ended after {self.body_bytes_received} of the {self.content_length} bytes that Content-Length "
                "declares; send the recording again",
            )
        return _broken()

    def received(self, data: bytes) -> int:
        """Process the next bytes; return how many were used: all of them if the request is refused."""
        try:
            used = int(super().received(data))
        except OSError:  # of the temporary file
            self.error, used = DiskFull("disk full"), 0
        if self.error is None and self.chunked and len(self.body_rcv.buf) > self._limit:
            self.error = RequestEntityTooLarge("too large")
        if self.error is None:
            return used
        if self.chunked and self.body_rcv is not None and self.body_rcv.error and isinstance(self.error, BadRequest):
            self.error = _broken()
        self._end_refused()
        return len(data)

    def get_body_stream(self) -> Any:
        """Return the body as a file."""
        return LazyInput(self.body_rcv) if isinstance(self.body_rcv, Body) else super().get_body_stream()

    def _end_refused(self) -> None:
        """Forget what has arrived of the body; the request is complete and can be answered."""
        if self.body_rcv is not None:
            with suppress(OSError):
                self.body_rcv.getbuf().close()
            self.body_rcv = None
        self.completed, self.expect_continue = True, False
        self._on_refused()


class Surplus(RequestParser):
    """Refuses a request that follows too many others which wait for their answers, and what comes after it."""

    def received(self, data: bytes) -> int:
        """Use up the bytes."""
        self.error = BadRequest("too many requests that wait")
        self.error.problem = (
            "Bad request",
            "too many requests were sent on one connection before their answers were read; wait for the answers",
        )
        self.completed = True
        self._on_refused()
        return len(data)
