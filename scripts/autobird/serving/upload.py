"""Read the recordings from the body of a request: a raw body or a form, complete and within the size limit."""

import binascii
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Self

from werkzeug.sansio.multipart import Data, Epilogue, Field, File, MultipartDecoder, NeedData, State
from werkzeug.wrappers import Request

from autobird.serving.form import (
    EXPECTED,
    FIELD,
    LIST_FIELDS,
    NoRecordingField,
    Part,
    base_name,
    recordings_of,
    texts_of,
)
from autobird.serving.http.body import ENVIRON, MEMORY, Body
from autobird.serving.problems import Problem, upload_too_large
from autobird.serving.spool import Received, Spool

_BLOCK = 1 << 18
"""Bytes read at a time."""

_MAX_MEMORY = 4 * MEMORY
"""Largest content of a request that is kept in memory, bytes; the rest is in temporary files."""

_MAX_PARTS = 100
"""Largest number of fields of a form."""

_MAX_PART_HEADERS = 1 << 13
"""Largest number of bytes before the first boundary of a form, and of the headers of one field. Together with the number of
fields, it limits the time to parse headers, which was half a second per MB."""

_URL_ENCODED_FIELD = re.compile(rb"[\w.\[\]%+-]{1,200}=")
"""Start of a URL-encoded form. A raw recording never matches together with being ASCII."""


class Uploads:
    """What a request holds. Use it as a context manager, which removes the temporary files at its end.

    Args:
        request: a request whose body was not read yet.
        max_bytes: largest body, bytes.
        max_files: largest number of recordings.
        option_names: names of the fields whose texts are options.
        folder: for temporary files; None: the system's folder.

    Attributes:
        files: the recordings, at least one: name from the client ("" if none was sent) and content, not decoded.
        options: names and texts of the fields that are options, in their order.
        is_list: whether the answer is a list: there are several recordings, or the field is named as for several.

    Raises:
        Problem: there is no recording or too many, the body is too large or incomplete, or the form is damaged.
    """

    def __init__(
        self,
        request: Request,
        max_bytes: int,
        max_files: int,
        option_names: Sequence[str] = (),
        folder: Path | None = None,
    ) -> None:
        self._spools: list[Spool] = []
        self._folder = folder
        self.options: list[tuple[str, str]] = []
        self.is_list = False
        encoding = request.headers.get("Content-Encoding", "identity").strip().lower()
        if encoding not in ("", "identity"):
            raise Problem(
                415,
                "Encoded upload",
                f"Content-Encoding {encoding[:100]!r} is not supported; send the recording without it",
            )
        body = _Body(request.environ["wsgi.input"].read, request.content_length, max_bytes, request.path)
        try:
            parts = self._parts(body, request)
        except Problem:
            self.close()
            raise
        except OSError as error:  # of a temporary file
            self.close()
            raise Problem(
                507, "Disk full", "the disk of the server has no space for the upload; try again later"
            ) from error
        except BaseException:
            self.close()
            raise
        try:
            self.files = self._recordings(parts, max_files, option_names)
        except Problem:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Remove the temporary files."""
        for spool in self._spools:
            spool.remove()

    def _recordings(
        self, parts: Sequence[Part], max_files: int, option_names: Sequence[str]
    ) -> list[tuple[str, bytes | memoryview | Path]]:
        try:
            found = recordings_of(parts)
        except NoRecordingField as error:
            raise Problem(400, "No recording", str(error)) from error
        if len(found) > max_files:
            raise Problem(
                413,
                "Too many files",
                f"the form has {len(found)} recordings, more than {max_files} (--max-files); send several requests",
            )
        self.options = texts_of([part for part in parts if part not in found], option_names)
        self.is_list = len(found) > 1 or found[0].name in LIST_FIELDS
        return [(base_name(part.filename), part.data.source()) for part in found]

    def _parts(self, body: "_Body", request: Request) -> list[Part]:
        if request.mimetype.startswith("multipart/"):
            return list(_multipart(body, request, self._new_spool))
        raw = self._received(request, body)
        if request.mimetype == "application/x-www-form-urlencoded" and (fields := self._url_encoded(raw)):
            return fields
        if not raw.size:
            raise Problem(400, "No recording", f"the body of the request is empty; {EXPECTED}")
        return [Part(FIELD, request.args.get("name", ""), "", raw)]

    def _received(self, request: Request, body: "_Body") -> Spool:
        """Return the whole body, where the front has received it or, with another WSGI server, copied."""
        received: Body | None = request.environ.get(ENVIRON)
        if received is not None:
            body.check(len(received))
            return Received(received)
        raw = self._new_spool()
        for block in body:
            raw.write(block)
        return raw

    def _url_encoded(self, raw: Spool) -> list[Part]:
        """Return the fields of a URL-encoded form; none if the body is something else.

        `curl --data-binary @recording.wav` sends a raw recording with this content type.
        """
        if not _URL_ENCODED_FIELD.match(raw.head) or not raw.head.isascii() or not (data := raw.read()).isascii():
            return []
        if data.count(b"&") >= _MAX_PARTS:
            raise _too_many_fields()
        parts = []
        for name, value in (field.partition(b"=")[::2] for field in data.split(b"&")):
            spool = self._new_spool()
            spool.write(_unquoted(value))
            parts.append(Part(_unquoted(name).decode("utf-8", "replace"), None, "", spool))
        return parts

    def _new_spool(self) -> Spool:
        # Each of a hundred fields could be a megabyte, and as many requests are parsed at a time as there are threads.
        left = _MAX_MEMORY - sum(spool.in_memory for spool in self._spools)
        spool = Spool(self._folder)
        spool.memory = max(0, min(MEMORY, left))
        self._spools.append(spool)
        return spool


class _Body:
    """Iterates over the blocks of a request's body; raises Problem if it is too large or ends early."""

    def __init__(self, read: Callable[[int], bytes], declared: int | None, limit: int, path: str) -> None:
        self._read, self._declared, self._limit, self._path = read, declared, limit, path
        self._ended = False

    def __iter__(self) -> Iterator[bytes]:
        received = 0
        while received <= self._limit and (self._declared or 0) <= self._limit:
            block = self._next()
            if not block:
                if self._declared is not None and received < self._declared:
                    raise Problem(
                        400,
                        "Incomplete upload",
                        f"the body ended after {received} of the {self._declared} bytes that Content-Length declares; "
                        "send the recording again",
                    )
                return
            received += len(block)
            if received <= self._limit:
                yield block
        raise self._too_large()

    def check(self, size: int) -> None:
        """Raise Problem if a complete body is too large."""
        if size > self._limit:
            raise self._too_large()

    def _too_large(self) -> Problem:
        return Problem(413, "Upload too large", upload_too_large(self._limit, self._path))

    def _next(self) -> bytes:
        if self._ended:
            return b""
        try:
            block = self._read(_BLOCK)
        except Exception as error:  # each WSGI server has its own exceptions for a broken body
            self._ended = True
            raise Problem(
                400,
                "Broken upload",
                "the body of the request is damaged or incomplete (invalid chunks, or the connection was closed); "
                "send the recording again, with Content-Length or with correct chunks",
            ) from error
        self._ended = not block
        return block


def _multipart(body: Iterable[bytes], request: Request, new_spool: Callable[[], Spool]) -> Iterator[Part]:
    """Yield the parts of a multipart form.

    Werkzeug's own form parser is not used, because it keeps a field without a file name as text of at most 500 kB and returns
    an empty form if the form is damaged.
    """
    boundary = request.mimetype_params.get("boundary", "")
    if request.mimetype != "multipart/form-data" or not boundary or not boundary.isascii():
        raise Problem(
            400,
            "Damaged form",
            f"Content-Type {request.headers.get('Content-Type', '')[:100]!r} is not multipart/form-data with a boundary; "
            f"let the client library set this header, or {EXPECTED}",
        )
    decoder = MultipartDecoder(boundary.encode("ascii"))
    part, count = Part("", None, "", new_spool()), 0
    try:
        for event in _events(decoder, body):
            if isinstance(event, (Field, File)):
                count += 1
                if count > _MAX_PARTS:
                    raise _too_many_fields()
                filename = event.filename if isinstance(event, File) else None
                part = Part(event.name or "", filename, event.headers.get("Content-Type", ""), new_spool())
            elif isinstance(event, Data):
                part.data.write(event.data)
                if not event.more_data:
                    yield part
    except ValueError as error:
        raise Problem(
            400,
            "Damaged form",
            "the multipart form is damaged or ends before its closing boundary; send the recording again",
        ) from error


def _events(decoder: MultipartDecoder, body: Iterable[bytes]) -> Iterator[object]:
    """Feed the body to a decoder and yield its events.

    Raises:
        ValueError: the form is damaged or incomplete, or the headers of a field are too long.
    """
    for piece in _pieces(body):
        decoder.receive_data(piece)
        while not isinstance(event := decoder.next_event(), (NeedData, Epilogue)):
            yield event
        if decoder.state in (State.PREAMBLE, State.PART) and len(decoder.buffer) > _MAX_PART_HEADERS:
            raise ValueError(f"more than {_MAX_PART_HEADERS} bytes of headers")


def _pieces(body: Iterable[bytes]) -> Iterator[bytes | None]:
    """Yield the body in pieces so small that the headers of a field are checked before they are parsed; None at the end."""
    for block in body:
        for at in range(0, len(block), _MAX_PART_HEADERS):
            yield block[at : at + _MAX_PART_HEADERS]
    yield None


def _too_many_fields() -> Problem:
    return Problem(413, "Too many fields", f"the form has more than {_MAX_PARTS} fields; {EXPECTED}")


def _unquoted(text: bytes) -> bytes:
    """Decode URL-encoded text, with the decoder of quoted-printable text, which writes `=41` for `%41`.

    `urllib.parse.unquote_to_bytes` makes a Python object of each escape: 60 MB of them took 19 s and 4.8 GB.
    """
    return binascii.a2b_qp(text.replace(b"=", b"=3D").replace(b"%", b"=").replace(b"+", b" "))
