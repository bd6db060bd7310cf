"""Networks and training settings that `architecture_search.py` compares; those of Autobird itself are in `autobird.model.networks`."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from autobird.model.networks import Normalise

SMALLEST_SQUEEZE = 8
"""Fewest channels of the hidden layer of a squeeze-and-excitation."""


class BandMean(nn.Module):
    """Subtract the mean over the window from each band of log-mel, frames without sound included.

    `divide`: and divide by the standard deviation, but at least by half a neper.
    """

    def __init__(self, frames: int, divide: bool = False) -> None:  # noqa: ARG002 - the arguments of all inputs are the same
        super().__init__()
        self.norm, self.divide = nn.BatchNorm2d(1), divide

    def forward(self, x: Tensor) -> Tensor:
        """Input and output have the shape (windows, 1, mels, frames)."""
        x = x - x.mean(3, keepdim=True)
        if self.divide:
            x = x / x.square().mean(3, keepdim=True).sqrt().clamp(min=0.5)
        return self.norm(x)


class WindowPcen(nn.Module):
    """PCEN (see `autobird.audio.amplitude_scaling.Pcen`) of each window by itself, computed from its log-mel values.

    The level of each band is the product of the powers of a window with a fixed matrix: that of a first-order low-pass filter, or with
    `time_constant` infinity the mean over the window.
    """

    weights: Tensor

    def __init__(
        self, frames: int, time_constant: float = 0.4, gain: float = 0.98, bias: float = 2.0, root: float = 0.5
    ) -> None:
        super().__init__()
        self.gain, self.bias, self.root, self.norm = gain, bias, root, nn.BatchNorm2d(1)
        if math.isinf(time_constant):
            weights = torch.full((frames, frames), 1 / frames)
        else:
            length = time_constant * 16000 / 512
            step = (math.sqrt(1 + 4 * length**2) - 1) / (2 * length**2)
            late = torch.arange(frames)[None, :] - torch.arange(frames)[:, None]
            weights = torch.where(late >= 0, step * (1 - step) ** late.clamp(min=0).double(), 0.0)
            weights[0] += (1 - step) ** (torch.arange(frames).double() + 1)
        self.register_buffer("weights", weights.float())

    def forward(self, x: Tensor) -> Tensor:
        """Input and output have the shape (windows, 1, mels, frames)."""
        with torch.autocast(x.device.type, enabled=False):
            energy = (torch.exp(x.float()) - 1e-6).clamp(min=0) * 32768.0**2
            level = energy @ self.weights + 1e-6
            return self.norm((energy * level**-self.gain + self.bias) ** self.root - self.bias**self.root)


INPUTS: dict[str, Callable[[int], nn.Module]] = {
    "bands without their mean": BandMean,
    "bands divided by their standard deviation": lambda frames: BandMean(frames, divide=True),
    "PCEN": WindowPcen,
    "PCEN with the mean": lambda frames: WindowPcen(frames, math.inf),
}


class SqueezeExcitation(nn.Module):
    """Multiply each channel by a weight that is computed from the means of all channels (Hu et al. 2018)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        hidden = max(SMALLEST_SQUEEZE, channels // 4)
        self.squeeze, self.excite = nn.Linear(channels, hidden), nn.Linear(hidden, channels)

    def forward(self, x: Tensor) -> Tensor:
        """Input and output have the shape (windows, channels, mels, frames)."""
        weights = torch.sigmoid(self.excite(F.relu(self.squeeze(x.mean((2, 3))))))
        return x * weights[:, :, None, None]


class FrequencySqueezeExcitation(nn.Module):
    """Multiply each channel of each row of frequency by a weight that is computed from the means over time."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        hidden = max(SMALLEST_SQUEEZE, channels // 4)
        self.squeeze, self.excite = nn.Conv1d(channels, hidden, 1), nn.Conv1d(hidden, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Input and output have the shape (windows, channels, mels, frames)."""
        return x * torch.sigmoid(self.excite(F.relu(self.squeeze(x.mean(3)))))[..., None]


EXCITATIONS: dict[str, Callable[[int], nn.Module]] = {
    "none": lambda _channels: nn.Identity(),
    "channels": SqueezeExcitation,
    "channels and frequency": FrequencySqueezeExcitation,
}


def convolution(inputs: int, outputs: int, size: int, stride: int = 1, groups: int = 1) -> nn.Sequential:
    """Return a convolution without bias and its batch normalisation."""
    layer = nn.Conv2d(inputs, outputs, size, stride, size // 2, groups=groups, bias=False)
    return nn.Sequential(layer, nn.BatchNorm2d(outputs))


class Residual(nn.Module):
    """The block of `resnet`: two convolutions with a shortcut (He et al. 2015)."""

    def __init__(self, inputs: int, outputs: int, stride: int, excitation: str) -> None:
        super().__init__()
        self.first, self.second = convolution(inputs, outputs, 3, stride), convolution(outputs, outputs, 3)
        self.excitation = EXCITATIONS[excitation](outputs)
        self.shortcut = nn.Identity() if stride == 1 and inputs == outputs else convolution(inputs, outputs, 1, stride)

    def forward(self, x: Tensor) -> Tensor:
        """Map shape (windows, inputs, mels, frames) to (windows, outputs, mels / stride, frames / stride)."""
        return F.relu(self.excitation(self.second(F.relu(self.first(x)))) + self.shortcut(x))


class InvertedResidual(nn.Module):
    """A 1x1 convolution to four times the channels, a depthwise 3x3, and a 1x1 back (Sandler et al. 2018).

    `fused`: one full 3x3 convolution in place of the first two (Tan and Le 2021).
    """

    def __init__(self, inputs: int, outputs: int, stride: int, excitation: str, fused: bool = False) -> None:
        super().__init__()
        hidden = 4 * inputs
        if fused:
            spatial = nn.Sequential(convolution(inputs, hidden, 3, stride), nn.ReLU())
        else:
            depthwise = convolution(hidden, hidden, 3, stride, hidden)
            spatial = nn.Sequential(convolution(inputs, hidden, 1), nn.ReLU(), depthwise, nn.ReLU())
        self.layers = nn.Sequential(spatial, EXCITATIONS[excitation](hidden), convolution(hidden, outputs, 1))
        self.has_shortcut = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        """Map shape (windows, inputs, mels, frames) to (windows, outputs, mels / stride, frames / stride)."""
        return x + self.layers(x) if self.has_shortcut else self.layers(x)


def fused_inverted_residual(inputs: int, outputs: int, stride: int, excitation: str) -> nn.Module:
    """Return an `InvertedResidual` with a full convolution."""
    return InvertedResidual(inputs, outputs, stride, excitation, fused=True)


class ConvNeXt(nn.Module):
    """A depthwise 7x7 convolution and two 1x1 ones, scaled and added to the input (Liu et al. 2022), with batch normalisation.

    A stride, or another number of channels, is a convolution before it.
    """

    def __init__(self, inputs: int, outputs: int, stride: int, _excitation: str) -> None:
        super().__init__()
        self.before: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.before = nn.Sequential(nn.BatchNorm2d(inputs), nn.Conv2d(inputs, outputs, stride, stride))
        depthwise = nn.Conv2d(outputs, outputs, 7, padding=3, groups=outputs)
        norm = nn.BatchNorm2d(outputs)
        self.layers = nn.Sequential(
            depthwise, norm, nn.Conv2d(outputs, 4 * outputs, 1), nn.ReLU(), nn.Conv2d(4 * outputs, outputs, 1)
        )
        self.scale = nn.Parameter(torch.full((1, outputs, 1, 1), 0.1))

    def forward(self, x: Tensor) -> Tensor:
        """Map shape (windows, inputs, mels, frames) to (windows, outputs, mels / stride, frames / stride)."""
        x = self.before(x)
        return x + self.scale * self.layers(x)


BLOCKS: dict[str, Callable[[int, int, int, str], nn.Module]] = {
    "residual": Residual,
    "inverted residual": InvertedResidual,
    "fused inverted residual": fused_inverted_residual,
    "ConvNeXt": ConvNeXt,
}


class GeneralisedMean(nn.Module):
    """Generalised mean over a dimension, with an exponent that is learnt (GeM, Radenovic et al. 2018)."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dim, self.exponent = dim, nn.Parameter(torch.tensor(3.0))

    def forward(self, x: Tensor) -> Tensor:
        """Remove the dimension."""
        return (F.relu(x.float()) + 1e-4).pow(self.exponent).mean(self.dim).pow(1 / self.exponent)


class Rows(nn.Module):
    """A linear layer over the channels of all rows of frequency, so that each row has weights of its own."""

    def __init__(self, channels: int, rows: int) -> None:
        super().__init__()
        self.layer = nn.Linear(channels * rows, channels)

    def forward(self, x: Tensor) -> Tensor:
        """Map shape (windows, channels, rows, frames) to (windows, channels, frames)."""
        return F.relu(self.layer(x.flatten(1, 2).transpose(1, 2))).transpose(1, 2)


class Attention(nn.Module):
    """Mean over time with weights of each channel that the network computes; `with_maximum`: plus the maximum."""

    def __init__(self, channels: int, with_maximum: bool = False) -> None:
        super().__init__()
        self.layer, self.with_maximum = nn.Linear(channels, channels), with_maximum

    def forward(self, x: Tensor) -> Tensor:
        """Map shape (windows, channels, frames) to (windows, channels)."""
        y = x.transpose(1, 2)
        mean = (torch.softmax(self.layer(y), dim=1) * y).sum(dim=1)
        return mean + y.amax(dim=1) if self.with_maximum else mean


class Mean(nn.Module):
    """Mean over a dimension."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, x: Tensor) -> Tensor:
        """Remove the dimension."""
        return x.mean(self.dim)


class Maximum(Mean):
    """Maximum over a dimension."""

    def forward(self, x: Tensor) -> Tensor:
        """Remove the dimension."""
        return x.amax(self.dim)


FREQUENCY_POOLING: dict[str, Callable[[int, int], nn.Module]] = {
    "mean": lambda _channels, _rows: Mean(2),
    "maximum": lambda _channels, _rows: Maximum(2),
    "generalised mean": lambda _channels, _rows: GeneralisedMean(2),
    "rows": Rows,
}
TIME_POOLING: dict[str, Callable[[int], nn.Module]] = {
    "attention": Attention,
    "attention and maximum": lambda channels: Attention(channels, with_maximum=True),
    "mean": lambda _channels: Mean(2),
    "generalised mean": lambda _channels: GeneralisedMean(2),
}


class Network(nn.Module):
    """A stem with stride 2, four stages of blocks, pooling over frequency and then over time. Its defaults are those of `resnet`.

    Args:
        species: number of logits.
        mean: mean of the mel frames of the training split.
        std: their standard deviation.
        mels: mel bands of a window.
        dropout: rate before the classifier.
        block: of `BLOCKS`.
        width: channels of the first stage; the others have 2, 4 and 8 times as many.
        depth: blocks of each stage.
        excitation: of `EXCITATIONS`.
        coordinate: whether the height of each value in the spectrogram is a second channel of the input (Liu et al. 2018).
        frequency: of `FREQUENCY_POOLING`.
        time: of `TIME_POOLING`.
        input: of `INPUTS`; None: that of `resnet`.
        centre_bands: see `autobird.model.networks.Normalise`; for `input` None.
        frames: frames of a window, for `input`.
    """

    def __init__(
        self, species: int, mean: float, std: float, mels: int, dropout: float, *, block: str = "residual", width: int = 16,
        depth: tuple[int, int, int, int] = (1, 1, 1, 1), excitation: str = "none", coordinate: bool = False,
        frequency: str = "mean", time: str = "attention", input: str | None = None, centre_bands: bool = True,
        frames: int = 157,
    ) -> None:  # fmt: skip
        super().__init__()
        self.normalise: nn.Module = INPUTS[input](frames) if input else Normalise(mean, std, centre_bands)
        self.coordinate = coordinate
        self.stem = nn.Sequential(convolution(2 if coordinate else 1, width, 5, 2), nn.ReLU())
        stages, channels, rows = [], width, math.ceil(mels / 2)
        for stage, blocks in enumerate(depth):
            for number in range(blocks):
                stride = 2 if stage and not number else 1
                stages.append(BLOCKS[block](channels, width << stage, stride, excitation))
                channels, rows = width << stage, math.ceil(rows / stride)
        self.stages = nn.Sequential(*stages)
        self.frequency, self.time = FREQUENCY_POOLING[frequency](channels, rows), TIME_POOLING[time](channels)
        self.dropout, self.classifier = nn.Dropout(dropout), nn.Linear(channels, species)

    def forward(self, x: Tensor) -> Tensor:
        """Map mel frames of shape (windows, 1, mels, frames) to logits of shape (windows, species)."""
        x = self.normalise(x)
        if self.coordinate:
            height = torch.linspace(-1, 1, x.shape[2], device=x.device).to(x)
            x = torch.cat([x, height[None, None, :, None].expand_as(x)], dim=1)
        return self.classifier(self.dropout(self.time(self.frequency(self.stages(self.stem(x))))))


@dataclass(frozen=True)
class Candidate:
    """What is compared: a network and changes of the training settings.

    Attributes:
        network: arguments of `Network`; None: the network that the training settings name.
        train: training settings that differ from the configuration.
    """

    network: Mapping[str, Any] | None = None
    train: Mapping[str, Any] = field(default_factory=dict)


CROPS_AND_NOISE = {"crop_seconds": 1.25, "background_probability": 0.5}

FORMER_RECIPE = {"crop_seconds": 0.0, "background_probability": 0.0, "epochs": 30}

CANDIDATES = {
    "default (`resnet`)": Candidate(),
    "`resnet` without `centre_bands`": Candidate(train={"centre_bands": False}),
    "former recipe: no crops, no background noise, 30 epochs": Candidate(train=FORMER_RECIPE),
    "30 epochs": Candidate(train={"epochs": 30}),
    "no crops": Candidate(train={"crop_seconds": 0.0}),
    "no background noise": Candidate(train={"background_probability": 0.0}),
    "random crops of up to 2.5 s": Candidate(train={"crop_seconds": 2.5}),
    "`cnn_transformer` with its recipe": Candidate(train={"architecture": "cnn_transformer"}),
    "bands without their mean, frames without sound included": Candidate({"input": "bands without their mean"}),
    "bands without their mean, divided by their standard deviation": Candidate(
        {"input": "bands divided by their standard deviation"}
    ),
    "PCEN of each window in the network": Candidate({"input": "PCEN"}),
    "PCEN of each window with the mean as the level": Candidate({"input": "PCEN with the mean"}),
    "squeeze-and-excitation": Candidate({"excitation": "channels"}),
    "squeeze-and-excitation by frequency": Candidate({"excitation": "channels and frequency"}),
    "height as a second input channel": Candidate({"coordinate": True}),
    "weights for each row of frequency": Candidate({"frequency": "rows"}),
    "generalised mean over frequency": Candidate({"frequency": "generalised mean"}),
    "maximum over frequency": Candidate({"frequency": "maximum"}),
    "generalised mean over time": Candidate({"time": "generalised mean"}),
    "mean over time": Candidate({"time": "mean"}),
    "attention and maximum over time": Candidate({"time": "attention and maximum"}),
    "width 8": Candidate({"width": 8}),
    "width 24": Candidate({"width": 24}),
    "width 32": Candidate({"width": 32}),
    "width 64": Candidate({"width": 64}),
    "two blocks per stage": Candidate({"depth": (2, 2, 2, 2)}),
    "inverted residual": Candidate({"block": "inverted residual"}),
    "inverted residual, width 24, squeeze-and-excitation": Candidate(
        {"block": "inverted residual", "width": 24, "excitation": "channels"}
    ),
    "fused inverted residual": Candidate({"block": "fused inverted residual"}),
    "ConvNeXt, width 24": Candidate({"block": "ConvNeXt", "width": 24}, {"learning_rate": 2e-3}),
    "ConvNeXt, width 32, five blocks": Candidate(
        {"block": "ConvNeXt", "width": 32, "depth": (1, 1, 2, 1)}, {"learning_rate": 2e-3}
    ),
    "batch of 32": Candidate(train={"batch_size": 32}),
    "120 epochs": Candidate(train={"epochs": 120}),
    # With a teacher (`train.teacher`), whose default recipe has 40 epochs without crops and background noise.
    "without a teacher": Candidate(train={"teacher": None}),
    "without unlabelled recordings": Candidate(train={"unlabelled": None}),
    "60 epochs": Candidate(train={"epochs": 60}),
    "random crops of up to 1.25 s": Candidate(train={"crop_seconds": 1.25}),
    "background noise in half of the windows": Candidate(train={"background_probability": 0.5}),
    "crops and background noise": Candidate(train=CROPS_AND_NOISE),
    "crops and background noise, 60 epochs": Candidate(train={**CROPS_AND_NOISE, "epochs": 60}),
}
