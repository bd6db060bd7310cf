"""Find the recording among the fields of a form."""

import io
from collections.abc import Sequence
from typing import NamedTuple

FIELD = "file"
"""Name of the field that holds the recording."""

EXPECTED = f"send the recording as the body of the request, or as the field `{FIELD}` of a multipart form"

_LISTED = 5
"""Largest number of fields that an error lists."""

_TEXT_CHECK = 4096
"""Bytes at the start of a field without a file name that are tested for being text."""


class Part(NamedTuple):
    """A field of a form.

    Attributes:
        name: name of the field; "" if it has none.
        filename: name of the file; None if the client sent none.
        kind: content type that the client named, or "".
        data: content.
    """

    name: str
    filename: str | None
    kind: str
    data: io.BytesIO

    @property
    def size(self) -> int:
        """Length of the content, bytes."""
        return self.data.getbuffer().nbytes


class NoRecordingField(ValueError):
    """No field holds the recording, or several may; the message says what was sent and what is expected."""


def recording_of(parts: Sequence[Part]) -> io.BytesIO:
    """Return the content of the field that holds the recording.

    Fields that may hold it have a file name, the content type of a recording, or content that is not text. If there are several, the
    one named `file` is used; if there are none, the only field that has content, so that the decoder says what is wrong with it.

    Raises:
        NoRecordingField: no field has content, or it is not clear which one holds the recording.
    """
    filled = [part for part in parts if part.size]
    candidates = [part for part in filled if _may_be_recording(part)] or filled
    named = [part for part in candidates if part.name == FIELD]
    if len(candidates) == 1 or len(named) == 1:
        data = (named or candidates)[0].data
        data.seek(0)
        return data
    if not candidates:
        sent = f"only empty fields ({_listed(parts)})" if parts else "no fields"
    else:
        sent = f"{len(candidates)} fields that may be the recording ({_listed(candidates)})"
    raise NoRecordingField(f"the form has {sent}; {EXPECTED}")


def _may_be_recording(part: Part) -> bool:
    if part.filename or part.kind.startswith(("audio/", "video/", "application/octet-stream")):
        return True
    head = part.data.getbuffer()[:_TEXT_CHECK].tobytes()
    try:
        text = head.decode("utf-8", "strict" if part.size <= _TEXT_CHECK else "ignore")
    except UnicodeDecodeError:
        return True
    return len(text.encode()) < 0.99 * len(head) or any(c < " " and c not in "\t\n\f\r" for c in text)


def _listed(parts: Sequence[Part]) -> str:
    """Describe fields by name, file name and size."""
    texts = []
    for part in parts[:_LISTED]:
        file = f", file {part.filename[:50]!r}" if part.filename else ""
        texts.append(f"{part.name[:50]!r}{file}, {part.size} bytes")
    return "; ".join(texts) + (f"; and {len(parts) - _LISTED} more" if len(parts) > _LISTED else "")
