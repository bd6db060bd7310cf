"""The training loop gives the results of plain torch with the same settings, and its scores are those of scikit-learn."""

import copy
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn.metrics import f1_score, log_loss
from torch.nn import functional as F

from autobird.model import loop
from autobird.model.data import WindowDataset, epoch_order
from autobird.model.loop import Trainer
from autobird.model.networks import build_network
from autobird.model.precision import Compute, make_deterministic
from autobird.model.settings import TrainSettings
from autobird.model.validation import loss_and_macro_f1, predict_logits
from tests.label_sets import single_species

CPU = Compute(torch.device("cpu"), torch.float32)
PLAIN = {"roll": False, "gain_db": 0, "equaliser_db": 0, "mask_probability": 0, "mix_probability": 0, "dropout": 0}


def windows(label: NDArray[np.int64], species: int, seed: int = 0) -> WindowDataset:
    """Return windows of noise, one per recording."""
    n = len(label)
    frames = np.random.default_rng(seed).normal(-9, 1, (n * 40, 16)).astype(np.float16)
    return WindowDataset(
        [frames], np.zeros(n, np.int64), np.arange(n) * 40, single_species(label, species), np.arange(n), 40
    )


RECIPES = [
    {"optimizer": "adamw", "weight_decay": 0.5, "sampler": "balanced", "label_smoothing": 0.2, "ema_decay": 0.5},
    {"optimizer": "adam", "weight_decay": 0.1, "sampler": "uniform", "gradient_clip": 0.05, "ema_decay": 0.9},
]


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda r: r["optimizer"])
def test_an_epoch_gives_the_weights_average_and_loss_of_plain_torch(recipe: dict[str, object]) -> None:
    """Optimizer, weight decay, learning rate, label smoothing, clipping, sampler, and the moving average of the weights."""
    settings = TrainSettings.model_validate(
        {
            "outputs": "softmax",
            "width": 8,
            "epochs": 1,
            "batch_size": 8,
            "threads": 1,
            "warmup": 0.5,
            "learning_rate": 0.01,
            **PLAIN,
            **recipe,
        }
    )
    make_deterministic(1)
    torch.manual_seed(0)
    network, data = build_network(settings, 3, -9.0, 1.0), windows(np.arange(22) % 3, 3)
    mine = copy.deepcopy(network).train()
    average = copy.deepcopy(network)
    kind = {"adamw": torch.optim.AdamW, "adam": torch.optim.Adam}[settings.optimizer]
    optimizer = kind(mine.parameters(), lr=0.01, weight_decay=settings.weight_decay)
    order = epoch_order(data, settings, np.random.default_rng([settings.seed, 1, 0]))
    assert (sorted(order) == list(range(22))) == (settings.sampler == "uniform")
    # Three steps: two of warm-up, then one of the cosine.
    losses, hits = [], 0
    for step, rate in enumerate((0.005, 0.01, 0.01)):
        rows = order[8 * step : 8 * step + 8]
        x, label = data.take(rows), torch.from_numpy(rows % 3)
        logits = mine(x)
        loss = F.cross_entropy(logits, label, label_smoothing=settings.label_smoothing)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(mine.parameters(), settings.gradient_clip)
        optimizer.param_groups[0]["lr"] = rate
        optimizer.step()
        losses += [float(loss.detach())] * len(label)
        hits += int((logits.argmax(1) == label).sum())
        decay = min(settings.ema_decay, (1 + step) / (10 + step))
        for name, value in average.state_dict().items():
            if value.is_floating_point():
                value.mul_(decay).add_(mine.state_dict()[name], alpha=1 - decay)

    trainer = Trainer(network, data, windows(np.arange(4) % 3, 3), settings, CPU)
    kept = trainer.run(lambda: None)
    # The bias of the attention has no effect (softmax over time). Its gradient is only rounding error, which Adam scales up.
    named = [name for name in average.state_dict() if name != "attention.bias" and "num_batches" not in name]
    for name in named:
        value = trainer.network.state_dict()[name]
        torch.testing.assert_close(
            value, mine.state_dict()[name], rtol=1e-3, atol=3e-4, msg=lambda m, n=name: f"{n}: {m}"
        )
        torch.testing.assert_close(
            kept[name], average.state_dict()[name], rtol=1e-3, atol=3e-4, msg=lambda m, n=name: f"{n}: {m}"
        )
    [row] = trainer.progress.history
    assert row["train_loss"] == pytest.approx(np.mean(losses), rel=1e-4)
    assert row["train_top1"] == pytest.approx(hits / 22)
    assert row["learning_rate"] == pytest.approx(0.01)


def test_validation_scores_are_those_of_scikit_learn_for_the_averaged_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    """Species 3 is not in the validation split, so macro-F1 does not include it."""
    settings = TrainSettings(outputs="softmax", width=8, epochs=1, batch_size=8, threads=1, ema_decay=0.9)
    torch.manual_seed(0)
    truth = np.random.default_rng(1).integers(0, 3, 150)
    trainer = Trainer(
        build_network(settings, 4, -9.0, 1.0), windows(np.arange(24) % 4, 4), windows(truth, 4, 1), settings, CPU
    )
    seen = []
    monkeypatch.setattr(loop, "loss_and_macro_f1", lambda *a: seen.append(a[0]) or loss_and_macro_f1(*a))
    trainer.run(lambda: None)
    assert seen == [trainer.ema_network]
    logits = predict_logits(trainer.ema_network, trainer.validation, CPU)
    with torch.no_grad():  # as one batch
        expected = trainer.ema_network(trainer.validation.take(np.arange(150))).numpy()
    np.testing.assert_allclose(logits, expected, atol=1e-4)
    [row] = trainer.progress.history
    p = np.exp(expected.astype(float)) / np.exp(expected.astype(float)).sum(1, keepdims=True)
    assert row["validation_loss"] == pytest.approx(log_loss(truth, p, labels=range(4)), rel=1e-4)
    guess = expected.argmax(1)
    assert row["validation_macro_f1"] == pytest.approx(f1_score(truth, guess, average="macro", labels=[0, 1, 2]))


def test_relu_after_pooling_gives_output_and_gradients_of_the_network_to_the_bit() -> None:
    make_deterministic(1)
    torch.manual_seed(0)
    settings = TrainSettings(architecture="cnn_transformer", d_model=16, dropout=0)
    fast: Any = build_network(settings, 3, -8.0, 3.0).train()
    plain: Any = copy.deepcopy(fast)
    plain._convolutions = plain.cnn
    x = 3 * torch.randn(4, 1, 64, 157) - 8
    gradients = []
    for network in (fast, plain):
        logits = network(x)
        logits.square().sum().backward()
        gradients.append([logits, *(p.grad for p in network.parameters())])
    assert all(torch.equal(a, b) for a, b in zip(*gradients, strict=True))
    assert (gradients[0][1] != 0).any()


def test_the_average_follows_the_weights_after_a_checkpoint_was_loaded() -> None:
    """The tensors that are averaged are listed once, so loading must fill them and not replace them."""
    settings = TrainSettings(width=8, epochs=1, batch_size=8, threads=1, ema_decay=0.9)
    torch.manual_seed(0)
    trainer = Trainer(
        build_network(settings, 3, -9.0, 1.0), windows(np.arange(24) % 3, 3), windows(np.arange(3), 3), settings, CPU
    )
    trainer.load_state_dict(copy.deepcopy(trainer.state_dict()))
    trainer.run(lambda: None)
    named = dict(trainer.network.named_parameters())
    average = trainer.ema_network.state_dict()
    assert all(
        not torch.equal(average[name], value)
        for name, value in named.items()
        if value.grad is not None and value.grad.any()
    )
    moved = [name for name in named if name.endswith("conv1.weight")]
    torch.manual_seed(0)
    start = build_network(settings, 3, -9.0, 1.0).state_dict()
    assert moved
    assert all(not torch.equal(average[name], start[name]) for name in moved)


@pytest.mark.parametrize("device", ["cuda", "cpu"])
def test_the_training_on_a_gpu_does_without_fused_attention(device: str) -> None:
    """The backward pass of fused kernels adds in varying order on a GPU; on a CPU they give the same bytes each time."""
    with Compute(torch.device(device), torch.float32).deterministic_forward():
        fused = torch.backends.cuda.flash_sdp_enabled() or torch.backends.cuda.mem_efficient_sdp_enabled()
        fused = fused or torch.backends.cuda.cudnn_sdp_enabled()
    assert fused == (device == "cpu")
    assert torch.backends.cuda.flash_sdp_enabled()


def test_the_forward_pass_of_a_training_is_deterministic(monkeypatch: pytest.MonkeyPatch) -> None:
    original, calls = Compute.deterministic_forward, []
    monkeypatch.setattr(Compute, "deterministic_forward", lambda self: calls.append(1) or original(self))
    make_deterministic(1)
    settings = TrainSettings.model_validate(
        PLAIN | {"threads": 1, "epochs": 1, "background_probability": 0, "crop_seconds": 0}
    )
    label = np.arange(32) % 2
    network = build_network(settings, 2, -9.0, 1.0)
    Trainer(network, windows(label, 2), windows(label, 2), settings, CPU).run(lambda: None)
    assert len(calls) == 2  # batches of 16
