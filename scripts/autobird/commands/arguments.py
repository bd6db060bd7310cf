"""Options and help texts that several commands share."""

import argparse
import math
import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]
    """The subparsers to which a command adds its own."""

BUNDLE_HELP = "folder of a bundle, for example results/demo/release/bundle"
BACKBONE_HELP = "file of the pretrained network that the bundle needs; BirdNET is found without it if it is installed"


def add_jobs(parser: argparse.ArgumentParser) -> None:
    """Add the number of worker processes."""
    parser.add_argument(
        "--jobs", type=int, default=os.cpu_count() or 1, help="worker processes (default: one per core)"
    )


def add_backbone(parser: argparse.ArgumentParser) -> None:
    """Add the path of the backbone."""
    parser.add_argument("--backbone", type=Path, help=BACKBONE_HELP)


def add_places(parser: argparse.ArgumentParser) -> None:
    """Add how site and time of a recording are determined (`predict.origin.Places`)."""
    parser.add_argument(
        "--time-zone",
        metavar="ZONE",
        help="time zone of the times in the tables, for example Europe/Berlin, UTC or +02:00 (default: that of the recorder's clock)",
    )
    parser.add_argument(
        "--recorder-clock",
        metavar="ZONE",
        help="time zone of the recorders' clocks, where neither names nor headers state it (default: --time-zone)",
    )
    parser.add_argument(
        "--site",
        choices=("auto", "folder", "name", "recorder", "none"),  # as `predict.origin.SITES`
        default="auto",
        help="name of the site: its folder, the text before the time in the file name, or the recorder (default: the folder, otherwise "
        "the text in the file name)",
    )


def add_codes(parser: argparse.ArgumentParser) -> None:
    """Add the table of species codes."""
    parser.add_argument(
        "--codes",
        type=Path,
        metavar="TABLE",
        help="CSV table of species and their codes, for example the eBird taxonomy",
    )


def share(text: str) -> float:
    """Parse a number from 0 to 1, such as a probability."""
    value = float(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text} is not from 0 to 1")
    return value


def positive(text: str) -> float:
    """Parse a number of seconds above 0, which may be infinite."""
    value = float(text)
    if not value > 0:
        raise argparse.ArgumentTypeError(f"{text} is not above 0")
    return value


def seconds(text: str) -> float:
    """Parse a number of seconds, at least 0."""
    value = float(text)
    if not 0 <= value < math.inf:
        raise argparse.ArgumentTypeError(f"{text} is not a time of at least 0 seconds")
    return value


def count(text: str) -> int:
    """Parse a whole number above 0."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not above 0")
    return value
