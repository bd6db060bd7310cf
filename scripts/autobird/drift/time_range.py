"""Dates and times that limit the entries of the server's log, in UTC."""

from datetime import UTC, date, datetime, timedelta


def start_of(text: str) -> float:
    """Return the first instant of a date or time, seconds since 1970 UTC.

    Args:
        text: a date or time in ISO 8601 format; without an offset it is in UTC.

    Raises:
        ValueError: the text is not a date or time.
    """
    return _instant(text).timestamp()


def end_of(text: str) -> float:
    """Return the instant before which entries are used: the end of a date, or the time itself, seconds since 1970 UTC.

    Raises:
        ValueError: the text is not a date or time.
    """
    return (_instant(text) + timedelta(days=1 if _is_date(text) else 0)).timestamp()


def iso_text(value: object) -> object:
    """Return the text of a date or time that YAML has already parsed; any other value is returned as it is."""
    return value.isoformat() if isinstance(value, date) else value


def checked_time(text: str) -> str:
    """Return the text of a date or time as it is.

    Raises:
        ValueError: the text is not a date or time.
    """
    start_of(text)
    return text


def utc_text(seconds: float) -> str:
    """Format seconds since 1970 UTC as `2026-05-01 06:30 UTC`, with seconds if they are not 0."""
    time = datetime.fromtimestamp(seconds, UTC)
    return f"{time:%Y-%m-%d %H:%M}" + (f":{time:%S}" if time.second else "") + " UTC"


def _is_date(text: str) -> bool:
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True


def _instant(text: str) -> datetime:
    try:
        time = datetime.fromisoformat(text)
        time = time.replace(tzinfo=time.tzinfo or UTC).astimezone(UTC)
        if 1970 <= time.year < 9999:
            return time
    except (ValueError, OverflowError):
        pass
    raise ValueError(f"{text!r} is not a date or time after 1970; give for example 2026-05-01 or 2026-05-01T06:30")
