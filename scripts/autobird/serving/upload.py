"""Read the recording from the body of a request: a raw body or a form, complete and within the size limit."""

import binascii
import io
import re
from collections.abc import Callable, Iterable, Iterator, Sequence

from werkzeug.sansio.multipart import Data, Epilogue, Field, File, MultipartDecoder, NeedData, State
from werkzeug.wrappers import Request

from autobird.serving.form import EXPECTED, NoRecordingField, Part, recording_of

_BLOCK = 1 << 16
"""Bytes read at a time."""

_MAX_DRAINED = 256_000_000
"""Largest number of bytes that are read and discarded of an upload that is refused (see `_Body.drain`)."""

_MAX_PARTS = 100
"""Largest number of fields of a form."""

_MAX_PART_HEADERS = 1 << 13
"""Largest number of bytes before the first boundary of a form, and of the headers of one field. Together with the number of
fields, it limits the time to parse headers, which was half a second per MB."""

_URL_ENCODED_FIELD = re.compile(rb"[\w.\[\]%+-]{1,200}=")
"""Start of a URL-encoded form. A raw recording never matches together with being ASCII."""


class UploadError(Exception):
    """An upload that cannot be used.

    Attributes:
        status: HTTP status of the response.
        title: short description of the kind of problem.
    """

    def __init__(self, status: int, title: str, detail: str) -> None:
        super().__init__(detail)
        self.status, self.title = status, title


def read_recording(request: Request, max_bytes: int) -> io.BytesIO:
    """Return the recording that a request holds, not decoded.

    Args:
        request: a request whose body was not read yet.
        max_bytes: largest body, bytes.

    Raises:
        UploadError: there is no recording or more than one, the body is too large or incomplete, or the form is damaged.
    """
    encoding = request.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding not in ("", "identity"):
        raise UploadError(
            415, "Encoded upload", f"Content-Encoding {encoding!r} is not supported; send the recording without it"
        )
    body = _Body(request.environ["wsgi.input"].read, request.content_length, max_bytes)
    try:
        if request.mimetype.startswith("multipart/"):
            return _recording_of(list(_multipart(body, request)))
        raw = io.BytesIO()
        for block in body:
            raw.write(block)
    except UploadError:
        body.drain()
        raise
    if request.mimetype == "application/x-www-form-urlencoded" and (fields := _url_encoded(raw)):
        return _recording_of(fields)
    if not raw.tell():
        raise UploadError(400, "No recording", f"the body of the request is empty; {EXPECTED}")
    raw.seek(0)
    return raw


def _recording_of(parts: Sequence[Part]) -> io.BytesIO:
    try:
        return recording_of(parts)
    except NoRecordingField as error:
        raise UploadError(400, "No recording", str(error)) from error


class _Body:
    """Iterates over the blocks of a request's body; raises UploadError if it is too large or ends early."""

    def __init__(self, read: Callable[[int], bytes], declared: int | None, limit: int) -> None:
        self._read, self._declared, self._limit = read, declared, limit
        self._ended = False

    def __iter__(self) -> Iterator[bytes]:
        received = 0
        while received <= self._limit and (self._declared or 0) <= self._limit:
            block = self._next()
            if not block:
                if self._declared is not None and received < self._declared:
                    raise UploadError(
                        400,
                        "Incomplete upload",
                        f"the body ended after {received} of the {self._declared} bytes that Content-Length declares; "
                        "send the recording again",
                    )
                return
            received += len(block)
            if received <= self._limit:
                yield block
        raise UploadError(
            413,
            "Upload too large",
            f"the upload is larger than {self._limit / 1e6:.10g} MB; send a shorter or compressed recording",
        )

    def drain(self) -> None:
        """Read and discard the rest of the body: most clients read the response only after they have sent everything."""
        drained = 0
        try:
            while drained < _MAX_DRAINED and (block := self._next()):
                drained += len(block)
        except UploadError:
            return

    def _next(self) -> bytes:
        if self._ended:
            return b""
        try:
            block = self._read(_BLOCK)
        except Exception as error:  # each WSGI server has its own exceptions for a broken body
            self._ended = True
            raise UploadError(
                400,
                "Broken upload",
                "the body of the request is damaged or incomplete (invalid chunks, or the connection was closed); "
                "send the recording again, with Content-Length or with correct chunks",
            ) from error
        self._ended = not block
        return block


def _multipart(body: Iterable[bytes], request: Request) -> Iterator[Part]:
    """Yield the parts of a multipart form.

    Werkzeug's own form parser is not used, because it keeps a field without a file name as text of at most 500 kB and returns
    an empty form if the form is damaged.
    """
    boundary = request.mimetype_params.get("boundary", "")
    if request.mimetype != "multipart/form-data" or not boundary or not boundary.isascii():
        raise UploadError(
            400,
            "Damaged form",
            f"Content-Type {request.headers.get('Content-Type', '')[:100]!r} is not multipart/form-data with a boundary; "
            f"let the client library set this header, or {EXPECTED}",
        )
    decoder = MultipartDecoder(boundary.encode("ascii"))
    part, count = Part("", None, "", io.BytesIO()), 0
    try:
        for event in _events(decoder, body):
            if isinstance(event, (Field, File)):
                count += 1
                if count > _MAX_PARTS:
                    raise UploadError(413, "Too many fields", f"the form has more than {_MAX_PARTS} fields; {EXPECTED}")
                filename = event.filename if isinstance(event, File) else None
                part = Part(event.name or "", filename, event.headers.get("Content-Type", ""), io.BytesIO())
            elif isinstance(event, Data):
                part.data.write(event.data)
                if not event.more_data:
                    yield part
    except ValueError as error:
        raise UploadError(
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


def _url_encoded(raw: io.BytesIO) -> list[Part]:
    """Return the fields of a URL-encoded form; none if the body is something else.

    `curl --data-binary @recording.wav` sends a raw recording with this content type.
    """
    data = raw.getvalue()
    if not _URL_ENCODED_FIELD.match(data) or not data.isascii():
        return []
    if data.count(b"&") >= _MAX_PARTS:
        raise UploadError(413, "Too many fields", f"the form has more than {_MAX_PARTS} fields; {EXPECTED}")
    pairs = (field.partition(b"=")[::2] for field in data.split(b"&"))
    return [
        Part(_unquoted(name).decode("utf-8", "replace"), None, "", io.BytesIO(_unquoted(value)))
        for name, value in pairs
    ]


def _unquoted(text: bytes) -> bytes:
    """Decode URL-encoded text, with the decoder of quoted-printable text, which writes `=41` for `%41`.

    `urllib.parse.unquote_to_bytes` makes a Python object of each escape: 60 MB of them took 19 s and 4.8 GB.
    """
    return binascii.a2b_qp(text.replace(b"=", b"=3D").replace(b"%", b"=").replace(b"+", b" "))
