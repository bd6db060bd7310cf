"""Sessions of recorders: which recordings one recorder made in one night, by file names and headers."""

import re
import unicodedata
from functools import lru_cache
from urllib.parse import unquote, urlsplit

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from autobird.dataset.days import day_of
from autobird.dataset.file_names import Stamp, stamp

COLUMNS = ("recording", "species", "location", "start", "duration", "recorder", "recorded_at")
"""What must be known of the recordings (`RECORDINGS`)."""

NO_SESSIONS = {"session": "", "shared": "", "day": ""}
"""The columns of `recorder_sessions` where nothing is known."""

GAP = np.timedelta64(3600, "s")
"""Recordings that follow each other after less than this go on across noon."""

_DAY = np.timedelta64(86400, "s")
_NOON = np.timedelta64(43200, "s")
_NEVER = np.datetime64("NaT", "s")

_DATE_FOLDER = re.compile(r"(?:19|20)\d\d(?:[-_.]?\d\d){0,2}")
"""A folder that is called by a day, a month or a year: AudioMoth makes one a day, and a night has two of them."""


def recorder_sessions(recordings: pd.DataFrame, grouping: pd.DataFrame) -> pd.DataFrame:
    """The night of a recorder that each recording belongs to, as far as its file's name or header tells.

    *When*: the time in the file's name, else that in its header, by the recorder's clock (an offset from UTC is left
    out), plus where the recording begins in its file. A time that is more than a day away from the day in the
    metadata is not believed. *Which recorder*: the serial number in the header; else the folders below that of the
    species and what stands before the time in the file's name, together with recordist and place in the metadata, so
    that two recorders with the same factory name at two places are two. *Night*: from noon to noon. A series of
    recordings less than `GAP` apart belongs to the night in which it begins, so that one around noon is not
    divided; one of more than 24 hours is divided at each noon.

    Args:
        recordings: `COLUMNS`.
        grouping: columns recording, recordist, date, place.

    Returns:
        indexed by recording: `session`, "" where unknown; `shared`, the same for all recordings of one name of a
        recorder in one night, where some of them have neither serial number nor recordist nor place, and so may be of
        any of those recorders, else ""; `day`, on which the recording begins, as `2023-05-12`, "" where unknown.
    """
    out = pd.DataFrame(NO_SESSIONS, index=pd.Index(recordings["recording"]))
    known = grouping.drop_duplicates("recording").set_index("recording")[["recordist", "date", "place"]]
    known = known.reindex(recordings["recording"])
    places = [
        _path(location or recording)
        for recording, location in zip(recordings["recording"], recordings["location"], strict=True)
    ]
    stamps = [stamp(place.rpartition("/")[2]) for place in places]
    days = _days(known["date"])
    begins = _believed(np.array([found.at if found else None for found in stamps], "datetime64[s]"), days)
    written = pd.to_datetime(recordings["recorded_at"].str[:19], errors="coerce").to_numpy("datetime64[s]")
    begins = np.where(np.isnat(begins), _believed(written, days), begins)
    timed = np.flatnonzero(~np.isnat(begins))
    if not len(timed):
        return out

    rows, known = recordings.iloc[timed], known.iloc[timed].fillna("")
    names = [_name(places[i], stamps[i], species) for i, species in zip(timed, rows["species"], strict=True)]
    begin = begins[timed] + _seconds(pd.to_numeric(rows["start"], errors="coerce"))
    table = pd.DataFrame({"name": names, "serial": rows["recorder"].str.casefold().to_numpy()})
    named = table["serial"] == ""
    for column in ("recordist", "place"):
        table[column] = np.where(named, known[column].map(plain), "")
    identity = (table["name"] + _of("recordist", table) + _of("place", table)).where(
        named, "recorder " + table["serial"]
    )
    nights = _nights(identity.to_numpy(), begin, begin + _seconds(rows["duration"]))
    night = _texts(nights, "\nnight of {0}/{1}")
    anybody = (table[["serial", "recordist", "place"]] == "").all(axis=1)
    shared = table["name"] + night
    shared = shared.where(shared.isin(shared[anybody].unique()), "")
    for column, values in (
        ("session", identity + night),
        ("shared", shared),
        ("day", _texts(begin.astype("datetime64[D]"), "{0}")),
    ):
        out.iloc[timed, out.columns.get_loc(column)] = values
    return out


def plain(text: str) -> str:
    """A text for comparison: upper and lower case and spaces do not count."""
    return " ".join((text if text.isascii() else unicodedata.normalize("NFC", text)).split()).casefold()


def _name(place: str, found: Stamp | None, species: str) -> str:
    """What a recorder is called by the folders of a file and by what stands before the time in the file's name."""
    below = _below(place.rpartition("/")[0], species)
    prefix = _without_species(found.prefix, species) if found else ""
    name = f"{below}/{prefix}" if below and prefix else below or prefix
    return f"recorder {name}" if name else "unnamed recorder"


def _path(place: str) -> str:
    """The path of a file, or that in its URL, with `/`."""
    if "://" in place:
        place = unquote(urlsplit(place).path)
    return place.replace("\\", "/")


@lru_cache(1 << 16)
def _below(folder: str, species: str) -> str:
    """The folders of a file without those that are called by its species or by a date."""
    name = _words(species)
    kept = [
        part
        for part in folder.split("/")
        if part
        and not _DATE_FOLDER.fullmatch(part)
        and not (name and (_words(part) == name or _words(part).startswith(f"{name} ")))
    ]
    return "/".join(map(_words, kept))


@lru_cache(1 << 16)
def _without_species(prefix: str, species: str) -> str:
    """What stands before the time in a file's name, without the species: people put it there when they sort files."""
    prefix, size = unicodedata.normalize("NFC", prefix), len(species)
    if species and _words(prefix[:size]) == _words(species) and not prefix[size : size + 1].isalnum():
        prefix = prefix[size:].lstrip(" _-.")
    return plain(prefix)


@lru_cache(1 << 16)
def _words(text: str) -> str:
    """A name for comparison: `_` and `-` are spaces."""
    return plain(text.replace("_", " ").replace("-", " "))


def _of(what: str, table: pd.DataFrame) -> "pd.Series[str]":
    return (f"\n{what} " + table[what]).where(table[what] != "", "")


def _days(dates: "pd.Series[str]") -> NDArray[np.datetime64]:
    """Days in the metadata; NaT where it tells none."""
    found = dates.map({text: day_of(text) for text in dates.dropna().unique()})
    return pd.to_datetime(found, format="%Y-%m-%d", errors="coerce").to_numpy("datetime64[D]")


def _believed(begins: NDArray[np.datetime64], days: NDArray[np.datetime64]) -> NDArray[np.datetime64]:
    """Times without those that are more than a day away from the day in the metadata; a night belongs to two days."""
    with np.errstate(invalid="ignore"):
        away = np.abs(begins.astype("datetime64[D]") - days) > np.timedelta64(1, "D")
    return np.where(away, _NEVER, begins)


def _seconds(values: "pd.Series[float]") -> NDArray[np.timedelta64]:
    return np.nan_to_num(values.to_numpy(float), posinf=0, neginf=0).round().astype("timedelta64[s]")


def _texts(days: NDArray[np.datetime64], form: str) -> NDArray[np.object_]:
    """Days as texts: `{0}` is the day, `{1}` the number of the next one in its month; "" where there is none."""
    found, inverse = np.unique(days, return_inverse=True)
    texts = ["" if np.isnat(day) else form.format(day, str(day + np.timedelta64(1, "D"))[8:]) for day in found]
    return np.array(texts, object)[inverse]


def _nights(
    identity: NDArray[np.object_], begin: NDArray[np.datetime64], end: NDArray[np.datetime64]
) -> NDArray[np.datetime64]:
    """The day on which each recording's night begins."""
    code = pd.factorize(identity)[0]
    order = np.lexsort((begin, code))
    code, begin, end = code[order], begin[order], end[order]
    over = pd.Series(end.astype(np.int64)).groupby(code).cummax().to_numpy().astype("datetime64[s]")
    new = np.concatenate([[True], (np.diff(code) != 0) | (begin[1:] - over[:-1] >= GAP)])
    series = np.cumsum(new) - 1
    first = begin[new]
    long = np.maximum.reduceat(end, np.flatnonzero(new)) - first > _DAY
    nights = np.empty(len(code), "datetime64[D]")
    nights[order] = (np.where(long[series], begin, first[series]) - _NOON).astype("datetime64[D]")
    return nights
