"""Settings of the drift test."""

from typing import Annotated, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from autobird.core.settings import Settings
from autobird.drift.time_range import checked_time, end_of, iso_text, start_of


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


_Time = Annotated[str, BeforeValidator(iso_text, json_schema_input_type=str), AfterValidator(checked_time)]


class LogRangeSettings(Settings):
    """The entries of the server's log to test for drift (stage `drift_current`)."""

    since: _Time | None = Field(
        None,
        description="If the current recordings are those of the server's log: use those from this date or time on, for example "
        "`2026-05-01` or `2026-05-01T06:30`; without an offset such as `+02:00` it is in UTC.",
    )
    until: _Time | None = Field(
        None,
        description="If the current recordings are those of the server's log: use those before this time, or up to the end of this date.",
    )
    days: float | None = Field(
        None,
        gt=0,
        le=36500,
        description="If the current recordings are those of the server's log: use those of this many days before the last one that the "
        "bundle of this run classified. It excludes `since` and `until`.",
    )

    @model_validator(mode="after")
    def _check_range(self) -> Self:
        if self.days is not None and (self.since or self.until):
            raise ValueError("`days` cannot be combined with `since` or `until`; remove one of them")
        if self.since and self.until and start_of(self.since) >= end_of(self.until):
            raise ValueError(f"`since` ({self.since}) is not before `until` ({self.until}); exchange them")
        return self


class DriftSettings(DriftTestSettings, LogRangeSettings):
    """Drift test: do current recordings differ from the recordings that the model was made with?"""

    current: str = Field(
        "test",
        description="The current recordings to test for drift: `test` (the test split), the path of a folder of recordings, or the path "
        "of the server's log file (`autobird serve --log`), of which the recordings that the bundle of this run classified are used.",
    )

    @model_validator(mode="after")
    def _check_range_needs_log(self) -> Self:
        if self.current == "test" and (self.since or self.until or self.days is not None):
            raise ValueError(
                "`since`, `until` and `days` select entries of the server's log, but `current` is `test`; "
                "set `current` to the log, or remove them"
            )
        return self
