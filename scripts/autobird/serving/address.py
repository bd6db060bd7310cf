"""Open the socket that the server listens on, and describe it."""

import errno
import socket

from autobird.core.errors import AutobirdError

_BACKLOG = 2048
"""Number of connections that the operating system keeps until the front accepts them."""


def bind(host: str, port: int) -> socket.socket:
    """Return a socket that is bound to an address, and does not listen yet.

    Raises:
        AutobirdError: the address is used by another program, is not an address of this machine, or is not allowed.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except (OSError, UnicodeError) as error:
        raise AutobirdError(
            f"--host {host} is not an address of this machine ({_reason(error)}); "
            "give for example 127.0.0.1, or 0.0.0.0 for all network interfaces"
        ) from error
    opened = socket.socket(family, kind, protocol)
    try:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a restarted server may bind at once
        if family == socket.AF_INET6:
            opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        opened.bind(address)
    except OSError as error:
        opened.close()
        raise _address_error(host, port, error) from error
    return opened


def listen(bound: socket.socket) -> None:
    """Start to listen; connections wait until the front accepts them.

    Raises:
        AutobirdError: another program listens on the address.
    """
    try:
        bound.listen(_BACKLOG)
    except OSError as error:
        host, port = bound.getsockname()[:2]
        raise _address_error(host, port, error) from error


def url(bound: socket.socket) -> str:
    """Return the URL of the server for a browser on this machine."""
    host, port = bound.getsockname()[:2]
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _address_error(host: str, port: int, error: OSError) -> AutobirdError:
    remedies = {
        errno.EADDRINUSE: "another program uses this port; stop it, or give another --port",
        errno.EACCES: "this user may not use this port; give a --port above 1023",
        errno.EADDRNOTAVAIL: "this machine does not have this address; give another --host, for example 127.0.0.1",
    }
    remedy = remedies.get(error.errno or 0, "give another --host or --port")
    return AutobirdError(f"the server cannot listen on {host} port {port} ({_reason(error)}): {remedy}")


def _reason(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error)
