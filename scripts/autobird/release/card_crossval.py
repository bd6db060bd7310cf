"""The scores of a cross-validation in the model card, beside those of the single test split."""

from pathlib import Path
from typing import Any

import numpy as np

from autobird.core.files import read_json
from autobird.core.stage import log
from autobird.core.wording import counted
from autobird.evaluation.run_predictions import ensemble_of, other_settings
from autobird.release.card_detections import score_with_interval

_METRICS = {
    "macro_f1": "macro-F1 of the most probable species",
    "detection_macro_f1": "macro-F1 of the detections",
    "cmap": "cmAP",
}


def read_crossval(file: Path | None, train: dict[str, Any]) -> dict[str, Any] | None:
    """Return the result of the cross-validation of a run; None if there is none, or if it was made with other settings or
    of other recordings than the run.

    Args:
        file: `crossval.json` in `results/<run>/crossval`, or that of the ensembles in `crossval/ensemble`.
        train: section `train` of the provenance of the run (`Config.provenance`).
    """
    if file is None or not file.is_file():
        return None
    result: dict[str, Any] = read_json(file)
    run = next(folder.parent for folder in file.parents if folder.name == "crossval")
    warning = other_settings(run, 0, result["seeds"][0])
    if result.get("ensemble") != ensemble_of(train):
        warning = f"{file} was made with another train.ensemble or other train.seeds; run `snakemake crossval` again"
    if warning:
        log.warning("not in the model card: %s", warning)
        return None
    return result


def crossval_lines(crossval: dict[str, Any] | None, test: dict[str, Any]) -> list[str]:
    """Return lines that compare the scores of the folds with those of the test split; none without a cross-validation.

    Args:
        crossval: content of `crossval.json`.
        test: scores of the test split, as in `metrics.json`.
    """
    if crossval is None:
        return []
    seeds = len(crossval["seeds"])
    networks = "a network" if seeds == 1 else f"{seeds} networks (different seeds)"
    if ensemble := crossval.get("ensemble"):
        members = f"an ensemble of {counted(len(ensemble['seeds']), 'network')}"
        networks = members if ensemble["mode"] == "average" else f"a network, taught by {members} and"
    return [
        f"In a cross-validation with {crossval['folds']} folds, every recording was tested by {networks} trained in the same way as the "
        f"released one on recordings of other groups. It tests {counted(crossval['recordings'], 'recording')} in "
        f"{counted(crossval['groups'], 'group')} instead of {counted(test['recordings'], 'recording')}, so its scores depend less on "
        "chance:",
        "",
        "| metric per recording | all folds | test split |",
        "|---|---|---|",
        *[
            f"| {text} | {_cell(crossval['by_recording'][name])} | {_cell(test['by_recording'][name])} |"
            for name, text in _METRICS.items()
        ],
        "",
    ]


def _cell(value: dict[str, Any] | None) -> str:
    if value is None:
        return "not defined"
    return score_with_interval(*(np.nan if value[key] is None else value[key] for key in ("value", "low", "high")))
