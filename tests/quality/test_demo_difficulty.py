"""The difficulty of the demo: macro-F1 over five folds and three seeds, compared with a simple baseline."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from autobird.core.files import read_json
from autobird.core.tables import read_table
from autobird.evaluation.bootstrap import bounded_interval, resample_groups
from autobird.evaluation.evaluate import read_calibration
from autobird.evaluation.metrics import Weighting, macro_f1
from autobird.evaluation.predictions import Items, SplitPredictions, predictions_of_split
from tests.conftest import copy_project
from tests.workflow.conftest import environment

FOLDS, SEEDS = 5, (1, 2, 3)
pytestmark = pytest.mark.quality


def run_workflow(project: Path, name: str, fold: int, seed: int) -> Path:
    """Run the workflow for a fold and a training seed; return the folder of the run."""
    config = [
        "--config",
        f"run={{name: {name}, tracking: none}}",
        f"dataset={{fold: {fold}}}",
        f"train={{seed: {seed}}}",
    ]
    subprocess.run(
        [sys.executable, "-m", "snakemake", "--quiet", "all", *config], cwd=project, env=environment(), check=True
    )
    return project / "results" / name


def released_test_predictions(run: Path) -> tuple[SplitPredictions, list[str]]:
    """Return the predictions of the released variant for the test split of a run, and the labels."""
    labels = read_json(run / "dataset" / "labels.json")
    _, calibration = read_calibration(run / "release" / "calibration.json")
    table = read_table(run / "release" / "predictions.parquet")
    return predictions_of_split(table, labels, "test", calibration), labels


def pool_folds(folds: list[SplitPredictions]) -> tuple[Items, np.ndarray]:
    """Return the test recordings of all folds and the group of each; no group is in two test splits."""
    fields = {
        name: np.concatenate([getattr(f.recordings, name) for f in folds])
        for name in vars(folds[0].recordings)
        if name not in ("recording", "is_independent")
    }
    offsets = np.cumsum([0, *(f.groups for f in folds)])
    group = np.concatenate([f.group + offset for f, offset in zip(folds, offsets, strict=False)])
    return Items(**fields, recording=np.arange(len(group)), is_independent=folds[0].recordings.is_independent), group


def baseline(project: Path, run: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return the predicted and the true species of the test recordings for a simple baseline.

    The baseline is a logistic regression on the mean and the standard deviation of each mel band.
    """
    index = read_table(run / "dataset" / "index.parquet")
    index = index[(index["dropped"] == "") & (index["species"] != "")]  # without negatives
    shards = [np.load(p, mmap_mode="r") for p in sorted((project / "results/features/demo/mels").glob("*.npy"))]
    features, species, split = [], [], []
    for _, rows in index.groupby("recording"):
        windows = [
            np.asarray(shards[s][f : f + 157], np.float32)
            for s, f in zip(rows["shard"], rows["first_frame"], strict=True)
        ]
        frames = np.concatenate(windows)
        features.append(np.concatenate([frames.mean(axis=0), frames.std(axis=0)]))
        species.append(rows["species"].iloc[0])
        split.append(rows["split"].iloc[0])
    x, y, s = np.array(features), np.array(species), np.array(split)
    search = GridSearchCV(
        make_pipeline(StandardScaler(), LogisticRegression(max_iter=5000)),
        {"logisticregression__C": [0.001, 0.01, 0.1, 1.0]},
        scoring="f1_macro",
    )
    search.fit(x[s != "test"], y[s != "test"])
    return search.predict(x[s == "test"]), y[s == "test"]


def test_the_demo_is_neither_trivial_nor_too_difficult(tmp_path: Path) -> None:
    project = copy_project(tmp_path / "project")
    scores = {}
    for seed in SEEDS:
        runs = [run_workflow(project, f"quality-{seed}-{fold}", fold, seed) for fold in range(FOLDS)]
        folds, labels = zip(*(released_test_predictions(run) for run in runs), strict=True)
        assert len({tuple(names) for names in labels}) == 1
        items, group = pool_folds(list(folds))
        draws = resample_groups(group, items.present, 1000, 0)
        pooled = macro_f1(items, Weighting.of(draws, items))
        scores[seed], low, high = bounded_interval(pooled.values, draws, 0.95, pooled.groups)
        per_fold = [
            macro_f1(f.recordings, Weighting(np.ones((1, f.groups)), f.group[f.recordings.recording])).values[0]
            for f in folds
        ]
        print(
            f"seed {seed}: macro-F1 of {len(group)} recordings in {draws.groups} groups {scores[seed]:.3f} [{low:.3f}, {high:.3f}]; "
            f"per fold {', '.join(f'{value:.3f}' for value in per_fold)}",
            flush=True,
        )
    first_runs = [project / "results" / f"quality-{SEEDS[0]}-{fold}" for fold in range(FOLDS)]
    predicted, truth = (
        np.concatenate(parts) for parts in zip(*(baseline(project, r) for r in first_runs), strict=True)
    )
    baseline_score = f1_score(truth, predicted, average="macro")
    print(f"logistic regression on mean and standard deviation of the mel bands: {baseline_score:.3f}", flush=True)
    leakage = [read_json(run / "dataset" / "leakage.json") for run in first_runs]
    print(pd.DataFrame(leakage).to_string(index=False), flush=True)
    for seed, score in scores.items():
        assert 0.80 <= score <= 0.95, f"seed {seed}"
        assert baseline_score <= score - 0.15, f"seed {seed}"
