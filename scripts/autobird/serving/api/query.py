"""Parameters of requests and fields of JSON bodies, checked; errors name the value and what is possible."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from flask import request

from autobird.serving.parameters import wrong_option
from autobird.serving.problems import Problem
from autobird.serving.services import Services
from autobird.serving.store.store import MAX_PAGE, Store

_MAX_JSON = 1 << 16
"""Largest JSON body, bytes."""

_LARGEST_ID = 2**63 - 1


def the_store(services: Services) -> Store:
    """Return the log.

    Raises:
        Problem: the server keeps none.
    """
    if services.store is None:
        raise Problem(404, "No log", "the server keeps no log; start it with --log FILE or --log postgresql://...")
    return services.store


def page_parameters() -> tuple[int | None, int]:
    """Return `before` (an id; None: from the newest on) and `limit` of the request.

    Raises:
        Problem: one of them is not possible.
    """
    before = whole_number("before", 1, _LARGEST_ID)
    limit = whole_number("limit", 1, MAX_PAGE)
    return before, 50 if limit is None else limit


def whole_number(name: str, lowest: int, largest: int) -> int | None:
    """Return a parameter of the request; None if it is not given.

    Raises:
        Problem: it is not a whole number in this range.
    """
    text = request.args.get(name)
    if text is None:
        return None
    if not (text.isascii() and text.isdigit()) or len(text) > 19 or not lowest <= int(text) <= largest:
        raise wrong_option(name, text, f"a whole number from {lowest} to {largest}")
    return int(text)


def one_of(name: str, allowed: Sequence[str]) -> str | None:
    """Return a parameter of the request; None if it is not given.

    Raises:
        Problem: it is none of the allowed values.
    """
    text = request.args.get(name)
    if text is not None and text not in allowed:
        raise wrong_option(name, text, f"one of {', '.join(allowed)}")
    return text


def json_object() -> Mapping[str, Any]:
    """Return the JSON object in the body of the request.

    Raises:
        Problem: the body is something else, or too large.
    """
    # A page of another site can send other types without asking the server first.
    if request.mimetype != "application/json":
        raise Problem(415, "Wrong content type", "send a JSON object with the header Content-Type: application/json")
    data = request.stream.read(_MAX_JSON + 1)
    if len(data) > _MAX_JSON:
        raise Problem(413, "Upload too large", f"the body is larger than {_MAX_JSON} bytes")
    try:
        value = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise Problem(
            400, "Wrong JSON", f"the body is not JSON ({type(error).__name__}); send a JSON object"
        ) from error
    if not isinstance(value, dict):
        raise Problem(400, "Wrong JSON", "the body is not a JSON object; send {...}")
    return value


def text_field(body: Mapping[str, Any], name: str, largest: int, required: bool = False) -> str:
    """Return a text of a JSON object; "" if it is missing.

    Raises:
        Problem: it is something else, too long, or missing although it is required.
    """
    value = body.get(name)
    if value is None and not required:
        return ""
    if not isinstance(value, str) or len(value) > largest or (required and not value.strip()):
        raise Problem(400, "Wrong option", f"`{name}` is {_shown(value)}; give a text of at most {largest} characters")
    return value


def number_field(body: Mapping[str, Any], name: str, lowest: float, largest: float) -> float:
    """Return a number of a JSON object.

    Raises:
        Problem: it is missing, something else, or out of range.
    """
    value = body.get(name)
    if isinstance(value, int | float) and not isinstance(value, bool) and lowest <= value <= largest:
        return float(value)
    raise Problem(400, "Wrong option", f"`{name}` is {_shown(value)}; give a number from {lowest:g} to {largest:g}")


def _shown(value: Any) -> str:
    return "missing" if value is None else repr(value)[:50]
