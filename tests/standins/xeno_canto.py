"""A local server with the API (version 3) and the files of xeno-canto, which can be made to fail in the ways servers fail."""

import json
import random
import re
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

API_KEY = "a-secret-key"


@dataclass
class Faults:
    """Faults that the server simulates.

    Attributes:
        throttle: every n-th request is answered with status 429 and a Retry-After of 0 seconds; 0 for none.
        fail: every n-th request is answered with status 503; 0 for none.
        cut: the connection is closed after so many bytes of a file; 0 for never.
        wrong_length: numbers of recordings whose declared length is larger than the file.
        withdrawn: numbers of recordings that are answered with status 404.
        ranges: whether the server supports Range requests.
        closed: whether connections are closed without an answer.
        refused: status with which files of these numbers are answered, by number.
        retry_after: value of the header Retry-After, with status 503, of the next requests, first one first.
        missing: number of recordings that the last page lacks, although the API announces them.
    """

    throttle: int = 0
    fail: int = 0
    cut: int = 0
    wrong_length: set[str] = field(default_factory=set)
    withdrawn: set[str] = field(default_factory=set)
    ranges: bool = True
    closed: bool = False
    refused: dict[str, int] = field(default_factory=dict)
    retry_after: list[str] = field(default_factory=list)
    missing: int = 0


@dataclass
class FakeServer:
    """A running server.

    Attributes:
        url: its address.
        entries: the recordings that the API lists; an empty `file` is filled in.
        files: audio files or their bytes, by number.
        faults: the faults that it simulates.
        requests: time in seconds and path of every request received.
        sent: bytes of audio sent, by number.
    """

    url: str
    entries: list[dict[str, Any]]
    files: dict[str, Path | bytes]
    faults: Faults = field(default_factory=Faults)
    requests: list[tuple[float, str]] = field(default_factory=list)
    sent: Counter[str] = field(default_factory=Counter)

    @property
    def api(self) -> str:
        """Address of the API."""
        return f"{self.url}/api/3/recordings"

    def audio(self, number: str) -> bytes:
        """Return the file of a recording."""
        file = self.files[number]
        return file.read_bytes() if isinstance(file, Path) else file

    def settings(self, **changes: Any) -> dict[str, Any]:
        """Return the section `corpus` of a run that uses this server, with changes to the section `xeno_canto`."""
        species = sorted({f"{e['gen']} {e['sp']}" for e in self.entries})
        xeno_canto = {"species": species, "api": self.api, "per_page": 50} | changes
        return {"type": "xeno_canto", "xeno_canto": xeno_canto, "fetch": {"interval": 0, "retry_seconds": 20}}


def entry(number: str, species: str, file_name: str, **fields: Any) -> dict[str, Any]:
    """Return a recording as the API describes it (https://xeno-canto.org/explore/api lists the fields)."""
    genus, _, epithet = species.partition(" ")
    return {
        "id": number, "gen": genus, "sp": epithet, "ssp": "", "grp": "birds", "en": "", "rec": "", "cnt": "", "loc": "",
        "lat": "", "lon": "", "alt": "", "type": "song", "sex": "", "stage": "", "method": "field recording",
        "url": f"//xeno-canto.org/{number}", "file": "", "file-name": file_name,
        "sono": {"small": f"//xeno-canto.org/sounds/{number}-small.png"}, "osci": {}, "lic": "", "q": "A",
        "length": "0:10", "time": "", "date": "", "uploaded": "2020-01-01", "also": [], "rmk": "",
        "animal-seen": "no", "playback-used": "no", "temp": "", "regnr": "", "auto": "no", "dvc": "", "mic": "", "smp": "44100",
    } | fields  # fmt: skip


@contextmanager
def serve(entries: list[dict[str, Any]], files: dict[str, Path | bytes]) -> Iterator[FakeServer]:
    """Run the server on a free port of this machine.

    Args:
        entries: the recordings that its API lists.
        files: their audio files, by number.
    """

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *arguments: object) -> None:
            pass

        def do_GET(self) -> None:
            fake.requests.append((time.monotonic(), self.path))
            faults, count = fake.faults, len(fake.requests)
            if faults.closed:
                self.close_connection = True
                return
            if faults.retry_after:
                self._answer(503, b"busy", {"Retry-After": faults.retry_after.pop(0)})
            elif faults.throttle and count % faults.throttle == 0:
                self._answer(429, b"slow down", {"Retry-After": "0"})
            elif faults.fail and count % faults.fail == 0:
                self._answer(503, b"busy")
            elif self.path.startswith("/api/3/recordings?"):
                self._answer_query(parse_qs(urlsplit(self.path).query))
            elif self.path.startswith("/sound/"):
                self._answer_audio(unquote(self.path.split("/")[2]))
            else:
                self._answer(404, b'{"error": "not_found"}')

        def _answer_query(self, query: dict[str, list[str]]) -> None:
            if query.get("key") != [API_KEY]:
                self._answer(401, b'{"error": "client_error", "message": "Missing or invalid key"}')
                return
            species = re.search(r'sp:"([^"]+)"', query["query"][0])
            found = [e for e in fake.entries if not species or f"{e['gen']} {e['sp']}".lower() == species[1]]
            page, size = int(query["page"][0]), int(query["per_page"][0])
            listed = found[: len(found) - fake.faults.missing]
            content = {
                "numRecordings": str(len(found)), "numSpecies": "1", "page": page,
                "numPages": -(-len(found) // size), "recordings": listed[(page - 1) * size : page * size],
            }  # fmt: skip
            self._answer(200, json.dumps(content).encode(), {"Content-Type": "application/json"})

        def _answer_audio(self, number: str) -> None:
            faults = fake.faults
            if number not in fake.files or number in faults.withdrawn:
                self._answer(404, b"gone")
                return
            if number in faults.refused:
                self._answer(faults.refused[number], b"forbidden")
                return
            data, first = fake.audio(number), 0
            total = len(data) + (1000 if number in faults.wrong_length else 0)
            requested = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
            headers = {"Accept-Ranges": "bytes"}
            if requested and faults.ranges:
                first = int(requested[1])
                if first >= total:
                    self._answer(416, b"", {"Content-Range": f"bytes */{total}"})
                    return
                headers["Content-Range"] = f"bytes {first}-{total - 1}/{total}"
            body = data[first : first + faults.cut] if faults.cut else data[first:]
            fake.sent[number] += len(body)
            self._answer(206 if "Content-Range" in headers else 200, body, headers, total - first)

        def _answer(
            self, status: int, body: bytes, headers: dict[str, str] | None = None, declared_length: int | None = None
        ) -> None:
            self.send_response(status)
            for name, value in (headers or {}).items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body) if declared_length is None else declared_length))
            self.end_headers()
            self.wfile.write(body)
            if declared_length not in (None, len(body)):
                self.close_connection = True

    class Server(ThreadingHTTPServer):
        def handle_error(self, *arguments: object) -> None:
            pass  # clients that close the connection are expected here

    server = Server(("127.0.0.1", 0), Handler)
    fake = FakeServer(f"http://127.0.0.1:{server.server_address[1]}", entries, files)
    for e in entries:
        e["file"] = e["file"] or f"{fake.url}/sound/{e['id']}/download"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield fake
    finally:
        server.shutdown()
        server.server_close()


def entries_and_files(table: list[dict[str, str]], root: Path) -> tuple[list[dict[str, Any]], dict[str, Path | bytes]]:
    """Return entries in a random order, and the files, of a folder in the layout `<Genus>_<species>/XC<number>.<extension>`.

    Args:
        table: rows of its SOURCES.csv.
        root: the folder.
    """
    entries, files = [], dict[str, Path | bytes]()
    # The table has common names in the background; xeno-canto lists scientific ones.
    scientific = {row["common_name"]: row["species"] for row in table}
    for row in table:
        path = root / row["file"]
        number = path.stem.removeprefix("XC")
        seconds = float(row["duration_s"])
        entries.append(
            entry(
                number, row["species"], path.name, rec=row["recordist"], date=row["date"], loc=row["location"],
                lat=row["lat"], lon=row["lon"], en=row["common_name"],
                also=[scientific.get(name, name) for name in row["background_species"].split(", ")],
                length=f"{int(seconds // 60)}:{int(seconds % 60):02d}",
            )
        )  # fmt: skip
        files[number] = path
    return random.Random(1).sample(entries, len(entries)), files
