"""Stage `compare`: all variants on the same recordings, and which of them is released with which calibration."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from autobird.core.files import read_json, write_json
from autobird.core.stage import log, parser, run, settings_of, stage
from autobird.core.tables import read_table, write_csv, write_table
from autobird.evaluation.bootstrap import bounded_interval, difference_interval
from autobird.evaluation.calibration import calibrate
from autobird.evaluation.metrics import Weighting, detection_macro_f1, macro_f1
from autobird.evaluation.predictions import PREDICTIONS, predictions_of_split
from autobird.predict.answers import Calibration
from autobird.release.gate import Candidate, choose
from autobird.release.onnx_files import multiply_adds
from autobird.release.score import SPLITS
from autobird.release.settings import CompareSettings


def bits_of(name: str) -> int:
    """Bit width of a variant's products."""
    return 8 if "int8" in name else 32


def compare_split(
    tables: dict[str, pd.DataFrame],
    calibrations: dict[str, Calibration],
    labels: list[str],
    name: str,
    settings: CompareSettings,
) -> list[dict[str, Any]]:
    """One row a variant: macro-F1 by recording, paired difference to float, agreement by window, detections."""
    splits = {variant: predictions_of_split(t, labels, name, calibrations[variant]) for variant, t in tables.items()}
    draws = splits["float"].resamples(settings.resamples, settings.seed)
    weighting = Weighting.of(draws, splits["float"].recordings)
    f1s = {variant: macro_f1(s.recordings, weighting) for variant, s in splits.items()}
    guess = {variant: s.windows.probabilities.argmax(axis=1) for variant, s in splits.items()}
    rows: list[dict[str, Any]] = []
    for variant, split in splits.items():
        f1, detection = f1s[variant], detection_macro_f1(split.recordings, weighting)
        row: dict[str, Any] = {
            "variant": variant,
            "split": name,
            "recordings": int((split.recordings.single_species >= 0).sum()),
            "groups": f1.groups,
        }
        # Paired: the same resamples of the same groups on both sides. Float does not differ from itself.
        difference = difference_interval(f1.values - f1s["float"].values, draws, settings.confidence)
        if variant == "float" and difference is not None:
            difference = (0.0, 0.0, 0.0)
        for key, found in (
            ("macro_f1", bounded_interval(f1.values, draws, settings.confidence, f1.groups)),
            ("difference", difference),
            ("detection_macro_f1", bounded_interval(detection.values, draws, settings.confidence, detection.groups)),
        ):
            row |= zip((key, f"{key}_low", f"{key}_high"), found or (np.nan,) * 3, strict=True)
        row["agreement"] = float((guess[variant] == guess["float"]).mean())
        rows.append(row)
    return rows


def candidate(row: dict[str, Any], cost: tuple[int, int, int]) -> Candidate:
    """A row about validation as the gate sees it."""
    loss, low, high = (
        None if np.isnan(v) else round(0.0 - v, 9) for v in (row[f"difference{e}"] for e in ("", "_high", "_low"))
    )
    return Candidate(row["variant"], loss, low, high, row["agreement"], *cost)


def calibration_json(variant: str, labels: list[str], found: Calibration, chosen: list[bool]) -> dict[str, Any]:
    """The calibration of the released variant as JSON."""
    thresholds = zip(labels, found.thresholds, chosen, strict=True)
    return {
        "variant": variant,
        "temperature": found.temperature,
        "aggregation": found.aggregation,
        "thresholds": {name: {"threshold": float(t), "chosen": enough} for name, t, enough in thresholds},
    }


def main(argv: Sequence[str] | None = None) -> None:
    """Command line of the stage."""
    p = parser(__doc__)
    p.add_argument("--variants", type=Path, nargs="+", required=True, help="ONNX files; float.onnx among them")
    p.add_argument("--scores", type=Path, nargs="+", required=True, help="their logits, in the same order")
    p.add_argument("--labels", type=Path, required=True)
    p.add_argument("--comparison", type=Path, required=True)
    p.add_argument("--released", type=Path, required=True)
    p.add_argument("--predictions", type=Path, required=True, help="logits of the released variant")
    p.add_argument("--calibration", type=Path, required=True, help="of the released variant")
    args = p.parse_args(argv)
    settings = settings_of(CompareSettings, args.settings)
    with stage("compare", args, [args.comparison, args.released, args.predictions, args.calibration]):
        labels: list[str] = read_json(args.labels)
        tables = {v.stem: read_table(s) for v, s in zip(args.variants, args.scores, strict=True)}
        found = {name: calibrate(t, labels, settings.aggregation) for name, t in tables.items()}
        calibrations = {name: calibration for name, (calibration, _) in found.items()}

        rows = [row for split in SPLITS for row in compare_split(tables, calibrations, labels, split, settings)]
        cost = {v.stem: (multiply_adds(v), bits_of(v.stem), v.stat().st_size) for v in args.variants}
        validation = [r for r in rows if r["split"] == "validation"]
        candidates = [candidate(r, cost[r["variant"]]) for r in validation]
        choice = choose(candidates, validation[0]["recordings"], validation[0]["groups"], settings)
        table = pd.DataFrame(rows).round(6)
        for i, column in enumerate(("multiply_adds", "bits", "bytes")):
            table[column] = [cost[name][i] for name in table["variant"]]
        table["released"] = table["variant"] == choice.released
        write_csv(args.comparison, table)
        write_json(args.released, dataclasses.asdict(choice))
        write_table(args.predictions, tables[choice.released], PREDICTIONS)
        write_json(args.calibration, calibration_json(choice.released, labels, *found[choice.released]))
        log.info("released: %s", choice.reason)


if __name__ == "__main__":
    run(main)
