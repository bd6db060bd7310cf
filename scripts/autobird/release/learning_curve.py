"""Stage `learning_curve`: fit heads to fewer recordings, and test them on the same test recordings as the released head."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import safetensors.numpy
from numpy.typing import NDArray

from autobird.core.files import read_json, write_json
from autobird.core.stage import log, parser, run, settings_of, stage
from autobird.core.tables import read_table, write_csv
from autobird.dataset.present import holds_one
from autobird.evaluation.bootstrap import Resamples
from autobird.evaluation.calibration import fit_calibration
from autobird.evaluation.learning_curve import (
    Point,
    curve_sizes,
    curve_table,
    f1_of,
    learning_curve,
    nested_subset,
    no_curve,
)
from autobird.evaluation.learning_curve_figure import learning_curve_figure
from autobird.evaluation.metrics import Weighting, loss
from autobird.evaluation.pooling import first_seed_sentence
from autobird.evaluation.predictions import SplitPredictions, predictions_of_split, windows_to_predict, with_numbers
from autobird.evaluation.settings import EvaluationSettings
from autobird.model.embeddings import EmbeddedWindows, read_embeddings
from autobird.model.head_fit import Head, Problem, fit_head
from autobird.model.head_prior import Prior
from autobird.model.head_selection import CANDIDATES, MAX_WINDOWS, thinning_mask
from autobird.model.settings import HeadSettings
from autobird.predict.classification import Calibration, Outputs, outputs_of

DRAWS, DRAWS_OF_FOLDS = 5, 3
"""Random subsets for each point of the curve, for one split and for each fold of a cross-validation."""


@dataclass(frozen=True)
class Fold:
    """A data set, and how the head that was trained on it was fitted.

    Attributes:
        labels: species that the head knows.
        outputs: what the outputs of the head mean.
        settings: recipe.
        weight_decay: weight decay of the head.
        prior: part of its logits that was not trained.
        train: training windows, at most about `MAX_WINDOWS`; see `thinned`.
        names: recording of each training window, shape (windows,).
        recordings: one row per training recording: recording, group, and recording_species, the labels of its windows.
        validation: the validation windows (`PREDICTIONS` without the logits).
        validation_embeddings: of these windows, shape (windows, width).
        test: the test windows (`PREDICTIONS` without the logits).
        test_embeddings: of the test windows; shape (windows, width).
    """

    labels: list[str]
    outputs: Outputs
    settings: HeadSettings
    weight_decay: float
    prior: Prior
    train: EmbeddedWindows
    names: NDArray[Any]
    recordings: pd.DataFrame
    validation: pd.DataFrame
    validation_embeddings: NDArray[np.float16]
    test: pd.DataFrame
    test_embeddings: NDArray[np.float16]

    @classmethod
    def read(
        cls, index: Path, model: Path, weights: Path, embeddings: Sequence[Path], all_labels: Sequence[str]
    ) -> "Fold":
        """Read a data set.

        Args:
            index: its index.
            model: model.json of the head that was trained on it.
            weights: weights of that head.
            embeddings: arrays of all batches.
            all_labels: species of all folds; test recordings of these are predicted.
        """
        description, table = read_json(model), with_numbers(read_table(index))
        labels: list[str] = description["labels"]
        outputs = outputs_of(description)
        used = table[(table["dropped"] == "") & (table["split"] == "train")].reset_index(drop=True)
        if outputs == "softmax":
            used = used[holds_one(used)].reset_index(drop=True)
        of_recording = used.groupby("recording", sort=True)
        species = of_recording["present"].agg(lambda sets: sorted({name for names in sets for name in names}))
        recordings = pd.DataFrame({"group": of_recording["group"].first(), "recording_species": species})
        fitted = thinned(used)
        validation = windows_to_predict(table, labels)
        validation = validation[validation["split"] == "validation"].reset_index(drop=True)
        windows = windows_to_predict(table, list(all_labels))
        test = windows[windows["split"] == "test"].reset_index(drop=True)
        test_embeddings = read_embeddings(test, embeddings)
        train_settings = {name: description["train"][name] for name in HeadSettings.model_fields}
        return cls(
            labels,
            outputs,
            HeadSettings.model_validate(train_settings),
            float(description["weight_decay"]),
            _prior(weights, len(labels), test_embeddings.shape[1]),
            EmbeddedWindows.from_index(fitted, labels, embeddings),
            fitted["recording"].to_numpy(),
            recordings.reset_index(),
            validation,
            read_embeddings(validation, embeddings),
            test,
            test_embeddings,
        )  # fmt: skip

    def subset(self, size: int, draw: int) -> tuple[EmbeddedWindows, set[str]]:
        """Return the windows and the names of the training recordings of a point of the curve; see `nested_subset`."""
        names = nested_subset(self.recordings, size, draw)
        return self.train.subset(np.isin(self.names, list(names))), names

    def counts(self, names: set[str], labels: Sequence[str]) -> NDArray[np.float64]:
        """Return how many of some training recordings contain each species; shape (species,)."""
        species = self.recordings["recording_species"][self.recordings["recording"].isin(names)]
        count = species.explode().value_counts()
        return np.array([count.get(name, 0) for name in labels], np.float64)

    def calibration(self, head: Head) -> tuple[Calibration, pd.DataFrame]:
        """Return the calibration of a head, without thresholds, and the validation windows with its logits (`PREDICTIONS`)."""
        table = self.validation.assign(logits=list(head.logits(self.validation_embeddings)))
        return fit_calibration(table, self.labels, "mean", self.outputs), table

    def choose_weight_decay(self, windows: EmbeddedWindows) -> float:
        """Return the weight decay for few training windows: of `CANDIDATES` the one with the lowest loss on validation.

        The strength that suits all recordings is too weak for few, which would make the curve steeper than it is. A strength that
        the user set is kept.
        """
        if self.settings.weight_decay != "auto" or not len(self.validation):
            return self.weight_decay
        scaling, problem = Problem.of(windows, self.settings, self.prior)
        layers, losses = None, []
        for weight_decay in CANDIDATES:
            layers = problem.fit(weight_decay, None if self.settings.hidden else layers)
            head = Head(scaling, layers, self.prior)
            calibration, table = self.calibration(head)
            items = predictions_of_split(table, self.labels, "validation", calibration).windows
            equal = Weighting(np.ones((1, 1)), np.zeros(len(items), np.int64))
            losses.append(float(loss(items, equal).values[0]))
        return CANDIDATES[int(np.argmin(losses))]

    def fit(self, windows: EmbeddedWindows, weight_decay: float) -> Head:
        """Return a head that is fitted to some training windows."""
        return fit_head(windows, len(self.labels), self.settings, weight_decay, self.prior)

    def predict(self, head: Head, labels: Sequence[str]) -> pd.DataFrame:
        """Return the calibrated predictions of a head for the test windows (`PREDICTIONS`), with all labels of all folds."""
        logits = np.full((len(self.test), len(labels)), -np.inf)
        calibration, _ = self.calibration(head)
        logits[:, [labels.index(name) for name in self.labels]] = calibration.logits(head.logits(self.test_embeddings))
        return self.test.assign(logits=list(logits))


def thinned(windows: pd.DataFrame) -> pd.DataFrame:
    """Return at most about `MAX_WINDOWS` training windows, evenly spread over each recording, so that the cost of the curve is bounded.

    The heads of all points are fitted to these, so that they differ only in their recordings. Every set of species of a recording
    keeps a window.

    Args:
        windows: columns recording, present.
    """
    sets = windows["present"].map(tuple)
    part = windows.groupby([windows["recording"], sets], sort=False, dropna=False).ngroup().to_numpy(np.int64)
    keep = thinning_mask(part, MAX_WINDOWS)
    if not keep.all():
        log.info(
            "the curve uses %d of the %d training windows, spread evenly over each recording", keep.sum(), len(keep)
        )
    return windows[keep].reset_index(drop=True)


def _prior(weights: Path, species: int, width: int) -> Prior:
    """Return the prior of a head, from its weights; one that knows nothing if they have none."""
    tensors = safetensors.numpy.load_file(weights)
    if "prior.weight" not in tensors:
        return Prior.none(species, width)
    return Prior(tensors["prior.weight"], tensors["prior.bias"])


def sizes_of(folds: Sequence[Fold], labels: Sequence[str]) -> list[int]:
    """Return the largest numbers of recordings of a species at the points of the curve; see `curve_sizes`."""
    counts = np.stack([fold.counts(set(fold.recordings["recording"]), labels) for fold in folds])
    return curve_sizes(int(count) for count in counts.ravel())


def curve_points(
    folds: Sequence[Fold], labels: list[str], settings: EvaluationSettings
) -> tuple[list[Point], SplitPredictions, Resamples]:
    """Fit the heads of all points of the curve; return the points, the test recordings and their resamples.

    At least one species must have `SMALLEST` training recordings.

    Args:
        folds: one data set, or those of a cross-validation, whose test recordings are pooled.
        labels: species of all folds.
        settings: bootstrap, and how the probabilities of a recording are computed.
    """
    sizes = sizes_of(folds, labels)
    draws = DRAWS if len(folds) == 1 else DRAWS_OF_FOLDS
    unscaled = Calibration.none(folds[0].outputs, len(labels), settings.aggregation)
    calibration = replace(unscaled, smoothing=settings.smoothing)
    points: list[Point] = []
    split: SplitPredictions | None = None
    for size in sizes:
        decays = [
            fold.weight_decay if size == sizes[-1] else fold.choose_weight_decay(fold.subset(size, 0)[0])
            for fold in folds
        ]
        f1: list[NDArray[np.float64]] = []
        counts = np.zeros(len(labels))
        repeats = 1 if size == sizes[-1] else draws
        for draw in range(repeats):
            tables = []
            for fold, decay in zip(folds, decays, strict=True):
                windows, names = fold.subset(size, draw)
                tables.append(fold.predict(fold.fit(windows, decay), labels))
                counts += fold.counts(names, labels) / len(folds) / repeats
            predicted = predictions_of_split(pd.concat(tables, ignore_index=True), labels, "test", calibration)
            if split is None:
                split, resamples = predicted, predicted.resamples(settings.resamples, settings.seed)
            f1.append(f1_of(predicted, resamples))
        points.append(Point(size, np.stack(f1), counts))
        log.info("at most %d recordings of a species: weight decay %s", size, decays)
    assert split is not None
    return points, split, resamples


def main(argv: Sequence[str] | None = None) -> None:
    """Run the stage from the command line."""
    p = parser(__doc__)
    p.add_argument("--index", type=Path, nargs="+", required=True, help="index of the data set, or of each fold")
    p.add_argument("--model", type=Path, nargs="+", required=True, help="model.json of the head, or of each fold")
    p.add_argument("--weights", type=Path, nargs="+", required=True, help="weights of the head, or of each fold")
    p.add_argument("--embeddings", type=Path, nargs="+", required=True, help="arrays of all batches")
    for name in ("result", "table", "figure"):
        p.add_argument(f"--{name}", type=Path, required=True)
    args = p.parse_args(argv)
    settings = settings_of(EvaluationSettings, args.settings)
    with stage("learning_curve", args, [args.result, args.table, args.figure]):
        labels = sorted({name for model in args.model for name in read_json(model)["labels"]})
        folds = [
            Fold.read(index, model, weights, args.embeddings, labels)
            for index, model, weights in zip(args.index, args.model, args.weights, strict=True)
        ]
        result = no_curve(settings, len(labels))
        if len(labels) > 1 and sizes_of(folds, labels):
            result = learning_curve(*curve_points(folds, labels, settings), labels, settings)
        result = {"folds": len(folds), **result}
        result["summary"] += first_seed_sentence(len(folds))
        write_json(args.result, result)
        write_csv(args.table, curve_table(result))
        learning_curve_figure(args.figure, result)
        log.info("%s", result["summary"])


if __name__ == "__main__":
    run(main)
