"""Stage `track`: log the evaluation of a model and the model itself to Weights & Biases, if the user tracks runs."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from autobird.core.files import read_json, write_json
from autobird.core.stage import log, parser, run, stage
from autobird.core.tables import read_table
from autobird.evaluation.evaluate import read_calibration
from autobird.evaluation.metrics import predicted_and_true
from autobird.evaluation.predictions import predictions_of_split
from autobird.predict.classification import Calibration
from autobird.release.evaluation_tracker import EvaluationTracker, with_bounds

_ID_DIGITS = 16


def run_id(model: dict[str, Any], weights: Path) -> str:
    """Return the id of a model's run in W&B: that of its training, or for a model without one a hash of the weights.

    Args:
        model: content of `model.json`.
        weights: file of the weights.
    """
    found: str = model.get("training_id") or hashlib.sha256(weights.read_bytes()).hexdigest()[:_ID_DIGITS]
    return found


def confusion_table(predictions: pd.DataFrame, labels: list[str], calibration: Calibration) -> pd.DataFrame:
    """Return the confusion matrix of the test recordings of one species, as in the figure of the evaluation.

    Args:
        predictions: file of the stage `compare`.
        labels: species in the order of the logits.
        calibration: of the released variant.

    Returns:
        Columns `true`, `predicted` and `recordings`; pairs of species that do not occur are left out.
    """
    recordings = predictions_of_split(predictions, labels, "test", calibration).recordings
    predicted, truth, _ = predicted_and_true(recordings)
    counts = truth.T.astype(int) @ predicted.astype(int)
    rows = [(labels[i], labels[j], int(counts[i, j])) for i, j in zip(*counts.nonzero(), strict=True)]
    return pd.DataFrame(rows, columns=["true", "predicted", "recordings"])


def scores(table: pd.DataFrame) -> dict[str, float]:
    """Return the metrics of `metrics.csv` with their intervals, by names such as `test/recording/macro_f1`."""
    found: dict[str, float] = {}
    for row in table.to_dict("records"):
        name = f"{row['split']}/{row['level']}/{row['metric']}"
        found |= with_bounds(name, row["value"], row["low"], row["high"])
    return found


def _epochs(history: pd.DataFrame) -> list[dict[str, float]]:
    """Return the learning curves of a network, epoch by epoch; none of a head, which is not trained in epochs."""
    if "epoch" not in history:
        return []
    return [{str(k): float(v) for k, v in row.items() if pd.notna(v)} for row in history.to_dict("records")]


def main(argv: Sequence[str] | None = None) -> None:
    """Run the stage from the command line."""
    p = parser(__doc__)
    p.add_argument("--track", choices=["none", "offline", "online"], default="none")
    p.add_argument("--group", default="", help="group of the run in W&B")
    inputs = ("metrics", "table", "species", "confusion", "predictions", "calibration", "labels", "graph", "model")
    for name in (*inputs, "weights", "history", "output"):
        p.add_argument(f"--{name}", type=Path, required=True)
    args = p.parse_args(argv)
    with stage("track", args, [args.output]):
        model, history = read_json(args.model), pd.read_csv(args.history)
        identifier = run_id(model, args.weights)
        folder = args.output.parent.parent / ".wandb"
        # The training wrote a folder of its own if it was tracked offline in this folder.
        curves_logged = any(folder.glob(f"wandb/*-{identifier}"))
        epochs = _epochs(history)
        group = args.group or folder.parent.name
        with EvaluationTracker(args.track, folder, identifier, group, json.dumps(model["train"])) as tracker:
            if tracker.mode != "none":
                if not (curves_logged or tracker.is_resumed):
                    for values in epochs:
                        tracker.log(values)
                variant, calibration = read_calibration(args.calibration)
                labels: list[str] = read_json(args.labels)
                confusion = confusion_table(read_table(args.predictions), labels, calibration)
                tracker.log_evaluation(
                    len(epochs) + 1,
                    scores(pd.read_csv(args.table)),
                    {"confusion_matrix": args.confusion},
                    {"species": pd.read_csv(args.species), "confusion": confusion},
                )
                tracker.log_model(
                    f"{group}-model",
                    [args.weights, args.model, args.graph, args.calibration, args.metrics],
                    {"released_variant": variant, "species": len(labels), "training_id": identifier},
                )
                log.info("logged to the run %s of W&B, %s", identifier, tracker.mode)
        write_json(args.output, {"mode": tracker.mode, "run": identifier})


if __name__ == "__main__":
    run(main)
