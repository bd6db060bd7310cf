"""Stage `compare`: all variants on the same recordings, and which of them is released."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from autobird.core.files import read_json, write_json
from autobird.core.stage import log, parser, run, settings_of, stage
from autobird.core.tables import read_table, write_csv, write_table
from autobird.evaluation.bootstrap import interval, recording_weights
from autobird.evaluation.metrics import f1_by_species, macro
from autobird.evaluation.predictions import Predictions, by_recording, by_window
from autobird.model.data import Windows
from autobird.model.score import PREDICTIONS
from autobird.release.gate import Candidate, choose
from autobird.release.onnx_files import logits, multiply_adds
from autobird.release.settings import CompareSettings

SPLITS = ("validation", "test")


def bits_of(name: str) -> int:
    """Bit width of a variant's products."""
    return 8 if "int8" in name else 32


def compare_split(
    tables: dict[str, pd.DataFrame], labels: list[str], split: str, settings: CompareSettings
) -> list[dict[str, object]]:
    """One row a variant: macro-F1 by recording, paired difference to float, agreement by window."""
    windows: dict[str, Predictions] = {name: by_window(t, labels, split) for name, t in tables.items()}
    recordings = {name: by_recording(w, settings.aggregation) for name, w in windows.items()}
    truth = recordings["float"].truth
    weights = recording_weights(truth, settings.resamples, settings.seed)
    f1 = {name: macro(f1_by_species(r.probabilities, truth, weights)) for name, r in recordings.items()}
    rows: list[dict[str, object]] = []
    for name, values in f1.items():
        value, low, high = interval(values, settings.confidence) or (np.nan,) * 3
        # Paired: the same resamples of the same recordings on both sides.
        change, change_low, change_high = interval(values - f1["float"], settings.confidence) or (np.nan,) * 3
        same = windows[name].probabilities.argmax(axis=1) == windows["float"].probabilities.argmax(axis=1)
        rows.append(
            {
                "variant": name,
                "split": split,
                "recordings": len(truth),
                "macro_f1": value,
                "macro_f1_low": low,
                "macro_f1_high": high,
                "difference": change,
                "difference_low": change_low,
                "difference_high": change_high,
                "agreement": float(same.mean()),
            }
        )
    return rows


def main(argv: Sequence[str] | None = None) -> None:
    """Command line of the stage."""
    p = parser(__doc__)
    p.add_argument("--variants", type=Path, nargs="+", required=True, help="ONNX files; float.onnx among them")
    p.add_argument("--model", type=Path, required=True)
    p.add_argument("--index", type=Path, required=True)
    p.add_argument("--shards", type=Path, nargs="+", required=True)
    p.add_argument("--comparison", type=Path, required=True)
    p.add_argument("--released", type=Path, required=True)
    p.add_argument("--predictions", type=Path, required=True, help="those of the released variant")
    args = p.parse_args(argv)
    settings = settings_of(CompareSettings, args.settings)
    with stage("compare", args, [args.comparison, args.released, args.predictions]):
        model = read_json(args.model)
        labels: list[str] = model["labels"]
        index = read_table(args.index)
        index = index[(index["dropped"] == "") & index["split"].isin(SPLITS)].reset_index(drop=True)
        windows = Windows.of(index, labels, args.shards, model["frames"])
        base = index[["recording", "start", "species", "split"]]
        tables = {v.stem: base.assign(logits=list(logits(v, windows))) for v in args.variants}

        rows = [row for split in SPLITS for row in compare_split(tables, labels, split, settings)]
        cost = {v.stem: (multiply_adds(v), bits_of(v.stem), v.stat().st_size) for v in args.variants}
        on_validation = {str(r["variant"]): r for r in rows if r["split"] == "validation"}
        candidates = [
            Candidate(name, -float(str(r["difference"])), float(str(r["agreement"])), *cost[name])
            for name, r in on_validation.items()
        ]
        choice = choose(candidates, int(str(on_validation["float"]["recordings"])), settings)
        table = pd.DataFrame(rows).round(6)
        for i, column in enumerate(("multiply_adds", "bits", "bytes")):
            table[column] = [cost[name][i] for name in table["variant"]]
        table["released"] = table["variant"] == choice.released
        write_csv(args.comparison, table)
        write_json(args.released, dataclasses.asdict(choice))
        write_table(args.predictions, tables[choice.released], PREDICTIONS)
        log.info("released: %s", choice.reason)


if __name__ == "__main__":
    run(main)
