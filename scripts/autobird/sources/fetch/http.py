"""HTTP as a polite guest: a pause between requests, patience with a busy server, downloads that go on where they broke off."""

import email.utils
import logging
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import tenacity

from autobird.core.errors import AutobirdError
from autobird.core.hashing import file_digest
from autobird.core.stage import log

USER_AGENT = "Autobird (trains classifiers of bird recordings; python-httpx)"

_BUSY = {408, 425, 429, 500, 502, 503, 504}
"""Statuses after which the same request may succeed."""

_GONE = {401, 403, 404, 410, 451}
"""Statuses of a recording that is withdrawn or was never public."""

_SHORTEST_PAUSE, _LONGEST_PAUSE = 0.1, 60.0
"""Seconds before another attempt, which double from the first to the last, unless the server asks for more."""

_BROKEN = 1000
"""Connections of one file that may break after they brought something."""

_SHORT_ATTEMPTS = 3
"""How often in a row a server may end a file at the same byte, short of what it promised, before that is its end."""

logging.getLogger("httpx").setLevel(logging.WARNING)  # its lines hold whole URLs, keys included


class Busy(Exception):
    """The server cannot answer now. `after`: seconds that it asks to wait, if it said so."""

    def __init__(self, what: str, after: float = 0.0) -> None:
        super().__init__(what)
        self.after = after


class Withdrawn(AutobirdError):
    """The server has no such recording for us; the message is the reason in words."""


class Incomplete(Withdrawn):
    """The server sends less, or other bytes, than was promised, each time."""


def retry_after(value: str | None) -> float:
    """Seconds that a Retry-After header asks for (RFC 9110, 10.2.3); 0 if it says nothing that can be read."""
    if not value:
        return 0.0
    if value.strip().isdigit():
        return float(value)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time())
    except (TypeError, ValueError):
        return 0.0


@dataclass
class Client:
    """One guest of a server.

    Attributes:
        interval: seconds between the starts of two requests.
        patience: seconds for which a server that does not answer is tried again.
        secrets: what must never show in a message.
    """

    interval: float = 1.0
    patience: float = 300.0
    secrets: tuple[str, ...] = ()
    _last: float = field(default=float("-inf"), repr=False)
    _http: httpx.Client = field(
        default_factory=lambda: httpx.Client(
            headers={"User-Agent": USER_AGENT, "Accept-Encoding": "identity"},
            timeout=httpx.Timeout(30.0),
            follow_redirects=True,
        ),
        repr=False,
    )

    def get_json(self, url: str, parameters: Mapping[str, str | int]) -> Any:
        """The JSON that a URL answers.

        Raises:
            AutobirdError: refused, not JSON, or no answer for `patience` seconds; never tells a secret.
        """

        def once() -> Any:
            self._pause()
            try:
                answer = self._http.get(url, params=dict(parameters), follow_redirects=False)
            except httpx.HTTPError as error:
                raise Busy(self._safe(f"{type(error).__name__}: {error}")) from None
            _raise_if_busy(answer)
            if answer.status_code != 200:
                said = self._safe(answer.text[:200].replace("\n", " "))
                raise AutobirdError(f"{_host(url)} answers {answer.status_code}: {said}")
            try:
                return answer.json()
            except ValueError as error:
                raise AutobirdError(
                    f"{_host(url)} answers no JSON; look at its address in the configuration"
                ) from error

        return self._patiently(once, _host(url))

    def download(self, url: str, to: Path, sha256: str = "") -> None:
        """Bring a file to `to`; what an earlier call left in `<to>.part` is gone on with.

        Args:
            url: http or https.
            to: appears only when all of it is there.
            sha256: what it must have, if known.

        Raises:
            Withdrawn: the server has it not, or `Incomplete`: it never sends what it promises.
            AutobirdError: no answer for `patience` seconds; what has come is kept for the next call.
        """
        part = to.with_name(to.name + ".part")
        to.parent.mkdir(parents=True, exist_ok=True)
        ends: list[int] = []

        def once() -> None:
            self._pause()
            before = part.stat().st_size if part.is_file() else 0
            try:
                self._receive(url, part, before, ends)
            except (httpx.HTTPError, _Progress) as error:
                if ends and ends[-_SHORT_ATTEMPTS:] == ends[-1:] * _SHORT_ATTEMPTS:
                    raise Incomplete(
                        f"{_host(url)} sends only {ends[-1]} bytes of what it promises; to try again, "
                        "remove the .csv beside the batch's tar"
                    ) from None
                what = self._safe(f"{type(error).__name__}: {error}")
                came = isinstance(error, _Progress) or (part.is_file() and part.stat().st_size > before)
                raise (_Progress(what) if came else Busy(what)) from None

        self._patiently(once, _host(url))
        _tag(part).unlink(missing_ok=True)
        if sha256 and file_digest(part) != sha256:
            part.unlink()
            raise Incomplete(f"{_host(url)} sends bytes of another sha256 than the table promises")
        part.replace(to)

    def _receive(self, url: str, part: Path, before: int, ends: list[int]) -> None:
        # If-Range: a file that was replaced meanwhile comes whole, not its end alone.
        known = _tag(part).read_text() if before and _tag(part).is_file() else ""
        headers = {"Range": f"bytes={before}-"} | ({"If-Range": known} if known else {}) if before else {}
        with self._http.stream("GET", url, headers=headers) as answer:
            _raise_if_busy(answer)
            status = answer.status_code
            if status in _GONE:
                raise Withdrawn(f"withdrawn: {_host(url)} answers {status}")
            if status == 416:
                # Nothing lies beyond what we have: it is whole if the server says that this is its size.
                if _total(answer) == before:
                    return
                part.unlink()
                raise _Progress("another size than before")
            if status not in (200, 206):
                raise Withdrawn(f"{_host(url)} answers {status}")
            resumed = status == 206 and answer.headers.get("Content-Range", "").startswith(f"bytes {before}-")
            promised = _total(answer) if resumed else _length(answer)
            if not resumed:
                _tag(part).write_text(_validator(answer))
            with part.open("ab" if resumed else "wb") as file:
                try:
                    for block in answer.iter_raw():
                        file.write(block)
                finally:
                    file.flush()
                    os.fsync(file.fileno())
                    ends.append(file.tell())
        if promised is not None and ends[-1] != promised:
            raise _Progress(f"{ends[-1]} of {promised} bytes")

    def _patiently(self, once: Callable[[], Any], host: str) -> Any:
        """Call `once` until it succeeds; a failure that brought bytes does not wear the patience out."""
        started = time.monotonic()
        failures = broken = 0

        def wait(state: tenacity.RetryCallState) -> float:
            error = state.outcome.exception() if state.outcome else None
            asked = error.after if isinstance(error, Busy) else 0.0
            pause = max(_SHORTEST_PAUSE, self.interval)
            return max(asked, min(_LONGEST_PAUSE, pause * 2 ** min(10, failures - 1))) if failures else 0.0

        def stop(state: tenacity.RetryCallState) -> bool:
            nonlocal failures, broken, started
            if state.outcome and isinstance(state.outcome.exception(), _Progress):
                failures, broken, started = 0, broken + 1, time.monotonic()
                return broken > _BROKEN
            failures += 1
            return time.monotonic() - started > self.patience

        def tell(state: tenacity.RetryCallState) -> None:
            error = state.outcome.exception() if state.outcome else None
            pause = state.next_action.sleep if state.next_action else 0.0
            log.warning("%s: %s; trying again in %.0f s", host, error, pause)

        try:
            return tenacity.Retrying(
                retry=tenacity.retry_if_exception_type((Busy, _Progress)),
                wait=wait,
                stop=stop,
                before_sleep=tell,
                reraise=True,
            )(once)
        except (Busy, _Progress) as error:
            raise AutobirdError(
                f"{host} does not answer ({error}); run again later: what has come so far is kept"
            ) from None

    def _pause(self) -> None:
        wait = self._last + self.interval - time.monotonic()
        if wait > 0:
            time.sleep(wait)
        self._last = time.monotonic()

    def _safe(self, text: str) -> str:
        for secret in self.secrets:
            text = text.replace(secret, "***") if secret else text
        return text


class _Progress(Exception):
    """The connection broke, after bytes had come."""


def _raise_if_busy(answer: httpx.Response) -> None:
    if answer.status_code in _BUSY:
        raise Busy(f"answers {answer.status_code}", retry_after(answer.headers.get("Retry-After")))


def _validator(answer: httpx.Response) -> str:
    """What tells this version of a file from others: a strong ETag, or the time of its last change."""
    tag = answer.headers.get("ETag", "")
    return tag if tag.startswith('"') else answer.headers.get("Last-Modified", "")


def _tag(part: Path) -> Path:
    return part.with_name(part.name + ".tag")


def _length(answer: httpx.Response) -> int | None:
    text = answer.headers.get("Content-Length", "")
    return int(text) if text.isdigit() else None


def _total(answer: httpx.Response) -> int | None:
    """The whole size, from `Content-Range: bytes 5-9/10` or `bytes */10`."""
    text = answer.headers.get("Content-Range", "").rpartition("/")[2]
    return int(text) if text.isdigit() else None


def _host(url: str) -> str:
    return urlsplit(url).netloc
