"""Settings of the drift report."""

from pydantic import Field

from autobird.core.settings import Settings


class DriftTestSettings(Settings):
    """When the alarm goes off."""

    alarm_rate: float = Field(
        0.02, gt=0, lt=0.5, description="Probability that recordings like those of the training are called drift."
    )
    resamples: int = Field(
        500, ge=100, le=100000, description="Random parts of the reference from which the threshold is taken."
    )
    seed: int = Field(0, ge=0, description="Seed of those parts.")


class DriftSettings(DriftTestSettings):
    """Is what the model hears still like what it learnt from?"""

    current: str = Field(
        "test",
        description="What is compared with the training: `test` (the test split), a folder of recordings, or the server's log (a file).",
    )
