"""What 200 reviewed windows are worth on the demo: simulated decisions by each queue, thresholds and retrained networks.

`prepare` synthesises field recordings that are made for review (later days than those of the demo's scored field set) and the scored set,
and classifies both. `thresholds` chooses thresholds from simulated decisions and evaluates them on the scored set. `retrain QUEUE`
trains a network with the decisions of a queue; `results` compares the networks. `refit` is the cheap version of these two: it fits the last
layer of the run's network alone, with the decisions of each queue.

    python scripts/review_experiment.py prepare results/demo build/review
    python scripts/review_experiment.py thresholds results/demo build/review
    python scripts/review_experiment.py refit results/demo build/review --features results/features/demo
    python scripts/review_experiment.py retrain results/demo build/review --features results/features/demo --queue uncertain
    python scripts/review_experiment.py results results/demo build/review --features results/features/demo
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from multiprocessing import Pool as Processes
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from autobird.core.files import csv_text, write_bytes, write_json, write_text
from autobird.core.tables import read_table, write_table
from autobird.dataset.label_sets import LabelSets
from autobird.dataset.reviewed import decisions_of, label_reviewed_windows, review_weights, without_chosen
from autobird.dataset.schemas import INDEX
from autobird.dataset.settings import DatasetStageSettings
from autobird.dataset.split import hash_position, split_at
from autobird.evaluation.calibration import calibrate
from autobird.evaluation.field_data import FieldPredictions, read_boxes, window_truth
from autobird.evaluation.field_events import FOUND, RIGHT, WRONG, false_alarms, match_events
from autobird.evaluation.predictions import windows_to_predict, with_sound
from autobird.evaluation.settings import CalibrationSettings
from autobird.predict.bundle import Bundle
from autobird.predict.classification import Calibration, run_starts, smoothed
from autobird.predict.classifier import Classifier
from autobird.predict.graph import Graph
from autobird.release.score import logits_of
from autobird.review.candidates import build_pool
from autobird.review.items import ReviewItem
from autobird.review.pool import Pool
from autobird.review.precision import Precision
from autobird.review.queues import QueueOptions, make_queue
from autobird.review.sample import Sample
from autobird.review.thresholds import choose_thresholds
from autobird.sources.base import ABSENT, PRESENT, Box
from autobird.sources.review_table import COLUMNS, Review, verdicts
from autobird.synth.field import BOX_COLUMNS, box_rows, synthesise_field
from autobird.synth.field_plan import FieldPlan, plan_field
from autobird.synth.settings import DemoFieldSettings, DemoSettings

SCORED, REVIEWED = 32, 64
"""Numbers of field recordings: those of the demo, which are scored, and those of later days, which are reviewed."""

DECISIONS = 200

MIN_OVERLAP, TOLERANCE = 0.5, 0.2
"""As in the field evaluation of the demo, seconds."""

RESAMPLES = 2000

CLIPS = "random clips"
"""The reference: windows drawn at random, and the reviewer is asked about the most probable species."""


def main() -> None:
    """Run a part of the experiment."""
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("part", choices=("prepare", "thresholds", "refit", "retrain", "results"))
    p.add_argument("run", type=Path, help="folder of the finished demo run")
    p.add_argument("folder", type=Path, help="folder of the experiment")
    p.add_argument("--features", type=Path, help="folder of the features of the run")
    p.add_argument(
        "--queue", default="stratified", help="retrain: queue, or `random clips`, or `none` for no decisions"
    )
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--seeds", type=int, default=5)
    p.add_argument("--epochs", type=int, help="retrain: epochs; those of the run by default")
    args = p.parse_args()
    parts = {"prepare": prepare, "thresholds": thresholds, "refit": refit, "retrain": retrain, "results": results}
    parts[args.part](args)


# --- recordings and what is in them


def prepare(args: argparse.Namespace) -> None:
    """Synthesise and classify the recordings that are reviewed and those that are scored."""
    plans = plan_field(DemoSettings(), DemoFieldSettings(recordings=SCORED + REVIEWED))
    bundle = Bundle.load(args.run / "release" / "bundle")
    for name, part in (("scored", plans[:SCORED]), ("reviewed", plans[SCORED:])):
        folder = args.folder / name
        if not (folder / "truth.csv").is_file():
            with Processes() as processes:
                rows = processes.starmap(_synthesise, [(folder / "recordings", plan) for plan in part])
            write_text(folder / "truth.csv", csv_text([BOX_COLUMNS, *(row for some in rows for row in some)]))
        pool = build_pool(bundle, folder / "recordings", folder / "pool.npz")
        classifier = Classifier(bundle.folder)
        _write_frames(classifier, pool, folder)
        print(
            f"{name}: {len(pool.files)} recordings, {len(pool.window_file)} windows, {len(pool.item_window)} candidates"
        )


def _synthesise(folder: Path, plan: FieldPlan) -> list[list[str]]:
    data, songs = synthesise_field(plan)
    write_bytes(folder / plan.id, data)
    return box_rows(plan, songs)


def _write_frames(classifier: Classifier, pool: Pool, folder: Path) -> None:
    """Write the mel frames of all recordings as a shard, and a table of all windows, quiet ones included."""
    parts, rows, at = [], [], 0
    for name in [file.name for file in pool.files]:
        prediction = classifier.predict(folder / "recordings" / name)
        parts.append(prediction.frames.astype(np.float16))
        for n, start in enumerate(prediction.starts):
            first, quiet = at + int(prediction.first_frames[n]), bool(prediction.quiet[n])
            rows.append((name, float(start), prediction.duration, first, quiet, float(prediction.rms[n])))
        at += len(prediction.frames)
    np.save(folder / "mels.npy", np.concatenate(parts))
    columns = ["recording", "start", "duration", "first_frame", "quiet", "rms"]
    pd.DataFrame(rows, columns=columns).to_csv(folder / "windows.csv", index=False)


def field_predictions(
    folder: Path, probabilities: np.ndarray, limits: np.ndarray, labels: tuple[str, ...]
) -> FieldPredictions:
    """Return the delivered predictions for the recordings of a folder.

    Args:
        folder: of the set.
        probabilities: of all windows; shape (windows, species).
        limits: thresholds; shape (species,).
        labels: species.
    """
    windows = pd.read_csv(folder / "windows.csv")
    codes, names = pd.factorize(windows["recording"], sort=True)
    quiet = windows["quiet"].to_numpy(bool)
    start = windows["start"].to_numpy()
    end = np.minimum(start + 5.0, windows["duration"].to_numpy())
    detected = (probabilities >= limits) & ~quiet[:, None]
    recording, number = codes.astype(np.int64), np.arange(len(codes))
    is_start = run_starts(detected, recording, number)
    rows = []
    for s in range(len(labels)):
        on = np.flatnonzero(detected[:, s])
        for run in np.split(on, np.flatnonzero(is_start[on, s])[1:]) if len(on) else ():
            rows.append((recording[run[0]], start[run[0]], end[run[-1]], s, probabilities[run, s].max()))
    detections = pd.DataFrame(rows, columns=["recording", "start", "end", "species", "probability"]).astype(
        {"recording": np.int64, "species": np.int64, "start": float, "end": float, "probability": float}
    )
    duration = windows.groupby("recording")["duration"].first().loc[list(names)].to_numpy()
    return FieldPredictions(
        labels, list(names), duration, recording, start, end, quiet, np.where(quiet[:, None], 0, probabilities).astype(np.float32),
        detected, detections.sort_values(["recording", "start", "species"], ignore_index=True),
    )  # fmt: skip


def truth_table(folder: Path) -> pd.DataFrame:
    """Return the boxes of a set."""
    return pd.read_csv(folder / "truth.csv", keep_default_na=False)


# --- simulated decisions


class Reviewer:
    """A reviewer who knows the boxes: answers of the demo's truth.

    A species that a box overlaps by half a second is there; one that a box touches less, or in a window with a song that is not clear, is
    unsure. If the species is absent and another one sings, the decision names the one that sings longest.
    """

    def __init__(self, folder: Path) -> None:
        self._boxes = dict(iter(truth_table(folder).groupby("recording")))

    def decide(self, item: ReviewItem) -> Review:
        """Return the decision about an item."""
        decision, other = "no", ""
        boxes = self._boxes.get(item.file)
        if boxes is not None:
            start, end = boxes["start"].to_numpy(), boxes["end"].to_numpy()
            overlap = np.minimum(end, item.end) - np.maximum(start, item.start)
            enough = overlap >= np.minimum(MIN_OVERLAP, end - start) - 1e-6
            unnamed = (boxes["problem"] != "").to_numpy()
            species = boxes["species"].to_numpy()
            if (enough & (species == item.species)).any():
                decision = "yes"
            elif ((overlap > -TOLERANCE) & ((species == item.species) | unnamed)).any():
                decision = "unsure"
            elif (enough & ~unnamed).any():
                decision, other = "other", str(species[np.where(enough & ~unnamed, overlap, -1).argmax()])
        return Review(
            item.file, item.start, item.end, item.species, decision, other, "simulated", "2026-01-01T00:00:00+00:00", item.model,
            item.stratum, item.probability, item.sampling_probability,
        )  # type: ignore[arg-type]  # fmt: skip


def queue_of(pool: Pool, limits: dict[str, float], queue: str, seed: int) -> list[ReviewItem]:
    """Return the first `DECISIONS` items of a queue."""
    if queue == CLIPS:
        top = top_items(pool)
        best = np.random.default_rng(seed).choice(top, min(DECISIONS, len(top)), replace=False)
        every = make_queue(pool, limits, QueueOptions("random", len(pool.item_window)))
        by_key = {item.key: item for item in every}
        keys = [
            (
                pool.files[pool.window_file[w]].name,
                float(pool.window_start[w]),
                float(pool.window_end[w]),
                pool.labels[s],
            )
            for w, s in zip(pool.item_window[best], pool.item_species[best], strict=True)
        ]
        share = len(best) / len(top)
        return [replace(by_key[key], stratum=f"random {pool.floor:g}-1", sampling_probability=share) for key in keys]  # type: ignore[index]
    return make_queue(pool, limits, QueueOptions(queue, DECISIONS, seed))  # type: ignore[arg-type]


def top_items(pool: Pool) -> np.ndarray:
    """Return the most probable item of each window that has one, as indices."""
    return np.flatnonzero(pool.window_best[pool.item_window] == pool.item_species)


def decisions(args: argparse.Namespace, queue: str, seed: int) -> list[Review]:
    """Return the simulated decisions of a queue."""
    folder = args.folder / "reviewed"
    pool, bundle = Pool.load(folder / "pool.npz"), Bundle.load(args.run / "release" / "bundle")
    limits = dict(zip(bundle.labels, bundle.thresholds.tolist(), strict=True))
    reviewer = Reviewer(folder)
    return [reviewer.decide(item) for item in queue_of(pool, limits, queue, seed)]


# --- evaluation


class Scores:
    """Counts of right and wrong detections and found events of each session, for paired intervals."""

    def __init__(self, folder: Path, labels: tuple[str, ...]) -> None:
        self._folder, self._labels = folder, labels
        self._boxes = truth_table(folder)
        pool = Pool.load(folder / "pool.npz")
        session = {file.name: file.session for file in pool.files}
        names = sorted(session)
        self._session = np.unique([session[name] for name in names], return_inverse=True)[1]
        self.sessions = int(self._session.max()) + 1
        self.weights = np.random.default_rng(0).multinomial(
            self.sessions, np.full(self.sessions, 1 / self.sessions), RESAMPLES
        )

    def counts(self, probabilities: np.ndarray, limits: np.ndarray) -> np.ndarray:
        """Return right, wrong, found, events, false alarms, hours without the model's species; shape (sessions, 6)."""
        found = field_predictions(self._folder, probabilities, limits, self._labels)
        truth = read_boxes(self._boxes, found)
        windows = window_truth(truth, found, MIN_OVERLAP, TOLERANCE)
        detections, events = match_events(found, truth, 5.0, MIN_OVERLAP, TOLERANCE)
        alarms = false_alarms(found, windows)
        n = len(found.names)
        hours = np.bincount(found.recording[windows.empty], found.hours[windows.empty], n)
        columns = [
            np.bincount(detections.loc[detections["outcome"] == RIGHT, "recording"], minlength=n),
            np.bincount(detections.loc[detections["outcome"] == WRONG, "recording"], minlength=n),
            np.bincount(events.loc[events["outcome"] == FOUND, "recording"], minlength=n),
            np.bincount(events["recording"], minlength=n),
            np.bincount(alarms["recording"], minlength=n),
            hours,
        ]
        out = np.zeros((self.sessions, len(columns)))
        np.add.at(out, self._session, np.stack(columns, axis=1))
        return out

    def values(self, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return F1, false alarms per hour, precision and recall: of all sessions, (4,), and of the resamples, (4, resamples)."""
        return _values(counts.sum(axis=0)[None])[:, 0], _values(self.weights @ counts)

    def difference(self, a: np.ndarray, b: np.ndarray) -> list[tuple[float, float, float]]:
        """Return b minus a of each value with its paired 95 % interval over sessions; both are results of `_mean`."""
        (a0, a_draws), (b0, b_draws) = a, b
        return [
            (float(b0[n] - a0[n]), *np.quantile(b_draws[n] - a_draws[n], [0.025, 0.975]).tolist())
            for n in range(len(a0))
        ]


def _values(sums: np.ndarray) -> np.ndarray:
    right, wrong, found, events, alarms, hours = sums.T
    precision, recall = right / np.maximum(1, right + wrong), found / np.maximum(1, events)
    return np.stack(
        [
            2 * precision * recall / np.maximum(1e-9, precision + recall),
            alarms / np.maximum(1e-9, hours),
            precision,
            recall,
        ]
    )


def _mean(scores: Scores, counts: Sequence[np.ndarray]) -> Any:
    values = [scores.values(c) for c in counts]
    return np.mean([v for v, _ in values], axis=0), np.mean([d for _, d in values], axis=0)


def _line(name: str, scores: Scores, value: Any, reference: Any | None) -> str:
    v, draws = value
    low, high = np.quantile(draws, [0.025, 0.975], axis=1)
    text = f"| {name} | {v[0]:.3f} [{low[0]:.3f}, {high[0]:.3f}] | {v[2]:.3f} | {v[3]:.3f} | {v[1]:.0f} [{low[1]:.0f}, {high[1]:.0f}] |"
    if reference is None:
        return f"{text} | |"
    f1, alarms = scores.difference(reference, value)[:2]
    return f"{text} {f1[0]:+.3f} [{f1[1]:+.3f}, {f1[2]:+.3f}] | {alarms[0]:+.0f} [{alarms[1]:+.0f}, {alarms[2]:+.0f}] |"


HEADER = (
    "| | F1 by event | precision | recall | false alarms per hour | F1 minus reference | false alarms minus reference |\n"
    "|---|---|---|---|---|---|---|"
)


def logits_of_set(onnx: Path, folder: Path) -> np.ndarray:
    """Return the logits of all windows of a set."""
    windows = pd.read_csv(folder / "windows.csv").assign(shard=0)
    return np.concatenate(list(logits_of(Graph(onnx), windows, [np.load(folder / "mels.npy", mmap_mode="r")], 157)))


def delivered(calibration: Calibration, logits: np.ndarray, folder: Path) -> np.ndarray:
    """Return the probabilities that users get, smoothed over neighbouring windows; 0 in quiet windows; shape (windows, species).

    Args:
        calibration: of the network.
        logits: of all windows of the set, quiet ones included; shape (windows, species).
        folder: of the set.
    """
    windows = pd.read_csv(folder / "windows.csv")
    loud = np.flatnonzero(~windows["quiet"].to_numpy(bool))
    recording = pd.factorize(windows["recording"], sort=True)[0].astype(np.int64)
    probabilities = np.zeros(logits.shape)
    probabilities[loud] = smoothed(
        calibration.probabilities(logits[loud]), recording[loud], loud, calibration.smoothing, calibration.distance
    )
    return probabilities


def thresholds(args: argparse.Namespace) -> None:
    """Choose thresholds from the decisions of each sample, and print what they give on the scored set."""
    bundle = Bundle.load(args.run / "release" / "bundle")
    scores = Scores(args.folder / "scored", bundle.labels)
    scored = args.folder / "scored"
    probabilities = delivered(bundle.calibration, logits_of_set(bundle.folder / "model.onnx", scored), scored)
    pool = Pool.load(args.folder / "reviewed" / "pool.npz")
    before = _mean(scores, [scores.counts(probabilities, bundle.thresholds)])
    print(f"{scores.sessions} sessions; thresholds of the bundle {bundle.fingerprint}\n\n{HEADER}")
    print(_line("thresholds of the bundle", scores, before, None))
    for wanted in (0.7, 0.8, 0.9):
        found = {}
        own = np.nan_to_num(bundle.precision_thresholds[wanted], nan=np.inf)
        print(
            _line(
                f"no review, precision {wanted:g}", scores, _mean(scores, [scores.counts(probabilities, own)]), before
            )
        )
        for queue in (CLIPS, "random", "stratified"):
            counts = []
            for seed in range(args.seeds):
                reviews = decisions(args, queue, seed)
                sample = Sample.of(pool, reviews)
                if queue == CLIPS:
                    top = top_items(pool)
                    sample = replace(
                        sample,
                        population_species=pool.item_species[top].astype(np.int64),
                        population_probability=pool.item_probability[top].astype(float),
                    )
                limits = bundle.thresholds.copy()
                for chosen in choose_thresholds(Precision(sample), wanted):
                    limits[bundle.labels.index(chosen.species)] = chosen.threshold
                counts.append(scores.counts(probabilities, limits))
            found[queue] = _mean(scores, counts)
            name, reference = f"{queue}, precision {wanted:g}", before if queue == CLIPS else found[CLIPS]
            print(_line(name, scores, found[queue], reference), flush=True)
            if queue != CLIPS:
                print(_line(f"{name}, against the bundle", scores, found[queue], before), flush=True)


# --- retraining


def retrain(args: argparse.Namespace) -> None:
    """Train a network with the decisions of a queue, as the source `reviews` and the stage `dataset` would label them."""
    out = args.folder / "retrained" / f"{args.queue.replace(' ', '_')}-{args.seed}"
    reviewed = args.folder / "reviewed"
    reviews = [] if args.queue == "none" else decisions(args, args.queue, args.seed)
    write_text(out / "reviews.csv", csv_text([list(COLUMNS), *(r.row() for r in reviews)]))
    index = read_table(args.run / "dataset" / "index.parquet")
    index["weight"] = 1.0
    shards = sorted((args.features / "mels").glob("*.npy"), key=lambda path: int(path.stem))
    index = pd.concat([index, _review_rows(reviews, reviewed, len(shards))], ignore_index=True)
    # Reviewed windows are not shifted.
    limits = ["earliest", "latest"]
    index[limits] = index[limits].apply(lambda column: column.fillna(index["start"])).astype("int64")
    write_table(out / "index.parquet", index, INDEX)
    from autobird.model.recorded_settings import settings_of_model

    model = json.loads((args.run / "model" / "model.json").read_text())
    features, settings = (
        model["features"],
        settings_of_model(model).model_dump(mode="json")
        | ({} if args.epochs is None else {"epochs": args.epochs})
        | {"seed": model["train"]["seed"] + args.seed},
    )
    command = [
        sys.executable, "-m", "autobird.model.train", "--settings", json.dumps(settings), "--front-end", json.dumps(features),
        "--checkpoints", str(out / "checkpoints"), "--index", str(out / "index.parquet"),
        "--labels", str(args.run / "dataset" / "labels.json"), "--normalisation", str(args.run / "dataset" / "normalisation.json"),
        "--shards", *map(str, shards), str(reviewed / "mels.npy"), "--weights", str(out / "model" / "weights.safetensors"),
        "--model", str(out / "model" / "model.json"), "--history", str(out / "model" / "history.csv"), "--log", str(out / "train.log"),
    ]  # fmt: skip
    subprocess.run(command, check=True)
    export = [
        sys.executable, "-m", "autobird.release.export", "--weights", str(out / "model" / "weights.safetensors"), "--model",
        str(out / "model" / "model.json"), "--output", str(out / "float.onnx"), "--log", str(out / "export.log"),
    ]  # fmt: skip
    subprocess.run(export, check=True)


def _review_rows(reviews: Sequence[Review], folder: Path, shard: int) -> pd.DataFrame:
    """Return the rows of the index of the reviewed recordings."""
    found = verdicts(reviews)
    boxes = [
        (key.file, key.start, key.end, species, "", PRESENT if present else ABSENT, sampling)
        for key, v in found.items()
        if v.present is not None
        for species, present, sampling in (
            [(key.species, v.present, v.sampling_probability or 0.0)]
            + ([(v.other_species, True, 0.0)] if v.other_species else [])
        )
    ]
    settings = DatasetStageSettings()
    pool = Pool.load(folder / "pool.npz")
    session = {file.name: file.session for file in pool.files}
    windows = pd.read_csv(folder / "windows.csv")
    windows = windows[windows["recording"].isin({box[0] for box in boxes})].reset_index(drop=True)
    windows["start"] = (windows["start"] * settings.sample_rate).round().astype(np.int64)
    table = pd.DataFrame(boxes, columns=list(Box._fields))
    index = windows.drop(columns="duration").join(label_reviewed_windows(windows, decisions_of(table), settings))
    nothing: list[list[str]] = [[] for _ in range(len(index))]
    index = index.assign(unknown=nothing, species="", negative=False, shard=shard, row=0, mel_std=1.0)
    index["group"] = index["recording"].map(session)
    index["split"] = index["recording_split"] = [
        split_at(hash_position(group, settings.seed), settings) for group in index["group"]
    ]
    without_chosen(index)
    known = (index["present"].map(len) + index["absent"].map(len)) > 0
    index["dropped"] = np.where(index["quiet"], "quiet", np.where(known, "", "not reviewed"))
    index["weight"] = review_weights(index)
    for name in ("present", "absent", "unknown"):
        index[f"recording_{name}"] = nothing
    return index.assign(recording_default="unknown")


def calibration_of(
    onnx: Path, index: pd.DataFrame, shards: Sequence[Path], labels: tuple[str, ...], rate: int
) -> Calibration:
    """Return the calibration of a network on the validation windows of an index."""
    windows = windows_to_predict(index, list(labels))
    windows = windows[windows["split"] == "validation"].reset_index(drop=True)
    blocks = logits_of(Graph(onnx), windows, [np.load(path, mmap_mode="r") for path in shards], 157)
    durations = windows.groupby("recording")["start"].max() / rate + 5.0
    table = with_sound(windows, durations, rate).assign(logits=[row for block in blocks for row in block])
    return calibrate(table, list(labels), "independent", CalibrationSettings()).calibration


PENALTY = 0.1
"""Weight of the penalty of a refitted layer, in windows for a squared difference of 1 from the former one."""


def _vectors_of(run: Path, files: Sequence[Path], windows: pd.DataFrame) -> np.ndarray:
    """Return the inputs of the network's last layer; shape (windows, width)."""
    import torch

    from autobird.model.trained import load_trained

    torch.set_num_threads(1)
    model = json.loads((run / "model" / "model.json").read_text())
    network: Any = load_trained(model, run / "model" / "weights.safetensors")[0].eval()
    shards = [np.load(path, mmap_mode="r") for path in files]
    parts = []
    with torch.inference_mode():
        for at in range(0, len(windows), 64):
            part = windows.iloc[at : at + 64]
            x = np.stack([shards[s][f : f + 157] for s, f in zip(part["shard"], part["first_frame"], strict=True)])
            x = torch.from_numpy(x.astype(np.float32)).transpose(1, 2).unsqueeze(1)
            parts.append(network.features(x).float().numpy())
    return np.concatenate(parts)


def _layer(run: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return weights (species, width) and bias (species,) of the network's last layer."""
    import safetensors.numpy

    weights = safetensors.numpy.load_file(run / "model" / "weights.safetensors")
    return weights["classifier.weight"].astype(float), weights["classifier.bias"].astype(float)


def _fit(
    old: np.ndarray, new: np.ndarray, table: pd.DataFrame, labels: tuple[str, ...], layer: tuple[np.ndarray, np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """Return the layer that fits the known cells of reviewed windows and gives the former answers for the old training windows.

    It minimises the cross-entropy of both, the old windows with the probabilities of the former layer as targets, plus a penalty of the
    difference from the former layer. Without reviewed windows, it is the former layer.

    Args:
        old: inputs of the layer for the old training windows; shape (windows, width).
        new: the same for the reviewed windows for training.
        table: label sets of the reviewed windows.
        labels: species.
        layer: weights and bias of the former layer.
    """
    from scipy.optimize import minimize
    from scipy.special import expit

    sets = LabelSets.of(table, labels)
    weights, bias = layer[0].copy(), layer[1].copy()
    for s in range(len(labels)):
        known = sets.known[:, s]
        if not known.any():
            continue
        x = np.concatenate([old, new[known]])
        design, start = np.column_stack([x, np.ones(len(x))]), np.append(layer[0][s], layer[1][s])
        target = np.concatenate([expit(old @ layer[0][s] + layer[1][s]), sets.present[known, s]])

        def loss(beta: np.ndarray, design: Any = design, target: Any = target, start: Any = start) -> Any:
            z = design @ beta
            value = (np.logaddexp(0, z) - target * z).sum() + PENALTY * ((beta - start) ** 2).sum()
            return value, design.T @ (expit(z) - target) + 2 * PENALTY * (beta - start)

        beta = minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": 100}).x
        weights[s], bias[s] = beta[:-1], beta[-1]
    return weights, bias


def refit(args: argparse.Namespace) -> None:
    """Refit the last layer with the decisions of each queue, and print what it gives on the scored set."""
    bundle, reviewed, scored = (
        Bundle.load(args.run / "release" / "bundle"),
        args.folder / "reviewed",
        args.folder / "scored",
    )
    labels, rate = bundle.labels, bundle.features.sample_rate
    shards = sorted((args.features / "mels").glob("*.npy"), key=lambda path: int(path.stem))
    index = read_table(args.run / "dataset" / "index.parquet").assign(weight=1.0)
    windows = windows_to_predict(index, list(labels))
    old = pd.concat(
        [index[(index["split"] == "train") & (index["dropped"] == "")], windows[windows["split"] == "validation"]]
    )
    old = old.drop_duplicates(["recording", "start"]).reset_index(drop=True)
    cache = args.folder / "vectors.npz"
    if not cache.is_file():
        sets = {
            name: pd.read_csv(folder / "windows.csv").assign(shard=0)
            for name, folder in (("r", reviewed), ("s", scored))
        }
        np.savez(
            cache, old=_vectors_of(args.run, shards, old), reviewed=_vectors_of(args.run, [reviewed / "mels.npy"], sets["r"]),
            scored=_vectors_of(args.run, [scored / "mels.npy"], sets["s"]),
        )  # fmt: skip
    vectors = np.load(cache)
    table = pd.read_csv(reviewed / "windows.csv")
    row_of = {key: n for n, key in enumerate(zip(table["recording"], table["first_frame"], strict=True))}
    scores, layer = Scores(scored, labels), _layer(args.run)
    found: dict[str, Any] = {}
    known: dict[str, list[int]] = {}
    queues = [("former", 1), (CLIPS, args.seeds), ("random", args.seeds), ("stratified", args.seeds)]
    for queue, seeds in [*queues, ("uncertain", 1), ("unlike", 1)]:
        counts = []
        for seed in range(seeds):
            reviews = [] if queue == "former" else decisions(args, queue, seed)
            new = _review_rows(reviews, reviewed, len(shards)) if reviews else old.iloc[:0]
            both = pd.concat([old, new], ignore_index=True)
            rows = [row_of[key] for key in zip(new["recording"], new["first_frame"], strict=True)]
            x = np.concatenate([vectors["old"], vectors["reviewed"][rows]])
            train = ((both["split"] == "train") & (both["dropped"] == "")).to_numpy()
            validation, is_old = (both["split"] == "validation").to_numpy(), np.arange(len(both)) < len(old)
            w, b = _fit(x[train & is_old], x[train & ~is_old], both[train & ~is_old], labels, layer)
            checked = both[validation].reset_index(drop=True)
            durations = checked.groupby("recording")["start"].max() / rate + 5.0
            checked = with_sound(checked, durations, rate).assign(
                logits=list((x[validation] @ w.T + b).astype(np.float32))
            )
            calibration = calibrate(checked, list(labels), "independent", CalibrationSettings()).calibration
            probabilities = delivered(calibration, vectors["scored"] @ w.T + b, scored)
            counts.append(scores.counts(probabilities, calibration.thresholds))
            known.setdefault(queue, []).append(int((new["dropped"] == "").sum()) if len(new) else 0)
        found[queue] = _mean(scores, counts)
        if queue == "former":
            print(f"{scores.sessions} sessions; reference: random clips; of these: former\n\n{HEADER}")
        reference = found["former"] if queue == CLIPS else found.get(CLIPS)
        reference = None if queue == "former" else reference
        print(_line(f"{queue} ({np.mean(known[queue]):.0f} windows)", scores, found[queue], reference), flush=True)
    for queue in ("random", "stratified", "uncertain", "unlike"):
        print(_line(f"{queue}, against former", scores, found[queue], found["former"]))


def results(args: argparse.Namespace) -> None:
    """Print what the networks give on the scored set and on the test recordings of the run."""
    bundle = Bundle.load(args.run / "release" / "bundle")
    scored = args.folder / "scored"
    scores = Scores(scored, bundle.labels)
    shards = sorted((args.features / "mels").glob("*.npy"), key=lambda path: int(path.stem))
    networks = {
        "former": (args.run / "release" / "float.onnx", read_table(args.run / "dataset" / "index.parquet"), shards)
    }
    for folder in sorted((args.folder / "retrained").glob("*")):
        if (folder / "float.onnx").is_file():
            index = read_table(folder / "index.parquet")
            networks[folder.name] = (folder / "float.onnx", index, [*shards, args.folder / "reviewed" / "mels.npy"])
    found: dict[str, Any] = {}
    by_queue: dict[str, list[np.ndarray]] = {}
    for name, (onnx, index, files) in networks.items():
        calibration = calibration_of(onnx, index, files, bundle.labels, bundle.features.sample_rate)
        probabilities = delivered(calibration, logits_of_set(onnx, scored), scored)
        by_queue.setdefault(name.rpartition("-")[0] or name, []).append(
            scores.counts(probabilities, calibration.thresholds)
        )
    for name, counts in by_queue.items():
        found[name] = _mean(scores, counts)
    write_json(args.folder / "results.json", {name: value[0].tolist() for name, value in found.items()})
    # Several trainings without decisions are a fairer reference than the one network of the run.
    base = "none" if "none" in found else "former"
    print(f"{scores.sessions} sessions; reference: {base}\n\n{HEADER}")
    for name, value in found.items():
        reference = None if name in ("former", base) else found[base]
        print(_line(f"{name} ({len(by_queue[name])} trainings)", scores, value, reference))
    if "random_clips" in found:
        print(f"\nagainst random clips\n\n{HEADER}")
        for name, value in found.items():
            if name not in ("former", base, "random_clips"):
                print(_line(name, scores, value, found["random_clips"]))


if __name__ == "__main__":
    main()
