"""Settings of the release: pruning, quantization, and the rule that selects the released variant."""

from pydantic import Field

from autobird.core.settings import Settings
from autobird.evaluation.settings import CalibrationSettings


class PruneSettings(Settings):
    """Structured pruning, and the fine-tuning after it (stage `prune`)."""

    prune: float = Field(
        0.5, ge=0, lt=1, description="Share of the channels inside each block of the network that pruning removes."
    )
    prune_epochs: int = Field(8, ge=1, le=1000, description="Number of training epochs after pruning (fine-tuning).")
    prune_learning_rate: float = Field(
        1e-3,
        gt=0,
        le=1,
        description="Highest learning rate of the fine-tuning; `train.learning_rate` is used if it is lower.",
    )


class QuantizeSettings(Settings):
    """Static post-training quantization to int8 (stage `quantize`)."""

    calibration_windows: int = Field(
        512,
        ge=1,
        le=100000,
        description="Number of training windows that are run through the network to measure the range of its activations, which "
        "quantization to 8-bit integers needs.",
    )


class GateSettings(Settings):
    """The release gate, the rule that selects the released variant on validation recordings (stage `compare`)."""

    max_f1_loss: float = Field(
        0.03,
        gt=0,
        le=1,
        description="Largest acceptable loss of macro-F1 per recording of a pruned or quantized variant, compared with the float32 "
        "model (the trained model before pruning and quantization). The upper end of the confidence interval of the loss counts. If "
        "half the width of this interval exceeds `max_f1_loss`, there are too few recordings, and `min_agreement` decides.",
    )
    max_recall_loss: float = Field(
        0.03,
        gt=0,
        le=1,
        description="Largest acceptable loss of the recall of the detections per recording of such a variant, measured in the same way "
        "as the loss of macro-F1.",
    )
    max_false_alarm_ratio: float = Field(
        1.5,
        gt=1,
        description="Largest acceptable number of false alarms of such a variant, divided by that of the float32 model, in validation "
        "recordings without any species; the upper end of the confidence interval counts. If the interval is wider than this factor up "
        "and down, `min_agreement` decides.",
    )
    min_agreement: float = Field(
        0.98,
        ge=0,
        le=1,
        description="Smallest acceptable share of validation windows in which a pruned or quantized variant and the float32 model detect "
        "the same set of species; used if the interval of a loss or of the false alarms is too wide.",
    )

    min_gain: float = Field(
        0.0,
        ge=-1,
        le=1,
        description="A network with a teacher (`train.teacher`) is released only if it is better than the same network without one: the "
        "lower end of the confidence interval of the gain of macro-F1 per validation recording must exceed this value. -1: it is "
        "released in any case.",
    )


class CompareSettings(GateSettings, CalibrationSettings):
    """Settings of stage `compare`: the release gate, and the evaluation of a model."""


class LatencySettings(Settings):
    """Measurement of speed (stage `latency`)."""

    latency_seconds: float = Field(
        0.1,
        gt=0,
        le=60,
        description="Duration of one speed measurement, seconds; each variant is measured seven times.",
    )


class ReleaseSettings(PruneSettings, QuantizeSettings, GateSettings, LatencySettings):
    """From the trained model to the released variant: pruning, quantization, selection."""
