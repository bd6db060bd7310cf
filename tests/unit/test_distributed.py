"""A training that several processes share gives the weights of one process with the same batches."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from autobird.model.settings import TrainSettings
from tests import processes

SMALL = {"width": 4, "epochs": 3, "batch_size": 6, "threads": 1, "select": "best", "sampler": "uniform"}
CASES: dict[str, dict[str, Any]] = {
    "mixtures, negatives and average": SMALL | {"mix_probability": 0.6, "ema_decay": 0.9},
    "transformer, softmax": SMALL
    | {"architecture": "cnn_transformer", "d_model": 8, "outputs": "softmax", "mix_probability": 0.5, "roll": True}
    | {"mask_probability": 0.5, "mask_bands": 4, "mask_frames": 8, "label_smoothing": 0.1, "learning_rate": 1e-3},
    "teacher": SMALL
    | {"teacher": "birdnet", "teacher_batch": 5, "teacher_only": 0.5, "epochs": 2, "outputs": "softmax"},
}


@pytest.mark.parametrize(("size", "names"), [(2, list(CASES)), (3, list(CASES)[:1])])
def test_processes_that_share_a_training_end_with_the_weights_of_one_process(
    size: int, names: list[str], tmp_path: Path
) -> None:
    """The epochs end with a batch of a single window, of which all processes but one have no part."""
    found = processes.run(size, {name: CASES[name] for name in names}, tmp_path)
    for name in names:
        alone = processes.training(TrainSettings.model_validate(CASES[name]))
        weights = alone.run(lambda: None)
        for key, value in weights.items():
            # The bias of the attention has no effect (softmax over time). Its gradient is only rounding error, which Adam scales up.
            if key != "attention.bias":
                torch.testing.assert_close(
                    found[name]["weights"][key], value, rtol=1e-3, atol=2e-4, msg=lambda m, k=key: f"{k}: {m}"
                )
        for epoch, other in zip(found[name]["history"], alone.progress.history, strict=True):
            np.testing.assert_allclose([*epoch.values()], [*other.values()], rtol=1e-3, err_msg=str(epoch))
