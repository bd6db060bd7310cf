"""The head as a torch network, for export."""

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from autobird.model.unit_length import MIN_NORM


class UnitLengthScaling(nn.Module):
    """Scale embeddings to length 1, then standardise each value with mean and standard deviation of the training split."""

    mean: Tensor
    std: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("std", torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        """Return scaled embeddings; shape (windows, width)."""
        # Not F.normalize: its ONNX form hides the shape from `multiply_adds`.
        length = torch.linalg.vector_norm(x, dim=1, keepdim=True).clamp(min=MIN_NORM)
        return (x / length - self.mean) / self.std


class HeadNetwork(nn.Module):
    """A head as `head_fit` fits it, for export: the same values under the names of `Head.tensors`."""

    def __init__(self, species: int, width: int, hidden: int, prior: bool) -> None:
        super().__init__()
        self.scaling = UnitLengthScaling(width)
        sizes = [width, *([hidden] if hidden else []), species]
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(sizes))
        self.prior = nn.Linear(width, species) if prior else None

    def forward(self, x: Tensor) -> Tensor:
        """Map embeddings of shape (windows, width) to logits of shape (windows, species)."""
        y = self.scaling(x)
        for layer in self.layers[:-1]:
            y = F.relu(layer(y))
        logits = self.layers[-1](y)
        return logits if self.prior is None else logits + self.prior(x)
