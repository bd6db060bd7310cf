"""The training loop of the original project, which the benchmarks of the training compare with."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from autobird.model.settings import TrainSettings


def original_step(
    network: nn.Module, x: Tensor, y: Tensor, settings: TrainSettings, rng: np.random.Generator
) -> Callable[[], tuple[float, float]]:
    """Return a step of the original's loop: windows in memory as float32, plain torch, loss and hits read after each step.

    Args:
        network: on the device of the windows.
        x: windows, shape (windows, 1, mels, frames).
        y: species of each window; shape (windows,).
        settings: learning rate, weight decay and number of windows of a step.
        rng: chooses the windows of a step.
    """
    optimizer = torch.optim.Adam(network.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay)
    network.train()

    def step() -> tuple[float, float]:
        rows = torch.from_numpy(rng.integers(0, len(x), settings.batch_size)).to(x.device)
        optimizer.zero_grad()
        logits = network(x[rows])
        loss = F.cross_entropy(logits, y[rows])
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        return loss.item(), float((logits.argmax(1) == y[rows]).sum().item())

    return step
