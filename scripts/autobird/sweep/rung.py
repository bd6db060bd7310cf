"""Stage `sweep_rung`: compare the trials of a sweep, and choose those that are trained on further folds."""

import json
from collections.abc import Sequence
from pathlib import Path

from autobird.core.files import write_json
from autobird.core.stage import log, parser, print_line, run, settings_of, stage
from autobird.core.tables import read_table
from autobird.core.wording import counted
from autobird.evaluation.settings import EvaluationSettings
from autobird.sweep.definition import METRICS
from autobird.sweep.halving import survivors
from autobird.sweep.scores import Training, TrialFiles, trial_scores


def read_trials(description: str, predictions: Sequence[Path], labels: Sequence[Path]) -> list[TrialFiles]:
    """Return the trials with their files.

    Args:
        description: the trials as JSON: a list of id, values, outputs and trainings (pairs of fold and seed).
        predictions: logits of the trainings of the first trial, then of the second, and so on.
        labels: species of the networks, in the same order.
    """
    files = iter(zip(predictions, labels, strict=True))
    return [
        TrialFiles(
            trial["id"],
            trial["values"],
            trial["outputs"],
            [Training(fold or 0, seed, *next(files)) for fold, seed in trial["trainings"]],
        )
        for trial in json.loads(description)
    ]


def main(argv: Sequence[str] | None = None) -> None:
    """Run the stage from the command line."""
    p = parser(__doc__)
    p.add_argument("--trials", required=True, help="the trials as JSON, that with the settings of the run first")
    p.add_argument("--predictions", type=Path, nargs="+", required=True, help="logits of the trainings, in their order")
    p.add_argument("--labels", type=Path, nargs="+", required=True, help="species of the trainings, in their order")
    p.add_argument("--index", type=Path, required=True, help="index of the run, whose test recordings never count")
    p.add_argument("--metric", choices=list(METRICS), required=True)
    p.add_argument("--keep", type=float, help="share of the trials that reach the next rung (default: there is none)")
    p.add_argument("--output", type=Path, required=True)
    args = p.parse_args(argv)
    settings = settings_of(EvaluationSettings, args.settings)
    with stage("sweep_rung", args, [args.output]):
        trials = read_trials(args.trials, args.predictions, args.labels)
        index = read_table(args.index, ["recording", "recording_split"])
        excluded = frozenset(index.loc[index["recording_split"] == "test", "recording"])
        result = trial_scores(trials, args.metric, excluded, settings)
        ranking = [row["id"] for row in result["trials"]]
        kept = survivors(ranking, trials[0].id, args.keep) if args.keep else []
        write_json(
            args.output,
            {
                "metric": args.metric,
                "confidence": settings.confidence,
                "defaults": trials[0].id,
                **result,
                "survivors": kept,
            },
        )
        best = result["trials"][0]
        text = (
            f"{counted(len(trials), 'trial')} on {counted(result['recordings'], 'validation recording')}: the best {METRICS[args.metric]} "
            f"is {best['score']['value']:.3f} ({best['id']})"
        )
        log.info("%s; next rung: %s", text, ", ".join(kept) if kept else "none")
        print_line(f"[sweep_rung] {text}")


if __name__ == "__main__":
    run(main)
