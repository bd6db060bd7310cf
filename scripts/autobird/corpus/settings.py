"""Settings of the corpus: which recordings are accepted, and how many may be quarantined."""

from typing import Self

from pydantic import Field, model_validator

from autobird.audio.settings import RateSettings
from autobird.core.settings import Settings
from autobird.sources.settings import SourceSettings


class AcceptSettings(Settings):
    """What a file must fulfil to be used (stage `recordings`)."""

    min_duration: float = Field(0.5, ge=0, description="Shorter recordings are quarantined, seconds.")
    max_duration: float = Field(
        7200.0,
        gt=0,
        description="Longer recordings are quarantined, seconds of decoded audio, whatever the header says.",
    )
    min_decoded_share: float = Field(
        0.25,
        ge=0,
        le=1,
        description="A file that yields a smaller share of what its header promises is quarantined as truncated; "
        "above, it is used up to what is there.",
    )
    min_peak: float = Field(
        1e-4,
        ge=0,
        lt=1,
        description="Recordings whose peak is not above this are quarantined as silent; full scale = 1.",
    )


class CheckSettings(Settings):
    """How much may be wrong with a corpus (stage `check_corpus`)."""

    max_quarantined_share: float = Field(
        0.2,
        ge=0,
        le=1,
        description="The run stops if a larger share of the recordings is quarantined, not counting what a policy "
        "refuses (licences, take-downs).",
    )


class NearDuplicateSettings(Settings):
    """Which recordings hold the same sound (stage `near_duplicates`)."""

    near_duplicate_votes: int = Field(
        6,
        ge=3,
        description="Moments that two recordings must have in common, in the same order and at the same distance, to be one sound.",
    )


class SearchSettings(Settings):
    """Whether recordings are compared with each other."""

    near_duplicates: bool = Field(
        True, description="Look for recordings that hold the same sound: copies, excerpts, other encodings."
    )


class ExamineSettings(AcceptSettings, SearchSettings):
    """What is looked for in recordings."""


class RecordingsStageSettings(ExamineSettings, RateSettings):
    """What stage `recordings` needs."""


class CorpusSettings(SourceSettings, ExamineSettings, CheckSettings, NearDuplicateSettings):
    """Recordings: their source and which files are accepted."""

    @model_validator(mode="after")
    def _durations_fit(self) -> Self:
        if self.min_duration >= self.max_duration:
            raise ValueError(
                f"min_duration {self.min_duration:g} s is not below max_duration {self.max_duration:g} s; lower min_duration"
            )
        return self
