"""Parse dates, times and UTC offsets as recorders, file names and people write them, and check them by the calendar."""

import datetime as dt
import re

FIRST_YEAR = 1970
"""Earlier years are rejected; computer clocks commonly count from 1970."""

LAST_YEAR = dt.date.today().year + 1
"""Later years are rejected; next year is allowed for clocks that are fast at New Year."""

_ISO = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[T ](\d\d):(\d\d)(?::(\d\d)(?:[.,]\d*)?)?\s*(Z|[+-]\d\d(?::?\d\d)?)?(?!\d)", re.IGNORECASE
)


def valid_datetime(
    year: int, month: int, day: int, hour: int = 0, minute: int = 0, second: int = 0
) -> dt.datetime | None:  # fmt: skip
    """Return a date and time without UTC offset; None for an impossible date or time, or a year out of range."""
    if not FIRST_YEAR <= year <= LAST_YEAR:
        return None
    try:
        return dt.datetime(year, month, day, hour, minute, second)
    except ValueError:
        return None


def find_iso_time(text: str) -> str:
    """Return the first ISO 8601 time in `text` as `2023-05-12T04:00:00`, followed by its UTC offset if it has one, or ""."""
    found = _ISO.search(text)
    if found is None:
        return ""
    at = valid_datetime(*(int(part or 0) for part in found.groups()[:6]))
    return at.isoformat() + utc_offset(found[7] or "") if at else ""


def utc_offset(text: str) -> str:
    """Convert a UTC offset (`Z`, `+2`, `-0430`, `+05:30`) to the form `+05:30`; "" for other texts."""
    if text.upper() == "Z":
        return "+00:00"
    found = re.fullmatch(r"([+-])(\d\d?):?(\d\d)?", text)
    if found is None or int(found[2]) > 14 or int(found[3] or 0) > 59:
        return ""
    return f"{found[1]}{int(found[2]):02d}:{found[3] or '00'}"
