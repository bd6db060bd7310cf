"""Sessions of recorders: which recordings one recorder made in one night, by file names and headers."""

import re
import unicodedata
from functools import lru_cache
from urllib.parse import unquote, urlsplit

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from autobird.corpus.days import day_of
from autobird.corpus.file_names import stamp

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
    known = grouping.drop_duplicates("recording").set_index("recording")[["recordist", "date", "place"]]
    known = known.reindex(recordings["recording"]).fillna("")
    names, begins = _of_files(recordings)
    days = _days(known["date"])
    written = pd.to_datetime(recordings["recorded_at"].str[:19], errors="coerce").to_numpy("datetime64[s]")
    begins, written = _believed(begins, days), _believed(written, days)
    begins = np.where(np.isnat(begins), written, begins)
    begins = begins + _seconds(pd.to_numeric(recordings["start"], errors="coerce"))

    serial = recordings["recorder"].str.casefold().to_numpy(str)
    who, where = (known[column].map(plain).to_numpy(str) for column in ("recordist", "place"))
    table = pd.DataFrame(
        {
            "name": names, "serial": serial, "who": np.where(serial == "", who, ""), "where": np.where(serial == "", where, ""),
            "begin": begins, "end": begins + _seconds(recordings["duration"]),
        }
    )  # fmt: skip
    table.loc[table["serial"] != "", "identity"] = "recorder " + table["serial"]
    named = table["serial"] == ""
    table.loc[named, "identity"] = table["name"] + _of("recordist", table["who"]) + _of("place", table["where"])
    nights = _nights(table)
    timed = ~np.isnat(nights)
    night = _texts(nights, "\nnight of {0}/{1}")
    out = pd.DataFrame({"session": "", "shared": ""}, index=pd.Index(recordings["recording"]))
    out["session"] = np.where(timed, table["identity"] + night, "")
    shared = np.where(timed, table["name"] + night, "")
    anybody = timed & (table[["serial", "who", "where"]] == "").all(axis=1).to_numpy()
    out["shared"] = np.where(np.isin(shared, np.unique(shared[anybody])), shared, "")
    out["day"] = _texts(begins.astype("datetime64[D]"), "{0}")
    return out


def plain(text: str) -> str:
    """A text for comparison: upper and lower case and spaces do not count."""
    return " ".join(unicodedata.normalize("NFC", text).split()).casefold()


def _of_files(recordings: pd.DataFrame) -> tuple[NDArray[np.str_], NDArray[np.datetime64]]:
    """What the names of the files say: a name for the recorder, and when they begin."""
    names, begins = [], []
    for recording, location, species in zip(
        recordings["recording"], recordings["location"], recordings["species"], strict=True
    ):
        folder, _, file = _path(location or recording).rpartition("/")
        found = stamp(file)
        below, prefix = _below(folder, species), _without_species(found.prefix, species) if found else ""
        name = f"{below}/{prefix}" if below and prefix else below or prefix
        names.append(f"recorder {name}" if name else "unnamed recorder")
        begins.append(found.at if found else None)
    return np.array(names, object), np.array(begins, "datetime64[s]")


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


def _of(what: str, names: "pd.Series[str]") -> "pd.Series[str]":
    return pd.Series(np.where(names == "", "", f"\n{what} " + names), names.index)


def _days(dates: "pd.Series[str]") -> NDArray[np.datetime64]:
    """Days in the metadata; NaT where it tells none."""
    found = dates.map({text: day_of(text) for text in dates.unique()})
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


def _nights(table: pd.DataFrame) -> NDArray[np.datetime64]:
    """The day on which each recording's night begins; NaT where it has no time.

    Args:
        table: columns identity, begin, end.
    """
    nights = np.full(len(table), "NaT", "datetime64[D]")
    timed = np.flatnonzero(table["begin"].notna())
    if not len(timed):
        return nights
    code = pd.factorize(table["identity"].to_numpy()[timed])[0]
    begin, end = (table[name].to_numpy("datetime64[s]")[timed] for name in ("begin", "end"))
    order = np.lexsort((begin, code))
    code, begin, end = code[order], begin[order], end[order]
    over = pd.Series(end.astype(np.int64)).groupby(code).cummax().to_numpy().astype("datetime64[s]")
    new = np.concatenate([[True], (np.diff(code) != 0) | (begin[1:] - over[:-1] >= GAP)])
    series = np.cumsum(new) - 1
    first = begin[new]
    long = np.maximum.reduceat(end, np.flatnonzero(new)) - first > _DAY
    anchor = np.where(long[series], begin, first[series])
    nights[timed[order]] = (anchor - _NOON).astype("datetime64[D]")
    return nights
