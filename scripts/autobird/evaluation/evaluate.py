"""Stage `evaluate`: how good the model is on recordings that it never heard, with intervals."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from autobird.core.files import read_json, write_json
from autobird.core.stage import log, parser, run, settings_of, stage
from autobird.core.tables import read_table, write_csv
from autobird.evaluation.bootstrap import interval, recording_weights
from autobird.evaluation.calibration import expected_calibration_error, fit_temperature, thresholds
from autobird.evaluation.figures import confusion_figure, reliability_figure, species_figure
from autobird.evaluation.metrics import (
    all_metrics,
    auroc_by_species,
    average_precision_by_species,
    f1_by_species,
)
from autobird.evaluation.predictions import Predictions, by_recording, by_window
from autobird.evaluation.settings import EvaluationSettings

Interval = dict[str, float] | None


def _interval(values: NDArray[np.float64], settings: EvaluationSettings) -> Interval:
    found = interval(values, settings.confidence)
    if found is None:
        return None
    return {name: round(value, 6) for name, value in zip(("value", "low", "high"), found, strict=True)}


def split_metrics(windows: Predictions, recordings: Predictions, settings: EvaluationSettings) -> dict[str, Any]:
    """All metrics of one split by window and by recording, each with its interval over the same resamples."""
    weights = recording_weights(recordings.truth, settings.resamples, settings.seed)
    out: dict[str, Any] = {"recordings": len(recordings.names), "windows": len(windows.truth)}
    for name, items in (("by_window", windows), ("by_recording", recordings)):
        values = all_metrics(items.probabilities, items.truth, weights[:, items.recording])
        out[name] = {metric: _interval(v, settings) for metric, v in values.items()}
    return out


def species_table(recordings: Predictions, labels: list[str], settings: EvaluationSettings) -> pd.DataFrame:
    """One row a species, by test recording: counts, precision, recall, F1 with interval, AP, AUROC."""
    weights = recording_weights(recordings.truth, settings.resamples, settings.seed)
    p, truth = recordings.probabilities, recordings.truth
    guess = p.argmax(axis=1)
    f1 = f1_by_species(p, truth, weights)
    ap = average_precision_by_species(p, truth, weights[:1])[0]
    auroc = auroc_by_species(p, truth, weights[:1])[0]
    rows = []
    for i, name in enumerate(labels):
        hits = int(((guess == i) & (truth == i)).sum())
        true, guessed = int((truth == i).sum()), int((guess == i).sum())
        value = _interval(f1[:, i], settings) or dict.fromkeys(("value", "low", "high"), float("nan"))
        rows.append(
            {
                "species": name,
                "test_recordings": true,
                "precision": hits / guessed if guessed else float("nan"),
                "recall": hits / true if true else float("nan"),
                "f1": value["value"],
                "f1_low": value["low"],
                "f1_high": value["high"],
                "average_precision": ap[i],
                "auroc": auroc[i],
            }
        )
    return pd.DataFrame(rows).round(4)


def metrics_table(metrics: dict[str, Any]) -> pd.DataFrame:
    """The metrics as a tidy table: split, level, metric, value, low, high."""
    rows = [
        {"split": split, "level": level.removeprefix("by_"), "metric": name, **value}
        for split in ("validation", "test")
        for level in ("by_recording", "by_window")
        for name, value in metrics[split][level].items()
        if value
    ]
    return pd.DataFrame(rows).round(4)


def main(argv: Sequence[str] | None = None) -> None:
    """Command line of the stage."""
    p = parser(__doc__)
    p.add_argument("--predictions", type=Path, required=True)
    p.add_argument("--labels", type=Path, required=True)
    outputs = ("metrics", "table", "species", "calibration", "thresholds", "confusion", "species-figure", "reliability")
    for name in outputs:
        p.add_argument(f"--{name}", type=Path, required=True)
    args = p.parse_args(argv)
    settings = settings_of(EvaluationSettings, args.settings)
    with stage("evaluate", args, [getattr(args, name.replace("-", "_")) for name in outputs]):
        table, labels = read_table(args.predictions), read_json(args.labels)
        windows = {split: by_window(table, labels, split) for split in ("validation", "test")}
        recordings = {split: by_recording(w, settings.aggregation) for split, w in windows.items()}

        metrics: dict[str, Any] = {
            "confidence": settings.confidence,
            "resamples": settings.resamples,
            "aggregation": settings.aggregation,
            "species": len(labels),
        }
        for split in windows:
            metrics[split] = split_metrics(windows[split], recordings[split], settings)
            for level in ("by_recording", "by_window"):
                log.info("%s %s: %s", split, level, metrics[split][level])
        write_json(args.metrics, metrics)
        write_csv(args.table, metrics_table(metrics))
        by_species = species_table(recordings["test"], labels, settings)
        write_csv(args.species, by_species)

        temperature = fit_temperature(windows["validation"].probabilities, windows["validation"].truth)
        calibrated = {split: by_window(table, labels, split, temperature) for split in windows}
        calibration: dict[str, Any] = {"temperature": temperature, "level": "window"}
        for split in windows:
            calibration[split] = {
                "expected_calibration_error": round(expected_calibration_error(windows[split]), 6),
                "expected_calibration_error_calibrated": round(expected_calibration_error(calibrated[split]), 6),
            }
        write_json(args.calibration, calibration)
        chosen = thresholds(calibrated["validation"])
        write_csv(args.thresholds, pd.DataFrame({"species": labels, "threshold": chosen}))

        confusion_figure(args.confusion, recordings["test"], labels)
        species_figure(args.species_figure, by_species, settings.confidence)
        reliability_figure(args.reliability, windows["test"], calibrated["test"])


if __name__ == "__main__":
    run(main)
