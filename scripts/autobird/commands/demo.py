"""`autobird demo`: write synthesised recordings to a folder."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from autobird.commands.arguments import Commands


def add_parser(commands: "Commands") -> None:
    """Add the command."""
    parser = commands.add_parser("demo", help="write synthesised recordings to a folder")
    parser.add_argument("folder", type=Path, help="folder to write to")
    parser.add_argument("--species", type=int, default=10, help="number of species (default: 10)")
    parser.add_argument("--recordings", type=int, default=60, help="number of recordings per species (default: 60)")
    parser.add_argument("--seed", type=int, default=7, help="random seed (default: 7)")
    parser.set_defaults(handler=run)


def run(args: argparse.Namespace) -> None:
    """Write recordings and `SOURCES.csv`, to try out `corpus.type: folder`, and print a summary."""
    from autobird.synth.folder import write_folder

    count = write_folder(args.folder, args.species, args.recordings, args.seed)
    print(f"{count} recordings of {args.species} species and SOURCES.csv written to {args.folder}")
