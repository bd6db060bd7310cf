"""A training that several processes share gives the weights of one process with the same batches."""

from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from autobird.core.errors import AutobirdError
from autobird.model.distributed import Processes
from autobird.model.launch import launch
from autobird.model.precision import Compute, check_same_precision
from autobird.model.settings import TrainSettings
from tests import processes

SMALL = {"width": 4, "epochs": 3, "batch_size": 6, "threads": 1, "select": "best", "sampler": "uniform"}
CASES: dict[str, dict[str, Any]] = {
    "mixtures, negatives and average": SMALL | {"mix_probability": 0.6, "ema_decay": 0.9},
    "crops and backgrounds": SMALL
    | {"mix_probability": 0.6, "crop_seconds": 1.0, "background_probability": 0.5, "mask_probability": 0.5},
    "transformer, softmax": SMALL
    | {"architecture": "cnn_transformer", "d_model": 8, "outputs": "softmax", "mix_probability": 0.5, "roll": True}
    | {"mask_probability": 0.5, "mask_bands": 4, "mask_frames": 8, "label_smoothing": 0.1, "learning_rate": 1e-3},
    "teacher": SMALL
    | {"teacher": "birdnet", "teacher_batch": 5, "teacher_only": 0.5, "epochs": 2, "outputs": "softmax"},
}


def test_more_processes_than_windows_of_a_batch_are_an_error_with_the_remedy() -> None:
    TrainSettings(batch_size=8, devices=4, nodes=2)
    with pytest.raises(ValueError, match=r"9 processes, more than the 8 windows of a batch; raise batch_size"):
        TrainSettings(batch_size=8, devices=3, nodes=3)


def test_the_shares_of_all_processes_are_the_whole_batch_in_order() -> None:
    for size, count in ((1, 5), (2, 5), (3, 1), (4, 16)):
        rows = [list(range(count))[Processes(rank, size).share(count)] for rank in range(size)]
        assert list(chain(*rows)) == list(range(count))
        assert max(map(len, rows)) - min(map(len, rows)) <= 1


def test_a_training_on_several_nodes_outside_slurm_is_an_error_with_the_remedy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    with pytest.raises(
        AutobirdError, match=r"train.nodes is 2, but this is not a job of Slurm; .*set train.nodes to 1"
    ):
        launch("autobird.model.train", [], TrainSettings(nodes=2), None)


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


def test_processes_with_other_number_formats_do_not_share_a_training() -> None:
    """With float16 the loss is scaled, so a gradient with the scale would be added to one without it."""
    sent: list[torch.Tensor] = []

    class Two(Processes):
        """The first of two processes, the other of which has sent the first number that this one sends."""

        def gather(self, values: torch.Tensor) -> torch.Tensor:
            sent.append(values)
            return torch.stack([values, sent[0]])

    check_same_precision(Compute(torch.device("cpu"), torch.float16), Two())
    check_same_precision(Compute(torch.device("cpu"), torch.float16), Two())
    with pytest.raises(AutobirdError, match=r"compute in bfloat16 and float16, as .*; set train\.precision to float32"):
        check_same_precision(Compute(torch.device("cpu"), torch.bfloat16), Two())
