"""Compare recipes of softmax heads on the validation and the test recordings of all folds, as the tables of docs/heads.md.

Needs the data sets of a cross-validation and the embeddings, which `snakemake crossval` makes:

    python scripts/head_recipes.py results/transfer results/features/transfer/embeddings/birdnet-2.4

The recipes of BirdNET-Analyzer's custom classifiers are written from its documentation and its published defaults.
"""

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from torch import nn
from torch.nn import functional as F

from autobird.backbone.base import Backbone
from autobird.backbone.load import load_backbone
from autobird.backbone.settings import BackboneSettings
from autobird.core.blas import one_blas_thread
from autobird.core.files import read_json
from autobird.core.tables import read_table
from autobird.evaluation.bootstrap import Resamples, bounded_interval, difference_interval
from autobird.evaluation.calibration import fit_calibration
from autobird.evaluation.metrics import Weighting, macro_f1
from autobird.evaluation.predictions import predictions_of_split, windows_to_predict, with_numbers
from autobird.model.embeddings import EmbeddedWindows, read_embeddings
from autobird.model.head_fit import fit_head
from autobird.model.head_prior import Prior
from autobird.model.head_selection import choose_weight_decay, evaluate_candidates
from autobird.model.settings import HeadSettings
from autobird.predict.classification import Calibration

Floats = NDArray[np.float64]

SPLITS = ("validation", "test")


@dataclass(frozen=True)
class Fold:
    """Training windows of a fold, and the windows to predict with their embeddings."""

    train: EmbeddedWindows
    first_windows: NDArray[np.int64]
    """For each training recording the row of its middle window, as cropped by BirdNET-Analyzer's default."""
    windows: pd.DataFrame
    embeddings: NDArray[np.float16]
    labels: list[str]


Recipe = Callable[[Fold, Backbone, int], Floats]
"""Returns the logits of the windows of a fold for a seed."""


def head(**settings: object) -> Recipe:
    """Return the recipe of Autobird's softmax heads with these settings."""

    def logits(fold: Fold, backbone: Backbone, seed: int) -> Floats:
        s = HeadSettings.model_validate({"outputs": "softmax", "label_smoothing": 0.0, **settings, "seed": seed})
        prior = Prior.of(backbone, fold.labels, s.backbone_prior)
        decay = s.weight_decay
        if decay == "auto":
            decay = choose_weight_decay(evaluate_candidates(fold.train, len(fold.labels), s, prior))
        return fit_head(fold.train, len(fold.labels), s, decay, prior).logits(fold.embeddings)

    return logits


def logistic_regression(fold: Fold, _backbone: Backbone, _seed: int) -> Floats:
    """Scikit-learn's logistic regression with its defaults on standardised embeddings."""
    scaler = StandardScaler().fit(fold.train.embeddings.astype(np.float64))
    model = LogisticRegression(max_iter=2000).fit(
        scaler.transform(fold.train.embeddings), fold.train.present.argmax(axis=1)
    )
    return np.asarray(model.decision_function(scaler.transform(fold.embeddings)))


def birdnet_analyzer(
    segments: bool, rate: float = 1e-4, hidden: int = 0, mixup: bool = False, upsampling: float = 0.0
) -> Recipe:
    """Return the recipe of BirdNET-Analyzer: sigmoid outputs, AdamW, a fifth of the windows for early stopping.

    Args:
        segments: train on all windows of a recording; otherwise on the middle one, its default.
        rate: learning rate; 0.0001 in versions 2, 0.001 before.
        hidden: size of the hidden layer.
        mixup: mix a quarter of the windows with others.
        upsampling: repeat windows of rare species until they have this share of those of the most frequent one.
    """

    def logits(fold: Fold, _backbone: Backbone, seed: int) -> Floats:
        rng, species = np.random.default_rng(seed), len(fold.labels)
        torch.manual_seed(seed)
        rows = np.arange(len(fold.train)) if segments else fold.first_windows
        x, label = fold.train.embeddings[rows].astype(np.float32), fold.train.present.argmax(axis=1)[rows]
        is_train = np.zeros(len(rows), bool)
        for s in np.unique(label):
            of_species = rng.permutation(np.flatnonzero(label == s))
            is_train[of_species[: max(1, int(0.8 * len(of_species)))]] = True
        y = np.eye(species, dtype=np.float32)[label]
        xt, yt = _upsampled(x[is_train], y[is_train], upsampling, rng)
        if mixup:
            _mix(xt, yt, rng)
        layers = [nn.Linear(x.shape[1], hidden), nn.ReLU()] if hidden else []
        network = nn.Sequential(*layers, nn.Linear(hidden or x.shape[1], species))
        for layer in (layer for layer in network if isinstance(layer, nn.Linear)):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)
        _train(network, (xt, yt), (x[~is_train], y[~is_train]), rate, rng)
        with torch.no_grad():
            p = torch.sigmoid(network(torch.from_numpy(fold.embeddings.astype(np.float32)))).double().numpy()
        return np.log(np.maximum(p / p.sum(axis=1, keepdims=True), 1e-9))

    return logits


def _upsampled(
    x: NDArray[np.float32], y: NDArray[np.float32], ratio: float, rng: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    rows = [np.arange(len(x))]
    for s in range(y.shape[1]):
        have = np.flatnonzero(y[:, s])
        missing = int(y.sum(axis=0).max() * ratio) - len(have)
        if missing > 0 and len(have):
            rows.append(rng.choice(have, missing))
    chosen = rng.permutation(np.concatenate(rows))
    return x[chosen], y[chosen]


def _mix(x: NDArray[np.float32], y: NDArray[np.float32], rng: np.random.Generator) -> None:
    """Replace a quarter of the windows by mixtures with others, weights from Beta(0.2, 0.2), in place."""
    n = len(x) // 4
    i, j = rng.choice(len(x), n, replace=False), rng.choice(len(x), n)
    share = rng.beta(0.2, 0.2, (n, 1)).astype(np.float32)
    x[i], y[i] = share * x[i] + (1 - share) * x[j], share * y[i] + (1 - share) * y[j]


def _train(
    network: nn.Module,
    train: tuple[NDArray[np.float32], NDArray[np.float32]],
    stop: tuple[NDArray[np.float32], NDArray[np.float32]],
    rate: float,
    rng: np.random.Generator,
) -> None:
    """Train up to 50 epochs with batches of 32, warm-up and cosine decay; keep the weights of the lowest loss on `stop`."""
    optimizer = torch.optim.AdamW(network.parameters(), weight_decay=0.004)
    x, y, xs, ys = (torch.from_numpy(v) for v in (*train, *stop))
    best, waited, kept = np.inf, 0, network.state_dict()
    for epoch in range(50):
        decayed = 0.1 + 0.45 * (1 + np.cos(np.pi * (epoch - 5) / 45))
        for group in optimizer.param_groups:
            group["lr"] = rate * ((epoch + 1) / 5 if epoch < 5 else decayed)
        for rows in torch.from_numpy(rng.permutation(len(x))).split(32):
            loss = F.binary_cross_entropy_with_logits(network(x[rows]), y[rows])
            loss = loss + 1e-5 * sum((p**2).sum() for p in network.parameters() if p.ndim > 1)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        with torch.no_grad():
            now = float(F.binary_cross_entropy_with_logits(network(xs), ys)) if len(xs) else 0.0
        waited += 1
        if now < best - 1e-3:
            best, waited, kept = now, 0, {name: value.clone() for name, value in network.state_dict().items()}
        if waited >= 5:
            break
    network.load_state_dict(kept)


RECIPES: dict[str, Recipe] = {
    "head, defaults": head(),
    "head, without the backbone's own logits": head(backbone_prior=0),
    "head, weight decay 1": head(weight_decay=1),
    "head, windows have equal weights": head(sampler="uniform"),
    "head, label smoothing 0.1": head(label_smoothing=0.1),
    "head, hidden layer of 64": head(hidden=64, weight_decay=0.03),
    "logistic regression of scikit-learn": logistic_regression,
    "BirdNET-Analyzer 2, defaults": birdnet_analyzer(segments=False),
    "BirdNET-Analyzer 2, all segments": birdnet_analyzer(segments=True),
    "BirdNET-Analyzer, all segments, learning rate 0.001": birdnet_analyzer(segments=True, rate=1e-3),
    "the same, mixup, upsampling 0.5": birdnet_analyzer(segments=True, rate=1e-3, mixup=True, upsampling=0.5),
    "the same, mixup, 512 hidden units": birdnet_analyzer(segments=True, rate=1e-3, mixup=True, hidden=512),
}
_GRADIENT = ("BirdNET", "the same", "head, hidden")
"""Beginnings of the names of recipes whose result depends on the seed."""


def read_fold(folder: Path, embeddings: list[Path], labels: list[str]) -> Fold:
    """Return the windows of a fold, from the data set of its member."""
    index = with_numbers(read_table(folder / "dataset/index.parquet"))
    train = index[(index["dropped"] == "") & (index["split"] == "train")].reset_index(drop=True)
    windows = windows_to_predict(index, labels)
    windows = windows[windows["split"].isin(SPLITS)].reset_index(drop=True)
    rows = train.groupby("recording", sort=False).apply(lambda g: g.index[len(g) // 2], include_groups=False)
    return Fold(
        EmbeddedWindows.from_index(train, labels, embeddings), rows.to_numpy(np.int64), windows,
        read_embeddings(windows, embeddings), labels,
    )  # fmt: skip


def scaled_logits(fold: Fold, logits: Floats) -> pd.DataFrame:
    """Return the windows of a fold with the logits that are calibrated on its validation windows."""
    table = fold.windows.assign(logits=list(logits))
    calibration = fit_calibration(table, fold.labels, "mean", "softmax")
    return table.assign(logits=list(calibration.logits(logits)))


def scores(tables: list[pd.DataFrame], labels: list[str], split: str) -> tuple[list[Floats], Resamples]:
    """Return macro-F1 by recording and by window of the pooled windows of a split, under the resamples of the groups."""
    scaled = Calibration.none("softmax", len(labels), "mean")
    pooled = predictions_of_split(pd.concat(tables, ignore_index=True), labels, split, scaled)
    draws = pooled.resamples(1000, 0)
    return [macro_f1(items, Weighting.of(draws, items)).values for items in (pooled.recordings, pooled.windows)], draws


def main() -> None:
    """Print the table as Markdown."""
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("run", type=Path, help="folder of the run")
    p.add_argument("embeddings", type=Path, help="folder of the embeddings of the backbone")
    p.add_argument("--seeds", type=int, default=3, help="seeds of recipes that are trained by stochastic gradients")
    p.add_argument("--only", default="", help="part of the names of the recipes to compare with the first one")
    args = p.parse_args()
    torch.set_num_threads(1)
    backbone = load_backbone(BackboneSettings())
    members = (
        folder for folder in sorted(args.run.glob("members/fold*")) if folder.name.removeprefix("fold").isdigit()
    )
    folders = [folder for folder in members if (folder / "dataset/index.parquet").is_file()]
    shards = sorted(args.embeddings.glob("*.npy"), key=lambda path: int(path.stem))
    labels = sorted({name for folder in folders for name in read_json(folder / "dataset/labels.json")})
    folds = [read_fold(folder, shards, labels) for folder in folders]
    reference: dict[str, Floats] = {}
    print(
        "| recipe | split | macro-F1 by recording | by window | first recipe minus this one, by recording | s per fold |"
    )
    print("|---|---|---|---|---|---|")
    for name, recipe in RECIPES.items():
        if reference and args.only not in name:
            continue
        start = time.monotonic()
        seeds = range(args.seeds if name.startswith(_GRADIENT) else 1)
        with one_blas_thread():
            runs = [[scaled_logits(fold, recipe(fold, backbone, seed)) for fold in folds] for seed in seeds]
        seconds = (time.monotonic() - start) / len(folds) / len(seeds)
        for split in SPLITS:
            results = [scores(tables, labels, split) for tables in runs]
            draws = results[0][1]
            by_recording, by_window = np.mean([values for values, _ in results], axis=0)
            reference.setdefault(split, by_recording)
            cells = [bounded_interval(v, draws, 0.95, draws.groups) for v in (by_recording, by_window)]
            cells.append(difference_interval(reference[split] - by_recording, draws, 0.95))
            texts = [f"{c[0]:.3f} [{c[1]:.3f}, {c[2]:.3f}]" if c else "" for c in cells]
            print(f"| {name} | {split} | {' | '.join(texts)} | {seconds:.1f} |", flush=True)


if __name__ == "__main__":
    main()
