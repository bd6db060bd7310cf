"""Stage `quarantine`: list the recordings that are left out, each with its reason in words."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from autobird.core.stage import log, parser, run, stage
from autobird.core.tables import read_tables, read_text_csv, write_csv
from autobird.corpus.acceptance import reasons

QUARANTINE = ["recording", "species", "reason"]
"""Columns of `quarantine.csv`."""


def quarantine(recordings: pd.DataFrame, verdicts: pd.DataFrame, pairs: pd.DataFrame) -> pd.DataFrame:
    """The rows of `quarantine.csv`, sorted by recording."""
    why = reasons(recordings, verdicts, pairs)
    table = recordings.sort_values("recording").assign(reason=why.to_numpy())
    return table.loc[table["reason"] != "", QUARANTINE]


def main(argv: Sequence[str] | None = None) -> None:
    """Command line of the stage."""
    p = parser(__doc__)
    p.add_argument("--recordings", type=Path, nargs="+", required=True)
    p.add_argument("--verdicts", type=Path, required=True)
    p.add_argument("--near-duplicates", type=Path, required=True)
    p.add_argument("--output", type=Path, required=True)
    args = p.parse_args(argv)
    with stage("quarantine", args, [args.output]):
        recordings = read_tables(
            args.recordings, ["recording", "species", "file_sha256", "sound_sha256", "status", "reason"]
        )
        table = quarantine(recordings, read_text_csv(args.verdicts), read_text_csv(args.near_duplicates))
        write_csv(args.output, table)
        log.info("%d of %d recordings are quarantined", len(table), len(recordings))


if __name__ == "__main__":
    run(main)
