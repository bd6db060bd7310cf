"""A whole server: slow clients beside others, worker processes that die, clients that leave, and the end."""

import io
import os
import signal
import socket
import sqlite3
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest
import soundfile

from autobird.serving.keys import new_key
from tests.heads import make_backbone, make_head_bundle
from tests.unit.test_pool import wait_until
from tests.unit.test_predict import make_bundle
from tests.unit.test_server import Server, start

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads the processes from /proc")


def processes(server: Server) -> list[int]:
    """Return the worker processes of a server."""
    found = []
    for status in Path("/proc").glob("[0-9]*/status"):
        try:
            lines = dict(line.split(":\t", 1) for line in status.read_text().splitlines() if ":\t" in line)
            command = status.with_name("cmdline").read_text()
        except OSError:
            continue
        if int(lines["PPid"]) == server.process.pid and "spawn_main" in command:
            found.append(int(lines["Pid"]))
    return found


def connect(server: Server, data: bytes) -> socket.socket:
    address = urlsplit(server.url)
    connection = socket.create_connection((address.hostname, address.port), timeout=30)
    connection.sendall(data)
    return connection


@pytest.fixture(scope="module")
def song() -> bytes:
    file = io.BytesIO()
    soundfile.write(file, 0.1 * np.random.default_rng(0).standard_normal(7 * 16000), 16000, format="FLAC")
    return file.getvalue()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("processes")
    running = start(make_bundle(folder / "bundle"), folder / "log.sqlite", "--workers", "2")
    yield running
    running.process.kill()
    running.process.wait(30)


def logged(server: Server) -> int:
    return int(sqlite3.connect(server.log).execute("SELECT count(*) FROM predictions").fetchone()[0])


def test_many_slow_clients_hold_up_nobody(server: Server, song: bytes) -> None:
    head = b"POST /v1/predict HTTP/1.1\r\nHost: localhost\r\nContent-Le"
    clients = [connect(server, data) for data in (b"", head, head + b"ngth: 100\r\n\r\nab") for _ in range(20)]
    try:
        assert server.ask("/healthz")[0] == 200
        assert server.ask("/v1/predict", song)[0] == 200
    finally:
        for client in clients:
            client.close()


def test_killed_worker_processes_are_replaced_and_no_request_fails(server: Server, song: bytes) -> None:
    wait_until(lambda: len(processes(server)) == 2)
    before = processes(server)
    statuses: list[int] = []
    threads = [threading.Thread(target=lambda: statuses.append(server.ask("/v1/predict", song)[0])) for _ in range(6)]
    for number, thread in enumerate(threads):
        thread.start()
        if number == 2:
            for pid in before:
                os.kill(pid, signal.SIGKILL)
    for thread in threads:
        thread.join(60)
    assert statuses == [200] * 6
    wait_until(lambda: len(processes(server)) == 2 and not set(processes(server)) & set(before))


def test_nothing_is_logged_for_a_client_that_has_gone(server: Server, song: bytes) -> None:
    """The workers are stopped until the client has gone, so that its request waits or is computed at that time."""
    wait_until(lambda: len(processes(server)) == 2)
    assert server.ask("/v1/predict", song)[0] == 200
    before = logged(server)
    for pid in processes(server):
        os.kill(pid, signal.SIGSTOP)
    head = f"POST /v1/predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(song)}\r\n\r\n".encode()
    for client in [connect(server, head + song) for _ in range(4)]:
        client.close()
    for pid in processes(server):
        os.kill(pid, signal.SIGCONT)
    for _ in range(4):
        assert server.ask("/v1/predict", song)[0] == 200
    assert logged(server) == before + 4


def test_the_server_ends_its_worker_processes_and_answers_what_is_in_progress(tmp_path: Path, song: bytes) -> None:
    server = start(make_bundle(tmp_path / "bundle"), tmp_path / "log.sqlite", "--workers", "1")
    (worker,) = processes(server)
    os.kill(worker, signal.SIGSTOP)
    head = f"POST /v1/predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(song)}\r\n\r\n".encode()
    client = connect(server, head + song)
    wait_until(lambda: b"autobird_active_requests 1.0" in server.ask("/metrics")[1])
    server.process.send_signal(signal.SIGTERM)
    os.kill(worker, signal.SIGCONT)
    assert client.recv(100).startswith(b"HTTP/1.1 200 OK")
    assert server.process.wait(60) == 0
    assert not Path(f"/proc/{worker}").exists()
    assert server.process.stderr
    assert server.process.stderr.read() == ""


def test_an_upload_without_a_key_is_refused_before_it_is_sent(tmp_path: Path) -> None:
    (tmp_path / "keys").write_text(new_key("ann")[1])
    options = ("--keys", str(tmp_path / "keys"), "--state", str(tmp_path / "state"))
    server = start(make_bundle(tmp_path / "bundle"), tmp_path / "log.sqlite", *options)
    try:
        for path in ("predict", "jobs"):
            head = f"POST /v1/{path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 50000000\r\n\r\n"
            with connect(server, head.encode()) as client:
                assert client.recv(100).startswith(b"HTTP/1.1 401 Unauthorized")
    finally:
        server.process.kill()
        server.process.wait(30)


def test_worker_processes_end_with_a_killed_server(tmp_path: Path) -> None:
    server = start(make_bundle(tmp_path / "bundle"), tmp_path / "log.sqlite", "--workers", "1")
    (worker,) = processes(server)
    server.process.kill()
    server.process.wait(30)
    wait_until(lambda: not Path(f"/proc/{worker}").exists())


def test_the_embedding_process_of_a_server_is_replaced_is_reported_and_ends_with_it(
    tmp_path: Path, song: bytes
) -> None:
    backbone = tmp_path / "backbone.onnx"
    bundle = make_head_bundle(tmp_path / "bundle", make_backbone(backbone), backbone)
    options = ("--workers", "2", "--backbone", str(backbone), "--backbone-threads", "3")
    server = start(bundle, tmp_path / "log.sqlite", *options)
    try:
        wait_until(lambda: server.ask("/readyz")[1]["processes"] == 2)
        status, answer, _ = server.ask("/v1/predict", song)
        assert status == 200
        before = processes(server)
        assert len(before) == 3
        for pid in before:
            os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not set(processes(server)) & set(before))
        assert server.ask("/v1/predict", song)[1]["windows"] == answer["windows"]
        wait_until(lambda: server.ask("/readyz")[1]["processes"] == 2 and len(processes(server)) == 3)
        assert not set(processes(server)) & set(before)
        found = server.ask("/readyz")[1]["embedding"]
        assert found["milliseconds_per_window"] > 0
        assert found["windows"] >= 2 * 6 + 2 * 7
        assert {name: found[name] for name in ("backbone", "ready", "threads", "waiting_windows", "replaced")} == {
            "backbone": "tiny-backbone", "ready": True, "threads": 3, "waiting_windows": 0, "replaced": 1,
        }  # fmt: skip
        metrics = server.ask("/metrics")[1].decode()
        for line in ("ready 1.0", "replaced_total 1.0", "waiting_windows 0.0", f"windows_total {found['windows']:.1f}"):
            assert f"\nautobird_embedding_{line}\n" in metrics
        after = processes(server)
    finally:
        server.process.kill()
        server.process.wait(30)
    wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in after))
