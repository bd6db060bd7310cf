"""Strata of test recordings and windows: loudness, distance, recorder, place, time of day, duration, quality."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from autobird.sources.missing import drop_placeholder

Floats = NDArray[np.float64]

UNKNOWN = "unknown"
"""Stratum of the items whose value is not known; it is never compared with others."""

METADATA = ("recording", "recorder", "recorded_at", "duration", "time", "place", "quality", "extra")
"""Columns of the catalogue (`CATALOGUE`) that are needed."""

_MAX_NAMED = 10
"""Largest number of recorders or places that are strata; all others together are one more stratum."""

_LEVELS = (-50.0, -40.0, -30.0, -20.0)
_DISTANCES = (15.0, 30.0, 60.0)
_DURATIONS = (5.0, 15.0, 60.0)
_HOURS = (4.0, 8.0, 12.0, 16.0, 20.0)
"""Borders of strata; the same for all runs, so that runs can be compared."""

_LOWEST_RMS = 1e-5
"""Lower bound of an RMS, to avoid log(0): -100 dBFS, below one step of 16 bits."""

_DISTANCE = ("distance_m", "distance")
_DEVICE = ("dvc", "device", "recording_device", "recorder_model")
"""Fields of other metadata (`extra`) with the distance of the bird in metres, and with the recorder (`dvc`: xeno-canto's API)."""


@dataclass(frozen=True)
class Factor:
    """A property by which items are divided into strata.

    Attributes:
        name: for tables.
        text: for people.
        level: whether the items are recordings or windows.
        strata: names of the strata in their order, without `UNKNOWN`.
        stratum: stratum of each item as an index into `strata`, -1 if unknown; shape (items,).
        compared: whether each stratum can be compared with the others; False for one that merges many values.
    """

    name: str
    text: str
    level: Literal["recording", "window"]
    strata: list[str]
    stratum: NDArray[np.intp]
    compared: list[bool]

    @property
    def is_known(self) -> bool:
        """Whether the property is known of at least one item."""
        return bool((self.stratum >= 0).any())


def factors_of(recordings: Sequence[str], windows: pd.DataFrame, catalogue: pd.DataFrame) -> list[Factor]:
    """Return the strata of test recordings and their windows.

    Args:
        recordings: names of the test recordings, in the order of the items.
        windows: one row per window, in the order of the items: recording, rms (full scale: 1).
        catalogue: columns `METADATA`.
    """
    table = catalogue.drop_duplicates("recording").set_index("recording").reindex(recordings)
    power = windows["rms"].astype(float).pow(2).groupby(windows["recording"]).mean().reindex(recordings)
    extra = table["extra"].map(_read_extra)
    recorder = _text(table["recorder"]).where(
        lambda names: names != "", extra.map(lambda values: _first(values, _DEVICE))
    )
    distance = extra.map(lambda values: _number(_first(values, _DISTANCE)))
    clock = _text(table["time"]).map(_hours)
    header = _text(table["recorded_at"]).str[11:16].map(_hours)
    return [
        _numbers("level", "level of the recording", decibels(np.sqrt(power)), _LEVELS, "dBFS"),
        _numbers("window_level", "level of the window", decibels(windows["rms"]), _LEVELS, "dBFS", "window"),
        _numbers("distance", "distance of the bird", distance, _DISTANCES, "m"),
        _names("recorder", "recorder", recorder),
        _names("place", "place", _text(table["place"])),
        _numbers("time", "time of day", clock.where(clock.notna(), header), _HOURS, "h"),
        _numbers("duration", "duration of the recording", table["duration"], _DURATIONS, "s"),
        _names("quality", "grade of quality in the metadata", _text(table["quality"])),
    ]


def decibels(rms: "pd.Series[float]") -> "pd.Series[float]":
    """Return an RMS (full scale: 1) in dBFS."""
    return 20 * np.log10(rms.astype(float).clip(lower=_LOWEST_RMS))


def _numbers(
    name: str,
    text: str,
    values: "pd.Series[float]",
    borders: Sequence[float],
    unit: str,
    level: Literal["recording", "window"] = "recording",
) -> Factor:
    """Return strata between borders; the lower border belongs to a stratum."""
    numbers = values.to_numpy(float)
    known = ~np.isnan(numbers)
    stratum = np.where(known, np.searchsorted(borders, np.where(known, numbers, 0), side="right"), -1)
    middle = [f"{low:g} to {high:g} {unit}" for low, high in pairwise(borders)]
    strata = [f"below {borders[0]:g} {unit}", *middle, f"{borders[-1]:g} {unit} and above"]
    return Factor(name, text, level, strata, stratum.astype(np.intp), [True] * len(strata))


def _names(name: str, text: str, values: "pd.Series[str]") -> Factor:
    """Return one stratum for each of the most frequent values, and one for all others."""
    counts = values[values != ""].value_counts()
    order = sorted(counts.index, key=lambda value: (-counts[value], value))
    # With one value more than the limit, it is named itself: a stratum for all others would take as much room.
    named = sorted(order if len(order) <= _MAX_NAMED + 1 else order[:_MAX_NAMED])
    others = len(order) - len(named)
    strata = [*named, *([f"{others} others"] if others else [])]
    position = {value: n for n, value in enumerate(named)}
    stratum = [-1 if value == "" else position.get(value, len(named)) for value in values]
    return Factor(
        name, text, "recording", strata, np.array(stratum, np.intp), [True] * len(named) + [False] * bool(others)
    )


def _text(values: "pd.Series[str]") -> "pd.Series[str]":
    """Return texts in one line, without space around them; "" for those that say that the value is not known."""
    return values.fillna("").astype(str).map(lambda text: drop_placeholder(" ".join(text.split())))


def _read_extra(text: object) -> dict[str, str]:
    """Return the other metadata of a recording, with the names in lower case; {} if there are none."""
    if not isinstance(text, str) or not text:
        return {}
    return {str(name).lower(): str(value).strip() for name, value in json.loads(text).items()}


def _first(values: dict[str, str], names: Sequence[str]) -> str:
    return next((values[name] for name in names if drop_placeholder(values.get(name, ""))), "")


def _number(text: str) -> float:
    """Return a number of metres; NaN if the text is no such number."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(?:m|metres|meters)?", text)
    return float(match[1]) if match else np.nan


def _hours(text: str) -> float:
    """Return a time of day such as `07:30` or `7:30 pm` in hours; NaN if the text is no such time."""
    match = re.match(r"(\d{1,2})[:.h](\d{2})(?::\d{2})?\s*([ap]m)?", text, re.IGNORECASE)
    if not match:
        return np.nan
    hour, minute = int(match[1]), int(match[2])
    if match[3]:
        hour = hour % 12 + (12 if match[3].lower() == "pm" else 0)
    return hour + minute / 60 if hour < 24 and minute < 60 else np.nan
