"""Compare HTTP fronts for the server: `python -m tests.benchmarks.server_fronts BUNDLE RECORDING` prints a table.

All run the same app on the same bundle with the same number of processes that classify, on the same machine as the clients. The
rounds of all fronts alternate, and the table has the medians, so that other work on the machine changes all of them alike. Needs
gunicorn, granian and hypercorn, which the project does not.
"""

import argparse
import http.client
import os
import signal
import socket
import statistics
import subprocess
import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

APP = "tests.benchmarks.front_app:app"

_START_SECONDS = 120.0
_WARM_UP_SECONDS = 4.0
"""Time until all processes have started."""

_ANSWER_SECONDS = 5.0
"""Longest wait for /healthz beside slow clients."""


def commands(bundle: Path, port: int, workers: int) -> dict[str, list[str]]:
    """Return the command of each front."""
    bind, python = f"127.0.0.1:{port}", sys.executable
    gunicorn = [python, "-m", "gunicorn", "--bind", bind, "--workers", str(workers), "--timeout", "120", APP]
    return {
        "waitress + pool": [
            python, "-m", "autobird.cli", "serve", str(bundle), "--port", str(port), "--workers", str(workers),
        ],
        "gunicorn sync": gunicorn,
        "gunicorn gthread, 8 threads": [*gunicorn, "--worker-class", "gthread", "--threads", "8"],
        "granian": [
            python, "-m", "granian", "--interface", "wsgi", "--host", "127.0.0.1", "--port", str(port), "--workers",
            str(workers), "--blocking-threads", "8", "--no-ws", "--log-level", "error", APP,
        ],
        "hypercorn": [python, "-m", "hypercorn", "--bind", bind, "--workers", str(workers), f"wsgi:{APP}"],
    }  # fmt: skip


@dataclass
class Figures:
    """What was measured of a front, one value a round."""

    rates: dict[int, list[float]] = field(default_factory=dict)
    p50: dict[int, list[float]] = field(default_factory=dict)
    p99: dict[int, list[float]] = field(default_factory=dict)
    cpu: dict[int, list[float]] = field(default_factory=dict)
    answers: int = 0
    failed: int = 0
    ready: list[float] = field(default_factory=list)
    memory: list[float] = field(default_factory=list)
    beside: dict[str, list[float]] = field(default_factory=dict)


class Client(threading.Thread):
    """Sends one request after the other over one connection."""

    def __init__(self, port: int, data: bytes, end: float) -> None:
        super().__init__()
        self.port, self.data, self.end = port, data, end
        self.times: list[float] = []
        self.failed = 0

    def run(self) -> None:
        """Send requests until the end."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        while time.perf_counter() < self.end:
            start = time.perf_counter()
            try:
                connection.request("POST", "/v1/predict", self.data, {"Content-Type": "audio/wav"})
                response = connection.getresponse()
                response.read()
                is_good = response.status == 200
            except OSError:
                is_good = False
                connection.close()
            self.times.append(time.perf_counter() - start)
            self.failed += not is_good


def load(port: int, data: bytes, clients: int, seconds: float, figures: Figures) -> None:
    """Let some clients send requests, and add what they saw."""
    start = time.perf_counter()
    threads = [Client(port, data, start + seconds) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    elapsed = time.perf_counter() - start
    times = sorted(time for thread in threads for time in thread.times)
    figures.answers += len(times)
    figures.failed += sum(thread.failed for thread in threads)
    figures.rates.setdefault(clients, []).append(len(times) / elapsed)
    figures.p50.setdefault(clients, []).append(1000 * times[len(times) // 2])
    figures.p99.setdefault(clients, []).append(1000 * times[min(len(times) - 1, int(0.99 * len(times)))])


def health(port: int, seconds: float) -> float:
    """Return the milliseconds that /healthz takes; infinite without an answer."""
    start = time.perf_counter()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=seconds)
    try:
        connection.request("GET", "/healthz")
        connection.getresponse().read()
    except OSError:
        return float("inf")
    finally:
        connection.close()
    return 1000 * (time.perf_counter() - start)


def beside_slow_clients(port: int, kind: str, count: int) -> float:
    """Return the slowest of five requests of /healthz beside clients that are idle, or that send headers or a body slowly."""
    start = {"idle": b"", "headers": b"POST /v1/predict HTTP/1.1\r\nHost: x\r\nX-", "body": (
        b"POST /v1/predict HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\nabc"
    )}[kind]  # fmt: skip
    clients = [socket.create_connection(("127.0.0.1", port), timeout=30) for _ in range(count)]
    try:
        for client in clients:
            client.sendall(start)
        worst = 0.0
        for _ in range(5):
            if kind != "idle":
                for client in clients:
                    with suppress(OSError):
                        client.sendall(b"a")
            worst = max(worst, health(port, _ANSWER_SECONDS))
            if worst == float("inf"):
                break
        return worst
    finally:
        for client in clients:
            client.close()


def tree(pid: int) -> list[int]:
    """Return a process and all below it."""
    children = Path(f"/proc/{pid}/task/{pid}/children")
    found = children.read_text().split() if children.exists() else []
    threads = [task for task in Path(f"/proc/{pid}/task").glob("*/children") if task != children]
    found += [child for task in threads for child in task.read_text().split()]
    return [pid, *(p for child in found for p in tree(int(child)))]


def processor_time(pid: int) -> float:
    """Return the processor time of a process and all below it, seconds. It depends little on other work on the machine."""
    total = 0.0
    for process in tree(pid):
        with suppress(OSError):
            values = Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()
            total += (int(values[11]) + int(values[12])) / os.sysconf("SC_CLK_TCK")
    return total


def memory(pid: int) -> float:
    """Return the proportional set size of a process and all below it, MB."""
    total = 0
    for process in tree(pid):
        with suppress(OSError):
            lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
            total += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return total / 1000


def measure(command: list[str], port: int, data: bytes, options: argparse.Namespace, figures: Figures) -> None:
    """Start a front, measure one round, and end it."""
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        while health(port, 2) == float("inf"):
            if process.poll() is not None or time.perf_counter() - start > _START_SECONDS:
                raise RuntimeError(f"{' '.join(command)} does not answer")
            time.sleep(0.01)
        figures.ready.append(time.perf_counter() - start)
        load(port, data, 2 * options.workers, _WARM_UP_SECONDS, Figures())
        for clients in options.clients:
            before, answers = processor_time(process.pid), figures.answers
            load(port, data, clients, options.seconds, figures)
            used = (processor_time(process.pid) - before) / max(1, figures.answers - answers)
            figures.cpu.setdefault(clients, []).append(1000 * used)
        figures.memory.append(memory(process.pid))
        for kind in ("idle", "headers", "body") if options.slow else ():
            figures.beside.setdefault(kind, []).append(beside_slow_clients(port, kind, options.slow))
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            process.wait(10)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("recording", type=Path)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--slow", type=int, default=200, help="slow clients of each kind")
    parser.add_argument("--port", type=int, default=8765)
    parser.add_argument("--only", nargs="*", help="names of fronts")
    options = parser.parse_args()
    os.environ["AUTOBIRD_BENCHMARK_BUNDLE"] = str(options.bundle)
    data = options.recording.read_bytes()
    fronts = commands(options.bundle, options.port, options.workers)
    if options.only:
        fronts = {name: command for name, command in fronts.items() if name in options.only}
    found = {name: Figures() for name in fronts}
    for _ in range(options.rounds):
        for name, command in fronts.items():
            try:
                measure(command, options.port, data, options, found[name])
            except RuntimeError as error:
                print(f"{name}: {error}", file=sys.stderr)
    columns = [f"{n} client{'s' * (n > 1)}: answers/s | p50, ms | p99, ms | CPU, ms an answer" for n in options.clients]
    print(
        f"| front | {' | '.join(columns)} | memory, MB | ready, s | /healthz beside {options.slow} idle, ms | headers | body | failed |"
    )
    print("|" + "---|" * (4 * len(options.clients) + 7))
    for name, figures in found.items():
        if not figures.ready:
            continue
        cells = [name]
        for n in options.clients:
            cells += [f"{statistics.median(values[n]):.0f}" for values in (figures.rates, figures.p50, figures.p99)]
            cells.append(f"{statistics.median(figures.cpu[n]):.1f}")
        cells += [f"{statistics.median(figures.memory):.0f}", f"{statistics.median(figures.ready):.1f}"]
        for kind in ("idle", "headers", "body"):
            worst = statistics.median(figures.beside.get(kind, [float("nan")]))
            cells.append("no answer" if worst == float("inf") else f"{worst:.0f}")
        print("| " + " | ".join([*cells, str(figures.failed)]) + " |")


if __name__ == "__main__":
    main()
