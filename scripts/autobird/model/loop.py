"""The training loop: plain torch that resumes to the bit.

Nothing random is carried along: the order of an epoch, the augmentation and the dropout of a step come
from generators seeded with (seed, epoch, step). A checkpoint therefore needs only weights, optimizer
state and where it stands, and a run that was killed ends with the weights of one that was not.
"""

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from autobird.core.errors import AutobirdError
from autobird.model.augment import augment
from autobird.model.data import Windows, epoch_order
from autobird.model.networks import memory_format
from autobird.model.precision import Compute
from autobird.model.settings import TrainSettings

_EVALUATION_BATCH = 64
"""Windows whose logits are computed at a time: the tensors of larger batches leave the cache, and are given back to the system."""

_VALIDATE_EVERY = 3
"""Epochs between two looks at validation where no epoch is chosen by it; there is always one after the last epoch."""

_SMALLEST_SCALE = 1e-4
"""Scale of the loss below which float16 is given up: gradients that are not finite even so are not so by overflow (fairseq)."""

State = dict[str, Any]


@dataclass
class Position:
    """Where training stands, and what it has measured so far."""

    epoch: int = 0
    step: int = 0
    loss: float = 0.0
    correct: float = 0.0
    history: list[dict[str, float]] = field(default_factory=list)
    best_epoch: int = -1
    best_score: float = -math.inf


class Trainer:
    """Trains `network` on `train`, watching `validation`."""

    def __init__(
        self,
        network: nn.Module,
        train: Windows,
        validation: Windows,
        species: int,
        settings: TrainSettings,
        compute: Compute,
    ) -> None:
        self.settings, self.compute, self.species = settings, compute, species
        self.train, self.validation = train, validation
        self.layout = memory_format(network)
        self.network = network.to(compute.device).to(memory_format=self.layout)  # type: ignore[call-overload]
        self.average = copy.deepcopy(self.network).eval().requires_grad_(False) if settings.ema_decay else self.network
        kind = torch.optim.AdamW if settings.optimizer == "adamw" else torch.optim.Adam
        self.optimizer = kind(
            self.network.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay, fused=True
        )
        self.scaler = torch.amp.GradScaler(compute.device.type, enabled=compute.dtype == torch.float16)
        self.steps = max(1, math.ceil(len(train) / settings.batch_size))
        self.at = Position()
        self.best: State | None = None

    def run(self, after_epoch: Callable[[], None], after_step: Callable[[], None] = lambda: None) -> dict[str, Tensor]:
        """Train from where `at` stands to the end and return the weights that are kept."""
        while self.at.epoch < self.settings.epochs:
            self._epoch(after_step)
            after_epoch()
        chosen = self.best if self.settings.select == "best" and self.best else self.average.state_dict()
        return {name: value.detach().cpu().contiguous() for name, value in chosen.items()}

    def state(self) -> State:
        """Everything that `load` needs to go on exactly here."""
        return {
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
            "best": self.best,
            "at": vars(self.at),
        }

    def load(self, state: State) -> None:
        """Go on where `state` was taken."""
        self.network.load_state_dict(state["network"])
        self.average.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.scaler.load_state_dict(state["scaler"])
        self.best = state["best"]
        self.at = Position(**state["at"])

    def _epoch(self, after_step: Callable[[], None]) -> None:
        at, size = self.at, self.settings.batch_size
        order = epoch_order(self.train, self.settings.sampler, np.random.default_rng([self.settings.seed, 1, at.epoch]))
        while at.step < self.steps:
            rows = order[at.step * size : (at.step + 1) * size]
            loss, correct = self._step(rows)
            at.loss += loss * len(rows)
            at.correct += correct
            at.step += 1
            after_step()
        n = len(order)
        done = at.epoch + 1
        loss = f1 = math.nan
        if self.settings.select == "best" or done % _VALIDATE_EVERY == 0 or done == self.settings.epochs:
            loss, f1 = evaluate_windows(self.average, self.validation, self.species, self.compute)
        at.history.append(
            {
                "epoch": at.epoch + 1,
                "learning_rate": self._rate(at.epoch * self.steps + at.step - 1),
                "train_loss": at.loss / n,
                "train_top1": at.correct / n,
                "validation_loss": loss,
                "validation_macro_f1": f1,
            }
        )
        if f1 > at.best_score:
            at.best_score, at.best_epoch = f1, at.epoch + 1
            if self.settings.select == "best":
                self.best = copy.deepcopy(self.average.state_dict())
        at.epoch, at.step, at.loss, at.correct = at.epoch + 1, 0, 0.0, 0.0

    def _step(self, rows: NDArray[np.int64]) -> tuple[float, float]:
        s, at = self.settings, self.at
        rng = np.random.default_rng([s.seed, 2, at.epoch, at.step])
        torch.manual_seed(int(rng.integers(2**62)))  # dropout
        x, label = (t.to(self.compute.device, non_blocking=True) for t in self.train.take(rows))
        x, target = augment(x, F.one_hot(label, self.species).float(), s, rng, self.train.scaling)
        for group in self.optimizer.param_groups:
            group["lr"] = self._rate(at.epoch * self.steps + at.step)
        self.network.train()
        with self.compute.autocast():
            logits = self.network(x.contiguous(memory_format=self.layout))
        loss = F.cross_entropy(logits.float(), target, label_smoothing=s.label_smoothing)
        self.optimizer.zero_grad(set_to_none=True)
        self.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        self.scaler.unscale_(self.optimizer)
        norm = nn.utils.clip_grad_norm_(self.network.parameters(), s.gradient_clip)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        if s.ema_decay:
            self._average(at.epoch * self.steps + at.step)
        value = float(loss.detach())
        self._check(value, norm, rows)
        return value, float((logits.argmax(1) == target.argmax(1)).sum())

    def _check(self, loss: float, norm: Tensor, rows: NDArray[np.int64]) -> None:
        """Stop where the step's loss, gradient or weights are not finite, before any of it is saved.

        The scaler of float16 skips a step whose gradient overflowed and goes on with a smaller scale, which is no fault.
        """
        scaled = self.scaler.is_enabled()
        weights = torch.stack(torch._foreach_norm(list(self.network.parameters())))
        for what, wrong in (
            ("loss", not math.isfinite(loss)),
            ("gradient", self.scaler.get_scale() < _SMALLEST_SCALE if scaled else not math.isfinite(norm)),
            ("weights", not bool(torch.isfinite(weights).all())),
        ):
            if wrong:
                raise AutobirdError(
                    f"the {what} of epoch {self.at.epoch + 1}, step {self.at.step + 1} of {self.steps} became NaN or infinite, "
                    f"in {self.compute.dtype} at learning rate {self._rate(self.at.epoch * self.steps + self.at.step):.2g}; "
                    f"its batch is of {self.train.named(rows)}; lower train.learning_rate, or set train.precision to float32"
                )

    def _average(self, step: int) -> None:
        """Exponential moving average of weights and batch statistics; short memory at the start."""
        decay = min(self.settings.ema_decay, (1 + step) / (10 + step))
        mine, theirs = self.average.state_dict(), self.network.state_dict()
        floats = [name for name, value in mine.items() if value.is_floating_point()]
        torch._foreach_lerp_([mine[n] for n in floats], [theirs[n] for n in floats], 1 - decay)

    def _rate(self, step: int) -> float:
        """Learning rate of a step, a function of the step alone."""
        s, total = self.settings, self.steps * self.settings.epochs
        if s.schedule == "step":
            return float(s.learning_rate * s.gamma ** (step // self.steps // s.step_size))
        if s.schedule == "constant":
            return s.learning_rate
        warm = max(1, round(s.warmup * total))
        if step < warm:
            return s.learning_rate * (step + 1) / warm
        return s.learning_rate * 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, total - warm)))


@torch.inference_mode()
def logits_of(network: nn.Module, windows: Windows, compute: Compute) -> NDArray[np.float32]:
    """Logits of all windows in their order, shape (windows, species), float32.

    Raises:
        AutobirdError: some are NaN or infinite.
    """
    network.eval()
    layout, parts = memory_format(network), []
    for start in range(0, len(windows), _EVALUATION_BATCH):
        x, _ = windows.take(np.arange(start, min(start + _EVALUATION_BATCH, len(windows))))
        with compute.autocast():
            parts.append(network(x.to(compute.device).contiguous(memory_format=layout)).float().cpu())
    result: NDArray[np.float32] = torch.cat(parts).numpy() if parts else np.zeros((0, 0), np.float32)
    wrong = np.flatnonzero(~np.isfinite(result).all(axis=1))
    if len(wrong):
        raise AutobirdError(
            f"the network's answers to {len(wrong)} of {len(windows)} windows are NaN or infinite in {compute.dtype}, "
            f"in {windows.named(wrong)}; set train.precision to float32, and train with a lower train.learning_rate"
        )
    return result


def evaluate_windows(network: nn.Module, windows: Windows, species: int, compute: Compute) -> tuple[float, float]:
    """Mean cross-entropy and macro-F1 by window (over the species that occur); NaN-free: 0 for no windows."""
    if not len(windows):
        return 0.0, 0.0
    logits = logits_of(network, windows, compute)
    loss = F.cross_entropy(torch.from_numpy(logits), torch.from_numpy(windows.label))
    counts = np.bincount(windows.label * species + logits.argmax(1), minlength=species**2).reshape(species, species)
    hits, truth, guesses = counts.diagonal(), counts.sum(1), counts.sum(0)
    f1 = 2 * hits / np.maximum(1, truth + guesses)
    return float(loss), float(f1[truth > 0].mean())
