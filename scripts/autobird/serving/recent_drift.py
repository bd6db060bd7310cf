"""The drift test of the recordings that the server classified last, at most once a minute."""

import json
import logging
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from autobird.serving.store.store import Store

log = logging.getLogger("autobird")

LAST = 500
"""Largest number of recordings that are tested, the last ones."""

_VALID = 60.0
"""Time for which a result is used again, seconds."""

_LONGEST = 60.0
"""Time limit of a test, seconds; it takes one or two."""


_WAIT = 1.0
"""Longest time that a thread waits for another one that computes the test, seconds: it must be free for other requests."""


class DriftBusy(Exception):
    """Another thread computes the test."""


class DriftFailed(Exception):
    """The test could not be computed; the log of the server says why."""


class RecentDrift:
    """Tests the last recordings of a bundle; used by many threads at once, of which one computes."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._key: tuple[str, Path] | None = None
        self._until = 0.0
        self._result: dict[str, Any] | None = None

    def result(self, store: Store, folder: Path, fingerprint: str) -> dict[str, Any]:
        """Return the result of the test as JSON values (`drift_answer.drift_of`).

        Args:
            store: the log.
            folder: folder of the bundle.
            fingerprint: of the bundle, whose recordings are tested.

        Raises:
            Unavailable: the log cannot be read.
            DriftFailed: the test cannot be computed.
            DriftBusy: another thread computes it.
        """
        if not self._lock.acquire(timeout=_WAIT):
            raise DriftBusy
        try:
            if self._key != (fingerprint, folder) or time.monotonic() >= self._until:
                features = store.features(fingerprint, LAST)
                self._key, self._result = (fingerprint, folder), None
                try:
                    self._result = _computed(features, folder, fingerprint)
                finally:  # a test that fails is not repeated with each request either
                    self._until = time.monotonic() + _VALID
            if self._result is None:
                raise DriftFailed
            return self._result
        finally:
            self._lock.release()


def _computed(features: list[tuple[float, ...]], folder: Path, fingerprint: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "autobird.serving.drift_answer", str(folder), fingerprint]
    try:
        done = subprocess.run(
            command, input=json.dumps(features), capture_output=True, text=True, check=True, timeout=_LONGEST
        )
        result: dict[str, Any] = json.loads(done.stdout)
        return result
    except (subprocess.SubprocessError, OSError, ValueError) as error:
        log.warning("the drift test failed: %s %s", error, getattr(error, "stderr", "") or "")
        raise DriftFailed from error
