"""An HTTP client with a rate limit, retries with exponential backoff, and downloads that resume after an interruption."""

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
from autobird.core.stage import format_duration, log
from autobird.sources.fetch.retry_after import parse_retry_after

_USER_AGENT = "Autobird (trains classifiers of bird recordings; python-httpx)"

_RETRY_STATUSES = {408, 425, 429, 500, 502, 503, 504}
"""Status codes after which the same request may succeed later."""

_WITHDRAWN_STATUSES = {404, 410, 451}
"""Status codes for a recording that was withdrawn."""

_REFUSED_STATUSES = {401, 403, 407}
"""Status codes of a server that refuses this client. They say nothing about the recording: servers also answer 403 to a client
that sends too many requests."""

_REFUSED_ATTEMPTS = 3
"""Attempts after which a refusal ends the job."""

_MAX_RETRY_AFTER = 3600.0
"""Longest delay that a server may ask for, seconds. If it asks for more, the job ends and says so."""

_MIN_BACKOFF, _MAX_BACKOFF = 0.1, 60.0
"""First and longest delay before another attempt, seconds. The delay doubles each time; `Retry-After` may extend it."""

_MAX_INTERRUPTIONS = 1000
"""Maximum number of attempts of one download that receive data and are then interrupted."""

_ATTEMPTS_AT_SAME_END = 3
"""A file counts as incomplete after this number of attempts in a row that end at the same byte before the declared length."""

logging.getLogger("httpx").setLevel(logging.WARNING)  # its INFO messages show whole URLs, which hold the API key


class ServerBusy(Exception):
    """The server cannot respond now. `retry_after`: delay in seconds that it asks for, 0 if it does not."""

    def __init__(self, reason: str, retry_after: float = 0.0) -> None:
        super().__init__(reason)
        self.retry_after = retry_after


class Unavailable(AutobirdError):
    """A recording cannot be downloaded. The message is the reason, for the quarantine list."""


class AccessRefused(AutobirdError):
    """The server refuses the request (401, 403): the key is wrong, or the client is blocked."""


class _Refused(ServerBusy):
    """A refusal of one attempt."""


class Incomplete(Unavailable):
    """The server sends less than the declared length in every attempt, or a file with another checksum than expected."""


class _Interrupted(Exception):
    """The connection broke after it had transferred data."""


@dataclass
class Client:
    """An HTTP client for one server at a time.

    Attributes:
        interval: minimum time between the starts of two requests, seconds.
        retry_seconds: time for which requests to a server that does not respond are repeated, seconds.
        secrets: texts that messages must not show, such as an API key.
    """

    interval: float = 1.0
    retry_seconds: float = 300.0
    secrets: tuple[str, ...] = ()
    _last_request: float = field(default=float("-inf"), repr=False)
    _http: httpx.Client = field(
        default_factory=lambda: httpx.Client(
            headers={"User-Agent": _USER_AGENT, "Accept-Encoding": "identity"},
            timeout=httpx.Timeout(30.0),
            follow_redirects=True,
        ),
        repr=False,
    )

    def get_json(self, url: str, parameters: Mapping[str, str | int]) -> Any:
        """Return the JSON response of a URL.

        Raises:
            AutobirdError: an error status (`AccessRefused` for 401 and 403), a response that is not JSON, or no response for
                `retry_seconds`. The message shows no secret.
        """

        def attempt() -> Any:
            self._wait_for_interval()
            try:
                # No redirects: they would send the API key to another server.
                response = self._http.get(url, params=dict(parameters), follow_redirects=False)
            except httpx.HTTPError as error:
                raise ServerBusy(self._without_secrets(f"{type(error).__name__}: {error}")) from None
            _raise_if_busy(response)
            if response.status_code != 200:
                text = self._without_secrets(response.text[:200].replace("\n", " "))
                answer = f"{_host(url)} answers {response.status_code}: {text}"
                raise (AccessRefused if response.status_code in _REFUSED_STATUSES else AutobirdError)(answer)
            try:
                return response.json()
            except ValueError as error:
                raise AutobirdError(
                    f"{_host(url)} does not answer with JSON; check its address in the configuration"
                ) from error

        return self._with_retries(attempt, _host(url))

    def download(self, url: str, to: Path, sha256: str = "") -> None:
        """Download a file to `to`, resuming from `<to>.part` if an earlier call left one.

        Args:
            url: address, http or https.
            to: local path, written only when the download is complete.
            sha256: expected checksum, "" if unknown.

        Raises:
            Unavailable: the server does not have the file; `Incomplete`: it sends too little, or another content.
            AccessRefused: the server answers 401 or 403 several times.
            AutobirdError: no response for `retry_seconds`. The data received so far is kept for the next call.
        """
        part = to.with_name(to.name + ".part")
        to.parent.mkdir(parents=True, exist_ok=True)
        ends: list[int] = []  # size of the part after each attempt, bytes

        def attempt() -> None:
            self._wait_for_interval()
            before = part.stat().st_size if part.is_file() else 0
            try:
                self._receive(url, part, before, ends)
            except (httpx.HTTPError, _Interrupted) as error:
                if ends and ends[-_ATTEMPTS_AT_SAME_END:] == ends[-1:] * _ATTEMPTS_AT_SAME_END:
                    raise Incomplete(
                        f"{_host(url)} sends only {ends[-1]} bytes, less than the declared length; to try again, "
                        "remove the .csv beside the batch's tar"
                    ) from None
                reason = self._without_secrets(f"{type(error).__name__}: {error}")
                received = isinstance(error, _Interrupted) or (part.is_file() and part.stat().st_size > before)
                raise (_Interrupted(reason) if received else ServerBusy(reason)) from None

        try:
            self._with_retries(attempt, _host(url))
        except _Refused as error:
            raise AccessRefused(
                f"{self._without_secrets(url.partition('?')[0])}: the server refuses access ({error}), which does not mean "
                "that the recording was withdrawn; run again later, or list the recording in corpus.take_down to go on without it"
            ) from None
        _validator_file(part).unlink(missing_ok=True)
        if sha256 and file_digest(part) != sha256:
            part.unlink()
            raise Incomplete(f"{_host(url)} sends a file with another sha256 than the table gives")
        part.replace(to)

    def _receive(self, url: str, part: Path, before: int, ends: list[int]) -> None:
        """Request the bytes after the first `before` ones, append them to `part`, and its new size to `ends`."""
        # If-Range: if the file was replaced in the meantime, the server sends all of it, not only the rest.
        validator = _validator_file(part).read_text() if before and _validator_file(part).is_file() else ""
        headers = {"Range": f"bytes={before}-"} | ({"If-Range": validator} if validator else {}) if before else {}
        with self._http.stream("GET", url, headers=headers) as response:
            _raise_if_busy(response)
            status = response.status_code
            if status in _REFUSED_STATUSES:
                raise _Refused(f"answers {status}", _requested_delay(response))
            if status in _WITHDRAWN_STATUSES:
                raise Unavailable(f"withdrawn: {_host(url)} answers {status}")
            if status == 416:  # range not satisfiable: the file is complete if its size is that of the part
                if _total_size(response) == before:
                    return
                part.unlink()
                raise _Interrupted("the size of the file has changed")
            if status not in (200, 206):
                raise Unavailable(f"{_host(url)} answers {status}")
            resumed = status == 206 and response.headers.get("Content-Range", "").startswith(f"bytes {before}-")
            declared = _total_size(response) if resumed else _content_length(response)
            if not resumed:
                _validator_file(part).write_text(_validator(response))
            with part.open("ab" if resumed else "wb") as file:
                try:
                    for block in response.iter_raw():
                        file.write(block)
                finally:
                    file.flush()
                    os.fsync(file.fileno())
                    ends.append(file.tell())
        if declared is not None and ends[-1] != declared:
            raise _Interrupted(f"{ends[-1]} of {declared} bytes")

    def _with_retries(self, attempt: Callable[[], Any], host: str) -> Any:
        """Call `attempt` until it succeeds, with exponential backoff.

        An interruption after received data restarts `retry_seconds` and the backoff: a slow download is not a dead server.
        """
        started = time.monotonic()
        failures = interruptions = refusals = 0

        def wait(state: tenacity.RetryCallState) -> float:
            error = state.outcome.exception() if state.outcome else None
            requested = error.retry_after if isinstance(error, ServerBusy) else 0.0
            first = max(_MIN_BACKOFF, self.interval)
            # tenacity calls `wait` before `stop`, which counts the failure, so `failures` is 0 after the first one.
            backoff = min(_MAX_BACKOFF, first * 2 ** min(10, failures - 1)) if failures else 0.0
            return max(requested, backoff)

        def stop(state: tenacity.RetryCallState) -> bool:
            nonlocal failures, interruptions, refusals, started
            error = state.outcome.exception() if state.outcome else None
            if isinstance(error, ServerBusy) and error.retry_after > _MAX_RETRY_AFTER:
                return True
            if isinstance(error, _Refused):
                failures, refusals = failures + 1, refusals + 1
                return refusals >= _REFUSED_ATTEMPTS
            if isinstance(error, _Interrupted):
                failures, interruptions, started = 0, interruptions + 1, time.monotonic()
                return interruptions > _MAX_INTERRUPTIONS
            failures += 1
            return time.monotonic() - started > self.retry_seconds

        def warn(state: tenacity.RetryCallState) -> None:
            error = state.outcome.exception() if state.outcome else None
            delay = state.next_action.sleep if state.next_action else 0.0
            log.warning("%s: %s; next attempt in %.0f s", host, error, delay)

        try:
            return tenacity.Retrying(
                retry=tenacity.retry_if_exception_type((ServerBusy, _Interrupted)),
                wait=wait,
                stop=stop,
                before_sleep=warn,
                reraise=True,
            )(attempt)
        except _Refused:
            raise
        except (ServerBusy, _Interrupted) as error:
            if isinstance(error, ServerBusy) and error.retry_after > _MAX_RETRY_AFTER:
                raise AutobirdError(
                    f"{host} {error} and asks to wait for {format_duration(error.retry_after)}; run again then: the data received "
                    "so far is kept"
                ) from None
            raise AutobirdError(
                f"{host} does not respond ({error}); run again later: the data received so far is kept"
            ) from None

    def _wait_for_interval(self) -> None:
        remaining = self._last_request + self.interval - time.monotonic()
        if remaining > 0:
            time.sleep(remaining)
        self._last_request = time.monotonic()

    def _without_secrets(self, text: str) -> str:
        for secret in self.secrets:
            text = text.replace(secret, "***") if secret else text
        return text


def _raise_if_busy(response: httpx.Response) -> None:
    if response.status_code in _RETRY_STATUSES:
        raise ServerBusy(f"answers {response.status_code}", _requested_delay(response))


def _requested_delay(response: httpx.Response) -> float:
    return parse_retry_after(response.headers.get("Retry-After"))


def _validator(response: httpx.Response) -> str:
    """Return the identifier of this version of a file (RFC 9110, section 8.8): a strong ETag, else Last-Modified."""
    tag = response.headers.get("ETag", "")
    return tag if tag.startswith('"') else response.headers.get("Last-Modified", "")


def _validator_file(part: Path) -> Path:
    return part.with_name(part.name + ".tag")


def _content_length(response: httpx.Response) -> int | None:
    text = response.headers.get("Content-Length", "")
    return int(text) if text.isdigit() else None


def _total_size(response: httpx.Response) -> int | None:
    """Return the size of the whole file in bytes, from `Content-Range: bytes 5-9/10` or `bytes */10`."""
    text = response.headers.get("Content-Range", "").rpartition("/")[2]
    return int(text) if text.isdigit() else None


def _host(url: str) -> str:
    return urlsplit(url).netloc
