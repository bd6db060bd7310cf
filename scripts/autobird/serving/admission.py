"""Which requests may use the server: host name, page and API key, all known from the headers, before a body is read."""

import re
import uuid
from collections.abc import Mapping

from werkzeug.datastructures import Headers

from autobird.serving.keys import ApiKey, Keys
from autobird.serving.problems import Problem
from autobird.serving.security import Guard

_SANE_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
"""Ids of requests that are accepted from clients."""


def id_of_request(headers: Headers) -> str:
    """Return the id that the client gave to the request, or a new one."""
    given = headers.get("X-Request-Id", "")
    return given if _SANE_ID.fullmatch(given) else str(uuid.uuid4())


class Admission:
    """Checks the headers of requests.

    Args:
        guard: checks host names and pages.
        keys: API keys; None: none is needed.
    """

    def __init__(self, guard: Guard, keys: Keys | None) -> None:
        self.guard, self._keys = guard, keys

    def check(
        self, method: str, path: str, headers: Mapping[str, str] | Headers, has_body: bool = False
    ) -> ApiKey | None:
        """Check a request.

        Args:
            method: of the request.
            path: without the query.
            headers: names in any case.
            has_body: whether a body follows. Only the API takes bodies, so they need a key whatever the path is.

        Returns:
            the API key of the request; None if it needs none.

        Raises:
            Problem: the request is refused.
        """
        self.guard.check_host(headers.get("Host"))
        if method == "OPTIONS" and self.guard.allows_origin(headers.get("Origin", "")):
            return None  # a preflight of an allowed page
        self.guard.check_page(method, headers)
        if self._keys is None or not (has_body or path.startswith("/v1/") or path.rstrip("/") == "/metrics"):
            return None
        scheme, _, token = headers.get("Authorization", "").partition(" ")
        given = token.strip() if scheme.lower() == "bearer" else headers.get("X-API-Key", "")
        key = self._keys.find(given) if given else None
        if key is None:
            raise Problem(
                401,
                "API key missing or wrong",
                "send a key of this server in the header Authorization: Bearer KEY, or X-API-Key: KEY; its operator makes them with "
                "`autobird serve --new-key NAME`",
                {"WWW-Authenticate": 'Bearer realm="autobird"'},
            )
        return key

    def count(self, key: ApiKey) -> None:
        """Count a request of a key.

        Raises:
            Problem: the key has used up its rate.
        """
        if self._keys is not None and (wait := self._keys.wait(key)):
            seconds = max(1, -int(-wait // 1))
            raise Problem(
                429,
                "Too many requests",
                f"this API key may send {key.rate:g} requests a minute; try again in {seconds} s",
                {"Retry-After": str(seconds)},
            )

    def refusal(self, method: str, path: str, headers: Mapping[str, str]) -> Problem | None:
        """Return why a request with a body is refused before its body is read; None if it is not.

        Args:
            method: of the request.
            path: without the query.
            headers: with upper-case names and `_` for `-`, as WSGI has them without `HTTP_`.
        """
        named = Headers([(name.replace("_", "-"), value) for name, value in headers.items()])
        try:
            self.check(method, path, named, has_body=True)
        except Problem as error:
            cors = self.guard.cors_headers(named.get("Origin"), is_preflight=False)
            error.headers |= {"X-Request-Id": id_of_request(named), **cors}
            return error
        return None
