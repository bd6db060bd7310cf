"""Losses of labelled windows: cross-entropy over the species, or one binary loss per species that leaves out unknown cells."""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from autobird.model.settings import TrainSettings

_FOCUS = 2.0
"""Exponent of the focal loss (gamma of Lin et al. 2017)."""

_ASYMMETRIC_FOCUS, _ASYMMETRIC_SHIFT = 4.0, 0.05
"""Exponent and shift of the probability for absent species in the asymmetric loss (gamma- and m of Ridnik et al. 2021); gamma+ is 0."""


class Targets(NamedTuple):
    """What windows hold.

    Attributes:
        present: 1 for a species that is present, 0 otherwise; between them for mixtures with softmax outputs; shape (windows, species).
        known: whether it is known that the species is present or absent; shape (windows, species), bool.
    """

    present: Tensor
    known: Tensor


def label_loss(logits: Tensor, targets: Targets, settings: TrainSettings) -> Tensor:
    """Return the loss of labelled windows that the settings choose, a scalar: a sum over the species, a mean over the windows.

    Args:
        logits: shape (windows, species).
        targets: of the windows. Softmax outputs ignore which cells are known, as one species is right in each window.
        settings: outputs, loss and label smoothing.
    """
    if settings.outputs == "softmax":
        return F.cross_entropy(logits.float(), targets.present, label_smoothing=settings.label_smoothing)
    return binary_loss(logits.float(), targets, settings.loss, settings.label_smoothing)


def binary_loss(logits: Tensor, targets: Targets, loss: str = "bce", smoothing: float = 0.0) -> Tensor:
    """Return the sum of the binary losses over the known species, mean over the windows.

    The sum has about the size of the cross-entropy over as many species: of S species of which one is present and that are equally
    frequent, a network that knows no more than their frequency has a loss of about 1 + ln S, and ln S with softmax. A mean over the
    cells would shrink with S, and with it the weight of the labels beside a teacher's answers and the effect of the clipping.

    Args:
        logits: shape (windows, species).
        targets: of the windows. Cells that are not known have no part in the loss.
        loss: see `TrainSettings.loss`.
        smoothing: share of each target that is spread evenly over all species, or, of a single one, over present and absent; see
            `TrainSettings.label_smoothing`.
    """
    target = targets.present * (1 - smoothing) + smoothing / max(2, logits.shape[1])
    log_p, log_not_p = F.logsigmoid(logits), F.logsigmoid(-logits)
    if loss == "focal":
        p = torch.sigmoid(logits)
        log_p, log_not_p = (1 - p) ** _FOCUS * log_p, p**_FOCUS * log_not_p
    elif loss == "asymmetric":
        p = (torch.sigmoid(logits) - _ASYMMETRIC_SHIFT).clamp(min=0)
        log_not_p = p**_ASYMMETRIC_FOCUS * torch.log1p(-p)
    cells = -(target * log_p + (1 - target) * log_not_p)
    return torch.where(targets.known, cells, 0.0).sum() / max(1, len(logits))
