"""Numbers in the parameters of requests, and the problem of a parameter whose value is not possible."""

import math

from autobird.serving.problems import Problem

SHOWN = 60
"""Characters of a client's text that an error repeats."""


def number_of(name: str, text: str, low: float, high: float) -> float:
    """Return the number that a parameter gives.

    Raises:
        Problem: it is not a number from `low` to `high`.
    """
    try:
        number = float(text) if text.isascii() else math.nan
    except ValueError:
        number = math.nan
    if not low <= number <= high:
        raise wrong_option(name, text, f"a number from {low:g} to {high:g}")
    return number


def wrong_option(name: str, text: str, allowed: str) -> Problem:
    """Return the problem of a parameter; `allowed` says what it may be."""
    return Problem(400, "Wrong option", f"{name}={shown(text)} is not possible; give {allowed}")


def shown(text: str) -> str:
    """Return the start of a client's text with quotes, in ASCII."""
    return ascii(text[:SHOWN]) + ("..." if len(text) > SHOWN else "")
