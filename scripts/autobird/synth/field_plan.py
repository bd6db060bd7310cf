"""The field recordings of the demo as parameters, without synthesis: recorders, names of files, times and durations.

Four recorders record at dawn and in the evening of several days. They have the names, folders and headers of an AudioMoth, a Song
Meter and a BAR-LT.
"""

import datetime as dt
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

from autobird.synth.settings import DemoFieldSettings, DemoSettings

Fault = Literal["", "gap", "silent", "damaged"]


class Recorder(NamedTuple):
    """A recorder at its site.

    Attributes:
        site: name of the place.
        model: `AudioMoth`, `Song Meter` or `BAR-LT`.
        serial: serial number; "" if the recorder does not write it.
        file: pattern of the path of its files, with the time of the start.
        sample_rate: Hz.
        length: duration of its recordings, relative to that of the settings.
        latitude: degrees.
        longitude: degrees.
    """

    site: str
    model: str
    serial: str
    file: str
    sample_rate: int
    length: float
    latitude: float
    longitude: float

    @property
    def format(self) -> str:
        """File format: wav or flac."""
        return self.file.rpartition(".")[2].lower()


RECORDERS = (
    Recorder(
        "Marsh Edge", "AudioMoth", "24F319036375A1B2", "Marsh_Edge/{:%Y%m%d_%H%M%S}.WAV", 32000, 1.0, 52.701, 23.853
    ),
    Recorder(
        "North Ridge", "Song Meter", "SMA01234", "North_Ridge/SMA01234_{:%Y%m%d_%H%M%S}.wav", 24000, 1.2, 52.744, 23.571
    ),
    Recorder("Otter Lake", "BAR-LT", "", "Otter_Lake/{:%Y%m%dT%H%M%S}+0200_REC.flac", 48000, 0.8, 52.822, 23.902),
    Recorder(
        "Pine Valley", "AudioMoth", "24F319036375C07D", "Pine_Valley/{0:%Y%m%d}/{0:%Y%m%d_%H%M%S}.WAV", 32000, 1.0,
        52.655, 23.640,
    ),
)  # fmt: skip
"""Their sites are not places of the corpus. The coordinates are of a forest in the east of Poland, so that the times of sunrise fit."""

SURVEY = "Demo survey"
"""Recordist of all field recordings, who is not one of the corpus."""

LICENCE = "https://creativecommons.org/publicdomain/zero/1.0/"

UTC_OFFSET = dt.timedelta(hours=2)
"""Difference of the recorders' clocks from UTC: Central European Summer Time."""

_FIRST_DAY = dt.date(2024, 5, 12)

_TIMES = (dt.time(4, 30), dt.time(20, 30))
"""Start of the recordings of a day: at dawn and in the evening."""

_FAULT_TIME = dt.time(12, 0)
"""Start of the additional recordings of `faulty_plans`."""

_GAP_EVERY, _FIRST_GAP = 6, 4
"""Every sixth recording, from the fifth on, has a stretch of digital silence."""


@dataclass(frozen=True, kw_only=True)
class FieldPlan:
    """Parameters of a field recording. They depend only on the seed, the number of species, the duration and the number.

    Attributes:
        seed: seed of the corpus.
        species: number of species of the corpus, which may sing in the recording.
        number: index of the recording.
        site: index of its recorder.
        day: days since the first recording.
        start: start of the recording by the recorder's clock.
        duration: seconds.
        fault: `gap`: a stretch of digital silence; `silent`: digital silence alone; `damaged`: the file cannot be decoded.
    """

    seed: int
    species: int
    number: int
    site: int
    day: int
    start: dt.datetime
    duration: float
    fault: Fault = ""

    @property
    def recorder(self) -> Recorder:
        """The recorder."""
        return RECORDERS[self.site]

    @property
    def id(self) -> str:
        """Path of the file, with the folders of its recorder."""
        return self.recorder.file.format(self.start)

    @property
    def sample_rate(self) -> int:
        """Sampling rate, Hz."""
        return self.recorder.sample_rate

    @property
    def is_evening(self) -> bool:
        """Whether it begins after noon."""
        return self.start.hour >= 12

    @property
    def audio_parameters(self) -> str:
        """The parameters that determine the audio, as one word."""
        return f"{self.seed}-{self.species}-{self.number}-{self.sample_rate}-{self.duration:.3f}-{self.fault or 'ok'}"


def plan_field(demo: DemoSettings, field: DemoFieldSettings) -> list[FieldPlan]:
    """Return the field recordings. A larger number of recordings adds later days and does not change the first ones."""
    return [_plan(demo, field, number) for number in range(field.recordings)]


def faulty_plans(demo: DemoSettings, field: DemoFieldSettings) -> list[FieldPlan]:
    """Return a recording of digital silence and a damaged one, as a broken microphone and an empty battery leave them."""
    silent, damaged = (_plan(demo, field, number) for number in (1, len(RECORDERS) * len(_TIMES) + 3))
    at = {plan.day: dt.datetime.combine(plan.start.date(), _FAULT_TIME) for plan in (silent, damaged)}
    return [
        replace(silent, start=at[silent.day], fault="silent"),
        replace(damaged, start=at[damaged.day], fault="damaged"),
    ]


def _plan(demo: DemoSettings, field: DemoFieldSettings, number: int) -> FieldPlan:
    visit, site = divmod(number, len(RECORDERS))
    day, slot = divmod(visit, len(_TIMES))
    return FieldPlan(
        seed=demo.seed,
        species=demo.species,
        number=number,
        site=site,
        day=day,
        start=dt.datetime.combine(_FIRST_DAY + dt.timedelta(days=day), _TIMES[slot]),
        duration=round(field.seconds * RECORDERS[site].length, 3),
        fault="gap" if number % _GAP_EVERY == _FIRST_GAP else "",
    )
