"""Normalise the dates in tables of metadata."""

import re

from autobird.core.clock import valid_datetime

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_YEAR_FIRST = re.compile(r"(\d{4})(?P<s>[-/. ])(\d{1,2})(?P=s)(\d{1,2})(?:[t ].*)?")
_COMPACT = re.compile(r"(\d{4})()(\d\d)(\d\d)")
_YEAR_LAST = re.compile(r"(\d{1,2})([-/. ])(\d{1,2})\2(\d{4})(?:[t ].*)?")
_MONTH_NAME = re.compile(r"(?:(\d{1,2})[-. ]*([a-z]{3})[a-z]*|([a-z]{3})[a-z]*[. ]*(\d{1,2}))[-., ]*(\d{4})")
_PARTIAL = re.compile(r"\d{4}(?:[-/.]\d{1,2}){0,2}|[\d?]{4}(?:[-/.][\d?]{1,2}){0,2}")


def normalise_day(text: str) -> str:
    """Return a date as `2023-05-12`, "" for an incomplete date, and any other text in lower case.

    A year, a month and `2021-00-00` are incomplete dates. `12/05/2023` is ambiguous (May or December) and is returned
    unchanged, while `25/05/2023` and `05/25/2023` are the same day.
    """
    text = " ".join(text.split()).casefold()
    if found := _YEAR_FIRST.fullmatch(text) or _COMPACT.fullmatch(text):
        year, month, day = int(found[1]), int(found[3]), int(found[4])
        return _iso_date(year, month, day) or ("" if not month or not day else text)
    if found := _YEAR_LAST.fullmatch(text):
        first, second, year = int(found[1]), int(found[3]), int(found[4])
        if not first or not second:
            return ""
        days = {_iso_date(year, second, first), _iso_date(year, first, second)} - {""}
        return days.pop() if len(days) == 1 else text
    if (found := _MONTH_NAME.fullmatch(text)) and (found[2] or found[3]) in _MONTHS:
        return _iso_date(int(found[5]), _MONTHS.index(found[2] or found[3]) + 1, int(found[1] or found[4])) or text
    return "" if _PARTIAL.fullmatch(text) else text


def _iso_date(year: int, month: int, day: int) -> str:
    """Return a date as `2023-05-12`, "" if the calendar has no such day."""
    date = valid_datetime(year, month, day)
    return date.date().isoformat() if date else ""
