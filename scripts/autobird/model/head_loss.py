"""Losses of a head with their derivatives: cross-entropy of a softmax, and binary losses of independent outputs."""

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from autobird.model.settings import HeadSettings

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

FOCUS = 2.0
"""Exponent of the focal loss, from Lin et al. 2017."""

_ABSENT_FOCUS, _MARGIN = 4.0, 0.05
"""Exponent and margin of absent species in the asymmetric loss, from Ridnik et al. 2021; present species have the exponent 0."""


def head_loss(logits: Floats, present: Flags, known: Flags, settings: HeadSettings) -> tuple[Floats, Floats]:
    """Return the loss of each window, shape (windows,), and its derivatives by the logits, shape (windows, species).

    Args:
        logits: shape (windows, species).
        present: species that are present; exactly one in each window for a softmax.
        known: cells that count (`LabelSets.known`); a softmax ignores it.
        settings: recipe; uses outputs, loss and label_smoothing.
    """
    if settings.outputs == "softmax":
        return _cross_entropy(logits, present, settings.label_smoothing)
    # The share is spread over the two answers of a species; divided by the number of species, it gave more false alarms (docs/heads.md).
    target = np.where(present, 1 - settings.label_smoothing / 2, settings.label_smoothing / 2)
    loss, derivative = _BINARY[settings.loss](logits, target)
    return (loss * known).sum(axis=1), derivative * known


def _cross_entropy(logits: Floats, present: Flags, smoothing: float) -> tuple[Floats, Floats]:
    shifted = logits - logits.max(axis=1, keepdims=True)
    log_p = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    target = np.full(log_p.shape, smoothing / logits.shape[1])
    target[present] += 1 - smoothing
    return -(target * log_p).sum(axis=1), np.exp(log_p) - target


def _bce(z: Floats, target: Floats) -> tuple[Floats, Floats]:
    """Binary cross-entropy of each cell."""
    return np.logaddexp(0, z) - target * z, expit(z) - target


def _focal(z: Floats, target: Floats) -> tuple[Floats, Floats]:
    """Binary cross-entropy of each cell times the probability of the wrong answer to the power of `FOCUS`."""
    loss, derivative = _focused(z, FOCUS)
    loss_absent, derivative_absent = _focused(-z, FOCUS)
    return (
        target * loss + (1 - target) * loss_absent,
        target * derivative - (1 - target) * derivative_absent,
    )


def _focused(z: Floats, focus: float) -> tuple[Floats, Floats]:
    """Return (1 - p)^focus (-log p) for p = sigmoid(z), and its derivative by z."""
    minus_log_p, p, q = np.logaddexp(0, -z), expit(z), expit(-z)
    return q**focus * minus_log_p, -(q**focus) * (focus * p * minus_log_p + q)


def _asymmetric(z: Floats, target: Floats) -> tuple[Floats, Floats]:
    """Binary cross-entropy of each cell for present species; for absent ones p^4 (-log(1 - p)), with p reduced by the margin."""
    p, q = expit(z), expit(-z)
    reduced = np.maximum(p - _MARGIN, 0)
    minus_log = -np.log1p(-reduced)
    absent = reduced**_ABSENT_FOCUS * minus_log
    by_p = _ABSENT_FOCUS * reduced ** (_ABSENT_FOCUS - 1) * minus_log + reduced**_ABSENT_FOCUS / (1 - reduced)
    return target * np.logaddexp(0, -z) + (1 - target) * absent, -target * q + (1 - target) * by_p * p * q


_BINARY = {"bce": _bce, "focal": _focal, "asymmetric": _asymmetric}
