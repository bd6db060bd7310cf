"""Calibration of independent outputs: p = sigmoid(scale * logit + offset), with a scale and an offset of each species.

A species with few validation groups cannot determine its own pair. Every pair is therefore drawn towards that of all species together,
the more the fewer groups contain the species.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, log_expit

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Ints = NDArray[np.int64]

SCALE_SPREAD, SHIFT_SPREAD = 0.15, 0.5
"""Standard deviations of the species' pairs around the common one, which the penalty assumes: of the scale, as a share of the common
scale, and of the calibrated logit where the common one is 0."""

_COMMON_SPREAD = 2.0
"""Standard deviation of the common scale and offset around 1 and 0; a weak penalty, for data that the logits separate perfectly."""

_SCALES = (0.05, 20.0)
"""Smallest and largest common scale; the scale of a species is at least a tenth of the common one."""

_STEPS = 50
"""Largest number of Newton steps; six to eight are usual."""


def window_weights(negative: Flags) -> Floats:
    """Return the weights of validation windows: those without any species together count at most as much as all others.

    The number of negative recordings that someone happens to have collected must not change what a probability means.

    Args:
        negative: windows of recordings without any species; shape (windows,).
    """
    others, negatives = int((~negative).sum()), int(negative.sum())
    return np.where(negative & (others > 0), min(1.0, others / max(1, negatives)), 1.0)


def fit_pairs(
    logits: NDArray[np.floating], present: Flags, known: Flags, weights: Floats, groups: Ints
) -> tuple[Floats, Floats]:
    """Return scale and offset of each species, both of shape (species,).

    The pair of a species minimises its weighted binary cross-entropy plus a penalty, which is that of a normal distribution around the
    common pair (`SCALE_SPREAD`, `SHIFT_SPREAD`). Windows of a group are alike, so the cross-entropy counts as if a group had one
    window with the species. The common pair minimises the cross-entropy of all species.

    Args:
        logits: shape (windows, species).
        present: species that are present; shape (windows, species).
        known: cells that count; shape (windows, species).
        weights: of the windows; shape (windows,).
        groups: number of independent groups that contain each species; shape (species,).
    """
    z = np.asarray(logits, np.float64)
    count = z.shape[1]
    cells = known & (weights > 0)[:, None]
    if not (present & cells).any():
        return np.ones(count), np.zeros(count)
    share = _independent_share(present & cells, groups)
    common_weights = (weights[:, None] * np.full(count, share[(present & cells).any(axis=0)].mean()))[cells]
    scale, offset = _fit(z[cells], present[cells], common_weights, 1.0, 0.0, (_COMMON_SPREAD, _COMMON_SPREAD))
    scale = float(np.clip(scale, *_SCALES))
    scales, offsets = np.full(count, scale), np.full(count, offset)
    for species in range(count):
        used = cells[:, species]
        if not present[used, species].any():
            continue
        x = scale * z[used, species] + offset  # in units in which the common pair is (1, 0)
        w = weights[used] * share[species]
        a, b = _fit(x, present[used, species], w, 1.0, 0.0, (SCALE_SPREAD, SHIFT_SPREAD))
        a = max(a, 0.1)
        scales[species], offsets[species] = a * scale, a * offset + b
    return scales, offsets


def _independent_share(present: Flags, groups: Ints) -> Floats:
    """Return the number of groups with a species divided by that of its windows, both at least 1; at most 1; shape (species,)."""
    return np.minimum(1.0, np.maximum(1, groups) / np.maximum(1, present.sum(axis=0)))


def _fit(
    x: Floats, present: Flags, weights: Floats, scale: float, offset: float, spread: tuple[float, float]
) -> tuple[float, float]:
    """Return the pair that minimises the weighted cross-entropy of sigmoid(pair[0] * x + pair[1]) plus a quadratic penalty.

    Args:
        x: logits; shape (cells,).
        present: whether the species is present; shape (cells,).
        weights: of the cells; shape (cells,).
        scale: centre of the penalty of the scale.
        offset: centre of the penalty of the offset.
        spread: standard deviations of both.
    """
    centre, precision = np.array([scale, offset]), 1 / np.square(spread)
    design, sign = np.stack([x, np.ones_like(x)]), np.where(present, 1.0, -1.0)

    def loss(pair: Floats) -> float:
        fit = float(-(weights * log_expit(sign * (pair @ design))).sum())
        return fit + float((precision * (pair - centre) ** 2).sum()) / 2

    pair, value = centre.copy(), loss(centre)
    for _ in range(_STEPS):
        p = expit(pair @ design)
        gradient = design @ (weights * (p - present)) + precision * (pair - centre)
        hessian = (design * (weights * p * (1 - p))) @ design.T + np.diag(precision)
        step = np.linalg.solve(hessian, gradient)
        size = 1.0
        while size > 1e-4 and (moved := loss(pair - size * step)) > value:
            size /= 2
        if size <= 1e-4 or value - moved < 1e-10 * (1 + abs(value)):
            break
        pair, value = pair - size * step, moved
    return float(pair[0]), float(pair[1])
