"""Settings of the drift test."""

from pydantic import Field

from autobird.core.settings import Settings


class DriftTestSettings(Settings):
    """The statistical test (stage `drift`)."""

    alarm_rate: float = Field(
        0.02,
        gt=0,
        lt=0.5,
        description="False-alarm rate: probability that drift is reported for recordings of the same kind as those that the model was "
        "made with.",
    )
    resamples: int = Field(
        500,
        ge=100,
        le=100000,
        description="Number of random subsets of the recordings that the model was made with; the threshold of the drift test is "
        "computed from them.",
    )
    seed: int = Field(0, ge=0, description="Random seed of these subsets.")


class DriftSettings(DriftTestSettings):
    """Drift test: do current recordings differ from the recordings that the model was made with?"""

    current: str = Field(
        "test",
        description="The current recordings to test for drift: `test` (the test split), the path of a folder of recordings, or the path "
        "of the server's log file (`autobird serve --log`).",
    )
