"""Stage `compare`: evaluate all variants on the same recordings, and select the one to release."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from autobird.backbone.cost import BackboneCost
from autobird.core.decimals import three_digits
from autobird.core.files import read_json, write_json, write_stream
from autobird.core.stage import log, parser, run, settings_of, stage
from autobird.core.tables import read_table, write_csv
from autobird.evaluation.bootstrap import bounded_interval, difference_interval
from autobird.evaluation.calibration import FittedCalibration, calibrate, precision_thresholds
from autobird.evaluation.false_alarms import WindowSound, false_alarm_ratio, false_alarms
from autobird.evaluation.interval_json import interval_json
from autobird.evaluation.metrics import Weighting, detection_macro_f1, detection_recall, macro_f1
from autobird.evaluation.predictions import predictions_of_split
from autobird.evaluation.unknown_species import choose_score
from autobird.predict.classification import Calibration, outputs_of
from autobird.predict.unknown import UnknownScore
from autobird.release.gate import Bounds, Candidate, select_variant
from autobird.release.onnx_files import multiply_adds
from autobird.release.references import SCRATCH, aligned, gains, not_released, refusals
from autobird.release.score import SPLITS
from autobird.release.settings import CompareSettings


def bits_of(name: str) -> int:
    """Return the width of the numbers that a variant multiplies, bits."""
    return 8 if "int8" in name else 32


@dataclass(frozen=True)
class Scored:
    """A variant: its logits (`PREDICTIONS`), and its calibration."""

    table: pd.DataFrame
    calibration: Calibration


def compare_variants(
    variants: Mapping[str, Scored], labels: list[str], name: str, settings: CompareSettings
) -> list[dict[str, Any]]:
    """Evaluate every variant on one split.

    Args:
        variants: by name; `float` is the one that the others are compared with.
        labels: species in the order of the logits.
        name: name of the split.
        settings: bootstrap and confidence level.

    Returns:
        one row per variant: macro-F1, macro-F1 of the detections and recall of the detections per recording, the paired differences in
        macro-F1 and recall from the float32 model, false alarms per hour and their ratio to those of the float32 model, all with their
        intervals, and the share of windows in which both detect the same set of species with the thresholds of the float32 model
        (`agreement`): thresholds of their own differ by chance.
    """
    splits = {n: predictions_of_split(v.table, labels, name, v.calibration) for n, v in variants.items()}
    alarms = {n: false_alarms(split, WindowSound.of(variants[n].table, name)) for n, split in splits.items()}
    reference = splits["float"]
    draws = reference.resamples(settings.resamples, settings.seed)
    weighting = Weighting.of(draws, reference.recordings)
    metrics = {
        n: {
            "macro_f1": macro_f1(s.recordings, weighting),
            "detection_recall": detection_recall(s.recordings, weighting),
        }
        for n, s in splits.items()
    }
    rows: list[dict[str, Any]] = []
    for variant, split in splits.items():
        own = metrics[variant]
        detection = detection_macro_f1(split.recordings, weighting)
        differences = {}
        for key in own:
            # Paired comparison: both variants use the same resamples of the same groups. The float32 model does not differ
            # from itself, so its interval is exactly zero.
            values = own[key].values - metrics["float"][key].values
            found = difference_interval(values, draws, settings.confidence)
            differences[key] = (0.0, 0.0, 0.0) if variant == "float" and found is not None else found
        f1, recall = own["macro_f1"], own["detection_recall"]
        row: dict[str, Any] = {
            "variant": variant,
            "split": name,
            "recordings": int((split.recordings.only_species >= 0).sum()),
            "groups": f1.groups,
        }
        for key, interval in (
            ("macro_f1", bounded_interval(f1.values, draws, settings.confidence, f1.groups)),
            ("difference", differences["macro_f1"]),
            ("detection_macro_f1", bounded_interval(detection.values, draws, settings.confidence, detection.groups)),
            ("detection_recall", bounded_interval(recall.values, draws, settings.confidence, recall.groups)),
            ("recall_difference", differences["detection_recall"]),
            ("false_alarms_per_hour", alarms[variant].rate(settings.confidence)),
            ("false_alarm_ratio", false_alarm_ratio(alarms[variant], alarms["float"], settings)),
        ):
            row |= zip((key, f"{key}_low", f"{key}_high"), interval or (np.nan,) * 3, strict=True)
        detected = split.windows.probabilities >= variants["float"].calibration.thresholds
        row["agreement"] = float((detected == reference.windows.detected).all(axis=1).mean())
        rows.append(row)
    return rows


def candidate(row: dict[str, Any], cost: tuple[int, int, int], backbone: BackboneCost | None = None) -> Candidate:
    """Return the input of the release gate from a row about the validation split.

    Args:
        row: row of `compare_variants`.
        cost: multiply-adds per window without a backbone, bit width, and size of the file in bytes.
        backbone: cost of the backbone; None: the model needs none.
    """

    def loss(key: str) -> Bounds | None:
        # A loss is a negative difference, so the ends of the interval swap.
        ends = [row[f"{key}{end}"] for end in ("", "_high", "_low")]
        return None if np.isnan(ends).any() else Bounds(*(round(0.0 - v, 9) for v in ends))

    ratio = [row[f"false_alarm_ratio{end}"] for end in ("", "_low", "_high")]
    return Candidate(
        row["variant"],
        loss("difference"),
        loss("recall_difference"),
        None if np.isnan(ratio).any() else Bounds(*ratio),
        row["agreement"],
        *cost,
        backbone,
    )


def cost_columns(
    variants: Sequence[str], costs: Mapping[str, tuple[int, int, int]], backbones: Mapping[str, BackboneCost | None]
) -> pd.DataFrame:
    """Return the columns of the comparison about cost, one row for each of `variants`.

    `multiply_adds` includes the backbone, and is missing if those of the backbone cannot be counted; `bytes` is the size of the variant's
    own file. `backbone_multiply_adds` and `backbone_bytes` are 0 for a model without a backbone, and left out if no model has one.

    Args:
        variants: names of the variants.
        costs: `cost` of `candidate` by name.
        backbones: `backbone` of `candidate` by name.
    """
    table = pd.DataFrame([costs[name] for name in variants], columns=["multiply_adds", "bits", "bytes"])
    if not any(backbones.values()):
        return table
    used = [backbones[name] for name in variants]
    added = pd.array([b.multiply_adds if b else 0 for b in used], dtype="Int64")
    table["multiply_adds"] += added
    table["backbone_multiply_adds"] = added
    table["backbone_bytes"] = [b.size if b else 0 for b in used]
    return table


def calibration_json(
    variant: str,
    labels: list[str],
    fitted: FittedCalibration,
    unknown: UnknownScore | None,
    settings: CompareSettings,
    by_precision: dict[str, list[float | None]],
) -> dict[str, Any]:
    """Return the calibration of a variant as the content of `calibration.json`.

    Args:
        variant: name of the variant.
        labels: species in the order of the thresholds.
        fitted: the calibration, and how its thresholds were chosen.
        unknown: the score of windows that hold none of the species.
        settings: what the thresholds were chosen for.
        by_precision: thresholds for other precisions (`precision_thresholds`).
    """
    calibration = fitted.calibration
    ends = (None if np.isnan(v) else float(v) for v in np.stack([fitted.low, fitted.high], axis=1).ravel())
    return {
        "variant": variant,
        "outputs": calibration.outputs,
        "aggregation": calibration.aggregation,
        "smoothing": calibration.smoothing,
        "precision": settings.precision,
        "false_alarms": {
            "wanted_per_hour": settings.false_alarms_per_hour,
            "per_hour": interval_json(fitted.false_alarms),
            "reached": fitted.false_alarms_reached,
        },
        "unknown_score": unknown and unknown.json(),
        "precision_thresholds": by_precision,
        "thresholds": {
            name: {
                "threshold": float(calibration.thresholds[i]),
                "low": next(ends),
                "high": next(ends),
                "chosen": bool(fitted.chosen[i]),
                "reached": bool(fitted.reached[i]),
                "scale": float(calibration.scale[i]),
                "offset": float(calibration.offset[i]),
            }
            for i, name in enumerate(labels)
        },
    }


def report_thresholds(labels: list[str], fitted: FittedCalibration, settings: CompareSettings) -> None:
    """Log which species have no threshold of their own, and what the thresholds do not reach."""
    pooled = [name for name, chosen in zip(labels, fitted.chosen, strict=True) if not chosen]
    if pooled:
        log.info("threshold of all species together, for lack of validation windows: %s", ", ".join(pooled))
    missed = [name for name, reached in zip(labels, fitted.reached, strict=True) if not reached]
    if missed:
        log.warning("precision %g cannot be reached on validation for %s", settings.precision, ", ".join(missed))
    if fitted.false_alarms is None:
        log.warning(
            "false alarms are not measured on validation: no recording of it is known to hold none of the species; add negative recordings"
        )
    if fitted.false_alarms_reached is False:
        wanted, found = settings.false_alarms_per_hour, fitted.false_alarms
        log.warning(
            "%g false alarms per hour cannot be reached on validation (%s)",
            wanted,
            "no sound without species" if found is None else f"{three_digits(found[0])} per hour",
        )


def _backbone_cost(model: dict[str, Any]) -> BackboneCost | None:
    """Return the cost of the backbone that `model.json` records; None for a model without a backbone."""
    return BackboneCost.model_validate(model["backbone_cost"]) if "backbone_cost" in model else None


def main(argv: Sequence[str] | None = None) -> None:
    """Run the stage from the command line."""
    p = parser(__doc__)
    p.add_argument("--variants", type=Path, nargs="+", required=True, help="ONNX files, including float.onnx")
    p.add_argument("--scores", type=Path, nargs="+", required=True, help="logits of the variants, in the same order")
    p.add_argument("--labels", type=Path, required=True)
    p.add_argument(
        "--references",
        type=Path,
        nargs="*",
        default=[],
        help="logits of a student's teacher and of the network without one",
    )
    p.add_argument("--reference-graphs", type=Path, nargs="*", default=[], help="their ONNX files, in the same order")
    p.add_argument("--model", type=Path, required=True, help="model.json of the variants")
    p.add_argument("--reference-models", type=Path, nargs="*", default=[], help="model.json of the references")
    p.add_argument("--comparison", type=Path, required=True)
    p.add_argument("--released", type=Path, required=True)
    p.add_argument("--predictions", type=Path, required=True, help="logits of the released variant")
    p.add_argument("--calibration", type=Path, required=True, help="calibration of the released variant")
    args = p.parse_args(argv)
    settings = settings_of(CompareSettings, args.settings)
    with stage("compare", args, [args.comparison, args.released, args.predictions, args.calibration]):
        labels: list[str] = read_json(args.labels)
        scores = {v.stem: s for v, s in zip(args.variants, args.scores, strict=True)}
        variants = {name: read_table(path) for name, path in scores.items()}
        # The folder of a member ends with its name: members/teacher/release/scores/float.parquet
        references = {s.parents[2].name: aligned(read_table(s), variants["float"]) for s in args.references}
        tables = variants | references
        files = dict(zip([*variants, *references], [*args.variants, *args.reference_graphs], strict=True))
        own = read_json(args.model)
        models = dict(zip(files, [*[own] * len(variants), *map(read_json, args.reference_models)], strict=True))
        fitted = {n: calibrate(t, labels, outputs_of(models[n]), settings) for n, t in tables.items()}
        scored = {n: Scored(t, fitted[n].calibration) for n, t in tables.items()}

        rows = [row for split in SPLITS for row in compare_variants(scored, labels, split, settings)]
        cost = {name: (multiply_adds(v), bits_of(name), v.stat().st_size) for name, v in files.items()}
        backbones = {name: _backbone_cost(models[name]) for name in files}
        validation = [r for r in rows if r["split"] == "validation" and r["variant"] in variants]
        candidates = [candidate(r, cost[r["variant"]], backbones[r["variant"]]) for r in validation]
        recordings, groups = validation[0]["recordings"], validation[0]["groups"]
        refused = {}
        if SCRATCH in references:
            compared = variants | {SCRATCH: references[SCRATCH]}
            calibrations = {name: fitted[name].calibration for name in compared}
            refused = refusals(gains(compared, calibrations, labels, settings), settings.min_gain)
        decision = select_variant(candidates, recordings, groups, settings, refused)
        if len(refused) == len(variants):
            reason = not_released(refused, recordings, groups, settings.min_gain)
            decision = dataclasses.replace(decision, not_released=reason)
        table = pd.DataFrame(rows).round(6)
        table = pd.concat([table, cost_columns(table["variant"].tolist(), cost, backbones)], axis=1)
        table["released"] = (table["variant"] == decision.released) & (not decision.not_released)
        write_csv(args.comparison, table)
        write_json(args.released, dataclasses.asdict(decision))
        with scores[decision.released].open("rb") as file:
            write_stream(args.predictions, file)
        chosen = fitted[decision.released]
        unknown = choose_score(tables[decision.released], labels, chosen.calibration)
        by_precision = precision_thresholds(tables[decision.released], labels, chosen.calibration, settings)
        content = calibration_json(decision.released, labels, chosen, unknown, settings, by_precision)
        write_json(args.calibration, content)
        report_thresholds(labels, chosen, settings)
        if decision.not_released:
            log.warning("%s", decision.not_released)
        else:
            log.info("released: %s", decision.reason)


if __name__ == "__main__":
    run(main)
