"""`autobird predict`: detect species in recordings."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from autobird.commands.arguments import BUNDLE_HELP, add_backbone, add_codes, add_jobs, add_places, positive

if TYPE_CHECKING:
    from autobird.commands.arguments import Commands
    from autobird.predict.occurrence_filter import Location


def add_parser(commands: "Commands") -> None:
    """Add the command."""
    parser = commands.add_parser("predict", help="detect species in recordings")
    parser.add_argument("bundle", type=Path, help=BUNDLE_HELP)
    add_backbone(parser)
    parser.add_argument("files", type=Path, nargs="+", metavar="FILE", help="recordings, or folders of recordings")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print one JSON document instead of a table")
    form.add_argument("--csv", action="store_true", help="print CSV instead of a table")
    form.add_argument(
        "--format",
        metavar="NAMES",
        help="one or several of csv, jsonl, parquet, raven, raven-combined, audacity, kaleidoscope, birdnet, json and table, separated "
        "by commas (docs/outputs.md)",
    )
    parser.add_argument("--windows", action="store_true", help="with --json: include the probabilities of every window")
    parser.add_argument(
        "--output",
        help="write to this file instead of the terminal; with --format: to files beside each other, whose names begin with this one, "
        "or to this folder, if it exists or its name ends with a slash; if the command is interrupted, the same command continues it",
    )
    parser.add_argument(
        "--threshold",
        type=float,
        metavar="P",
        help="report what reaches this probability, 0 to 1 (default: that of each species)",
    )
    parser.add_argument(
        "--precision",
        type=float,
        metavar="P",
        help="use the thresholds that reached this precision on validation recordings, for example 0.9; species that did not reach it are "
        "not reported",
    )
    parser.add_argument(
        "--species",
        type=Path,
        metavar="LIST",
        help="report only the species in this text file, one name per line: as in the bundle, scientific or common",
    )
    parser.add_argument(
        "--names",
        type=Path,
        metavar="TABLE",
        help="with --species: CSV table of other names; each row names one species",
    )
    parser.add_argument(
        "--latitude", type=float, help="latitude of the recordings, degrees: adds the column occurrence"
    )
    parser.add_argument("--longitude", type=float, help="longitude of the recordings, degrees")
    parser.add_argument(
        "--week",
        type=int,
        help="week of the year, 1 to 48 (four per month), or -1 for the whole year (default: that of each recording's date)",
    )
    parser.add_argument(
        "--min-occurrence",
        type=float,
        metavar="P",
        help="leave out species that occur less often there and then, 0 to 1; BirdNET-Analyzer uses 0.03 (default: leave out none)",
    )
    add_places(parser)
    add_codes(parser)
    add_jobs(parser)
    parser.add_argument(
        "--max-seconds", type=positive, help="skip recordings longer than this, seconds (default: no limit)"
    )
    parser.add_argument(
        "--time-limit",
        type=positive,
        help="skip a file that takes longer than this, seconds (default: 600, and 5 for each MB of the file; more with a backbone)",
    )
    parser.set_defaults(handler=run)


def _location(args: argparse.Namespace) -> "Location | None":
    """Return where and when the recordings were made; None if no option says so.

    Raises:
        AutobirdError: some of the options need others, or are out of range.
    """
    from autobird.predict.occurrence_filter import location_of

    return location_of(args.latitude, args.longitude, args.week, args.min_occurrence)


def run(args: argparse.Namespace) -> int:
    """Classify files and folders, and write the detections; return 1 if files were skipped or are missing, else 0."""
    from autobird.predict.options import PredictOptions
    from autobird.predict.origin import Places
    from autobird.predict.output_names import output_of, parse_formats
    from autobird.predict.run import predict_paths

    form = "json" if args.json else "csv" if args.csv else "table"
    options = PredictOptions(
        formats=parse_formats(args.format) if args.format else (form,),
        is_exact=not args.format,
        by_window=args.windows,
        output=None if args.output is None else output_of(args.output, is_exact=not args.format),
        workers=args.jobs,
        max_seconds=args.max_seconds,
        time_limit=args.time_limit,
        backbone=args.backbone,
        places=Places.named(args.site, args.time_zone or "", args.recorder_clock or ""),
        codes=args.codes,
        threshold=args.threshold,
        precision=args.precision,
        species=args.species,
        names=args.names,
        location=_location(args),
    )
    return predict_paths(args.bundle, args.files, options)
