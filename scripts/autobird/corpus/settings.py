"""Settings of the corpus: which recordings are accepted, and how many may be quarantined."""

from typing import Self

from pydantic import Field, model_validator

from autobird.audio.settings import RateSettings
from autobird.core.settings import Settings
from autobird.sources.settings import SourceSettings


class AcceptSettings(Settings):
    """Requirements that a recording must meet to be used (stage `recordings`)."""

    min_duration: float = Field(0.5, ge=0, description="Minimum length in seconds. Shorter recordings are quarantined.")
    max_duration: float = Field(
        7200.0,
        gt=0,
        description="Maximum length in seconds. Longer recordings are quarantined. The length is measured by decoding, "
        "because the length in a file's header can be wrong.",
    )
    min_decoded_share: float = Field(
        0.25,
        ge=0,
        le=1,
        description="Minimum share of the length declared in a file's header that can be decoded. Files with a smaller share "
        "are quarantined as truncated. Files with a larger share are used up to the point where decoding ends.",
    )
    min_peak: float = Field(
        1e-4,
        ge=0,
        lt=1,
        description="Silence threshold: a recording is quarantined as silent if its largest sample is not above this value. "
        "Full scale is 1.",
    )


class CheckSettings(Settings):
    """Limit on the quarantined share of the corpus (stage `check_corpus`)."""

    max_quarantined_share: float = Field(
        0.2,
        ge=0,
        le=1,
        description="The run stops if a larger share of the recordings is quarantined. Recordings excluded by a policy "
        "(licence, take-down) and files that are not audio are not counted.",
    )


class NearDuplicateSettings(Settings):
    """When two recordings count as near-duplicates (stage `near_duplicates`)."""

    near_duplicate_votes: int = Field(
        6,
        ge=3,
        description="Minimum number of aligned landmark matches between two recordings to treat them as the same audio. "
        "A landmark is a pair of spectral peaks; matches are aligned if they occur in both recordings with the same time offset.",
    )


class SearchSettings(Settings):
    """Whether the search for near-duplicates runs."""

    near_duplicates: bool = Field(
        True,
        description="Search for recordings of the same audio: copies, excerpts, and the same recording in another format.",
    )


class ExamineSettings(AcceptSettings, SearchSettings):
    """Settings of the corpus section that stage `recordings` uses."""


class RecordingsStageSettings(ExamineSettings, RateSettings):
    """All settings of stage `recordings`."""


class CorpusSettings(SourceSettings, ExamineSettings, CheckSettings, NearDuplicateSettings):
    """Recordings: their source, and which files are accepted."""

    @model_validator(mode="after")
    def _durations_fit(self) -> Self:
        if self.min_duration >= self.max_duration:
            raise ValueError(
                f"min_duration {self.min_duration:g} s is not below max_duration {self.max_duration:g} s; lower min_duration"
            )
        return self
