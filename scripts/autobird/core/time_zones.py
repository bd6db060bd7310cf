"""Time zones by name or offset from UTC."""

import datetime as dt
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from autobird.core.clock import utc_offset


def parse_time_zone(text: str) -> dt.tzinfo:
    """Return a time zone by its name (`Europe/Berlin`), `UTC`, or its offset from UTC (`+02:00`).

    Raises:
        ValueError: there is no such zone.
    """
    if text.upper() in ("UTC", "Z"):
        return dt.UTC
    if offset := utc_offset(text):
        hours, minutes = int(offset[1:3]), int(offset[4:])
        return dt.timezone((-1 if offset[0] == "-" else 1) * dt.timedelta(hours=hours, minutes=minutes))
    try:
        return ZoneInfo(text)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ValueError(
            f"time zone {text!r} is not known; give a name such as Europe/Berlin (on Windows, the package tzdata has them), UTC, or an "
            "offset such as +02:00"
        ) from error
