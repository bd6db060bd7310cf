"""Stage `sweep_report`: table and figure of a sweep, the importance of its parameters, and its best settings as a configuration file."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml
from numpy.typing import NDArray

from autobird.core.files import read_json, write_json, write_text
from autobird.core.stage import log, parser, print_line, run, stage
from autobird.core.tables import write_csv
from autobird.core.wording import counted
from autobird.sweep.definition import METRICS
from autobird.sweep.figure import sweep_figure
from autobird.sweep.importance import Importance, importances, noise_share, why_unknown

_FEW_TRIALS = 20
"""Number of trials below which the summary says that an importance is uncertain."""


def trials_table(rungs: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Return one row per trial, the best first: those of the last rung, then those of the rung before.

    Columns: rank, trial, the parameters, seeds, folds and rung of the score, the score with its interval, the score of each seed, and
    the paired difference from the settings of the run with its interval and standard error.

    Args:
        rungs: content of the files of stage `sweep_rung`.
    """
    rows: list[dict[str, Any]] = []
    seen: set[str] = set()
    for rung in range(len(rungs), 0, -1):
        for trial in rungs[rung - 1]["trials"]:
            if trial["id"] in seen:
                continue
            seen.add(trial["id"])
            score, difference = trial["score"], trial["difference"] or {}
            rows.append(
                {
                    "rank": len(rows) + 1,
                    "trial": trial["id"],
                    **trial["values"],
                    "seeds": " ".join(map(str, trial["seeds"])),
                    "folds": len(trial["folds"]),
                    "rung": rung,
                    "score": score["value"],
                    "score_low": score["low"],
                    "score_high": score["high"],
                    "score_of_seeds": " ".join(f"{value:.4f}" for value in trial["by_seed"]),
                    "difference": difference.get("value"),
                    "difference_low": difference.get("low"),
                    "difference_high": difference.get("high"),
                    "difference_standard_error": trial["standard_error"],
                }
            )
    return pd.DataFrame(rows)


def overlay(best: Mapping[str, Any], result: Mapping[str, Any], trials: int) -> str:
    """Return the settings of a trial as a configuration file.

    Args:
        best: the trial; an entry of `trials` of stage `sweep_rung`.
        result: content of its file.
        trials: number of trials of the sweep.
    """
    sections: dict[str, dict[str, Any]] = {}
    for name, value in best["values"].items():
        section, _, key = name.partition(".")
        sections.setdefault(section, {})[key] = value
    lines = [
        f"# The best of {counted(trials, 'trial')} of a sweep: {best['id']}. To use it: add this file after the run's --configfile.",
        f"# {METRICS[result['metric']]} of {counted(result['recordings'], 'validation recording')}: {_interval(best['score'])}.",
        f"# {comparison(best, result)}",
        "# It is the best of several, so its score on these recordings is too high; the test recordings were not used.",
    ]
    return "\n".join([*lines, yaml.safe_dump(sections, sort_keys=False, allow_unicode=True)])


def comparison(best: Mapping[str, Any], result: Mapping[str, Any]) -> str:
    """Say whether the best trial is better than the settings of the run."""
    difference = best["difference"]
    if best["id"] == result["defaults"]:
        return "No trial is better than the settings of the run."
    low = difference["low"] if difference else None
    if low is None:
        return (
            "Whether it is better than the settings of the run is not known: there are too few independent recordings."
        )
    known = "more" if low > 0 else "not more"
    return (
        f"Difference from the settings of the run: {_interval(difference, '+')}, {known} than chance at {result['confidence']:.0%} "
        "confidence for this trial alone."
    )


def importance_sentence(importance: Sequence[Importance], noise: float | None, scores: NDArray[np.float64]) -> str:
    """Say how certain the importances are, or why none is known.

    Args:
        importance: of the parameters.
        noise: result of `noise_share`.
        scores: score of each trial; shape (trials,).
    """
    if all(one.share is None for one in importance):
        return f"The importance of the parameters is not known: {why_unknown(scores)}."
    trials = len(scores)
    share = "is not known" if noise is None else f"is about {noise:.0%}"
    few = f" With {counted(trials, 'trial')}, importances vary much by chance." if trials < _FEW_TRIALS else ""
    found = sum(one.p is not None and one.p < 0.05 for one in importance)
    return (
        f"The importance of a parameter is the share of the variance of the scores of {counted(trials, 'trial')} that it explains by "
        f"itself; {counted(found, 'parameter has', 'parameters have')} p < 0.05, without a correction for their number "
        f"({len(importance)}). The share that comes from the choice of the validation recordings {share}.{few}"
    )


def _interval(interval: Mapping[str, float | None], sign: str = "") -> str:
    bounds = [interval["low"], interval["high"]]
    text = f"{interval['value']:{sign}.3f}"
    return text if None in bounds else f"{text} [{bounds[0]:{sign}.3f}, {bounds[1]:{sign}.3f}]"


def main(argv: Sequence[str] | None = None) -> None:
    """Run the stage from the command line."""
    p = parser(__doc__)
    p.add_argument("--rungs", type=Path, nargs="+", required=True, help="files of stage sweep_rung, in order")
    p.add_argument("--logarithmic", nargs="*", default=[], help="parameters whose logarithm matters")
    outputs = ("table", "importance", "figure", "best", "result")
    for name in outputs:
        p.add_argument(f"--{name}", type=Path, required=True)
    args = p.parse_args(argv)
    with stage("sweep_report", args, [getattr(args, name) for name in outputs]):
        rungs = [read_json(path) for path in args.rungs]
        first, last = rungs[0], rungs[-1]
        best = last["trials"][0]
        table = trials_table(rungs)
        write_csv(args.table, table)
        # All trials are compared on the recordings of the first rung.
        trials = first["trials"]
        values, scores = [t["values"] for t in trials], np.array([t["score"]["value"] for t in trials])
        found = importances(values, scores, args.logarithmic)
        noise = noise_share([t["standard_error"] for t in trials if t["id"] != first["defaults"]], scores)
        sentence = importance_sentence(found, noise, scores)
        write_csv(
            args.importance, pd.DataFrame([vars(one) for one in found], columns=["parameter", "share", "p"]).round(4)
        )
        ids = [t["id"] for t in trials]
        sweep_figure(
            args.figure, values, scores, found, METRICS[first["metric"]], args.logarithmic,
            ids.index(first["defaults"]), ids.index(best["id"]),
        )  # fmt: skip
        write_text(args.best, overlay(best, last, len(trials)))
        write_json(
            args.result,
            {
                "metric": last["metric"],
                "trials": len(trials),
                "recordings": last["recordings"],
                "groups": last["groups"],
                "confidence": last["confidence"],
                "best": best,
                "comparison": comparison(best, last),
                "importance": [vars(one) for one in found],
                "share_of_chance": noise,
                "importance_summary": sentence,
            },
        )
        log.info("%s", sentence)
        print_line(
            f"[sweep_report] {best['id']}: {METRICS[last['metric']]} {_interval(best['score'])}. {comparison(best, last)}"
        )
        # The name has that of the run, so that the best settings of another run are not trained into the same folder.
        name = f"'run={{name: {args.best.absolute().parents[1].name}-best}}'"
        print_line(
            f"[sweep_report] all trials: {args.table}; to train the best settings: put {args.best} after the --configfile files of this "
            f"run, and {name} after its other --config values; for example snakemake --configfile config/mine.yaml {args.best} "
            f"--config {name}"
        )


if __name__ == "__main__":
    run(main)
