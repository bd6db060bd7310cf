"""The network architectures: they map windows of mel frames to one logit per species."""

import math
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from autobird.model.settings import TrainSettings


class Normalise(nn.Module):
    """Subtract a mean and divide by the standard deviation of the training split.

    Because this is part of the network, a model takes mel frames as the front end computes them.

    Args:
        mean: mean of the training split.
        std: its standard deviation.
        centre_bands: subtract from each mel band of a window its own mean over the window, instead of the mean of the training split. In
            log-mel, this removes a gain and the frequency response of a recorder. Frames without sound (the padding of a short
            recording, masked frames) are not part of the mean.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, mean: float, std: float, centre_bands: bool) -> None:
        super().__init__()
        self.centre_bands = centre_bands
        self.register_buffer("mean", torch.tensor(mean))
        self.register_buffer("std", torch.tensor(std))

    def forward(self, x: Tensor) -> Tensor:
        """Return the normalised values; input and output have the shape (windows, 1, mels, frames)."""
        return (x - (self._band_means(x) if self.centre_bands else self.mean)) / self.std

    def _band_means(self, x: Tensor) -> Tensor:
        """Return the mean of each band over the frames with sound, or over all frames if there is no sound; shape (windows, 1, mels, 1)."""
        sound = ((x.amax(dim=2, keepdim=True) - x.amin(dim=2, keepdim=True)) > _SPREAD_OF_SOUND * self.std).to(x.dtype)
        sound = sound + (sound.sum(dim=3, keepdim=True) == 0).to(x.dtype)
        return (x * sound).sum(dim=3, keepdim=True) / sound.sum(dim=3, keepdim=True)


_SPREAD_OF_SOUND = 0.05
"""Smallest difference between the bands of a frame with sound, in standard deviations of the training split. In a frame of zeros, all bands
have the same value."""


class BasicBlock(nn.Module):
    """Two 3x3 convolutions with a shortcut around them (the basic block of He et al. 2015)."""

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
        """Map shape (windows, inputs, mels, frames) to (windows, outputs, mels / stride, frames / stride)."""
        y = F.relu(self.norm1(self.conv1(x)), inplace=True)
        return F.relu(self.norm2(self.conv2(y)).add_(self.shortcut(x)), inplace=True)


class ResNet(nn.Module):
    """A residual CNN whose first layer is a 5x5 convolution with stride 2, with attention pooling over time.

    The stride of the first layer saves most of the time on a CPU, because convolutions at full resolution are the slowest.
    """

    def __init__(self, species: int, width: int, dropout: float, mean: float, std: float, centre_bands: bool) -> None:
        super().__init__()
        self.normalise = Normalise(mean, std, centre_bands)
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

    def features(self, x: Tensor) -> Tensor:
        """Map mel frames of shape (windows, 1, mels, frames) to features of shape (windows, 8 * width)."""
        y = self.stages(self.stem(self.normalise(x)))
        y = y.mean(dim=2).transpose(1, 2)
        weights = torch.softmax(self.attention(y), dim=1)
        return (weights * y).sum(dim=1)

    def forward(self, x: Tensor) -> Tensor:
        """Map mel frames of shape (windows, 1, mels, frames) to logits of shape (windows, species)."""
        return self.classifier(self.dropout(self.features(x)))


class CnnTransformer(nn.Module):
    """Two convolutions, each followed by max pooling, then a transformer over time.

    This is the network of the project that Autobird reimplements.
    """

    def __init__(
        self, species: int, d_model: int, heads: int, layers: int, dropout: float, mean: float, std: float
    ) -> None:
        super().__init__()
        self.normalise = Normalise(mean, std, centre_bands=False)
        self.cnn = nn.Sequential(
            nn.Conv2d(1, 32, 3, 1, 1), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(32, d_model, 3, 1, 1), nn.BatchNorm2d(d_model), nn.ReLU(), nn.MaxPool2d(2),
        )  # fmt: skip
        layer = nn.TransformerEncoderLayer(d_model, heads, 4 * d_model, dropout, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(d_model, species)

    def features(self, x: Tensor) -> Tensor:
        """Map mel frames of shape (windows, 1, mels, frames) to features of shape (windows, d_model)."""
        y = self._convolutions(self.normalise(x)).mean(dim=2).transpose(1, 2)
        y = self.encoder(y + _positional_encoding(y.shape[1], y.shape[2], y.device).to(y))
        return y.mean(dim=1)

    def _convolutions(self, x: Tensor) -> Tensor:
        """Return what `cnn` returns, in a training with the ReLU after the pooling.

        The maximum of values clamped at zero is their maximum clamped at zero, so output and gradients are the same to the bit, and the
        ReLU has a quarter of the values to process. Exported graphs keep the order of `cnn`, in which runtimes fuse convolution and ReLU.
        """
        if not self.training:
            y: Tensor = self.cnn(x)
            return y
        for first in range(0, len(self.cnn), 4):
            convolution, norm, relu, pool = list(self.cnn)[first : first + 4]
            x = relu(pool(norm(convolution(x))))
        return x

    def forward(self, x: Tensor) -> Tensor:
        """Map mel frames of shape (windows, 1, mels, frames) to logits of shape (windows, species)."""
        return self.classifier(self.dropout(self.features(x)))


def _positional_encoding(length: int, width: int, device: torch.device) -> Tensor:
    """Return the sinusoidal positional encoding (Vaswani et al. 2017, section 3.5), shape (length, width)."""
    position = torch.arange(length, dtype=torch.float32, device=device)[:, None]
    rate = torch.exp(torch.arange(0, width, 2, dtype=torch.float32, device=device) * (-math.log(10000.0) / width))
    encoding = torch.zeros(length, width, device=device)
    encoding[:, 0::2] = torch.sin(position * rate)
    encoding[:, 1::2] = torch.cos(position * rate[: width // 2])
    return encoding


_MIN_INPUT_CHANNELS = 8
"""Smallest number of input channels for which a strided 1x1 convolution is safe in channels-last layout; see `memory_format`."""


def memory_format(network: nn.Module) -> torch.memory_format:
    """Return the memory format for the weights and inputs of a network: channels last, the fastest on CPUs, if it is safe.

    The format is contiguous if the network has a 1x1 convolution with a stride and fewer than 8 input channels. In
    channels-last format, the backward pass of such a layer writes outside of its buffers in float32 on CPUs with AVX2 but
    without AVX-512. This was observed with oneDNN of torch 2.13 for 2 to 7 input channels and any number of output
    channels; not for 8 to 33 input channels, other kernel sizes, stride 1, bfloat16 or AVX-512.
    """
    for layer in network.modules():
        if (
            isinstance(layer, nn.Conv2d)
            and max(layer.kernel_size) == 1
            and max(layer.stride) > 1
            and layer.in_channels < _MIN_INPUT_CHANNELS
        ):
            return torch.contiguous_format
    return torch.channels_last


_MIN_SHARE, _MAX_SHARE = 1e-3, 0.5
"""Bounds of the share of windows that hold a species, for the initial bias."""


def set_initial_bias(network: nn.Module, share: NDArray[np.float64]) -> None:
    """Set the bias of independent outputs so that a new network answers with the share of the windows that hold each species.

    Otherwise it answers 0.5, and the first steps teach it no more than that each species is rare (Lin et al. 2017, section 3.3).

    Args:
        network: one of `build_network`, changed in place.
        share: shape (species,).
    """
    odds = np.clip(share, _MIN_SHARE, _MAX_SHARE)
    classifier: Any = network.classifier
    with torch.no_grad():
        classifier.bias.copy_(torch.from_numpy(np.log(odds / (1 - odds))))


ARCHITECTURES: dict[str, Callable[[TrainSettings, int, float, float], nn.Module]] = {
    "resnet": lambda s, species, mean, std: ResNet(species, s.width, s.dropout, mean, std, s.centre_bands),
    "cnn_transformer": lambda s, species, mean, std: CnnTransformer(
        species, s.d_model, s.heads, s.layers, s.dropout, mean, std
    ),
}
"""The networks that are trained in steps, by the name in `train.architecture`; the arguments are those of `build_network`. A `head` is
fitted to embeddings instead (`head_network.py`)."""


def build_network(settings: TrainSettings, species: int, mean: float, std: float) -> nn.Module:
    """Return a new network with random weights.

    Args:
        settings: architecture and sizes.
        species: number of logits.
        mean: mean of the mel frames of the training split.
        std: their standard deviation.
    """
    return ARCHITECTURES[settings.architecture](settings, species, mean, std)
