"""Send hostile requests to a server: `python -m tests.load.hostile BUNDLE --requests 10000 --seed 0` prints a table.

No request may give a status above 499 that the API does not declare, end a worker process, reveal a path or a trace, or change
the answer of the next honest request; the memory stays flat; and each answered recording has its row in the log.
"""

import argparse
import json
import socket
import sqlite3
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks.server_fronts import memory
from tests.load.requests_of import PREDICT, hostile_request, recordings
from tests.unit.test_server import Server, start

DECLARED = {501, 503, 505, 507}
"""Statuses of 500 and more that the API declares: encoding of the body not known, busy, HTTP version, no space for a job."""

_SECRETS = (b"Traceback", b"site-packages", b"autobird/serving", b'File "', b"/tmp/")

_SECONDS = 30.0
"""Longest wait for an answer."""

_COMPLETE_SECONDS = 2.0
"""Time after which the client closes its sending side, so that an incomplete request is answered before its deadline."""


@dataclass(frozen=True)
class Outcome:
    """What a request led to: status (0: the connection was closed without an answer), faults found, recordings answered."""

    kind: str
    status: int
    faults: tuple[str, ...]
    answered: int
    seconds: float


def send(address: tuple[str, int], kind: str, data: bytes) -> Outcome:
    """Send a request, and judge the answer."""
    start, answer = time.monotonic(), bytearray()
    with socket.create_connection(address, timeout=_SECONDS) as client:
        with suppress(BrokenPipeError, ConnectionResetError):
            client.sendall(data)
        client.settimeout(_COMPLETE_SECONDS)
        while not _is_complete(answer):
            try:
                block = client.recv(1 << 16)
            except TimeoutError:
                if time.monotonic() - start > _SECONDS:
                    return Outcome(kind, 0, ("no answer",), 0, time.monotonic() - start)
                with suppress(OSError):
                    client.shutdown(socket.SHUT_WR)
                continue
            except ConnectionResetError:
                break
            if not block:
                break
            answer += block
    seconds = time.monotonic() - start
    if not answer:
        return Outcome(kind, 0, (), 0, seconds)
    return judged(kind, bytes(answer), seconds)


def _is_complete(answer: bytes) -> bool:
    head, separator, body = bytes(answer).partition(b"\r\n\r\n")
    if not separator or head.startswith(b"HTTP/1.1 100"):
        return False
    for line in head.split(b"\r\n"):
        if line.lower().startswith(b"content-length:"):
            return len(body) >= int(line.split(b":")[1])
    return False


def judged(kind: str, answer: bytes, seconds: float) -> Outcome:
    """Return the outcome of an answer."""
    while answer.startswith(b"HTTP/1.1 100"):
        answer = answer.partition(b"\r\n\r\n")[2]
    head, _, body = answer.partition(b"\r\n\r\n")
    faults, status = [], 0
    try:
        status = int(head.split(b" ", 2)[1])
    except (IndexError, ValueError):
        faults.append(f"no status line: {head[:80]!r}")
    if status >= 500 and status not in DECLARED:
        faults.append(f"status {status}: {body[:200]!r}")
    if status >= 400 and body and b"application/problem+json" not in head:
        faults.append(f"status {status} is not a problem: {head[:200]!r}")
    faults += [f"reveals {secret!r}" for secret in _SECRETS if secret in answer]
    if b"\r\nserver:" in head.lower():
        faults.append("header Server")
    answered = 0
    if status == 200 and b"application/json" in head and body.startswith(b"{"):
        with suppress(ValueError):
            value = json.loads(body)
            files = value["files"] if value.get("schema") == "autobird/answers/1" else [value]
            answered = sum("duration" in file for file in files)
    return Outcome(kind, status, tuple(faults), answered, seconds)


def _rows(log: Path) -> int:
    with sqlite3.connect(log) as connection:
        return int(connection.execute("SELECT count(*) FROM predictions").fetchone()[0])


def _metric(server: Server, name: str) -> float:
    """Return the sum of a metric over its labels."""
    lines = server.ask("/metrics")[1].decode().splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith(name))


def attack(server: Server, seed: int, numbers: range, threads: int) -> tuple[list[Outcome], list[str]]:
    """Send the requests with these numbers; return their outcomes and all faults."""
    host, _, port = server.url.removeprefix("http://").partition(":")
    replaced, rows = _metric(server, "autobird_processes_replaced_total"), _rows(server.log)
    _, before, _ = server.ask(PREDICT, recordings()[0])

    def one(number: int) -> Outcome:
        return send((host, int(port)), *hostile_request(seed, number))

    with ThreadPoolExecutor(threads) as executor:
        outcomes = list(executor.map(one, numbers))
    faults = [
        f"request {number} of seed {seed} ({outcome.kind}): {fault}"
        for number, outcome in zip(numbers, outcomes, strict=True)
        for fault in outcome.faults
    ]
    status, after, _ = server.ask(PREDICT, recordings()[0])
    if status != 200 or after["species"] != before["species"]:
        faults.append("the answer of an honest request has changed")
    if dead := _metric(server, "autobird_processes_replaced_total") - replaced:
        faults.append(f"{dead:.0f} worker processes have ended")
    known = sum(outcome.answered for outcome in outcomes) + 2
    predictions = _metric(server, "autobird_predictions_total")
    if _rows(server.log) - rows < known:
        faults.append(f"{known} recordings were answered as JSON, but the log has {_rows(server.log) - rows} rows more")
    if _rows(server.log) != predictions:
        faults.append(f"{predictions:.0f} predictions were counted, but the log has {_rows(server.log)} rows")
    return outcomes, faults


def table(outcomes: list[Outcome]) -> str:
    """Return the number of requests by kind and status as a table."""
    statuses = sorted({outcome.status for outcome in outcomes})
    lines = [
        "| requests | " + " | ".join(str(s or "closed") for s in statuses) + " | slowest, s |",
        "|---" * (len(statuses) + 2) + "|",
    ]
    for kind in sorted({outcome.kind for outcome in outcomes}):
        found = [outcome for outcome in outcomes if outcome.kind == kind]
        counts = Counter(outcome.status for outcome in found)
        slowest = max(outcome.seconds for outcome in found)
        lines.append(f"| {kind} | " + " | ".join(str(counts[s]) for s in statuses) + f" | {slowest:.1f} |")
    return "\n".join(lines)


def main() -> None:
    """Send the requests in ten parts, and print outcomes, memory after each part and faults."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=48)
    options = parser.parse_args()
    outcomes: list[Outcome] = []
    faults: list[str] = []
    used = []
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log.sqlite"
        server = start(
            options.bundle,
            log,
            "--workers",
            "2",
            "--state",
            f"{folder}/state",
            "--header-seconds",
            "5",
            "--body-seconds",
            "5",
        )
        try:
            time.sleep(3)  # until both worker processes are ready
            size = -(-options.requests // 10)
            for at in range(0, options.requests, size):
                found, new = attack(server, options.seed, range(at, min(options.requests, at + size)), options.threads)
                outcomes += found
                faults += new
                used.append(memory(server.process.pid))
                print(f"{len(outcomes)} requests, {used[-1]:.0f} MB, {len(faults)} faults", file=sys.stderr)
        finally:
            server.process.terminate()
            _, messages = server.process.communicate(timeout=60)
    print(table(outcomes))
    print(f"\nmemory after each tenth, MB: {', '.join(f'{m:.0f}' for m in used)}; {len(messages)} bytes on stderr")
    print("\n".join(faults) or "no faults")
    print(messages[:10_000], file=sys.stderr)
    sys.exit(bool(faults))


if __name__ == "__main__":
    main()
