"""Compare the server with FastAPI and torch: `python -m tests.benchmarks.server_load RUN RECORDING` prints a table.

Both run at the same time on the same bundle's network, with as many processes that classify as there are cores. In each round first
one and then the other gets all requests, so that other work on the machine changes both alike; the table has the medians of
the rounds, and of the ratios of each round. Needs FastAPI and uvicorn, which the project does not.
"""

import argparse
import os
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from tests.benchmarks.server_fronts import Figures, health, load, memory, processor_time

OURS, REFERENCE = "autobird serve", "FastAPI and torch"

RUN = "AUTOBIRD_BENCHMARK_RUN"
"""Environment variable of the reference: folder of the run, with `model/model.json` and `model/weights.safetensors`."""


def commands(bundle: Path, port: int, workers: int, arguments: list[str]) -> dict[str, list[str]]:
    """Return the commands of both servers; the second one gets the next port."""
    return {
        OURS: [
            sys.executable, "-m", "autobird.cli", "serve", str(bundle), "--port", str(port), "--workers", str(workers),
            *arguments,
        ],
        REFERENCE: [
            sys.executable, "-m", "uvicorn", "tests.benchmarks.torch_reference:app", "--port", str(port + 1), "--workers",
            str(workers), "--no-access-log", "--log-level", "warning",
        ],
    }  # fmt: skip


def started(command: list[str], port: int) -> subprocess.Popen[bytes]:
    """Start a server, and wait until it answers."""
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, start_new_session=True, env=environment)
    while health(port, 2) == float("inf"):
        if process.poll() is not None:
            raise RuntimeError(f"{' '.join(command)} has ended")
        time.sleep(0.05)
    return process


def stop(process: subprocess.Popen[bytes]) -> None:
    """End a server and its processes."""
    for name in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, name)
        with suppress(subprocess.TimeoutExpired):
            process.wait(10)


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path, help="folder of a run without a backbone, with its bundle")
    parser.add_argument("recording", type=Path)
    parser.add_argument("--bundle", type=Path, help="another bundle of the same network")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--port", type=int, default=8775)
    parser.add_argument("--serve", nargs="*", default=[], metavar="OPTION", help="options of serve, without --")
    options = parser.parse_args()
    os.environ[RUN] = str(options.run)
    data = options.recording.read_bytes()
    bundle = options.bundle or options.run / "release/bundle"
    arguments = [f"--{text}" for text in options.serve]
    servers: dict[str, tuple[int, subprocess.Popen[bytes]]] = {}
    found = {name: Figures() for name in (OURS, REFERENCE)}
    try:
        for number, (name, command) in enumerate(commands(bundle, options.port, options.workers, arguments).items()):
            servers[name] = (options.port + number, started(command, options.port + number))
        for port, _ in servers.values():
            load(port, data, 4 * options.workers, 4.0, Figures())
        for number in range(options.rounds):
            for clients in options.clients:
                for name in (OURS, REFERENCE) if number % 2 else (REFERENCE, OURS):
                    port, process = servers[name]
                    figures = found[name]
                    before, answers = processor_time(process.pid), figures.answers
                    load(port, data, clients, options.seconds, figures)
                    used = (processor_time(process.pid) - before) / max(1, figures.answers - answers)
                    figures.cpu.setdefault(clients, []).append(1000 * used)
        for name, (_, process) in servers.items():
            found[name].memory.append(memory(process.pid))
    finally:
        for _, process in servers.values():
            stop(process)
    print_table(found, options.clients)


def print_table(found: dict[str, Figures], clients: list[int]) -> None:
    """Print the medians of both servers and of the ratios of each round."""
    print(f"| | {OURS} | {REFERENCE} | ratio |\n|---|---|---|---|")
    rows: list[tuple[str, str, Callable[[Figures], list[float]]]] = []
    for n in clients:
        who = f"{n} client{'s' * (n > 1)}"
        rows += [
            (f"{who}: answers/s", ".0f", lambda f, n=n: f.rates[n]),
            (f"{who}: p50, ms", ".1f", lambda f, n=n: f.p50[n]),
            (f"{who}: p99, ms", ".1f", lambda f, n=n: f.p99[n]),
            (f"{who}: p99 / p50", ".2f", lambda f, n=n: [b / a for a, b in zip(f.p50[n], f.p99[n], strict=True)]),
            (f"{who}: CPU of the server, ms an answer", ".1f", lambda f, n=n: f.cpu[n]),
        ]
    rows.append(("memory (PSS), MB", ".0f", lambda f: f.memory))
    rows.append(("failed", ".0f", lambda f: [float(f.failed)]))
    ours, reference = found[OURS], found[REFERENCE]
    for title, digits, values in rows:
        a, b = values(ours), values(reference)
        ratio = statistics.median(x / y for x, y in zip(a, b, strict=True)) if all(b) else float("nan")
        print(f"| {title} | {statistics.median(a):{digits}} | {statistics.median(b):{digits}} | {ratio:.2f} |")


if __name__ == "__main__":
    main()
