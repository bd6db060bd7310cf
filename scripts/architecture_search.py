"""Train candidate networks on the folds of a cross-validation and compare their validation scores, as the tables of docs/architectures.md.

Needs the data sets of the members that `snakemake crossval` makes, and the mel frames; with `train.teacher` also the training sounds and
the teachers:

    python scripts/architecture_search.py CONFIG.yaml --logits FOLDER                         # one fold and one seed of all candidates
    python scripts/architecture_search.py CONFIG.yaml --logits FOLDER --folds 0-4 --seeds 4-6 --only "width 24"
    python scripts/architecture_search.py CONFIG.yaml --logits FOLDER --table                 # the scores of what has been trained
    python scripts/architecture_search.py CONFIG.yaml --logits FOLDER --table --reference "width 24"        # and paired differences

CONFIG.yaml is the configuration of the run; another front end is another run with other `features`, and adds rows to the same tables.
`train.seeds`, `train.ensemble` and `train.profile` are not used. Each training writes a file with its logits to FOLDER and is not repeated
if that exists. Set `train.threads` to 1, and run several of these programs with different candidates to use several cores.
"""

import argparse
import functools
import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
import yaml
from numpy.typing import NDArray
from torch import nn

from architecture_candidates import CANDIDATES, Candidate, Network
from autobird.audio.amplitude_scaling import scaling_of
from autobird.audio.settings import MelSettings
from autobird.audio.windows import frames_per_window
from autobird.config import Config, load_config
from autobird.core.errors import AutobirdError
from autobird.core.files import read_json
from autobird.core.hashing import batch_names, file_digest
from autobird.core.stage import run as run_program
from autobird.core.tables import read_table
from autobird.evaluation.bootstrap import Floats, Interval, Resamples, difference_interval
from autobird.evaluation.interval_json import interval_json
from autobird.evaluation.interval_text import interval_text
from autobird.evaluation.metrics import Weighting, all_metrics
from autobird.evaluation.predictions import (
    LABEL_SET,
    SplitPredictions,
    predictions_of_split,
    windows_to_predict,
    with_numbers,
)
from autobird.members import fold_id, teacher_id
from autobird.model.data import WindowDataset
from autobird.model.networks import build_network
from autobird.model.settings import STUDENT_RECIPE, TrainSettings
from autobird.model.teaching import TeachingFiles
from autobird.model.train import trainer_of
from autobird.model.validation import predict_logits
from autobird.predict.classification import Calibration

_NO_VALUE = object()

WINDOW = [
    "recording",
    "number",
    "group",
    "split",
    "recording_split",
    *LABEL_SET,
    *(f"recording_{name}" for name in LABEL_SET),
]
"""Columns of a window that the scores depend on and that do not depend on the features."""

SeedsAndFolds = dict[int, dict[int, pd.DataFrame]]
"""The windows of trainings with their logits, by seed and fold."""

SPLITS = ("validation", "test")
METRICS = {"recordings": ("macro_f1", "cmap"), "windows": ("macro_f1", "cmap")}
NAMES = [f"{kind} {metric}" for kind, metrics in METRICS.items() for metric in metrics]
RECIPE = ("threads", "device", "precision", "seed", "outputs")
"""Training settings of the configuration that hold for all candidates, whatever their architecture."""


def cost(network: nn.Module, mels: int, frames: int) -> tuple[int, int]:
    """Return the multiply-adds of the convolutions and linear layers for one window, and the number of parameters.

    Without those of attention in transformer layers, which are 2 % of `cnn_transformer`.
    """
    total = 0

    def count(layer: nn.Module, _inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        nonlocal total
        if isinstance(layer, nn.Conv1d | nn.Conv2d):
            total += output.numel() * layer.weight[0].numel()
        elif isinstance(layer, nn.Linear):
            total += output.numel() * layer.in_features

    hooks = [layer.register_forward_hook(count) for layer in network.modules()]
    was_training = network.training
    with torch.no_grad():
        network.eval()(torch.zeros(1, 1, mels, frames))
    network.train(was_training)
    for hook in hooks:
        hook.remove()
    return total, sum(values.numel() for values in network.parameters())


def settings_of(config: Config, candidate: Candidate, seed: int) -> TrainSettings:
    """Return the training settings of a candidate.

    Those of the configuration apply to its own architecture; a candidate with another one keeps the recipe of that architecture, and has no
    teacher. A candidate without the teacher of the configuration has the defaults of a network without a teacher.
    """
    given = config.train.model_dump(exclude_unset=True, exclude={"seeds", "profile", "ensemble"})
    if "architecture" in candidate.train:
        given = {name: value for name, value in given.items() if name in RECIPE}
    elif config.train.teacher and candidate.train.get("teacher", "") is None:
        taught = STUDENT_RECIPE | {"unlabelled": config.train.unlabelled}
        given = {name: value for name, value in given.items() if taught.get(name, _NO_VALUE) != value}
        if config.features.alignment == "window":
            given.setdefault("crop_seconds", 0.0)
    return TrainSettings.model_validate({**given, **candidate.train, "seed": seed})


def dataset_of(config: Config, fold: int) -> Path:
    """Return the folder of the data set of a fold."""
    return Path("results") / config.run.name / "members" / fold_id(fold) / "dataset"


def teaching_files(config: Config, settings: TrainSettings, dataset: Path) -> TeachingFiles | None:
    """Return the training sounds and the teacher of a fold, which `snakemake crossval` makes; None without a teacher.

    Raises:
        AutobirdError: a file is missing.
    """
    if settings.teacher is None:
        return None
    member = dataset.parent
    teacher = member.with_name(teacher_id(member.name)) / "release"
    sounds = Path("results/features") / config.features.name / "teaching" / config.backbone.name
    unlabelled = of_batches(config, sounds / "unlabelled", ".parquet") if settings.unlabelled is not None else []
    tables = of_batches(config, sounds, ".parquet") + unlabelled
    mels, embeddings = (
        [path.with_name(f"{path.stem}{suffix}") for path in tables] for suffix in (".npy", ".embeddings.npy")
    )
    files = TeachingFiles(
        mels, embeddings, tables, len(unlabelled), teacher / "float.onnx", teacher / "calibration.json"
    )
    missing = next((path for path in files.all() if not path.exists()), None)
    if missing:
        raise AutobirdError(f"{missing} is missing; make it with snakemake crossval and the same configuration")
    return files


def of_batches(config: Config, folder: Path, suffix: str) -> list[Path]:
    """Return the paths of the files in a folder that the workflow makes for each batch, in the order of the batches."""
    return [folder / f"{batch}{suffix}" for batch in batch_names(config.corpus.batches)]


def train(
    config: Config, candidate: Candidate, dataset: Path, seed: int, splits: tuple[str, ...] = SPLITS
) -> pd.DataFrame:
    """Train a candidate; return the windows of some splits of the data set with their logits, and what it cost in `attrs`."""
    features = Path("results/features") / config.features.name
    labels: list[str] = read_json(dataset / "labels.json")
    settings, mel = settings_of(config, candidate, seed), mel_settings(config)
    shards = of_batches(config, features / "mels", ".npy")
    index, normalisation = dataset / "index.parquet", dataset / "normalisation.json"
    costs: dict[str, int] = {}

    def build(settings: TrainSettings, species: int, mean: float, std: float) -> nn.Module:
        """Return the network of the candidate, and count its cost before the training changes its layers."""
        if candidate.network is None:
            network = build_network(settings, species, mean, std)
        else:
            options = {"centre_bands": settings.centre_bands, **candidate.network}
            network = Network(species, mean, std, mel.mels, settings.dropout, **options)
        frames = frames_per_window(mel.window_samples, mel.hop_length)
        costs["operations"], costs["parameters"] = cost(network, mel.mels, frames)
        return network

    inputs = argparse.Namespace(index=index, normalisation=normalisation, shards=shards, ensemble_answers=None)
    trainer = trainer_of(inputs, settings, mel, labels, teaching_files(config, settings, dataset), build=build)
    network, frames = trainer.network, trainer.train.frames
    cpu, clock = time.process_time(), time.monotonic()
    network.load_state_dict(trainer.run(lambda: None))
    took = {"cpu_seconds": time.process_time() - cpu, "seconds": time.monotonic() - clock}
    windows = windows_to_predict(with_numbers(read_table(index)), labels)
    windows = windows[windows["split"].isin(splits)].reset_index(drop=True)
    predicted = WindowDataset.from_index(windows, labels, shards, frames, scaling_of(mel))
    table = windows.assign(logits=list(predict_logits(network, predicted, trainer.compute)))
    table.attrs |= took | costs | {"labels": labels, "outputs": settings.outputs}
    return table


def training_key(config: Config, name: str, fold: int, seed: int) -> dict[str, Any]:
    """Return what identifies a training: its names, and all that its result depends on but the code."""
    candidate, dataset = CANDIDATES[name], dataset_of(config, fold)
    settings = settings_of(config, candidate, seed)
    teaching = teaching_files(config, settings, dataset)
    key = {
        "run": config.run.name, "candidate": name, "fold": fold, "seed": seed, "network": str(candidate.network),
        "settings": settings.model_dump_json(), "features": mel_settings(config).model_dump_json(),
        "index": file_digest(dataset / "index.parquet"),
    }  # fmt: skip
    return key | ({"teaching": [digest(path) for path in teaching.all()]} if teaching else {})


@functools.cache
def digest(path: Path) -> str | None:
    """Return the digest of a file that does not change while this program runs."""
    return file_digest(path)


def mel_settings(config: Config) -> MelSettings:
    """Return the mel settings of a run."""
    return MelSettings.model_validate_json(config.settings_json(MelSettings, "features"))


def pooled(tables: list[pd.DataFrame], split: str) -> SplitPredictions:
    """Return the predictions of a split of all folds together, from the windows of each fold."""
    labels = sorted({name for table in tables for name in table.attrs["labels"]})
    windows = pd.concat([with_all_labels(table, labels) for table in tables], ignore_index=True)
    calibration = Calibration.none(tables[0].attrs["outputs"], len(labels), "mean")
    return predictions_of_split(windows, labels, split, calibration)


def scores(tables: list[pd.DataFrame], split: str, resamples: Resamples | None = None) -> Floats:
    """Return the metrics of a split of all folds with one seed, in the order of `METRICS`.

    Returns:
        Shape (metrics,); with resamples, under each row of their weights, shape (metrics, rows).
    """
    predictions = pooled(tables, split)
    found = []
    for kind, names in METRICS.items():
        items = getattr(predictions, kind)
        alone = Weighting(np.ones((1, len(items))), np.arange(len(items)))
        metrics = all_metrics(items, Weighting.of(resamples, items) if resamples else alone)
        found += [metrics[name].values for name in names]
    values = np.stack(found)
    return values if resamples else values[:, 0]


@dataclass(frozen=True)
class Differences:
    """Paired differences of the metrics of a candidate from those of a reference.

    Attributes:
        seeds: that both have.
        folds: that both have with all these seeds.
        intervals: in the order of `METRICS`; means over the seeds, pooled over the folds.
    """

    seeds: list[int]
    folds: list[int]
    intervals: list[Interval | None]


def differences(tables: SeedsAndFolds, of_reference: SeedsAndFolds, split: str, config: Config) -> Differences:
    """Return the paired differences of a candidate from a reference, with intervals of the bootstrap of groups.

    Raises:
        AutobirdError: they have no training of the same seed and fold, or their recordings, windows or labels differ.
    """
    seeds = sorted(set(tables) & set(of_reference))
    folds = (
        sorted(set.intersection(*(set(of[seed]) for of in (tables, of_reference) for seed in seeds))) if seeds else []
    )
    if not folds:
        raise AutobirdError("it has no training of the same seeds and folds as the reference")
    both = [[[of[seed][fold] for fold in folds] for seed in seeds] for of in (tables, of_reference)]
    every = [[table for of_seed in of for table in of_seed] for of in both]
    if not all(same_windows(own, base) for own, base in zip(*every, strict=True)):
        raise AutobirdError("it has other recordings, windows or labels than the reference")
    settings = config.evaluation
    resamples = pooled(both[0][0], split).resamples(settings.resamples, settings.seed)
    own, reference = (np.mean([scores(part, split, resamples) for part in of], axis=0) for of in both)
    return Differences(
        seeds, folds, [difference_interval(change, resamples, settings.confidence) for change in own - reference]
    )


def same_windows(first: pd.DataFrame, second: pd.DataFrame) -> bool:
    """Return whether two trainings have the same windows, labels and groups, also if their mel frames or sample rates differ."""
    one, other = (
        table[WINDOW].map(lambda value: value if np.isscalar(value) else tuple(value)) for table in (first, second)
    )
    same = sorted(first.attrs["labels"]) == sorted(second.attrs["labels"]) and one.equals(other)
    return same and window_and_hop(first) == window_and_hop(second)


def window_and_hop(table: pd.DataFrame) -> tuple[float, float]:
    """Return the length of the windows of a training and their hop, seconds; the numbers of windows of different lengths can be equal."""
    features = json.loads(table.attrs["features"])
    return features["window"], features["hop"]


def with_all_labels(table: pd.DataFrame, labels: list[str]) -> pd.DataFrame:
    """Return a table with logits of all labels; those of species that the fold does not know are very low."""
    own: NDArray[np.float32] = np.stack(table["logits"].to_list())
    logits = np.full((len(table), len(labels)), -30, np.float32)
    logits[:, [labels.index(name) for name in table.attrs["labels"]]] = own
    return table.assign(logits=list(logits))


def numbers(text: str) -> list[int]:
    """Return the numbers of a range such as 0-4 or a list such as 0,2."""
    if "-" in text:
        first, last = text.split("-")
        return list(range(int(first), int(last) + 1))
    return [int(number) for number in text.split(",")]


def trainings_of(folder: Path, config: Config) -> dict[tuple[str, str], SeedsAndFolds]:
    """Return all trainings in a folder, by run and candidate.

    Those of the run of `config` whose settings or data are no longer the same, or cannot be checked, are left out, which is printed. Those
    of other runs cannot be checked: of each candidate, those with other settings than the newest one are left out.
    """
    found: dict[tuple[str, str], SeedsAndFolds] = {}
    newest: dict[tuple[str, str], dict[str, Any]] = {}
    for path in sorted(folder.glob("*.pkl"), key=lambda path: (-path.stat().st_mtime_ns, path.name)):
        table = pd.read_pickle(path)
        run, name = table.attrs["run"], table.attrs["candidate"]
        if run == config.run.name:
            try:
                now = name in CANDIDATES and training_key(config, name, table.attrs["fold"], table.attrs["seed"])
            except AutobirdError as error:
                print(f"{path}, {name}, is left out because it cannot be checked: {error}")
                continue
            if not now or any(table.attrs[part] != value for part, value in now.items()):
                print(f"{path} is left out: its settings or data are no longer those of {name}")
                continue
        of_seed = found.setdefault((run, name), {}).setdefault(table.attrs["seed"], {})
        same = made_with(table) == newest.setdefault((run, name), made_with(table))
        if not same or table.attrs["fold"] in of_seed:
            print(f"{path} is left out: a newer training of {run}, {name} has other settings or data")
            continue
        of_seed[table.attrs["fold"]] = table
    return {key: {seed: folds for seed, folds in seeds.items() if folds} for key, seeds in found.items()}


def made_with(table: pd.DataFrame) -> dict[str, Any]:
    """Return what all trainings of a candidate of a run have in common: all but the seed and the data of the fold."""
    settings = json.loads(table.attrs["settings"])
    return {
        "network": table.attrs["network"],
        "features": table.attrs["features"],
        "settings": settings | {"seed": None},
    }


def table_of(trainings: Mapping[tuple[str, str], SeedsAndFolds], splits: tuple[str, ...]) -> pd.DataFrame:
    """Return the scores of trainings, one row per run and candidate, pooled over the folds, means over the seeds."""
    rows = []
    for (run, name), seeds in trainings.items():
        folds = {tuple(sorted(tables)) for tables in seeds.values()}
        common = set.intersection(*(set(tables) for tables in seeds.values()))
        if len(folds) > 1:
            print(f"{run}, {name}: the seeds have different folds; only {sorted(common)} are used")
        if not common:
            continue
        tables = {seed: [by_fold[fold] for fold in sorted(common)] for seed, by_fold in seeds.items()}
        first = next(iter(tables.values()))[0].attrs
        means = {split: np.mean([scores(t, split) for t in tables.values()], axis=0) for split in splits}
        every = [table.attrs for group in tables.values() for table in group]
        rows.append(
            {"run": run, "candidate": name, "folds": len(common), "seeds": len(seeds)}
            | {f"{split} {metric}": value for split in splits for metric, value in zip(NAMES, means[split], strict=True)}
            | {"million parameters": first["parameters"] / 1e6, "million multiply-adds": first["operations"] / 1e6,
               "CPU seconds": float(np.mean([a["cpu_seconds"] for a in every]))}
        )  # fmt: skip
    return pd.DataFrame(rows)


def table_of_differences(
    trainings: Mapping[tuple[str, str], SeedsAndFolds], splits: tuple[str, ...], config: Config, reference: str
) -> pd.DataFrame:
    """Return the `differences` of all candidates from one of the run, as text, one row per run and candidate.

    Those of runs with other features are compared if the windows are the same. Candidates that cannot be compared with the reference are
    left out, which is printed.
    """
    rows = []
    for (run, name), tables in trainings.items():
        if (run, name) == (config.run.name, reference):
            continue
        row: dict[str, str] = {"run": run, "candidate": name}
        try:
            for split in splits:
                found = differences(tables, trainings[run, reference], split, config)
                row |= {"folds": numbers_text(found.folds), "seeds": numbers_text(found.seeds)}
                row |= {
                    f"{split} {metric}": interval_text(interval_json(interval), sign=True)
                    for metric, interval in zip(NAMES, found.intervals, strict=True)
                }
        except AutobirdError as error:
            print(f"{run}, {name} is left out: {error}")
            continue
        rows.append(row)
    return pd.DataFrame(rows)


def numbers_text(numbers: list[int]) -> str:
    """Return numbers as text, such as 4, 5."""
    return ", ".join(map(str, numbers))


def different_candidates(config: Config) -> list[str]:
    """Return the names of the candidates without those that have the network and the settings of an earlier one, which is printed."""
    found: dict[str, str] = {}
    for name, candidate in CANDIDATES.items():
        key = f"{candidate.network} {settings_of(config, candidate, 0).model_dump_json()}"
        if key in found:
            print(f"{name} is not trained: with this configuration, it is the same as {found[key]}")
        found.setdefault(key, name)
    return list(found.values())


def main(argv: Sequence[str] | None = None) -> None:
    """Train what is missing and print the table as Markdown, best validation score first.

    Raises:
        AutobirdError: data are missing, or there is nothing to print.
    """
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("config", type=Path, help="configuration of the run")
    p.add_argument("--logits", type=Path, required=True, help="folder of the logits of the trainings")
    p.add_argument("--folds", type=numbers, default=[0], help="folds, such as 0-4 or 0,2")
    p.add_argument("--seeds", type=numbers, default=[4], help="seeds, such as 4-6")
    p.add_argument(
        "--only", action="append", default=[], help="name of a candidate; without it, all of them; can be repeated"
    )
    p.add_argument(
        "--test", action="store_true", help="also show the scores of the test recordings: only after the choice"
    )
    p.add_argument("--table", action="store_true", help="print the table, and train nothing")
    p.add_argument(
        "--reference", help="name of a candidate of this run: also print the paired differences of all others from it"
    )
    args = p.parse_args(argv)
    unknown = sorted({*args.only, *([args.reference] if args.reference else [])} - set(CANDIDATES))
    if unknown:
        p.error(f"no candidate is named {unknown[0]!r}; the names are: {', '.join(CANDIDATES)}")
    config = load_config(yaml.safe_load(args.config.read_text(encoding="utf-8")))
    args.logits.mkdir(parents=True, exist_ok=True)
    if not args.table:
        for name in args.only or different_candidates(config):
            for seed in args.seeds:
                for fold in args.folds:
                    train_if_missing(config, name, fold, seed, args.logits)
    print_tables(config, args.logits, SPLITS if args.test else SPLITS[:1], args.reference)


def train_if_missing(config: Config, name: str, fold: int, seed: int, folder: Path) -> None:
    """Train a candidate and write the file of its logits to a folder, if it does not exist."""
    key = training_key(config, name, fold, seed)
    path = folder / f"{hashlib.sha256(repr(key).encode()).hexdigest()[:16]}.pkl"
    if path.exists():
        return
    table = train(config, CANDIDATES[name], dataset_of(config, fold), seed)
    table.attrs |= key
    table.to_pickle(path.with_suffix(".new"))
    path.with_suffix(".new").replace(path)
    values = ", ".join(f"{value:.3f}" for value in scores([table], "validation"))
    print(f"{name}, fold {fold}, seed {seed}: {values}, {table.attrs['cpu_seconds']:.0f} CPU seconds", flush=True)


def print_tables(config: Config, folder: Path, splits: tuple[str, ...], reference: str | None) -> None:
    """Print the scores of all trainings in a folder, and the differences from a reference.

    Raises:
        AutobirdError: the folder has no trainings, or none of the reference.
    """
    trainings = trainings_of(folder, config)
    table = table_of(trainings, splits)
    if table.empty:
        raise AutobirdError(f"{folder} has no trainings, or no fold that was trained with all seeds")
    print_table(table.sort_values("validation recordings macro_f1", ascending=False))
    if reference is None:
        return
    if (config.run.name, reference) not in trainings:
        raise AutobirdError(f"{folder} has no training of the reference, {reference}, of the run {config.run.name}")
    print(f"\nDifferences from {reference}:\n")
    table = table_of_differences(trainings, splits, config, reference)
    if table.empty:
        raise AutobirdError(f"{folder} has no training to compare with {reference}")
    print_table(table)


def print_table(table: pd.DataFrame) -> None:
    """Print a table as Markdown."""
    print(f"| {' | '.join(table)} |\n|{' --- |' * table.shape[1]}")
    for row in table.itertuples(index=False):
        print(f"| {' | '.join(f'{cell:.3f}' if isinstance(cell, float) else str(cell) for cell in row)} |")


if __name__ == "__main__":
    run_program(main)
