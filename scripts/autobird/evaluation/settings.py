"""Settings of the evaluation."""

from typing import Literal

from pydantic import Field

from autobird.core.settings import Settings


class AggregationSettings(Settings):
    """How the probabilities of a recording are computed from those of its windows."""

    aggregation: Literal["mean", "max"] = Field(
        "mean",
        description="How the probabilities of a recording are computed from those of its windows. `mean`: their mean; `max`: "
        "the largest of each species, scaled to a sum of 1.",
    )


class IntervalSettings(Settings):
    """Confidence intervals."""

    resamples: int = Field(
        1000,
        ge=100,
        le=100000,
        description="Number of bootstrap resamples behind each confidence interval. Groups of recordings (sessions) are resampled.",
    )
    confidence: float = Field(0.95, gt=0.5, lt=1, description="Confidence level of the intervals.")
    seed: int = Field(0, ge=0, description="Seed of the random numbers of the bootstrap.")


class ThresholdSettings(Settings):
    """What the decision thresholds of the species are chosen for, on validation recordings (docs/evaluation.md)."""

    precision: float | None = Field(
        None,
        gt=0,
        lt=1,
        description="Wanted precision of the detections of each species: its threshold is the lowest one with this precision per "
        "validation window and recording. `null`: the threshold with the highest F1.",
    )
    false_alarms_per_hour: float | None = Field(
        None,
        gt=0,
        description="Largest acceptable number of false alarms, of all species together, per hour of sound that holds none of the "
        "species. The thresholds of all species are raised until the negative recordings of the validation split give at most as "
        "many. `null`: they are not raised.",
    )


class CalibrationSettings(IntervalSettings, AggregationSettings, ThresholdSettings):
    """Calibration and thresholds of a network (stage `compare`)."""


class EvaluationSettings(IntervalSettings, AggregationSettings):
    """Evaluation of a model on the validation and test recordings."""


class PossiblyHeardSettings(IntervalSettings):
    """Settings of stage `possibly_heard`: the backbone, and the confidence intervals."""

    name: str = Field("birdnet-2.4", description="Name of the backbone.")
    heard_until: int | None = Field(None, description="See `BackboneSettings`.")


class WithBackboneSettings(PossiblyHeardSettings):
    """Settings of stage `with_backbone`."""


class EvaluationSectionSettings(EvaluationSettings, ThresholdSettings):
    """Evaluation of a model on the validation and test recordings."""
