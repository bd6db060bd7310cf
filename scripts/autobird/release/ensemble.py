"""Stage `ensemble`: average the networks of several seeds in one ONNX graph; how they are averaged is decided on validation."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pandas as pd

from autobird.core.errors import AutobirdError
from autobird.core.files import read_json, write_bytes, write_json
from autobird.core.stage import log, parser, run, settings_of, stage
from autobird.core.tables import read_table
from autobird.core.wording import counted
from autobird.evaluation.bootstrap import difference_interval
from autobird.evaluation.calibration import calibrate
from autobird.evaluation.interval_json import interval_json, rounded
from autobird.evaluation.metrics import Weighting, loss, macro_f1
from autobird.evaluation.predictions import predictions_of_split
from autobird.evaluation.settings import CalibrationSettings
from autobird.predict.classification import Outputs, outputs_of
from autobird.release.ensemble_graph import AVERAGES, Average, average_logits, ensemble_graph
from autobird.release.onnx_files import serialise

_SAME = ("labels", "outputs", "features", "frames", "backbone")
"""Keys of `model.json` that must be equal for all networks of an ensemble."""


def check_independent(own: pd.DataFrame, others: Sequence[tuple[str, pd.DataFrame]]) -> None:
    """Check that no network of an ensemble was trained on recordings that the ensemble is validated or tested on.

    The networks of different folds of a cross-validation are trained on each other's test recordings: the score of their average would
    be that of recordings that most of them know.

    Args:
        own: index of windows (`INDEX`) of the split that the ensemble is scored on.
        others: name and index of each network.

    Raises:
        AutobirdError: one was.
    """
    scored = own[own["recording_split"].isin(["validation", "test"])]
    for name, index in others:
        trained = index[index["recording_split"] == "train"]
        for column in ("recording", "group"):
            common = sorted(set(scored[column]) & set(trained[column]))
            if common:
                raise AutobirdError(
                    f"{name} was trained on {counted(len(common), column)} that the ensemble would be scored on, first {common[0]}; "
                    "average only networks of one split or fold, which differ in their seed"
                )


def averaged(tables: Sequence[pd.DataFrame], outputs: Outputs, average: Average) -> pd.DataFrame:
    """Return the predictions of an ensemble, as a table like those of its networks.

    Args:
        tables: predictions (`PREDICTIONS`) of each network for the same windows in the same order.
        outputs: what the outputs of the networks mean.
        average: what is averaged.

    Raises:
        AutobirdError: the networks did not score the same windows.
    """
    first = tables[0]
    if not all(
        table[["recording", "start", "split"]].equals(first[["recording", "start", "split"]]) for table in tables
    ):
        raise AutobirdError("the networks of the ensemble did not score the same windows; run snakemake again")
    # Quiet windows have no logits.
    rows = np.flatnonzero(first["logits"].map(len) > 0)
    logits = first["logits"].to_list()
    mean = average_logits([np.stack(t["logits"].iloc[rows].to_list()) for t in tables], outputs, average)
    for row, values in zip(rows, mean.astype(np.float32), strict=True):
        logits[row] = values
    return first.assign(logits=logits)


def validation_scores(
    tables: dict[str, pd.DataFrame], labels: list[str], outputs: Outputs, settings: CalibrationSettings
) -> dict[str, dict[str, Any]]:
    """Return the scores of networks and ensembles on the validation recordings, each with its own calibration.

    Args:
        tables: predictions (`PREDICTIONS`) by name; the first is the reference.
        labels: species in the order of the logits.
        outputs: what the outputs mean.
        settings: calibration and bootstrap.

    Returns:
        By name: `loss`, the cross-entropy per window, `macro_f1` per recording, and the paired `difference` of that from the reference
        with its interval; None where it is not defined.
    """
    splits = {
        name: predictions_of_split(table, labels, "validation", calibrate(table, labels, outputs, settings).calibration)
        for name, table in tables.items()
    }
    reference = next(iter(splits.values()))
    resamples = reference.resamples(settings.resamples, settings.seed)
    weighting = Weighting.of(resamples, reference.recordings)
    f1 = {name: macro_f1(split.recordings, weighting).values for name, split in splits.items()}
    base = next(iter(f1.values()))
    return {
        name: {
            "loss": rounded(loss(split.windows, Weighting.of(resamples, split.windows)).values[0]),
            "macro_f1": rounded(f1[name][0]),
            "difference": interval_json(difference_interval(f1[name] - base, resamples, settings.confidence)),
        }
        for name, split in splits.items()
    }


def select_average(scores: dict[str, dict[str, Any]]) -> Average:
    """Return how the networks are averaged: with the smaller cross-entropy per validation window; if equal or not defined, the logits.

    The cross-entropy is more sensitive than macro-F1, in which the two rarely differ by more than chance.
    """
    return min(AVERAGES, key=lambda average: scores[average]["loss"] or 0.0)


def summary(
    networks: int, average: Average, scores: dict[str, dict[str, Any]], names: Sequence[str], teaches: bool = False
) -> str:
    """Return a paragraph about the ensemble for the model card.

    Args:
        networks: number of networks.
        average: what is averaged.
        scores: result of `validation_scores`.
        names: of the networks.
        teaches: whether the model is a network that learned from the ensemble; otherwise it is the ensemble.
    """
    trained = f"{counted(networks, 'network')} that were trained on the same recordings with different seeds"
    if teaches:
        text = (
            f"The model is a single network that learned from the labels and from the answers of an ensemble to the training windows. The "
            f"ensemble is the average of the {average} (chosen on the validation recordings) of {trained}. One prediction costs as much as "
            "one network; calibration, thresholds and all other scores are those of the single network."
        )
    else:
        text = (
            f"The model is an ensemble: it holds {trained}, and averages their {average} (chosen on the validation recordings). One "
            f"prediction costs as much as {counted(networks, 'network')}; calibration, thresholds and all scores are those of the ensemble."
        )
    singles = [scores[name]["macro_f1"] for name in names if scores[name]["macro_f1"] is not None]
    if not singles:
        return text
    return (
        f"{text} Macro-F1 on the validation recordings: {scores[average]['macro_f1']:.3f}{' of the ensemble' if teaches else ''}, and "
        f"{min(singles):.3f} to {max(singles):.3f} of {'its' if teaches else 'the'} single networks."
    )


def main(argv: Sequence[str] | None = None) -> None:
    """Run the stage from the command line."""
    p = parser(__doc__)
    for name, text in (
        ("variants", "ONNX files of the networks"),
        ("scores", "their logits"),
        ("models", "their model.json"),
        ("indexes", "indexes of windows of the splits that they were trained on"),
    ):
        p.add_argument(f"--{name}", type=Path, nargs="+", required=True, help=f"{text}, in the same order")
    p.add_argument("--names", nargs="+", required=True, help="names of the networks, in the same order")
    p.add_argument(
        "--index", type=Path, required=True, help="index of windows of the split that the ensemble is scored on"
    )
    p.add_argument("--teaches", action="store_true", help="the model learns from the ensemble, and is not the ensemble")
    p.add_argument("--output", type=Path, required=True)
    p.add_argument("--result", type=Path, required=True)
    args = p.parse_args(argv)
    settings = settings_of(CalibrationSettings, args.settings)
    with stage("ensemble", args, [args.output, args.result]):
        models = [read_json(path) for path in args.models]
        for name, model in zip(args.names, models, strict=True):
            different = [key for key in _SAME if model.get(key) != models[0].get(key)]
            if different:
                raise AutobirdError(
                    f"{name} and {args.names[0]} differ in {', '.join(different)} (model.json) and cannot be averaged; train all "
                    "networks of the ensemble with the same settings"
                )
        read = {
            path: read_table(path, ["recording", "group", "recording_split"]) for path in {*args.indexes, args.index}
        }
        check_independent(read[args.index], [(n, read[i]) for n, i in zip(args.names, args.indexes, strict=True)])
        outputs, labels = outputs_of(models[0]), models[0]["labels"]
        tables = dict(zip(args.names, map(read_table, args.scores), strict=True))
        ensembles: dict[str, pd.DataFrame] = {a: averaged(list(tables.values()), outputs, a) for a in AVERAGES}
        scores = validation_scores({**tables, **ensembles}, labels, outputs, settings)
        chosen = select_average(scores)
        graph = ensemble_graph([onnx.load(path) for path in args.variants], outputs, chosen)
        write_bytes(args.output, serialise(graph))
        text = summary(len(tables), chosen, scores, args.names, args.teaches)
        write_json(
            args.result,
            {
                "networks": list(args.names),
                "average": chosen,
                "validation": scores,
                "reference": args.names[0],
                "summary": text,
            },
        )
        log.info("%s: %s", text, scores)


if __name__ == "__main__":
    run(main)
