"""Which requests the server refuses because of the page or the name they come from, and the headers that protect its own pages."""

import ipaddress
import socket
from collections.abc import Collection, Mapping
from urllib.parse import urlsplit

from werkzeug.datastructures import Headers

from autobird.serving.problems import CONTENT_TYPE, Problem, problem_bytes

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})

_LOOPBACK_NAMES = frozenset({"localhost", "localhost.localdomain", "ip6-localhost"})

HEADERS: Mapping[str, str] = {
    # No inline script or style, nothing from other servers; sounds and pictures that the page makes itself are blobs.
    "Content-Security-Policy": "default-src 'self'; img-src 'self' blob: data:; media-src 'self' blob:; object-src 'none'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "microphone=(self), camera=(), geolocation=()",
}
"""Headers of every response."""

EXPOSED_HEADERS = "X-Request-Id, Retry-After, Location, Content-Disposition"
ALLOWED_HEADERS = "Authorization, Content-Type, X-API-Key, X-Request-Id"
ALLOWED_METHODS = "GET, HEAD, POST, DELETE, OPTIONS"
"""For pages of the origins of --allow-origin."""


class Guard:
    """Refuses requests with a foreign host name, and those that pages of other sites send.

    A page of any site can send requests to a server on the user's machine. The browser says so in `Origin` or `Sec-Fetch-Site`,
    unless the site gave its own name the server's address (DNS rebinding); then the header `Host` has a foreign name. Addresses in
    numbers cannot be rebound, so they are always accepted.

    Args:
        host: address that the server listens on.
        allowed_hosts: further names; `*` for all.
        allowed_origins: origins of pages that may use the API (CORS), for example `https://example.org`; `*` for all.
    """

    def __init__(self, host: str, allowed_hosts: Collection[str] = (), allowed_origins: Collection[str] = ()) -> None:
        own = {host.lower().rstrip(".")}
        if not _is_loopback(host):
            name = socket.gethostname().lower()
            own |= {name, f"{name.partition('.')[0]}.local", socket.getfqdn().lower()}
        self._hosts = _LOOPBACK_NAMES | own | {_name_of(name) for name in allowed_hosts}
        self._any_host = "*" in allowed_hosts
        self._origins = {origin.lower().rstrip("/") for origin in allowed_origins}

    def check_host(self, host: str | None) -> None:
        """Check the header Host; None (HTTP/1.0) is accepted, because browsers always send it.

        Raises:
            Problem: it is not a name of this server.
        """
        if host is None or self._any_host:
            return
        name = _name_of(host)
        if name in self._hosts or name.endswith(".localhost") or _is_address(name):
            return
        shown = host[:100].encode("ascii", "backslashreplace").decode()
        raise Problem(
            421,
            "Foreign host name",
            f"the request is for the host {shown!r}, which is not a name of this server; use its address, or start it with "
            "--allow-host and this name",
        )

    def check_page(self, method: str, headers: Mapping[str, str] | Headers) -> None:
        """Check whether a page of another site sent the request.

        Raises:
            Problem: it did, and its origin is not allowed.
        """
        origin, host = headers.get("Origin"), headers.get("Host", "")
        site = headers.get("Sec-Fetch-Site", "")
        if origin is not None and self.allows_origin(origin):
            return
        # Pages cannot set Sec-Fetch-Site. Browsers send it to addresses of this machine and over HTTPS, `Origin` to all.
        is_same = site in ("same-origin", "none") if site else origin is None or _is_same(origin, host)
        # A link on another site may open a page of this server, but not within one of its own (frame), and not change anything.
        is_link = (
            method in SAFE_METHODS
            and headers.get("Sec-Fetch-Mode") == "navigate"
            and headers.get("Sec-Fetch-Dest") == "document"
        )
        if not is_same and not is_link:
            raise Problem(
                403,
                "Foreign page",
                "a page of another site sent this request; open the page of this server, or start it with --allow-origin and "
                "the origin of that page",
            )

    def allows_origin(self, origin: str) -> bool:
        """Return whether pages of an origin may use the API (CORS)."""
        return "*" in self._origins or origin.lower().rstrip("/") in self._origins

    def cors_headers(self, origin: str | None, is_preflight: bool) -> dict[str, str]:
        """Return the headers that let a browser give the response to a page of an allowed origin."""
        if not self._origins:
            return {}
        headers = {"Vary": "Origin"}
        if origin is None or not self.allows_origin(origin):
            return headers
        headers |= {"Access-Control-Allow-Origin": origin, "Access-Control-Expose-Headers": EXPOSED_HEADERS}
        if is_preflight:
            headers |= {
                "Access-Control-Allow-Methods": ALLOWED_METHODS,
                "Access-Control-Allow-Headers": ALLOWED_HEADERS,
                "Access-Control-Max-Age": "600",
            }
        return headers


def problem_response(status: int, title: str, detail: str) -> tuple[list[tuple[str, str]], bytes]:
    """Return headers and body of an error that arises before the app, for example of a request that cannot be read."""
    headers = {"Content-Type": CONTENT_TYPE, "Cache-Control": "no-store", **HEADERS}
    return list(headers.items()), problem_bytes(status, title, detail)


def _name_of(host: str) -> str:
    """Return the name or address of a header Host in lower case, without port, brackets and trailing dot."""
    host = host.strip().lower()
    if host.startswith("["):
        return host[1:].partition("]")[0]
    name, _, port = host.partition(":")
    # Several colons: an IPv6 address without brackets, as in --allow-host.
    return (host if ":" in port else name).rstrip(".")


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name.partition("%")[0])
    except ValueError:
        return False
    return True


def _is_loopback(host: str) -> bool:
    if host.lower() in _LOOPBACK_NAMES:
        return True
    return _is_address(host) and ipaddress.ip_address(host.partition("%")[0]).is_loopback


def _is_same(origin: str, host: str) -> bool:
    """Return whether an origin is a page of the host that the request is for.

    The scheme does not count: a proxy that encrypts is the same site. Neither does a default port.
    """
    try:
        parts = urlsplit(origin)
        port = parts.port
    except ValueError:
        return False
    if parts.scheme not in ("http", "https") or not parts.hostname:
        return False
    default = {"http": 80, "https": 443}[parts.scheme]
    name = _name_of(host)
    _, _, port_text = host.rpartition("]")[2].partition(":") if host.startswith("[") else host.partition(":")
    # Compared as text: Python does not convert thousands of digits.
    given = port_text.lstrip("0") if port_text.isascii() and port_text.isdigit() else str(default)
    return parts.hostname.rstrip(".") == name and str(port or default) == given
