"""Stage `evaluate`: metrics of the released variant, with confidence intervals, on recordings that it was not trained on."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from autobird.core.files import read_json, write_json
from autobird.core.stage import log, parser, run, settings_of, stage
from autobird.core.tables import read_table, write_csv
from autobird.evaluation.bootstrap import Resamples, bounded_interval
from autobird.evaluation.calibration import calibrated_windows, expected_calibration_error
from autobird.evaluation.confusion_matrix import confusion_figure
from autobird.evaluation.false_alarms import FalseAlarms, WindowSound, false_alarms
from autobird.evaluation.figures import reliability_figure, species_figure
from autobird.evaluation.interval_json import IntervalJson, interval_json, metric_interval
from autobird.evaluation.metrics import (
    Weighting,
    all_metrics,
    auroc_by_species,
    average_precision_by_species,
    f1_by_species,
    precision_by_species,
    predicted_and_true,
    recall_by_species,
)
from autobird.evaluation.predictions import SplitPredictions, predictions_of_split
from autobird.evaluation.settings import EvaluationSettings
from autobird.evaluation.unknown_species import leave_species_out, separation, windows_of
from autobird.predict.classification import Calibration
from autobird.predict.unknown import MEASURES

Floats = NDArray[np.float64]

_DETECTION_METRICS: dict[str, Callable[..., Floats]] = {
    "detection_precision": precision_by_species,
    "detection_recall": recall_by_species,
    "detection_f1": f1_by_species,
}
"""Metrics of the detections of each species."""


def species_interval(values: Floats, resamples: Resamples, settings: EvaluationSettings, groups: int) -> IntervalJson:
    """Return the interval of a metric of one species; `groups` is the number of groups that enter the metric."""
    return interval_json(bounded_interval(values, resamples, settings.confidence, groups, max(1.0, groups - 1.0)))


def split_metrics(split: SplitPredictions, resamples: Resamples, settings: EvaluationSettings) -> dict[str, Any]:
    """Return all metrics of a split, per window and per recording, with intervals from the same resamples of groups."""
    out: dict[str, Any] = {
        "recordings": len(split.names),
        "recordings_of_one_species": int((split.recordings.only_species >= 0).sum()),
        "recordings_with_known_species": int(split.recordings.complete.sum()),
        "negative_recordings": int(split.recordings.negative.sum()),
        "groups": split.groups,
        "windows": len(split.windows),
        "windows_of_one_species": int((split.windows.only_species >= 0).sum()),
        "windows_with_known_species": int(split.windows.complete.sum()),
    }
    for level, items in (("by_recording", split.recordings), ("by_window", split.windows)):
        metrics = all_metrics(items, Weighting.of(resamples, items))
        out[level] = {
            name: metric_interval(name, metric, resamples, settings.confidence) for name, metric in metrics.items()
        }
    return out


def negatives_json(alarms: FalseAlarms, confidence: float) -> dict[str, Any]:
    """Return the false alarms of a split as in metrics.json, with `per_hour` None if no recording is known to hold no species."""
    return {
        "recordings": alarms.recordings,
        "groups": len(alarms.hours),
        "hours": round(float(alarms.hours.sum()), 4),
        "quiet_hours": round(alarms.quiet_hours, 4),
        "false_alarms": round(float(alarms.counts.sum()), 2),
        "per_hour": interval_json(alarms.rate(confidence)),
    }


def unknown_species_json(
    table: pd.DataFrame, labels: list[str], calibration: Calibration, split: str, settings: EvaluationSettings
) -> dict[str, Any]:
    """Return how well each measure of `UnknownScore` tells windows of unknown species, and windows without any, from known ones.

    Args:
        table: logits; columns of `PREDICTIONS`.
        labels: species in the order of the logits.
        calibration: of the network.
        split: `validation` or `test`.
        settings: bootstrap and confidence level.

    Returns:
        Numbers of windows of each kind, and for each measure: `auroc` and `false_positive_rate` with their intervals for `unknown`
        species and for `none`, each None if there are no such windows; and `left_out`, the mean AUROC if each species is left out in
        turn.
    """
    windows, left_out = windows_of(table, labels, split), leave_species_out(table, labels, calibration, split)
    measures: dict[str, Any] = {}
    for measure in MEASURES:
        measures[measure] = {"left_out": None if np.isnan(left_out[measure]) else round(left_out[measure], 6)}
        for kind in ("unknown", "none"):
            found = separation(windows[kind], windows["known"], measure, calibration, settings)
            measures[measure][kind] = found and {
                "auroc": interval_json(found.auroc),
                "false_positive_rate": interval_json(found.false_positive_rate),
            }
    return {"windows": {kind: len(part.logits) for kind, part in windows.items()}, "measures": measures}


def species_metrics(
    split: SplitPredictions, resamples: Resamples, labels: list[str], settings: EvaluationSettings
) -> dict[str, Any]:
    """Return the metrics of the detections of each species, per recording and per window, with intervals."""
    out: dict[str, Any] = {name: {"by_recording": {}, "by_window": {}} for name in labels}
    for level, items in (("by_recording", split.recordings), ("by_window", split.windows)):
        weighting, detected = Weighting.of(resamples, items), items.detected & items.known
        # Items that enter the metric of a species.
        relevant = {
            "detection_precision": detected,
            "detection_recall": items.present,
            "detection_f1": detected | items.present,
        }
        for metric, function in _DETECTION_METRICS.items():
            values = function(detected, items.present, weighting)
            for i, name in enumerate(labels):
                groups = weighting.count_groups(relevant[metric][:, i])
                out[name][level][metric] = species_interval(values[:, i], resamples, settings, groups)
    return out


def species_table(
    split: SplitPredictions,
    resamples: Resamples,
    labels: list[str],
    by_species: dict[str, Any],
    thresholds: dict[str, dict[str, Any]],
    alarms: FalseAlarms,
    settings: EvaluationSettings,
) -> pd.DataFrame:
    """Return one row per species with its counts and metrics.

    Args:
        split: predictions for the test split.
        resamples: resamples of its groups.
        labels: species in the order of the probabilities.
        by_species: metrics of the detections, from `species_metrics`.
        thresholds: threshold of each species and how it was chosen, from `calibration.json`.
        alarms: false alarms of the split.
        settings: confidence level.

    Returns:
        Columns: species; numbers of recordings and groups that contain it; F1 of the most probable species; average precision and
        AUROC; threshold, its interval, and whether it was chosen on windows of the species and reaches the wanted precision; false
        alarms per hour; and metrics of the detections. F1, average precision and AUROC are per recording.
    """
    items = split.recordings
    predicted, truth, single = predicted_and_true(items)
    single_weighting = Weighting.of(resamples, items).subset(single)
    f1 = f1_by_species(predicted, truth, single_weighting)
    if len(labels) < 2:  # a single species is always the most probable one
        f1 = np.full_like(f1, np.nan)
    estimate_only = Weighting(resamples.weights[:1], resamples.group_of_recording[items.recording])
    ranked = (items.probabilities, items.present, items.known, estimate_only)
    average_precision, auroc = average_precision_by_species(*ranked)[0], auroc_by_species(*ranked)[0]
    weighting = Weighting.of(resamples, items)
    rows = []
    for i, name in enumerate(labels):
        present = items.present[:, i]
        row = {
            "species": name,
            "test_recordings": int(present.sum()),
            "test_groups": weighting.count_groups(present),
        }
        groups = single_weighting.count_groups(predicted[:, i] | truth[:, i])
        row |= interval_columns("f1", species_interval(f1[:, i], resamples, settings, groups))
        row |= {"average_precision": average_precision[i], "auroc": auroc[i]}
        threshold = thresholds[name]
        row |= {
            f"threshold{end}": threshold[key] for end, key in (("", "threshold"), ("_low", "low"), ("_high", "high"))
        }
        row |= {"threshold_chosen": threshold["chosen"], "precision_reached": threshold["reached"]}
        row |= interval_columns("false_alarms_per_hour", interval_json(alarms.rate(settings.confidence, i)))
        for level in ("by_recording", "by_window"):
            for metric, interval in by_species[name][level].items():
                row |= interval_columns(f"{metric}_{level}", interval)
        rows.append(row)
    return pd.DataFrame(rows).round(4)


def interval_columns(name: str, interval: IntervalJson) -> dict[str, float | None]:
    """Return an interval as the columns `name`, `name`_low and `name`_high of a table."""
    values = interval or dict.fromkeys(("value", "low", "high"))
    return {name: values["value"], f"{name}_low": values["low"], f"{name}_high": values["high"]}


def metrics_table(metrics: dict[str, Any]) -> pd.DataFrame:
    """Return the metrics as a table with one row per metric: split, level, metric, value, low, high."""
    rows = [
        {"split": split, "level": level.removeprefix("by_"), "metric": name, **interval}
        for split in ("validation", "test")
        for level in ("by_recording", "by_window")
        for name, interval in metrics[split][level].items()
        if interval
    ]
    for split in ("validation", "test"):
        if interval := metrics[split]["negatives"]["per_hour"]:
            rows.append({"split": split, "level": "negatives", "metric": "false_alarms_per_hour", **interval})
    return pd.DataFrame(rows).round(4)


def calibration_errors(before: SplitPredictions, after: SplitPredictions) -> dict[str, float | None]:
    """Return the expected calibration error before and after calibration; None if there are no windows to measure it.

    Args:
        before: predictions with the probabilities of the network.
        after: the same with calibrated probabilities.
    """
    windows = {"as_trained": calibrated_windows(before), "calibrated": calibrated_windows(after)}
    return {
        name: round(expected_calibration_error(items, weights), 6) if len(items) else None
        for name, (items, weights) in windows.items()
    }


def read_calibration(path: Path) -> tuple[str, Calibration]:
    """Return the name of the released variant and its calibration from the file that stage `compare` wrote."""
    content = read_json(path)
    return content["variant"], Calibration.from_json(content)


def main(argv: Sequence[str] | None = None) -> None:
    """Run the stage from the command line."""
    p = parser(__doc__)
    p.add_argument("--predictions", type=Path, required=True, help="logits of the released variant")
    p.add_argument("--calibration", type=Path, required=True, help="calibration of the released variant")
    p.add_argument("--labels", type=Path, required=True)
    outputs = ("metrics", "table", "species", "confusion", "species-figure", "reliability")
    for name in outputs:
        p.add_argument(f"--{name}", type=Path, required=True)
    args = p.parse_args(argv)
    settings = settings_of(EvaluationSettings, args.settings)
    with stage("evaluate", args, [getattr(args, name.replace("-", "_")) for name in outputs]):
        table, labels = read_table(args.predictions), read_json(args.labels)
        variant, calibration = read_calibration(args.calibration)
        uncalibrated = Calibration.none(calibration.outputs, len(labels), calibration.aggregation)
        splits = {name: predictions_of_split(table, labels, name, calibration) for name in ("validation", "test")}

        metrics: dict[str, Any] = {
            "variant": variant,
            "confidence": settings.confidence,
            "resamples": settings.resamples,
            "aggregation": calibration.aggregation,
            "smoothing": calibration.smoothing,
            "outputs": calibration.outputs,
            "unknown_score": (read_json(args.calibration).get("unknown_score") or {}).get("measure"),
            "species": len(labels),
        }
        resamples = {name: split.resamples(settings.resamples, settings.seed) for name, split in splits.items()}
        as_trained = {name: predictions_of_split(table, labels, name, uncalibrated) for name in splits}
        alarms = {name: false_alarms(split, WindowSound.of(table, name)) for name, split in splits.items()}
        for name, split in splits.items():
            metrics[name] = split_metrics(split, resamples[name], settings)
            metrics[name]["negatives"] = negatives_json(alarms[name], settings.confidence)
            metrics[name]["unknown_species"] = unknown_species_json(table, labels, calibration, name, settings)
            metrics[name]["expected_calibration_error"] = calibration_errors(as_trained[name], split)
            for level in ("by_recording", "by_window"):
                log.info("%s %s: %s", name, level, metrics[name][level])
        detections = species_metrics(splits["test"], resamples["test"], labels, settings)
        metrics["test"]["by_species"] = detections
        write_json(args.metrics, metrics)
        write_csv(args.table, metrics_table(metrics))
        thresholds = read_json(args.calibration)["thresholds"]
        per_species = species_table(
            splits["test"], resamples["test"], labels, detections, thresholds, alarms["test"], settings
        )
        write_csv(args.species, per_species)

        confusion_figure(args.confusion, splits["test"].recordings, labels)
        species_figure(args.species_figure, per_species, settings.confidence)
        reliability_figure(args.reliability, as_trained["test"], splits["test"])


if __name__ == "__main__":
    run(main)
