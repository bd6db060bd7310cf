"""The training loop, which can be interrupted after any step and resumes to bit-identical weights.

No state of a random generator is saved. The order of an epoch comes from a generator seeded with (seed, epoch); the
augmentation and the dropout of a step come from one seeded with (seed, epoch, step). A checkpoint therefore holds only
the weights, the state of the optimizer and the progress of the training.

Several processes can share a training (`Processes`). Each draws the random numbers of the whole batch, computes its share of the rows, and
has the same weights after each step as one process that computes the whole batch, up to rounding.
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

from autobird.core.errors import AutobirdError
from autobird.model.data import WindowDataset, epoch_order, windows_per_epoch
from autobird.model.distributed import ALONE, Processes
from autobird.model.losses import Targets, label_loss
from autobird.model.networks import memory_format
from autobird.model.precision import Compute
from autobird.model.row_dropout import BatchRows
from autobird.model.settings import TrainSettings
from autobird.model.shared_layers import share_layers
from autobird.model.shares import add_up, own_sounds, own_windows, part_of_loss
from autobird.model.step_parts import AVERAGE, BACKWARD, CHECKS, FORWARD, OPTIMIZER, step_part
from autobird.model.teaching import Teaching
from autobird.model.validation import loss_and_macro_f1

VALIDATION_INTERVAL = 3
"""Epochs between two validations if the epoch is not selected by them. The last epoch is always validated."""

_MIN_LOSS_SCALE = 1e-4
"""Smallest scale of the loss in float16. Gradients that are not finite at this scale are not so because of overflow, and
training stops (same value as in fairseq)."""

State = dict[str, Any]


@dataclass
class TrainingProgress:
    """How far a training is, and its measurements.

    Attributes:
        epoch: number of completed epochs.
        step: number of completed steps of the current epoch.
        loss_sum: sum of the loss over the windows of the current epoch so far.
        correct: number of these windows that hold a species and whose most probable species was right.
        history: one record per completed epoch.
        best_epoch: epoch with the highest validation macro-F1, counted from 1; -1 before the first validation.
        best_score: that macro-F1.
    """

    epoch: int = 0
    step: int = 0
    loss_sum: float = 0.0
    correct: float = 0.0
    history: list[dict[str, float]] = field(default_factory=list)
    best_epoch: int = -1
    best_score: float = -math.inf


class Trainer:
    """Trains a network on the windows of one split and validates it on those of another.

    Attributes:
        stop_requested: called in each step; whether this process was asked to stop.
        stopping: whether any process was asked to stop, the same in all processes after each step.

    Args:
        network: the network; it is moved to the device and trained in place.
        train: training windows.
        validation: validation windows.
        settings: training settings.
        compute: device and number format.
        teaching: what the network learns from a teacher besides; None: nothing.
        processes: processes that share the training, each with the same arguments.
    """

    def __init__(
        self,
        network: nn.Module,
        train: WindowDataset,
        validation: WindowDataset,
        settings: TrainSettings,
        compute: Compute,
        teaching: Teaching | None = None,
        processes: Processes = ALONE,
    ) -> None:
        self.settings, self.compute, self.teaching, self.processes = settings, compute, teaching, processes
        self.train, self.validation = train, validation
        self.stop_requested: Callable[[], bool] = lambda: False
        self.stopping = False
        self.batch_rows = BatchRows()
        share_layers(network, processes, self.batch_rows)
        self.layout = memory_format(network)
        self.network = network.to(compute.device).to(memory_format=self.layout)  # type: ignore[call-overload]
        self.ema_network = (
            copy.deepcopy(self.network).eval().requires_grad_(False) if settings.ema_decay else self.network
        )
        # Weights and batch statistics; they stay the same tensors. To list them in each step takes as long as to average them.
        self._averaged, self._current = (
            [value for value in each.state_dict().values() if value.is_floating_point()]
            for each in (self.ema_network, self.network)
        )
        assert settings.weight_decay != "auto"  # the settings allow it for heads alone
        optimizer = torch.optim.AdamW if settings.optimizer == "adamw" else torch.optim.Adam
        self.parameters = [*self.network.parameters(), *(teaching.projection.parameters() if teaching else ())]
        self.optimizer = optimizer(
            self.parameters, lr=settings.learning_rate, weight_decay=settings.weight_decay, fused=True
        )
        self.scaler = torch.amp.GradScaler(compute.device.type, enabled=compute.dtype == torch.float16)
        self.steps_per_epoch = max(1, math.ceil(windows_per_epoch(train, settings) / settings.batch_size))
        self.progress = TrainingProgress()
        self.best_weights: State | None = None

    def run(self, after_epoch: Callable[[], None], after_step: Callable[[], None] = lambda: None) -> dict[str, Tensor]:
        """Train from the current progress to the last epoch.

        Args:
            after_epoch: called after each epoch.
            after_step: called after each step.

        Returns:
            The weights that `TrainSettings.select` selects, on the CPU.
        """
        while self.progress.epoch < self.settings.epochs:
            self._epoch(after_step)
            after_epoch()
        best = self.best_weights if self.settings.select == "best" else None
        weights = best or self.ema_network.state_dict()
        return {name: value.detach().cpu().contiguous() for name, value in weights.items()}

    def state_dict(self) -> State:
        """Return all state that `load_state_dict` needs to continue exactly here."""
        return {
            "network": self.network.state_dict(),
            "ema_network": self.ema_network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
            "best_weights": self.best_weights,
            "projection": self.teaching.projection.state_dict() if self.teaching else None,
            "progress": vars(self.progress),
        }

    def load_state_dict(self, state: State) -> None:
        """Restore the state that `state_dict` returned."""
        self.network.load_state_dict(state["network"])
        self.ema_network.load_state_dict(state["ema_network"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.scaler.load_state_dict(state["scaler"])
        self.best_weights = state["best_weights"]
        if self.teaching:
            self.teaching.projection.load_state_dict(state["projection"])
        self.progress = TrainingProgress(**state["progress"])

    def _epoch(self, after_step: Callable[[], None]) -> None:
        """Train to the end of the current epoch, validate if it is due, and append to the history."""
        progress, size = self.progress, self.settings.batch_size
        rng = np.random.default_rng([self.settings.seed, 1, progress.epoch])
        order = epoch_order(self.train, self.settings, rng)
        while progress.step < self.steps_per_epoch:
            rows = order[progress.step * size : (progress.step + 1) * size]
            loss, correct = self._step(rows)
            progress.loss_sum += loss * len(rows)
            progress.correct += correct
            progress.step += 1
            after_step()
        with_species = int(self.train.labels.present[order].any(axis=1).sum())
        epoch = progress.epoch + 1
        loss = f1 = math.nan
        if self.settings.select == "best" or epoch % VALIDATION_INTERVAL == 0 or epoch == self.settings.epochs:
            loss, f1 = loss_and_macro_f1(self.ema_network, self.validation, self.settings, self.compute, self.processes)
        progress.history.append(
            {
                "epoch": epoch,
                "learning_rate": self._learning_rate(progress.epoch * self.steps_per_epoch + progress.step - 1),
                "train_loss": progress.loss_sum / len(order),
                "train_top1": progress.correct / max(1, with_species),
                "validation_loss": loss,
                "validation_macro_f1": f1,
            }
        )
        if f1 > progress.best_score:
            progress.best_score, progress.best_epoch = f1, epoch
            if self.settings.select == "best":
                self.best_weights = copy.deepcopy(self.ema_network.state_dict())
        progress.epoch, progress.step, progress.loss_sum, progress.correct = epoch, 0, 0.0, 0.0

    def _step(self, rows: NDArray[np.int64]) -> tuple[float, float]:
        """Update the weights with the windows at `rows`; return their mean loss, and of how many the most probable species was right.

        In a mixture every species that is present is right. Windows that hold no species do not count.
        """
        s, progress = self.settings, self.progress
        step = progress.epoch * self.steps_per_epoch + progress.step
        rng = np.random.default_rng([s.seed, 2, progress.epoch, progress.step])
        torch.manual_seed(int(rng.integers(2**62)))  # dropout draws from torch's global generator
        own = self.processes.share(len(rows))
        x, targets, present = own_windows(self.train, rows, own, s, rng, self.compute.device)
        self.batch_rows.set(own, len(rows))
        for group in self.optimizer.param_groups:
            group["lr"] = self._learning_rate(step)
        self.network.train()
        loss, logits = self._loss(x, targets, step, rng, len(x) / len(rows))
        self._backward(loss)
        most = targets.present.amax(1, keepdim=True)
        right = targets.present.gather(1, logits.argmax(1, keepdim=True)) >= most
        right = right & (most > 0) & (present >= 0.5).any(1, keepdim=True)
        numbers = [loss.detach(), right.sum(), torch.tensor(self.stop_requested(), device=loss.device)]
        value, correct, stop = add_up(self.parameters, numbers, self.processes)
        self.stopping = stop > 0
        norm = self._update_weights()
        if s.ema_decay:
            self._update_ema(step)
        self._raise_if_not_finite(value, norm, rows)
        return value, correct

    @step_part(FORWARD)
    def _loss(
        self, x: Tensor, targets: Targets, step: int, rng: np.random.Generator, share: float = 1.0
    ) -> tuple[Tensor, Tensor]:
        """Return this process's part of the loss of a step, and the logits of its labelled windows.

        Args:
            x: augmented windows of the step that this process computes.
            targets: their targets.
            step: number of the step, counted from the start of the training.
            rng: generator of the step.
            share: share of the windows of the step that this process computes.
        """
        if self.teaching is None:
            with self.compute.autocast():
                logits = self.network(x.contiguous(memory_format=self.layout))
            return part_of_loss(label_loss(logits, targets, self.settings), share, logits), logits
        own = self.processes.share(self.teaching.batch)
        sounds, lesson = own_sounds(self.teaching, own, self.settings, rng, self.train.scaling)
        self.batch_rows.append(own, self.teaching.batch)
        network: Any = self.network
        with self.compute.autocast():
            features = network.features(torch.cat([x, sounds]).contiguous(memory_format=self.layout))
            logits = network.classifier(network.dropout(features))
        labelled = len(x)
        lesson_loss = self.teaching.loss(lesson, features[labelled:], logits[labelled:])
        loss = part_of_loss(lesson_loss, len(sounds) / self.teaching.batch, features[labelled:])
        if step >= self.settings.teacher_only * self.steps_per_epoch * self.settings.epochs:
            loss = loss + part_of_loss(label_loss(logits[:labelled], targets, self.settings), share, logits[:labelled])
        return loss, logits[:labelled]

    @step_part(BACKWARD)
    def _backward(self, loss: Tensor) -> None:
        """Compute the gradient of the loss of a step."""
        self.optimizer.zero_grad(set_to_none=True)
        self.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]

    @step_part(OPTIMIZER)
    def _update_weights(self) -> Tensor:
        """Update the weights with the clipped gradient; return the norm that the gradient had."""
        self.scaler.unscale_(self.optimizer)
        norm = nn.utils.clip_grad_norm_(self.parameters, self.settings.gradient_clip)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        return norm

    @step_part(CHECKS)
    def _raise_if_not_finite(self, loss: float, gradient_norm: Tensor, rows: NDArray[np.int64]) -> None:
        """Stop if loss, gradient or weights of the step contain NaN or infinity, before a checkpoint is saved.

        In float16, a gradient that overflowed is not an error: the gradient scaler skips the step and reduces the scale.

        Raises:
            AutobirdError: a value is not finite; the message names the epoch, the step and the recordings of the batch.
        """
        float16 = self.scaler.is_enabled()
        weight_norms = torch.stack(torch._foreach_norm(self.parameters))
        for name, not_finite in (
            ("loss", not math.isfinite(loss)),
            ("gradient", self.scaler.get_scale() < _MIN_LOSS_SCALE if float16 else not math.isfinite(gradient_norm)),
            ("weights", not bool(torch.isfinite(weight_norms).all())),
        ):
            if not_finite:
                progress = self.progress
                rate = self._learning_rate(progress.epoch * self.steps_per_epoch + progress.step)
                raise AutobirdError(
                    f"NaN or infinity in the {name} of epoch {progress.epoch + 1}, step {progress.step + 1} of "
                    f"{self.steps_per_epoch}, in {self.compute.dtype} at learning rate {rate:.2g}; recordings of the batch: "
                    f"{self.train.describe_recordings(rows)}; lower train.learning_rate, or set train.precision to float32"
                )

    @step_part(AVERAGE)
    def _update_ema(self, step: int) -> None:
        """Update the exponential moving average of weights and batch statistics.

        The decay starts low, so that the average forgets the initial weights quickly.
        """
        decay = min(self.settings.ema_decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(self._averaged, self._current, 1 - decay)

    def _learning_rate(self, step: int) -> float:
        """Return the learning rate of a step, counted from the start of the training."""
        s, total = self.settings, self.steps_per_epoch * self.settings.epochs
        if s.schedule == "step":
            return float(s.learning_rate * s.gamma ** (step // self.steps_per_epoch // s.step_size))
        if s.schedule == "constant":
            return s.learning_rate
        warmup_steps = max(1, round(s.warmup * total))
        if step < warmup_steps:
            return s.learning_rate * (step + 1) / warmup_steps
        return s.learning_rate * 0.5 * (1 + math.cos(math.pi * (step - warmup_steps) / max(1, total - warmup_steps)))
