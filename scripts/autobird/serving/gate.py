"""What happens before and after each request, whatever answers it: checks, the id of the request, headers, and errors as problems."""

import logging
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from flask import Response
from werkzeug.datastructures import Headers
from werkzeug.exceptions import HTTPException

from autobird.serving.admission import Admission
from autobird.serving.keys import Keys
from autobird.serving.problems import CONTENT_TYPE, Problem, problem_bytes
from autobird.serving.security import HEADERS, Guard
from autobird.serving.settings import ServeSettings

log = logging.getLogger("autobird")

_REMEDIES = {404: "; /docs lists the paths", 405: "; /docs lists the methods"}

_DEFAULTS = {**HEADERS, "Cache-Control": "no-store"}
"""Headers of every response that does not have other values of them."""


class Gate:
    """Checks requests, and completes responses.

    Args:
        settings: of the server.
        on_error: called with the status of each error response.

    Attributes:
        admission: its checks of headers, which the front does before it reads a body.

    Raises:
        AutobirdError: the file of API keys cannot be used.
    """

    def __init__(self, settings: ServeSettings, on_error: Callable[[int], None]) -> None:
        self._guard = Guard(settings.host, settings.allow_host, settings.allow_origin)
        self.admission = Admission(self._guard, Keys(Path(settings.keys)) if settings.keys else None)
        self._on_error = on_error

    def check(self, method: str, path: str, headers: Headers) -> Response | None:
        """Return the answer to a preflight of an allowed page; None for all other requests.

        Raises:
            Problem: the request is refused.
        """
        key = self.admission.check(method, path, headers)
        if method == "OPTIONS" and self._guard.allows_origin(headers.get("Origin", "")):
            return Response(status=204)  # `complete` adds the headers
        if key is not None:
            self.admission.count(key)
        return None

    def complete(self, response: Response, request_id: str, method: str, headers: Headers) -> Response:
        """Add the headers that every response has, and count errors."""
        for name, value in self._headers(request_id, method, headers, response.headers):
            response.headers[name] = value
        if response.status_code >= 400:
            self._on_error(response.status_code)
        return response

    def json_headers(self, request_id: str, method: str, headers: Headers, length: int) -> list[tuple[str, str]]:
        """Return the headers of a response with a JSON document of so many bytes."""
        return [
            ("Content-Type", "application/json"),
            ("Content-Length", str(length)),
            *self._headers(request_id, method, headers, {}),
        ]

    def _headers(
        self, request_id: str, method: str, headers: Headers, present: Headers | Mapping[str, str]
    ) -> Iterator[tuple[str, str]]:
        yield from ((name, value) for name, value in _DEFAULTS.items() if name not in present)
        yield "X-Request-Id", request_id
        yield from self._guard.cors_headers(headers.get("Origin"), method == "OPTIONS").items()


def error_response(error: Exception, request_id: str, environ: Mapping[str, Any]) -> Response:
    """Return the response for an exception; one that is no `Problem` and no error of HTTP is written to the log."""
    if isinstance(error, Problem):
        return _response(error, request_id)
    if isinstance(error, HTTPException):
        status = error.code or 500
        text = (error.description or error.name).rstrip(".")
        response = _response(Problem(status, error.name, f"{text}{_REMEDIES.get(status, '')}"), request_id)
        for name, value in error.get_headers(dict(environ)):  # for example Allow, which status 405 requires
            if name.lower() not in ("content-type", "content-length"):
                response.headers[name] = value
        return response
    method, path = environ.get("REQUEST_METHOD", ""), environ.get("PATH_INFO", "")
    log.exception("error while processing %s %a", method, path, exc_info=error)
    problem = Problem(500, "Internal error", "the request could not be processed; see the server's log")
    return _response(problem, request_id)


def _response(error: Problem, request_id: str) -> Response:
    body = problem_bytes(error.status, error.title, error.detail, request_id)
    response = Response(body, status=error.status, content_type=CONTENT_TYPE)
    response.headers.update(error.headers)
    return response
