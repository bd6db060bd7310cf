"""The parameters of requests about a review: which queue, for which reviewer."""

import math
from collections.abc import Mapping
from typing import Any

from werkzeug.datastructures import MultiDict

from autobird.review.filters import PoolFilter
from autobird.review.queues import QUEUES, QueueOptions
from autobird.review.session import ReviewSession
from autobird.serving.parameters import number_of, wrong_option
from autobird.serving.problems import Problem

MAX_COUNT = 5000
"""Largest number of items of a queue."""

MAX_NAME = 80
"""Largest number of characters of the name of a reviewer."""

_MAX_SEED = 2**31
_HOURS = 24.0


class ReviewQuery:
    """The parameters of a request.

    Args:
        parameters: names and values.
        session: the review; what a parameter does not say is as in its own queue.
    """

    def __init__(self, parameters: MultiDict[str, str], session: ReviewSession) -> None:
        self._parameters, self._session = parameters, session

    def queue(self) -> QueueOptions:
        """Return the options of the queue.

        Raises:
            Problem: a value is not possible.
        """
        own, pool = self._session.options, self._session.pool
        kind = self._parameters.get("queue") or own.kind
        if kind not in QUEUES:
            raise wrong_option("queue", kind, f"one of {', '.join(QUEUES)}")
        filter_ = PoolFilter(
            self._names("species", own.filter.species, set(pool.labels), "/v1/review lists the species"),
            self._names("site", own.filter.sites, {file.site for file in pool.files}, "/v1/review lists the sites"),
            self._hours(own.filter.hours),
            self.number("min_probability", own.filter.min_probability, 0, 1),
        )
        count = self.whole("count", own.count, 1, max(MAX_COUNT, own.count))
        return QueueOptions(kind, count, self.whole("seed", own.seed, 0, _MAX_SEED), own.edges, filter_)  # type: ignore[arg-type]

    def reviewer(self) -> str:
        """Return the name of the reviewer.

        Raises:
            Problem: it is missing or not possible.
        """
        return reviewer_of(self._parameters)

    def number(self, name: str, default: float, low: float, high: float) -> float:
        """Return a number.

        Raises:
            Problem: it is not possible.
        """
        text = self._parameters.get(name, "").strip()
        return number_of(name, text, low, high) if text else default

    def whole(self, name: str, default: int, low: int, high: int) -> int:
        """Return a whole number.

        Raises:
            Problem: it is not possible.
        """
        text = self._parameters.get(name, "").strip()
        if not text:
            return default
        if not (text.isascii() and text.isdigit() and len(text) <= 10 and low <= int(text) <= high):
            raise wrong_option(name, text, f"a whole number from {low} to {high}")
        return int(text)

    def flag(self, name: str) -> bool:
        """Return whether a parameter is set.

        Raises:
            Problem: it is neither true nor false.
        """
        text = self._parameters.get(name, "").strip().lower()
        if text not in ("", "0", "1", "true", "false"):
            raise wrong_option(name, text, "1 or 0")
        return text in ("1", "true")

    def _names(self, name: str, default: tuple[str, ...], known: set[str], remedy: str) -> tuple[str, ...]:
        """Return the values of a repeatable parameter; a single empty one removes the default."""
        given = self._parameters.getlist(name)
        if not given:
            return default
        values = tuple(sorted({value for value in given if value}))
        for value in values:
            if value not in known:
                raise wrong_option(name, value, f"a name as it is known here; {remedy}")
        return values

    def _hours(self, default: tuple[float, float] | None) -> tuple[float, float] | None:
        text = self._parameters.get("hours")
        if text is None:
            return default
        if not text.strip():
            return None
        first, _, last = text.partition("-")
        try:
            hours = float(first), float(last)
        except ValueError:
            hours = (math.nan, math.nan)
        if not all(0 <= hour <= _HOURS for hour in hours):
            raise wrong_option("hours", text, "two hours from 0 to 24, for example 4-8, or 22-4 for a night")
        return hours


def reviewer_of(values: Mapping[str, Any]) -> str:
    """Return the name of the reviewer in parameters or in a body.

    Raises:
        Problem: it is missing or not possible.
    """
    value = values.get("reviewer")
    name = value.strip() if isinstance(value, str) else ""
    if not 1 <= len(name) <= MAX_NAME or any(ord(c) < 32 or ord(c) == 127 for c in name):
        raise Problem(
            400, "Wrong option", f"`reviewer` is needed: a name of one line and at most {MAX_NAME} characters"
        )
    return name
