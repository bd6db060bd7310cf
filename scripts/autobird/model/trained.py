"""Read a trained network back."""

from pathlib import Path
from typing import Any

import safetensors.torch
from torch import nn

from autobird.model.networks import build
from autobird.model.settings import TrainSettings


def load(model: dict[str, Any], weights: Path) -> tuple[nn.Module, TrainSettings]:
    """The trained network on the CPU, from `model.json` and its weights."""
    settings = TrainSettings.model_validate(model["train"])
    norm = model["normalisation"]
    network = build(settings, len(model["labels"]), norm["mean"], norm["std"])
    network.load_state_dict(safetensors.torch.load_file(weights))
    return network, settings
