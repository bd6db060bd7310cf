"""Stage `weaknesses`: scores of the test recordings by loudness, distance, recorder, place, time of day, duration and quality."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from autobird.core.files import write_json
from autobird.core.stage import log, parser, run, settings_of, stage
from autobird.core.tables import read_table, write_csv
from autobird.evaluation.interval_json import interval_json
from autobird.evaluation.interval_text import interval_columns
from autobird.evaluation.pooling import first_seed_sentence
from autobird.evaluation.settings import EvaluationSettings, IntervalSettings
from autobird.evaluation.strata import METADATA, UNKNOWN, Factor, factors_of
from autobird.evaluation.stratum_scores import MIN_GROUPS, StratumScores, holm, stratum_scores
from autobird.evaluation.tested import TestedRecordings, read_test_predictions
from autobird.evaluation.weaknesses_figure import weaknesses_figure
from autobird.evaluation.weaknesses_text import summary

SCORES = ("recall", "precision", "top1")


def weaknesses(tested: TestedRecordings, factors: Sequence[Factor], settings: IntervalSettings) -> dict[str, Any]:
    """Return the content of `weaknesses.json`.

    Every stratum is compared with the other known strata of its factor, by the recall of the detections within the same species. The
    p-values of all comparisons together are corrected with Holm's method: a difference is `certain` if the corrected p-value is below
    1 - confidence. The probability that any difference is called certain by chance is then at most this.

    Args:
        tested: predictions for the test recordings.
        factors: strata of its recordings and windows.
        settings: bootstrap and confidence level.

    Returns:
        `factors`, each with its strata (`_stratum`), the number of items with a species of which it is unknown, and whether it is known
        of any item; numbers of `comparisons` and `min_groups`; and `summary`.
    """
    split = tested.split
    resamples = split.resamples(settings.resamples, settings.seed)
    found: list[dict[str, Any]] = []
    for factor in factors:
        items = split.recordings if factor.level == "recording" else split.windows
        known = factor.stratum >= 0
        strata = []
        for n, name in enumerate([*factor.strata, UNKNOWN]):
            inside = factor.stratum == (n if name != UNKNOWN else -1)
            # Recordings without a species have no distance; unknown strata of such recordings alone say nothing.
            if not factor.is_known or not inside.any() or (name == UNKNOWN and not items.present[inside].any()):
                continue
            is_compared = name != UNKNOWN and factor.compared[n]
            others = known & ~inside & is_compared
            strata.append(_stratum(name, stratum_scores(items, inside, others, resamples, settings)))
        found.append(
            {
                "factor": factor.name,
                "text": factor.text,
                "level": factor.level,
                "known": factor.is_known,
                "unknown_items": int((~known & items.present.any(axis=1)).sum()),
                "strata": strata,
            }
        )
    compared = [stratum for factor in found for stratum in factor["strata"] if stratum["difference"]]
    for stratum, p in zip(compared, holm([stratum["p"] for stratum in compared]), strict=True):
        stratum["p_corrected"] = round(p, 6)
        stratum["certain"] = p < 1 - settings.confidence
    result = {
        "confidence": settings.confidence,
        "min_groups": MIN_GROUPS,
        "recordings": len(split.names),
        "groups": split.groups,
        "comparisons": len(compared),
        "factors": found,
    }
    return result | {"summary": summary(result)}


def _stratum(name: str, scores: StratumScores) -> dict[str, Any]:
    """Return the scores of a stratum for JSON; `certain` and `p_corrected` are filled in when all comparisons are known."""
    difference = scores.difference
    return {
        "stratum": name,
        "items": scores.items,
        "groups": scores.groups,
        "groups_with_species": scores.groups_with_species,
        "too_few": scores.groups_with_species < MIN_GROUPS,
        **{score: getattr(scores, score) for score in SCORES},
        "difference": interval_json(None if difference is None else difference.interval),
        "p": None if difference is None else difference.p,
        "p_corrected": None,
        "certain": False,
    }


def table_of(result: dict[str, Any]) -> pd.DataFrame:
    """Return the strata as a table: factor, level, stratum, counts, scores and difference with bounds, p-values, certain."""
    rows = []
    for factor in result["factors"]:
        for stratum in factor["strata"] or [{"stratum": UNKNOWN, "items": factor["unknown_items"]}]:
            row = {"factor": factor["factor"], "level": factor["level"]}
            row |= {
                name: stratum.get(name) for name in ("stratum", "items", "groups", "groups_with_species", "too_few")
            }
            for score in (*SCORES, "difference"):
                values = stratum.get(score)
                row |= interval_columns(score, values and (values["value"], values["low"], values["high"]))
            row |= {name: stratum.get(name) for name in ("p", "p_corrected", "certain")}
            rows.append(row)
    table = pd.DataFrame(rows).round(4)
    return table.astype(dict.fromkeys(("items", "groups", "groups_with_species"), "Int64"))


def main(argv: Sequence[str] | None = None) -> None:
    """Run the stage from the command line."""
    p = parser(__doc__)
    for name in ("predictions", "calibration", "labels"):
        p.add_argument(f"--{name}", type=Path, nargs="+", required=True, help="of the run, or of each fold")
    p.add_argument("--index", type=Path, required=True, help="index of windows, for their level")
    p.add_argument("--catalogue", type=Path, required=True)
    outputs = ("result", "table", "figure")
    for name in outputs:
        p.add_argument(f"--{name}", type=Path, required=True)
    args = p.parse_args(argv)
    settings = settings_of(EvaluationSettings, args.settings)
    with stage("weaknesses", args, [getattr(args, name) for name in outputs]):
        tested = read_test_predictions(args.predictions, args.calibration, args.labels)
        levels = read_table(args.index, ["recording", "start", "rms"])
        windows = tested.windows.merge(levels, on=["recording", "start"], how="left", validate="many_to_one")
        catalogue = read_table(args.catalogue, METADATA)
        result = weaknesses(tested, factors_of(tested.split.names, windows, catalogue), settings)
        result["summary"] += first_seed_sentence(len(args.predictions))
        write_json(args.result, result)
        write_csv(args.table, table_of(result))
        weaknesses_figure(args.figure, result)
        log.info("%s", result["summary"])


if __name__ == "__main__":
    run(main)
