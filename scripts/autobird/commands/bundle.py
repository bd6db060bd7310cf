"""`autobird bundle check`: check that a bundle works on this machine."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from autobird.commands.arguments import BUNDLE_HELP, add_backbone

if TYPE_CHECKING:
    from autobird.commands.arguments import Commands


def add_parser(commands: "Commands") -> None:
    """Add the command."""
    parser = commands.add_parser("bundle", help="check that a bundle works on this machine")
    check = parser.add_subparsers(dest="action", required=True).add_parser(
        "check", help="verify the files of a bundle, and compare its output on this machine with the expected output"
    )
    check.add_argument("bundle", type=Path, help=BUNDLE_HELP)
    add_backbone(check)
    check.set_defaults(handler=run)


def run(args: argparse.Namespace) -> int:
    """Check whether a bundle is complete and gives the expected probabilities on this machine; return 0 if so, else 1."""
    from autobird.predict.check import print_check

    return print_check(args.bundle, args.backbone)
