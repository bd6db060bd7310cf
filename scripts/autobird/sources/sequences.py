"""Convert times that an annotation table counts from the start of a sequence of files to times within each file.

Raven writes such tables if several files are open as one sequence.
"""

from collections.abc import Callable, Sequence

from autobird.sources.selection_tables import Selection

AMBIGUOUS_TIME = "its time may count from the start of another file; add the measurement File Offset (s) in Raven"
"""Reason why a row is not used: it is unknown which file its time is relative to."""

_TOLERANCE = 0.5
"""Seconds by which a selection may begin after the end of a file, because headers and programs round times."""


def times_within_files(
    rows: Sequence[tuple[str, Selection]],
    duration: Callable[[str], float | None],
    counts_through: bool,
    folder: Sequence[str],
) -> tuple[list[Selection], bool]:
    """Return the selections with times relative to their own file, and whether the times were converted.

    Times that count through a sequence of files never decrease from one file to the next. If they do, they are relative to each
    file. Otherwise they are converted if some of them are after the end of their own file, all of them fit the lengths of the
    files in the order of the table, and the table names every file of the sequence. If that is unclear, or if the times also
    fit a sequence that begins with an earlier file, which has no selections, the times are ambiguous. Then only the selections
    of the first file are used, if its times do not fit such a sequence.

    Args:
        rows: recording and selection of each row, from a table of several recordings without a column of offsets within files.
        duration: returns the duration of a recording according to its header, seconds; None if it is unknown. It is called only
            if the times do not decrease.
        counts_through: whether the program that wrote the table counts through all files that are open together.
        folder: all recordings in the folder of the first recording of the table, sorted.
    """
    selections = [s for _, s in rows]
    timed = [(recording, s) for recording, s in rows if s.end > s.start]
    if not _never_decreases(timed):
        return selections, False
    order = list(dict.fromkeys(recording for recording, _ in rows))
    first = folder.index(order[0])
    complete = folder[first : first + len(order)] == order
    lengths = {recording: duration(recording) for recording in order}
    beginnings: dict[str, float | None] = {}
    begin: float | None = 0.0
    for recording in order:
        beginnings[recording] = begin
        length = lengths[recording]
        begin = None if begin is None or length is None else begin + length

    def fits(recording: str, start: float) -> bool:
        length = lengths[recording]
        return start >= -_TOLERANCE and (length is None or start < length + _TOLERANCE)

    def fits_through(recording: str, start: float) -> bool:
        own = beginnings[recording]
        return own is not None and lengths[recording] is not None and fits(recording, start - own)

    def fits_earlier_beginning(timed: Sequence[tuple[str, Selection]]) -> bool:
        shift, first_start = 0.0, min((s.start for _, s in timed), default=0.0)
        for earlier in reversed(folder[:first]):
            shift += duration(earlier) or 0.0
            if shift > first_start + _TOLERANCE:
                break
            if all(fits_through(recording, s.start - shift) for recording, s in timed):
                return True
        return False

    within = all(fits(recording, s.start) for recording, s in timed)
    before_begin = any((own := beginnings[r]) is not None and s.start < own - _TOLERANCE for r, s in timed)
    through = all(fits_through(recording, s.start) for recording, s in timed)
    if before_begin or (within and (not counts_through or (complete and not through))):
        return selections, False
    if through and complete and not within and not fits_earlier_beginning(timed):
        return [_earlier(s, beginnings[recording] or 0.0) for recording, s in rows], True
    used = "" if fits_earlier_beginning([(r, s) for r, s in timed if r == order[0]]) else order[0]
    return [s if recording == used or s.problem else s._replace(problem=AMBIGUOUS_TIME) for recording, s in rows], False


def _never_decreases(timed: Sequence[tuple[str, Selection]]) -> bool:
    """Return whether no selection starts before the middle of one of a file that the table names earlier.

    The middle, because the last selection of a file may reach into the next file of a sequence.
    """
    latest: dict[str, float] = {}
    earliest: dict[str, float] = {}
    for recording, s in timed:
        latest[recording] = max(latest.get(recording, 0.0), (s.start + s.end) / 2)
        earliest[recording] = min(earliest.get(recording, s.start), s.start)
    so_far = 0.0
    for recording, first in earliest.items():
        if first < so_far:
            return False
        so_far = max(so_far, latest[recording])
    return True


def _earlier(selection: Selection, seconds: float) -> Selection:
    if selection.end <= selection.start:
        return selection
    return selection._replace(start=max(0.0, selection.start - seconds), end=selection.end - seconds)
