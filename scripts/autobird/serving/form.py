"""Find the recordings and the options among the fields of a form."""

import unicodedata
from collections.abc import Sequence
from typing import NamedTuple

from autobird.serving.spool import HEAD, Spool

FIELD = "file"
"""Name of the field that holds the recording."""

LIST_FIELDS = ("files", "file[]", "files[]")
"""Other names, which several recordings have in some clients; the answer is then a list, also for a single recording."""

EXPECTED = f"send the recording as the body of the request, or as the field `{FIELD}` of a multipart form"

_LISTED = 5
"""Largest number of fields that an error lists."""

_LONGEST_NAME = 255
"""Largest number of characters of a file name that are kept."""


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
    data: Spool


class NoRecordingField(ValueError):
    """No field holds the recording, or several may; the message says what was sent and what is expected."""


def recordings_of(parts: Sequence[Part]) -> list[Part]:
    """Return the fields that hold recordings, in the order of the form, at least one.

    Fields that may hold one have a file name, the content type of a recording, or content that is not text. Those named `file` (or
    as in `LIST_FIELDS`) are used; if there are none, the only one that may hold a recording. If there is none, the only field that has
    content is returned, so that the decoder says what is wrong with it.

    Raises:
        NoRecordingField: no field has content, or it is not clear which one holds the recording.
    """
    filled = [part for part in parts if part.data.size]
    candidates = [part for part in filled if _may_be_recording(part)] or filled
    if named := [part for part in candidates if part.name == FIELD or part.name in LIST_FIELDS]:
        return named
    if len(candidates) == 1:
        return candidates
    if not candidates:
        sent = f"only empty fields ({_listed(parts)})" if parts else "no fields"
    else:
        sent = f"{len(candidates)} fields that may be the recording ({_listed(candidates)})"
    raise NoRecordingField(f"the form has {sent}; {EXPECTED}")


def texts_of(parts: Sequence[Part], names: Sequence[str]) -> list[tuple[str, str]]:
    """Return the names and texts of the fields with these names, in the order of the form; other fields are comments."""
    return [
        (part.name, part.data.head.decode("utf-8", "replace").strip())
        for part in parts
        if part.name in names and not part.filename and part.data.size <= HEAD
    ]


def base_name(name: str | None) -> str:
    """Return the name of a client's file without its folders and without control characters; "" if there is none."""
    text = (name or "").replace("\\", "/").rpartition("/")[2]
    return "".join(c for c in text if unicodedata.category(c)[0] != "C")[:_LONGEST_NAME].strip()


def _may_be_recording(part: Part) -> bool:
    if part.filename or part.kind.startswith(("audio/", "video/", "application/octet-stream")):
        return True
    head = part.data.head
    try:
        text = head.decode("utf-8", "strict" if part.data.size <= HEAD else "ignore")
    except UnicodeDecodeError:
        return True
    return len(text.encode()) < 0.99 * len(head) or any(c < " " and c not in "\t\n\f\r" for c in text)


def _listed(parts: Sequence[Part]) -> str:
    """Describe fields by name, file name and size."""
    texts = []
    for part in parts[:_LISTED]:
        file = f", file {part.filename[:50]!r}" if part.filename else ""
        texts.append(f"{part.name[:50]!r}{file}, {part.data.size} bytes")
    return "; ".join(texts) + (f"; and {len(parts) - _LISTED} more" if len(parts) > _LISTED else "")
