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

_limited: list[tuple[Any, int]] = []
"""The BLAS libraries that had more than one thread, and how many."""


@cache
def _libraries() -> list[Any]:
    # Finding the BLAS libraries of the process takes 0.3 ms, setting their number of threads 0.01 ms.
    return list(ThreadpoolController().select(user_api="blas").lib_controllers)


def _set_threads(library: Any, threads: int) -> None:
    """Set the number of threads of a library.

    threadpoolctl 3.8 lets only one thread of a process change that of OpenBLAS, and ignores the others, which would silently compute with
    several threads here; `one_blas_thread` takes care of the others itself.
    """
    getattr(library, "_real_set_num_threads", library.set_num_threads)(threads)


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Limit the BLAS of this process to one thread.

    The products of audio blocks are small. On cores that other processes use too, the threads of BLAS spin and wait for
    each other, which takes several times longer than one thread. The number of threads belongs to the whole process, so
    the first thread that enters sets the limit, and the last one that leaves removes it.
    """
    global _limited, _users
    with _lock:
        if not _users:
            _limited = [(library, n) for library in _libraries() if (n := library.get_num_threads()) != 1]
            for library, _ in _limited:
                _set_threads(library, 1)
        _users += 1
    try:
        yield
    finally:
        with _lock:
            _users -= 1
            if not _users:
                for library, threads in _limited:
                    _set_threads(library, threads)
