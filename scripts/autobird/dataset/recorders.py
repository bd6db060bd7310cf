"""Recorder sessions: the recordings that one recorder made in one night, according to file names and headers."""

from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from autobird.dataset.days import normalise_day
from autobird.dataset.file_names import FileTimestamp, parse_timestamp
from autobird.dataset.recorder_names import file_path, normalise_text, recorder_name

COLUMNS = ("recording", "species", "location", "start", "duration", "recorder", "recorded_at")
"""Columns of `RECORDINGS` that `recorder_sessions` needs."""

NO_SESSIONS = {"session": "", "shared": "", "day": ""}
"""Columns of the result of `recorder_sessions`, with the values of a recording of unknown recorder and time."""

MAX_GAP = np.timedelta64(3600, "s")
"""Recordings with a shorter gap between them belong to one series, which is not divided at noon."""

_DAY = np.timedelta64(86400, "s")
_NOON = np.timedelta64(43200, "s")
_UNKNOWN_TIME = np.datetime64("NaT", "s")

_METADATA = ["recordist", "date", "place"]


def recorder_sessions(
    recordings: pd.DataFrame, grouping: pd.DataFrame, negative_names: tuple[str, ...] = ()
) -> pd.DataFrame:
    """Return the recorder session of each recording: one night of one recorder.

    - Time: from the file name, otherwise from the header, by the recorder's clock (an offset from UTC is ignored), plus
      the start of the recording in its file. A time more than a day away from the date in the metadata is ignored.
    - Recorder: the serial number in the header; otherwise the folders below the species folder, or below one of negatives, and the text
      before the time in the file name, together with recordist and place of the metadata, because recorders at different places can
      have the same factory name.
    - Night: from noon to noon. A series of recordings with gaps below `MAX_GAP` belongs to the night in which it begins, so
      that a series around noon is not divided. A series of more than 24 hours is divided at each noon.

    Args:
        recordings: columns `COLUMNS`.
        grouping: columns recording, recordist, date, place.
        negative_names: labels of recordings without a species (`corpus.negative_names`).

    Returns:
        indexed by recording, in the order of `recordings`:
        `session`: key of the session, "" if unknown.
        `shared`: key of the recorder's name and the night, if these recordings must stay together: at least one recording of
        that name and night lacks serial number, recordist and place, and could belong to any recorder of that name; else "".
        `day`: the day on which the recording begins, as `2023-05-12`, "" if unknown.
    """
    sessions = pd.DataFrame(NO_SESSIONS, index=pd.Index(recordings["recording"]))
    metadata = grouping_of(recordings["recording"], grouping)
    files = _files(recordings)
    file_starts = _file_starts(files.timestamps, recordings["recorded_at"], metadata["date"])
    timed = np.flatnonzero(~np.isnat(file_starts))
    if not len(timed):
        return sessions

    rows, metadata = recordings.iloc[timed], metadata.iloc[timed]
    identities = _identities(files, timed, rows, metadata, negative_names)
    starts = file_starts[timed] + _seconds(pd.to_numeric(rows["start"], errors="coerce"))
    nights = _nights(identities["identity"].to_numpy(), starts, starts + _seconds(rows["duration"]))
    night_suffix = _format_days(nights, "\nnight of {0}/{1}")
    shared = identities["name"] + night_suffix
    columns = {
        "session": identities["identity"] + night_suffix,
        "shared": shared.where(shared.isin(shared[identities["unidentified"]].unique()), ""),
        "day": _format_days(starts.astype("datetime64[D]"), "{0}"),
    }
    for column, values in columns.items():
        sessions.iloc[timed, sessions.columns.get_loc(column)] = values
    return sessions


def grouping_of(recordings: "pd.Series[str]", grouping: pd.DataFrame) -> pd.DataFrame:
    """Return recordist, date and place of recordings, in their order and indexed by them; "" if unknown."""
    by_recording = grouping.drop_duplicates("recording").set_index("recording")[_METADATA]
    return by_recording.reindex(recordings).fillna("")


class _Files(NamedTuple):
    """The files of the recordings, in their order.

    Attributes:
        paths: path of each file, or the path in its URL.
        timestamps: timestamp in each file name; None if there is none.
    """

    paths: list[str]
    timestamps: list[FileTimestamp | None]


def _files(recordings: pd.DataFrame) -> _Files:
    paths = [
        file_path(location or recording)
        for recording, location in zip(recordings["recording"], recordings["location"], strict=True)
    ]
    return _Files(paths, [parse_timestamp(path.rpartition("/")[2]) for path in paths])


def _file_starts(
    timestamps: list[FileTimestamp | None], recorded_at: "pd.Series[str]", dates: "pd.Series[str]"
) -> NDArray[np.datetime64]:
    """Return when each file begins: by its name, otherwise by its header; NaT if unknown."""
    days = _parse_days(dates)
    in_name = np.array([timestamp.start if timestamp else None for timestamp in timestamps], "datetime64[s]")
    in_header = pd.to_datetime(recorded_at.str[:19], errors="coerce").to_numpy("datetime64[s]")
    in_name = _without_contradicted(in_name, days)
    return np.where(np.isnat(in_name), _without_contradicted(in_header, days), in_name)


def _identities(
    files: _Files, timed: NDArray[np.intp], rows: pd.DataFrame, metadata: pd.DataFrame, negative_names: tuple[str, ...]
) -> pd.DataFrame:
    """Return how each recorder is identified.

    Args:
        files: the files of all recordings.
        timed: positions of the recordings with a known time.
        rows: these recordings.
        metadata: recordist, date, place of these recordings.
        negative_names: labels of recordings without a species.

    Returns:
        columns name (from folders and file name), identity (the serial number, or name, recordist and place) and
        unidentified (serial number, recordist and place are all unknown).
    """
    names = [
        recorder_name(files.paths[i], files.timestamps[i], species, negative_names)
        for i, species in zip(timed, rows["species"], strict=True)
    ]
    table = pd.DataFrame({"name": names, "serial": rows["recorder"].str.casefold().to_numpy()})
    without_serial = table["serial"] == ""
    for column in ("recordist", "place"):
        table[column] = np.where(without_serial, metadata[column].map(normalise_text), "")
    by_name = table["name"] + _labelled("recordist", table) + _labelled("place", table)
    table["identity"] = by_name.where(without_serial, "recorder " + table["serial"])
    table["unidentified"] = (table[["serial", "recordist", "place"]] == "").all(axis=1)
    return table[["name", "identity", "unidentified"]]


def _labelled(column: str, table: pd.DataFrame) -> "pd.Series[str]":
    """Return a new line with the name and the value of a column, "" if the value is empty."""
    return (f"\n{column} " + table[column]).where(table[column] != "", "")


def _parse_days(dates: "pd.Series[str]") -> NDArray[np.datetime64]:
    """Return the days that dates in the metadata name, NaT for unknown, incomplete and ambiguous ones."""
    days = dates.map({text: normalise_day(text) for text in dates.unique()})
    return pd.to_datetime(days, format="%Y-%m-%d", errors="coerce").to_numpy("datetime64[D]")


def _without_contradicted(times: NDArray[np.datetime64], days: NDArray[np.datetime64]) -> NDArray[np.datetime64]:
    """Replace times more than a day away from the day in the metadata by NaT. A night belongs to two days."""
    with np.errstate(invalid="ignore"):
        contradicted = np.abs(times.astype("datetime64[D]") - days) > np.timedelta64(1, "D")
    return np.where(contradicted, _UNKNOWN_TIME, times)


def _seconds(values: "pd.Series[float]") -> NDArray[np.timedelta64]:
    return np.nan_to_num(values.to_numpy(float), posinf=0, neginf=0).round().astype("timedelta64[s]")


def _format_days(days: NDArray[np.datetime64], template: str) -> NDArray[np.object_]:
    """Return days as texts. In `template`, {0} is the day and {1} the day of the month of the following day; NaT gives ""."""
    distinct, inverse = np.unique(days, return_inverse=True)
    texts = ["" if np.isnat(day) else template.format(day, str(day + np.timedelta64(1, "D"))[8:]) for day in distinct]
    return np.array(texts, object)[inverse]


def _nights(
    identity: NDArray[np.object_], start: NDArray[np.datetime64], end: NDArray[np.datetime64]
) -> NDArray[np.datetime64]:
    """Return the day on which the night of each recording begins."""
    recorder = pd.factorize(identity)[0]
    order = np.lexsort((start, recorder))
    recorder, start, end = recorder[order], start[order], end[order]
    latest_end = pd.Series(end.astype(np.int64)).groupby(recorder).cummax().to_numpy().astype("datetime64[s]")
    new_series = np.concatenate([[True], (np.diff(recorder) != 0) | (start[1:] - latest_end[:-1] >= MAX_GAP)])
    series = np.cumsum(new_series) - 1
    series_start = start[new_series]
    is_long = np.maximum.reduceat(end, np.flatnonzero(new_series)) - series_start > _DAY
    nights = np.empty(len(recorder), "datetime64[D]")
    nights[order] = (np.where(is_long[series], start, series_start[series]) - _NOON).astype("datetime64[D]")
    return nights
