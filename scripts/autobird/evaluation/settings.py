"""Settings of the evaluation."""

from typing import Literal

from pydantic import Field

from autobird.core.settings import Settings


class AggregationSettings(Settings):
    """How windows become a recording."""

    aggregation: Literal["mean", "max"] = Field(
        "mean",
        description="How the windows' probabilities become a recording's: their mean, or the largest by species.",
    )


class IntervalSettings(Settings):
    """How uncertain a metric is."""

    resamples: int = Field(
        1000, ge=100, le=100000, description="Bootstrap resamples of groups (sessions) behind each interval."
    )
    confidence: float = Field(0.95, gt=0.5, lt=1, description="Confidence of the intervals.")
    seed: int = Field(0, ge=0, description="Seed of the bootstrap.")


class EvaluationSettings(IntervalSettings, AggregationSettings):
    """How a model is judged."""
