"""The command `autobird compare`: two runs, compared on their common test recordings."""

from pathlib import Path
from typing import Any

from autobird.core.errors import AutobirdError
from autobird.core.wording import counted, listed
from autobird.evaluation.interval_text import interval_text
from autobird.evaluation.paired import compare
from autobird.evaluation.run_predictions import (
    RunPredictions,
    has_crossval,
    has_test_split,
    read_crossval,
    read_test_split,
)
from autobird.evaluation.settings import IntervalSettings

_NAMES = {
    "macro_f1": "macro-F1",
    "cmap": "cmAP",
    "top1": "top-1",
    "detection_macro_f1": "macro-F1 of the detections",
}


def compare_folders(a: Path, b: Path, settings: IntervalSettings) -> dict[str, Any]:
    """Compare two runs of any architectures; see `read_runs` for what is compared, and `paired.compare` for how.

    Args:
        a: folder of the reference run, for example `results/demo`.
        b: folder of the other run.
        settings: bootstrap and confidence level.

    Raises:
        AutobirdError: a folder is no finished run, or they have no common test recordings.
    """
    return compare(*read_runs(a, b), settings)


def read_runs(a: Path, b: Path) -> tuple[RunPredictions, RunPredictions]:
    """Read the predictions of two runs.

    Of their cross-validations if both have one, otherwise of their test splits. If one of them has a cross-validation alone, its pooled
    predictions are compared with the test split of the other: both are about recordings that the networks were not trained on.

    Args:
        a: folder of the reference: a run, or a member of one such as `results/demo/members/fold0.seed4`.
        b: folder of the other one.

    Raises:
        AutobirdError: a folder does not exist or is no finished run.
    """
    for folder in (a, b):
        if not folder.is_dir():
            raise AutobirdError(f"{folder} does not exist; give the folders of two runs, for example results/demo")
    # Resolved, so that a run has its own name also if it is given as `.`
    a, b = a.resolve(), b.resolve()
    both = has_crossval(a) and has_crossval(b)

    def read(run: Path) -> RunPredictions:
        return read_crossval(run) if both or (has_crossval(run) and not has_test_split(run)) else read_test_split(run)

    return read(a), read(b)


def format_comparison(result: dict[str, Any]) -> str:
    """Return a comparison (`paired.compare`) as a table for the terminal."""
    a, b = result["a"], result["b"]
    name_a, name_b = _short(a["name"]), _short(b["name"])
    lines = [
        *(line for letter, run in (("a", a), ("b", b)) for line in _lines(letter, run)),
        f"compared on {counted(result['recordings'], 'common test recording')} in {counted(result['groups'], 'independent group')}",
    ]
    for key, (noun, rest) in (
        ("only_in_a", ("test recording of a", "that b does not test")),
        ("only_in_b", ("test recording of b", "that a does not test")),
        ("other_sound", ("recording", "of the same name with other sound in a than in b")),
        ("other_species", ("recording", "with other species in a than in b")),
    ):
        if result["left_out"][key]:
            lines.append(f"  left out: {counted(result['left_out'][key], noun)} {rest}")
    for letter, run in (("a", a), ("b", b)):
        if run["only_here"]:
            lines.append(f"  species that only {letter} knows: {', '.join(run['only_here'])}")
    lines.append(f"  {'per recording':28}{f'a: {name_a}':>24}{f'b: {name_b}':>24}{'b minus a':>26}")
    for key, values in result["metrics"].items():
        cells = f"{interval_text(values['a']):>24}{interval_text(values['b']):>24}{interval_text(values['difference'], sign=True):>26}"
        lines.append(f"  {_NAMES[key]:28}{cells}")
    lines.append(f"  error of b divided by that of a (error: 1 - macro-F1): {interval_text(result['error_ratio'])}")
    lines.append(
        f"  ([...]: {result['confidence']:.0%} confidence intervals; the difference and the ratio are paired: both runs are "
        "evaluated on the same resampled groups)"
    )
    lines.append(f"  {conclusion(result)}")
    return "\n".join(lines)


def conclusion(result: dict[str, Any]) -> str:
    """Say of which metrics the difference between two runs is certain: its interval does not contain 0.

    The metrics are those of one comparison and not corrected for their number.

    Args:
        result: result of `paired.compare`.
    """
    better: dict[str, list[str]] = {"a": [], "b": []}
    undecided = []
    for key, values in result["metrics"].items():
        difference = values["difference"]
        if difference is None or difference["low"] is None:
            undecided.append(_NAMES[key])
        elif difference["low"] > 0:
            better["b"].append(_NAMES[key])
        elif difference["high"] < 0:
            better["a"].append(_NAMES[key])
        else:
            undecided.append(_NAMES[key])
    parts = [f"{run} is better in {listed(names)}" for run, names in better.items() if names]
    parts += [f"no certain difference in {listed(undecided)}"] if undecided else []
    return f"conclusion: {'; '.join(parts)}"


def _lines(letter: str, run: dict[str, Any]) -> list[str]:
    """Say which results of a run are compared, when they were made, and why they may not be those that the user means."""
    made = f" of {run['made']}" if run.get("made") else ""
    text = f"{letter}: {run['name']} ({run['evaluated']}{made}, {counted(run['test_recordings'], 'recording')}, {run['species']} species)"
    return [text, *([f"  warning: {run['warning']}"] if run.get("warning") else [])]


def _short(name: str) -> str:
    return name if len(name) <= 20 else f"{name[:19]}…"
