"""Train on negatives of all kinds but one, and count the false alarms on that kind: the last section of docs/training-field.md.

Needs the data sets of the members that `snakemake crossval` makes, and the mel frames, of a corpus whose negatives lie in `esc10/<kind>`,
`loops` and `speech`:

    python scripts/left_out_kinds.py CONFIG.yaml --logits FOLDER                  # train what is missing
    python scripts/left_out_kinds.py CONFIG.yaml --logits FOLDER --part 0/2       # half of it, so that two programs can share the work
    python scripts/left_out_kinds.py CONFIG.yaml --logits FOLDER --table          # the scores, and differences from the first recipe
    python scripts/left_out_kinds.py CONFIG.yaml --logits FOLDER --table --reference default

Each kind is left out with each seed of `SEEDS`, in turn on the folds: neither training nor calibration and thresholds have heard the kind.
The kinds resemble each other: among the loops are rain, a storm, waves and places where people talk.
Calibration and thresholds are the delivered ones (`autobird.evaluation.calibration`), fitted to the validation split.
"""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd
import yaml
from numpy.typing import NDArray

from architecture_candidates import Candidate
from architecture_search import SPLITS, dataset_of, mel_settings, settings_of, train
from autobird.config import Config, load_config
from autobird.core.hashing import file_digest
from autobird.core.tables import read_table, read_tables
from autobird.evaluation.bootstrap import Interval, Resamples, difference_interval, resample_groups
from autobird.evaluation.calibration import calibrate
from autobird.evaluation.false_alarms import FalseAlarms, WindowSound, false_alarm_ratio, false_alarms, mean_of_seeds
from autobird.evaluation.interval_json import interval_json
from autobird.evaluation.interval_text import interval_text
from autobird.evaluation.metrics import Weighting, all_metrics, detection_precision, detection_recall, macro_f1
from autobird.evaluation.predictions import (
    SplitPredictions,
    predictions_of_split,
    quiet_negative_windows,
    with_sound,
)
from autobird.evaluation.settings import CalibrationSettings, IntervalSettings
from autobird.evaluation.thresholds import shifted

Floats = NDArray[np.float64]

LEFT_OUT = "left out"
KINDS = {
    **{name: f"negatives/esc10/{name}/" for name in ("rain", "sea_waves", "clock_tick", "baby_cry", "person_sneeze")},
    "loops": "negatives/loops/",
    "speech": "negatives/speech/",
}
SEEDS = (4, 5, 6)
FOLDS = 5
TRAININGS = [(kind, seed) for kind in KINDS for seed in SEEDS]

FORMER: dict[str, Any] = {
    "epochs": 30, "crop_seconds": 0.0, "background_probability": 0.0, "centre_bands": False
}  # fmt: skip
RECIPES: Mapping[str, dict[str, Any]] = {
    "softmax, 18 epochs": {**FORMER, "epochs": 18, "outputs": "softmax"},
    "former recipe": FORMER,
    "former recipe with centred bands": {**FORMER, "centre_bands": True},
    "default": {},
    "default without crops": {"crop_seconds": 0.0},
    "default without backgrounds": {"background_probability": 0.0},
    "default without negatives": {"negative_share": 0.0, "background_probability": 0.0},
    "default, softmax": {"outputs": "softmax"},
}
"""Training settings by recipe. With softmax outputs, negatives are not trained on, but may be backgrounds. Calibration and thresholds use
negatives with all recipes."""

OF_RECORDINGS = {"macro-F1": macro_f1, "recall": detection_recall, "precision": detection_precision}
"""Metrics of the recordings with a species. `recall` and `precision` are those of the pairs of a recording and a detected species."""

OF_WINDOWS = {"cmAP": "cmap", "F1 of windows": "detection_macro_f1"}
"""Metrics of all windows, those of recordings without a species too, by their names in `all_metrics`."""

METRICS = (*OF_RECORDINGS, *OF_WINDOWS)

RAISED = 0.8
THRESHOLDS: Mapping[str, dict[str, float]] = {
    "precision: 0.7": {"precision": 0.7},
    "precision: 0.8": {"precision": 0.8},
    "precision: 0.9": {"precision": 0.9},
    "false_alarms_per_hour: 20": {"false_alarms_per_hour": 20},
    "false_alarms_per_hour: 5": {"false_alarms_per_hour": 5},
}
"""Settings of the thresholds whose effect on the default recipe is shown, after its own thresholds; a last row has these raised by
`RAISED`."""


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
) -> tuple[dict[str, SplitPredictions], FalseAlarms, FalseAlarms]:
    """Return the predictions of each split as users get them, and the false alarms in the sound of the kind and in that of other kinds.

    The sound of other kinds is that of the test recordings.

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
    table = pd.concat([table, quiet_negative_windows(index, labels)], ignore_index=True)
    calibration = calibrate(table, labels, outputs, settings).calibration
    calibration = replace(calibration, thresholds=shifted(np.asarray(calibration.thresholds), raised))
    found = {split: predictions_of_split(table, labels, split, calibration) for split in (*SPLITS, LEFT_OUT)}
    quiet = index[(index["split"] == LEFT_OUT) & index["quiet"]]
    of_kind = WindowSound.of_rows(table[table["split"] == LEFT_OUT], quiet)
    of_others = WindowSound.of(table, "test")
    return found, false_alarms(found[LEFT_OUT], of_kind), false_alarms(found["test"], of_others)


def with_species(split: SplitPredictions) -> SplitPredictions:
    """Return the predictions for the recordings with a species."""
    kept = ~split.recordings.negative
    number = np.cumsum(kept) - 1
    windows = split.windows.subset(kept[split.windows.recording])
    return SplitPredictions(
        replace(windows, recording=number[windows.recording]),
        replace(split.recordings.subset(kept), recording=np.arange(kept.sum())),
        [name for name, is_kept in zip(split.names, kept, strict=True) if is_kept],
        np.unique(split.group[kept], return_inverse=True)[1],
    )


def recording_scores(split: SplitPredictions, weights: Floats) -> Floats:
    """Return `OF_RECORDINGS` under many weightings of the groups; shape (rows, metrics).

    Args:
        split: predictions for the recordings with a species (`with_species`).
        weights: weights of the groups of its recordings, in the order of `split.group`; shape (rows, groups).
    """
    weighting = Weighting(weights, split.group)
    return np.stack([metric(split.recordings, weighting).values for metric in OF_RECORDINGS.values()], axis=1)


def window_scores(split: SplitPredictions, weights: Floats) -> Floats:
    """Return `OF_WINDOWS` under many weightings of the groups; arguments and shape as for `recording_scores`, with all recordings."""
    metrics = all_metrics(split.windows, Weighting(weights, split.group[split.windows.recording]))
    return np.stack([metrics[name].values for name in OF_WINDOWS.values()], axis=1)


@dataclass(frozen=True)
class Draws:
    """Resamples of the groups of several trainings.

    Attributes:
        resamples: of all groups.
        names: names of the groups, in the order of the weights.
    """

    resamples: Resamples
    names: list[str]

    def weights(self, split: SplitPredictions, table: pd.DataFrame) -> Floats:
        """Return the weights of the groups of one training, in the order of `split.group`; shape (rows, groups)."""
        group_of = table.drop_duplicates("recording").set_index("recording")["group"]
        column = {name: n for n, name in enumerate(self.names)}
        columns = np.zeros(split.groups, np.intp)
        columns[split.group] = [column[name] for name in group_of.loc[split.names]]
        return self.resamples.weights[:, columns]


def resamples_of(
    splits: Sequence[SplitPredictions], tables: Sequence[pd.DataFrame], settings: IntervalSettings
) -> Draws:
    """Return resamples of the groups of the recordings that several trainings predict.

    Args:
        splits: predictions of each training.
        tables: windows of each training, with the columns `recording` and `group`, and the labels as attribute.
        settings: number and seed of the resamples.
    """
    labels = sorted({name for table in tables for name in table.attrs["labels"]})
    parts = []
    for split, table in zip(splits, tables, strict=True):
        present = np.zeros((len(split.names), len(labels)), bool)
        present[:, [labels.index(name) for name in table.attrs["labels"]]] = split.recordings.present
        group = table.drop_duplicates("recording").set_index("recording")["group"].loc[split.names].to_list()
        parts.append(pd.DataFrame({"recording": split.names, "group": group, "present": list(present)}))
    recordings = pd.concat(parts).drop_duplicates("recording").sort_values("recording")
    names, group = np.unique(recordings["group"].to_numpy(str), return_inverse=True)
    resamples = resample_groups(group, np.stack(recordings["present"].to_list()), settings.resamples, settings.seed)
    return Draws(resamples, list(names))


def together(kinds: Mapping[str, FalseAlarms]) -> FalseAlarms:
    """Return the false alarms in the sound of all kinds; no group has sound of two of them."""
    parts = list(kinds.values())
    return FalseAlarms(
        np.concatenate([part.counts.sum(axis=1, keepdims=True) for part in parts]),
        np.concatenate([part.hours for part in parts]),
        sum(part.quiet_hours for part in parts),
        sum(part.recordings for part in parts),
    )


@dataclass(frozen=True)
class Scores:
    """A metric of several trainings.

    Attributes:
        mean: over the trainings, under the same draws of the groups in all of them; shape (rows,).
        each: estimate of each training; shape (trainings,).
    """

    mean: Floats
    each: Floats


@dataclass(frozen=True)
class Measured:
    """What was measured of the trainings without each kind.

    Attributes:
        scores: by split and metric, for the weights of `resamples`.
        resamples: the weights of the groups by split and metric; the same for all recipes.
        alarms: false alarms in the sound of each kind, means over the seeds.
        others: false alarms per hour in the test recordings of the other kinds, over all trainings.
    """

    scores: Mapping[tuple[str, str], Scores]
    resamples: Mapping[tuple[str, str], Resamples]
    alarms: Mapping[str, FalseAlarms]
    others: float


def measured(
    config: Config, folder: Path, recipe: str, settings: CalibrationSettings, raised: float = 0
) -> Measured | None:
    """Return what was measured of a recipe with settings of the thresholds; None if trainings are missing, which is printed."""
    paths = {job: path_of(folder, recipe, *job) for job in TRAININGS}
    missing = sum(not path.exists() for path in paths.values())
    if missing:
        print(f"{recipe}: {missing} of {len(paths)} trainings are missing")
        return None
    tables, found, alarms, others = [], [], {}, []
    for job, path in paths.items():
        table = pd.read_pickle(path)
        if table.attrs["key"] != training_key(config, recipe, *job):
            raise SystemExit(f"error: {path} is of other settings or data; remove it, and train it again")
        predicted, alarms[job], of_others = predictions(config, table, *job, settings, raised)
        tables.append(table)
        found.append(predicted)
        others.append((of_others.counts.sum(), of_others.hours.sum()))
    count, hours = np.sum(others, axis=0)
    by_metric, resamples = {}, {}
    for split in SPLITS:
        of_split, drawn = scores([of[split] for of in found], tables, settings)
        by_metric |= {(split, metric): of for metric, of in of_split.items()}
        resamples |= {(split, metric): of for metric, of in drawn.items()}
    return Measured(
        by_metric,
        resamples,
        {kind: mean_of_seeds([alarms[kind, seed] for seed in SEEDS]) for kind in KINDS},
        count / hours,
    )


def scores(
    splits: Sequence[SplitPredictions], tables: Sequence[pd.DataFrame], settings: IntervalSettings
) -> tuple[dict[str, Scores], dict[str, Resamples]]:
    """Return the scores of several trainings and the weights behind them, by metric of `METRICS`.

    Groups without a species are drawn for `OF_WINDOWS` alone, because they have no part in `OF_RECORDINGS`.

    Args:
        splits: predictions of each training.
        tables: windows of each training, with the columns `recording` and `group`, and the labels as attribute.
        settings: number and seed of the resamples.
    """
    found, resamples = {}, {}
    of_species = [with_species(split) for split in splits]
    for names, parts, compute in (
        (OF_RECORDINGS, of_species, recording_scores),
        (OF_WINDOWS, splits, window_scores),
    ):
        draws = resamples_of(parts, tables, settings)
        values = [compute(part, draws.weights(part, table)) for part, table in zip(parts, tables, strict=True)]
        for metric, of in zip(names, np.moveaxis(np.stack(values), 2, 0), strict=True):
            found[metric] = Scores(of.mean(axis=0), of[:, 0])
            resamples[metric] = draws.resamples
    return found, resamples


def error_of_trainings(differences: Floats) -> float:
    """Return the standard error of a mean over the trainings, from the differences between trainings on the same fold.

    They have other seeds and kinds, but the same recordings. What the intervals over groups of recordings do not contain.

    Args:
        differences: between two recipes, of each of `TRAININGS`; shape (trainings,).
    """
    fold = np.array([fold_of(*job) for job in TRAININGS])
    deviations = differences - np.array([differences[fold == one].mean() for one in fold])
    degrees_of_freedom = len(fold) - len(np.unique(fold))
    return float(np.sqrt((deviations**2).sum() / degrees_of_freedom / len(fold)))


def table_of(found: Mapping[str, Measured], reference: Measured, settings: CalibrationSettings) -> pd.DataFrame:
    """Return the scores of several recipes, or of one with several settings, with differences from a reference; one row each.

    The intervals of the differences are paired, of the bootstrap of groups over the recordings of all folds; beside them stand the
    standard errors of `error_of_trainings`.
    """
    rows = []
    for name, of in found.items():
        row = {"": name}
        for (split, metric), score in of.scores.items():
            text = f"{score.mean[0]:.3f}"
            if of is not reference:
                former = reference.scores[split, metric]
                change = score.mean - former.mean
                interval = difference_interval(change, reference.resamples[split, metric], settings.confidence)
                by_training = error_of_trainings(score.each - former.each)
                text += f" ({interval_of(interval, 3, sign=True)}; by training ± {by_training:.3f})"
            row[f"{split} {metric}"] = text
        every = together(of.alarms)
        ratio = None if of is reference else false_alarm_ratio(every, together(reference.alarms), settings)
        row["false alarms/h"] = interval_of(every.rate(settings.confidence), 0)
        row["times the reference's"] = interval_of(ratio, 2) if ratio else ""
        by_kind = {kind: part.rate(settings.confidence) for kind, part in of.alarms.items()}
        row["other kinds, test"] = f"{of.others:.0f}"
        row["mean of the kinds"] = f"{np.mean([rate[0] for rate in by_kind.values() if rate]):.0f}"
        rows.append(row | {kind: interval_of(rate, 0) for kind, rate in by_kind.items()})
    return pd.DataFrame(rows)


def calibration_settings(config: Config) -> CalibrationSettings:
    """Return the settings of calibration and thresholds of a run."""
    return CalibrationSettings.model_validate_json(config.settings_json(CalibrationSettings, "evaluation"))


def interval_of(interval: Interval | None, digits: int, sign: bool = False) -> str:
    """Return an estimate and its interval as text, with a plus sign before positive numbers if `sign`."""
    return interval_text(interval_json(interval), sign, digits)


def training_key(config: Config, recipe: str, kind: str, seed: int) -> str:
    """Return what identifies a training: its settings and its data."""
    dataset = dataset_of(config, fold_of(kind, seed))
    settings = settings_of(config, Candidate(train=RECIPES[recipe]), seed).model_dump_json()
    return f"{settings} {mel_settings(config).model_dump_json()} {file_digest(dataset / 'index.parquet')} {kind}"


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
    p.add_argument("--part", type=part, default=(0, 1), help="i/n: every n-th training, beginning with i of 0 to n - 1")
    p.add_argument("--table", action="store_true", help="print the tables, and train nothing")
    p.add_argument("--reference", choices=list(RECIPES), default=next(iter(RECIPES)), help="recipe of the differences")
    args = p.parse_args()
    config = load_config(yaml.safe_load(args.config.read_text(encoding="utf-8")))
    if config.train.teacher:
        p.error("train.teacher is set, and this program trains without a teacher; remove it")
    args.logits.mkdir(parents=True, exist_ok=True)
    if args.table:
        print_tables(config, args.logits, args.reference)
        return
    first, step = args.part
    for job in [(recipe, *training) for recipe in RECIPES for training in TRAININGS][first::step]:
        path = path_of(args.logits, *job)
        if not path.exists():
            table = train_without(config, *job)
            table.attrs["key"] = training_key(config, *job)
            table.to_pickle(path.with_suffix(".new"))
            path.with_suffix(".new").replace(path)
            print(f"{', '.join(map(str, job))}: {table.attrs['seconds']:.0f} s", flush=True)


def part(text: str) -> tuple[int, int]:
    """Return the numbers of a part, i/n."""
    first, parts = (int(number) for number in text.split("/"))
    if not 0 <= first < parts:
        raise argparse.ArgumentTypeError(f"{text}: the first number must be 0 to {parts - 1}")
    return first, parts


def print_tables(config: Config, folder: Path, reference: str) -> None:
    """Print the scores of all recipes, and of the default with other thresholds, as Markdown."""
    settings = calibration_settings(config)
    recipes = {name: measured(config, folder, name, settings) for name in RECIPES}
    of_reference = recipes[reference]
    if of_reference is None:
        raise SystemExit(f"error: trainings of {reference}, the reference, are missing")
    thresholds = {"highest F1 on validation (default)": recipes["default"]} | {
        name: measured(config, folder, "default", settings.model_copy(update=changed))
        for name, changed in THRESHOLDS.items()
    }
    thresholds[f"default, raised by {RAISED}"] = measured(config, folder, "default", settings, RAISED)
    for found in (recipes, thresholds):
        complete = {name: of for name, of in found.items() if of is not None}
        table = table_of(complete, of_reference, settings)
        print(f"| {' | '.join(table)} |\n|{' --- |' * table.shape[1]}")
        for row in table.itertuples(index=False):
            print(f"| {' | '.join(row)} |")
        print()


if __name__ == "__main__":
    main()
