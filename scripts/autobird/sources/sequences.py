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
    rows: Sequence[tuple[str, Selection]], duration: Callable[[str], float | None], counts_through: bool
) -> tuple[list[Selection], bool]:
    """Return the selections with times relative to their own file, and whether the times were converted.

    The times of a table are relative to its first file if some of them are after the end of their own file, and all of them
    fit the lengths of the files in the order in which the table names them. If neither interpretation fits, the times are
    ambiguous. They are also ambiguous if both fit and the program that wrote the table counts through several files. In both
    cases only the selections of the first file are used.

    Args:
        rows: recording and selection of each row, from a table of several recordings without a column of offsets within files.
        duration: returns the duration of a recording according to its header, seconds; None if it is unknown.
        counts_through: whether the program that wrote the table counts through all files that are open together.
    """
    order = list(dict.fromkeys(recording for recording, _ in rows))
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
        first = beginnings[recording]
        return first is not None and lengths[recording] is not None and fits(recording, start - first)

    counted = [(recording, s) for recording, s in rows if s.end > s.start]
    within = all(fits(recording, s.start) for recording, s in counted)
    through = all(fits_through(recording, s.start) for recording, s in counted)
    if within and not (through and counts_through):
        return [s for _, s in rows], False
    if through and not within:
        return [_earlier(s, beginnings[recording] or 0.0) for recording, s in rows], True
    return [
        s if recording == order[0] or s.problem else s._replace(problem=AMBIGUOUS_TIME) for recording, s in rows
    ], False


def _earlier(selection: Selection, seconds: float) -> Selection:
    if selection.end <= selection.start:
        return selection
    return selection._replace(start=max(0.0, selection.start - seconds), end=selection.end - seconds)
