"""Wait for the sockets of waitress; the time does not grow with the number of idle connections, as it does in its own loop."""

import select
from typing import Any

from waitress import wasyncore

_WAIT_SECONDS = 1.0
"""Longest wait; deadlines are checked in between."""


class EventLoop:
    """Keeps the sockets registered with the operating system, and asks only those for their state to which something happened.

    An idle connection only waits for data. All others are asked before each wait: those with an event, with a request in the app,
    with an answer to send, or about to close. A thread of the app that changes a connection does so while its request is listed.
    """

    def __init__(self) -> None:
        self._poller: Any = select.poll() if hasattr(select, "poll") else None
        self._registered: dict[int, int] = {}
        self._changing: set[int] = set()

    def watch(self, descriptor: int) -> None:
        """Ask this socket for its state before the next wait."""
        self._changing.add(descriptor)

    def forget(self, descriptor: int) -> None:
        """Remove a socket that is about to be closed."""
        self._changing.discard(descriptor)
        if self._registered.pop(descriptor, None) is not None and self._poller:
            self._poller.unregister(descriptor)

    def step(self, sockets: dict[int, Any]) -> None:
        """Wait for events, at most a second, and handle them.

        Args:
            sockets: waitress's dispatchers by descriptor.
        """
        if self._poller is None:  # Windows
            wasyncore.poll(_WAIT_SECONDS, sockets)
            return
        for descriptor in list(self._changing):
            self._register(descriptor, sockets.get(descriptor))
        for descriptor, flags in self._poller.poll(1000 * _WAIT_SECONDS):
            if dispatcher := sockets.get(descriptor):
                self._changing.add(descriptor)
                wasyncore.readwrite(dispatcher, flags)

    def _register(self, descriptor: int, dispatcher: Any) -> None:
        if dispatcher is None:
            self._changing.discard(descriptor)
            return
        # In this order: a thread of the app removes the request last, after it has changed the rest.
        is_busy = bool(getattr(dispatcher, "requests", None))
        writes = bool(dispatcher.writable()) and not dispatcher.accepting
        # Without POLLPRI, which waitress asks for: urgent data, which it does not read, would keep the loop busy.
        flags = select.POLLIN if dispatcher.readable() else 0
        flags |= select.POLLOUT if writes else 0
        if self._registered.get(descriptor) != flags:
            self._poller.register(descriptor, flags)
            self._registered[descriptor] = flags
        if not is_busy and not writes and flags:
            self._changing.discard(descriptor)
