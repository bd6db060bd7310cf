"""Dates and times as recorders, file names and people write them, checked against the calendar."""

import datetime as dt
import re

FIRST_YEAR = 1970
"""No time before it is believed: it is where the clocks of recorders begin."""

LAST_YEAR = dt.date.today().year + 1
"""No time after it is believed; one year ahead, for clocks that are fast around New Year."""

_ISO = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[T ](\d\d):(\d\d)(?::(\d\d)(?:[.,]\d*)?)?\s*(Z|[+-]\d\d(?::?\d\d)?)?(?!\d)", re.IGNORECASE
)


def moment(
    year: int, month: int, day: int, hour: int = 0, minute: int = 0, second: int = 0
) -> dt.datetime | None:  # fmt: skip
    """A date and a time of day without offset; None if the calendar has no such time or its year is not believed."""
    if not FIRST_YEAR <= year <= LAST_YEAR:
        return None
    try:
        return dt.datetime(year, month, day, hour, minute, second)
    except ValueError:
        return None


def iso_moment(text: str) -> str:
    """The first ISO 8601 time in a text as `2023-05-12T04:00:00`, with the offset that it has (`+02:00`), or ""."""
    found = _ISO.search(text)
    if found is None:
        return ""
    at = moment(*(int(part or 0) for part in found.groups()[:6]))
    return at.isoformat() + offset(found[7] or "") if at else ""


def offset(text: str) -> str:
    """An offset from UTC (`Z`, `+2`, `-0430`, `+05:30`) as `+05:30`; "" if it is none."""
    if text.upper() == "Z":
        return "+00:00"
    found = re.fullmatch(r"([+-])(\d\d?):?(\d\d)?", text)
    if found is None or int(found[2]) > 14 or int(found[3] or 0) > 59:
        return ""
    return f"{found[1]}{int(found[2]):02d}:{found[3] or '00'}"
