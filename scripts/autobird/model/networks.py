"""The networks: log-mel windows in, one logit per species out."""

import math
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from autobird.model.settings import TrainSettings


class Normalise(nn.Module):
    """Subtract the mean and divide by the standard deviation of the training split, so that models take plain log-mel."""

    mean: Tensor
    std: Tensor

    def __init__(self, mean: float, std: float) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean))
        self.register_buffer("std", torch.tensor(std))

    def forward(self, x: Tensor) -> Tensor:
        """Any shape in, the same shape out."""
        return (x - self.mean) / self.std


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut (He et al. 2015, basic block)."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(outputs)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        """Shape (windows, inputs, mels, frames) to (windows, outputs, mels / stride, frames / stride)."""
        y = F.relu(self.norm1(self.conv1(x)), inplace=True)
        return F.relu(self.norm2(self.conv2(y)).add_(self.shortcut(x)), inplace=True)


class ResNet(nn.Module):
    """A residual CNN with a 5x5 stride-2 stem and attention pooling over time.

    The stride in the stem is the cheapest gain on a CPU: full-resolution convolutions cost most.
    """

    def __init__(self, species: int, width: int, dropout: float, mean: float, std: float) -> None:
        super().__init__()
        self.normalise = Normalise(mean, std)
        self.stem = nn.Sequential(
            nn.Conv2d(1, width, 5, 2, 2, bias=False), nn.BatchNorm2d(width), nn.ReLU(inplace=True)
        )
        widths = [width, width, 2 * width, 4 * width, 8 * width]
        self.stages = nn.Sequential(
            *(BasicBlock(a, b, 1 if i == 0 else 2) for i, (a, b) in enumerate(pairwise(widths)))
        )
        self.attention = nn.Linear(widths[-1], widths[-1])
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(widths[-1], species)

    def forward(self, x: Tensor) -> Tensor:
        """Log-mel of shape (windows, 1, mels, frames) to logits of shape (windows, species)."""
        y = self.stages(self.stem(self.normalise(x)))
        y = y.mean(dim=2).transpose(1, 2)
        weights = torch.softmax(self.attention(y), dim=1)
        return self.classifier(self.dropout((weights * y).sum(dim=1)))


class CnnTransformer(nn.Module):
    """The original project's network: two convolutions at full resolution, then a transformer over time."""

    def __init__(
        self, species: int, d_model: int, heads: int, layers: int, dropout: float, mean: float, std: float
    ) -> None:
        super().__init__()
        self.normalise = Normalise(mean, std)
        self.cnn = nn.Sequential(
            nn.Conv2d(1, 32, 3, 1, 1), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(32, d_model, 3, 1, 1), nn.BatchNorm2d(d_model), nn.ReLU(), nn.MaxPool2d(2),
        )  # fmt: skip
        layer = nn.TransformerEncoderLayer(d_model, heads, 4 * d_model, dropout, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(d_model, species)

    def forward(self, x: Tensor) -> Tensor:
        """Log-mel of shape (windows, 1, mels, frames) to logits of shape (windows, species)."""
        y = self.cnn(self.normalise(x)).mean(dim=2).transpose(1, 2)
        y = self.encoder(y + _positions(y.shape[1], y.shape[2]).to(y))
        return self.classifier(self.dropout(y.mean(dim=1)))


def _positions(length: int, width: int) -> Tensor:
    """Sine and cosine position codes (Vaswani et al. 2017, section 3.5), shape (length, width)."""
    position = torch.arange(length, dtype=torch.float32)[:, None]
    rate = torch.exp(torch.arange(0, width, 2, dtype=torch.float32) * (-math.log(10000.0) / width))
    codes = torch.zeros(length, width)
    codes[:, 0::2] = torch.sin(position * rate)
    codes[:, 1::2] = torch.cos(position * rate[: width // 2])
    return codes


_FEWEST_CHANNELS = 8
"""Input channels from which a strided 1x1 convolution may be laid out with its channels last; see `memory_format`."""


def memory_format(network: nn.Module) -> torch.memory_format:
    """The layout in memory that the network's weights and inputs have: channels last, which CPUs convolve fastest.

    Contiguous where a 1x1 convolution with a stride has fewer than 8 input channels: its backward pass in float32 with
    channels last writes outside of its buffers on CPUs with AVX2 but without AVX-512 (seen with oneDNN of torch 2.13 for
    2 to 7 channels, with any number of outputs; not with 8 to 33, other kernels, stride 1, bfloat16 or AVX-512).
    """
    for layer in network.modules():
        if (
            isinstance(layer, nn.Conv2d)
            and max(layer.kernel_size) == 1
            and max(layer.stride) > 1
            and layer.in_channels < _FEWEST_CHANNELS
        ):
            return torch.contiguous_format
    return torch.channels_last


def build(settings: TrainSettings, species: int, mean: float, std: float) -> nn.Module:
    """The network that `settings.architecture` names, for so many species and this normalisation."""
    if settings.architecture == "resnet":
        return ResNet(species, settings.width, settings.dropout, mean, std)
    return CnnTransformer(species, settings.d_model, settings.heads, settings.layers, settings.dropout, mean, std)
