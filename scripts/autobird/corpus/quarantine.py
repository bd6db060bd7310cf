"""Stage `quarantine`: list the recordings that are left out, each with its reason in words."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from autobird.core.stage import log, parser, run, stage
from autobird.core.tables import read_tables, read_text_csv, write_csv
from autobird.sources.base import SHA256_PREFIX

QUARANTINE = ["recording", "species", "reason"]
"""Columns of `quarantine.csv`."""


def reasons(recordings: pd.DataFrame, exclusions: pd.DataFrame, pairs: pd.DataFrame) -> "pd.Series[str]":
    """Why each recording is quarantined, "" if it is not; indexed by recording, sorted.

    Of recordings with the same decoded sound and label the first by name is used. Where labels of one sound differ,
    be it the same to the bit or found by its landmarks, nobody can tell which is right, and none is.

    Args:
        recordings: the tables of all batches (`RECORDINGS`).
        exclusions: recording (or `sha256:` of a file or sound) and reason.
        pairs: near-duplicates (`PAIRS`).
    """
    table = recordings.sort_values("recording").set_index("recording")
    reason = table["reason"].where(table["status"] != "ok", "")
    forbidden = exclusions.set_index("recording")["reason"]
    for known in (table.index, SHA256_PREFIX + table["file_sha256"], SHA256_PREFIX + table["sound_sha256"]):
        said = pd.Series(known, table.index).map(forbidden)
        reason = reason.where((reason != "") | said.isna(), said)
    _exact(table[reason == ""], reason)
    _near(table[reason == ""], pairs, reason)
    return reason


def _exact(usable: pd.DataFrame, reason: "pd.Series[str]") -> None:
    """Quarantine all but one of recordings with the same decoded sound."""
    repeated = usable[usable["sound_sha256"].duplicated(keep=False)]
    for _, same in repeated.groupby("sound_sha256", sort=True):
        first = same.index[0]
        if same["species"].nunique() == 1:
            reason[same.index[1:]] = f"the same sound as {first}, which is used"
            continue
        for name in same.index:
            other = next(n for n in same.index if same.at[n, "species"] != same.at[name, "species"])
            reason[name] = f"the same sound as {other} under another species; remove the wrong one"


def _near(usable: pd.DataFrame, pairs: pd.DataFrame, reason: "pd.Series[str]") -> None:
    """Quarantine both of two recordings of one sound under two labels."""
    species = usable["species"]
    a, b = pairs["recording"].map(species), pairs["other"].map(species)
    for pair in pairs[a.notna() & b.notna() & (a != b)].itertuples():
        for name, other in ((pair.recording, pair.other), (pair.other, pair.recording)):
            if not reason[name]:
                reason[name] = (
                    f"nearly the same sound as {other} under another species; listen, and remove or relabel the wrong one"
                )


def quarantine(recordings: pd.DataFrame, exclusions: pd.DataFrame, pairs: pd.DataFrame) -> pd.DataFrame:
    """The rows of `quarantine.csv`, sorted by recording."""
    why = reasons(recordings, exclusions, pairs)
    table = recordings.sort_values("recording").assign(reason=why.to_numpy())
    return table.loc[table["reason"] != "", QUARANTINE]


def main(argv: Sequence[str] | None = None) -> None:
    """Command line of the stage."""
    p = parser(__doc__)
    p.add_argument("--recordings", type=Path, nargs="+", required=True)
    p.add_argument("--exclusions", type=Path, required=True)
    p.add_argument("--near-duplicates", type=Path, required=True)
    p.add_argument("--output", type=Path, required=True)
    args = p.parse_args(argv)
    with stage("quarantine", args, [args.output]):
        recordings = read_tables(
            args.recordings, ["recording", "species", "file_sha256", "sound_sha256", "status", "reason"]
        )
        table = quarantine(recordings, read_text_csv(args.exclusions), read_text_csv(args.near_duplicates))
        write_csv(args.output, table)
        log.info("%d of %d recordings are quarantined", len(table), len(recordings))


if __name__ == "__main__":
    run(main)
