"""Hostile requests, made from a seed: mutated audio, wrong types, lying lengths, bad chunks, forms, header tricks."""

import functools
import io
import json
import random
from collections.abc import Callable

import numpy as np
import soundfile

PREDICT = "/v1/predict"

_FORMATS = (("WAV", "PCM_16"), ("WAV", "FLOAT"), ("WAV", "IMA_ADPCM"), ("FLAC", "PCM_16"), ("OGG", "VORBIS"), ("OGG", "OPUS"), ("MP3", "MPEG_LAYER_III"), ("AIFF", "PCM_24"), ("W64", "PCM_16"), ("CAF", "ALAC_16"))  # fmt: skip

_QUERIES = (
    "threshold=nan", "threshold=-1", "threshold=0", "threshold=1e309", "overlap=-0", "overlap=4.9999", "overlap=inf", "top_k=-1",
    "top_k=0", "top_k=99999999999999999999", "species=%00", "species=" + "a" * 5000, "species=A&species=B", "format=csv",
    "format=raven", "format=audacity", "format=exe", "spectrogram=1", "spectrogram=maybe", "windows=0", "precision=0.9",
    "precision=x", "name=../../etc/passwd", "name=%ff%fe", "name=a%0d%0aX-Evil:1", "&&&==&", "unknown=1", "%", "a[]=1",
)  # fmt: skip

_PATHS = (
    "/", "/healthz", "/readyz", "/metrics", "/openapi.json", "/docs", "/v1/model", "/v1/species", "/v1/predictions?limit=-1",
    "/v1/predictions?before=x&limit=99999999999", "/v1/drift", "/v1/feedback", "/v1/jobs", "/v1/jobs/../../etc", "/v1/jobs/%00",
    "/static/../app.py", "/static/%2e%2e/%2e%2e/server.py", "//etc/passwd", "/v1/predict/", "/v1//predict", "/%ff", "/" + "a" * 9000,
    "*", "http://evil.example/v1/model", "/v1/predict\\..\\", "/v1/review/x", "/?x=" + "%" * 500, "/v1/predict;a=b", "/v1/predict#x",
)  # fmt: skip

_HEADERS = (
    b"Host: evil.example", b"Host: localhost\r\nHost: localhost", b"Host:", b"Host: [::1", b"Host: a b", b"Host: \xff", b"SCRIPT_NAME: /x",
    b"Script-Name: /x", b"Content-Encoding: gzip", b"Origin: https://evil.example", b"Origin: null", b"Sec-Fetch-Site: cross-site",
    b"X-Request-Id: " + b"a" * 300, b"X-Request-Id: a\tb", b"Accept: text/csv;q=nan, */*;q=-1", b"Accept: " + b"a/b," * 2000,
    b"Range: bytes=0-0,5-", b"If-None-Match: *", b"Content-Type: multipart/form-data", b"Content-Type: \xff\xfe", b"Connection: close, close",
    b"Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAMAAABkAAQAAP__", b"Expect: 200-maybe", b" folded: header",
    b"X-A: 1\r\n 2", b"no colon", b": empty name", b"X-Nul: \0", b"Cookie: " + b"a=b;" * 3000, b"Authorization: Bearer \xff",
    b"X-Forwarded-For: 1.2.3.4\r\nX-Forwarded-Host: evil", b"Transfer-Encoding: chunked, identity", b"TE: trailers", b"X: " + b"y" * 40000,
    b"\r\n".join(b"X-%d: 1" % n for n in range(1500)),
)  # fmt: skip


@functools.cache
def recordings() -> tuple[bytes, ...]:
    """Return short recordings, one of each format that this libsndfile can write."""
    samples = 0.1 * np.random.default_rng(0).standard_normal(16000)
    found = []
    for form, subtype in _FORMATS:
        file = io.BytesIO()
        try:
            soundfile.write(file, samples, 16000, format=form, subtype=subtype)
        except (soundfile.LibsndfileError, ValueError):
            continue
        found.append(file.getvalue())
    return tuple(found)


def mutated(rng: random.Random) -> bytes:
    """Return a recording with some bytes changed, most of them in its header."""
    data = bytearray(rng.choice(recordings()))
    for _ in range(rng.choice((0, 1, 1, 3, 10, 100))):
        at = rng.randrange(min(len(data), rng.choice((44, 100, len(data)))))
        kind = rng.randrange(5)
        if kind == 0:
            data[at] = rng.randrange(256)
        elif kind == 1:
            data[at : at + 4] = rng.choice(
                (b"\xff\xff\xff\xff", b"\0\0\0\0", b"\xff\xff\xff\x7f", b"\x01\0\0\0", b"\0\0\0\x80")
            )
        elif kind == 2:
            del data[at : at + rng.randrange(1, 200)]
        elif kind == 3:
            data[at:at] = rng.randbytes(rng.randrange(1, 200))
        else:
            data[at:at] = data[: rng.randrange(min(len(data), 20_000))]
        if not data:
            return b""
    return bytes(data[: rng.randrange(len(data))] if rng.random() < 0.2 else data[:300_000])


def request_of(head: str, body: bytes = b"", *headers: bytes, length: bytes | None = None, host: bool = True) -> bytes:
    """Return a request; `length` is the value of Content-Length if it is not the real one, b"" for none."""
    lines = [head.encode("utf-8", "surrogateescape") + b" HTTP/1.1"]
    if host:
        lines.append(b"Host: localhost")
    if length != b"":
        lines.append(b"Content-Length: " + (length or str(len(body)).encode()))
    return b"\r\n".join([*lines, *headers, b"Connection: close", b"", b""]) + body


def _audio(rng: random.Random) -> bytes:
    query = "?" + "&".join(rng.choices(_QUERIES, k=rng.randrange(1, 4))) if rng.random() < 0.4 else ""
    kind = rng.choice(
        (b"audio/wav", b"application/octet-stream", b"text/plain", b"image/png", b"application/json", b"x")
    )
    return request_of(f"POST {PREDICT}{query}", mutated(rng), b"Content-Type: " + kind)


def _wrong_types(rng: random.Random) -> bytes:
    method = rng.choice(("GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "TRACE", "BREW", "get", "G\x01T"))
    values = (
        None,
        [],
        {},
        "",
        1e308,
        [[[[]]]] * 50,
        {"request": 1, "start": "x", "species": []},
        {"a": None},
        "\ud800",
    )
    body = rng.choice((b"", b"{", b"null", json.dumps(rng.choice(values)).encode(), rng.randbytes(300), b"[" * 100_000))
    kind = rng.choice((b"application/json", b"text/html", b"application/x-www-form-urlencoded"))
    return request_of(f"{method} {rng.choice(_PATHS)}", body, b"Content-Type: " + kind)


def _lengths(rng: random.Random) -> bytes:
    body = mutated(rng)
    length = rng.choice((b"0", b"-1", b"1", b"99999999999999999999", b"1e3", b"0x10", b"+5", b"5, 5", b"", b" ", b"5\r\nContent-Length: 6",
                         str(len(body) + rng.randrange(1, 1000)).encode(), str(max(0, len(body) - 7)).encode(), b"64000001"))  # fmt: skip
    return request_of(f"POST {PREDICT}", body, length=length)


def _chunks(rng: random.Random) -> bytes:
    data, out = mutated(rng), bytearray()
    while data:
        size = min(len(data), rng.choice((1, 7, 1000, 70_000)))
        if size == 1 and len(data) > 2000:
            size = 500
        out += (
            b"%x" % size + rng.choice((b"", b"", b"", b";ext=1", b";" + b"a" * 2000)) + b"\r\n" + data[:size] + b"\r\n"
        )
        data = data[size:]
    out += rng.choice(
        (
            b"0\r\n\r\n",
            b"0\r\n\r\n",
            b"0\r\nX: y\r\n\r\n",
            b"",
            b"-1\r\n",
            b"fffffffffffffffff\r\n",
            b"zz\r\n",
            b"0\r\n" + b"T: x\r\n" * 3000,
        )
    )
    if rng.random() < 0.5 and out:
        at = rng.randrange(min(len(out), 40))
        out[at : at + 1] = rng.choice((b"", b"\n", b"\r", b"\0", b"g", b"\r\n"))
    coding = rng.choice(
        (b"chunked", b"chunked", b"chunked", b"Chunked", b"gzip, chunked", b"xchunked", b"chunked\r\nContent-Length: 5")
    )
    return request_of(f"POST {PREDICT}", bytes(out), b"Transfer-Encoding: " + coding, length=b"")


def _forms(rng: random.Random) -> bytes:
    boundary = rng.choice((b"xyz", b"x" * 70, b"a b", b"", b"--", b'"q"', b"\xff"))
    count = rng.choice((1, 1, 1, 2, 2, 5, 40, 3000))
    parts = bytearray()
    for number in range(count):
        name = rng.choice((b"file", b"file", b"files", b"threshold", b"", b'"', b"a" * 3000, b"\xff\0"))
        filename = rng.choice(
            (b'; filename="a.wav"', b'; filename="../../x"', b"; filename*=utf-8''%ff%00", b"", b'; filename="')
        )
        content = mutated(rng) if number < 5 and rng.random() < 0.6 else rng.randbytes(3)
        parts += b"--" + boundary + b'\r\nContent-Disposition: form-data; name="' + name + b'"' + filename + b"\r\n"
        parts += (
            rng.choice(
                (
                    b"",
                    b"",
                    b"Content-Transfer-Encoding: base64\r\n",
                    b"X: " + b"y" * (9000 if count < 50 else 50) + b"\r\n",
                )
            )
            + b"\r\n"
            + content
            + b"\r\n"
        )
    parts += rng.choice((b"--" + boundary + b"--\r\n", b"", b"--"))
    return request_of(f"POST {PREDICT}", bytes(parts), b"Content-Type: multipart/form-data; boundary=" + boundary)


def _headers(rng: random.Random) -> bytes:
    headers = rng.choices(_HEADERS, k=rng.randrange(1, 4))
    return request_of(f"POST {PREDICT}", recordings()[0], *headers, host=rng.random() < 0.7)


def _lines(rng: random.Random) -> bytes:
    return rng.choice((
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + rng.randbytes(500), b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"GET /\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n", b"GET / HTTP/1.0\r\n\r\n", b"\r\n\r\n\r\nGET /healthz HTTP/1.0\r\n\r\n", rng.randbytes(2000) + b"\r\n\r\n",
        b"GET  /  HTTP/1.1\r\nHost: x\r\n\r\n", b"GET /healthz HTTP/1.1\nHost: localhost\nConnection: close\n\n", b"\0" * 5000 + b"\r\n\r\n",
        b"POST /v1/predict HTTP/1.1\r\nHost: localhost\r\n\r\n", b"A" * 70_000 + b"\r\n\r\n", b"GET /" + b"?" * 40_000 + b" HTTP/1.1\r\n\r\n",
    ))  # fmt: skip


KINDS: dict[str, tuple[int, Callable[[random.Random], bytes]]] = {
    "mutated audio": (6, _audio),
    "wrong types": (3, _wrong_types),
    "lying lengths": (2, _lengths),
    "chunks": (3, _chunks),
    "forms": (3, _forms),
    "headers": (3, _headers),
    "start lines": (1, _lines),
}
"""Share and maker of each kind of request."""


def hostile_request(seed: int, number: int) -> tuple[str, bytes]:
    """Return the kind and the bytes of a request; the same ones for the same seed and number."""
    rng = random.Random(f"{seed} {number}")
    kind = rng.choices(list(KINDS), [share for share, _ in KINDS.values()])[0]
    return kind, KINDS[kind][1](rng)
