"""Limit BLAS to one thread while some code runs, at the cost of some microseconds."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from threading import Lock
from typing import Any

from threadpoolctl import ThreadpoolController

_lock = Lock()
_users = 0
"""Number of threads of this process that are inside `one_blas_thread`."""

_limiter: Any = None
"""The limit while it is set; it restores the numbers of threads from before."""


@cache
def _controller() -> Any:
    # Finding the BLAS libraries of the process takes 0.3 ms, setting their number of threads 0.01 ms.
    return ThreadpoolController()


@cache
def _libraries() -> tuple[Any, ...]:
    # Asking them takes a tenth of the time of the limit, which processes with one thread do not need.
    return tuple(_controller().select(user_api="blas").lib_controllers)


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Limit the BLAS of this process to one thread.

    The products of audio blocks are small. On cores that other processes use too, the threads of BLAS spin and wait for
    each other, which takes several times longer than one thread. The number of threads belongs to the whole process, so
    the first thread that enters sets the limit, and the last one that leaves removes it.
    """
    global _limiter, _users
    with _lock:
        if not _users and any(library.num_threads != 1 for library in _libraries()):
            _limiter = _controller().limit(limits=1, user_api="blas")
        _users += 1
    try:
        yield
    finally:
        with _lock:
            _users -= 1
            if not _users and _limiter is not None:
                _limiter.restore_original_limits()
                _limiter = None
