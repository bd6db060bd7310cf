"""Try what can go wrong with a server under load: `python -m tests.load.faults BUNDLE RECORDING` prints a table.

Slow clients beside others, worker processes that are killed, crafted recordings, messages of decoders, memory after large
uploads, a log on a full disk (if this may mount a small file system), and two servers that write to one log.
"""

import argparse
import os
import signal
import sqlite3
import statistics
import subprocess
import tempfile
import threading
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

from tests.benchmarks.server_fronts import beside_slow_clients, memory, processor_time
from tests.load.crafted import CRAFTED
from tests.unit.test_server import Server, start
from tests.unit.test_server_processes import processes


class Load(threading.Thread):
    """Honest clients: each sends one recording after the other until `stop`; counts the statuses."""

    def __init__(self, server: Server, data: bytes) -> None:
        super().__init__()
        self.server, self.data, self.ended = server, data, threading.Event()
        self.statuses: Counter[int] = Counter()
        self.times: list[float] = []

    def run(self) -> None:
        """Send until `ended` is set."""
        while not self.ended.is_set():
            began = time.perf_counter()
            try:
                status = self.server.ask("/v1/predict", self.data)[0]
            except OSError:
                status = 0
            self.statuses[status] += 1
            self.times.append(time.perf_counter() - began)


def under_load(server: Server, data: bytes, clients: int, during: object) -> str:
    """Run a function while clients send recordings; return the numbers of statuses."""
    loads = [Load(server, data) for _ in range(clients)]
    for load in loads:
        load.start()
    time.sleep(0.5)
    during()  # type: ignore[operator]
    for load in loads:
        load.ended.set()
    for load in loads:
        load.join()
    total = sum((load.statuses for load in loads), Counter[int]())
    p50 = statistics.median(t for load in loads for t in load.times)
    return (
        ", ".join(f"{count} x {status or 'no answer'}" for status, count in total.items())
        + f", p50 {1000 * p50:.0f} ms"
    )


def rows(log: Path) -> int:
    with sqlite3.connect(log, timeout=30) as connection:
        return int(connection.execute("SELECT count(*) FROM predictions").fetchone()[0])


def row(what: str, result: str) -> None:
    print(f"| {what} | {result} |", flush=True)


def slow_clients(server: Server, data: bytes) -> None:
    port = int(server.url.rsplit(":", 1)[1])
    for kind in ("idle", "headers", "body"):
        worst = []
        result = under_load(server, data, 2, lambda k=kind, w=worst: w.append(beside_slow_clients(port, k, 200)))
        row(f"200 slow clients: {kind}", f"/healthz at most {worst[0]:.0f} ms; 2 honest clients beside: {result}")


def kills(server: Server, data: bytes) -> None:
    def kill_repeatedly() -> None:
        for _ in range(6):
            for pid in processes(server)[:1]:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(3)

    row("kill -9 of a worker process every 3 s, six times, 4 clients", under_load(server, data, 4, kill_repeatedly))


def crafted(server: Server) -> None:
    for name, (megabytes, make) in CRAFTED.items():
        data = make(megabytes)
        cpu, began = processor_time(server.process.pid), time.perf_counter()
        status, value, _ = server.ask("/v1/predict?windows=0", data)
        elapsed = time.perf_counter() - began
        cpu = processor_time(server.process.pid) - cpu
        text = value.get("detail") or f"{value['duration']:.0f} s of audio"
        row(
            f"{name}, {len(data) / 1e6:.1f} MB",
            f"{status}, {elapsed:.1f} s ({cpu:.1f} s CPU): {text}; memory {memory(server.process.pid):.0f} MB",
        )


def full_disk(bundle: Path, data: bytes, folder: Path) -> None:
    small = folder / "small"
    small.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(small)], capture_output=True).returncode:
        row("log on a full disk", "not tried: this may not mount a file system")
        return
    server = start(bundle, small / "log.sqlite")
    try:
        (small / "filler").write_bytes(bytes(1))
        with suppress(OSError), (small / "filler").open("wb") as file:
            while True:
                file.write(bytes(4096))
                file.flush()
        statuses: Counter[int] = Counter()
        times = []
        for _ in range(60):
            began = time.perf_counter()
            statuses[server.ask("/v1/predict", data)[0]] += 1
            times.append(time.perf_counter() - began)
        waiting = [line for line in server.ask("/metrics")[1].decode().splitlines() if line.startswith("autobird_log_")]
        (small / "filler").unlink()
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline and "autobird_log_waiting 0" not in server.ask("/metrics")[1].decode():
            time.sleep(0.2)
        row(
            "log on a full disk, 60 requests",
            f"{dict(statuses)}, slowest {max(times):.2f} s, p50 {1000 * statistics.median(times):.0f} ms; {'; '.join(waiting)}; after space was made {rows(server.log)} rows",
        )
    finally:
        server.process.terminate()
        server.process.wait(30)
        subprocess.run(["umount", "-l", str(small)], check=False)


def two_servers(bundle: Path, data: bytes, folder: Path) -> None:
    log = folder / "shared.sqlite"
    servers = [start(bundle, log), start(bundle, log)]
    loads = [Load(server, data) for server in servers for _ in range(2)]
    for load in loads:
        load.start()
    time.sleep(6)
    for load in loads:
        load.ended.set()
    for load in loads:
        load.join()
    total = sum((load.statuses for load in loads), Counter[int]())
    row("two servers on one log, 2 clients each", f"{dict(total)}; {rows(log)} rows")
    for server in servers:
        server.process.terminate()
        server.process.wait(30)


def main() -> None:
    """Run everything once."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("recording", type=Path)
    parser.add_argument("--logs-only", action="store_true", help="only the full disk and the two servers")
    options = parser.parse_args()
    data = options.recording.read_bytes()
    print("| what | result |\n|---|---|")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if options.logs_only:
            full_disk(options.bundle, data, folder)
            two_servers(options.bundle, data, folder)
            return
        errors = (folder / "stderr").open("w+b")
        server = start(options.bundle, folder / "log.sqlite", "--workers", "2")
        assert server.process.stderr
        threading.Thread(target=lambda: errors.write(server.process.stderr.buffer.read()), daemon=True).start()  # type: ignore[union-attr, attr-defined]
        try:
            while len(processes(server)) < 2:
                time.sleep(0.1)
            under_load(server, data, 4, lambda: time.sleep(2))
            slow_clients(server, data)
            kills(server, data)
            time.sleep(2)
            under_load(server, data, 4, lambda: time.sleep(1))
            before = memory(server.process.pid)
            crafted(server)
            under_load(server, data, 4, lambda: time.sleep(1))
            row(
                "memory before and after the crafted recordings",
                f"{before:.0f} MB, {memory(server.process.pid):.0f} MB",
            )
        finally:
            server.process.terminate()
            server.process.wait(60)
        time.sleep(0.5)
        errors.seek(0)
        text = errors.read().decode(errors="replace")
        row("stderr of the server after all of this", f"{len(text)} bytes, {text.count(chr(10))} lines")
        print(text[:3000])
        full_disk(options.bundle, data, folder)
        two_servers(options.bundle, data, folder)


if __name__ == "__main__":
    main()
