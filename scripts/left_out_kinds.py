"""Train on negatives of all kinds but one, and count the false alarms on that kind: the tables of docs/training-field.md.

Needs the data sets of the members that `snakemake crossval` makes, and the mel frames, of a corpus whose negatives lie in `esc10/<kind>`,
`loops` and `speech`:

    python scripts/left_out_kinds.py CONFIG.yaml --logits FOLDER                  # train what is missing
    python scripts/left_out_kinds.py CONFIG.yaml --logits FOLDER --part 0/2       # half of it, so that two programs can share the work
    python scripts/left_out_kinds.py CONFIG.yaml --logits FOLDER --table          # the scores of what has been trained

Each kind is left out with each seed of `SEEDS`, in turn on the folds: neither training nor calibration and thresholds have heard the kind.
Calibration and thresholds are the delivered ones (`autobird.evaluation.calibration`), fitted to the validation split.
"""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd
import yaml

from architecture_candidates import Candidate
from architecture_search import SPLITS, dataset_of, mel_settings, train
from autobird.config import Config, load_config
from autobird.core.tables import read_table, read_tables
from autobird.evaluation.bootstrap import Interval
from autobird.evaluation.calibration import calibrate
from autobird.evaluation.false_alarms import FalseAlarms, WindowSound, false_alarm_ratio, false_alarms, mean_of_seeds
from autobird.evaluation.metrics import Weighting, all_metrics
from autobird.evaluation.predictions import Items, SplitPredictions, predictions_of_split, with_sound
from autobird.evaluation.settings import CalibrationSettings
from autobird.evaluation.thresholds import shifted

LEFT_OUT = "left out"
KINDS = {
    **{name: f"negatives/esc10/{name}/" for name in ("rain", "sea_waves", "clock_tick", "baby_cry", "person_sneeze")},
    "loops": "negatives/loops/",
    "speech": "negatives/speech/",
}
SEEDS = (4, 5, 6)
FOLDS = 5

FORMER: dict[str, Any] = {
    "epochs": 30, "crop_seconds": 0.0, "background_probability": 0.0, "centre_bands": False
}  # fmt: skip
RECIPES: Mapping[str, dict[str, Any]] = {
    "softmax, 18 epochs, without negatives": {**FORMER, "epochs": 18, "outputs": "softmax"},
    "independent, 30 epochs": FORMER,
    "the same, centred bands": {**FORMER, "centre_bands": True},
    "default": {},
    "default without crops": {"crop_seconds": 0.0},
    "default without backgrounds": {"background_probability": 0.0},
    "default without negatives": {"negative_share": 0.0, "background_probability": 0.0},
    "default, softmax": {"outputs": "softmax"},
}
"""Training settings by recipe; the first is the reference. With softmax outputs, negatives are not trained on, but are backgrounds."""

METRICS = ("macro-F1", "cmAP", "recall")

RAISED = 0.8
THRESHOLDS: Mapping[str, dict[str, float]] = {
    "highest F1 on validation (default)": {},
    "precision: 0.7": {"precision": 0.7},
    "precision: 0.8": {"precision": 0.8},
    "precision: 0.9": {"precision": 0.9},
    "false_alarms_per_hour: 20": {"false_alarms_per_hour": 20},
    "false_alarms_per_hour: 5": {"false_alarms_per_hour": 5},
}
"""Settings of the thresholds whose effect on the default recipe is shown; a last row has the default's thresholds raised by `RAISED`."""


def fold_of(kind: str, seed: int) -> int:
    """Return the fold on which a kind is left out with a seed."""
    return (list(KINDS).index(kind) * len(SEEDS) + SEEDS.index(seed)) % FOLDS


def without_kind(index: pd.DataFrame, kind: str) -> pd.DataFrame:
    """Return an index in which the windows of a kind are in the split `LEFT_OUT`."""
    rows = index["recording"].str.startswith(KINDS[kind])
    if not rows.any():
        raise SystemExit(f"error: no recording lies in {KINDS[kind]}")
    index = index.copy()
    index.loc[rows, ["split", "recording_split"]] = LEFT_OUT
    return index


def train_without(config: Config, recipe: str, kind: str, seed: int) -> pd.DataFrame:
    """Train without a kind; return the validation and test windows and those of the kind, with their logits."""
    dataset = dataset_of(config, fold_of(kind, seed))
    with TemporaryDirectory() as name:
        changed = Path(name)
        without_kind(read_table(dataset / "index.parquet"), kind).to_parquet(changed / "index.parquet", index=False)
        for file in ("labels.json", "normalisation.json"):
            (changed / file).write_bytes((dataset / file).read_bytes())
        return train(config, Candidate(train=RECIPES[recipe]), changed, seed, (*SPLITS, LEFT_OUT))


def sound_of(config: Config, kind: str, seed: int) -> pd.DataFrame:
    """Return all windows of the data set of a training, the quiet ones too, with the columns `number` and `seconds`."""
    index = without_kind(read_table(dataset_of(config, fold_of(kind, seed)) / "index.parquet"), kind)
    tables = Path("results/features") / config.features.name / "corpus"
    recordings = read_tables(sorted(tables.glob("recordings/*.parquet")), ["recording", "duration"])
    return with_sound(index, recordings.set_index("recording")["duration"], mel_settings(config).sample_rate)


def predictions(
    config: Config, table: pd.DataFrame, kind: str, seed: int, settings: CalibrationSettings, raised: float = 0
) -> tuple[dict[str, SplitPredictions], FalseAlarms]:
    """Return the predictions of each split as users get them, and the false alarms in the sound of the kind.

    Args:
        config: of the run.
        table: windows with logits, of `train_without`.
        kind: the kind that was left out.
        seed: of the training.
        settings: of calibration and thresholds.
        raised: what is added to all thresholds on the logit scale.
    """
    labels, outputs = table.attrs["labels"], table.attrs["outputs"]
    index = sound_of(config, kind, seed)
    sound = index[["recording", "start", "number", "seconds"]]
    table = table.drop(columns=["number"]).merge(sound, on=["recording", "start"])
    calibration = calibrate(table, labels, outputs, settings).calibration
    calibration = replace(calibration, thresholds=shifted(np.asarray(calibration.thresholds), raised))
    found = {split: predictions_of_split(table, labels, split, calibration) for split in (*SPLITS, LEFT_OUT)}
    quiet = index[(index["split"] == LEFT_OUT) & index["quiet"]]
    return found, false_alarms(found[LEFT_OUT], WindowSound.of_rows(table[table["split"] == LEFT_OUT], quiet))


def precision(split: SplitPredictions) -> float:
    """Return the share of right ones among the detections in recordings with a species."""
    items = split.recordings.subset(~split.recordings.negative)
    detected = items.detected & items.known
    return float((detected & items.present).sum() / detected.sum())


def scores(split: SplitPredictions) -> list[float]:
    """Return `METRICS`: of recordings, of windows, and the share of recordings with a species that is detected in them."""
    items = split.recordings
    present = items.present & items.known
    return [metric(items, "macro_f1"), metric(split.windows, "cmap"), float(items.detected[present].mean())]


def metric(items: Items, name: str) -> float:
    """Return the value of a metric."""
    return float(all_metrics(items, Weighting(np.ones((1, len(items))), np.arange(len(items))))[name].values[0])


def pooled(alarms: Mapping[tuple[str, int], FalseAlarms], kinds: Sequence[str]) -> FalseAlarms:
    """Return the false alarms in the sound of several kinds, means over the seeds."""
    parts = [mean_of_seeds([alarms[kind, seed] for seed in SEEDS]) for kind in kinds]
    return FalseAlarms(
        np.concatenate([part.counts.sum(axis=1, keepdims=True) for part in parts]),
        np.concatenate([part.hours for part in parts]),
        sum(part.quiet_hours for part in parts),
        sum(part.recordings for part in parts),
    )


def table_of(config: Config, folder: Path) -> pd.DataFrame:
    """Return the scores of all recipes that are trained completely, one row each."""
    settings, jobs = calibration_settings(config), [(kind, seed) for kind in KINDS for seed in SEEDS]
    rows, reference = [], None
    for recipe in RECIPES:
        paths = {job: path_of(folder, recipe, *job) for job in jobs}
        missing = sum(not path.exists() for path in paths.values())
        if missing:
            print(f"{recipe}: {missing} of {len(jobs)} trainings are missing")
            continue
        values, alarms = [], {}
        for job, path in paths.items():
            found, alarms[job] = predictions(config, pd.read_pickle(path), *job, settings)
            values.append([value for split in SPLITS for value in scores(found[split])])
        every, by_kind = pooled(alarms, list(KINDS)), {kind: pooled(alarms, [kind]) for kind in KINDS}
        row: dict[str, Any] = {"recipe": recipe}
        reference = reference or (np.array(values), every)
        differences = np.array(values) - reference[0]
        for i, (split, name) in enumerate((split, name) for split in SPLITS for name in METRICS):
            error = differences[:, i].std(ddof=1) / len(jobs) ** 0.5
            row[f"{split} {name}"] = f"{np.mean(values, axis=0)[i]:.3f} ({differences[:, i].mean():+.3f} ± {error:.3f})"
        row["false alarms/h"] = interval_of(every.rate(settings.confidence), 0)
        row["times the reference's"] = interval_of(false_alarm_ratio(every, reference[1], settings), 2)
        rows.append(row | {kind: interval_of(part.rate(settings.confidence), 0) for kind, part in by_kind.items()})
    return pd.DataFrame(rows)


def threshold_table(config: Config, folder: Path) -> pd.DataFrame:
    """Return what the settings of the thresholds make of the default recipe, on test recordings; one row each."""
    tables = {(kind, seed): pd.read_pickle(path_of(folder, "default", kind, seed)) for kind in KINDS for seed in SEEDS}
    rows = []
    for name, settings, raised in [
        *((name, changed, 0.0) for name, changed in THRESHOLDS.items()), (f"default, raised by {RAISED}", {}, RAISED)
    ]:  # fmt: skip
        chosen = calibration_settings(config).model_copy(update=settings)
        values, alarms = [], {}
        for job, table in tables.items():
            found, alarms[job] = predictions(config, table, *job, chosen, raised)
            test = found["test"]
            values.append([scores(test)[-1], precision(test), metric(test.windows, "detection_macro_f1")])
        recall, right, f1 = np.mean(values, axis=0)
        rate = interval_of(pooled(alarms, list(KINDS)).rate(chosen.confidence), 0)
        rows.append([name, f"{recall:.3f}", f"{right:.3f}", f"{f1:.3f}", rate])
    return pd.DataFrame(rows, columns=["thresholds", "recall", "precision", "F1 of windows", "false alarms/h"])


def calibration_settings(config: Config) -> CalibrationSettings:
    """Return the settings of calibration and thresholds of a run."""
    return CalibrationSettings.model_validate_json(config.settings_json(CalibrationSettings, "evaluation"))


def interval_of(interval: Interval | None, digits: int) -> str:
    """Return an estimate and its interval as text."""
    if interval is None:
        return "no interval"
    value, low, high = (f"{part:.{digits}f}" for part in interval)
    return f"{value} [{low}, {high}]"


def path_of(folder: Path, recipe: str, kind: str, seed: int) -> Path:
    """Return the file of the logits of a training."""
    return folder / f"{recipe} {kind} {seed}.pkl".replace(" ", "_")


def main() -> None:
    """Train what is missing, or print the table as Markdown."""
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("config", type=Path, help="configuration of the run")
    p.add_argument(
        "--logits",
        type=Path,
        required=True,
        help="folder of the logits of the trainings; a folder for each corpus and version",
    )
    p.add_argument("--part", default="0/1", help="i/n: every n-th training, beginning with i")
    p.add_argument("--table", action="store_true", help="print the table, and train nothing")
    args = p.parse_args()
    config = load_config(yaml.safe_load(args.config.read_text(encoding="utf-8")))
    args.logits.mkdir(parents=True, exist_ok=True)
    if args.table:
        for table in (table_of(config, args.logits), threshold_table(config, args.logits)):
            print(f"| {' | '.join(table)} |\n|{' --- |' * table.shape[1]}")
            for row in table.itertuples(index=False):
                print(f"| {' | '.join(row)} |")
            print()
        return
    part, parts = (int(number) for number in args.part.split("/"))
    jobs = [(recipe, kind, seed) for recipe in RECIPES for kind in KINDS for seed in SEEDS]
    for job in jobs[part::parts]:
        path = path_of(args.logits, *job)
        if not path.exists():
            table = train_without(config, *job)
            table.to_pickle(path.with_suffix(".new"))
            path.with_suffix(".new").replace(path)
            print(f"{', '.join(map(str, job))}: {table.attrs['seconds']:.0f} s", flush=True)


if __name__ == "__main__":
    main()
