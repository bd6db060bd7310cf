"""Measure the server with a bundle that has a backbone: `python -m tests.benchmarks.server_backbone BUNDLE RECORDING` prints a table.

Each number of worker processes and of threads of the backbone is measured in turn, in rounds, and the table has the medians. With
`--former SCRIPTS` the folder `scripts` of another version is measured beside this one, whose options have no threads.
"""

import argparse
import http.client
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

from tests.benchmarks.server_fronts import Figures, health, load, memory, processor_time
from tests.benchmarks.server_load import stop


def ready_processes(port: int) -> int:
    """Return how many compute processes are ready."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/readyz")
        return int(json.loads(connection.getresponse().read())["processes"])
    except OSError:
        return 0
    finally:
        connection.close()


def answer_time(port: int, data: bytes) -> float:
    """Return the milliseconds that a request takes."""
    start = time.perf_counter()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("POST", "/v1/predict", data, {"Content-Type": "audio/wav"})
    connection.getresponse().read()
    connection.close()
    return 1000 * (time.perf_counter() - start)


class Row:
    """One way to run the server, and what was measured of it."""

    def __init__(self, name: str, workers: int, scripts: Path, arguments: list[str]) -> None:
        self.name, self.workers, self.scripts, self.arguments = name, workers, scripts, arguments
        self.figures = Figures()
        self.first: list[float] = []

    def measure(self, options: argparse.Namespace, data: bytes) -> None:
        """Start the server, measure one round, and end it."""
        f, port = self.figures, options.port
        command = [
            sys.executable, "-m", "autobird.cli", "serve", str(options.bundle), "--port", str(port), "--workers", str(self.workers),
            *self.arguments,
        ]  # fmt: skip
        start = time.perf_counter()
        environment = os.environ | {"PYTHONPATH": str(self.scripts)}
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, start_new_session=True, env=environment)
        try:
            while health(port, 2) == float("inf"):
                if process.poll() is not None:
                    raise RuntimeError(f"{' '.join(command)} has ended")
                time.sleep(0.01)
            f.ready.append(time.perf_counter() - start)
            self.first.append(answer_time(port, data))
            while ready_processes(port) < self.workers:
                time.sleep(0.05)
            load(port, data, 2 * self.workers, 2.0, Figures())
            for clients in options.clients:
                before, answers = processor_time(process.pid), f.answers
                load(port, data, clients, options.seconds, f)
                used = (processor_time(process.pid) - before) / max(1, f.answers - answers)
                f.cpu.setdefault(clients, []).append(1000 * used)
            f.memory.append(memory(process.pid))
        finally:
            stop(process)

    def cells(self, clients: list[int]) -> list[str]:
        """Return the cells of the table."""
        f = self.figures
        out = [self.name, str(self.workers), f"{statistics.median(f.memory):.0f}"]
        for n in clients:
            out += [
                f"{statistics.median(f.rates[n]):.1f}",
                f"{statistics.median(f.p50[n]):.0f}",
                f"{statistics.median(f.cpu[n]):.0f}",
            ]
        return [*out, f"{statistics.median(f.ready):.1f}", f"{statistics.median(self.first):.0f}", str(f.failed)]


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("recording", type=Path)
    parser.add_argument("--former", type=Path, help="folder `scripts` of another version")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--threads", type=int, nargs="+", default=[1, os.cpu_count() or 1])
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 4])
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--port", type=int, default=8785)
    options = parser.parse_args()
    data = options.recording.read_bytes()
    own = Path(__file__).parents[2] / "scripts"
    rows = []
    for workers in options.workers:
        if options.former:
            rows.append(Row("former version", workers, options.former, []))
        for threads in options.threads:
            rows.append(Row(f"{threads} threads", workers, own, ["--backbone-threads", str(threads)]))
    for _ in range(options.rounds):
        for row in rows:
            row.measure(options, data)
    columns = [f"{n} client{'s' * (n > 1)}: answers/s | p50, ms | CPU, ms an answer" for n in options.clients]
    print(f"| backbone | workers | memory, MB | {' | '.join(columns)} | ready, s | first answer, ms | failed |")
    print("|" + "---|" * (6 + 3 * len(options.clients)))
    for row in rows:
        print("| " + " | ".join(row.cells(options.clients)) + " |")


if __name__ == "__main__":
    main()
