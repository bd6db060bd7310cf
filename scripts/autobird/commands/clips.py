"""`autobird clips`: cut detections as clips for review."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from autobird.commands.arguments import add_codes, count, positive, seconds, share

if TYPE_CHECKING:
    from autobird.commands.arguments import Commands


def add_parser(commands: "Commands") -> None:
    """Add the command."""
    parser = commands.add_parser("clips", help="cut detections as FLAC files for review, a sample of each species")
    parser.add_argument(
        "tables", type=Path, nargs="+", metavar="TABLE", help="tables of autobird predict: CSV, JSON lines or parquet"
    )
    parser.add_argument("--recordings", type=Path, required=True, metavar="FOLDER", help="folder of the recordings")
    parser.add_argument(
        "--output", type=Path, required=True, metavar="DIR", help="folder to write the clips and clips.csv to"
    )
    parser.add_argument(
        "--padding", type=seconds, default=1.0, help="seconds before and after a detection (default: 1)"
    )
    parser.add_argument(
        "--max-seconds",
        type=positive,
        default=60.0,
        help="longest clip, seconds; of a longer detection, its beginning is cut (default: 60)",
    )
    parser.add_argument(
        "--per-species", type=count, default=20, help="largest number of clips of a species (default: 20)"
    )
    parser.add_argument(
        "--strata",
        type=count,
        default=4,
        help="intervals of score from which equally many clips are drawn (default: 4)",
    )
    parser.add_argument(
        "--min-probability", type=share, default=0.0, help="leave out detections of a lower probability"
    )
    parser.add_argument("--seed", type=int, default=0, help="another seed draws another sample (default: 0)")
    add_codes(parser)
    parser.set_defaults(handler=run)


def run(args: argparse.Namespace) -> int:
    """Write the clips; return 1 if a recording could not be decoded, else 0."""
    from autobird.predict.review_clips import ClipOptions, write_clips

    options = ClipOptions(
        recordings=args.recordings,
        output=args.output,
        padding=args.padding,
        max_seconds=args.max_seconds,
        per_species=args.per_species,
        strata=args.strata,
        min_probability=args.min_probability,
        seed=args.seed,
        codes=args.codes,
    )
    return write_clips(args.tables, options)
