"""Bodies of requests: received in place at any size and in any pieces, handed to the app without a copy, and forgotten afterwards."""

import http.client
import random
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from autobird.serving.http.body import ENVIRON, MEMORY, Body
from autobird.serving.http.front import Front, FrontLimits

FIRST, GROWN = 1 << 15, 1 << 18
SIZES = [1, 2, FIRST - 1, FIRST, FIRST + 1, GROWN - 1, GROWN, GROWN + 1, MEMORY - 1, MEMORY, MEMORY + 1, 3 * MEMORY + 7]


def content(size: int, seed: int = 0) -> bytes:
    return random.Random(seed + size).randbytes(size)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("seed", range(3))
def test_a_body_is_what_arrived_in_any_pieces(size: int, seed: int, tmp_path: Path) -> None:
    draw, data = random.Random(seed), content(size) + b"the next request"
    body = Body(size, tmp_path, MEMORY, bytearray(1 << 16))
    done = 0
    while not body.completed:
        if draw.random() < 0.3:  # as after the headers, perhaps with the next request behind it
            piece = data[done : done + draw.randint(1, 200_000)]
            count = body.received(piece)
            assert count == min(len(piece), size - done)
        else:
            room = body.room()
            count = min(len(room), draw.choice([1, 1000, 1 << 20]))
            room[:count] = data[done : done + count]
            body.filled(count)
        done += count
        assert len(body) == done <= size
    assert done == size
    assert body.received(data[done:]) == 0
    source = body.source()
    assert isinstance(source, Path) == (size > MEMORY)
    assert (source.read_bytes() if isinstance(source, Path) else bytes(source)) == content(size)
    with body.getfile() as file:
        assert file.read() == content(size)
    body.close()
    assert not list(tmp_path.iterdir())


def test_a_body_takes_memory_as_it_arrives() -> None:
    body = Body(MEMORY, None, MEMORY, bytearray(1))
    assert len(body.room()) == FIRST
    body.filled(FIRST)
    assert len(body.room()) == GROWN - FIRST


def test_a_forgotten_body_leaves_no_file(tmp_path: Path) -> None:
    body = Body(10, tmp_path, 4, bytearray(100))
    body.received(b"12345")
    assert len(list(tmp_path.iterdir())) == 1
    del body
    assert not list(tmp_path.iterdir())


class App:
    """Answers with what it was handed: in memory, as a file, or (chunked) only as a stream."""

    def __init__(self) -> None:
        self.kinds: list[str] = []
        self.held, self.release = threading.Event(), threading.Event()

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        body: Body | None = environ.get(ENVIRON)
        source = environ["wsgi.input"].read() if body is None else body.source()
        self.kinds.append(type(source).__name__)
        if environ["PATH_INFO"] == "/held":
            self.held.set()
            self.release.wait(60)
        data = source.read_bytes() if isinstance(source, Path) else bytes(source)
        if body is not None:
            assert environ["wsgi.input"].read() == data
        start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(data)))])
        return [data]


@contextmanager
def running(folder: Path) -> Iterator[tuple[App, int]]:
    app, listener = App(), socket.create_server(("127.0.0.1", 0))
    front = Front(app, listener, FrontLimits(threads=4), lambda _: 4 * MEMORY, folder=folder)
    thread = threading.Thread(target=front.run, daemon=True)
    thread.start()
    try:
        yield app, listener.getsockname()[1]
    finally:
        app.release.set()
        front.request_stop()
        thread.join(60)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "uploads").mkdir()
    return tmp_path / "uploads"


def wait_until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_bodies_of_all_sizes_reach_the_app_over_one_connection(folder: Path) -> None:
    with running(folder) as (app, port), closing(http.client.HTTPConnection("127.0.0.1", port, timeout=60)) as client:
        for size in [0, *SIZES, 5]:
            client.request("POST", "/", content(size))
            assert client.getresponse().read() == content(size)
        assert app.kinds == [
            "bytes",
            *["memoryview" if size <= MEMORY else "PosixPath" for size in SIZES],
            "memoryview",
        ]
        wait_until(lambda: not list(folder.iterdir()))


@pytest.mark.parametrize("size", [3, 5000, FIRST + 1, 400_000, MEMORY + 5])
def test_requests_that_follow_each_other_are_not_mixed(folder: Path, size: int) -> None:
    """Sent at once, or in pieces that end anywhere, also within headers."""
    requests = [content(size, seed) for seed in range(4)]
    sent = b"".join(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % size + data for data in requests)
    draw = random.Random(size)
    with running(folder) as (_, port):
        for pieces in (1, 50):
            cuts = sorted([0, len(sent), *(draw.randrange(len(sent)) for _ in range(pieces - 1))])
            with socket.create_connection(("127.0.0.1", port), timeout=60) as client, client.makefile("rb") as answers:
                sender = threading.Thread(
                    target=lambda c=cuts, s=client: [s.sendall(sent[a:b]) for a, b in pairwise(c)]
                )
                sender.start()
                for data in requests:
                    while answers.readline() != b"\r\n":
                        pass
                    assert answers.read(size) == data
                sender.join()


def test_the_file_of_an_upload_is_deleted_when_its_client_goes(folder: Path) -> None:
    head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % (2 * MEMORY)
    with running(folder) as (_, port):
        with socket.create_connection(("127.0.0.1", port), timeout=60) as client:
            client.sendall(head + b"x" * 1000)
            wait_until(lambda: list(folder.iterdir()))
        wait_until(lambda: not list(folder.iterdir()))


def test_the_file_of_an_upload_is_there_while_the_app_uses_it(folder: Path) -> None:
    """Also when the client has gone meanwhile: a compute process may read it."""
    with running(folder) as (app, port):
        with socket.create_connection(("127.0.0.1", port), timeout=60) as client:
            client.sendall(
                b"POST /held HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % (2 * MEMORY) + bytes(2 * MEMORY)
            )
            assert app.held.wait(60)
        (file,) = folder.iterdir()
        with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=60)) as other:
            for _ in range(3):  # the main thread has seen the end of the first connection
                other.request("GET", "/")
                other.getresponse().read()
        assert file.stat().st_size == 2 * MEMORY
        app.release.set()
        wait_until(lambda: not list(folder.iterdir()))
