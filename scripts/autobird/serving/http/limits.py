"""Limits of the HTTP front."""

from dataclasses import dataclass

from autobird.serving.http.body import MEMORY


@dataclass(frozen=True)
class FrontLimits:
    """Limits of the front.

    Attributes:
        connections: largest number of open connections; for a new one beyond it, the one that waits longest is closed.
        threads: threads that run the app; more than the largest number of requests that wait for an answer.
        header_seconds: time for the headers of a request, whatever arrives meanwhile.
        idle_seconds: time that a connection may stay open before a request.
        silent_seconds: time that a client may send nothing of a body that has begun, or read nothing of its answer.
        body_seconds: time for a body, whatever its length.
        body_rate: bytes a second; long bodies have more time than `body_seconds`, at this rate. Also for answers.
        buffered_bytes: largest size of all bodies that are arriving and answers that are leaving, together; beyond it the largest ones
            are refused.
        memory_bytes: bodies and answers above this size are kept on disk while they arrive or leave.
    """

    connections: int = 1000
    threads: int = 80
    header_seconds: float = 20.0
    idle_seconds: float = 75.0
    silent_seconds: float = 75.0
    body_seconds: float = 300.0
    body_rate: float = 16_000.0
    buffered_bytes: int = 4_000_000_000
    memory_bytes: int = MEMORY
