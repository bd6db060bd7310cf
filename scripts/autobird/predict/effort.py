"""Recording effort: how long was recorded at each site, day and hour, with silent and failed recordings counted apart."""

import datetime as dt
import math
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from autobird.core.sun import sunrise
from autobird.predict.origin import Place
from autobird.predict.tables import RecordedFile


class Cell(NamedTuple):
    """An hour of a day at a site.

    Attributes:
        site: the site, "" if unknown.
        day: the day, "" if unknown.
        hour: local hour of the day, 0 to 23; -1 if unknown.
    """

    site: str
    day: str
    hour: int


@dataclass
class Effort:
    """What was recorded.

    Attributes:
        recordings: recordings that begin here and could be classified, without the silent ones.
        seconds: their length within the cell.
        quiet_seconds: length of their quiet windows, in which nothing is detected; divided evenly over a recording.
        silent_recordings: recordings that begin here and have no signal.
        silent_seconds: their length within the cell.
        failed_recordings: recordings that begin here and were skipped; their length is unknown.
    """

    recordings: int = 0
    seconds: float = 0.0
    quiet_seconds: float = 0.0
    silent_recordings: int = 0
    silent_seconds: float = 0.0
    failed_recordings: int = 0

    def add(self, other: "Effort") -> None:
        """Add another effort."""
        for name, value in vars(other).items():
            setattr(self, name, getattr(self, name) + value)


@dataclass(frozen=True)
class Calendar:
    """How times are assigned to days and hours.

    Attributes:
        zone: time zone of days and hours, for times with a known offset from UTC; None: that of the table.
        day_start: hour at which a day begins; with 12, a night is one day, named after its evening.
    """

    zone: dt.tzinfo | None = None
    day_start: int = 0

    def place(self, place: Place) -> Place:
        """Return a place with its start in the time zone of the calendar."""
        start = place.start
        known = start is not None and start.tzinfo is not None and self.zone is not None
        return place._replace(start=start.astimezone(self.zone)) if known and start else place

    def cell(self, place: Place, seconds: float) -> Cell:
        """Return the cell of a time in a recording, `seconds` after its start."""
        at = self.place(place).at(seconds)
        if at is None:
            return Cell(place.site, "", -1)
        return Cell(place.site, (at - dt.timedelta(hours=self.day_start)).date().isoformat(), at.hour)


def spread(file: RecordedFile, calendar: Calendar) -> Iterator[tuple[Cell, Effort]]:
    """Yield the effort of a recording in each cell that it touches."""
    first = calendar.cell(file.place, 0.0)
    if file.status == "skipped":
        yield first, Effort(failed_recordings=1)
        return
    silent = file.status == "silent"
    yield first, Effort(silent_recordings=1) if silent else Effort(recordings=1)
    for start, length in parts_by_hour(calendar.place(file.place), 0.0, file.seconds):
        cell = calendar.cell(file.place, start)
        quiet = length * file.quiet_share
        yield cell, Effort(silent_seconds=length) if silent else Effort(seconds=length, quiet_seconds=quiet)


def parts_by_hour(place: Place, start: float, end: float) -> Iterator[tuple[float, float]]:
    """Yield start and length, seconds, of the parts within each hour of what lasts from `start` to `end` in a recording.

    Args:
        place: of the recording, in the time zone of the hours.
        start: seconds from the start of the recording.
        end: as `start`.
    """
    at = start
    if place.start is None:
        yield start, end - start
        return
    while at < end:
        local = place.at(at)
        assert local is not None
        # A microsecond at least: rounding must not leave the loop at the end of an hour.
        to_hour = max(3600 - local.minute * 60 - local.second - local.microsecond / 1e6, 1e-6)
        length = min(to_hour, end - at)
        yield at, length
        at += length


def total(cells: dict[Cell, Effort]) -> Effort:
    """Return the sum of the effort of all cells."""
    whole = Effort()
    for effort in cells.values():
        whole.add(effort)
    return whole


class SunriseHours:
    """Hours from sunrise of the same day, in whole hours: -1 is the hour before sunrise.

    Args:
        latitude: degrees, north positive.
        longitude: degrees, east positive.

    Attributes:
        without: number of recordings whose time is not known with its offset from UTC, or on days without sunrise.
    """

    def __init__(self, latitude: float, longitude: float) -> None:
        self._latitude, self._longitude = latitude, longitude
        self._sunrise: dict[dt.date, dt.datetime | None] = {}
        self.seconds: dict[int, float] = defaultdict(float)
        self.without = 0

    def add(self, file: RecordedFile) -> None:
        """Add the effort of a recording that was classified and is not silent."""
        if file.status in ("skipped", "silent"):
            return
        if self.of(file.place, 0.0) is None:
            self.without += 1
            return
        at = 0.0
        while at < file.seconds:
            position = self._position(file.place, at)
            if position is None:
                return
            hour = math.floor(position)
            length = min(max((hour + 1 - position) * 3600, 1e-3), self._to_midnight(file.place, at), file.seconds - at)
            self.seconds[hour] += length
            at += length

    def of(self, place: Place, seconds: float) -> int | None:
        """Return the whole hours from sunrise of a time in a recording; None if unknown."""
        position = self._position(place, seconds)
        return None if position is None else math.floor(position)

    def _position(self, place: Place, seconds: float) -> float | None:
        at = place.at(seconds)
        if at is None or at.tzinfo is None:
            return None
        # The day by the sun: the time zone of the table may be far from the place.
        day = (at.astimezone(dt.UTC) + dt.timedelta(hours=self._longitude / 15)).date()
        if day not in self._sunrise:
            self._sunrise[day] = sunrise(day, self._latitude, self._longitude)
        rise = self._sunrise[day]
        return None if rise is None else (at - rise) / dt.timedelta(hours=1)

    def _to_midnight(self, place: Place, seconds: float) -> float:
        at = place.at(seconds)
        assert at is not None
        solar = at.astimezone(dt.UTC) + dt.timedelta(hours=self._longitude / 15)
        following = dt.datetime.combine(solar.date() + dt.timedelta(days=1), dt.time(), dt.UTC)
        return max((following - solar).total_seconds(), 1e-3)
