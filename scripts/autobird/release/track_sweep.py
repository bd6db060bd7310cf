"""Stage `track_sweep`: log the scores of the trials of a sweep, their table and the figure to Weights & Biases, if the user tracks runs."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from autobird.core.files import read_json, write_json
from autobird.core.stage import log, parser, run, stage
from autobird.release.evaluation_tracker import EvaluationTracker, with_bounds

_ID_DIGITS = 16

_DESCRIPTION = ("metric", "trials", "recordings", "groups", "confidence")
"""Keys of the result that are logged as settings of the run in W&B."""


def run_id(group: str, table: Path) -> str:
    """Return the id of a sweep's run in W&B: a hash of its trials with their scores.

    Other trials are another run, because W&B cannot take back scores that were logged.

    Args:
        group: name of the run that the sweep is of.
        table: file of the trials.
    """
    return hashlib.sha256(group.encode() + b"\0" + table.read_bytes()).hexdigest()[:_ID_DIGITS]


def scores(table: pd.DataFrame, metric: str) -> dict[str, float]:
    """Return the score of each trial with its interval, by names such as `trial-0123456789/macro_f1`.

    Args:
        table: file of the trials.
        metric: name of the score.
    """
    found: dict[str, float] = {}
    for row in table.to_dict("records"):
        found |= with_bounds(f"{row['trial']}/{metric}", row["score"], row["score_low"], row["score_high"])
    return found


def main(argv: Sequence[str] | None = None) -> None:
    """Run the stage from the command line."""
    p = parser(__doc__)
    p.add_argument("--track", choices=["none", "offline", "online"], default="none")
    p.add_argument("--group", required=True, help="group of the run in W&B")
    for name in ("table", "importance", "figure", "result", "output"):
        p.add_argument(f"--{name}", type=Path, required=True)
    args = p.parse_args(argv)
    with stage("track_sweep", args, [args.output]):
        result, table = read_json(args.result), pd.read_csv(args.table)
        identifier = run_id(args.group, args.table)
        folder = args.output.parent.parent / ".wandb"
        settings = json.dumps({key: result[key] for key in _DESCRIPTION})
        with EvaluationTracker(args.track, folder, identifier, args.group, settings) as tracker:
            if tracker.mode != "none":
                tracker.log_evaluation(
                    1,
                    scores(table, result["metric"]),
                    {"sweep": args.figure},
                    {"trials": table, "importance": pd.read_csv(args.importance)},
                )
                log.info("logged to the run %s of W&B, %s", identifier, tracker.mode)
        write_json(args.output, {"mode": tracker.mode, "run": identifier})


if __name__ == "__main__":
    run(main)
