"""`autobird demo`: write synthesised recordings to a folder."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from autobird.core.errors import AutobirdError
from autobird.core.wording import counted

if TYPE_CHECKING:
    from autobird.commands.arguments import Commands

_RECORDINGS, _FIELD_RECORDINGS = 60, 32


def add_parser(commands: "Commands") -> None:
    """Add the command."""
    parser = commands.add_parser("demo", help="write synthesised recordings to a folder")
    parser.add_argument("folder", type=Path, help="folder to write to")
    parser.add_argument(
        "--field",
        action="store_true",
        help="write field recordings of several species each, with Raven selection tables, instead of recordings of single species",
    )
    parser.add_argument("--species", type=int, default=10, help="number of species (default: 10)")
    parser.add_argument(
        "--recordings",
        type=int,
        help=f"number of recordings per species (default: {_RECORDINGS}), or of field recordings (default: {_FIELD_RECORDINGS}); "
        "a silent and a damaged field recording are added",
    )
    parser.add_argument(
        "--negatives",
        type=int,
        default=60,
        help="number of recordings of noise and distant birds without any of the species (default: 60)",
    )
    parser.add_argument(
        "--other-birds",
        type=int,
        default=120,
        help="number of recordings of birds of other species near the microphone (default: 120)",
    )
    parser.add_argument(
        "--seconds", type=float, default=120.0, help="duration of field recordings, seconds (default: 120)"
    )
    parser.add_argument("--seed", type=int, default=7, help="random seed (default: 7)")
    parser.set_defaults(handler=run)


def run(args: argparse.Namespace) -> None:
    """Write recordings and `SOURCES.csv`, and print a summary.

    The folder can be used with `corpus.type: folder`, that of field recordings with `annotations`.
    """
    if args.field:
        _write_field(args)
        return
    from autobird.synth.folder import write_folder

    recordings = _RECORDINGS if args.recordings is None else args.recordings
    print(f"synthesising recordings of {args.species} species and of sound without them; about 4 a second", flush=True)
    count = write_folder(args.folder, args.species, recordings, args.seed, args.negatives, args.other_birds)
    print(
        f"{counted(count, 'recording')} of {args.species} species and of sound without them, and SOURCES.csv, written to {args.folder}"
    )


def _write_field(args: argparse.Namespace) -> None:
    from autobird.synth.field_folder import write_field_folder
    from autobird.synth.settings import DemoFieldSettings, DemoSettings

    try:
        demo = DemoSettings(species=args.species, seed=args.seed)
        field = DemoFieldSettings(
            recordings=_FIELD_RECORDINGS if args.recordings is None else args.recordings, seconds=args.seconds
        )
    except ValidationError as error:
        first = error.errors()[0]
        raise AutobirdError(f"--{first['loc'][0]} {first['input']}: {first['msg']}") from error
    print(
        f"synthesising {counted(field.recordings, 'field recording')} of {field.seconds:g} s, a silent and a damaged one; "
        "about 3 s for each",
        flush=True,
    )
    count = write_field_folder(args.folder, demo, field)
    print(
        f"{counted(count, 'field recording')} of {args.species} species, Raven selection tables and SOURCES.csv written to {args.folder}"
    )
