"""Which recordings a backbone may have been trained on, by their numbers in xeno-canto."""

import re
from collections.abc import Sequence
from typing import NamedTuple

import pandas as pd

HEARD, UNHEARD, UNKNOWN = "possibly heard", "unheard", "unknown"
"""States of a recording: uploaded to xeno-canto before the backbone was trained, later, or without a known number (or the
backbone's last number is not known)."""


class LastHeard(NamedTuple):
    """The highest xeno-canto number in the training data of a backbone, and where that is stated."""

    number: int
    source: str


LAST_HEARD = {
    "birdnet-2.4": LastHeard(694204, "https://github.com/birdnet-team/BirdNET-Analyzer/issues/152"),
}
"""By name of the backbone. BirdNET 2.4: its author names this number in the issue (31 July 2023). Numbers are given in the order
of the uploads, so all higher ones are later uploads; which of the lower ones were used is not published. No such number is
published for Perch v2."""

_NUMBER = re.compile(r"(?:XC)?\s*(\d{1,8})(?:\.0)?", re.IGNORECASE)
"""A number in the metadata, which `sources.metadata.normalise` writes as XC123; `123.0` in tables that a spreadsheet or pandas wrote."""

_PAGE = re.compile(r"xeno-canto\.org/(?:XC)?(\d{1,8})(?!\d)", re.IGNORECASE)
"""The number in the address of a recording's page."""

_FILE_NAME = re.compile(r"(?<![A-Za-z0-9])XC[ _-]?(\d{1,8})(?![0-9])", re.IGNORECASE)
"""The number in a file name, for example `XC123456 - Great Tit.mp3`."""


def xeno_canto_number(recording: str, number: str = "", page: str = "") -> int | None:
    """Return the xeno-canto number of a recording: that of its metadata, its page or its file name; None if there is none.

    Args:
        recording: id, a path with `/`.
        number: metadata column `number`; "" if unknown.
        page: metadata column `page`; "" if unknown.
    """
    file_name = recording.rsplit("/", 1)[-1]
    found = _NUMBER.fullmatch(number.strip()) or _PAGE.search(page) or _FILE_NAME.search(file_name)
    return int(found[1]) if found else None


def mark_heard(recordings: Sequence[str], details: pd.DataFrame, last: int | None) -> pd.DataFrame:
    """Return which recordings a backbone may have been trained on.

    A recording without a number is always `unknown`: it may have been uploaded elsewhere, or its number may be lost.

    Args:
        recordings: ids.
        details: columns recording, number, page; recordings may be missing.
        last: highest xeno-canto number in the backbone's training data; None if unknown.

    Returns:
        Columns recording, number (`XC123`, or "" if unknown) and heard (`HEARD`, `UNHEARD` or `UNKNOWN`), in the order of
        `recordings`.
    """
    texts = details.drop_duplicates("recording").set_index("recording")[["number", "page"]]
    texts = texts.reindex(list(recordings)).fillna("")
    numbers = [
        xeno_canto_number(name, number, page)
        for name, number, page in zip(recordings, texts["number"], texts["page"], strict=True)
    ]
    return pd.DataFrame(
        {
            "recording": list(recordings),
            "number": ["" if n is None else f"XC{n}" for n in numbers],
            "heard": [_state(n, last) for n in numbers],
        }
    )


def _state(number: int | None, last: int | None) -> str:
    if number is None or last is None:
        return UNKNOWN
    return HEARD if number <= last else UNHEARD
