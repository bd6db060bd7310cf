"""Intervals as text for tables and sentences."""

import math


def interval_text(value: dict[str, float | None] | None, sign: bool = False, decimals: int = 3) -> str:
    """Return an estimate with its interval, for example `0.817 [0.688, 0.900]`.

    Args:
        value: `value`, `low` and `high`, as in `metrics.json`; None if the metric is not defined.
        sign: write a plus sign before positive numbers.
        decimals: number of decimals.
    """
    number = math.nan if value is None or value["value"] is None else value["value"]
    if value is None or math.isnan(number):
        return "not defined"
    form = f"{'+' if sign else ''}.{decimals}f"
    low, high = value["low"], value["high"]
    bounds = "interval unknown" if low is None or high is None else f"{low:{form}}, {high:{form}}"
    return f"{number:{form}} [{bounds}]"


def interval_columns(name: str, interval: tuple[float, float, float] | None) -> dict[str, float | None]:
    """Return an interval as the columns `name`, `name`_low and `name`_high of a table; None if the metric is not defined."""
    value, low, high = interval or (None, None, None)
    return {name: value, f"{name}_low": low, f"{name}_high": high}
