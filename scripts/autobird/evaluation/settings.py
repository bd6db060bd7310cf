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


class EvaluationSettings(IntervalSettings, AggregationSettings):
    """Evaluation of a model on the validation and test recordings."""


class PossiblyHeardSettings(IntervalSettings):
    """Settings of stage `possibly_heard`: the backbone, and the confidence intervals."""

    name: str = Field("birdnet-2.4", description="Name of the backbone.")
    heard_until: int | None = Field(None, description="See `BackboneSettings`.")


class WithBackboneSettings(PossiblyHeardSettings):
    """Settings of stage `with_backbone`."""
