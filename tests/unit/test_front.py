"""The HTTP front: slow and idle clients, deadlines, closed connections, limits, and its own errors."""

import http.client
import io
import json
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from typing import Any

import pytest
from waitress.buffers import TempfileBasedBuffer

from autobird.serving.http import channel
from autobird.serving.http.body import Body
from autobird.serving.http.channel import Channel
from autobird.serving.http.front import Front, FrontLimits
from autobird.serving.http.request_parser import RequestParser
from autobird.serving.problems import Problem

PROMPT = FrontLimits(connections=500, threads=4)


class App:
    """A WSGI app: `/held` answers after `release`, `/gone` when its client has gone, `/large` with 40 MB, others with their bodies."""

    def __init__(self) -> None:
        self.release = threading.Event()
        self.started = threading.Semaphore(0)
        self.gone = threading.Event()
        self.sizes: list[int] = []

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        body: bytes = environ["wsgi.input"].read()
        if environ["PATH_INFO"] == "/held":
            self.started.release()
            self.release.wait(60)
        if environ["PATH_INFO"] == "/gone":
            self.started.release()
            while not environ["waitress.client_disconnected"]():
                self.release.wait(0.01)
            self.gone.set()
        if environ["PATH_INFO"] == "/fails":
            raise RuntimeError("secret")
        if environ["PATH_INFO"] == "/large":
            body = b"x" * 40_000_000
            self.sizes.append(len(body))
        start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
        return [body]


class Running:
    """A front in a thread."""

    def __init__(self, limits: FrontLimits, max_bytes: int) -> None:
        self.app, self.errors = App(), list[int]()
        self.asked: list[tuple[str, str]] = []
        listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = listener.getsockname()[1]
        self.front = Front(
            self.app,
            listener,
            limits,
            lambda path: 10 * max_bytes if path == "/jobs" else max_bytes,
            on_error=self.errors.append,
            refuse=self.refuse,
        )
        self.thread = threading.Thread(target=self.front.run, args=(30,), daemon=True)
        self.thread.start()

    def refuse(self, method: str, path: str, headers: Mapping[str, str]) -> Problem | None:
        self.asked.append((method, path))
        return Problem(401, "No key", "send a key", {"WWW-Authenticate": "Bearer"}) if "X_WRONG" in headers else None

    def connect(self, data: bytes = b"") -> socket.socket:
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=30)
        connection.sendall(data)
        return connection

    def ask(self, method: str = "GET", path: str = "/", body: bytes | None = None) -> tuple[int, dict[str, str], bytes]:
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)) as connection:
            connection.request(method, path, body, {"Connection": "close"})
            return received(connection.getresponse())

    def close(self) -> None:
        self.app.release.set()
        self.front.request_stop()
        self.thread.join(60)


def received(response: http.client.HTTPResponse) -> tuple[int, dict[str, str], bytes]:
    return response.status, dict(response.headers), response.read()


def answer(connection: socket.socket) -> tuple[int, dict[str, str], bytes]:
    response = http.client.HTTPResponse(connection)
    response.begin()
    return received(response)


@contextmanager
def running(limits: FrontLimits = PROMPT, max_bytes: int = 1_000_000) -> Iterator[Running]:
    one = Running(limits, max_bytes)
    try:
        yield one
    finally:
        one.close()


@pytest.fixture(scope="module")
def front() -> Iterator[Running]:
    with running() as one:
        yield one


def test_idle_and_dripping_clients_hold_up_nobody(front: Running) -> None:
    """Many more of each than threads."""
    header = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Le"
    clients = [front.connect(data) for data in (b"", header, header + b"ngth: 10\r\n\r\n123") for _ in range(20)]
    assert front.ask()[0] == 200
    assert front.ask("POST", "/", b"abc")[2] == b"abc"
    for client in clients[-20:]:  # the slow uploads end well, too
        client.sendall(b"4567890")
        assert answer(client)[2] == b"1234567890"
    for client in clients:
        client.close()


@pytest.mark.parametrize(
    ("limits", "data"),
    [
        (FrontLimits(threads=2, header_seconds=0), b"GET / HT"),
        (
            FrontLimits(threads=2, body_seconds=0, body_rate=1e12),
            b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n12",
        ),
        (FrontLimits(threads=2, silent_seconds=-1), b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n12"),
    ],
)
def test_a_request_that_does_not_arrive_in_time_gets_a_problem(limits: FrontLimits, data: bytes) -> None:
    with running(limits) as front, front.connect(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n") as client:
        assert answer(client)[0] == 200
        client.sendall(data)
        status, headers, body = answer(client)
        assert (status, headers["Content-Type"], headers["Connection"]) == (408, "application/problem+json", "close")
        assert json.loads(body)["title"] == "Request timed out"
        assert client.recv(1) == b""
        assert front.errors == [408]


def test_a_long_upload_has_time_in_proportion_to_its_length() -> None:
    """At 1 byte/s 10,000 bytes may take hours, although the time for any body is over at once."""
    with running(FrontLimits(threads=2, body_seconds=0, body_rate=1)) as front:
        head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n"
        with front.connect(head % 10_000) as slow, front.connect(head % 1 + b"") as short:
            assert answer(short)[0] == 408
            slow.sendall(b"x" * 10_000)
            assert answer(slow)[0] == 200


def test_a_client_that_does_not_read_its_answer_in_time_is_disconnected() -> None:
    limits = FrontLimits(threads=2, silent_seconds=0)
    with running(limits) as front, front.connect(b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n"):
        deadline = time.monotonic() + 30
        while not front.app.sizes or front.front.active_channels:  # only this client keeps its connection
            assert time.monotonic() < deadline
            assert front.ask()[0] == 200


def test_an_idle_connection_is_closed() -> None:
    with running(FrontLimits(threads=2, idle_seconds=-1)) as front, front.connect() as client:
        assert client.recv(1) == b""


def test_the_app_learns_that_a_client_has_gone(front: Running) -> None:
    client = front.connect(b"GET /gone HTTP/1.1\r\nHost: x\r\n\r\n")
    assert front.app.started.acquire(timeout=30)
    client.close()
    assert front.app.gone.wait(30)


def test_a_client_that_only_ends_its_sending_side_gets_its_answer(front: Running) -> None:
    with front.connect(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc") as client:
        client.shutdown(socket.SHUT_WR)
        assert answer(client)[2] == b"abc"
        assert client.recv(1) == b""


def test_connections_beyond_the_limit_take_the_place_of_those_that_wait_longest() -> None:
    with running(FrontLimits(connections=20, threads=4)) as front:
        held = front.connect(b"GET /held HTTP/1.1\r\nHost: x\r\n\r\n")
        assert front.app.started.acquire(timeout=30)
        idle = [front.connect(b"GET / HT") for _ in range(60)]
        for _ in range(5):
            assert front.ask()[0] == 200
        assert len(front.front.active_channels) <= 20
        front.app.release.set()
        assert answer(held)[0] == 200
        for client in idle:
            client.close()


def test_errors_of_the_front_are_problems_without_details_of_the_server(front: Running, capfd: Any) -> None:
    cases = {
        b"nonsense\r\n\r\n": 400,
        b"GET / HTTP/1.1\r\nHost: x\r\nno colon\r\n\r\n": 400,
        b"GET / HTTP/1.1\r\nHost: x\r\nA: " + b"x" * 40_000 + b"\r\n\r\n": 431,
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n": 501,
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n": 400,
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + b"x" * 2000: 400,
        b"GET /fails HTTP/1.1\r\nHost: x\r\n\r\n": 500,
    }
    for data, status in cases.items():
        with front.connect(data) as client:
            found, headers, body = answer(client)
            assert (found, headers["Content-Type"]) == (status, "application/problem+json"), data[:60]
            assert "Server" not in headers
            assert json.loads(body)["status"] == status
            assert b"waitress" not in body
            assert b"secret" not in body
    assert "Server" not in front.ask()[1]


REFUSED = b"POST //x HTTP/1.1\r\nHost: x\r\nX-Wrong: 1\r\n"


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (REFUSED + b"Content-Length: 900000", 401),
        (REFUSED + b"Content-Length: 900000\r\nExpect: 100-continue", 401),
        (REFUSED + b"Transfer-Encoding: chunked", 401),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3000000", 413),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000", 413),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10000000000000", 413),
    ],
)
def test_a_request_that_its_headers_forbid_is_answered_before_its_body(head: bytes, status: int) -> None:
    with running() as front, front.connect(head + b"\r\n\r\n") as client:
        found, headers, _ = answer(client)
        assert (found, headers["Connection"], front.errors) == (status, "close", [status])
        assert headers.get("Www-Authenticate") == ("Bearer" if status == 401 else None)
        assert front.asked == [("POST", "/x" if status == 401 else "/")]
        assert client.recv(1) == b""
        client.sendall(b"x" * 1_000_000)  # a client that does not look is read, but nothing of it is kept
        assert front.ask("POST", "/", b"abc")[2] == b"abc"
        assert ("refused", 0, []) in [
            (c.phase, c.buffered, c.requests) for c in list(front.front.active_channels.values())
        ]
    assert front.app.sizes == []


def test_a_refused_client_is_told_once_that_the_connection_is_closed(front: Running) -> None:
    wrong = b"X-Wrong: 1\r\nConnection: keep-alive\r\nContent-Length: 9\r\n\r\n"
    for head, is_empty in ((b"POST / HTTP/1.0\r\n", False), (b"HEAD / HTTP/1.1\r\nHost: x\r\n", True)):
        with front.connect(head + wrong) as client:
            text = b""
            while data := client.recv(10_000):
                text += data
        headers, _, body = text.partition(b"\r\n\r\n")
        assert headers.count(b"Connection: ") == headers.count(b"Connection: close") == 1
        assert (b" 401 " in headers, body == b"") == (True, is_empty)


HIDDEN = b"GET /held HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.mark.parametrize(
    ("version", "length"),
    [
        (b"1.1", b"Transfer-Encoding: chunked\r\nContent-Length: 5"),
        (b"1.1", b"Content-Length: 5\r\nTransfer-Encoding: chunked"),
        (b"1.0", b"Transfer-Encoding: chunked"),
        (b"1.0", b"Transfer-Encoding: chunked\r\nContent-Length: 5"),
        (b"1.2", b"Transfer-Encoding: chunked"),
        (b"1.1", b"Content-Length: 5\r\nContent-Length: 0"),
        (b"1.1", b"Content-Length: " + b"1" * 5000),
    ],
)
def test_a_request_whose_end_is_not_clear_is_refused_with_all_that_follows(
    front: Running, version: bytes, length: bytes
) -> None:
    head = b"POST / HTTP/%b\r\nHost: x\r\nConnection: keep-alive\r\n%b\r\n\r\n" % (version, length)
    with front.connect(head + b"0\r\n\r\n" + HIDDEN) as client:
        status, headers, _ = answer(client)
        assert status == (413 if b"1111" in length else 400)
        assert headers["Connection"] == "close"
        assert client.recv(1) == b""
    assert not front.app.started.acquire(blocking=False)


@pytest.mark.parametrize("length", [b"", b"Content-Length: 0\r\n"])
def test_a_request_without_a_body_that_asks_before_it_sends_one_is_answered_at_once(
    front: Running, length: bytes
) -> None:
    head = b"POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nX-Wrong: 1\r\n" + length + b"\r\n"
    follows = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc"
    with front.connect(head + follows) as client:
        client.settimeout(10)
        text = b""
        while not text.endswith(b"abc"):
            text += client.recv(1000)
    assert [part.split(b"\r\n")[0] for part in text.split(b"\r\n\r\n")] == [b"HTTP/1.1 200 OK"] * 2 + [b"abc"]


def test_a_request_without_a_body_is_left_to_the_app(front: Running) -> None:
    with front.connect(b"GET / HTTP/1.1\r\nHost: x\r\nX-Wrong: 1\r\n\r\n") as client:
        assert answer(client)[0] == 200


def test_what_follows_a_refused_request_is_no_request(front: Running) -> None:
    for head in (REFUSED + b"Content-Length: 100", REFUSED + b"Transfer-Encoding: chunked"):
        with front.connect(head + b"\r\n\r\n" + HIDDEN) as client:
            client.sendall(HIDDEN)
            assert answer(client)[0] == 401
            assert client.recv(1) == b""
    assert not front.app.started.acquire(blocking=False)


@pytest.mark.parametrize("limit", ["_REFUSED_SILENT_SECONDS", "_MAX_DISCARDED"])
def test_the_connection_of_a_refused_request_is_closed_after_a_while(
    limit: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(channel, limit, -1)
    with running() as front, front.connect(REFUSED + b"Content-Length: 900000\r\n\r\n") as client:
        assert answer(client)[0] == 401
        deadline = time.monotonic() + 30
        with suppress(OSError):
            while front.front.active_channels:
                assert time.monotonic() < deadline
                client.sendall(b"x" * (limit == "_MAX_DISCARDED"))


@pytest.mark.parametrize("chunked", [False, True])
def test_uploads_that_are_too_large_are_refused_and_the_client_sees_it_after_it_has_sent_them(
    front: Running, chunked: bool
) -> None:
    data = b"x" * 3_000_000
    if chunked:
        head, data = b"Transfer-Encoding: chunked", b"%x\r\n%b\r\n0\r\n\r\n" % (len(data), data)
    else:
        head = b"Content-Length: %d" % len(data)
    with front.connect(b"POST / HTTP/1.1\r\nHost: x\r\n" + head + b"\r\n\r\n" + data) as client:
        status, _, body = answer(client)
        assert client.recv(1) == b""
    assert (status, json.loads(body)["title"]) == (413, "Upload too large")
    # Jobs are no remedy for a path other than that of the predictions.
    assert json.loads(body)["detail"] == "the upload is larger than 1 MB; send a shorter or compressed recording"
    with front.connect(b"POST /jobs HTTP/1.1\r\nHost: x\r\n" + head + b"\r\n\r\n" + data) as client:
        assert answer(client)[0] == 200


def test_a_client_that_asks_first_may_send(front: Running) -> None:
    head = b"POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n"
    with front.connect(head % 3) as client:
        assert client.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.sendall(b"abc")
        assert answer(client)[2] == b"abc"


def test_an_upload_in_chunks_of_one_byte_is_refused(front: Running) -> None:
    head = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    with front.connect(head) as client:
        client.sendall(b"1\r\nx\r\n" * 20_000)
        status, _, body = answer(client)
    assert (status, json.loads(body)["title"]) == (400, "Broken upload")
    with front.connect(
        head + b"400\r\n" + b"x" * 1024 + b"\r\n" + b"5;a=b\r\nabcde\r\n0\r\nTrailer: x\r\n\r\n"
    ) as client:
        assert answer(client)[2] == b"x" * 1024 + b"abcde"


def test_answers_to_clients_that_do_not_read_hold_no_thread(front: Running) -> None:
    clients = [front.connect(b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n") for _ in range(6)]
    assert front.ask()[0] == 200
    assert len(answer(clients[0])[2]) == 40_000_000
    for client in clients:
        client.close()


def test_pipelined_requests_are_answered_in_order(front: Running) -> None:
    one = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\n"
    with front.connect(b"".join(one + b"%d" % number for number in range(5))) as client:
        text = b""
        while text.count(b"\r\n\r\n") < 5 or not text.endswith(b"4"):
            text += client.recv(1000)
    assert [part[:1] for part in text.split(b"\r\n\r\n")[1:]] == [b"0", b"1", b"2", b"3", b"4"]


def test_requests_beyond_those_that_may_wait_for_their_answers_are_refused(front: Running) -> None:
    """A single read holds thousands of short requests; each answer can be large, and the client need not read any."""
    many = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 100
    with front.connect(many) as client:
        text = b""
        while data := client.recv(100_000):
            text += data
    assert (text.count(b" 200 OK"), text.count(b" 400 Bad Request")) == (16, 1)
    assert b"too many requests were sent on one connection" in text


def test_empty_lines_make_no_requests() -> None:
    with running(FrontLimits(threads=2)) as front:
        made: list[int] = []

        class Counted(RequestParser):
            def __init__(self, adjustments: Any) -> None:
                made.append(1)
                super().__init__(adjustments)

        counting: Any = type("Counting", (Channel,), {"parser_class": Counted})
        front.front.channel_class = counting
        with front.connect(b"\r\n" * 50_000 + b"GET / HTTP/1.1\r\nHost: x\r\n\r\n") as client:
            assert answer(client)[0] == 200
        assert len(made) == 1


def test_answers_that_nobody_reads_count_with_the_uploads() -> None:
    with running(FrontLimits(threads=2, buffered_bytes=50_000_000)) as front:
        clients = [front.connect(b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n") for _ in range(3)]
        try:
            deadline = time.monotonic() + 30
            held = 120_000_000
            while len(front.app.sizes) < 3 or held > 50_000_000:
                assert time.monotonic() < deadline
                front.ask()
                held = sum(channel.total_outbufs_len for channel in list(front.front.active_channels.values()))
        finally:
            for client in clients:
                client.close()


def test_the_largest_uploads_are_refused_when_all_together_are_too_large() -> None:
    with running(FrontLimits(threads=2, buffered_bytes=100_000)) as front:
        head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n"
        with (
            front.connect(head % 50_000 + b"x" * 20_000) as small,
            front.connect(head % 99_000 + b"x" * 90_000) as large,
        ):
            status, headers, body = answer(large)
            assert (status, json.loads(body)["title"], headers["Retry-After"]) == (503, "Server busy", "10")
            small.sendall(b"x" * 30_000)
            assert answer(small)[0] == 200


@pytest.mark.parametrize("chunked", [False, True])
def test_a_full_disk_is_a_problem_of_the_upload_alone(chunked: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    class Full(io.BytesIO):
        def write(self, *_: Any) -> int:
            raise OSError(28, "No space left on device")

    def full(*_: Any) -> int:
        raise OSError(28, "No space left on device")

    with running(replace(PROMPT, memory_bytes=500_000)) as front, monkeypatch.context() as patched:
        patched.setattr(TempfileBasedBuffer, "newfile", lambda _: Full())
        patched.setattr(Body, "_write", full)
        head = b"Transfer-Encoding: chunked" if chunked else b"Content-Length: 900000"
        with front.connect(b"POST / HTTP/1.1\r\nHost: x\r\n" + head + b"\r\n\r\n") as client:
            for _ in range(9):
                with suppress(OSError):  # chunks are not read to their end
                    client.sendall((b"186a0\r\n" if chunked else b"") + b"x" * 100_000 + b"\r\n" * chunked)
            if not chunked:
                status, headers, body = answer(client)
                assert (status, json.loads(body)["title"], headers["Retry-After"]) == (507, "Disk full", "10")
        deadline = time.monotonic() + 30
        while 507 not in front.errors[-1:]:
            assert time.monotonic() < deadline
            front.ask()
        assert front.ask()[0] == 200


def test_urgent_data_does_not_keep_the_loop_busy(front: Running) -> None:
    with front.connect() as client:
        client.send(b"!", socket.MSG_OOB)
        assert front.ask()[0] == 200
        events = front.front.events
        assert all(flags & 2 == 0 for flags in events._registered.values())  # select.POLLPRI


def test_a_front_that_stops_answers_the_requests_in_progress_and_no_others() -> None:
    front = Running(PROMPT, 1000)
    held = front.connect(b"GET /held HTTP/1.1\r\nHost: x\r\n\r\n")
    assert front.app.started.acquire(timeout=30)
    with front.connect() as idle:
        front.front.request_stop()
        front.app.release.set()
        assert answer(held)[0] == 200
        front.thread.join(60)
        assert not front.thread.is_alive()
        assert idle.recv(1) == b""
    with pytest.raises(ConnectionRefusedError):
        front.connect()
