"""Give memory that a process has freed back to the system."""

import ctypes
import sys
from contextlib import suppress
from typing import Any


def memory_trimmer() -> Any:
    """Return a function that gives freed memory back to the system, which glibc does not do by itself."""
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):
            trim = ctypes.CDLL(None).malloc_trim
            return lambda: trim(0)
    return lambda: None
