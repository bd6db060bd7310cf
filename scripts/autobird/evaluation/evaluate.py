"""Stage `evaluate`: how good the answers of the released variant are on recordings that it never heard, with intervals."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from autobird.core.files import read_json, write_json
from autobird.core.stage import log, parser, run, settings_of, stage
from autobird.core.tables import read_table, write_csv
from autobird.evaluation.bootstrap import Interval, Resamples, positive_interval, share_interval
from autobird.evaluation.calibration import expected_calibration_error
from autobird.evaluation.figures import confusion_figure, reliability_figure, species_figure
from autobird.evaluation.metrics import (
    Metric,
    Weighting,
    all_metrics,
    auroc_by_species,
    average_precision_by_species,
    f1_by_species,
    most_probable,
    precision_by_species,
    recall_by_species,
)
from autobird.evaluation.predictions import Items, Split, split_of
from autobird.evaluation.settings import EvaluationSettings
from autobird.predict.classification import Calibration

Floats = NDArray[np.float64]
Cell = dict[str, float | None] | None
"""A value with its bounds as JSON: `value`, `low`, `high`."""

DETECTION: dict[str, Callable[..., Floats]] = {
    "detection_precision": precision_by_species,
    "detection_recall": recall_by_species,
    "detection_f1": f1_by_species,
}
"""What is said of each species' detections."""


def as_json(found: Interval | None) -> Cell:
    """A value with its interval for JSON; None where it is not defined, and bounds of None where they are not known."""
    if found is None:
        return None
    numbers = (None if np.isnan(v) else round(v, 6) for v in found)
    return dict(zip(("value", "low", "high"), numbers, strict=True))


def metric_interval(name: str, metric: Metric, draws: Resamples, confidence: float) -> Cell:
    """The interval of a metric of `all_metrics`."""
    if name == "loss":
        return as_json(positive_interval(metric.values, draws, confidence))
    return as_json(share_interval(metric.values, draws, confidence, metric.groups))


def species_interval(values: Floats, draws: Resamples, settings: EvaluationSettings, groups: int) -> Cell:
    """The interval of a metric of one species, which is about so many groups."""
    return as_json(share_interval(values, draws, settings.confidence, groups, max(1.0, groups - 1.0)))


def split_metrics(split: Split, draws: Resamples, settings: EvaluationSettings) -> dict[str, Any]:
    """All metrics of a split by window and by recording, each with its interval over the same resamples of groups."""
    out: dict[str, Any] = {
        "recordings": len(split.names),
        "recordings_of_one_species": int((split.recordings.only >= 0).sum()),
        "recordings_with_known_species": int(split.recordings.complete.sum()),
        "groups": split.groups,
        "windows": len(split.windows.only),
        "windows_of_one_species": int((split.windows.only >= 0).sum()),
        "windows_with_known_species": int(split.windows.complete.sum()),
    }
    for name, items in (("by_recording", split.recordings), ("by_window", split.windows)):
        found = all_metrics(items, Weighting.of(draws, items))
        out[name] = {key: metric_interval(key, metric, draws, settings.confidence) for key, metric in found.items()}
    return out


def species_metrics(split: Split, draws: Resamples, labels: list[str], settings: EvaluationSettings) -> dict[str, Any]:
    """Of each species the metrics of its detections by recording and by window, with intervals."""
    out: dict[str, Any] = {name: {"by_recording": {}, "by_window": {}} for name in labels}
    for level, items in (("by_recording", split.recordings), ("by_window", split.windows)):
        known = items.where(items.complete)
        weighting = Weighting.of(draws, known)
        about = {
            "detection_precision": known.detected,
            "detection_recall": known.present,
            "detection_f1": known.detected | known.present,
        }
        for metric, function in DETECTION.items():
            values = function(known.detected, known.present, weighting)
            for i, name in enumerate(labels):
                groups = weighting.groups(about[metric][:, i])
                out[name][level][metric] = species_interval(values[:, i], draws, settings, groups)
    return out


def species_table(
    split: Split,
    draws: Resamples,
    labels: list[str],
    by_species: dict[str, Any],
    calibration: Calibration,
    settings: EvaluationSettings,
) -> pd.DataFrame:
    """One row a species: counts, ranking and most probable species by recording, and its detections."""
    items = split.recordings
    single, known = items.where(items.only >= 0), items.where(items.complete)
    guessed, truth = most_probable(single.probabilities), np.eye(len(labels), dtype=bool)[single.only]
    weighting = Weighting.of(draws, single)
    f1 = f1_by_species(guessed, truth, weighting)
    estimate = Weighting(draws.weights[:1], draws.group[known.recording])
    ap = average_precision_by_species(known.probabilities, known.present, estimate)[0]
    auroc = auroc_by_species(known.probabilities, known.present, estimate)[0]
    everywhere = Weighting.of(draws, items)
    rows = []
    for i, name in enumerate(labels):
        held = items.present[:, i]
        row = {
            "species": name,
            "test_recordings": int(held.sum()),
            "test_groups": everywhere.groups(held),
        }
        groups = weighting.groups(guessed[:, i] | truth[:, i])
        row |= _cells("f1", species_interval(f1[:, i], draws, settings, groups))
        row |= {"average_precision": ap[i], "auroc": auroc[i], "threshold": calibration.thresholds[i]}
        for level in ("by_recording", "by_window"):
            for metric, found in by_species[name][level].items():
                row |= _cells(f"{metric}_{level}", found)
        rows.append(row)
    return pd.DataFrame(rows).round(4)


def _cells(name: str, found: Cell) -> dict[str, float | None]:
    values = found or dict.fromkeys(("value", "low", "high"))
    return {name: values["value"], f"{name}_low": values["low"], f"{name}_high": values["high"]}


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


def calibration_errors(before: Items, after: Items) -> dict[str, float | None]:
    """Expected calibration error of windows of one species, before and after the temperature; None without windows."""
    return {
        name: round(expected_calibration_error(items), 6) if len(items.only) else None
        for name, items in (("as_trained", before), ("calibrated", after))
    }


def calibration_of(path: Path, labels: list[str]) -> tuple[str, Calibration]:
    """The released variant and its calibration, as stage `compare` wrote them."""
    found = read_json(path)
    values = np.array([found["thresholds"][name]["threshold"] for name in labels], np.float64)
    return found["variant"], Calibration(found["temperature"], values, found["aggregation"])


def main(argv: Sequence[str] | None = None) -> None:
    """Command line of the stage."""
    p = parser(__doc__)
    p.add_argument("--predictions", type=Path, required=True, help="logits of the released variant")
    p.add_argument("--calibration", type=Path, required=True, help="of the released variant")
    p.add_argument("--labels", type=Path, required=True)
    outputs = ("metrics", "table", "species", "confusion", "species-figure", "reliability")
    for name in outputs:
        p.add_argument(f"--{name}", type=Path, required=True)
    args = p.parse_args(argv)
    settings = settings_of(EvaluationSettings, args.settings)
    with stage("evaluate", args, [getattr(args, name.replace("-", "_")) for name in outputs]):
        table, labels = read_table(args.predictions), read_json(args.labels)
        variant, calibration = calibration_of(args.calibration, labels)
        plain = Calibration(1.0, calibration.thresholds, calibration.aggregation)
        splits = {name: split_of(table, labels, name, calibration) for name in ("validation", "test")}

        metrics: dict[str, Any] = {
            "variant": variant,
            "confidence": settings.confidence,
            "resamples": settings.resamples,
            "aggregation": calibration.aggregation,
            "temperature": calibration.temperature,
            "species": len(labels),
        }
        draws = {name: split.resamples(settings.resamples, settings.seed) for name, split in splits.items()}
        windows: dict[str, tuple[Items, Items]] = {}
        for name, split in splits.items():
            one = split.windows.only >= 0
            windows[name] = (split_of(table, labels, name, plain).windows.where(one), split.windows.where(one))
            metrics[name] = split_metrics(split, draws[name], settings)
            metrics[name]["expected_calibration_error"] = calibration_errors(*windows[name])
            for level in ("by_recording", "by_window"):
                log.info("%s %s: %s", name, level, metrics[name][level])
        detections = species_metrics(splits["test"], draws["test"], labels, settings)
        metrics["test"]["by_species"] = detections
        write_json(args.metrics, metrics)
        write_csv(args.table, metrics_table(metrics))
        by_species = species_table(splits["test"], draws["test"], labels, detections, calibration, settings)
        write_csv(args.species, by_species)

        confusion_figure(args.confusion, splits["test"].recordings, labels)
        species_figure(args.species_figure, by_species, settings.confidence)
        reliability_figure(args.reliability, *windows["test"])


if __name__ == "__main__":
    run(main)
