"""Settings of the corpus: where recordings come from and which are accepted."""

from typing import Literal, Self

from pydantic import Field, model_validator

from autobird.audio.settings import FilterSettings
from autobird.core.settings import Settings


class DemoSettings(Settings):
    """The embedded corpus, synthesised from a seed."""

    species: int = Field(10, ge=2, le=200, description="Number of species.")
    recordings: int = Field(60, ge=3, le=10000, description="Recordings of each species.")
    seed: int = Field(
        7, ge=0, description="Seed of grammars, individuals and scenes; the same seed gives the same bytes."
    )


class AcceptSettings(Settings):
    """What a file must fulfil to be used (stage `recordings`)."""

    min_duration: float = Field(0.5, ge=0, description="Shorter recordings are quarantined, seconds.")
    max_duration: float = Field(
        7200.0,
        gt=0,
        description="Longer recordings are quarantined, seconds of decoded sound, whatever the header says.",
    )


class ColumnSettings(Settings):
    """Names of the columns in the metadata table; a column that is not there leaves its values unknown."""

    file: str = Field("file", description="Path of the recording, relative to the root, with `/`.")
    recordist: str = Field("recordist", description="Who recorded it.")
    date: str = Field("date", description="Day of the recording.")
    place: str = Field("location", description="Where it was recorded.")
    split: str = Field("split", description="`train`, `validation` or `test`: a split that was decided elsewhere wins.")
    licence: str = Field("licence", description="Licence of the recording.")
    quality: str = Field("quality", description="Quality as graded by people, for example A to E.")


class CheckSettings(Settings):
    """How much may be wrong with a corpus (stage `check_corpus`)."""

    max_quarantined_share: float = Field(
        0.2, ge=0, le=1, description="The run stops if a larger share of the recordings is quarantined."
    )


class CorpusSettings(AcceptSettings, CheckSettings):
    """Recordings: their source and what is accepted."""

    type: Literal["demo", "folder"] = Field(
        "demo",
        description="`demo`: synthesised, no downloads; `folder`: <root>/<Species name>/<any depth>/<file>.",
    )
    root: str | None = Field(None, description="Folder of the recordings (type `folder`).")
    metadata: str = Field(
        "auto",
        description="CSV table about the recordings, relative to the root. `auto`: SOURCES.csv or metadata.csv if there; "
        "`none`: no table.",
    )
    columns: ColumnSettings = Field(ColumnSettings(), description="Names of the metadata table's columns.")
    species_suffix: str = Field(
        "", description="Removed from the end of each species folder's name (`_sound` in the Kaggle corpus)."
    )
    batches: int = Field(
        8,
        ge=1,
        le=1000,
        description="Recordings fall into so many batches by a stable hash of their id; a job works on one.",
    )
    demo: DemoSettings = Field(DemoSettings(), description="The embedded corpus (type `demo`).")

    @model_validator(mode="after")
    def _root_is_there(self) -> Self:
        if self.type == "folder" and not self.root:
            raise ValueError("type folder needs root, the folder that holds one folder per species; set corpus.root")
        if self.min_duration >= self.max_duration:
            raise ValueError(
                f"min_duration {self.min_duration:g} s is not below max_duration {self.max_duration:g} s; lower min_duration"
            )
        return self


class SplitSettings(Settings):
    """How groups of recordings are dealt to train, validation and test."""

    seed: int = Field(4, ge=0, description="Seed of the split.")
    validation: float = Field(0.2, gt=0, lt=1, description="Share of the groups that validate.")
    test: float = Field(0.2, gt=0, lt=1, description="Share of the groups that are tested.")
    folds: int = Field(5, ge=3, le=100, description="Number of folds of a cross-validation (used where `fold` is set).")
    fold: int | None = Field(
        None,
        ge=0,
        description="Test this fold, validate on the next and train on the others, instead of `validation` and `test`.",
    )

    @model_validator(mode="after")
    def _splits_fit(self) -> Self:
        if self.validation + self.test >= 1:
            raise ValueError(
                f"validation {self.validation:g} and test {self.test:g} leave nothing to train on; lower one of them"
            )
        if self.fold is not None and self.fold >= self.folds:
            raise ValueError(f"fold {self.fold} is not below folds {self.folds}; folds are counted from 0")
        return self


class DatasetSettings(SplitSettings):
    """From recordings to training data."""

    min_windows: int = Field(10, ge=1, description="Species with fewer windows after the filters are left out.")


class DatasetStageSettings(DatasetSettings, FilterSettings):
    """What stage `dataset` needs: the split, and which windows are kept."""
