"""Load a trained network."""

from pathlib import Path
from typing import Any

import safetensors.torch
from torch import nn

from autobird.model.head_network import HeadNetwork
from autobird.model.networks import build_network
from autobird.model.recorded_settings import settings_of_model
from autobird.model.settings import TrainSettings


def load_trained(model: dict[str, Any], weights: Path) -> tuple[nn.Module, TrainSettings]:
    """Return the trained network, on the CPU, and the settings that it was trained with.

    Args:
        model: content of `model.json`.
        weights: safetensors file.
    """
    settings = settings_of_model(model)
    network: nn.Module
    if settings.architecture == "head":
        prior = bool(model["known_to_backbone"])
        network = HeadNetwork(len(model["labels"]), model["backbone"]["width"], settings.hidden, prior)
    else:
        norm = model["normalisation"]
        network = build_network(settings, len(model["labels"]), norm["mean"], norm["std"])
    network.load_state_dict(safetensors.torch.load_file(weights))
    return network, settings
