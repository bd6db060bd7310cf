"""Stage `catalogue`: everything known about every recording, and whom to thank for it."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from autobird.core.stage import log, parser, run, stage
from autobird.core.tables import read_facts, read_tables, write_csv, write_table
from autobird.corpus.acceptance import reasons
from autobird.corpus.schemas import CATALOGUE


def catalogue(recordings: pd.DataFrame, grouping: pd.DataFrame, details: pd.DataFrame) -> pd.DataFrame:
    """Join what was measured with what people know, sorted by recording."""
    table = recordings.sort_values("recording").assign(quarantined=reasons(recordings).to_numpy())
    for known in (grouping, details):
        table = table.merge(known, on="recording", how="left")
    table[["recordist", "date", "place", "licence", "quality"]] = table[
        ["recordist", "date", "place", "licence", "quality"]
    ].fillna("")
    return table[CATALOGUE.names]


def attribution(table: pd.DataFrame) -> pd.DataFrame:
    """Who recorded what under which licence, for the recordings that are used."""
    used = table.loc[table["quarantined"] == "", ["recording", "species", "recordist", "date", "place", "licence"]]
    return used.assign(licence=used["licence"].replace("", "unknown"))


def main(argv: Sequence[str] | None = None) -> None:
    """Command line of the stage."""
    p = parser(__doc__)
    p.add_argument("--recordings", type=Path, nargs="+", required=True)
    p.add_argument("--grouping", type=Path, required=True)
    p.add_argument("--details", type=Path, required=True)
    p.add_argument("--catalogue", type=Path, required=True)
    p.add_argument("--attribution", type=Path, required=True)
    args = p.parse_args(argv)
    with stage("catalogue", args, [args.catalogue, args.attribution]):
        table = catalogue(read_tables(args.recordings), read_facts(args.grouping), read_facts(args.details))
        write_table(args.catalogue, table, CATALOGUE)
        write_csv(args.attribution, attribution(table))
        for licence, count in table["licence"].replace("", "unknown").value_counts().sort_index().items():
            log.info("%d recordings under %s", count, licence)


if __name__ == "__main__":
    run(main)
