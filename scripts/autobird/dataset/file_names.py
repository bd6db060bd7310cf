"""Read the start time of a recording and the name of its recorder from the name of its file.

Recorders and phones write the start time into the file name: `SM4A_20230512_040000.wav` (Song Meter),
`20230512_040000.WAV` and `5E1F2A30.WAV` (AudioMoth; the second is Unix time as 8 hexadecimal digits),
`20230512T040000+0200`, `2023-05-12T04-00-00`, `2023-05-12-04-00_3`, `Recording 20230512 040000`. Ambiguous names give no
time, because a wrong time would join unrelated recordings into one session: a date without a time, years of two digits
(`230512_0400` can be a date and a number, or begin with the day), and 8 digits without a letter (a catalogue number, or
Unix time).
"""

import datetime as dt
import re
from functools import lru_cache
from typing import NamedTuple

from autobird.core.clock import LAST_YEAR, utc_offset, valid_datetime

_DATE_AND_TIME = re.compile(
    r"""
    (?<!\d) (?<!XC) (?<!ML) (?P<year>(?:19|20)\d\d) (?P<d>[-_.:]?) (?P<month>\d\d) (?P=d) (?P<day>\d\d)
    (?: [Tt_$\s-]{1,3} | \sat\s | (?P<birdnet>-birdnet-(?:\w+-)?) | (?=\d{6}(?!\d)) )
    (?P<hour>\d\d) (?P<t>[-_:.h]?) (?P<minute>\d\d) (?: (?:(?P=t)|m) (?P<second>\d\d) )? (?!\d)
    """,
    re.VERBOSE,
)
"""A date, a separator and a local time of day. An offset from UTC and any other text may follow."""

_HEXADECIMAL = re.compile(r"(?=[0-9]*[A-F])([0-9A-F]{8})(?=T?(?:[._ (]|$))")
"""Unix time as early AudioMoth firmware wrote it, at the beginning of the name; at least one digit is a letter."""

_OFFSET = re.compile(r"(Z|[+-]\d\d:?(?:00|15|30|45))(?![0-9A-Za-z])")
"""An offset from UTC after a time; offsets in use are multiples of 15 minutes."""

_FIRST_AUDIOMOTH = 2016
"""Year of the first AudioMoth; earlier hexadecimal times are other numbers."""

_SEPARATORS = " _-.$(["

_SONG_METER = re.compile(r"(?:SM|S\d|2M)[0-9A-Z]*[-_][AB01]", re.IGNORECASE)
"""Prefix of a Song Meter and a channel. After other prefixes `_A` may be part of the name of a site."""


class FileTimestamp(NamedTuple):
    """Recorder and start time in a file name.

    Attributes:
        prefix: the text before the time, without channel marks; often the name of the recorder.
        start: when the recording began, by the clock of the recorder.
    """

    prefix: str
    start: dt.datetime


def parse_timestamp(file_name: str) -> FileTimestamp | None:
    """Return the timestamp in a file name (without folders); None if it contains no unambiguous time."""
    found = _find(file_name)
    return found[0] if found else None


def parse_utc_offset(file_name: str) -> str:
    """Return the UTC offset of the timestamp in a file name as `+02:00`; "" if the name does not state it.

    It is stated by an offset after a time in the form of ISO 8601 (`20230512T040000+0200`, `2023-05-12T04:00:00Z`), and by Unix time,
    which counts in UTC.
    """
    found = _find(file_name)
    if found is None:
        return ""
    _, time, end = found
    if not time:
        return "+00:00"
    offset = _OFFSET.match(file_name, end) if "T" in time.upper() else None
    return utc_offset(offset[1]) if offset else ""


def _find(file_name: str) -> tuple[FileTimestamp, str, int] | None:
    """Return the timestamp in a file name, the text of its date and time ("" for Unix time), and the end of this text."""
    for found in _DATE_AND_TIME.finditer(file_name):
        if found["second"] is None and found["t"] == "_" and not found["d"]:
            continue  # ambiguous: 20230512_12_34 can be a date and two numbers
        year, month, day, hour, minute = map(int, found.group("year", "month", "day", "hour", "minute"))
        start = valid_datetime(year, month, day, hour, minute, int(found["second"] or 0))
        if start is not None:
            # BirdNET-Pi writes species and confidence before the time, not the name of a recorder.
            prefix = "" if found["birdnet"] else _recorder_name(file_name[: found.start()])
            return FileTimestamp(prefix, start), found[0], found.end()
    if unix_time := _HEXADECIMAL.match(file_name):
        start = dt.datetime(1970, 1, 1) + dt.timedelta(seconds=int(unix_time[1], 16))
        if _FIRST_AUDIOMOTH <= start.year <= LAST_YEAR:
            return FileTimestamp("", start), "", 0
    return None


@lru_cache(1 << 16)
def _recorder_name(prefix: str) -> str:
    """Return the text before a time without trailing separators and without the channel mark of a Song Meter."""
    prefix = re.sub(r"[-_ ](?:0\+1|A\+B)$", "", prefix.rstrip(_SEPARATORS))
    return (prefix[:-2] if _SONG_METER.fullmatch(prefix) else prefix).rstrip(_SEPARATORS)
