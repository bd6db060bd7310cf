"""`autobird similar`: list the windows of a folder that are most similar to a clip."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from autobird.commands.arguments import add_backbone, add_jobs, count, seconds

if TYPE_CHECKING:
    from autobird.commands.arguments import Commands


def add_parser(commands: "Commands") -> None:
    """Add the command."""
    parser = commands.add_parser(
        "similar", help="list the windows of a folder that are most similar to a clip (bundles with a backbone)"
    )
    parser.add_argument("bundle", type=Path, help="folder of the bundle of a run on a backbone")
    parser.add_argument("clip", type=Path, help="recording with the sound to look for")
    parser.add_argument("folder", type=Path, help="folder of recordings to search, or one recording")
    parser.add_argument(
        "--at", type=seconds, help="start of the sound in the clip, seconds (default: its loudest window)"
    )
    parser.add_argument("--count", type=count, default=20, help="number of windows to list (default: 20)")
    parser.add_argument("--clips", type=Path, metavar="DIR", help="write the windows as FLAC files to this folder")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print one JSON document instead of a table")
    form.add_argument("--csv", action="store_true", help="print CSV instead of a table")
    parser.add_argument("--output", help="write to this file instead of the terminal")
    parser.add_argument(
        "--cache", type=Path, metavar="DIR", help="folder of the cached embeddings (default: the user's cache)"
    )
    add_backbone(parser)
    add_jobs(parser)
    parser.set_defaults(handler=run)


def run(args: argparse.Namespace) -> int:
    """List the windows; return 1 if files were skipped, else 0."""
    from autobird.predict.output_names import output_of
    from autobird.predict.similar import SimilarOptions, print_similar

    form = "json" if args.json else "csv" if args.csv else "table"
    output = None if args.output is None else output_of(args.output, is_exact=True)
    options = SimilarOptions(
        form, output, args.count, args.at, args.clips, args.cache, args.jobs, args.backbone
    )  # fmt: skip
    return print_similar(args.bundle, args.clip, args.folder, options)
