"""Read the entries of one bundle in a time range from the log of predictions."""

from dataclasses import dataclass
from pathlib import Path

from autobird.drift.names import DRIFT_FEATURES
from autobird.serving.store.distinct import Distinct
from autobird.serving.store.schema import ROLE
from autobird.serving.store.sqlite import SqliteBackend


@dataclass(frozen=True)
class LogSelection:
    """The entries of one bundle in a time range, and the number of those that are left out.

    Attributes:
        bundle: fingerprint of the bundle.
        since: start of the range, seconds since 1970 UTC; None if the range has no start.
        until: end of the range, seconds since 1970 UTC, not included; None if the range has no end.
        entries: id and drift features (`DRIFT_FEATURES`) of each selected entry, oldest first.
        outside: number of entries of the bundle outside the range.
        repeated: number of entries in the range whose recording was classified before in it (`Distinct`).
        others: number of entries of each other bundle, by fingerprint.

    Entries of shadow bundles do not count anywhere.
    """

    bundle: str
    since: float | None
    until: float | None
    entries: list[tuple[int, tuple[float, ...]]]
    outside: int
    repeated: int
    others: dict[str, int]


def select_entries(
    path: Path, bundle: str, since: float | None = None, until: float | None = None, days: float | None = None
) -> LogSelection:
    """Read the entries of a bundle in a time range.

    Args:
        path: file of the log; a server may be writing to it.
        bundle: fingerprint of the bundle.
        since: start of the range, seconds since 1970 UTC.
        until: end of the range, seconds since 1970 UTC, not included.
        days: instead of `since`, number of days before the last entry of the bundle.

    Raises:
        Unavailable: the file is not a log.
    """
    with SqliteBackend(path).snapshot() as query:
        # Entries of a shadow bundle are not used: if it has the same network, they are the same recordings once more.
        has_roles = ("role",) in set(query("SELECT name FROM pragma_table_info('predictions')", []))
        own = f"{ROLE} <> 'shadow'" if has_roles else "1 = 1"
        counts: dict[str, int] = dict(
            query(f"SELECT bundle, count(*) FROM predictions WHERE {own} GROUP BY bundle ORDER BY bundle", [])
        )
        if days is not None:
            [(last,)] = query(f"SELECT max(time) FROM predictions WHERE bundle = ? AND {own}", [bundle])
            since = None if last is None else float(last) - days * 86400
        limits = {"time >= ?": since, "time < ?": until}
        used = {text: value for text, value in limits.items() if value is not None}
        where = " AND ".join(["bundle = ?", own, *used])
        rows = query(
            f"SELECT id, duration, {', '.join(DRIFT_FEATURES)} FROM predictions WHERE {where} ORDER BY id",
            [bundle, *used.values()],
        )
        found = [(int(number), float(duration), tuple(values)) for number, duration, *values in rows]
    distinct = Distinct()
    entries = [(number, values) for number, duration, values in found if distinct.is_new(duration, values)]
    outside = counts.pop(bundle, 0) - len(found)
    return LogSelection(bundle, since, until, entries, outside, len(found) - len(entries), counts)
