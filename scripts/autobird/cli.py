"""The command line: `autobird scores`, `autobird demo`."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from autobird.core.errors import AutobirdError
from autobird.core.files import read_json

_METRICS = {"macro_f1": "macro-F1", "top1": "top-1", "top5": "top-5", "cmap": "cmAP", "auroc": "AUROC", "loss": "loss"}


def scores(run: Path) -> str:
    """What a finished run achieved on its test split, and where its model and report lie, as text for people.

    Raises:
        AutobirdError: the run has no evaluation.
    """
    file = run / "evaluation" / "metrics.json"
    if not file.is_file():
        raise AutobirdError(
            f"{file} is not there; finish the run with snakemake, or name another folder below results/"
        )
    metrics = read_json(file)
    test = metrics["test"]
    lines = [
        f"{run.name}: {metrics['species']} species, tested on {test['recordings']} recordings ({test['windows']} windows) "
        "that the model never heard",
        f"  {'':10}{'by recording':>24}{'by window':>24}",
    ]
    for key, name in _METRICS.items():
        cells = [_cell(test[level][key]) for level in ("by_recording", "by_window")]
        lines.append(f"  {name:10}{cells[0]:>24}{cells[1]:>24}")
    lines.append(f"  (in brackets: {metrics['confidence']:.0%} intervals over recordings)")
    lines.append(f"model:  {run / 'model' / 'weights.safetensors'}")
    report = run / "report.html"
    made = report if report.is_file() else f"snakemake --report {report}"
    lines.append(f"report: {made}")
    return "\n".join(lines)


def _cell(value: dict[str, float] | None) -> str:
    return "not defined" if value is None else f"{value['value']:.3f} [{value['low']:.3f}, {value['high']:.3f}]"


def demo(folder: Path, species: int, recordings: int, seed: int) -> str:
    """Write the embedded corpus as a folder of recordings with `SOURCES.csv`, for trying `type: folder`."""
    from autobird.corpus.demo.folder import write_folder  # scipy is slow to import, and `scores` does without

    count = write_folder(folder, species, recordings, seed)
    return f"{count} recordings of {species} species and SOURCES.csv written to {folder}"


def main(argv: Sequence[str] | None = None) -> None:
    """Entry point of `autobird`."""
    p = argparse.ArgumentParser(prog="autobird", description="Your own classifier of bird recordings.")
    commands = p.add_subparsers(dest="command", required=True)
    show = commands.add_parser("scores", help="print the scores of a finished run")
    show.add_argument(
        "run", type=Path, nargs="?", default=Path("results/demo"), help="its folder (default: results/demo)"
    )
    make = commands.add_parser("demo", help="write synthesised recordings as a folder")
    make.add_argument("folder", type=Path)
    make.add_argument("--species", type=int, default=10)
    make.add_argument("--recordings", type=int, default=60, help="of each species")
    make.add_argument("--seed", type=int, default=7)
    args = p.parse_args(argv)
    try:
        print(
            scores(args.run)
            if args.command == "scores"
            else demo(args.folder, args.species, args.recordings, args.seed)
        )
    except AutobirdError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
