"""Where and when a recording was made: site, recorder and start from folders, file names and headers."""

import datetime as dt
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from autobird.audio.headers import Header
from autobird.core.errors import AutobirdError
from autobird.core.time_zones import parse_time_zone
from autobird.dataset.file_names import parse_timestamp, parse_utc_offset
from autobird.dataset.recorder_names import is_date_folder

SITES = ("auto", "folder", "name", "recorder", "none")
"""Ways to determine the site of a recording, see `Places`."""

_NOT_A_SITE = frozenset(
    {"data", "audio", "audiofiles", "dcim", "wav", "flac", "mp3", "recordings", "recording", "sounds"}
)
"""Folders, in lower case, that recorders and people make within the folder of a site."""

_NOT_A_RECORDER = re.compile(
    r"(?:new[ _]?)?(?:audio|recording|rec|record|sound|voice|memo|voice[ _]memo|whatsapp audio|aud|ptt)(?:[ _-]*\(?\d*\)?)?",
    re.IGNORECASE,
)
"""Text before the time that phones write into every name; it names no recorder."""

_CLOCK_TOLERANCE = dt.timedelta(seconds=60)
"""Times in the name and in the header of a file belong to the same instant if they differ by less."""


class Origin(NamedTuple):
    """What the path and the header of a recording state about its origin.

    Attributes:
        path: path of the file below the folder that was named, with `/`; its name if the file itself was named.
        serial: serial number of the recorder in the header, "" if unknown.
        header_time: start of the recording in the header, as `audio.headers.Header.recorded_at`; "" if unknown.
    """

    path: str = ""
    serial: str = ""
    header_time: str = ""

    @classmethod
    def of(cls, path: str, header: Header) -> "Origin":
        """Combine a path and a header."""
        return cls(path, header.recorder, header.recorded_at)


class Place(NamedTuple):
    """Site, recorder and start of a recording.

    Attributes:
        site: name of the site, "" if unknown.
        recorder: serial number or name of the recorder, "" if unknown.
        start: start of the recording; without time zone if the offset of the recorder's clock from UTC is unknown; None if the
            start is unknown.
    """

    site: str = ""
    recorder: str = ""
    start: dt.datetime | None = None

    @property
    def recorded_at(self) -> str:
        """The start as `2023-05-12T04:00:00+02:00`, without offset if it is unknown; "" if the start is unknown."""
        return self.start.isoformat(timespec="seconds") if self.start else ""

    def at(self, seconds: float) -> dt.datetime | None:
        """Return the local time `seconds` after the start; None if the start is unknown."""
        if self.start is None:
            return None
        if self.start.tzinfo is None:
            return self.start + dt.timedelta(seconds=seconds)
        # Python adds to the local time of a zone; the recorder counts real seconds, also when summer time begins or ends.
        return (self.start.astimezone(dt.UTC) + dt.timedelta(seconds=seconds)).astimezone(self.start.tzinfo)


@dataclass(frozen=True)
class Places:
    """How places are determined.

    - Start: from the file name, otherwise from the header. The offset from UTC is stated by the name, or by a header that gives the
      same instant; otherwise the clock was in the zone `clock`. Without it, the offset stays unknown.
    - Recorder: the serial number in the header, otherwise the text before the time in the file name.
    - Site: `folder`: the folders below the folder that was named, without those that are dates or generic (`Data`); `name`: the text
      before the time in the file name; `recorder`: the recorder; `auto`: the first of `folder` and `name` that is not empty; `none`.

    Attributes:
        site: one of `SITES`.
        zone: time zone of the times in the result; None: that of the recorder's clock.
        clock: time zone of the recorders' clocks where neither name nor header states the offset; None: unknown.
    """

    site: str = "auto"
    zone: dt.tzinfo | None = None
    clock: dt.tzinfo | None = None

    @classmethod
    def named(cls, site: str, zone: str, clock: str) -> "Places":
        """Return places with time zones given as texts; "" if not given. The clock's default is `zone`.

        Raises:
            AutobirdError: a time zone is not known.
        """
        clock = clock or zone
        return cls(site, time_zone(zone) if zone else None, time_zone(clock) if clock else None)

    def of(self, origin: Origin) -> Place:
        """Return the place of a recording."""
        folder, _, name = origin.path.rpartition("/")
        timestamp = parse_timestamp(name)
        prefix = timestamp.prefix if timestamp and not _NOT_A_RECORDER.fullmatch(timestamp.prefix) else ""
        recorder = origin.serial or prefix
        sites = {"folder": _site_of_folders(folder), "name": prefix, "recorder": recorder, "none": ""}
        sites["auto"] = sites["folder"] or prefix
        return Place(sites[self.site], recorder, self._start(name, origin.header_time))

    def _start(self, name: str, header_time: str) -> dt.datetime | None:
        timestamp = parse_timestamp(name)
        header = dt.datetime.fromisoformat(header_time) if header_time else None
        start = header
        if timestamp is not None:
            start = timestamp.start
            if offset := parse_utc_offset(name):
                start = dt.datetime.fromisoformat(start.isoformat() + offset)
            elif header is not None and header.tzinfo is not None:
                start = _with_offset_of(header, start)
        if start is None:
            return None
        if start.tzinfo is None and self.clock is not None:
            # To UTC and back: a local time that summer time skips becomes one that exists.
            start = start.replace(tzinfo=self.clock).astimezone(dt.UTC).astimezone(self.clock)
        return start.astimezone(self.zone) if self.zone is not None and start.tzinfo is not None else start


def _with_offset_of(header: dt.datetime, start: dt.datetime) -> dt.datetime:
    """Return the time in a file name with the offset from UTC of the header, if both mean the same instant."""
    utc = header.astimezone(dt.UTC).replace(tzinfo=None)
    if abs(header.replace(tzinfo=None) - start) < _CLOCK_TOLERANCE:
        return start.replace(tzinfo=header.tzinfo)
    # Some programs write UTC into the name and local time into the header.
    return start.replace(tzinfo=dt.UTC).astimezone(header.tzinfo) if abs(utc - start) < _CLOCK_TOLERANCE else start


@lru_cache(1 << 16)
def _site_of_folders(folders: str) -> str:
    """Return the folders of a file without dates and generic names."""
    return "/".join(
        f for f in folders.split("/") if f and not is_date_folder(f) and f.strip().casefold() not in _NOT_A_SITE
    )


def time_zone(text: str) -> dt.tzinfo:
    """Return a time zone, see `parse_time_zone`.

    Raises:
        AutobirdError: there is no such zone.
    """
    try:
        return parse_time_zone(text)
    except ValueError as error:
        raise AutobirdError(str(error)) from error
