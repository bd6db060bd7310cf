"""The demo is neither trivial nor hopeless: five folds, three training seeds, against a simple baseline."""

import json
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
from autobird.evaluation.bootstrap import resample_groups, share_interval
from autobird.evaluation.evaluate import calibration_of
from autobird.evaluation.metrics import Weighting, macro_f1
from autobird.evaluation.predictions import Items, Split, split_of
from tests.conftest import copy_project
from tests.workflow.conftest import environment

FOLDS, SEEDS = 5, (1, 2, 3)
pytestmark = pytest.mark.quality


def finish(project: Path, name: str, fold: int, seed: int) -> Path:
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


def answers_of(run: Path) -> tuple[Split, list[str]]:
    """The answers of the released variant about a run's test recordings."""
    labels = read_json(run / "dataset" / "labels.json")
    _, calibration = calibration_of(run / "release" / "calibration.json", labels)
    return split_of(read_table(run / "release" / "predictions.parquet"), labels, "test", calibration), labels


def together(parts: list[Split]) -> tuple[Items, np.ndarray]:
    """The recordings of all folds, and their groups; no group is tested twice."""
    fields = {name: np.concatenate([getattr(p.recordings, name) for p in parts]) for name in vars(parts[0].recordings)}
    offsets = np.cumsum([0, *(p.groups for p in parts)])
    return Items(**fields), np.concatenate([p.group + o for p, o in zip(parts, offsets, strict=False)])


def pooled(items: Items, group: np.ndarray) -> tuple[float, float, float, int]:
    """Macro-F1 of recordings, its 95 % interval, and the number of groups that were resampled."""
    draws = resample_groups(group, items.present, 1000, 0)
    found = macro_f1(items, Weighting(draws.weights, draws.group))
    interval = share_interval(found.values, draws, 0.95, found.groups)
    assert interval is not None
    return *interval, draws.groups


def baseline(project: Path, run: Path) -> tuple[np.ndarray, np.ndarray]:
    """Test predictions and truth of a logistic regression on mean and spread of the mel bands of each recording."""
    index = read_table(run / "dataset" / "index.parquet")
    index = index[index["dropped"] == ""]
    shards = [np.load(p, mmap_mode="r") for p in sorted((project / "results/features/demo/mels").glob("*.npy"))]
    features, species, split = [], [], []
    for _, rows in index.groupby("recording"):
        cells = [
            np.asarray(shards[s][f : f + 157], np.float32)
            for s, f in zip(rows["shard"], rows["first_frame"], strict=True)
        ]
        frames = np.concatenate(cells)
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


def test_the_demo_is_neither_trivial_nor_hopeless(tmp_path: Path) -> None:
    project = copy_project(tmp_path / "project")
    scores: dict[int, float] = {}
    for seed in SEEDS:
        parts = [answers_of(finish(project, f"quality-{seed}-{fold}", fold, seed)) for fold in range(FOLDS)]
        assert len({tuple(labels) for _, labels in parts}) == 1
        items, group = together([split for split, _ in parts])
        scores[seed], low, high, groups = pooled(items, group)
        by_fold = [pooled(s.recordings, s.group)[0] for s, _ in parts]
        print(
            f"seed {seed}: macro-F1 by recording, pooled over {len(group)} recordings in {groups} groups {scores[seed]:.3f} "
            f"[{low:.3f}, {high:.3f}]; by fold {', '.join(f'{v:.3f}' for v in by_fold)}",
            flush=True,
        )
    simple = [baseline(project, project / "results" / f"quality-{SEEDS[0]}-{fold}") for fold in range(FOLDS)]
    guessed, truth = (np.concatenate(part) for part in zip(*simple, strict=True))
    simple_f1 = f1_score(truth, guessed, average="macro")
    print(f"logistic regression on mean and spread of the mel bands: {simple_f1:.3f}", flush=True)
    leak = [
        json.loads((project / "results" / f"quality-1-{f}" / "dataset" / "leakage.json").read_text())
        for f in range(FOLDS)
    ]
    print(pd.DataFrame(leak).to_string(index=False), flush=True)
    for seed, value in scores.items():
        assert 0.80 <= value <= 0.95, f"seed {seed}"
        assert simple_f1 <= value - 0.15, f"seed {seed}"
