"""`autobird serve`: start a server with an HTTP API and a web page."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from autobird.commands.arguments import BACKBONE_HELP, BUNDLE_HELP
from autobird.core.errors import AutobirdError

if TYPE_CHECKING:
    from autobird.commands.arguments import Commands
    from autobird.review.session import ReviewSession


def add_parser(commands: "Commands") -> None:
    """Add the command."""
    parser = commands.add_parser("serve", help="start a server with an HTTP API and a web page")
    parser.add_argument("bundle", type=Path, nargs="?", help=BUNDLE_HELP)
    parser.add_argument("--host", help="address to listen on (default: 127.0.0.1)")
    # Numbers are parsed with the settings, which report an invalid value in one line.
    parser.add_argument("--port", help="port to listen on (default: 8000)")
    parser.add_argument("--workers", help="worker processes (default: one per core, at most 64)")
    parser.add_argument("--backbone", help=BACKBONE_HELP)
    parser.add_argument(
        "--backbone-threads", help="windows of the backbone computed at the same time (default: one per core)"
    )
    parser.add_argument("--shadow", metavar="BUNDLE", help="second bundle, whose answers are only logged")

    limits = parser.add_argument_group("limits")
    limits.add_argument("--queue", help="waiting requests; further ones get status 503 (default: 64)")
    limits.add_argument("--queue-windows", help="windows of the backbone that waiting requests need (default: 1000)")
    limits.add_argument("--time-limit", help="seconds to classify a recording (default: follows from --max-seconds)")
    limits.add_argument("--header-seconds", help="seconds that a client has for the headers of a request (default: 20)")
    limits.add_argument("--body-seconds", help="seconds that a client has for the body of a request (default: 300)")
    limits.add_argument("--max-megabytes", help="largest upload, MB, all files together (default: 64)")
    limits.add_argument("--max-files", help="recordings of a request (default: 32)")
    limits.add_argument("--max-seconds", help="longest recording, seconds (default: 600)")
    limits.add_argument("--max-values", help="decoded samples of all channels of a recording (default: 460800000)")

    review = parser.add_argument_group("review")
    review.add_argument(
        "--review", type=Path, metavar="FOLDER", help="recordings whose answers people check at /review"
    )
    review.add_argument(
        "--review-output",
        type=Path,
        default=Path("review"),
        metavar="DIR",
        help="folder of the review (default: review)",
    )

    state = parser.add_argument_group("log and jobs")
    state.add_argument(
        "--log", help="SQLite file, or postgresql:// URL, for drift features and results; the drift test can read it"
    )
    state.add_argument("--keep-days", help="days for which entries of the log are kept (default: for ever)")
    state.add_argument("--state", metavar="FOLDER", help="folder for jobs (long recordings) and temporary files")
    state.add_argument("--max-job-megabytes", help="largest upload of a job, MB (default: 4096)")
    state.add_argument("--max-job-seconds", help="longest recording of a job, seconds (default: 86400)")
    state.add_argument("--max-jobs", help="number of jobs, finished ones included (default: 100)")
    state.add_argument("--job-days", help="days for which finished jobs are kept (default: 7)")

    access = parser.add_argument_group("access")
    access.add_argument(
        "--allow-host",
        action="append",
        metavar="NAME",
        help="further host name of the server, * for all; repeatable (default: addresses, localhost and the machine's name)",
    )
    access.add_argument(
        "--allow-origin",
        action="append",
        metavar="URL",
        help="origin of pages of another site that may use the API, for example https://example.org; repeatable",
    )
    access.add_argument("--keys", metavar="FILE", help="file of API keys, without which the API cannot be used")
    access.add_argument("--new-key", metavar="NAME", help="print a new API key and its line for --keys, and end")
    parser.set_defaults(handler=run)


def run(args: argparse.Namespace) -> None:
    """Run the server until the process is terminated, or print a new API key."""
    if args.new_key is not None:
        from autobird.serving.keys import new_key

        key, line = new_key(args.new_key)
        print(f"key, which is stored nowhere: {key}\nline for the file of --keys:  {line}")
        return
    if args.bundle is None:
        raise AutobirdError("autobird serve needs the folder of a bundle, for example results/demo/release/bundle")
    from autobird.serving.options import serve_settings
    from autobird.serving.server import serve

    settings = serve_settings(vars(args))
    serve(args.bundle, settings, _review(args, settings.workers) if args.review else None)


def _review(args: argparse.Namespace, workers: int) -> "ReviewSession":
    """Return the review of the recordings; those that are new are classified first."""
    from autobird.review.candidates import PoolOptions
    from autobird.review.session import ReviewSession

    options = PoolOptions(workers=workers, backbone=Path(args.backbone) if args.backbone else None)
    return ReviewSession(args.bundle, args.review, args.review_output, pool_options=options)
