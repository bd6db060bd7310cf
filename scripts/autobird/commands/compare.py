"""`autobird compare`: compare two finished runs, or a run with a backbone as it is."""

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

from autobird.core.errors import AutobirdError

if TYPE_CHECKING:
    from autobird.commands.arguments import Commands


def add_parser(commands: "Commands") -> None:
    """Add the command."""
    parser = commands.add_parser(
        "compare", help="compare two finished runs on their common test recordings, with paired confidence intervals"
    )
    parser.add_argument("a", type=Path, help="folder of the reference run, for example results/demo")
    parser.add_argument("b", type=Path, nargs="?", help="folder of the run that is compared with it")
    parser.add_argument(
        "--with",
        dest="backbone",
        metavar="BACKBONE",
        help="instead of a second run: `birdnet`, BirdNET as it is (rule with_backbone)",
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.set_defaults(handler=run)


def run(args: argparse.Namespace) -> None:
    """Print the comparison."""
    print(compare_runs(args.a, args.b, args.backbone, args.json))


def compare_runs(a: Path, b: Path | None, backbone: str | None, as_json: bool) -> str:
    """Return the comparison of two runs, or of a run with a backbone as it is, on their common test recordings, as a table or JSON.

    Raises:
        AutobirdError: the packages for training are not installed, or not exactly one of the two to compare with is given; see also
            `compare_runs.compare_folders` and `with_backbone_text.read_with_backbone`.
    """
    if (b is None) == (backbone is None):
        raise AutobirdError("autobird compare needs either a second run or --with birdnet")
    if backbone is not None:
        from autobird.evaluation.with_backbone_text import format_with_backbone, read_with_backbone

        found = read_with_backbone(a, backbone)
        return (
            json.dumps(found, indent=2, ensure_ascii=False)
            if as_json
            else format_with_backbone(a.resolve().name, found)
        )
    assert b is not None
    try:
        from autobird.evaluation.compare_runs import compare_folders, format_comparison
        from autobird.evaluation.settings import IntervalSettings
    except ModuleNotFoundError as error:
        raise AutobirdError(
            f"autobird compare needs the package {error.name}; install the packages for training: pip install 'autobird[train]'"
        ) from error
    result = compare_folders(a, b, IntervalSettings())
    return json.dumps(result, indent=2, ensure_ascii=False, allow_nan=False) if as_json else format_comparison(result)
