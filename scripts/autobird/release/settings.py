"""Settings of the release: how the model is made smaller, and what it may lose by that."""

from pydantic import Field

from autobird.core.settings import Settings
from autobird.evaluation.settings import EvaluationSettings


class PruneSettings(Settings):
    """Structured pruning and the fine-tuning after it (stage `prune`)."""

    prune: float = Field(0.5, ge=0, lt=1, description="Share of the channels inside the blocks that are removed.")
    prune_epochs: int = Field(8, ge=1, le=1000, description="Epochs of fine-tuning after pruning.")
    prune_learning_rate: float = Field(1e-3, gt=0, le=1, description="Highest learning rate of the fine-tuning.")


class QuantizeSettings(Settings):
    """Static int8 (stage `quantize`)."""

    calibration_windows: int = Field(
        512, ge=1, le=100000, description="Training windows from which the ranges of the activations are taken."
    )


class GateSettings(Settings):
    """Which variant is released (stage `compare`), judged on validation recordings."""

    max_f1_loss: float = Field(
        0.03,
        gt=0,
        le=1,
        description="Largest loss of macro-F1 by recording against float: the upper end of its paired interval. Where the interval "
        "is too wide to tell (half its width is larger), agreement decides.",
    )
    min_agreement: float = Field(
        0.98,
        ge=0,
        le=1,
        description="Smallest share of validation windows in which the variant names the same species as float.",
    )


class CompareSettings(GateSettings, EvaluationSettings):
    """What stage `compare` needs: the gate, and how a model is judged."""


class LatencySettings(Settings):
    """How speed is measured (stage `latency`)."""

    latency_seconds: float = Field(
        0.1,
        gt=0,
        le=60,
        description="How long each variant is measured in each of seven rounds, in which all take turns.",
    )


class ReleaseSettings(PruneSettings, QuantizeSettings, GateSettings, LatencySettings):
    """From the trained model to the released one."""
