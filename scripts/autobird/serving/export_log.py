"""Stage `drift_current` for the server's log: write the drift features of the logged recordings as CSV."""

import sqlite3
from collections.abc import Sequence
from pathlib import Path

from autobird.core.errors import AutobirdError
from autobird.core.files import csv_text, write_text
from autobird.core.stage import log, parser, run, stage
from autobird.drift.features import DRIFT_FEATURES
from autobird.serving.log import read_log


def main(argv: Sequence[str] | None = None) -> None:
    """Run the stage from the command line."""
    p = parser(__doc__)
    p.add_argument("--database", type=Path, required=True)
    p.add_argument("--output", type=Path, required=True)
    args = p.parse_args(argv)
    with stage("drift_current", args, [args.output]):
        try:
            rows = [[name, *(f"{values[f]:.5f}" for f in DRIFT_FEATURES)] for name, values in read_log(args.database)]
        except sqlite3.Error as error:
            raise AutobirdError(
                f"{args.database} is not a log of the server ({error}); give the file that `autobird serve --log` wrote"
            ) from error
        write_text(args.output, csv_text([["recording", *DRIFT_FEATURES], *rows]))
        log.info("%d logged recordings", len(rows))


if __name__ == "__main__":
    run(main)
