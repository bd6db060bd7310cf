"""Choose the weight decay of a head by grouped cross-validation inside the training split."""

import hashlib
import logging
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

from autobird.model.embeddings import EmbeddedWindows
from autobird.model.head_fit import Problem
from autobird.model.head_prior import Prior
from autobird.model.sampling import one_hot, sampling_probabilities
from autobird.model.settings import HeadSettings

log = logging.getLogger("autobird")

CANDIDATES = (3.0, 1.0, 0.3, 0.1, 0.03, 0.01)
"""Strengths of the weight decay to choose from, strongest first: each fit starts from the solution of the one before. Stronger
ones would leave little but the prior, which the training recordings may overrate: the backbone may have been trained on them."""

DEFAULT = 1.0
"""Strength without enough groups to choose one."""

_FOLDS = 5
"""Number of folds of the inner cross-validation."""

MAX_WINDOWS = 20_000
"""Largest number of windows for the choice; of a larger training split, windows spread evenly over each recording are used."""


@dataclass(frozen=True)
class Candidate:
    """A strength of the weight decay and its result in the inner cross-validation.

    Attributes:
        weight_decay: the strength.
        loss: cross-entropy of the windows left out, weighted as in training, after temperature scaling, nats. The temperature is
            that of all folds together, because the released head is scaled, too.
        macro_f1: mean over the species of the F1 of the windows left out.
        temperature: the temperature.
    """

    weight_decay: float
    loss: float
    macro_f1: float
    temperature: float


def inner_folds(windows: EmbeddedWindows, folds: int = _FOLDS) -> NDArray[np.int64]:
    """Return the fold of each window; shape (windows,).

    Groups are not divided. The groups of a species are dealt to the folds in turn, in the order of a stable hash of their keys;
    the species of a group is that of most of its windows.
    """
    groups = len(windows.group_names)
    species = np.zeros((groups, int(windows.label.max(initial=0)) + 1), np.int64)
    np.add.at(species, (windows.group, windows.label), 1)
    hashed = [hashlib.sha256(name.encode()).hexdigest() for name in windows.group_names]
    present = np.flatnonzero(species.sum(axis=1))
    order = sorted(present, key=lambda g: (int(species[g].argmax()), hashed[g]))
    fold = np.zeros(groups, np.int64)
    fold[order] = np.arange(len(order)) % folds
    return fold[windows.group]


def evaluate_candidates(
    windows: EmbeddedWindows, species: int, settings: HeadSettings, prior: Prior | None = None
) -> list[Candidate]:
    """Return the results of all strengths of the weight decay, in the order of `CANDIDATES`.

    A window counts if its species occurs in the training part of its fold. The list is empty if no window does.

    Args:
        windows: training windows.
        species: number of logits.
        settings: recipe.
        prior: what the backbone knows of the species; None: nothing.
    """
    windows = windows.subset(thinning_mask(windows.recording, MAX_WINDOWS))
    prior = prior or Prior.none(species, windows.embeddings.shape[1])
    fold = inner_folds(windows)
    logits = np.full((len(CANDIDATES), len(windows), species), np.nan)
    for k in np.unique(fold):
        train = windows.subset(fold != k)
        known = np.isin(windows.label, train.label)
        left_out = (fold == k) & known
        if not len(train) or not left_out.any():
            continue
        scaling, problem = Problem.of(train, settings, prior)
        x, layers = scaling.apply(windows.embeddings[left_out]), None
        offset = prior.logits(windows.embeddings[left_out])
        for n, weight_decay in enumerate(CANDIDATES):
            # A hidden layer starts from its initial weights each time: its result depends on the start.
            layers = problem.fit(weight_decay, None if settings.hidden else layers)
            logits[n, left_out] = layers.logits(x) + offset
    used = ~np.isnan(logits[0, :, 0])
    if not used.any():
        return []
    label = windows.label[used]
    weights = sampling_probabilities(one_hot(label), windows.recording[used], settings.sampler)
    return [_result(w, z[used], label, weights) for w, z in zip(CANDIDATES, logits, strict=True)]


def choose_weight_decay(candidates: list[Candidate]) -> float:
    """Return the strength with the lowest loss; `DEFAULT` if there are no results."""
    if not candidates:
        log.warning(
            "no species has two groups of training recordings, so the weight decay cannot be chosen; it is %g", DEFAULT
        )
        return DEFAULT
    return min(candidates, key=lambda c: c.loss).weight_decay


def _result(
    weight_decay: float, z: NDArray[np.float64], label: NDArray[np.int64], weights: NDArray[np.float64]
) -> Candidate:
    """Return the scores of logits of shape (windows, species)."""
    rows = np.arange(len(label))

    def loss(log_temperature: float) -> float:
        return -float(weights @ log_softmax(z / np.exp(log_temperature), axis=1)[rows, label])

    best = minimize_scalar(loss, bounds=(np.log(0.05), np.log(20.0)), method="bounded", options={"xatol": 1e-4})
    predicted, n = z.argmax(axis=1), z.shape[1]
    correct = np.bincount(label[predicted == label], minlength=n)
    true, named = np.bincount(label, minlength=n), np.bincount(predicted, minlength=n)
    f1 = 2 * correct / np.maximum(1, true + named)
    return Candidate(weight_decay, float(best.fun), float(f1[true > 0].mean()), float(np.exp(best.x)))


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
