"""The command line: `autobird predict | serve | bundle | scores | demo`."""

import argparse
import csv
import math
import os
import shlex
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from autobird.core.errors import AutobirdError
from autobird.core.files import read_json, write_text

# What a command needs beyond this is imported by the command: each should start at once.

_METRICS = {"macro_f1": "macro-F1", "top1": "top-1", "top5": "top-5", "cmap": "cmAP", "auroc": "AUROC", "loss": "loss"}
_DETECTION = {
    "detection_precision": "precision",
    "detection_recall": "recall",
    "detection_f1": "F1",
    "detection_macro_f1": "macro-F1",
}


def scores(run: Path, by_species: bool = False) -> str:
    """What the released model of a finished run achieved on its test split, and where its bundle and report lie.

    Args:
        run: folder of the run.
        by_species: whether to list the detections of each species.

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
    if "recordings_of_one_species" not in test:
        raise AutobirdError(f"{file} was made by an older version of Autobird; run snakemake again")
    others = test["recordings"] - test["recordings_of_one_species"]
    lines = [
        f"{run.name}: {metrics['species']} species, variant {metrics['variant']}, tested on {test['recordings']} recordings "
        f"({test['windows']} windows) in {test['groups']} independent groups that the model never heard",
        *(
            [f"  ({others} recordings do not hold exactly one species: left out of macro-F1, top-1, top-5, loss)"]
            if others
            else []
        ),
        f"  {'most probable species':24}{'by recording':>24}{'by window':>24}",
        *_score_lines(test, _METRICS),
        "  detections (thresholds)",
        *_score_lines(test, _DETECTION),
        *(_species_lines(test["by_species"]) if by_species else ()),
        f"  (in brackets: {metrics['confidence']:.0%} intervals from resampling groups)",
    ]
    released, drift, bundle = (
        run / "release" / "released.json",
        run / "drift" / "drift.json",
        run / "release" / "bundle",
    )
    if released.is_file():
        first, *reasons = read_json(released)["reason"].split("; ")
        lines += [f"released: {first}", *(f"          {text}" for text in reasons)]
        lines.append(f"          {_difference_on_test(released.with_name('comparison.csv'))}")
    if drift.is_file():
        lines.append(f"drift:    {read_json(drift)['verdict']}")
    report = run / "report.html"
    lines.append(f"report:   {report if report.is_file() else f'snakemake --report {report}'}")
    if bundle.is_dir():
        lines.append(f"bundle:   {bundle}")
        program = shlex.quote(str(Path(sys.executable).parent / "autobird"))
        lines.append(f"serve it: {program} serve {shlex.quote(str(bundle))}")
    else:
        lines.append(f"model:    {run / 'model' / 'weights.safetensors'}")
    return "\n".join(lines)


def _score_lines(test: dict[str, Any], names: dict[str, str]) -> list[str]:
    return [
        f"    {name:22}" + "".join(f"{_cell(test[level][key]):>24}" for level in ("by_recording", "by_window"))
        for key, name in names.items()
    ]


def _species_lines(species: dict[str, Any]) -> list[str]:
    """Precision and recall of each species' detections by recording."""
    width = max(24, *(len(name) + 4 for name in species))
    lines = [f"  {'detections by recording':{width}}{'precision':>24}{'recall':>24}"]
    for name, levels in species.items():
        found = levels["by_recording"]
        cells = "".join(f"{_cell(found[key]):>24}" for key in ("detection_precision", "detection_recall"))
        lines.append(f"    {name:{width - 2}}{cells}")
    return lines


def _difference_on_test(comparison: Path) -> str:
    """What the released variant lost on test against the float network."""
    with comparison.open(encoding="utf-8", newline="") as file:
        rows = [r for r in csv.DictReader(file) if r["released"] == "True" and r["split"] == "test"]
    found = {k: float(rows[0][f"difference{end}"] or "nan") for k, end in _ENDS.items()}
    return f"on test its macro-F1 by recording differs from that of the float network, paired, by {_cell(found)}"


_ENDS = {"value": "", "low": "_low", "high": "_high"}


def _cell(value: Mapping[str, float | None] | None) -> str:
    if value is None:
        return "not defined"
    number, low, high = (math.nan if (v := value[key]) is None else float(v) for key in ("value", "low", "high"))
    if math.isnan(number):
        return "not defined"
    bounds = "interval unknown" if math.isnan(low) else f"{low:.3f}, {high:.3f}"
    return f"{number:.3f} [{bounds}]"


def demo(folder: Path, species: int, recordings: int, seed: int) -> str:
    """Write the embedded corpus as a folder of recordings with `SOURCES.csv`, for trying `type: folder`."""
    from autobird.synth.folder import write_folder

    count = write_folder(folder, species, recordings, seed)
    return f"{count} recordings of {species} species and SOURCES.csv written to {folder}"


def predict(args: argparse.Namespace) -> int:
    """Print what is heard in files and folders; 1 if a file could not be read."""
    from autobird.predict.bundle import Bundle
    from autobird.predict.files import find_files, predict_files
    from autobird.predict.formats import as_csv, as_json, as_table

    if args.windows and not args.json:
        raise AutobirdError("--windows writes more than a table can hold; give --json too")
    files = find_files(args.files)
    start = said = time.monotonic()
    results = []
    for result in predict_files(args.bundle, files, args.jobs, args.max_seconds, args.windows):
        results.append(result)
        if result.error:
            print(f"{result.file}: not read: {result.error}", file=sys.stderr)
        now = time.monotonic()
        if now - said > 5:
            said, left = now, (now - start) / len(results) * (len(files) - len(results))
            print(f"{len(results)} of {len(files)} files, {left:.0f} s to go", file=sys.stderr)
    order = {str(path): i for i, path in enumerate(files)}
    results.sort(key=lambda r: order[r.file])
    text = (
        as_json(Bundle.load(args.bundle), results) if args.json else as_csv(results) if args.csv else as_table(results)
    )
    if args.output:
        write_text(args.output, text)
    else:
        print(text, end="")
    took, heard = time.monotonic() - start, sum(r.duration for r in results)
    skipped = sum(bool(r.error) for r in results)
    print(
        f"{len(results)} files, {heard / 60:.1f} min of sound in {took:.1f} s ({heard / max(took, 1e-9):.0f} times real time)"
        + (f"; {skipped} could not be read" if skipped else ""),
        file=sys.stderr,
    )
    return 1 if skipped else 0


def serve(args: argparse.Namespace) -> None:
    """Run the server until it is told to end."""
    from autobird.serving.server import serve as run
    from autobird.serving.settings import ServeSettings

    names = ServeSettings.model_fields
    run(args.bundle, ServeSettings(**{k: v for k, v in vars(args).items() if k in names and v is not None}))


def check_bundle(folder: Path) -> int:
    """Print whether a bundle is whole and gives its expected answer on this machine; 1 if not."""
    from autobird.predict.check import report

    return report(folder)


def _parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(prog="autobird", description="Your own classifier of bird recordings.")
    commands = p.add_subparsers(dest="command", required=True)

    hear = commands.add_parser("predict", help="say what sings when in recordings")
    hear.add_argument("bundle", type=Path, help="folder of a bundle, for example results/demo/release/bundle")
    hear.add_argument("files", type=Path, nargs="+", metavar="FILE", help="recordings, or folders of them")
    form = hear.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="one JSON document instead of a table")
    form.add_argument("--csv", action="store_true", help="CSV instead of a table")
    hear.add_argument("--windows", action="store_true", help="with --json: the probabilities of every window too")
    hear.add_argument("--output", type=Path, help="write to this file instead of the terminal")
    hear.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes (default: one a core)")
    hear.add_argument("--max-seconds", type=float, default=7200.0, help="refuse longer recordings (default: 7200)")

    host = commands.add_parser("serve", help="answer over HTTP, with a page")
    host.add_argument("bundle", type=Path)
    host.add_argument("--host", help="address to listen on (default: 127.0.0.1)")
    host.add_argument("--port", type=int, help="default: 8000")
    host.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes (default: one a core)")
    host.add_argument("--max-megabytes", type=float, help="largest upload (default: 64)")
    host.add_argument("--max-seconds", type=float, help="longest recording (default: 600)")
    host.add_argument("--log", help="SQLite file for features and answers, which the drift report reads")

    about = commands.add_parser("bundle", help="check that a bundle works on this machine")
    check = about.add_subparsers(dest="action", required=True).add_parser(
        "check", help="verify the bundle's files and replay its clip: does this machine give the expected answer?"
    )
    check.add_argument("bundle", type=Path)

    show = commands.add_parser("scores", help="print the scores of a finished run")
    show.add_argument(
        "run", type=Path, nargs="?", default=Path("results/demo"), help="its folder (default: results/demo)"
    )
    show.add_argument("--species", action="store_true", help="the detections of each species too")

    make = commands.add_parser("demo", help="write synthesised recordings as a folder")
    make.add_argument("folder", type=Path)
    make.add_argument("--species", type=int, default=10)
    make.add_argument("--recordings", type=int, default=60, help="of each species")
    make.add_argument("--seed", type=int, default=7)
    return p


def main(argv: Sequence[str] | None = None) -> None:
    """Entry point of `autobird`."""
    args = _parser().parse_args(argv)
    try:
        if args.command == "predict":
            sys.exit(predict(args))
        if args.command == "bundle":
            sys.exit(check_bundle(args.bundle))
        if args.command == "serve":
            serve(args)
        elif args.command == "scores":
            print(scores(args.run, args.species))
        else:
            print(demo(args.folder, args.species, args.recordings, args.seed))
    except AutobirdError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
