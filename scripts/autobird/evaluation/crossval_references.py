"""Stage `crossval_references`: a student's cross-validation, compared with its teachers and with the network without a teacher."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from autobird.core.files import read_json, write_json
from autobird.core.stage import parser, print_line, run, settings_of, stage
from autobird.core.tables import read_tables, write_csv
from autobird.core.wording import counted
from autobird.evaluation.crossval import MemberFiles, by_seed
from autobird.evaluation.interval_text import interval_text
from autobird.evaluation.paired import compare
from autobird.evaluation.run_predictions import RunPredictions
from autobird.evaluation.settings import EvaluationSettings

Interval = dict[str, float | None] | None


def pooled_predictions(
    name: str, members: Sequence[MemberFiles], labels: list[str], sha256: "pd.Series[str]"
) -> RunPredictions:
    """Return the pooled test predictions of networks of a cross-validation.

    Args:
        name: what they are called.
        members: the networks, one for each fold and seed.
        labels: species that at least one of them knows.
        sha256: checksum of the decoded sound of each recording.
    """
    pooled = list(by_seed(members, labels))
    table = pooled[0].table
    return RunPredictions(
        name,
        f"cross-validation with {counted(len(pooled), 'seed')}",
        labels,
        table.assign(sha256=table["recording"].map(sha256)),
        [p.split.recordings.probabilities for p in pooled],
        [p.split.recordings.detected for p in pooled],
        is_independent=pooled[0].split.recordings.is_independent,
    )


def closed_share(student: Interval, teacher: Interval, scratch: Interval) -> float | None:
    """Return which share of the gain of the teacher over the network without one the student has; None if it is not defined."""
    values = [score["value"] if score else None for score in (student, teacher, scratch)]
    if any(value is None for value in values):
        return None
    a, b, c = np.array(values, float)
    return float(round((a - c) / (b - c), 4)) if b > c else None


def references_table(comparisons: dict[str, dict[str, Any]]) -> pd.DataFrame:
    """Return one row per reference and metric: the scores of both, and the student's minus the reference's, with intervals."""
    rows = []
    for name, result in comparisons.items():
        for metric, values in result["metrics"].items():
            row: dict[str, Any] = {"reference": name, "metric": metric}
            for column, key in (("reference_score", "a"), ("student_score", "b"), ("difference", "difference")):
                interval: Interval = values[key]
                ends = (("", "value"), ("_low", "low"), ("_high", "high"))
                row |= {f"{column}{end}": interval[k] if interval else None for end, k in ends}
            rows.append(row)
    return pd.DataFrame(rows)


def main(argv: Sequence[str] | None = None) -> None:
    """Run the stage from the command line."""
    p = parser(__doc__)
    p.add_argument("--members", required=True, help="fold and seed of each student, as a JSON list of pairs")
    p.add_argument("--labels", type=Path, nargs="+", required=True, help="species of each fold")
    p.add_argument("--recordings", type=Path, nargs="+", required=True, help="tables of the decoded recordings")
    kinds = ("student", "scratch", "teacher")
    for kind in kinds:
        for content in ("predictions", "calibrations"):
            p.add_argument(f"--{kind}-{content}", type=Path, nargs="+", required=True)
    p.add_argument("--result", type=Path, required=True)
    p.add_argument("--table", type=Path, required=True)
    args = p.parse_args(argv)
    settings = settings_of(EvaluationSettings, args.settings)
    with stage("crossval_references", args, [args.result, args.table]):
        labels_of_fold: list[list[str]] = [read_json(path) for path in args.labels]
        labels = sorted(set().union(*labels_of_fold))
        sha256 = read_tables(args.recordings, ["recording", "sound_sha256"]).set_index("recording")["sound_sha256"]
        students = json.loads(args.members)
        trained = {"student": students, "scratch": students, "teacher": [(fold, 0) for fold in range(len(args.labels))]}
        runs = {}
        for kind in kinds:
            files = (getattr(args, f"{kind}_{name}") for name in ("predictions", "calibrations"))
            members = [
                MemberFiles(fold, seed, labels_of_fold[fold], *paths)
                for (fold, seed), *paths in zip(trained[kind], *files, strict=True)
            ]
            runs[kind] = pooled_predictions(kind, members, labels, sha256)
        comparisons = {kind: compare(runs[kind], runs["student"], settings) for kind in ("scratch", "teacher")}
        scores = {kind: comparisons[kind]["metrics"]["macro_f1"] for kind in comparisons}
        share = closed_share(scores["scratch"]["b"], scores["teacher"]["a"], scores["scratch"]["a"])
        write_json(args.result, {"closed_share": share, **comparisons})
        write_csv(args.table, references_table(comparisons))
        print_line(_summary(scores, share))


def _summary(scores: dict[str, dict[str, Interval]], share: float | None) -> str:
    scratch, teacher = scores["scratch"], scores["teacher"]
    three = (("student", scratch["b"]), ("teacher", teacher["a"]), ("without a teacher", scratch["a"]))
    parts = [", ".join(f"{name} {interval_text(score)}" for name, score in three)]
    parts.append(f"gain over the network without a teacher {interval_text(scratch['difference'])}")
    if share is not None:
        parts.append(f"{share:.0%} of the gain of the teacher")
    return f"[crossval_references] macro-F1 per recording: {'; '.join(parts)}"


if __name__ == "__main__":
    run(main)
