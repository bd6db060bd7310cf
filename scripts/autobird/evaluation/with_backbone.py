"""Stage `with_backbone`: compare the released model with the backbone's own species list, on the same test recordings."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import expit

from autobird.audio.settings import WindowSettings
from autobird.backbone.known import BackboneKey
from autobird.backbone.load import load_described
from autobird.core.errors import AutobirdError
from autobird.core.files import write_json
from autobird.core.memory_maps import memory_maps
from autobird.core.stage import log, parser, run, settings_of, stage
from autobird.core.tables import read_table, read_text_csv, write_csv
from autobird.dataset.backbone_labels import match_labels
from autobird.dataset.heard import HEARD, UNHEARD, UNKNOWN, mark_heard
from autobird.evaluation.bootstrap import bounded_interval, difference_interval
from autobird.evaluation.interval_json import interval_json
from autobird.evaluation.metrics import Weighting, all_metrics
from autobird.evaluation.pooling import first_seed_sentence
from autobird.evaluation.possibly_heard import MIN_RECORDINGS, last_heard
from autobird.evaluation.predictions import SplitPredictions
from autobird.evaluation.settings import WithBackboneSettings
from autobird.evaluation.tested import read_test_predictions, subset_recordings
from autobird.evaluation.with_backbone_text import answer, summary

Floats = NDArray[np.float64]

THRESHOLD = 0.25
"""Confidence from which the backbone detects a species: the default of `--min_conf` in BirdNET-Analyzer."""

MIN_SPECIES = 2
"""Fewest species that both know for a comparison on these alone: of one species, the most probable one is always right."""

METRICS = ("macro_f1", "top1", "detection_macro_f1", "detection_precision", "detection_recall", "cmap")
"""Metrics of `all_metrics`, per recording, that are compared."""


def backbone_predictions(
    split: SplitPredictions, confidences: NDArray[np.floating], columns: Sequence[int]
) -> SplitPredictions:
    """Return the predictions of the backbone for the recordings of a split.

    The confidence of a species in a recording is the largest of its windows, and 0 for species that the backbone does not know.
    Unlike probabilities, confidences do not sum to 1.

    Args:
        split: predictions of the model; their windows and recordings are used.
        confidences: of the windows, in their order; shape (windows, known species).
        columns: position of each known species among the species of the model.
    """
    recordings = split.recordings
    best = np.zeros(recordings.probabilities.shape)
    known = np.zeros((len(split.names), len(columns)))
    np.maximum.at(known, split.windows.recording, confidences)
    best[:, list(columns)] = known
    return replace(split, recordings=replace(recordings, probabilities=best, detected=best >= THRESHOLD))


@dataclass(frozen=True)
class _Pair:
    """Predictions of the model and of the backbone for the same recordings."""

    model: SplitPredictions
    backbone: SplitPredictions

    def subset(self, recordings: NDArray[np.bool_], columns: NDArray[np.intp] | None = None) -> "_Pair":
        """Return some recordings, and if `columns` is given, with these species alone."""
        return _Pair(*(subset_recordings(split, recordings, columns) for split in (self.model, self.backbone)))


def compare(pair: _Pair, settings: WithBackboneSettings) -> dict[str, Any]:
    """Return metrics of both, per recording, and their paired differences (model minus backbone), with intervals.

    There may be no recordings; the metrics are then not defined.
    """
    resamples = pair.model.resamples(settings.resamples, settings.seed)
    weighting = Weighting.of(resamples, pair.model.recordings)
    model, backbone = (all_metrics(split.recordings, weighting) for split in (pair.model, pair.backbone))
    items = pair.model.recordings
    return {
        "recordings": len(pair.model.names),
        "recordings_of_one_species": int((items.only_species >= 0).sum()),
        "groups": pair.model.groups,
        "species": int(items.present.any(axis=0).sum()),
        "metrics": {
            name: {
                "model": interval_json(
                    bounded_interval(model[name].values, resamples, settings.confidence, model[name].groups)
                ),
                "backbone": interval_json(
                    bounded_interval(backbone[name].values, resamples, settings.confidence, backbone[name].groups)
                ),
                "difference": interval_json(
                    difference_interval(model[name].values - backbone[name].values, resamples, settings.confidence)
                    if pair.model.names
                    else None
                ),
            }
            for name in METRICS
        },
    }


def with_backbone(
    model: SplitPredictions,
    backbone: SplitPredictions,
    labels: Sequence[str],
    matched: dict[str, str],
    marks: pd.DataFrame,
    exact: bool,
    settings: WithBackboneSettings,
    folds: int = 1,
) -> dict[str, Any]:
    """Return the content of `with_backbone.json`.

    Args:
        model: predictions of the released model for the test recordings.
        backbone: predictions of the backbone for the same recordings.
        labels: species of the model.
        matched: label of the backbone for each species that it knows.
        marks: result of `mark_heard` for the test recordings, in the order of the predictions.
        exact: whether the windows of the run are not longer than those of the backbone, so that each has one embedding.
        settings: name of the backbone, bootstrap and confidence level.
        folds: number of folds of a cross-validation that the predictions are from; 1: those of one run.
    """
    pair = _Pair(model, backbone)
    known = np.array([i for i, name in enumerate(labels) if name in matched], np.intp)
    unknown = [name for name in labels if name not in matched]
    present = model.recordings.present[:, [i for i, name in enumerate(labels) if name in unknown]]
    only_known = np.asarray(~present.any(axis=1))
    unheard = (marks["heard"] == UNHEARD).to_numpy()
    scopes: dict[str, Any] = {
        "all": compare(pair, settings) if matched else None,
        "known_species": compare(pair.subset(only_known, known), settings)
        if len(known) >= MIN_SPECIES and unknown and only_known.any()
        else None,
        "unheard": compare(pair.subset(unheard), settings) if matched and unheard.sum() >= MIN_RECORDINGS else None,
    }
    result = {
        "backbone": settings.name,
        "folds": folds,
        "recordings": len(model.names),
        "threshold": THRESHOLD,
        "confidence": settings.confidence,
        "species": matched,
        "unknown_species": unknown,
        "possibly_heard": int((marks["heard"] == HEARD).sum()),
        "unheard": int(unheard.sum()),
        "unknown": int((marks["heard"] == UNKNOWN).sum()),
        "min_recordings": MIN_RECORDINGS,
        "exact": exact,
        "scopes": scopes,
    }
    return result | {"answer": answer(result), "summary": summary(result)}


def comparison_table(result: dict[str, Any]) -> pd.DataFrame:
    """Return one row per scope and metric: the model, the backbone, and their difference, each with its interval."""
    rows = []
    for scope, content in result["scopes"].items():
        for metric, values in (content["metrics"] if content else {}).items():
            row = {"scope": scope, "recordings": content["recordings"], "groups": content["groups"], "metric": metric}
            for which, value in values.items():
                for end, key in (("", "value"), ("_low", "low"), ("_high", "high")):
                    row[f"{which}{end}"] = value[key] if value else None
            rows.append(row)
    return pd.DataFrame(rows).round(4)


def read_windows(
    windows: pd.DataFrame, indexes: Sequence[pd.DataFrame], embeddings: Sequence[Path]
) -> NDArray[np.float16]:
    """Return the embeddings of windows, in their order; shape (windows, width).

    Args:
        windows: columns recording, start, fold.
        indexes: the index (`INDEX`) of each fold.
        embeddings: arrays of all batches.
    """
    keys = ["recording", "start"]
    shards = memory_maps(embeddings)
    out = np.empty((len(windows), shards[0].shape[1]), np.float16)
    for fold, index in enumerate(indexes):
        of_fold = np.flatnonzero(windows["fold"] == fold)
        rows = windows.iloc[of_fold][keys].merge(
            index[[*keys, "shard", "row"]], on=keys, how="left", validate="one_to_one"
        )
        if rows["row"].isna().any():
            raise AutobirdError("the predictions hold windows that the index lacks; run snakemake again")
        for at, shard, row in zip(of_fold, rows["shard"].astype(int), rows["row"].astype(int), strict=True):
            out[at] = shards[shard][row]
    return out


def main(argv: Sequence[str] | None = None) -> None:
    """Run the stage from the command line."""
    p = parser(__doc__)
    p.add_argument("--windows", required=True, help="settings of the windows, as JSON")
    p.add_argument("--backbone", required=True, help="the backbone, as JSON (`BackboneKey`)")
    p.add_argument("--file", nargs="?", help="file of the backbone, if it is not found without it")
    p.add_argument("--embeddings", type=Path, nargs="+", required=True, help="embeddings of each batch")
    for name in ("predictions", "calibration", "labels", "index"):
        p.add_argument(f"--{name}", type=Path, nargs="+", required=True, help="of the run, or of each fold")
    for name in ("details", "output", "table"):
        p.add_argument(f"--{name}", type=Path, required=True)
    args = p.parse_args(argv)
    settings = settings_of(WithBackboneSettings, args.settings)
    key, windows = settings_of(BackboneKey, args.backbone), settings_of(WindowSettings, args.windows)
    with stage("with_backbone", args, [args.output, args.table]):
        tested = read_test_predictions(args.predictions, args.calibration, args.labels)
        labels, model = tested.labels, tested.split
        network = load_described(key.description(), args.file or None, key.sha256)
        positions = match_labels(labels, network.labels)
        embeddings = read_windows(tested.windows, [read_table(path) for path in args.index], args.embeddings)
        confidences = expit(network.logits(embeddings)[:, list(positions.values())].astype(np.float64))
        backbone = backbone_predictions(model, confidences, list(positions))
        marks = mark_heard(model.names, read_text_csv(args.details), last_heard(settings)[0])
        matched = {labels[n]: network.labels[i] for n, i in positions.items()}
        exact = windows.window <= key.window
        result = with_backbone(model, backbone, labels, matched, marks, exact, settings, len(args.index))
        result["summary"] += first_seed_sentence(len(args.predictions))
        write_json(args.output, result)
        write_csv(args.table, comparison_table(result))
        log.info("%s", result["summary"])


if __name__ == "__main__":
    run(main)
