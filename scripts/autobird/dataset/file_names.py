"""When a recording began, and the name of its recorder, from the name of its file.

Recorders and phones write the start of a recording into the file's name: `SM4A_20230512_040000.wav` (Song Meter),
`20230512_040000.WAV` and `5E1F2A30.WAV` (AudioMoth: the second is Unix time as 8 hexadecimal digits), `20230512T040000+0200`,
`2023-05-12T04-00-00`, `2023-05-12-04-00_3`, `Recording 20230512 040000`. What is not certain is left unknown, as a wrong
time joins recordings that have nothing in common: a date alone, years of two digits (`230512_0400` might be a date and
a number, or begin with the day), and 8 digits without a letter (a catalogue number, or Unix time).
"""

import datetime as dt
import re
from functools import lru_cache
from typing import NamedTuple

from autobird.core.clock import LAST_YEAR, valid_datetime

_STAMP = re.compile(
    r"""
    (?<!\d) (?<!XC) (?<!ML) (?P<year>(?:19|20)\d\d) (?P<d>[-_.:]?) (?P<month>\d\d) (?P=d) (?P<day>\d\d)
    (?: [Tt_$\s-]{1,3} | \sat\s | (?P<birdnet>-birdnet-(?:\w+-)?) | (?=\d{6}(?!\d)) )
    (?P<hour>\d\d) (?P<t>[-_:.h]?) (?P<minute>\d\d) (?: (?:(?P=t)|m) (?P<second>\d\d) )? (?!\d)
    """,
    re.VERBOSE,
)
"""A date, a separator and a time of day in the local clock; an offset from UTC and all other text may follow."""

_HEXADECIMAL = re.compile(r"(?=[0-9]*[A-F])([0-9A-F]{8})(?=T?(?:[._ (]|$))")
"""Unix time as AudioMoth wrote it at first: the whole name, or its beginning; at least one digit is a letter."""

_FIRST_AUDIOMOTH = 2016

_SEPARATORS = " _-.$(["

_SONG_METER = re.compile(r"(?:SM|S\d|2M)[0-9A-Z]*[-_][AB01]", re.IGNORECASE)
"""Prefixes of Song Meters, followed by a channel; elsewhere `_A` may be the name of a site."""


class Stamp(NamedTuple):
    """What a file's name says.

    Attributes:
        prefix: what stands before the time, without the marks of channels; often the name of the recorder.
        at: when the recording began, by the clock of the recorder.
    """

    prefix: str
    at: dt.datetime


def stamp(name: str) -> Stamp | None:
    """What a file's name (without its folders) says, or None if it holds no time that is certain."""
    for found in _STAMP.finditer(name):
        if found["second"] is None and found["t"] == "_" and not found["d"]:
            continue  # 20230512_12_34 may as well end in two numbers
        year, month, day, hour, minute = map(int, found.group("year", "month", "day", "hour", "minute"))
        at = valid_datetime(year, month, day, hour, minute, int(found["second"] or 0))
        if at is not None:
            # BirdNET-Pi writes species and confidence before the time of its clips.
            return Stamp("" if found["birdnet"] else _recorder(name[: found.start()]), at)
    if unix := _HEXADECIMAL.match(name):
        at = dt.datetime(1970, 1, 1) + dt.timedelta(seconds=int(unix[1], 16))
        if _FIRST_AUDIOMOTH <= at.year <= LAST_YEAR:
            return Stamp("", at)
    return None


@lru_cache(1 << 16)
def _recorder(prefix: str) -> str:
    """A prefix without what separates it from the time, and without the mark of a Song Meter's channels."""
    prefix = re.sub(r"[-_ ](?:0\+1|A\+B)$", "", prefix.rstrip(_SEPARATORS))
    return (prefix[:-2] if _SONG_METER.fullmatch(prefix) else prefix).rstrip(_SEPARATORS)
