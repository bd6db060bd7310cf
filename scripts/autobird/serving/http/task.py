"""Give a request to the app, with its body where it was received."""

import io
from typing import Any

from waitress.task import WSGITask

from autobird.serving.http.body import ENVIRON, Body

_TOGETHER = 1 << 16
"""Largest part of a body that is sent together with the headers."""


class AppTask(WSGITask):  # type: ignore[misc]
    """Gives a request to the app. The environment holds the `Body`, and its content as a file is made only for an app that reads it."""

    environ: Any
    request: Any
    channel: Any

    def write(self, data: bytes) -> None:
        """Send a part of the body; the first one together with the headers, so that the client is not woken twice."""
        if self.wrote_header or not data or len(data) > _TOGETHER or not self.complete:
            super().write(data)
            return
        self.channel.hold()
        try:
            super().write(data)
        finally:
            self.channel.send_held()

    def get_environment(self) -> dict[str, Any]:
        """Return the WSGI environment."""
        environ: dict[str, Any] = super().get_environment()
        if isinstance(self.request.body_rcv, Body):
            environ[ENVIRON] = self.request.body_rcv
        return environ


class LazyInput(io.RawIOBase):
    """The content of a body as a file.

    Args:
        body: a complete body.
    """

    def __init__(self, body: Body) -> None:
        self._body = body
        self._file: Any = None

    def readable(self) -> bool:
        """Return True."""
        return True

    def read(self, size: int = -1, /) -> bytes:
        """Return the next bytes."""
        return bytes(self._opened().read(size))

    def readinto(self, buffer: Any, /) -> int:
        """Read the next bytes into a buffer; return their number."""
        return int(self._opened().readinto(buffer))

    def _opened(self) -> Any:
        if self._file is None:
            self._file = self._body.getfile()
        return self._file

    def close(self) -> None:
        """Close the file, if it was opened."""
        if self._file is not None:
            self._file.close()
        super().close()
