"""API keys: a file of their hashes, and a rate for each."""

import hashlib
import hmac
import re
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from autobird.core.errors import AutobirdError

RATE = 600.0
"""Default of requests a minute for each key."""

_NAME = re.compile(r"[A-Za-z0-9._@-]{1,64}")
_HASH = re.compile(r"sha256:([0-9a-f]{64})")

_BURST_SECONDS = 10.0
"""A key that was not used may send the requests of this time at once."""


@dataclass(frozen=True)
class ApiKey:
    """A line of the file.

    Attributes:
        name: who has the key.
        digest: sha256 of the key. The keys are random, so a slow hash with salt, as for passwords, would protect no better.
        rate: requests a minute.
    """

    name: str
    digest: bytes
    rate: float


def new_key(name: str) -> tuple[str, str]:
    """Return a new random key, and the line for the file of keys.

    Raises:
        AutobirdError: the name cannot be used.
    """
    if not _NAME.fullmatch(name):
        raise AutobirdError(
            f"--new-key {name!r} is not possible; give a name of 1 to 64 letters, digits, dots, hyphens, underscores or @"
        )
    key = f"autobird_{secrets.token_urlsafe(32)}"
    return key, f"{name} sha256:{hashlib.sha256(key.encode()).hexdigest()} {RATE:g}"


def read_keys(path: Path) -> tuple[ApiKey, ...]:
    """Read a file of keys: on each line a name, the hash, and optionally the requests a minute; # begins a comment.

    Raises:
        AutobirdError: the file cannot be read, has no key, or a line is not one.
    """
    remedy = "`autobird serve --new-key NAME` prints such a line"
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise AutobirdError(f"--keys {path} cannot be read ({reason}); {remedy}") from error
    keys: dict[str, ApiKey] = {}
    for number, line in enumerate(lines, 1):
        words = line.partition("#")[0].split()
        if not words:
            continue
        if (key := _parsed(words)) is None:
            raise AutobirdError(
                f"--keys {path}, line {number} is not `NAME sha256:HASH` or `NAME sha256:HASH REQUESTS_PER_MINUTE`; {remedy}"
            )
        if key.name in keys:
            raise AutobirdError(f"--keys {path}, line {number}: a second key named {key.name}; give it another name")
        keys[key.name] = key
    if not keys:
        raise AutobirdError(f"--keys {path} has no keys, so nobody could use the server; {remedy}")
    return tuple(keys.values())


def _parsed(words: list[str]) -> ApiKey | None:
    found = _HASH.fullmatch(words[1]) if 2 <= len(words) <= 3 else None
    if not found or not _NAME.fullmatch(words[0]):
        return None
    try:
        rate = float(words[2]) if len(words) == 3 else RATE
    except ValueError:
        return None
    return ApiKey(words[0], bytes.fromhex(found[1]), rate) if 0 < rate < float("inf") else None


class Keys:
    """The keys of a file, and how often each was used. A changed file is read again, so that keys can be withdrawn at any time.

    Args:
        path: the file.
        clock: seconds that only increase.

    Raises:
        AutobirdError: see `read_keys`.
    """

    def __init__(self, path: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._path, self._clock = path, clock
        self._lock = threading.Lock()
        self._state = _state(path)
        self._keys = read_keys(path)
        self._used: dict[str, tuple[float, float]] = {}
        """For each name the requests that it may send at once, and the time when that was so."""

    def find(self, key: str) -> ApiKey | None:
        """Return the entry of a key; the time that this takes does not depend on how much of it is right."""
        self._read_if_changed()
        digest = hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()
        found = None
        for entry in self._keys:
            if hmac.compare_digest(entry.digest, digest):
                found = entry
        return found

    def wait(self, key: ApiKey) -> float:
        """Count a request of a key; return 0, or the seconds after which the key may send the next one (token bucket)."""
        per_second = key.rate / 60
        largest = max(1.0, per_second * _BURST_SECONDS)
        with self._lock:
            now = self._clock()
            left, at = self._used.get(key.name, (largest, now))
            left = min(largest, left + (now - at) * per_second)
            if left < 1:
                self._used[key.name] = (left, now)
                return (1 - left) / per_second
            self._used[key.name] = (left - 1, now)
            return 0.0

    def _read_if_changed(self) -> None:
        with self._lock:
            if (state := _state(self._path)) == self._state:
                return
            self._state = state
            try:
                self._keys = read_keys(self._path)
            except AutobirdError:
                self._keys = ()  # a damaged file must not keep a withdrawn key valid


def _state(path: Path) -> tuple[int, int, int] | None:
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_mtime_ns, stat.st_size, stat.st_ino
