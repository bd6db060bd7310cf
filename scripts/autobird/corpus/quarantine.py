"""Stage `quarantine`: list the recordings that are left out, each with its reason in words."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from autobird.core.stage import log, parser, run, stage
from autobird.core.tables import read_tables, write_csv
from autobird.corpus.acceptance import reasons

QUARANTINE = ["recording", "species", "reason"]
"""Columns of `quarantine.csv`."""


def quarantine(recordings: pd.DataFrame) -> pd.DataFrame:
    """The rows of `quarantine.csv`, sorted by recording."""
    table = recordings.sort_values("recording").assign(reason=reasons(recordings).to_numpy())
    return table.loc[table["reason"] != "", QUARANTINE]


def main(argv: Sequence[str] | None = None) -> None:
    """Command line of the stage."""
    p = parser(__doc__)
    p.add_argument("--recordings", type=Path, nargs="+", required=True)
    p.add_argument("--output", type=Path, required=True)
    args = p.parse_args(argv)
    with stage("quarantine", args, [args.output]):
        recordings = read_tables(args.recordings)
        table = quarantine(recordings)
        write_csv(args.output, table)
        log.info("%d of %d recordings are quarantined", len(table), len(recordings))


if __name__ == "__main__":
    run(main)
