"""Choose the weight decay of a head by grouped cross-validation inside the training split."""

import hashlib
import logging
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize, minimize_scalar
from scipy.special import expit, log_softmax

from autobird.model.embeddings import EmbeddedWindows
from autobird.model.head_fit import Problem, window_weights
from autobird.model.head_prior import Prior
from autobird.model.settings import HeadSettings

log = logging.getLogger("autobird")

CANDIDATES = (3.0, 1.0, 0.3, 0.1, 0.03, 0.01)
"""Strengths of the weight decay to choose from, strongest first: each fit starts from the solution of the one before. Stronger
ones would leave little but the prior, which the training recordings may overrate: the backbone may have been trained on them."""

DEFAULT = 1.0
"""Strength without enough groups to choose one."""

_FOLDS = 5
"""Number of folds of the inner cross-validation."""

_LOG_TEMPERATURES = (float(np.log(0.05)), float(np.log(20.0)))
"""Bounds of the logarithm of the temperature."""

MAX_WINDOWS = 20_000
"""Largest number of windows for the choice; of a larger training split, windows spread evenly over each recording are used."""


@dataclass(frozen=True)
class Candidate:
    """A strength of the weight decay and its result in the inner cross-validation.

    Attributes:
        weight_decay: the strength.
        loss: cross-entropy of the windows left out, weighted as in training, after calibration, nats; of independent outputs the sum
            over the species. The calibration is that of all folds together, because the released head is calibrated, too.
        macro_f1: mean over the species of the F1 of the windows left out, each with its most probable species; with independent
            outputs, each with those whose probability is at least 1/2.
        temperature: what the logits are divided by.
        bias: what is added then; 0 for a softmax.
    """

    weight_decay: float
    loss: float
    macro_f1: float
    temperature: float
    bias: float


def inner_folds(windows: EmbeddedWindows, folds: int = _FOLDS) -> NDArray[np.int64]:
    """Return the fold of each window; shape (windows,).

    Groups are not divided. The groups of a species are dealt to the folds in turn, in the order of a stable hash of their keys;
    the species of a group is that of most of its windows. Groups of mostly negative windows are dealt as if negative were a species.
    """
    groups = len(windows.group_names)
    count = np.zeros((groups, windows.present.shape[1] + 1), np.int64)
    window, species = np.nonzero(np.column_stack([windows.present, windows.negative]))
    np.add.at(count, (windows.group[window], species), 1)
    hashed = [hashlib.sha256(name.encode()).hexdigest() for name in windows.group_names]
    used = np.flatnonzero(count.sum(axis=1))
    order = sorted(used, key=lambda g: (int(count[g].argmax()), hashed[g]))
    fold = np.zeros(groups, np.int64)
    fold[order] = np.arange(len(order)) % folds
    return fold[windows.group]


def evaluate_candidates(
    windows: EmbeddedWindows, species: int, settings: HeadSettings, prior: Prior | None = None
) -> list[Candidate]:
    """Return the results of all strengths of the weight decay, in the order of `CANDIDATES`.

    A species of a window left out counts if the species occurs in the training part of the fold; a window of a softmax, if its
    species does. The list is empty if none does.

    Args:
        windows: training windows.
        species: number of logits.
        settings: recipe.
        prior: what the backbone knows of the species; None: nothing.
    """
    windows = windows.subset(thinning_mask(windows.recording, MAX_WINDOWS))
    prior = prior or Prior.none(species, windows.embeddings.shape[1])
    fold = inner_folds(windows)
    counted = windows.known.copy()
    logits = np.full((len(CANDIDATES), len(windows), species), np.nan)
    for k in np.unique(fold):
        train = windows.subset(fold != k)
        learnt = train.present.any(axis=0)
        left_out = fold == k
        if settings.outputs == "softmax":
            left_out &= (windows.present & learnt).any(axis=1)
        counted[left_out] &= learnt
        if not learnt.any() or not left_out.any():
            continue
        scaling, problem = Problem.of(train, settings, prior)
        x, layers = scaling.apply(windows.embeddings[left_out]), None
        offset = prior.logits(windows.embeddings[left_out])
        for n, weight_decay in enumerate(CANDIDATES):
            # A hidden layer starts from its initial weights each time: its result depends on the start.
            layers = problem.fit(weight_decay, None if settings.hidden else layers)
            logits[n, left_out] = layers.logits(x) + offset
    used = ~np.isnan(logits[0, :, 0])
    if not (windows.present & counted)[used].any():
        return []
    scored = replace(windows.subset(used), known=counted[used])
    return [_result(w, z[used], scored, settings) for w, z in zip(CANDIDATES, logits, strict=True)]


def choose_weight_decay(candidates: list[Candidate]) -> float:
    """Return the strength with the lowest loss; `DEFAULT` if there are no results."""
    if not candidates:
        log.warning(
            "no species has two groups of training recordings, so the weight decay cannot be chosen; it is %g", DEFAULT
        )
        return DEFAULT
    return min(candidates, key=lambda c: c.loss).weight_decay


def _result(weight_decay: float, z: NDArray[np.float64], windows: EmbeddedWindows, settings: HeadSettings) -> Candidate:
    """Return the scores of logits of shape (windows, species)."""
    weights = window_weights(windows, settings)
    present, known = windows.present & windows.known, windows.known
    if settings.outputs == "softmax":
        temperature, bias, loss = _best_temperature(z, windows.present, weights)
        predicted = np.eye(z.shape[1], dtype=bool)[z.argmax(axis=1)]
        present, known = windows.present, np.ones_like(known)
    else:
        temperature, bias, loss = _best_scale_and_bias(z, present, weights[:, None] * known)
        predicted = z / temperature + bias >= 0
    correct = (predicted & present).sum(axis=0)
    true, named = present.sum(axis=0), (predicted & known).sum(axis=0)
    f1 = 2 * correct / np.maximum(1, true + named)
    return Candidate(weight_decay, loss, float(f1[true > 0].mean()), temperature, bias)


def _best_temperature(
    z: NDArray[np.float64], present: NDArray[np.bool_], weights: NDArray[np.float64]
) -> tuple[float, float, float]:
    """Return the temperature of a softmax with the lowest cross-entropy, 0, and that cross-entropy."""
    rows, label = np.arange(len(z)), present.argmax(axis=1)

    def loss(log_temperature: float) -> float:
        return -float(weights @ log_softmax(z / np.exp(log_temperature), axis=1)[rows, label])

    best = minimize_scalar(loss, bounds=_LOG_TEMPERATURES, method="bounded", options={"xatol": 1e-4})
    return float(np.exp(best.x)), 0.0, float(best.fun)


def _best_scale_and_bias(
    z: NDArray[np.float64], present: NDArray[np.bool_], weights: NDArray[np.float64]
) -> tuple[float, float, float]:
    """Return temperature and bias of independent outputs with the lowest binary cross-entropy, and that; weights are of cells."""

    def loss(values: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        scaled = z / np.exp(values[0])
        y = scaled + values[1]
        error = weights * (expit(y) - present)
        return float((weights * (np.logaddexp(0, y) - present * y)).sum()), np.array(
            [-(error * scaled).sum(), error.sum()]
        )

    best = minimize(loss, np.zeros(2), jac=True, method="L-BFGS-B", bounds=[_LOG_TEMPERATURES, (-20, 20)])
    return float(np.exp(best.x[0])), float(best.x[1]), float(best.fun)


def thinning_mask(part: NDArray[np.integer], limit: int) -> NDArray[np.bool_]:
    """Return which windows to keep so that about `limit` remain: of each part at most the same number, spread evenly over it.

    Args:
        part: recording of each window (or another division of the windows), as an index; shape (windows,).
        limit: number of windows. More remain if there are more parts: each keeps at least one.
    """
    if len(part) <= limit:
        return np.ones(len(part), bool)
    count = np.bincount(part)
    most = max(m for m in range(1, int(count.max()) + 1) if m == 1 or np.minimum(count, m).sum() <= limit)
    order = np.argsort(part, kind="stable")
    begin = np.repeat(np.cumsum(count) - count, count)
    position = np.empty(len(part), np.int64)
    position[order] = np.arange(len(part)) - begin
    kept, total = np.minimum(count, most)[part], count[part]
    # Window i of n is kept if it is the first one of its share: floor(i m / n) differs from that of window i - 1.
    return np.asarray(position * kept // total != (position - 1) * kept // total)
