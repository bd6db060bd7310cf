"""Stages `predict_merge` and `drift_current`: concatenate the CSV tables of all batches, sorted by recording."""

import csv
from collections.abc import Sequence
from pathlib import Path

from autobird.core.files import csv_text, write_text
from autobird.core.stage import log, parser, run, stage


def main(argv: Sequence[str] | None = None) -> None:
    """Run the stage from the command line."""
    p = parser(__doc__)
    p.add_argument("--tables", type=Path, nargs="+", required=True)
    p.add_argument("--output", type=Path, required=True)
    args = p.parse_args(argv)
    with stage("merge", args, [args.output]):
        header: list[str] = []
        rows: list[list[str]] = []
        for path in args.tables:
            with path.open(encoding="utf-8", newline="") as file:
                header, *body = list(csv.reader(file))
            rows += body
        # Recordings are assigned to batches by a hash, so they are sorted here. Rows of one recording are already sorted by
        # time, and the sort is stable.
        rows.sort(key=lambda row: row[0])
        write_text(args.output, csv_text([header, *rows]))
        log.info("merged %d rows of %d tables", len(rows), len(args.tables))


if __name__ == "__main__":
    run(main)
