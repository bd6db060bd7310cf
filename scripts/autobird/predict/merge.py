"""Stage `predict` and others: the CSV tables of all batches as one, sorted."""

import csv
from collections.abc import Sequence
from pathlib import Path

from autobird.core.files import csv_text, write_text
from autobird.core.stage import log, parser, run, stage


def main(argv: Sequence[str] | None = None) -> None:
    """Command line of the stage."""
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
        # The batches are in an order of hashes; within a file rows are by time already, and the sort is stable.
        rows.sort(key=lambda row: row[0])
        write_text(args.output, csv_text([header, *rows]))
        log.info("%d rows of %d tables", len(rows), len(args.tables))


if __name__ == "__main__":
    run(main)
