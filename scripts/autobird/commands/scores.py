"""`autobird scores`: print the scores of a finished run."""

import argparse
import csv
import math
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autobird.core.errors import AutobirdError
from autobird.core.files import read_json
from autobird.core.wording import counted, ensemble_text, left_out_sentence
from autobird.evaluation.false_alarms_text import false_alarm_line
from autobird.evaluation.field_summary import field_lines

if TYPE_CHECKING:
    from autobird.commands.arguments import Commands

_METRICS = {"macro_f1": "macro-F1", "top1": "top-1", "top5": "top-5", "cmap": "cmAP", "auroc": "AUROC", "loss": "loss"}
_TOP = 5
"""Number of the most probable species among which `top5` looks for the right one."""
_HEADER = f"  {'most probable species':24}{'per recording':>24}{'per window':>24}"
_DETECTION = {
    "detection_precision": "precision",
    "detection_recall": "recall",
    "detection_f1": "F1",
    "detection_macro_f1": "macro-F1",
}


def add_parser(commands: "Commands") -> None:
    """Add the command."""
    parser = commands.add_parser("scores", help="print the scores of a finished run")
    parser.add_argument(
        "run", type=Path, nargs="?", default=Path("results/demo"), help="folder of the run (default: results/demo)"
    )
    parser.add_argument("--species", action="store_true", help="include the detections of each species")
    parser.set_defaults(handler=run)


def run(args: argparse.Namespace) -> None:
    """Print the scores."""
    print(format_scores(args.run, args.species))


def format_scores(run: Path, by_species: bool = False) -> str:
    """Return the scores of the released model of a finished run on its test split, and the paths of its bundle and report.

    The scores of a cross-validation follow, if there is one. A run can have a cross-validation alone.

    Args:
        run: folder of the run.
        by_species: whether to list the detections of each species.

    Raises:
        AutobirdError: the run has neither an evaluation nor a cross-validation, or was made by an older version.
    """
    file = run / "evaluation" / "metrics.json"
    crossval_file = run / "crossval" / "crossval.json"
    if not file.is_file():
        if crossval_file.is_file():
            return _crossval_alone(run.name, crossval_file, by_species)
        raise AutobirdError(
            f"{file} does not exist; finish the run with snakemake, or give another folder below results/"
        )
    metrics = read_json(file)
    test = metrics["test"]
    if "negatives" not in test:
        raise AutobirdError(f"{file} was made by an older version of Autobird; run snakemake again")
    others = test["recordings"] - test["recordings_of_one_species"]
    lines = [
        f"{run.name}: {metrics['species']} species, variant {metrics['variant']}, tested on {counted(test['recordings'], 'recording')} "
        f"({counted(test['windows'], 'window')}) in {counted(test['groups'], 'independent group')}, none of them used for training",
        *(
            [
                f"  ({counted(others, 'recording does', 'recordings do')} not contain exactly one species: not used for macro-F1, "
                f"{'top-1, top-5' if metrics['species'] > _TOP else 'top-1'})"
            ]
            if others
            else []
        ),
        *_recording_lines(run / "dataset" / "counts.json"),
        _HEADER,
        *_score_lines(test, _ranking_metrics(metrics["species"])),
        "  detections (probability reaches the species' threshold)",
        *_score_lines(test, _DETECTION),
        false_alarm_line(test["negatives"]),
        *(_species_lines(test["by_species"]) if by_species else ()),
        _legend(metrics["confidence"]),
        *_crossval_lines(crossval_file),
        *_crossval_lines(run / "crossval" / "ensemble" / "crossval.json"),
        *field_lines(run / "field" / "metrics.json", run / "release" / "bundle" / "bundle.json"),
    ]
    released, drift, bundle = (
        run / "release" / "released.json",
        run / "drift" / "drift.json",
        run / "release" / "bundle",
    )
    if released.is_file():
        lines += _release_lines(released, metrics["species"])
    if drift.is_file():
        lines.append(f"drift:    {_drift_summary(drift)}")
    report = run / "report.html"
    # A report belongs to one configuration, which the outputs of a run do not name.
    hint = f"to write it: snakemake --report {report}, with the --configfile and --config of the run"
    lines.append(f"report:   {report if report.is_file() else hint}")
    if bundle.is_dir():
        lines.append(f"bundle:   {bundle}")
        program = shlex.quote(str(Path(sys.executable).parent / "autobird"))
        lines.append(f"serve it: {program} serve {shlex.quote(str(bundle))}")
    else:
        lines.append(f"model:    {run / 'model' / 'weights.safetensors'}")
    return "\n".join(lines)


def _release_lines(released: Path, species: int) -> list[str]:
    """Return lines about the released variant, or why there is none."""
    decision = read_json(released)
    if decision.get("not_released"):
        first, *reasons = decision["not_released"].split("; ")
        return [f"released: none: {first}", *(f"          {text}" for text in reasons)]
    first, *reasons = decision["reason"].split("; ")
    lines = [f"released: {first}", *(f"          {text}" for text in reasons)]
    with released.with_name("comparison.csv").open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["split"] == "test"]
    if len(rows) > 1:  # the gate has nothing to select from the single variant of a head
        lines += [
            f"          {_difference_on_test(rows, species)}",
            "          (release gate: the rule that selects the variant on validation recordings; "
            "float32 model: the model before pruning and quantization)",
        ]
    return lines


def _drift_summary(file: Path) -> str:
    """Return the summary line of `drift.json`.

    Raises:
        AutobirdError: the file was made by an older version.
    """
    result = read_json(file)
    if "summary" not in result:
        raise AutobirdError(f"{file} was made by an older version of Autobird; run snakemake again")
    return str(result["summary"])


def _recording_lines(file: Path) -> list[str]:
    """Return lines about the recordings and species that a run does not use; no lines if it uses all."""
    counts = read_json(file) if file.is_file() else {}
    used, filtered, quarantined = (counts.get(f"recordings_{part}", 0) for part in ("used", "filtered", "quarantined"))
    lines = []
    if filtered or quarantined:
        lines.append(
            f"  of {counted(counts['recordings'], 'recording')}, {counted(used, 'is used', 'are used')}; "
            f"{counted(quarantined, 'is quarantined', 'are quarantined')}, and {counted(filtered, 'has', 'have')} no window that can be "
            "used"
        )
    if counts.get("left_out"):
        lines.append(f"  {left_out_sentence(counts['left_out'])}")
    return lines


def _legend(confidence: float) -> str:
    return f"  ([...]: {confidence:.0%} confidence intervals; cmAP: class-mean average precision, 1 is best; loss: cross-entropy)"


def _crossval_alone(run: str, file: Path, by_species: bool) -> str:
    """Return the scores of a cross-validation of a run that has no evaluation of its own."""
    result = read_json(file)
    summary, *lines = _pooled_lines(result)
    lines = [f"{run}: cross-validation: {summary}", _HEADER, *lines, _legend(result["confidence"])]
    if by_species:
        lines.append(f"species:  {file.with_name('species.csv')}")
    return "\n".join(
        [*lines, "model:    none; snakemake trains and releases one, with the --configfile and --config of the run"]
    )


def _crossval_lines(file: Path) -> list[str]:
    """Return the pooled scores of a cross-validation; no lines if there is none."""
    if not file.is_file():
        return []
    result = read_json(file)
    summary, *lines = _pooled_lines(result)
    what = "ensembles" if (result.get("ensemble") or {}).get("mode") == "average" else "networks"
    return [f"cross-validation (other {what} than the released one): {summary}", *lines]


def _pooled_lines(result: dict[str, Any]) -> list[str]:
    """Return a line about what a cross-validation tested, and its scores; `result`: content of `crossval.json`."""
    ensemble, seeds = result.get("ensemble"), f"mean of {counted(len(result['seeds']), 'seed')}"
    return [
        f"pooled over {counted(result['folds'], 'fold')}, {ensemble_text(ensemble) if ensemble else seeds}, "
        f"{counted(result['recordings'], 'recording')} ({counted(result['windows'], 'window')}) in "
        f"{counted(result['groups'], 'independent group')}, each tested by networks that were not trained on it",
        *_score_lines(result, _ranking_metrics(len(result["labels"]))),
        "  detections (probability reaches the species' threshold)",
        *_score_lines(result, _DETECTION),
        *([false_alarm_line(result["negatives"])] if "negatives" in result else []),
    ]


def _ranking_metrics(species: int) -> dict[str, str]:
    """Return the names of the metrics of the most probable species; with up to five species, each is among the first five."""
    return {key: name for key, name in _METRICS.items() if key != "top5" or species > _TOP}


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


def _difference_on_test(rows: Sequence[Mapping[str, str]], species: int) -> str:
    """Return a sentence about a score of the released variant and the float32 model on the test recordings.

    The score is macro-F1, or of a single species, which has none, the recall of the detections.

    Args:
        rows: of the test recordings in `comparison.csv`, one of them that of the released variant.
        species: number of species of the model.
    """
    metric, column = ("macro-F1", "difference") if species > 1 else ("recall of the detections", "recall_difference")
    row = next(row for row in rows if row["released"] == "True")
    difference = {k: float(row[f"{column}{end}"] or "nan") for k, end in _ENDS.items()}
    return f"on the test recordings, its {metric} minus that of the float32 model is {_cell(difference)}"


_ENDS = {"value": "", "low": "_low", "high": "_high"}


def _cell(value: Mapping[str, float | None] | None) -> str:
    if value is None:
        return "not defined"
    number, low, high = (math.nan if (v := value[key]) is None else float(v) for key in ("value", "low", "high"))
    if math.isnan(number):
        return "not defined"
    bounds = "interval unknown" if math.isnan(low) else f"{low:.3f}, {high:.3f}"
    return f"{number:.3f} [{bounds}]"
