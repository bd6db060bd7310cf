"""`autobird log export`: write the log of the server to a table, from SQLite or PostgreSQL."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from autobird.core.errors import AutobirdError
from autobird.core.wording import counted

if TYPE_CHECKING:
    from autobird.commands.arguments import Commands


def add_parser(commands: "Commands") -> None:
    """Add the command."""
    parser = commands.add_parser("log", help="export the log of the server")
    actions = parser.add_subparsers(dest="action", required=True)
    export = actions.add_parser("export", help="write the log to a parquet, CSV or SQLite file")
    export.add_argument("log", help="the log: what `autobird serve --log` was given, a path or a postgresql:// URL")
    export.add_argument(
        "--output",
        type=Path,
        required=True,
        help="file to write: .parquet or .csv for a table, .sqlite for a log that `drift.current` can name",
    )
    export.add_argument(
        "--table",
        choices=("predictions", "feedback"),
        default="predictions",
        help="table to write (default: predictions); a SQLite file has both",
    )
    export.add_argument("--since", metavar="TIME", help="only rows from this date or time on, in UTC without an offset")
    export.add_argument("--until", metavar="TIME", help="only rows before this time, or up to the end of this date")
    parser.set_defaults(handler=run)


def run(args: argparse.Namespace) -> None:
    """Run the command.

    Raises:
        AutobirdError: a time cannot be read, or the export fails.
    """
    from autobird.drift.time_range import end_of, start_of
    from autobird.serving.log_export import export_log

    try:
        since = start_of(args.since) if args.since else None
        until = end_of(args.until) if args.until else None
    except ValueError as error:
        raise AutobirdError(f"--since or --until: {error}") from error
    count = export_log(args.log, args.output, args.table, since, until)
    print(f"{counted(count, 'row')} written to {args.output}")
