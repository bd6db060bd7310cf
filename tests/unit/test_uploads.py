"""Bodies of requests: chunked, too large, cut off, damaged; forms of other clients; headers that are variables of WSGI."""

import http.client
import io
import json
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote_from_bytes, urlsplit

import numpy as np
import pytest
import soundfile
from werkzeug.wrappers import Request

from autobird.serving.form import NoRecordingField, Part, recordings_of
from autobird.serving.spool import Spool
from autobird.serving.upload import Uploads, _unquoted
from tests.unit.test_predict import make_bundle
from tests.unit.test_server import Server, start

VOLATILE = ("request", "prediction", "seconds", "file")
"""What differs between answers for the same recording."""

CASES = Path(__file__).parents[3] / "shared/cases"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("server")
    running = start(make_bundle(folder / "bundle"), folder / "log.sqlite", "--workers", "2", "--max-megabytes", "1")
    yield running
    running.process.terminate()
    _, errors = running.process.communicate(timeout=30)
    assert errors == ""


@pytest.fixture(scope="module")
def song() -> bytes:
    """7 s of noise, about 0.2 MB."""
    file = io.BytesIO()
    soundfile.write(file, 0.1 * np.random.default_rng(0).standard_normal(7 * 16000), 16000, format="FLAC")
    return file.getvalue()


def send(server: Server, head: str, body: bytes, end: bool = False) -> tuple[int, dict[str, str], Any]:
    """Send raw bytes, and close the sending side if `end`; return status, headers and body (decoded if it is JSON)."""
    address = urlsplit(server.url)
    with socket.create_connection((address.hostname, address.port), timeout=30) as connection:
        connection.sendall(head.replace("\n", "\r\n").encode("latin-1") + b"\r\n" + body)
        if end:
            connection.shutdown(socket.SHUT_WR)
        response = http.client.HTTPResponse(connection)
        response.begin()
        text = response.read()
        value = json.loads(text) if "json" in (response.headers["Content-Type"] or "") else text.decode()
        if isinstance(value, dict):
            for name in VOLATILE:
                value.pop(name, None)
        return response.status, dict(response.headers), value


def chunks(data: bytes, size: int = 7000) -> bytes:
    parts = (data[at : at + size] for at in range(0, len(data), size))
    return b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"


CHUNKED = "POST /v1/predict HTTP/1.1\nHost: localhost\nTransfer-Encoding: chunked\n"
FORM = "Content-Type: multipart/form-data; boundary=xyz\n"


def form(*fields: tuple[str, bytes], end: bytes = b"--xyz--\r\n") -> bytes:
    """A multipart form: for each field its headers after `Content-Disposition: form-data`, and its content."""
    return b"".join(
        b"--xyz\r\nContent-Disposition: form-data" + headers.encode() + b"\r\n\r\n" + data + b"\r\n"
        for headers, data in fields
    ) + end  # fmt: skip


def with_length(body: bytes, headers: str = "") -> str:
    return f"POST /v1/predict HTTP/1.1\nHost: localhost\nContent-Length: {len(body)}\n{headers}"


def test_a_chunked_upload_is_answered_like_one_with_a_length(server: Server, song: bytes) -> None:
    _, _, expected = send(server, with_length(song), song)
    status, _, value = send(server, CHUNKED, chunks(song))
    assert (status, value) == (200, expected)
    status, _, value = send(server, CHUNKED + FORM, chunks(form(('; name="file"; filename="a.flac"', song))))
    assert (status, value) == (200, expected)


@pytest.mark.parametrize("size", [1_000_001, 1_000_000 + (1 << 16), 3_000_000])
def test_an_upload_over_the_limit_is_too_large_whether_or_not_it_declares_its_length(server: Server, size: int) -> None:
    samples = 0.1 * np.random.default_rng(0).standard_normal(size // 2)
    file = io.BytesIO()
    soundfile.write(file, samples, 16000, format="WAV")
    recording = file.getvalue()[:size]
    text = form(('; name="file"; filename="a.wav"', recording))
    for head, body in (
        (with_length(recording), recording),
        (CHUNKED, chunks(recording, 60_000)),
        (with_length(text, FORM), text),
        (CHUNKED + FORM, chunks(text, 60_000)),
        (CHUNKED + FORM, chunks(form(('; name="file"', recording)), 60_000)),
    ):
        status, _, value = send(server, head, body)
        assert (status, value["title"]) == (413, "Upload too large")
        assert value["detail"] == (
            "the upload is larger than 1 MB; send a shorter or compressed recording, or send it to /v1/jobs (a server with --state)"
        )


def test_an_upload_of_exactly_the_limit_is_accepted(server: Server) -> None:
    file = io.BytesIO()
    soundfile.write(file, 0.1 * np.random.default_rng(0).standard_normal(499_978), 16000, format="WAV")
    recording = file.getvalue()
    assert len(recording) == 1_000_000
    for head, body in ((with_length(recording), recording), (CHUNKED, chunks(recording))):
        assert send(server, head, body)[0] == 200


def test_eighty_megabytes_in_chunks_are_too_large_for_the_default_limit(tmp_path: Path) -> None:
    """Case f08: 104 s of 384 kHz, which were answered for the first 83 s."""
    server = start(make_bundle(tmp_path / "bundle"), tmp_path / "log.sqlite", "--workers", "1")
    try:
        file = io.BytesIO()
        soundfile.write(file, np.zeros(384_000, np.int16), 384_000, format="WAV")
        second = file.getvalue()

        def recording() -> Iterator[bytes]:
            # Sizes of 4 GB, as in a header that is written before the length is known.
            yield second[:4] + b"\xff" * 4 + second[8:40] + b"\xff" * 4 + second[44:]
            for _ in range(103):
                yield second[44:]

        address = urlsplit(server.url)
        connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=60)
        connection.request(
            "POST", "/v1/predict", recording(), encode_chunked=True, headers={"Transfer-Encoding": "chunked"}
        )
        response = connection.getresponse()
        assert response.status == 413
        assert json.loads(response.read())["detail"].startswith("the upload is larger than 64 MB")
        if (CASES / "f08_chunked.sh").is_file() and shutil.which("ffmpeg") and shutil.which("curl"):
            done = subprocess.run(
                ["sh", CASES / "f08_chunked.sh", server.url], capture_output=True, text=True, check=True
            )
            assert '"status": 413' in done.stdout
    finally:
        server.process.terminate()
        server.process.wait(30)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.999])
def test_a_body_shorter_than_its_declared_length_is_not_answered(server: Server, song: bytes, share: float) -> None:
    text = form(('; name="file"; filename="a.flac"', song))
    for body, headers in ((song, ""), (text, FORM)):
        sent = int(share * len(body))
        status, _, value = send(server, with_length(body, headers), body[:sent], end=True)
        assert (status, value["title"]) == (400, "Incomplete upload")
        assert f"the body ended after {sent} of the {len(body)} bytes that Content-Length declares" in value["detail"]


@pytest.mark.parametrize(
    "body",
    [
        b"zz\r\nabc\r\n0\r\n\r\n",
        b"-5\r\nabc\r\n0\r\n\r\n",
        b"\r\n\r\n",
        b"5\r\nabcdefgh\r\n0\r\n\r\n",
        b"5;=\r\nabcde\r\n0\r\n\r\n",
        b"5\r\nabcde\r\n",
        b"ffffffffffffffffff\r\nabc",
        b"",
    ],
)
def test_bad_or_unfinished_chunks_are_a_bad_request(server: Server, song: bytes, body: bytes) -> None:
    for content, headers in ((song, ""), (form(('; name="file"; filename="a.flac"', song)), FORM)):
        for start_of_body in (b"", chunks(content).removesuffix(b"0\r\n\r\n")):
            status, _, value = send(server, CHUNKED + headers, start_of_body + body, end=True)
            assert status == 400
            assert "Traceback" not in str(value)
            assert value["title"] == "Broken upload"


def test_forms_of_other_clients_are_understood(server: Server, song: bytes) -> None:
    _, _, expected = send(server, with_length(song), song)
    for fields in (
        [('; name="file"', song)],
        [('; name="file"; filename=""', song)],
        [('; name="audio"; filename="a.flac"', song)],
        [("; name=file; filename*=UTF-8''a%20b.flac", song)],
        [('; name="recording"', song)],
        [("", song)],
        [('; name="recording"\r\nContent-Type: audio/flac', song), ('; name="comment"', b"at the lake, \xc3\xa4")],
        [('; name="comment"', b"at the lake"), ('; name="audio"', song), ('; name="spectrogram"', b"0")],
        [('; name="file"', song), ('; name="photo"; filename="a.jpg"', b"\xff\xd8\xff\xe0 picture")],
        [('; name="file"', b"the recording of May"), ('; name="upload"; filename="a.flac"', song)],
        [('; name="file"; filename="a.flac"', song), ('; name="file"; filename=""', b"")],
    ):
        body = form(*fields)
        status, _, value = send(server, with_length(body, FORM), body)
        assert (status, value) == (200, expected), fields
    encoded = b"comment=at+the+lake&file=" + quote_from_bytes(song).encode()
    status, _, value = send(server, with_length(encoded, "Content-Type: application/x-www-form-urlencoded\n"), encoded)
    assert (status, value) == (200, expected)
    # The content type that `curl --data-binary @a.flac` sends.
    status, _, value = send(server, with_length(song, "Content-Type: application/x-www-form-urlencoded\n"), song)
    assert (status, value) == (200, expected)


def test_an_ambiguous_or_empty_form_is_refused_with_what_was_sent_and_what_is_expected(
    server: Server, song: bytes
) -> None:
    expected = "; send the recording as the body of the request, or as the field `file` of a multipart form"
    for fields, sent in (
        ([], "the form has no fields"),
        ([('; name="file"; filename=""', b"")], "the form has only empty fields ('file', 0 bytes)"),
        (
            [('; name="one"; filename="a.flac"', song), ('; name="two"; filename="b.flac"', song)],
            f"the form has 2 fields that may be the recording ('one', file 'a.flac', {len(song)} bytes; "
            f"'two', file 'b.flac', {len(song)} bytes)",
        ),
        (
            [(f'; name="{n}"', b"words") for n in range(7)],
            "the form has 7 fields that may be the recording ('0', 5 bytes; '1', 5 bytes; '2', 5 bytes; '3', 5 bytes; "
            "'4', 5 bytes; and 2 more)",
        ),
    ):
        body = form(*fields)
        status, _, value = send(server, with_length(body, FORM), body)
        assert (status, value["title"], value["detail"]) == (400, "No recording", sent + expected)
    body = form(('; name="file"', b"recording.wav"))
    status, _, value = send(server, with_length(body, FORM), body)
    assert (status, value["detail"]) == (422, "text, not audio")


def test_a_damaged_form_is_refused_whole(server: Server, song: bytes) -> None:
    complete = form(('; name="file"; filename="a.flac"', song))
    for body, headers, title in (
        (complete.removesuffix(b"\r\n--xyz--\r\n"), FORM, "Damaged form"),
        (complete, FORM.replace("xyz", "abc"), "Damaged form"),
        (complete, "Content-Type: multipart/form-data\n", "Damaged form"),
        (complete, "Content-Type: multipart/mixed; boundary=xyz\n", "Damaged form"),
        (b"--xyz\r\n\r\n" + song + b"\r\n--xyz--\r\n", FORM, "Damaged form"),
        (b"--xyz\r\n" + b"a: b\r\n" * 4_000 + complete[7:], FORM, "Damaged form"),
        (b"p" * 200_000 + b"\r\n" + complete, FORM, "Damaged form"),
    ):
        status, _, value = send(server, with_length(body, headers), body)
        assert (status, value["title"]) == (400, title)
        assert "send the recording" in value["detail"]


def test_a_form_with_very_many_fields_is_not_called_too_large(server: Server) -> None:
    body = form(*[('; name="a"', b"1")] * 101)
    encoded = b"&".join([b"a=1"] * 101)
    for data, headers in ((body, FORM), (encoded, "Content-Type: application/x-www-form-urlencoded\n")):
        status, _, value = send(server, with_length(data, headers), data)
        assert (status, value["title"]) == (413, "Too many fields")
        assert value["detail"].startswith("the form has more than 100 fields; send the recording as the body")


def test_a_compressed_body_is_refused_with_the_name_of_the_header(server: Server, song: bytes) -> None:
    status, _, value = send(server, with_length(song, "Content-Encoding: gzip\n"), song)
    assert status == 415
    assert value["detail"] == "Content-Encoding 'gzip' is not supported; send the recording without it"
    assert send(server, with_length(song, "Content-Encoding: identity\n"), song)[0] == 200


def test_url_encoded_bytes_are_decoded() -> None:
    data = bytes(range(256)) * 3 + b" = %41 +\r\n"
    assert _unquoted(quote_from_bytes(data, safe="").encode()) == data
    assert _unquoted(b"a+b%3Dc=d") == b"a b=c=d"


def test_many_small_files_of_a_form_are_not_all_kept_in_memory(tmp_path: Path) -> None:
    one = b"x" * 900_000
    body = form(*((f'; name="file"; filename="{n}"', one) for n in range(10)))
    headers = {"Content-Type": "multipart/form-data; boundary=xyz"}
    request = Request.from_values(method="POST", data=body, headers=headers)
    with Uploads(request, 10**8, 10, (), tmp_path) as uploads:
        contents = [source if isinstance(source, bytes) else source.read_bytes() for _, source in uploads.files]
        assert contents == [one] * 10
        assert sum(len(source) for _, source in uploads.files if isinstance(source, bytes)) <= 4 << 20
    assert list(tmp_path.iterdir()) == []


def test_the_field_of_a_form_is_chosen_by_content_if_it_has_no_file_name() -> None:
    def part(name: str, data: bytes) -> Part:
        spool = Spool()
        spool.write(data)
        return Part(name, None, "", spool)

    def chosen(*parts: Part) -> list[bytes]:
        return [part.data.read() for part in recordings_of(parts)]

    assert chosen(part("a", b"words"), part("b", b"RIFF\x00\x01")) == [b"RIFF\x00\x01"]
    assert chosen(part("a", "ä".encode() * 5000), part("b", b"\xff\xfb\x90\x00")) == [b"\xff\xfb\x90\x00"]
    assert chosen(part("file", b"\xff\xfb"), part("b", b"\xff\xfb"), part("file", b"\0\1")) == [b"\xff\xfb", b"\0\1"]
    with pytest.raises(NoRecordingField, match="2 fields"):
        chosen(part("a", b"\xff\xfb"), part("b", b"\xff\xfb"))


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/v1/predict", {"POST", "OPTIONS"}),
        ("DELETE", "/v1/species", {"GET", "HEAD", "OPTIONS"}),
        ("TRACE", "/", {"GET", "HEAD", "OPTIONS"}),
        ("BREW", "/healthz", {"GET", "HEAD", "OPTIONS"}),
    ],
)
def test_a_wrong_method_is_answered_with_the_allowed_ones(
    server: Server, method: str, path: str, allowed: set[str]
) -> None:
    status, headers, value = send(server, f"{method} {path} HTTP/1.1\nHost: localhost\n", b"")
    assert (status, headers["Content-Type"]) == (405, "application/problem+json")
    assert set(headers["Allow"].split(", ")) == allowed
    assert value["status"] == 405


@pytest.mark.parametrize("name", ["SCRIPT_NAME", "PATH_INFO", "Script-Name", "Path-Info", "REMOTE_ADDR", "REQUEST_METHOD", "wsgi.input",
                                  "wsgi.url_scheme", "CONTENT_LENGTH", "CONTENT_TYPE", "QUERY_STRING", "SERVER_NAME", "SERVER_PORT",
                                  "HTTP_HOST", "X_FORWARDED_PROTO", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Prefix",
                                  "Forwarded", "Proxy"])  # fmt: skip
def test_headers_named_like_variables_of_wsgi_have_no_effect(server: Server, song: bytes, name: str) -> None:
    for value in ("/elsewhere", "5", "", "\xff"):
        status, _, body = send(server, f"GET /healthz HTTP/1.1\nHost: localhost\n{name}: {value}\n", b"")
        assert (status, body["status"]) == (200, "ok")
        assert send(server, with_length(song, f"{name}: {value}\n"), song)[0] == 200


def test_hostile_hosts_and_paths_are_no_internal_errors(server: Server) -> None:
    for host in ("x", "[::1", "a" * 300, "\xff", "a b", "..", "x:99999", "x:y"):
        assert send(server, f"GET /healthz HTTP/1.1\nHost: {host}\n", b"")[0] in (200, 400, 421)
    for path in ("/%ff", "/%00", "//healthz", "/v1/predict/", "/healthz?%ff=%00", "/../etc/passwd", "/%2e%2e/"):
        assert send(server, f"GET {path} HTTP/1.1\nHost: localhost\n", b"")[0] in (200, 308, 400, 404, 405)


def test_other_clients_are_served_beside_slow_uploads(server: Server, song: bytes) -> None:
    """Case f07: as many uploads in progress as workers."""
    address = urlsplit(server.url)
    uploads = [socket.create_connection((address.hostname, address.port)) for _ in range(2)]
    try:
        for upload in uploads:
            upload.sendall(with_length(song).replace("\n", "\r\n").encode() + b"\r\n" + song[:1000])
        connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=2)
        connection.request("GET", "/healthz")
        assert connection.getresponse().status == 200
    finally:
        for upload in uploads:
            upload.close()
