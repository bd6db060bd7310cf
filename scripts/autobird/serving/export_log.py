"""Stage `drift_current` on the server's log: its features by request, as the drift report compares them."""

import sqlite3
from collections.abc import Sequence
from pathlib import Path

from autobird.core.errors import AutobirdError
from autobird.core.files import csv_text, write_text
from autobird.core.stage import log, parser, run, stage
from autobird.drift.monitor import FEATURES
from autobird.serving.log import read_log


def main(argv: Sequence[str] | None = None) -> None:
    """Command line of the stage."""
    p = parser(__doc__)
    p.add_argument("--database", type=Path, required=True)
    p.add_argument("--output", type=Path, required=True)
    args = p.parse_args(argv)
    with stage("drift_current", args, [args.output]):
        try:
            rows = [[name, *(f"{values[f]:.5f}" for f in FEATURES)] for name, values in read_log(args.database)]
        except sqlite3.Error as error:
            raise AutobirdError(
                f"{args.database} is not a log of the server ({error}); give the file named by --log"
            ) from error
        write_text(args.output, csv_text([["recording", *FEATURES], *rows]))
        log.info("%d logged recordings", len(rows))


if __name__ == "__main__":
    run(main)
