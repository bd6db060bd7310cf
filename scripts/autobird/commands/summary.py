"""`autobird summary`: summarise detections of a survey with its recording effort."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from autobird.commands.arguments import add_codes, share
from autobird.core.errors import AutobirdError

if TYPE_CHECKING:
    from autobird.commands.arguments import Commands


def add_parser(commands: "Commands") -> None:
    """Add the command."""
    parser = commands.add_parser(
        "summary",
        help="summarise detections by species, site, day and hour, with recording effort and a detection history",
    )
    parser.add_argument(
        "tables", type=Path, nargs="+", metavar="TABLE", help="tables of autobird predict: CSV, JSON lines or parquet"
    )
    parser.add_argument(
        "--output", type=Path, required=True, metavar="DIR", help="folder to write the tables and the figure to"
    )
    parser.add_argument(
        "--recordings",
        type=Path,
        nargs="+",
        default=[],
        metavar="FILES",
        help="tables of files (default: those beside the tables, for example d.files.csv for d.csv)",
    )
    parser.add_argument(
        "--min-probability", type=share, default=0.0, help="leave out detections of a lower probability"
    )
    parser.add_argument(
        "--time-zone",
        metavar="ZONE",
        help="time zone of days and hours, for example Europe/Berlin, UTC or +02:00 (default: that of the tables)",
    )
    parser.add_argument(
        "--day-start",
        type=int,
        default=0,
        metavar="HOUR",
        help="hour at which a day begins (default: 0; 12: a night is one day)",
    )
    parser.add_argument("--latitude", type=float, help="latitude of the survey, degrees, for the hours from sunrise")
    parser.add_argument("--longitude", type=float, help="longitude of the survey, degrees, east positive")
    add_codes(parser)
    parser.add_argument(
        "--species",
        type=Path,
        metavar="LIST",
        help="text file with a species per line: these are in the summary, also without detections, and no others",
    )
    parser.set_defaults(handler=run)


def run(args: argparse.Namespace) -> int:
    """Write the summary; return 0."""
    from autobird.predict.effort import Calendar
    from autobird.predict.origin import time_zone
    from autobird.predict.summary import summarise
    from autobird.predict.survey import SummaryOptions

    if not 0 <= args.day_start <= 23:
        raise AutobirdError(f"--day-start {args.day_start} is not an hour; give a whole number from 0 to 23")
    options = SummaryOptions(
        args.output,
        tuple(args.recordings),
        Calendar(time_zone(args.time_zone) if args.time_zone else None, args.day_start),
        args.min_probability,
        _location(args.latitude, args.longitude),
        args.codes,
        args.species,
    )
    return summarise(args.tables, options)


def _location(latitude: float | None, longitude: float | None) -> tuple[float, float] | None:
    if latitude is None and longitude is None:
        return None
    if latitude is None or longitude is None:
        raise AutobirdError("--latitude and --longitude belong together; give both, or neither")
    if not -90 <= latitude <= 90 or not -180 <= longitude <= 180:
        raise AutobirdError(
            f"--latitude {latitude:g} --longitude {longitude:g} is no place; give degrees, north and east positive"
        )
    return latitude, longitude
