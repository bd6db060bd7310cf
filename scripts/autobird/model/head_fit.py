"""Fit a head, a small classifier on embeddings: logistic or softmax regression, or one hidden layer, by L-BFGS in float64.

The fit is a deterministic function of its inputs: the sums run over blocks of fixed size in a fixed order, on one thread.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from autobird.model.embeddings import EmbeddedWindows
from autobird.model.head_loss import head_loss
from autobird.model.head_prior import Prior
from autobird.model.sampling import sampling_probabilities
from autobird.model.settings import HeadSettings
from autobird.model.unit_length import unit_length

Floats = NDArray[np.float64]

_MIN_STD = 1e-5
"""Smallest standard deviation of a value of embeddings of length 1. A constant value is only centred."""

_BLOCK = 4096
"""Windows per matrix product. It bounds the memory in float64; it must not change, because the order of the sums depends on it."""

_MAX_ITERATIONS = 500
_TOLERANCE = 1e-9
"""Largest number of iterations, and relative change of the loss at which they end; usually 30 to 150."""


@dataclass(frozen=True)
class Scaling:
    """Standardisation of embeddings: each is scaled to length 1, then each of its values to mean 0 and standard deviation 1.

    Attributes:
        mean: shape (width,).
        std: shape (width,).
    """

    mean: Floats
    std: Floats

    @classmethod
    def of(cls, embeddings: NDArray[np.floating], weights: Floats) -> "Scaling":
        """Return the standardisation of training windows with these weights, whose sum is 1."""
        mean = square = np.zeros(embeddings.shape[1])
        for rows in _blocks(len(embeddings)):
            x = unit_length(embeddings[rows])
            mean = mean + weights[rows] @ x
            square = square + weights[rows] @ x**2
        std = np.sqrt(np.maximum(square - mean**2, 0))
        return cls(mean, np.where(std < _MIN_STD, 1.0, std))

    def apply(self, embeddings: NDArray[np.floating]) -> NDArray[np.float32]:
        """Return standardised embeddings; shape as `embeddings`."""
        out = np.empty(embeddings.shape, np.float32)
        for rows in _blocks(len(embeddings)):
            out[rows] = (unit_length(embeddings[rows]) - self.mean) / self.std
        return out


@dataclass(frozen=True)
class Layers:
    """Weights and biases of the layers of a head, each of shape (outputs, inputs) and (outputs,). ReLU is between them."""

    weights: tuple[Floats, ...]
    biases: tuple[Floats, ...]

    def logits(self, x: NDArray[np.floating]) -> Floats:
        """Return the logits of standardised embeddings of shape (windows, width); shape (windows, species)."""
        out = np.empty((len(x), len(self.biases[-1])))
        for rows in _blocks(len(x)):
            out[rows] = _forward(x[rows], self)[-1]
        return out


@dataclass(frozen=True)
class Head:
    """A fitted head: its logits are the sum of those of the layers, on standardised embeddings, and of the prior."""

    scaling: Scaling
    layers: Layers
    prior: Prior

    def logits(self, embeddings: NDArray[np.floating]) -> Floats:
        """Return the logits of embeddings as the backbone computes them; shapes (windows, width) and (windows, species)."""
        out = np.empty((len(embeddings), len(self.prior.bias)))
        for rows in _blocks(len(embeddings)):
            x = embeddings[rows]
            out[rows] = self.layers.logits(self.scaling.apply(x)) + self.prior.logits(x)
        return out

    def tensors(self) -> dict[str, NDArray[np.float32]]:
        """Return all values by the names that `networks.HeadNetwork` gives them; those of a prior that knows nothing are left out."""
        named: dict[str, NDArray[np.floating]] = {"scaling.mean": self.scaling.mean, "scaling.std": self.scaling.std}
        if self.prior.known.any():
            named |= {"prior.weight": self.prior.weight, "prior.bias": self.prior.bias}
        for n, (weight, bias) in enumerate(zip(self.layers.weights, self.layers.biases, strict=True)):
            named |= {f"layers.{n}.weight": weight, f"layers.{n}.bias": bias}
        return {name: value.astype(np.float32) for name, value in named.items()}


def fit_head(
    windows: EmbeddedWindows, species: int, settings: HeadSettings, weight_decay: float, prior: Prior | None = None
) -> Head:
    """Fit a head to training windows.

    Args:
        windows: training windows; not all species need to occur.
        species: number of logits.
        settings: recipe.
        weight_decay: strength of the weight decay.
        prior: what the backbone knows of the species; None: nothing.
    """
    prior = prior or Prior.none(species, windows.embeddings.shape[1])
    scaling, problem = Problem.of(windows, settings, prior)
    return Head(scaling, problem.fit(weight_decay), prior)


def window_weights(windows: EmbeddedWindows, settings: HeadSettings) -> Floats:
    """Return how much each window counts in the loss; shape (windows,), sum 1."""
    share = settings.negative_share if settings.outputs == "independent" else 0.0
    return sampling_probabilities(windows.present, windows.recording, settings.sampler, share)


@dataclass(frozen=True)
class Problem:
    """The optimisation problem of a head: minimise the weighted loss plus weight_decay / 2 times the sum of the squared weights.

    The prior has no part in the penalty: strong weight decay makes the head's answers those of the prior.

    Attributes:
        x: standardised embeddings; shape (windows, width).
        offset: logits of the prior; shape (windows, species).
        present: species that are present; shape (windows, species).
        known: cells that count; shape (windows, species).
        weights: weights of the windows, sum 1; shape (windows,).
        settings: recipe.
    """

    x: NDArray[np.float32]
    offset: NDArray[np.float32]
    present: NDArray[np.bool_]
    known: NDArray[np.bool_]
    weights: Floats
    settings: HeadSettings

    @classmethod
    def of(cls, windows: EmbeddedWindows, settings: HeadSettings, prior: Prior) -> tuple[Scaling, "Problem"]:
        """Return the standardisation of training windows, and the problem."""
        weights = window_weights(windows, settings)
        scaling = Scaling.of(windows.embeddings, weights)
        offset = np.empty((len(windows), len(prior.bias)), np.float32)
        for rows in _blocks(len(windows)):
            offset[rows] = prior.logits(windows.embeddings[rows])
        x = scaling.apply(windows.embeddings)
        return scaling, cls(x, offset, windows.present, windows.known, weights, settings)

    @property
    def species(self) -> int:
        """Number of logits."""
        return self.offset.shape[1]

    def fit(self, weight_decay: float, start: Layers | None = None) -> Layers:
        """Return the layers that minimise the objective, from `start` or from the initial weights.

        A linear head has one minimum, so that its initial weights do not matter; `start` saves iterations.
        """
        first = start or self.initial_layers()
        shapes = [w.shape for w in first.weights]

        def objective(values: Floats) -> tuple[float, Floats]:
            layers = _unpack(values, shapes)
            loss, gradient = self._loss_and_gradient(layers)
            loss += weight_decay / 2 * float(sum((w**2).sum() for w in layers.weights))
            decayed = Layers(
                tuple(g + weight_decay * w for g, w in zip(gradient.weights, layers.weights, strict=True)),
                gradient.biases,
            )
            return loss, _pack(decayed)

        options = {"maxiter": _MAX_ITERATIONS, "maxcor": 10, "ftol": _TOLERANCE, "gtol": 1e-7}
        found = minimize(objective, _pack(first), jac=True, method="L-BFGS-B", options=options)  # type: ignore[call-overload]
        return _unpack(found.x, shapes)

    def initial_layers(self) -> Layers:
        """Return zeros for a linear head; with a hidden layer, random weights (He et al. 2015) from `settings.seed`."""
        width, hidden = self.x.shape[1], self.settings.hidden
        if not hidden:
            return Layers((np.zeros((self.species, width)),), (np.zeros(self.species),))
        rng = np.random.default_rng(self.settings.seed)
        first = rng.normal(0, np.sqrt(2 / width), (hidden, width))
        last = rng.normal(0, np.sqrt(1 / hidden), (self.species, hidden))
        return Layers((first, last), (np.zeros(hidden), np.zeros(self.species)))

    def _loss_and_gradient(self, layers: Layers) -> tuple[float, Layers]:
        """Return the weighted loss, and its gradient."""
        loss = 0.0
        weights = [np.zeros_like(w) for w in layers.weights]
        biases = [np.zeros_like(b) for b in layers.biases]
        for rows in _blocks(len(self.x)):
            *inputs, logits = _forward(self.x[rows], layers)
            losses, error = head_loss(logits + self.offset[rows], self.present[rows], self.known[rows], self.settings)
            w = self.weights[rows]
            loss += float(w @ losses)
            error = w[:, None] * error
            for n in reversed(range(len(inputs))):
                weights[n] += error.T @ inputs[n]
                biases[n] += error.sum(axis=0)
                if n:
                    error = (error @ layers.weights[n]) * (inputs[n] > 0)
        return loss, Layers(tuple(weights), tuple(biases))


def _forward(x: NDArray[np.floating], layers: Layers) -> list[Floats]:
    """Return the input of each layer, and the logits."""
    values = [x.astype(np.float64)]
    last = len(layers.weights) - 1
    for n, (weight, bias) in enumerate(zip(layers.weights, layers.biases, strict=True)):
        y = values[-1] @ weight.T + bias
        values.append(y if n == last else np.maximum(y, 0))
    return values


def _pack(layers: Layers) -> Floats:
    return np.concatenate([part.ravel() for part in (*layers.weights, *layers.biases)])


def _unpack(values: Floats, shapes: Sequence[tuple[int, ...]]) -> Layers:
    parts, at = [], 0
    for shape in (*shapes, *((s[0],) for s in shapes)):
        size = int(np.prod(shape))
        parts.append(values[at : at + size].reshape(shape))
        at += size
    return Layers(tuple(parts[: len(shapes)]), tuple(parts[len(shapes) :]))


def _blocks(rows: int) -> list[slice]:
    return [slice(start, start + _BLOCK) for start in range(0, rows, _BLOCK)]
