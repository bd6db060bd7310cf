"""Logits of windows, and the loss and macro-F1 of a network on the validation split."""

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional as F

from autobird.core.errors import AutobirdError
from autobird.dataset.label_sets import LabelSets
from autobird.model.data import WindowDataset
from autobird.model.distributed import ALONE, Processes
from autobird.model.losses import binary_loss
from autobird.model.networks import memory_format
from autobird.model.precision import Compute
from autobird.model.settings import TrainSettings
from autobird.model.step_parts import VALIDATION, step_part

_INFERENCE_BATCH = 64
"""Windows per forward pass outside of training. The tensors of larger batches do not fit into the CPU's cache, and their
memory is returned to the system each time."""


@torch.inference_mode()
def predict_logits(
    network: nn.Module, windows: WindowDataset, compute: Compute, processes: Processes = ALONE
) -> NDArray[np.float32]:
    """Return the logits of all windows, in their order; shape (windows, species).

    Each process computes its share of the batches, and all return all logits.

    Raises:
        AutobirdError: some logits are NaN or infinite.
    """
    network.eval()
    layout, species = memory_format(network), windows.labels.present.shape[1]
    found = torch.zeros(len(windows), species if len(windows) else 0)
    starts = range(0, len(windows), _INFERENCE_BATCH)
    for start in starts[processes.share(len(starts))]:
        x = windows.take(np.arange(start, min(start + _INFERENCE_BATCH, len(windows))))
        with compute.autocast():
            found[start : start + len(x)] = network(x.to(compute.device).contiguous(memory_format=layout)).float().cpu()
    if processes.size > 1:
        sums = found.to(compute.device)
        processes.add(sums)  # of one process's logits and the zeros of the others
        found = sums.cpu()
    logits: NDArray[np.float32] = found.numpy()
    not_finite = np.flatnonzero(~np.isfinite(logits).all(axis=1))
    if len(not_finite):
        raise AutobirdError(
            f"the network's logits of {len(not_finite)} of {len(windows)} windows are NaN or infinite in {compute.dtype}; "
            f"recordings: {windows.describe_recordings(not_finite)}; set train.precision to float32, "
            "or train again with a lower train.learning_rate"
        )
    return logits


@step_part(VALIDATION)
def loss_and_macro_f1(
    network: nn.Module, windows: WindowDataset, settings: TrainSettings, compute: Compute, processes: Processes = ALONE
) -> tuple[float, float]:
    """Return the mean loss and the macro-F1 of the windows; both are NaN if there are no windows.

    The loss is that of the training without smoothing. The macro-F1 is the mean over the species that occur in the windows: with
    softmax outputs of the most probable species; with independent outputs at the threshold of each species that gives the highest F1,
    over the windows of which it is known whether they contain it.

    Raises:
        AutobirdError: some logits are NaN or infinite.
    """
    if not len(windows):
        return math.nan, math.nan
    logits = predict_logits(network, windows, compute, processes)
    if settings.outputs == "independent":
        loss = binary_loss(torch.from_numpy(logits), windows.targets(np.arange(len(windows))), settings.loss)
        return float(loss), _highest_macro_f1(logits, windows.labels)
    label, species = windows.labels.present.argmax(axis=1), logits.shape[1]
    loss = F.cross_entropy(torch.from_numpy(logits), torch.from_numpy(label))
    confusion = np.bincount(label * species + logits.argmax(1), minlength=species**2).reshape(species, species)
    correct, true, predicted = confusion.diagonal(), confusion.sum(1), confusion.sum(0)
    f1 = 2 * correct / np.maximum(1, true + predicted)
    return float(loss), float(f1[true > 0].mean())


def _highest_macro_f1(logits: NDArray[np.float32], labels: LabelSets) -> float:
    """Return the mean over the species that occur of the F1 at the best threshold of each; 0 if none occurs."""
    best = []
    for z, present, known in zip(logits.T, labels.present.T, labels.known.T, strict=True):
        if not present.any():
            continue
        order = np.argsort(-z[known], kind="stable")
        hits = np.cumsum(present[known][order])
        f1 = 2 * hits / (np.arange(1, len(hits) + 1) + hits[-1])
        # Equal logits are detected together, so only the last of them is a threshold.
        best.append(float(f1[np.append(np.diff(z[known][order]) != 0, True)].max()))
    return float(np.mean(best)) if best else 0.0
