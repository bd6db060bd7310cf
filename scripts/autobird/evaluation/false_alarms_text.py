"""False alarms as text for the model card and the terminal."""

import math
from typing import Any

from autobird.core.decimals import three_digits
from autobird.core.wording import counted

NOT_MEASURED = "not measured, because no test recording is known to hold none of the species"
"""Why there is no number of false alarms."""


def false_alarm_sentence(negatives: dict[str, Any]) -> str:
    """Return a sentence about the false alarms of a split.

    Args:
        negatives: as in `metrics.json`.
    """
    rate = negatives["per_hour"]
    if rate is None:
        return f"False alarms per hour of sound: {NOT_MEASURED}."
    return (
        f"False alarms in {hours_text(negatives['hours'])} of sound that holds none of the species ("
        f"{counted(negatives['recordings'], 'test recording')} in {counted(negatives['groups'], 'independent group')}): "
        f"{rate_text(rate)} per hour, all species together."
    )


def false_alarm_line(negatives: dict[str, Any]) -> str:
    """Return the false alarms as a line of `autobird scores`; for the argument see `false_alarm_sentence`."""
    rate = negatives["per_hour"]
    if rate is None:
        return f"  false alarms per hour: {NOT_MEASURED}"
    return (
        f"  false alarms per hour: {rate_text(rate)} ({negatives['false_alarms']:g} in {hours_text(negatives['hours'])} of "
        f"{counted(negatives['recordings'], 'recording')} without any species, {counted(negatives['groups'], 'independent group')})"
    )


def rate_text(rate: dict[str, float | None]) -> str:
    """Return a number per hour with its interval, for example `12.4 [3.1, 40.2]`.

    Args:
        rate: `value`, `low` and `high`; bounds of None (of `metrics.json`) or NaN (of a table) are unknown.
    """
    value, low, high = (rate[key] for key in ("value", "low", "high"))
    assert value is not None
    if low is None or high is None or math.isnan(low):
        return f"{three_digits(value)} [interval unknown]"
    return f"{three_digits(value)} [{three_digits(low)}, {three_digits(high)}]"


def hours_text(hours: float) -> str:
    """Return a duration, in minutes if it is short."""
    return f"{hours:.1f} hours" if hours >= 1 else f"{60 * hours:.1f} minutes"
