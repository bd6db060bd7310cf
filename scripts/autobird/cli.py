"""The command line: `autobird predict | similar | serve | bundle | scores | compare | demo`."""

import argparse
import csv
import json
import math
import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from autobird.core.errors import AutobirdError
from autobird.core.files import read_json
from autobird.evaluation.field_summary import field_lines

# Each command imports what it needs, so that all commands start quickly.

_METRICS = {"macro_f1": "macro-F1", "top1": "top-1", "top5": "top-5", "cmap": "cmAP", "auroc": "AUROC", "loss": "loss"}
_DETECTION = {
    "detection_precision": "precision",
    "detection_recall": "recall",
    "detection_f1": "F1",
    "detection_macro_f1": "macro-F1",
}


def format_scores(run: Path, by_species: bool = False) -> str:
    """Return the scores of the released model of a finished run on its test split, and the paths of its bundle and report.

    The scores of a cross-validation follow, if there is one.

    Args:
        run: folder of the run.
        by_species: whether to list the detections of each species.

    Raises:
        AutobirdError: the run has no evaluation, or was made by an older version.
    """
    file = run / "evaluation" / "metrics.json"
    if not file.is_file():
        raise AutobirdError(
            f"{file} does not exist; finish the run with snakemake, or give another folder below results/"
        )
    metrics = read_json(file)
    test = metrics["test"]
    if "recordings_of_one_species" not in test:
        raise AutobirdError(f"{file} was made by an older version of Autobird; run snakemake again")
    others = test["recordings"] - test["recordings_of_one_species"]
    lines = [
        f"{run.name}: {metrics['species']} species, variant {metrics['variant']}, tested on {test['recordings']} recordings "
        f"({test['windows']} windows) in {test['groups']} independent groups, none of them used for training",
        *(
            [f"  ({others} recordings do not contain exactly one species: not used for macro-F1, top-1, top-5, loss)"]
            if others
            else []
        ),
        f"  {'most probable species':24}{'per recording':>24}{'per window':>24}",
        *_score_lines(test, _METRICS),
        "  detections (probability reaches the species' threshold)",
        *_score_lines(test, _DETECTION),
        *(_species_lines(test["by_species"]) if by_species else ()),
        f"  ([...]: {metrics['confidence']:.0%} confidence intervals; cmAP: class-mean average precision, 1 is best; loss: cross-entropy)",
        *_crossval_lines(run / "crossval" / "crossval.json"),
        *field_lines(run / "field" / "metrics.json"),
    ]
    released, drift, bundle = (
        run / "release" / "released.json",
        run / "drift" / "drift.json",
        run / "release" / "bundle",
    )
    if released.is_file():
        lines += _release_lines(released)
    if drift.is_file():
        lines.append(f"drift:    {_drift_summary(drift)}")
    report = run / "report.html"
    lines.append(f"report:   {report if report.is_file() else f'to write it: snakemake --report {report}'}")
    if bundle.is_dir():
        lines.append(f"bundle:   {bundle}")
        program = shlex.quote(str(Path(sys.executable).parent / "autobird"))
        lines.append(f"serve it: {program} serve {shlex.quote(str(bundle))}")
    else:
        lines.append(f"model:    {run / 'model' / 'weights.safetensors'}")
    return "\n".join(lines)


def _release_lines(released: Path) -> list[str]:
    """Return lines about the released variant, or why there is none."""
    decision = read_json(released)
    if decision.get("not_released"):
        first, *reasons = decision["not_released"].split("; ")
        return [f"released: none: {first}", *(f"          {text}" for text in reasons)]
    first, *reasons = decision["reason"].split("; ")
    return [
        f"released: {first}",
        *(f"          {text}" for text in reasons),
        f"          {_difference_on_test(released.with_name('comparison.csv'))}",
        "          (release gate: the rule that selects the variant on validation recordings; "
        "float32 model: the model before pruning and quantization)",
    ]


def _drift_summary(file: Path) -> str:
    """Return the summary line of `drift.json`.

    Raises:
        AutobirdError: the file was made by an older version.
    """
    result = read_json(file)
    if "summary" not in result:
        raise AutobirdError(f"{file} was made by an older version of Autobird; run snakemake again")
    return str(result["summary"])


def _crossval_lines(file: Path) -> list[str]:
    """Return the pooled scores of a cross-validation; no lines if there is none."""
    if not file.is_file():
        return []
    result = read_json(file)
    seeds = len(result["seeds"])
    return [
        f"cross-validation (other networks than the released one): pooled over {result['folds']} folds, mean of {seeds} "
        f"seed{'s' if seeds > 1 else ''}, {result['recordings']} recordings ({result['windows']} windows) in {result['groups']} "
        "independent groups, each tested by networks that were not trained on it",
        *_score_lines(result, _METRICS),
        "  detections (probability reaches the species' threshold)",
        *_score_lines(result, _DETECTION),
    ]


def _score_lines(test: dict[str, Any], names: dict[str, str]) -> list[str]:
    return [
        f"    {name:22}" + "".join(f"{_cell(test[level][key]):>24}" for level in ("by_recording", "by_window"))
        for key, name in names.items()
    ]


def _species_lines(species: dict[str, Any]) -> list[str]:
    """Return lines with precision and recall of the detections of each species, per recording."""
    width = max(24, *(len(name) + 4 for name in species))
    lines = [f"  {'detections per recording':{width}}{'precision':>24}{'recall':>24}"]
    for name, levels in species.items():
        values = levels["by_recording"]
        cells = "".join(f"{_cell(values[key]):>24}" for key in ("detection_precision", "detection_recall"))
        lines.append(f"    {name:{width - 2}}{cells}")
    return lines


def _difference_on_test(comparison: Path) -> str:
    """Return a sentence about the macro-F1 of the released variant and the float32 model on the test recordings."""
    with comparison.open(encoding="utf-8", newline="") as file:
        rows = [r for r in csv.DictReader(file) if r["released"] == "True" and r["split"] == "test"]
    difference = {k: float(rows[0][f"difference{end}"] or "nan") for k, end in _ENDS.items()}
    return f"on the test recordings, its macro-F1 minus that of the float32 model is {_cell(difference)}"


_ENDS = {"value": "", "low": "_low", "high": "_high"}


def _cell(value: Mapping[str, float | None] | None) -> str:
    if value is None:
        return "not defined"
    number, low, high = (math.nan if (v := value[key]) is None else float(v) for key in ("value", "low", "high"))
    if math.isnan(number):
        return "not defined"
    bounds = "interval unknown" if math.isnan(low) else f"{low:.3f}, {high:.3f}"
    return f"{number:.3f} [{bounds}]"


def write_demo(folder: Path, species: int, recordings: int, seed: int) -> str:
    """Write synthesised recordings and `SOURCES.csv` to a folder, to try out `corpus.type: folder`; return a summary."""
    from autobird.synth.folder import write_folder

    count = write_folder(folder, species, recordings, seed)
    return f"{count} recordings of {species} species and SOURCES.csv written to {folder}"


def predict_command(args: argparse.Namespace) -> int:
    """Classify files and folders, and write the detections; return 1 if files were skipped or are missing, else 0."""
    from autobird.predict.run import PredictOptions, predict_paths

    if args.windows and not args.json:
        raise AutobirdError("--windows needs --json: the probabilities of every window do not fit into a table")
    form = "json" if args.json else "csv" if args.csv else "table"
    options = PredictOptions(
        form, args.windows, args.output, args.jobs, args.max_seconds, args.time_limit, args.backbone
    )
    return predict_paths(args.bundle, args.files, options)


def similar_command(args: argparse.Namespace) -> int:
    """List the windows of a folder that are most similar to a clip; return 1 if files were skipped, else 0."""
    from autobird.predict.similar import SimilarOptions, print_similar

    form = "json" if args.json else "csv" if args.csv else "table"
    options = SimilarOptions(
        form, args.output, args.count, args.at, args.clips, args.cache, args.jobs, args.backbone
    )  # fmt: skip
    return print_similar(args.bundle, args.clip, args.folder, options)


def serve_command(args: argparse.Namespace) -> None:
    """Run the server until the process is terminated."""
    from autobird.serving.options import serve_settings
    from autobird.serving.server import serve

    serve(args.bundle, serve_settings(vars(args)))


def check_bundle_command(folder: Path, backbone: Path | None = None) -> int:
    """Check whether a bundle is complete and gives the expected probabilities on this machine; return 0 if so, else 1."""
    from autobird.predict.check import print_check

    return print_check(folder, backbone)


def compare_command(a: Path, b: Path | None, backbone: str | None, as_json: bool) -> str:
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


def _positive(text: str) -> float:
    """Parse a number of seconds above 0, which may be infinite."""
    value = float(text)
    if not value > 0:
        raise argparse.ArgumentTypeError(f"{text} is not above 0")
    return value


def _seconds(text: str) -> float:
    """Parse a number of seconds, at least 0."""
    value = float(text)
    if not 0 <= value < math.inf:
        raise argparse.ArgumentTypeError(f"{text} is not a time of at least 0 seconds")
    return value


def _count(text: str) -> int:
    """Parse a whole number above 0."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not above 0")
    return value


def _parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(prog="autobird", description="Train and use your own classifier of bird recordings.")
    commands = p.add_subparsers(dest="command", required=True)
    bundle_help = "folder of a bundle, for example results/demo/release/bundle"
    backbone_help = (
        "file of the pretrained network that the bundle needs; BirdNET is found without it if it is installed"
    )

    predict = commands.add_parser("predict", help="detect species in recordings")
    predict.add_argument("bundle", type=Path, help=bundle_help)
    predict.add_argument("--backbone", type=Path, help=backbone_help)
    predict.add_argument("files", type=Path, nargs="+", metavar="FILE", help="recordings, or folders of recordings")
    form = predict.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print one JSON document instead of a table")
    form.add_argument("--csv", action="store_true", help="print CSV instead of a table")
    predict.add_argument(
        "--windows", action="store_true", help="with --json: include the probabilities of every window"
    )
    predict.add_argument(
        "--output",
        type=Path,
        help="write to this file instead of the terminal; if the command is interrupted, the same command continues it",
    )
    predict.add_argument(
        "--jobs", type=int, default=os.cpu_count() or 1, help="worker processes (default: one per core)"
    )
    predict.add_argument(
        "--max-seconds", type=_positive, help="skip recordings longer than this, seconds (default: no limit)"
    )
    predict.add_argument(
        "--time-limit",
        type=_positive,
        help="skip a file that takes longer than this, seconds (default: 600, and 5 for each MB of the file; more with a backbone)",
    )

    similar = commands.add_parser(
        "similar", help="list the windows of a folder that are most similar to a clip (bundles with a backbone)"
    )
    similar.add_argument("bundle", type=Path, help="folder of the bundle of a run on a backbone")
    similar.add_argument("clip", type=Path, help="recording with the sound to look for")
    similar.add_argument("folder", type=Path, help="folder of recordings to search, or one recording")
    similar.add_argument(
        "--at", type=_seconds, help="start of the sound in the clip, seconds (default: its loudest window)"
    )
    similar.add_argument("--count", type=_count, default=20, help="number of windows to list (default: 20)")
    similar.add_argument("--clips", type=Path, metavar="DIR", help="write the windows as FLAC files to this folder")
    form = similar.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print one JSON document instead of a table")
    form.add_argument("--csv", action="store_true", help="print CSV instead of a table")
    similar.add_argument("--output", type=Path, help="write to this file instead of the terminal")
    similar.add_argument(
        "--cache", type=Path, metavar="DIR", help="folder of the cached embeddings (default: the user's cache)"
    )
    similar.add_argument("--backbone", type=Path, help=backbone_help)
    similar.add_argument(
        "--jobs", type=int, default=os.cpu_count() or 1, help="worker processes (default: one per core)"
    )

    serve = commands.add_parser("serve", help="start a server with an HTTP API and a web page")
    serve.add_argument("bundle", type=Path, help=bundle_help)
    serve.add_argument("--host", help="address to listen on (default: 127.0.0.1)")
    # Numbers are parsed with the settings, which report an invalid value in one line.
    serve.add_argument("--port", help="port to listen on (default: 8000)")
    serve.add_argument("--workers", help="worker processes (default: one per core, at most 64)")
    serve.add_argument("--max-megabytes", help="largest upload, MB (default: 64)")
    serve.add_argument("--max-seconds", help="longest recording, seconds (default: 600)")
    serve.add_argument("--backbone", help=backbone_help)
    serve.add_argument("--log", help="SQLite file for drift features and results; the drift test can read it")

    bundle = commands.add_parser("bundle", help="check that a bundle works on this machine")
    check = bundle.add_subparsers(dest="action", required=True).add_parser(
        "check", help="verify the files of a bundle, and compare its output on this machine with the expected output"
    )
    check.add_argument("bundle", type=Path, help=bundle_help)
    check.add_argument("--backbone", type=Path, help=backbone_help)

    scores = commands.add_parser("scores", help="print the scores of a finished run")
    scores.add_argument(
        "run", type=Path, nargs="?", default=Path("results/demo"), help="folder of the run (default: results/demo)"
    )
    scores.add_argument("--species", action="store_true", help="include the detections of each species")

    compare = commands.add_parser(
        "compare", help="compare two finished runs on their common test recordings, with paired confidence intervals"
    )
    compare.add_argument("a", type=Path, help="folder of the reference run, for example results/demo")
    compare.add_argument("b", type=Path, nargs="?", help="folder of the run that is compared with it")
    compare.add_argument(
        "--with",
        dest="backbone",
        metavar="BACKBONE",
        help="instead of a second run: `birdnet`, BirdNET as it is (rule with_backbone)",
    )
    compare.add_argument("--json", action="store_true", help="print JSON instead of a table")

    demo = commands.add_parser("demo", help="write synthesised recordings to a folder")
    demo.add_argument("folder", type=Path, help="folder to write to")
    demo.add_argument("--species", type=int, default=10, help="number of species (default: 10)")
    demo.add_argument("--recordings", type=int, default=60, help="number of recordings per species (default: 60)")
    demo.add_argument("--seed", type=int, default=7, help="random seed (default: 7)")
    return p


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command `autobird`."""
    args = _parser().parse_args(argv)
    try:
        if args.command == "predict":
            sys.exit(predict_command(args))
        if args.command == "similar":
            sys.exit(similar_command(args))
        if args.command == "bundle":
            sys.exit(check_bundle_command(args.bundle, args.backbone))
        if args.command == "serve":
            serve_command(args)
        elif args.command == "scores":
            print(format_scores(args.run, args.species))
        elif args.command == "compare":
            print(compare_command(args.a, args.b, args.backbone, args.json))
        else:
            print(write_demo(args.folder, args.species, args.recordings, args.seed))
    except AutobirdError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)  # 128 + SIGINT, as shells report it
    except BrokenPipeError:
        # The reader of the output, for example `head`, has ended. Python would report it once more when it flushes the stream.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)


if __name__ == "__main__":
    main()
