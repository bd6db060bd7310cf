"""`autobird serve`: start a server with an HTTP API and a web page."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from autobird.commands.arguments import BACKBONE_HELP, BUNDLE_HELP

if TYPE_CHECKING:
    from autobird.commands.arguments import Commands


def add_parser(commands: "Commands") -> None:
    """Add the command."""
    parser = commands.add_parser("serve", help="start a server with an HTTP API and a web page")
    parser.add_argument("bundle", type=Path, help=BUNDLE_HELP)
    parser.add_argument("--host", help="address to listen on (default: 127.0.0.1)")
    # Numbers are parsed with the settings, which report an invalid value in one line.
    parser.add_argument("--port", help="port to listen on (default: 8000)")
    parser.add_argument("--workers", help="worker processes (default: one per core, at most 64)")
    parser.add_argument("--max-megabytes", help="largest upload, MB (default: 64)")
    parser.add_argument("--max-seconds", help="longest recording, seconds (default: 600)")
    parser.add_argument("--backbone", help=BACKBONE_HELP)
    parser.add_argument("--log", help="SQLite file for drift features and results; the drift test can read it")
    parser.set_defaults(handler=run)


def run(args: argparse.Namespace) -> None:
    """Run the server until the process is terminated."""
    from autobird.serving.options import serve_settings
    from autobird.serving.server import serve

    serve(args.bundle, serve_settings(vars(args)))
