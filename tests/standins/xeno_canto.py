"""A stand-in for xeno-canto on this machine: its API of version 3 and its files, with the manners of a bad day."""

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

KEY = "a-secret-key"


@dataclass
class Mood:
    """What goes wrong.

    Attributes:
        throttle: every n-th request is answered 429 with a Retry-After of 0 seconds.
        fail: every n-th request is answered 503.
        cut: files are cut off after so many bytes of each answer.
        lie: numbers of recordings whose length is announced too large.
        withdrawn: numbers of recordings that answer 404.
        ranges: whether a part of a file can be asked for.
        closed: connections are dropped before any answer.
    """

    throttle: int = 0
    fail: int = 0
    cut: int = 0
    lie: set[str] = field(default_factory=set)
    withdrawn: set[str] = field(default_factory=set)
    ranges: bool = True
    closed: bool = False


@dataclass
class StandIn:
    """A running server.

    Attributes:
        url: its address.
        entries: what the API lists; `file` is filled in.
        files: sound by number.
        mood: what goes wrong.
        requests: (seconds, path) of every request that came.
        sent: bytes of sound that were sent, by number.
    """

    url: str
    entries: list[dict[str, Any]]
    files: dict[str, Path | bytes]
    mood: Mood = field(default_factory=Mood)
    requests: list[tuple[float, str]] = field(default_factory=list)
    sent: Counter[str] = field(default_factory=Counter)

    @property
    def api(self) -> str:
        """Address of the API."""
        return f"{self.url}/api/3/recordings"

    def sound(self, number: str) -> bytes:
        """The file of a recording."""
        found = self.files[number]
        return found.read_bytes() if isinstance(found, Path) else found

    def settings(self, **more: Any) -> dict[str, Any]:
        """The section `corpus` of a run that asks this server."""
        species = sorted({f"{e['gen']} {e['sp']}" for e in self.entries})
        asks = {"species": species, "api": self.api, "per_page": 50} | more
        return {"type": "xeno_canto", "xeno_canto": asks, "fetch": {"interval": 0, "patience": 20}}


def entry(number: str, species: str, file_name: str, **known: str) -> dict[str, Any]:
    """One recording as the API tells it; https://xeno-canto.org/explore/api lists the fields."""
    genus, _, epithet = species.partition(" ")
    return {
        "id": number, "gen": genus, "sp": epithet, "ssp": "", "grp": "birds", "en": "", "rec": "", "cnt": "", "loc": "",
        "lat": "", "lon": "", "alt": "", "type": "song", "sex": "", "stage": "", "method": "field recording",
        "url": f"//xeno-canto.org/{number}", "file": "", "file-name": file_name,
        "sono": {"small": f"//xeno-canto.org/sounds/{number}-small.png"}, "osci": {}, "lic": "", "q": "A",
        "length": "0:10", "time": "", "date": "", "uploaded": "2020-01-01", "also": [], "rmk": "",
        "animal-seen": "no", "playback-used": "no", "temp": "", "regnr": "", "auto": "no", "dvc": "", "mic": "", "smp": "44100",
    } | known  # fmt: skip


@contextmanager
def serve(entries: list[dict[str, Any]], files: dict[str, Path | bytes]) -> Iterator[StandIn]:
    """Run the stand-in on a free port."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *arguments: object) -> None:
            pass

        def do_GET(self) -> None:
            here.requests.append((time.monotonic(), self.path))
            mood, count = here.mood, len(here.requests)
            if mood.closed:
                self.close_connection = True
                return
            if mood.throttle and count % mood.throttle == 0:
                self._say(429, b"slow down", {"Retry-After": "0"})
            elif mood.fail and count % mood.fail == 0:
                self._say(503, b"busy")
            elif self.path.startswith("/api/3/recordings?"):
                self._list(parse_qs(urlsplit(self.path).query))
            elif self.path.startswith("/sound/"):
                self._sound(unquote(self.path.split("/")[2]))
            else:
                self._say(404, b'{"error": "not_found"}')

        def _list(self, query: dict[str, list[str]]) -> None:
            if query.get("key") != [KEY]:
                self._say(401, b'{"error": "client_error", "message": "Missing or invalid key"}')
                return
            asked = query["query"][0]
            species = re.search(r'sp:"([^"]+)"', asked)
            found = [e for e in here.entries if not species or f"{e['gen']} {e['sp']}".lower() == species[1]]
            page, size = int(query["page"][0]), int(query["per_page"][0])
            part = found[(page - 1) * size : page * size]
            answer = {
                "numRecordings": str(len(found)), "numSpecies": "1", "page": page,
                "numPages": -(-len(found) // size), "recordings": part,
            }  # fmt: skip
            self._say(200, json.dumps(answer).encode(), {"Content-Type": "application/json"})

        def _sound(self, number: str) -> None:
            mood = here.mood
            if number not in here.files or number in mood.withdrawn:
                self._say(404, b"gone")
                return
            data, first = here.sound(number), 0
            total = len(data) + (1000 if number in mood.lie else 0)
            wanted = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
            headers = {"Accept-Ranges": "bytes"}
            if wanted and mood.ranges:
                first = int(wanted[1])
                if first >= total:
                    self._say(416, b"", {"Content-Range": f"bytes */{total}"})
                    return
                headers["Content-Range"] = f"bytes {first}-{total - 1}/{total}"
            body = data[first : first + mood.cut] if mood.cut else data[first:]
            here.sent[number] += len(body)
            self._say(206 if "Content-Range" in headers else 200, body, headers, total - first)

        def _say(
            self, status: int, body: bytes, headers: dict[str, str] | None = None, length: int | None = None
        ) -> None:
            self.send_response(status)
            for name, value in (headers or {}).items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body) if length is None else length))
            self.end_headers()
            self.wfile.write(body)
            if length not in (None, len(body)):
                self.close_connection = True

    class Server(ThreadingHTTPServer):
        def handle_error(self, *arguments: object) -> None:
            pass  # a client that hangs up is part of the day

    server = Server(("127.0.0.1", 0), Handler)
    here = StandIn(f"http://127.0.0.1:{server.server_address[1]}", entries, files)
    for e in entries:
        e["file"] = e["file"] or f"{here.url}/sound/{e['id']}/download"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield here
    finally:
        server.shutdown()
        server.server_close()


def shuffled(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The same entries in another order, as an API may give them."""
    return random.Random(1).sample(entries, len(entries))


def from_sources(table: list[dict[str, str]], root: Path) -> tuple[list[dict[str, Any]], dict[str, Path | bytes]]:
    """Entries and files of recordings that lie in a folder as `<Genus>_<species>/XC<number>.<extension>`.

    Args:
        table: rows of its SOURCES.csv.
        root: the folder.
    """
    entries, files = [], dict[str, Path | bytes]()
    for row in table:
        path = root / row["file"]
        number = path.stem.removeprefix("XC")
        seconds = float(row["duration_s"])
        entries.append(
            entry(
                number, row["species"], path.name, rec=row["recordist"], date=row["date"], loc=row["location"],
                lat=row["lat"], lon=row["lon"], length=f"{int(seconds // 60)}:{int(seconds % 60):02d}",
            )
        )  # fmt: skip
        files[number] = path
    return shuffled(entries), files
